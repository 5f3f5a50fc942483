//! What a task's command gets: its environment, and the payload on stdin.

use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::cli::child::Running;
use crate::protocol::task::ClaimView;

/// Writes the payload to the command's stdin in the background: a command that does not read it must not
/// block us.
pub(super) fn feed(running: &mut Running, claim: &ClaimView) {
    let Some(mut stdin) = running.stdin.take() else {
        return;
    };
    let payload = claim.payload.clone();
    tokio::spawn(async move {
        if let Some(payload) = payload {
            // A command that closes its stdin does not want it.
            let _ = stdin.write_all(payload.as_json().as_bytes()).await;
        }
    });
}

/// The variables that describe the task.
pub(super) fn variables(claim: &ClaimView) -> Vec<(String, String)> {
    let mut variables = vec![
        ("COORD_TASK_ID".to_owned(), claim.task.to_string()),
        ("COORD_TASK_TITLE".to_owned(), claim.title.to_string()),
        ("COORD_TASK_ATTEMPT".to_owned(), claim.attempt.to_string()),
        ("COORD_FENCE".to_owned(), claim.fence.to_string()),
        (
            "COORD_TASK_SUBMITTED_BY".to_owned(),
            claim.submitted_by.to_string(),
        ),
        (
            "COORD_TASK_LABELS".to_owned(),
            json!(claim.labels).to_string(),
        ),
    ];
    let upper = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    };
    for (key, value) in &claim.labels {
        let name: String = key.as_str().chars().map(upper).collect();
        variables.push((format!("COORD_LABEL_{name}"), value.to_string()));
    }
    if let Some(error) = &claim.last_error {
        variables.push(("COORD_TASK_LAST_ERROR".to_owned(), error.to_string()));
    }
    if let Some(handoff) = &claim.handoff {
        let text = serde_json::to_string(handoff).expect("wire types always encode as JSON");
        variables.push(("COORD_TASK_HANDOFF".to_owned(), text));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_learns_of_its_task() {
        let claim: ClaimView = serde_json::from_value(json!({
            "task": 7, "attempt": 2, "fence": 9, "title": "build",
            "labels": { "area/core": "x y" }, "submitted_by": "ann", "last_error": "boom",
        }))
        .expect("it is a claim");
        let variables = variables(&claim);
        let value = |name: &str| {
            let found = variables.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.as_str())
        };
        assert_eq!(value("COORD_TASK_ID"), Some("7"));
        assert_eq!(value("COORD_FENCE"), Some("9"));
        assert_eq!(value("COORD_LABEL_AREA_CORE"), Some("x y"));
        assert_eq!(value("COORD_TASK_LABELS"), Some(r#"{"area/core":"x y"}"#));
        assert_eq!(value("COORD_TASK_LAST_ERROR"), Some("boom"));
        assert_eq!(value("COORD_TASK_HANDOFF"), None);
    }
}
