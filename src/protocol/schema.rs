//! JSON Schemas of names and numbers: their bounds are those of the types.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::resource::{ResourceParam, ResourceRequestParam, ResourceText};
use crate::engine::ids::{
    AgentKind, AgentName, Capability, ConcurrencyKey, ContextKey, Cursor, EnvironmentName,
    FencingToken, IdempotencyKey, JournalTime, LabelKey, LabelValue, LeaseId, MessageId, NodeId,
    Note, PortFingerprint, Principal, ProjectName, RequestId, Revision, SessionId, TaskId, Title,
    TokenId, Topic, TreeName,
};
use crate::engine::payload::Payload;

macro_rules! text_schemas {
    ($($name:ident),* $(,)?) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "minLength": 1, "maxLength": $name::BYTES_MAX })
            }
        }
    )*};
}

text_schemas!(
    ProjectName,
    AgentName,
    Principal,
    AgentKind,
    Capability,
    Topic,
    LabelKey,
    LabelValue,
    ContextKey,
    ConcurrencyKey,
    IdempotencyKey,
    RequestId,
    Title,
    Note,
    NodeId,
    TokenId,
    EnvironmentName,
    PortFingerprint,
    TreeName,
);

macro_rules! number_schemas {
    ($($name:ident),* $(,)?) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "integer", "minimum": 0 })
            }
        }
    )*};
}

number_schemas!(
    TaskId,
    LeaseId,
    MessageId,
    SessionId,
    FencingToken,
    Revision,
    JournalTime
);

macro_rules! described_schemas {
    ($($name:ident: $schema:tt;)*) => {$(
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

described_schemas! {
    Cursor: { "type": "string", "pattern": "^[0-9]+:[0-9]+$", "description": "epoch:position" };
    Payload: { "description": "any JSON, carried verbatim" };
    ResourceParam: { "type": "string", "description": FORMS };
    ResourceRequestParam: {
        "type": "string",
        "description": (format!("{FORMS}, or any port of a pool, port:HOST:FIRST-LAST"))
    };
    ResourceText: {
        "type": "string",
        "description": "as it was requested; treat it as a text"
    };
}

/// The forms of a resource.
const FORMS: &str = "path:GLOB (without a wildcard in its last segment it also covers all below it), file:PATH \
                     (one file, no character is special; with a slash at its end a folder and all in it), \
                     name:NAME or port:HOST:NUMBER; paths are relative to the root of the repository";
