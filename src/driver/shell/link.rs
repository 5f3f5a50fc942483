//! One connection's end of the running driver.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::Driver;
use crate::driver::connection::{ConnectionId, Prospect};
use crate::engine::command::LostReason;

/// One connection's end of the driver. Dropping it tells the driver that the connection is gone.
#[derive(Debug)]
pub struct DriverLink {
    pub(super) driver: Driver,
    pub(super) id: ConnectionId,
    pub(super) notify: Arc<Notify>,
    pub(super) reason: LostReason,
}

impl DriverLink {
    /// One text frame from the peer.
    pub fn frame(&self, text: &str) {
        self.driver
            .with_core(Some(self.id), |core, now| core.gather(now, self.id, text));
    }

    /// Answers a frame that cannot be a request.
    pub fn refuse_frame(&self, why: &str) {
        self.driver
            .with_core(Some(self.id), |core, _| core.refuse_frame(self.id, why));
    }

    /// Takes frames to write, oldest first. Returns whether the connection continues once they are written, or
    /// `None` if there are more. [`DriverLink::ready`] announces later ones.
    pub fn take_frames(&self, frames_max: usize, into: &mut Vec<Bytes>) -> Option<Prospect> {
        let mut state = self.driver.lock();
        state.core.take_frames(self.id, frames_max, into);
        state.core.prospect(self.id)
    }

    /// Waits until there may be something to take.
    pub async fn ready(&self) {
        self.notify.notified().await;
    }

    /// Sets the reason why the connection is about to be dropped.
    pub fn lost(&mut self, reason: LostReason) {
        self.reason = reason;
    }
}

impl Drop for DriverLink {
    fn drop(&mut self) {
        let (id, reason) = (self.id, self.reason);
        self.driver
            .with_core(None, |core, now| core.disconnect(now, id, reason));
        self.driver.lock().wakers.remove(&id);
        self.driver.shared.settled.notify_waiters();
    }
}
