//! JSON Schemas of names and numbers: their bounds are those of the types.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::engine::ids::{
    AgentKind, AgentName, Capability, ConcurrencyKey, ContextKey, Cursor, EnvironmentName,
    FencingToken, IdempotencyKey, JournalTime, LabelKey, LabelValue, LeaseId, MessageId, NodeId,
    Note, PortFingerprint, ProjectName, RequestId, Revision, SessionId, TaskId, Title, TokenId,
    Topic,
};
use crate::engine::payload::Payload;
use crate::engine::resource::{Resource, ResourceRequest};

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
    Resource: { "type": "string", "description": "path:GLOB, name:NAME or port:HOST:NUMBER" };
    ResourceRequest: {
        "type": "string",
        "description": "path:GLOB, name:NAME, port:HOST:NUMBER or any port of a pool, port:HOST:FIRST-LAST"
    };
}
