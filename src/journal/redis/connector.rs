//! Makes connected stores from a configuration.

use std::io;
use std::sync::{Arc, Mutex};

use redis::{Cmd, Value, cmd};
use rustls::ClientConfig;

use super::RedisStore;
use super::durability::Durability;
use super::keys::{Keys, PROJECTS_KEY};
use super::place::RedisPlace;
use super::reply;
use super::server::RedisServer;
use super::wire::{CALL_MAX, Login, Wire};
use crate::config::{Endpoint, REDIS_ENVIRONMENT_KEY, RedisConfig, ReplicaWait, Trust};
use crate::edge::ports::Profile;
use crate::engine::ids::ProjectName;
use crate::journal::shared::{Connector, Store, StoreError};
use crate::link;

/// Connects the stores of one deployment. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RedisConnector {
    settings: Arc<Settings>,
}

#[derive(Debug)]
struct Settings {
    environment: Profile,
    place: RedisPlace,
    login: Login,
    tls: Option<Arc<ClientConfig>>,
    replicas: Option<ReplicaWait>,
}

impl RedisConnector {
    /// A connector for the coordinators of `environment`. Fails if the certificates to trust cannot be read.
    pub fn new(config: &RedisConfig, environment: Profile) -> io::Result<Self> {
        let login = Login {
            user: config.user.clone(),
            password: config.password.clone(),
            database: config.database,
        };
        let trust = config
            .ca_file
            .clone()
            .map_or(Trust::Machine, Trust::Authorities);
        let tls = config.tls.then(|| link::tls::config(&trust)).transpose()?;
        let settings = Settings {
            environment,
            place: RedisPlace::of(config),
            login,
            tls: tls.map(Arc::new),
            replicas: config.replicas,
        };
        Ok(Self {
            settings: Arc::new(settings),
        })
    }

    /// The server that has the stamp of the environment now: the configured server, the master that a Sentinel
    /// names, or a node of the Cluster.
    pub async fn locate(&self) -> Result<Endpoint, StoreError> {
        self.find(REDIS_ENVIRONMENT_KEY).await
    }

    /// How durable acknowledged writes are on the server that has this project.
    pub async fn durability(&self, project: &ProjectName) -> Result<Durability, StoreError> {
        self.connect(project).await?.durability().await
    }

    /// Records that the project has a journal here.
    pub(super) async fn register(&self, project: &ProjectName) -> Result<(), StoreError> {
        let mut command = cmd("SADD");
        command.arg(PROJECTS_KEY).arg(project.as_str());
        match self.ask(PROJECTS_KEY, &command).await {
            // A full Redis refuses even a name that the set already has.
            Err(StoreError::Full(_)) if self.projects().await?.contains(project) => Ok(()),
            said => said.map(drop),
        }
    }

    /// Stamps a new Redis with our environment, and refuses a Redis of another environment.
    async fn claim(&self) -> Result<(), StoreError> {
        let own = self.settings.environment.name();
        let wire = self.open(REDIS_ENVIRONMENT_KEY).await?;
        RedisServer::at(&wire).await?;
        let mut read = cmd("GET");
        read.arg(REDIS_ENVIRONMENT_KEY);
        if wire.ask(&read, CALL_MAX).await? == Value::Nil {
            let mut stamp = cmd("SET");
            stamp.arg(REDIS_ENVIRONMENT_KEY).arg(own).arg("NX");
            wire.ask(&stamp, CALL_MAX).await?;
        }
        // Read again after the write: another coordinator may have been faster (NX), perhaps one of another
        // environment.
        let stamp = wire.ask(&read, CALL_MAX).await?;
        if stamp == Value::Nil {
            let text = "its environment mark was deleted right after it was written";
            return Err(StoreError::Refused(text.to_owned()));
        }
        let stamp = reply::text(stamp).unwrap_or_default();
        if stamp == own {
            return Ok(());
        }
        Err(StoreError::Unfit(format!(
            "this Redis belongs to the environment {}, this coordinator to {own}: use another Redis, or another \
             database in it (redis.database)",
            reply::said(&stamp)
        )))
    }

    async fn ask(&self, key: &str, command: &Cmd) -> Result<Value, StoreError> {
        self.open(key).await?.ask(command, CALL_MAX).await
    }

    /// Connects to the server that has this key.
    async fn open(&self, key: &str) -> Result<Wire, StoreError> {
        self.open_at(&self.find(key).await?).await
    }

    async fn find(&self, key: &str) -> Result<Endpoint, StoreError> {
        let Settings {
            place, tls, login, ..
        } = &*self.settings;
        place.find(key, tls.as_ref(), login).await
    }

    async fn open_at(&self, endpoint: &Endpoint) -> Result<Wire, StoreError> {
        let Settings { tls, login, .. } = &*self.settings;
        Wire::open(endpoint, tls.as_ref(), login).await
    }
}

impl Connector for RedisConnector {
    type Store = RedisStore;

    /// Connects to the server that has the project, after checking that this Redis is for our environment.
    async fn connect(&self, project: &ProjectName) -> Result<RedisStore, StoreError> {
        self.claim().await?;
        let keys = Keys::of(project);
        let endpoint = self.find(&keys.stream).await?;
        let writer = self.open_at(&endpoint).await?;
        let follower = self.open_at(&endpoint).await?;
        let server = RedisServer::at(&writer).await?;
        // Two connections may lead to two servers, for instance during a failover. What one of them shows would then
        // say nothing about what the other writes.
        if RedisServer::at(&follower).await? != server {
            let text = "two connections reached two servers, or a server that restarted in between";
            return Err(StoreError::Refused(text.to_owned()));
        }
        let store = RedisStore {
            project: project.clone(),
            keys,
            server,
            writer,
            follower,
            follower_taken_until: Mutex::default(),
            replicas: self.settings.replicas,
            connector: self.clone(),
        };
        // Fails here already if the journal has a format that this program does not know.
        store.look().await?;
        Ok(store)
    }

    /// The projects that have a journal here, ordered by name.
    async fn projects(&self) -> Result<Vec<ProjectName>, StoreError> {
        let mut command = cmd("SMEMBERS");
        command.arg(PROJECTS_KEY);
        let names = self.ask(PROJECTS_KEY, &command).await?;
        let mut projects = Vec::new();
        for name in reply::array(names, "SMEMBERS")? {
            projects.extend(reply::parsed(name, PROJECTS_KEY, |text| text.parse().ok())?);
        }
        projects.sort();
        Ok(projects)
    }
}
