//! Follows the stream: what all coordinators append is read and delivered.

use std::time::Duration;

use super::{LineEnd, LineTask, READ_RECORDS_MAX};
use crate::driver::core::Core;
use crate::driver::shell::LineHost;
use crate::engine::ids::{Cursor, Epoch};
use crate::journal::shared::Store;

/// How long a follower waits for the next record before it asks again. Each answer, even an empty one, shows that
/// the store is reachable.
const FOLLOW_WAIT: Duration = Duration::from_secs(1);

impl<H: LineHost> LineTask<H> {
    pub(super) async fn follow<S: Store>(&self, store: &S, epoch: Epoch) -> LineEnd {
        let mut read = Cursor::default();
        loop {
            let follow_from = |core: &Core| core.follow_from(&self.project, epoch);
            read = read.max(self.host.inspect(follow_from));
            self.pass_over(read.position);
            let records = match store.follow(read, READ_RECORDS_MAX, FOLLOW_WAIT).await {
                Ok(records) => records,
                Err(error) => return error.into(),
            };
            if let Some(last) = records.last() {
                read = last.at;
                self.observe_shown(last.at.position);
            }
            // If an append was answered at the same time, its answer is handled first and the next append is sent.
            // Delivered first, its record would only wait for that answer.
            tokio::task::yield_now().await;
            if let Err(error) = self.deliver(records) {
                return error.into();
            }
            self.host.settled();
        }
    }
}
