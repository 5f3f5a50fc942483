//! Configuration: what was typed becomes what is meant, once, and no later code checks again.
//!
//! ```text
//! flags ┐
//! env   ├─► RawConfig ──► Config        every bad value is reported at once, with its source
//! file  │   (typed)       (meant)
//! table ┘
//! ```
//!
//! One table ([`settings`]) lists every setting: its key in the file, its variable, its flag, its
//! kind and bounds, and what it is for. The reader of each source, the JSON Schema, the example file
//! and `config show` all come from it. The first source that has a value wins: flag, environment
//! variable (a systemd credential counts after the variables), file, profile.
//!
//! An empty environment variable counts as not set, so that `${REDIS_PASSWORD:-}` in a compose file
//! does what it looks like. One that says who to be is the exception: a client that would act as the operator
//! in its place refuses (`variables`).

mod changes;
mod checks;
pub mod client;
pub mod env;
pub mod example;
mod file;
mod fingerprint;
pub mod firewall;
mod host;
mod names;
mod network;
mod parsed;
mod places;
pub mod problem;
mod raw;
mod reader;
mod redis;
pub mod schema;
mod secret;
pub mod settings;
pub mod show;
mod spelling;
mod suggest;
mod token_form;
mod topology;
mod value;
mod variables;

pub use client::{ClientConfig, ClientFlags, Fingerprint, ServerUrl, Trust};
pub use env::{Bound, Environment, Invoker, MapEnvironment, ProcessEnvironment};
pub use firewall::{FirewallConfig, ServiceConfig};
pub use host::{AllowedHost, Endpoint, Host, WebOrigin};
pub use names::{MetricsPath, NodeName};
pub use network::{InterfaceName, Network, OpenPort, Transport};
pub use parsed::{
    Config, Flags, JournalConfig, LogConfig, LogFormat, LogLevel, MetricsConfig, SessionConfig,
    TlsConfig, WebSocketConfig,
};
pub use problem::{ConfigErrors, Misfit, Problem, Warning};
pub use raw::{Origins, Source};
pub use redis::{REDIS_ENVIRONMENT_KEY, RedisConfig};
pub use secret::{MASK, Secret};
pub use spelling::misspelt_path;
pub use topology::{RedisTopology, ReplicaWait, SENTINEL_PORT, SentinelConfig};
