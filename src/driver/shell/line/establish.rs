//! What a line does over a new connection before it writes: establish, then catch up.

use std::time::Duration;

use super::{LineEnd, LineTask, READ_RECORDS_MAX};
use crate::driver::shell::LineHost;
use crate::engine::ids::{Cursor, Epoch, NodeId};
use crate::journal::Entry;
use crate::journal::shared::{
    Connector, Established, Stage, Start, StateHolder, Store, StoreError, StreamSnapshot, establish,
};

impl<H: LineHost> LineTask<H> {
    pub(super) async fn establish<C: Connector>(
        &self,
        connector: &C,
    ) -> Result<(C::Store, Epoch), LineEnd> {
        let store = connector.connect(&self.project).await?;
        let Established {
            epoch,
            tail,
            start,
            opened,
            seeded,
        } = establish(&store, self).await?;
        let metrics = &self.host.metrics().shared;
        metrics.epochs_opened.inc_by(u64::from(opened));
        metrics.seeded.inc_by(u64::from(seeded));
        // Before any record is delivered: what follows continues the snapshot, not the present state.
        if let Start::Rebuild(snapshot) = &start {
            self.host
                .with_core(|core, _| core.rebuild(&self.project, snapshot.as_ref()))?;
        }
        self.reached(Stage::CatchingUp);
        // Caught up before the line is up: `line_up` refuses, reconciles and wakes by the state, so the state must
        // have every record up to the tail.
        self.catch_up(&store, tail).await?;
        self.host
            .with_core(|core, now| core.line_up(now, &self.project));
        self.host.settled();
        Ok((store, epoch))
    }

    /// Reads up to the tail that establishing found.
    async fn catch_up<S: Store>(&self, store: &S, tail: Cursor) -> Result<(), LineEnd> {
        loop {
            let read = self.host.inspect(|core| core.read_up_to(&self.project));
            if read >= tail {
                return Ok(());
            }
            let records = store.read(read, READ_RECORDS_MAX).await?;
            // The tail was there a moment ago. Asking again would loop for ever on a store that lost it.
            if records.is_empty() {
                let why = format!(
                    "its stream ended at {tail} before, but now has no records after {read}"
                );
                return Err(LineEnd::Store(StoreError::Refused(why)));
            }
            self.deliver(records)?;
            if self.host.inspect(|core| core.read_up_to(&self.project)) == read {
                let why = format!("the records of its stream after {read} do not continue it");
                return Err(LineEnd::Store(StoreError::Refused(why)));
            }
        }
    }
}

impl<H: LineHost> StateHolder for LineTask<H> {
    fn node(&self) -> NodeId {
        self.host.inspect(|core| core.config().node.clone())
    }

    fn known(&self) -> Option<Cursor> {
        self.host.inspect(|core| core.known(&self.project))
    }

    fn snapshot(&self) -> Option<StreamSnapshot> {
        self.host
            .inspect(|core| core.stream_snapshot(&self.project))
    }

    fn reached(&self, stage: Stage) {
        self.host
            .with_core(|core, now| core.line_reached(now, &self.project, stage));
    }

    fn marker(&self, epoch: Epoch) -> Entry {
        self.host
            .with_core(|core, now| core.epoch_marker(now, &self.project, epoch))
    }

    fn dice(&self) -> u64 {
        self.host.with_core(|core, _| core.dice())
    }

    async fn pause_ms(&self, milliseconds: u64) {
        self.host.pause(Duration::from_millis(milliseconds)).await;
    }
}
