//! Configuration: what was typed becomes what is meant, once, and no later code checks again.
//!
//! ```text
//! flags ┐
//! env   ├─► RawConfig ──► Config        every bad value is reported at once, with its source
//! file  │   (typed)       (meant)
//! table ┘
//! ```
//!
//! One table ([`settings`]) has a typed row for every setting: its key in the file, its variable, its flag,
//! its kind, bounds and default, and what it is for. The reader of each source, the flags of the command
//! line, the JSON Schema, the example file and `config show` all come from it. The first source that has a
//! value wins: flag, environment variable (a systemd credential counts after the variables), file, profile.
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
mod files;
mod fingerprint;
pub mod firewall;
mod flags;
mod given;
mod host;
mod journal;
mod kinds;
mod listen;
mod log;
mod mqtt;
mod names;
mod network;
mod origins;
mod parsed;
mod places;
pub mod problem;
mod push;
mod push_values;
mod raw;
mod reader;
mod redis;
pub mod schema;
mod secret;
mod server_url;
mod setting;
pub mod settings;
pub mod show;
mod source;
mod spelling;
mod suggest;
mod token_form;
mod topology;
mod value;
mod variables;
pub mod web;
mod web_settings;

pub use client::{ClientConfig, Trust};
pub use env::{Bound, Environment, Invoker, MapEnvironment, ProcessEnvironment};
pub use firewall::{FirewallConfig, ServiceConfig};
pub use flags::Flags;
pub use host::{AllowedHost, Endpoint, Host, WebOrigin};
pub use journal::JournalConfig;
pub use listen::{MetricsConfig, TlsConfig, WebSocketConfig};
pub use log::{LogConfig, LogFormat, LogLevel};
pub use mqtt::{MqttConfig, MqttEvents, MqttUrl, MqttVersion, TopicPath};
pub use names::{MetricsPath, NodeName};
pub use network::{InterfaceName, Network, OpenPort, Transport};
pub use origins::Origins;
pub use parsed::{Config, SessionConfig};
pub use places::client_file_place;
pub use problem::{ConfigErrors, Misfit, Problem, Warning};
pub use push::{PushConfig, PushProtocol};
pub use push_values::{PushHeader, PushLabel, PushUrl};
pub use redis::{REDIS_ENVIRONMENT_KEY, RedisConfig};
pub use secret::{MASK, Secret};
pub use server_url::{Fingerprint, ServerUrl, WEBSOCKET_PATH};
pub use source::Source;
pub use spelling::misspelt_path;
pub use topology::{RedisTopology, ReplicaWait, SENTINEL_PORT, SentinelConfig};
