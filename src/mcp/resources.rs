//! Resources: what an agent can look at without a tool.

use axum::http::StatusCode;
use serde_json::value::RawValue;

use super::caller::Caller;
use super::era::Era;
use super::fault::{Fault, INVALID_PARAMS, RESOURCE_NOT_FOUND};
use super::results::{MethodResult, Resource, ResourceText};
use super::tools::{ToolError, messages, status};

const MIME: &str = "application/json";

/// A resource that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    Inbox,
    State,
}

pub(super) const LIST: [Known; 2] = [Known::Inbox, Known::State];

impl Known {
    fn uri(self) -> &'static str {
        match self {
            Self::Inbox => "coord://inbox",
            Self::State => "coord://state",
        }
    }

    pub(super) fn listed(self) -> Resource {
        let (name, title, description) = match self {
            Self::Inbox => (
                "inbox",
                "Unread messages",
                "What other agents wrote to you; reading acknowledges nothing.",
            ),
            Self::State => (
                "state",
                "Who is here and on what",
                "What you hold, who else is here, what waits for you.",
            ),
        };
        Resource {
            uri: self.uri(),
            name,
            title,
            description,
            mime_type: MIME,
        }
    }
}

pub(super) async fn read(
    caller: &mut dyn Caller,
    uri: &str,
    era: Era,
) -> Result<MethodResult, Fault> {
    let Some(known) = LIST.into_iter().find(|known| known.uri() == uri) else {
        return Err(not_found(uri, era));
    };
    let text = match known {
        Known::Inbox => json(messages::peek(caller).await),
        Known::State => json(status::look(caller).await),
    };
    let text = text.map_err(|error| Fault::from(error.into_rpc()).status(StatusCode::OK))?;
    Ok(MethodResult::Contents {
        contents: [ResourceText {
            uri: known.uri(),
            mime_type: MIME,
            text: text.get().to_owned(),
        }],
    })
}

fn json(result: Result<impl serde::Serialize, ToolError>) -> Result<Box<RawValue>, ToolError> {
    let result = result?;
    Ok(serde_json::value::to_raw_value(&result).expect("wire types always encode as JSON"))
}

fn not_found(uri: &str, era: Era) -> Fault {
    let uri: String = uri.chars().take(100).collect();
    let known: Vec<&str> = LIST.iter().map(|known| known.uri()).collect();
    let what = format!(
        "there is no resource {uri:?}; there are {}",
        known.join(", ")
    );
    match era {
        Era::Handshake => Fault::new(RESOURCE_NOT_FOUND, what),
        Era::Standalone => Fault::new(INVALID_PARAMS, what),
    }
}
