//! What the methods answer.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::era::Era;

/// How long a client of 2026-07-28 may keep a list.
const LIST_TTL_MS: u64 = 60_000;

/// A result with what its era adds.
#[derive(Serialize)]
struct Framed<'a> {
    jsonrpc: &'static str,
    id: &'a RawValue,
    result: Dressed<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dressed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    result_type: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_scope: Option<&'static str>,
    #[serde(flatten)]
    result: &'a MethodResult,
}

/// The result of a method.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum MethodResult {
    Initialize(Box<InitializeResult>),
    Discover(Box<DiscoverResult>),
    Empty {},
    Tools {
        tools: Arc<RawValue>,
    },
    Call(CallResult),
    Resources {
        resources: Vec<Resource>,
    },
    #[serde(rename_all = "camelCase")]
    ResourceTemplates {
        resource_templates: [(); 0],
    },
    Contents {
        contents: [ResourceText; 1],
    },
    Prompts {
        prompts: [(); 0],
    },
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InitializeResult {
    pub(super) protocol_version: &'static str,
    pub(super) capabilities: Capabilities,
    pub(super) server_info: ServerInfo,
    pub(super) instructions: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DiscoverResult {
    pub(super) supported_versions: Vec<&'static str>,
    pub(super) capabilities: Capabilities,
    pub(super) server_info: ServerInfo,
    pub(super) instructions: &'static str,
    #[serde(rename = "_meta")]
    pub(super) meta: DiscoverMeta,
}

#[derive(Debug, Serialize)]
pub(super) struct DiscoverMeta {
    #[serde(rename = "io.modelcontextprotocol/serverInfo")]
    pub(super) server_info: ServerInfo,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct Capabilities {
    tools: ListCapability,
    resources: ListCapability,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListCapability {
    list_changed: bool,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct ServerInfo {
    name: &'static str,
    title: &'static str,
    version: &'static str,
}

pub(super) const SERVER_INFO: ServerInfo = ServerInfo {
    name: "coord",
    title: "coord, the coordinator of this project's agents",
    version: env!("CARGO_PKG_VERSION"),
};

/// What a tool answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CallResult {
    content: Vec<Text>,
    /// Absent where the tool refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    structured_content: Option<Arc<RawValue>>,
    is_error: bool,
}

#[derive(Debug, Serialize)]
struct Text {
    r#type: &'static str,
    text: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Resource {
    pub(super) uri: &'static str,
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    pub(super) mime_type: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceText {
    pub(super) uri: &'static str,
    pub(super) mime_type: &'static str,
    pub(super) text: String,
}

impl CallResult {
    /// The answer as data, and the same as text for clients that show only that.
    pub(super) fn answer(json: Box<RawValue>) -> Self {
        Self {
            content: vec![Text::new(json.get().to_owned())],
            structured_content: Some(json.into()),
            is_error: false,
        }
    }

    /// Why a tool refused, and in a text of its own what other agents wrote about it, as JSON. It is no structured
    /// content, because clients would hold that against the schema of the tool's answer.
    pub(super) fn refusal(text: String, words: Option<String>) -> Self {
        Self {
            content: [Some(text), words]
                .into_iter()
                .flatten()
                .map(Text::new)
                .collect(),
            structured_content: None,
            is_error: true,
        }
    }

    pub(super) fn is_error(&self) -> bool {
        self.is_error
    }
}

impl Text {
    fn new(text: String) -> Self {
        Self {
            r#type: "text",
            text,
        }
    }
}

impl MethodResult {
    /// The JSON text that answers request `id`.
    pub(super) fn encode(&self, id: &RawValue, era: Era) -> String {
        let standalone = era == Era::Standalone;
        let cached = standalone && !matches!(self, Self::Call(_));
        let frame = Framed {
            jsonrpc: "2.0",
            id,
            result: Dressed {
                result_type: standalone.then_some("complete"),
                ttl_ms: cached.then(|| self.ttl_ms()),
                cache_scope: cached.then_some("private"),
                result: self,
            },
        };
        serde_json::to_string(&frame).expect("wire types always encode as JSON")
    }

    fn ttl_ms(&self) -> u64 {
        match self {
            Self::Contents { .. } => 0,
            _ => LIST_TTL_MS,
        }
    }
}
