//! `coord render`: generates files that must match the ports, from the configuration.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::Value;

use super::error::CliError;
use super::input::check_place;
use super::output::Output;
use super::text;
use super::write_file::replace;
use crate::config::{Config, Endpoint, Environment, Flags, Invoker};
use crate::edge::render::{self, ComposeOptions, ProxyOptions, ScrapeOptions, Target};

/// Generates files that must match the ports.
#[derive(Debug, clap::Subcommand)]
pub enum RenderCommand {
    /// Prints shell exports that give `coord serve` this configuration; --json prints them as data
    ///
    /// Secrets are not written; a comment names the source of each.
    Env(RenderArgs),
    /// Prints a compose file, with a Redis if the configured one is on this machine
    ///
    /// Ports are published on the configured addresses, by default loopback. Passwords stay in files.
    Compose {
        /// Use this image instead of building one from image/Containerfile
        #[arg(long, value_name = "IMAGE")]
        image: Option<String>,
        #[command(flatten)]
        common: RenderArgs,
    },
    /// Prints an `HAProxy` configuration for one or several coordinators
    Haproxy {
        /// The PEM file with the certificate chain and key for clients, when TLS is on [default:
        /// /etc/haproxy/coord.pem]
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        #[command(flatten)]
        proxy: Proxy,
        #[command(flatten)]
        common: RenderArgs,
    },
    /// Prints a part of nginx's http block for one or several coordinators
    Nginx {
        #[command(flatten)]
        proxy: Proxy,
        #[command(flatten)]
        common: RenderArgs,
    },
    /// Prints a scrape job for Prometheus
    Prometheus {
        /// Print only the targets, as JSON for `file_sd_configs`
        #[arg(long)]
        file_sd: bool,
        /// The address of a coordinator's metrics for Prometheus; may be repeated [default: the configured
        /// ones]
        #[arg(long = "target", value_name = "HOST:PORT", value_parser = Endpoint::from_str)]
        targets: Vec<Endpoint>,
        /// A file of more coordinators, one a line: HOST:PORT and, after a space, the name of the node if it is not
        /// the host; - for stdin
        #[arg(long, value_name = "FILE")]
        targets_file: Option<PathBuf>,
        /// The folder on the machine of Prometheus for what a secured port asks for: ca.pem, client.pem,
        /// client.key, password, token
        #[arg(long, value_name = "DIR", default_value = "/etc/prometheus/coord")]
        secrets: PathBuf,
        #[command(flatten)]
        common: RenderArgs,
    },
    /// Prints recording rules for Prometheus, about coordinators that it scrapes with the job above
    Rules(RenderArgs),
    /// Prints alerts for Prometheus; they need the recording rules
    Alerts(RenderArgs),
    /// Prints a dashboard for Grafana 9 or later, as JSON; it needs the recording rules
    Dashboard {
        /// fleet: all boxes; box: one of them
        #[arg(value_parser = ["fleet", "box"])]
        name: String,
        #[command(flatten)]
        common: RenderArgs,
    },
    /// Prints the ports of this deployment as Markdown; --json prints them as data
    Markdown(RenderArgs),
}

#[derive(Debug, clap::Args)]
pub struct RenderArgs {
    /// Write to this file instead of stdout; the file is replaced as a whole
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct Proxy {
    /// The address to listen on [default: the configured address, on port 8765]
    #[arg(long, value_name = "HOST:PORT", value_parser = Endpoint::from_str)]
    listen: Option<Endpoint>,
    /// The address of a coordinator; may be repeated [default: the configured one]
    #[arg(long = "backend", value_name = "HOST:PORT", value_parser = Endpoint::from_str)]
    backends: Vec<Endpoint>,
    /// The PEM file of the authorities that signed the coordinators' certificates [default: the self-signed
    /// certificate, or the machine's authorities]
    #[arg(long, value_name = "FILE")]
    backend_ca: Option<PathBuf>,
}

pub(super) fn run(
    mut command: RenderCommand,
    environment: &dyn Environment,
    out: &mut Output<'_>,
) -> Result<(), CliError> {
    let json = out.style().json;
    let has_json = match &command {
        RenderCommand::Env(_) | RenderCommand::Markdown(_) | RenderCommand::Dashboard { .. } => {
            true
        }
        RenderCommand::Prometheus { file_sd, .. } => *file_sd,
        _ => false,
    };
    if json && !has_json {
        let next =
            "leave out --json; only env, markdown, dashboard and prometheus --file-sd accept it";
        return Err(CliError::usage("this file cannot be JSON", next));
    }
    let (output, flags) = command.common();
    let (output, flags) = (output.clone(), std::mem::take(flags));
    // Nothing is bound here, so privileged ports are no problem.
    let config = Config::load(&flags, environment, Invoker::from(0))?;
    for warning in &config.warnings {
        out.note(format_args!("warning: {warning}"));
    }
    let folder = std::path::absolute(".")
        .map_err(|error| CliError::input("find the current folder", error))?;
    let text = command.text(&config, &folder, json)?;
    deliver(&text, output.as_deref(), out)
}

impl RenderCommand {
    /// The output file and the configuration's flags.
    fn common(&mut self) -> (&Option<PathBuf>, &mut Flags) {
        let (Self::Env(common)
        | Self::Markdown(common)
        | Self::Rules(common)
        | Self::Alerts(common)
        | Self::Compose { common, .. }
        | Self::Dashboard { common, .. }
        | Self::Haproxy { common, .. }
        | Self::Nginx { common, .. }
        | Self::Prometheus { common, .. }) = self;
        (&common.output, &mut common.flags)
    }

