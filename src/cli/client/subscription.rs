//! A subscription, as far as it has to be known to take it up again.

use super::link::Notice;
use crate::engine::ids::Cursor;
use crate::protocol::context::ContextWatchParams;
use crate::protocol::error::ErrorKind;
use crate::protocol::events::{EventsClosed, EventsSubscribeParams};
use crate::protocol::operations::Operation;

/// What the connection is subscribed to, and from where on.
#[derive(Debug, Clone)]
pub(super) enum Subscription {
    Events(EventsSubscribeParams),
    Watch(ContextWatchParams),
}

impl Subscription {
    pub(super) fn request(&self) -> (Operation, String) {
        let (operation, params) = match self {
            Self::Events(params) => (Operation::EventsSubscribe, serde_json::to_string(params)),
            Self::Watch(params) => (Operation::ContextWatch, serde_json::to_string(params)),
        };
        (operation, params.expect("wire types always encode as JSON"))
    }

    pub(super) fn from(&self) -> Option<Cursor> {
        match self {
            Self::Events(params) => params.from,
            Self::Watch(params) => params.from,
        }
    }

    pub(super) fn go_on_from(&mut self, cursor: Cursor) {
        match self {
            Self::Events(params) => params.from = Some(cursor),
            Self::Watch(params) => params.from = Some(cursor),
        }
    }
}

/// A refused resumption of a subscription reads like one that the coordinator ended.
pub(super) fn closed(kind: ErrorKind, from: Option<Cursor>, next: Cursor) -> Notice {
    let closed = EventsClosed {
        kind,
        cursor: from.unwrap_or_default(),
        next,
    };
    let raw = serde_json::value::to_raw_value(&closed).expect("wire types always encode as JSON");
    Notice::EventsClosed(closed, raw)
}
