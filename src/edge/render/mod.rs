//! Generates files that must match the ports, from the configuration: the environment, the compose file, load
//! balancers, Prometheus' scrape job, Grafana's dashboards, the port documentation.
//!
//! ```text
//! Config ──► env │ compose │ haproxy │ nginx │ prometheus │ rules │ alerts │ dashboard │ markdown ──► text
//! ```
//!
//! Every rendering is a pure function: the same configuration gives the same bytes. None contains a secret;
//! each names the source of the secret instead. Every value is quoted by the rules of its format (`quote`),
//! because a path or a user name may contain any character.

mod compose;
mod dashboard;
mod env;
mod haproxy;
mod markdown;
mod nginx;
mod prometheus;
mod proxy;
mod quote;
mod redis;
mod rules;

pub use compose::{COMPOSE_UID, ComposeOptions, compose};
pub use dashboard::Dashboard;
pub use env::{env, env_json};
pub use haproxy::haproxy;
pub use markdown::{markdown, markdown_json};
pub use nginx::nginx;
pub use prometheus::{ScrapeOptions, Target, file_sd, prometheus};
pub use proxy::ProxyOptions;
pub use rules::{alerts, rules};

use std::fmt::{Arguments, Write as _};

use crate::config::Config;

/// Why a rendering failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot make the {form} from this configuration: {what}")]
pub struct RenderError {
    /// What was to be made.
    pub form: &'static str,
    /// Why it cannot be, as a lower-case fragment.
    pub what: String,
    /// What to do, as an instruction.
    pub next: String,
}

impl RenderError {
    fn new(form: &'static str, what: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            form,
            what: what.into(),
            next: next.into(),
        }
    }
}

/// The comment that each file begins with: what it is, and what made it.
fn heading(what: &str, command: &str, config: &Config) -> String {
    format!(
        "# {what} of the {} profile, made by `coord render {command}` (coord {}).\n\
         # Make it anew when ports change; it is not meant to be edited.\n",
        config.profile,
        env!("CARGO_PKG_VERSION"),
    )
}

fn push(text: &mut String, more: Arguments<'_>) {
    text.write_fmt(more)
        .expect("a string takes all that is written to it");
}