    fn text(self, config: &Config, folder: &Path, json: bool) -> Result<String, CliError> {
        Ok(match self {
            Self::Env(_) if json => pretty(&render::env_json(config, folder)),
            Self::Env(_) => render::env(config, folder),
            Self::Markdown(_) if json => pretty(&render::markdown_json(config)),
            Self::Markdown(_) => render::markdown(config, folder),
            Self::Rules(_) => render::rules(),
            Self::Alerts(_) => render::alerts(),
            Self::Dashboard { name, .. } => {
                let dashboard = render::Dashboard::named(&name);
                pretty(&dashboard.map_or(Value::Null, render::Dashboard::json))
            }
            Self::Compose { image, .. } => {
                render::compose(config, folder, &ComposeOptions { image })?
            }
            Self::Haproxy {
                proxy, certificate, ..
            } => {
                let options = ProxyOptions {
                    certificate,
                    ..proxy.into()
                };
                render::haproxy(config, folder, &options)?
            }
            Self::Nginx { proxy, .. } => render::nginx(config, folder, &proxy.into())?,
            Self::Prometheus {
                file_sd,
                targets,
                targets_file,
                secrets,
                ..
            } => {
                let mut targets: Vec<Target> = targets.into_iter().map(Target::from).collect();
                if let Some(file) = targets_file {
                    targets.extend(listed(&file)?);
                }
                if file_sd {
                    pretty(&render::file_sd(config, &targets))
                } else {
                    render::prometheus(config, &ScrapeOptions { targets, secrets })
                }
            }
        })
    }
}

impl From<Proxy> for ProxyOptions {
    fn from(proxy: Proxy) -> Self {
        Self {
            listen: proxy.listen,
            backends: proxy.backends,
            backend_ca: proxy.backend_ca,
            certificate: None,
        }
    }
}

/// The coordinators of a file.
fn listed(file: &Path) -> Result<Vec<Target>, CliError> {
    let text = super::input::file(file)?;
    let mut targets = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let Some(endpoint) = words.next() else {
            continue;
        };
        let place = || format!("{} line {number}", file.display());
        let node = words.next().map(str::to_owned);
        if words.next().is_some() {
            let next = "write HOST:PORT and, after a space, the name of the node";
            return Err(CliError::usage(
                format!("{} has too many words", place()),
                next,
            ));
        }
        let endpoint = Endpoint::from_str(endpoint)
            .map_err(|error| CliError::input(format!("use {}", place()), error))?;
        targets.push(Target { endpoint, node });
    }
    if targets.is_empty() {
        let what = format!("{} names no coordinator", file.display());
        return Err(CliError::usage(what, "write one a line, as HOST:PORT"));
    }
    Ok(targets)
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// `-` is stdout.
fn deliver(text: &str, output: Option<&Path>, out: &mut Output<'_>) -> Result<(), CliError> {
    let Some(file) = output.filter(|file| *file != Path::new("-")) else {
        let text = if out.style().json {
            text::json_lines(text)
        } else {
            text.into()
        };
        let sink = out.sink();
        sink.write_all(text.as_bytes())?;
        return Ok(sink.flush()?);
    };
    check_place(file)?;
    replace(file, text.as_bytes())
        .map_err(|error| CliError::input(format!("write {}", file.display()), error))?;
    out.note(format_args!("wrote {}", file.display()));
    Ok(())
}
