//! `coord render`: what has to stay in step with the ports, made from the configuration.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde_json::Value;

use super::error::CliError;
use super::input::check_place;
use super::output::Output;
use super::text;
use super::write_file::replace;
use crate::config::{Config, Endpoint, Environment, Flags, Invoker};
use crate::edge::render::{self, ComposeOptions, ProxyOptions};

/// Makes what has to stay in step with the ports.
#[derive(Debug, clap::Subcommand)]
pub enum RenderCommand {
    /// Exports for a shell, which give `coord serve` this configuration; --json prints them as data
    ///
    /// Secrets are not written: each is named with the place it comes from.
    Env(RenderArgs),
    /// A compose file, with a Redis if one on this machine is configured
    ///
    /// Ports are published on the addresses of the configuration, which is loopback unless it says
    /// otherwise. Passwords stay in files.
    Compose {
        /// Use this image instead of building one from image/Containerfile
        #[arg(long, value_name = "IMAGE")]
        image: Option<String>,
        #[command(flatten)]
        common: RenderArgs,
    },
    /// A configuration of `HAProxy` in front of one or several coordinators
    Haproxy {
        /// The file with certificate chain and key together that it shows clients, when TLS is on
        /// [default: /etc/haproxy/coord.pem]
        #[arg(long, value_name = "FILE")]
        certificate: Option<PathBuf>,
        #[command(flatten)]
        proxy: Proxy,
        #[command(flatten)]
        common: RenderArgs,
    },
    /// A part of the http block of nginx in front of one or several coordinators
    Nginx {
        #[command(flatten)]
        proxy: Proxy,
        #[command(flatten)]
        common: RenderArgs,
    },
    /// A scrape job for Prometheus
    Prometheus {
        /// Print only the targets, as JSON for `file_sd_configs`
        #[arg(long)]
        file_sd: bool,
        /// A coordinator's metrics, as Prometheus reaches them; may be repeated [default: the
        /// configured ones]
        #[arg(long = "target", value_name = "HOST:PORT", value_parser = Endpoint::from_str)]
        targets: Vec<Endpoint>,
        #[command(flatten)]
        common: RenderArgs,
    },
    /// The port documentation of this deployment; --json prints it as data
    Markdown(RenderArgs),
}

#[derive(Debug, clap::Args)]
pub struct RenderArgs {
    /// Write to this file, whole or not at all, instead of to stdout
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Debug, clap::Args)]
pub struct Proxy {
    /// Where it listens [default: the configured address, on port 8765]
    #[arg(long, value_name = "HOST:PORT", value_parser = Endpoint::from_str)]
    listen: Option<Endpoint>,
    /// A coordinator; may be repeated [default: the configured one]
    #[arg(long = "backend", value_name = "HOST:PORT", value_parser = Endpoint::from_str)]
    backends: Vec<Endpoint>,
    /// What signed the coordinators' certificates, as PEM [default: the self-signed one, or what the
    /// machine trusts]
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
        RenderCommand::Env(_) | RenderCommand::Markdown(_) => true,
        RenderCommand::Prometheus { file_sd, .. } => *file_sd,
        _ => false,
    };
    if json && !has_json {
        let next = "leave --json out; env, markdown and prometheus --file-sd have it";
        return Err(CliError::usage("this has a format of its own", next));
    }
    let (output, flags) = command.common();
    let (output, flags) = (output.clone(), std::mem::take(flags));
    // Nothing is bound here, so it does not matter who may bind which port.
    let config = Config::load(&flags, environment, Invoker::from(0))?;
    for warning in &config.warnings {
        out.note(format_args!("warning: {warning}"));
    }
    let folder = std::path::absolute(".")
        .map_err(|error| CliError::input("tell which folder this is", error))?;
    let text = command.text(&config, &folder, json)?;
    deliver(&text, output.as_deref(), out)
}

impl RenderCommand {
    /// Where it goes, and the configuration's flags.
    fn common(&mut self) -> (&Option<PathBuf>, &mut Flags) {
        let (Self::Env(common)
        | Self::Markdown(common)
        | Self::Compose { common, .. }
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
                file_sd: true,
                targets,
                ..
            } => pretty(&render::file_sd(config, &targets)),
            Self::Prometheus { targets, .. } => render::prometheus(config, &targets),
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

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// `-` is stdout, as everywhere.
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
