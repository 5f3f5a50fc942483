//! A coordinator's end of the simulated store: a connector, and a store whose calls wait for the simulation's steps.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::SimStore;
use super::server::{ExpectedEnd, SimAnswer, SimBeginning, SimRequest};
use crate::engine::ids::{Cursor, Epoch, Position, ProjectName};
use crate::journal::Entry;
use crate::journal::shared::{
    Batch, Candidate, Connector, Incarnation, Look, Saved, Store, StoreError, StreamRecord,
    StreamSnapshot,
};

/// Connects one coordinator to the simulated store.
#[derive(Debug, Clone)]
pub struct SimConnector {
    store: SimStore,
    from: u64,
}

/// One project of one coordinator, connected to one run of a server.
#[derive(Debug)]
pub struct SimConnection {
    store: SimStore,
    from: u64,
    run: u64,
    project: ProjectName,
}

impl SimConnector {
    pub(super) fn new(store: SimStore, from: u64) -> Self {
        Self { store, from }
    }
}

impl Connector for SimConnector {
    type Store = SimConnection;

    async fn connect(&self, project: &ProjectName) -> Result<SimConnection, StoreError> {
        let connected = self
            .store
            .ask(self.from, None, project, SimRequest::Connect);
        match connected.await? {
            SimAnswer::Connected(run) => Ok(SimConnection {
                store: self.store.clone(),
                from: self.from,
                run,
                project: project.clone(),
            }),
            _ => Err(odd()),
        }
    }

    fn projects(&self) -> impl Future<Output = Result<Vec<ProjectName>, StoreError>> + Send {
        let inner = self.store.lock();
        let projects = &inner.servers[&inner.master].projects;
        let begun = projects.iter().filter(|(_, kept)| kept.end().is_some());
        let names = begun.map(|(name, _)| name.clone()).collect();
        std::future::ready(Ok(names))
    }
}

impl SimConnection {
    pub fn incarnation(&self) -> Incarnation {
        Incarnation(format!("run-{}", self.run))
    }

    async fn ask(&self, request: SimRequest) -> Result<SimAnswer, StoreError> {
        let run = Some(self.run);
        self.store.ask(self.from, run, &self.project, request).await
    }

    async fn begin(&self, beginning: SimBeginning) -> Result<bool, StoreError> {
        match self.ask(SimRequest::Begin(Box::new(beginning))).await? {
            SimAnswer::Begun(begun) => Ok(begun),
            _ => Err(odd()),
        }
    }

    async fn records(&self, request: SimRequest) -> Result<Vec<StreamRecord>, StoreError> {
        match self.ask(request).await? {
            SimAnswer::Records(records) => Ok(records),
            _ => Err(odd()),
        }
    }
}

impl Store for SimConnection {
    async fn look(&self) -> Result<Look, StoreError> {
        match self.ask(SimRequest::Look).await? {
            SimAnswer::Look(look) => Ok(look),
            _ => Err(odd()),
        }
    }

    async fn read(&self, after: Cursor, count_max: usize) -> Result<Vec<StreamRecord>, StoreError> {
        self.records(SimRequest::Read { after, count_max }).await
    }

    async fn follow(
        &self,
        after: Cursor,
        count_max: usize,
        wait: Duration,
    ) -> Result<Vec<StreamRecord>, StoreError> {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
        self.records(SimRequest::Follow {
            after,
            count_max,
            wait_ms,
        })
        .await
    }

    async fn append(&self, epoch: Epoch, batch: &Batch) -> Result<Position, StoreError> {
        let batch = batch.clone();
        match self.ask(SimRequest::Append { epoch, batch }).await? {
            SimAnswer::Appended(position) => Ok(position),
            _ => Err(odd()),
        }
    }

    async fn open_epoch(
        &self,
        incarnation: &Incarnation,
        expected: Option<Cursor>,
        at: Cursor,
        marker: &Entry,
    ) -> Result<bool, StoreError> {
        self.begin(SimBeginning {
            incarnation: incarnation.clone(),
            expected: ExpectedEnd::Last(expected),
            at,
            marker: marker.clone(),
            snapshot: None,
        })
        .await
    }

    async fn seed(
        &self,
        incarnation: &Incarnation,
        snapshot: Option<&StreamSnapshot>,
        at: Cursor,
        marker: &Entry,
    ) -> Result<bool, StoreError> {
        self.begin(SimBeginning {
            incarnation: incarnation.clone(),
            expected: ExpectedEnd::Empty,
            at,
            marker: marker.clone(),
            snapshot: snapshot.cloned().map(Arc::new),
        })
        .await
    }

    async fn stand_for_seeding(&self, own: &Candidate) -> Result<Vec<Candidate>, StoreError> {
        match self.ask(SimRequest::Stand(own.clone())).await? {
            SimAnswer::Standing(standing) => Ok(standing),
            _ => Err(odd()),
        }
    }

    async fn snapshot(&self) -> Result<Option<StreamSnapshot>, StoreError> {
        match self.ask(SimRequest::Snapshot).await? {
            SimAnswer::Snapshot(snapshot) => Ok(snapshot),
            _ => Err(odd()),
        }
    }

    async fn save_snapshot(
        &self,
        epoch: Epoch,
        snapshot: &StreamSnapshot,
        keep_from: Cursor,
    ) -> Result<Saved, StoreError> {
        let request = SimRequest::SaveSnapshot {
            epoch,
            snapshot: Arc::new(snapshot.clone()),
            keep_from,
        };
        match self.ask(request).await? {
            SimAnswer::Saved(saved) => Ok(saved),
            _ => Err(odd()),
        }
    }
}

/// Requests and answers belong together by their kind.
fn odd() -> StoreError {
    StoreError::Corrupt("an answer of another kind".to_owned())
}
