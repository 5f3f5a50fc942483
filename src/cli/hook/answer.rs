//! Answers as JSON. The CLIs take context and notices alike, and differ in how an edit is refused and a turn goes on.

use serde_json::{Map, Value, json};

use super::event::{Answer, Verdict};

/// Adds a text to the answer to the event of a name.
pub(super) type Say = fn(&mut Map<String, Value>, &str, &str);

pub(super) fn rendered(name: &str, answer: &Answer, deny: Say, go_on: Say) -> Value {
    let mut said = Map::new();
    match &answer.verdict {
        Verdict::Nothing => {}
        Verdict::Context(text) => context(&mut said, name, text),
        Verdict::Deny(reason) => deny(&mut said, name, reason),
        Verdict::GoOn(text) => go_on(&mut said, name, text),
    }
    if let Some(text) = &answer.notice {
        said.insert("systemMessage".to_owned(), json!(text));
    }
    Value::Object(said)
}

pub(super) fn context(said: &mut Map<String, Value>, name: &str, text: &str) {
    let output = json!({ "hookEventName": name, "additionalContext": text });
    said.insert("hookSpecificOutput".to_owned(), output);
}

/// Refuses a tool, without a word about what the user allows.
pub(super) fn permission_deny(said: &mut Map<String, Value>, name: &str, reason: &str) {
    let output = json!({
        "hookEventName": name,
        "permissionDecision": "deny",
        "permissionDecisionReason": reason,
    });
    said.insert("hookSpecificOutput".to_owned(), output);
}

pub(super) fn decision(said: &mut Map<String, Value>, word: &str, reason: &str) {
    said.insert("decision".to_owned(), json!(word));
    said.insert("reason".to_owned(), json!(reason));
}
