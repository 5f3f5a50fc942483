//! Events and watched keys, across reconnects.

use super::error::CallError;
use super::notice::Notice;
use super::{Client, ClientError, Reply};
use crate::engine::ids::Cursor;
use crate::protocol::context::ContextWatchParams;
use crate::protocol::error::ErrorKind;
use crate::protocol::events::{EventsClosed, EventsSubscribeParams, EventsSubscribeResult};
use crate::protocol::operations::Operation;

/// What the connection is subscribed to, and after which cursor.
#[derive(Debug, Clone)]
pub(super) enum Subscription {
    Events(EventsSubscribeParams),
    Watch(ContextWatchParams),
}

impl Client {
    /// Subscribes; after a reconnect the subscription continues where it stopped.
    pub async fn subscribe(
        &mut self,
        params: EventsSubscribeParams,
    ) -> Result<Reply<EventsSubscribeResult>, ClientError> {
        let reply = self.call(Operation::EventsSubscribe, &params).await?;
        self.subscribed(Subscription::Events(params), &reply);
        Ok(reply)
    }

    /// Watches keys of the shared context; continues after a reconnect like a subscription.
    pub async fn watch(
        &mut self,
        params: ContextWatchParams,
    ) -> Result<Reply<EventsSubscribeResult>, ClientError> {
        let reply = self.call(Operation::ContextWatch, &params).await?;
        self.subscribed(Subscription::Watch(params), &reply);
        Ok(reply)
    }

    fn subscribed(&mut self, mut to: Subscription, reply: &Reply<EventsSubscribeResult>) {
        to.go_on_from(reply.value.cursor);
        self.subscription = Some(to);
    }

    /// The next notification, across reconnects. Cancel-safe.
    pub async fn notice(&mut self) -> Result<Notice, ClientError> {
        loop {
            if let Some(notice) = self.notices.pop_front() {
                self.took(&notice);
                return Ok(notice);
            }
            self.connected().await?;
            // Resuming may have queued a notice.
            if !self.notices.is_empty() {
                continue;
            }
            let Some(link) = &mut self.link else { continue };
            match link.notice().await {
                Ok(notice) => self.notices.push_back(notice),
                Err(CallError::Lost(_) | CallError::Slow) => self.lost(),
                Err(CallError::Refused(error)) => return Err(ClientError::Refused(error)),
            }
        }
    }

    /// Remembers the cursor from which a new connection continues.
    fn took(&mut self, notice: &Notice) {
        let Some(subscription) = &mut self.subscription else {
            return;
        };
        match notice {
            Notice::Event(event, _) => subscription.go_on_from(event.cursor),
            Notice::EventsClosed(closed, _) => subscription.go_on_from(closed.next),
            _ => {}
        }
    }

    /// Subscribes again after the coordinator ended the subscription.
    pub async fn resubscribe(&mut self) -> Result<(), ClientError> {
        let (operation, params) = match &self.subscription {
            None => return Ok(()),
            Some(subscription) => subscription.request(),
        };
        self.call_raw(operation, params, 0).await.map(drop)
    }
}

impl Subscription {
    /// The request that continues it.
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

/// A subscription that cannot continue is reported like one that the coordinator ended.
pub(super) fn closed(kind: ErrorKind, from: Option<Cursor>, next: Cursor) -> Notice {
    let closed = EventsClosed {
        kind,
        cursor: from.unwrap_or_default(),
        next,
    };
    let raw = serde_json::value::to_raw_value(&closed).expect("wire types always encode as JSON");
    Notice::EventsClosed(closed, raw)
}
