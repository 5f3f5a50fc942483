//! Sends any lines to the server of the tools for models, whose coordinator is out of reach. Each line gets at most
//! one answer, in valid JSON-RPC, and the server ends in order when the lines end.

#![no_main]

use std::sync::Arc;

use cli_coordinator::engine::ids::{AgentKind, AgentName, TreeName};
use cli_coordinator::mcp::{Caller, Follower, Pending, serve};
use cli_coordinator::protocol::error::{ErrorKind, RpcError};
use cli_coordinator::protocol::events::EventFilter;
use cli_coordinator::protocol::operations::Operation;
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

/// What a client says. Most lines are put together from parts that are nearly right, since bytes alone seldom get
/// past the first brace.
#[derive(Debug, Arbitrary)]
enum Line<'a> {
    Bytes(&'a [u8]),
    Request {
        method: Method,
        params: Vec<(Field, Part<'a>)>,
        meta: Vec<(Meta, Part<'a>)>,
    },
    Call {
        tool: Tool,
        arguments: Vec<(Field, Part<'a>)>,
        meta: Vec<(Meta, Part<'a>)>,
    },
}

/// Makes an enum of names that are written as they are sent.
macro_rules! names {
    ($name:ident: $($variant:ident = $text:literal),* $(,)?) => {
        #[derive(Debug, Arbitrary, Clone, Copy)]
        enum $name { $($variant),* }

        impl $name {
            fn text(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }
    };
}

names!(Method:
    Initialize = "initialize", Discover = "server/discover", Ping = "ping", Tools = "tools/list",
    Call = "tools/call", Read = "resources/read", Cancelled = "notifications/cancelled", Other = "other",
);
names!(Tool:
    Status = "status", List = "list_tasks", Claim = "claim_task", Submit = "submit_task",
    Progress = "report_progress", Finish = "finish_task", Reserve = "reserve", Release = "release",
    Send = "send_message", Read = "read_messages", Context = "context", Wait = "wait", Other = "other",
);
names!(Field:
    Name = "name", Arguments = "arguments", Uri = "uri", Version = "protocolVersion", Client = "clientInfo",
    RequestId = "requestId", Resources = "resources", Tree = "tree", Note = "note", Shared = "shared", All = "all",
    Task = "task", Outcome = "outcome", Text = "text", To = "to", Fence = "fence", Title = "title", After = "after",
    Requires = "requires", Priority = "priority", Key = "key", Value = "value", Revision = "if_revision",
    Seconds = "seconds", Percent = "percent", State = "state", Message = "message", Subject = "subject",
);
names!(Meta:
    Version = "io.modelcontextprotocol/protocolVersion", Client = "io.modelcontextprotocol/clientInfo",
    Token = "progressToken", ToolUse = "claudecode/toolUseId", Call = "callId", Codex = "x-codex-turn-metadata",
);

#[derive(Debug, Arbitrary)]
enum Part<'a> {
    Null,
    Bool(bool),
    Number(i64),
    Text(&'a str),
    File(&'a str),
    Standalone,
    Outcome(u8),
    List(Vec<Part<'a>>),
    Object(Vec<(Field, Part<'a>)>),
}

impl Part<'_> {
    fn json(&self, depth: u8) -> Value {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::Number(value) => (*value).into(),
            Self::Text(text) => (*text).into(),
            Self::File(text) => format!("src/{text}").into(),
            Self::Standalone => "2026-07-28".into(),
            Self::Outcome(at) => {
                let all = ["done", "failed", "given_back", "handed_over"];
                all[usize::from(*at) % all.len()].into()
            }
            Self::List(items) if depth < 4 => items.iter().map(|it| it.json(depth + 1)).collect(),
            Self::Object(fields) if depth < 4 => {
                let named = fields.iter();
                let named = named.map(|(name, it)| (name.text().to_owned(), it.json(depth + 1)));
                Value::Object(named.collect())
            }
            Self::Null | Self::List(_) | Self::Object(_) => Value::Null,
        }
    }
}

impl Line<'_> {
    fn bytes(&self, id: usize) -> Vec<u8> {
        let (method, mut params, meta) = match self {
            Self::Bytes(bytes) => return bytes.to_vec(),
            Self::Request {
                method,
                params,
                meta,
            } => (*method, object(params), meta),
            Self::Call {
                tool,
                arguments,
                meta,
            } => {
                let params =
                    serde_json::json!({"name": tool.text(), "arguments": object(arguments)});
                (Method::Call, params, meta)
            }
        };
        let meta = meta.iter();
        let meta = meta.map(|(name, it)| (name.text().to_owned(), it.json(0)));
        params["_meta"] = Value::Object(meta.collect());
        let request = serde_json::json!({
            "jsonrpc": "2.0", "id": id, "method": method.text(), "params": params,
        });
        request.to_string().into_bytes()
    }
}

fn object(fields: &[(Field, Part)]) -> Value {
    let named = fields.iter();
    let named = named.map(|(name, it)| (name.text().to_owned(), it.json(0)));
    Value::Object(named.collect())
}

/// A coordinator that is out of reach.
struct Unreachable;

impl Unreachable {
    fn error() -> RpcError {
        RpcError::new(ErrorKind::Unavailable, "it is out of reach")
    }
}

impl Caller for Unreachable {
    fn call(
        &mut self,
        _operation: Operation,
        params: String,
    ) -> Pending<'_, Result<Box<RawValue>, RpcError>> {
        let _: Value = serde_json::from_str(&params).expect("parameters are JSON");
        Box::pin(std::future::ready(Err(Self::error())))
    }

    fn follow(
        &mut self,
        _filters: Vec<EventFilter>,
    ) -> Pending<'_, Result<Box<dyn Follower>, RpcError>> {
        Box::pin(std::future::ready(Err(Self::error())))
    }

    fn introduce(&mut self, _kind: Option<AgentKind>) -> Pending<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn hold_ms(&self) -> Option<u64> {
        None
    }

    fn agent(&self) -> Option<AgentName> {
        None
    }

    fn tree(&self) -> Option<TreeName> {
        None
    }
}

fuzz_target!(|lines: Vec<Line>| {
    let lines = lines.iter().take(32).zip(0..);
    let mut input: Vec<u8> = Vec::new();
    for (line, id) in lines {
        input.extend(line.bytes(id));
        input.push(b'\n');
    }
    let asked = input.iter().filter(|byte| **byte == b'\n').count();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime without threads");
    let mut output = std::io::Cursor::new(Vec::new());
    let served = serve(
        Arc::new(|| Box::new(Unreachable)),
        input.as_slice(),
        &mut output,
    );
    runtime.block_on(served).expect("memory can be written");
    let output = String::from_utf8(output.into_inner()).expect("what goes out is UTF-8");
    assert!(output.lines().count() <= asked, "{output}");
    for line in output.lines() {
        let answer: Value = serde_json::from_str(line).expect("what goes out is JSON");
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        let answer = answer.as_object().expect("an answer is an object");
        assert!(answer.contains_key("id"), "{answer:?}");
        assert!(
            answer.contains_key("result") != answer.contains_key("error"),
            "{answer:?}"
        );
    }
});
