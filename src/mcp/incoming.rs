//! A message of a client: the JSON-RPC envelope, and what the front itself reads of its parameters.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::fault::Fault;
use crate::protocol::jsonrpc;

/// The most bytes of a progress token.
const TOKEN_BYTES_MAX: usize = 256;
/// Bytes of a call's id that can be unique. Shorter ones, as `call_1`, are counters of local models, which begin
/// again with every answer: two calls may bear the same one.
const CALL_ID_BYTES: std::ops::RangeInclusive<usize> = 16..=256;

/// One message of a client.
#[derive(Debug)]
pub(super) struct Incoming<'a> {
    /// `None`: a notification, which gets no answer.
    pub(super) id: Option<&'a RawValue>,
    pub(super) method: Cow<'a, str>,
    pub(super) params: Params<'a>,
}

/// The parameters of all methods together; each method uses its own.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Params<'a> {
    /// Of a tool.
    #[serde(borrow)]
    pub(super) name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub(super) arguments: Option<&'a RawValue>,
    /// Of a resource.
    #[serde(borrow)]
    pub(super) uri: Option<Cow<'a, str>>,
    /// What `initialize` asks for.
    #[serde(borrow)]
    pub(super) protocol_version: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_info: Option<ClientInfo<'a>>,
    /// What `notifications/cancelled` names.
    #[serde(borrow)]
    pub(super) request_id: Option<&'a RawValue>,
    #[serde(rename = "_meta", borrow)]
    meta: Meta<'a>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta<'a> {
    #[serde(rename = "io.modelcontextprotocol/protocolVersion", borrow)]
    version: Option<Cow<'a, str>>,
    #[serde(rename = "io.modelcontextprotocol/clientInfo", borrow)]
    client_info: Option<ClientInfo<'a>>,
    #[serde(rename = "progressToken", borrow)]
    progress_token: Option<&'a RawValue>,
    // What clients add on their own may change with any version, so nothing is refused for it.
    /// Of Claude Code.
    #[serde(rename = "claudecode/toolUseId", borrow)]
    tool_use_id: Option<&'a RawValue>,
    /// Of Codex.
    #[serde(rename = "callId", borrow)]
    call_id: Option<&'a RawValue>,
    #[serde(rename = "x-codex-turn-metadata", borrow)]
    codex_turn: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct CodexTurn<'a> {
    #[serde(borrow)]
    session_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    thread_id: Option<Cow<'a, str>>,
}

#[derive(Debug, Deserialize)]
struct ClientInfo<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

impl<'a> Incoming<'a> {
    /// Reads a message. A fault comes with the id that it answers.
    pub(super) fn read(text: &'a str) -> Result<Self, (Option<&'a RawValue>, Fault)> {
        let envelope = jsonrpc::parse(text).map_err(|(id, error)| (id, Fault::from(error)))?;
        let id = envelope.id;
        let params = match envelope.params {
            None => Params::default(),
            Some(raw) => read_params(raw).map_err(|fault| (id, fault))?,
        };
        Ok(Self {
            id,
            method: envelope.method,
            params,
        })
    }

    /// The protocol version that the request names for itself, as those of 2026-07-28 do.
    pub(super) fn version(&self) -> Option<&str> {
        self.params.meta.version.as_deref()
    }

    /// What the client calls itself.
    pub(super) fn client(&self) -> Option<&str> {
        let params = &self.params;
        let info = params.client_info.as_ref();
        let info = info.or(params.meta.client_info.as_ref());
        info.map(|info| info.name.as_ref())
    }

    /// The tool, prompt or resource that the request is about.
    pub(super) fn addressed(&self) -> Option<&str> {
        match self.method.as_ref() {
            "tools/call" | "prompts/get" => self.params.name.as_deref(),
            "resources/read" => self.params.uri.as_deref(),
            _ => None,
        }
    }

    /// The session that the call comes from, where the client is a Codex.
    pub(super) fn codex_session(&self) -> Option<Cow<'a, str>> {
        let turn: CodexTurn<'a> = serde_json::from_str(self.params.meta.codex_turn?.get()).ok()?;
        let id = turn.session_id.or(turn.thread_id)?;
        (!id.is_empty()).then_some(id)
    }

    /// What the client calls this call, and calls it again when it repeats it.
    pub(super) fn call_id(&self) -> Option<&'a str> {
        let meta = &self.params.meta;
        let id = meta.tool_use_id.or(meta.call_id)?.get();
        CALL_ID_BYTES.contains(&id.len()).then_some(id)
    }

    /// By which the client wants to hear of progress.
    pub(super) fn progress_token(&self) -> Option<&'a RawValue> {
        self.params.meta.progress_token
    }
}

fn read_params(raw: &RawValue) -> Result<Params<'_>, Fault> {
    // Read by position, they would make the order of the fields a part of the interface.
    if raw.get().starts_with('[') {
        return Err(Fault::invalid_params(
            "params: they are given by name, as an object",
        ));
    }
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    let params: Params<'_> = serde_path_to_error::deserialize(&mut reader).map_err(wrong)?;
    let token = params.meta.progress_token.map_or("0", RawValue::get);
    if token.len() > TOKEN_BYTES_MAX || token.starts_with(['{', '[', 't', 'f', 'n']) {
        let what = "params._meta.progressToken: it must be a short string or a number";
        return Err(Fault::invalid_params(what));
    }
    Ok(params)
}

fn wrong(error: serde_path_to_error::Error<serde_json::Error>) -> Fault {
    let path = match error.path().to_string() {
        path if path == "." => String::new(),
        path => format!(".{path}"),
    };
    Fault::invalid_params(format!("params{path}: {}", error.into_inner()))
}
