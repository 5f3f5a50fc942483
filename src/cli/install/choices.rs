//! What the unit files depend on: addresses and credentials of the configuration, and the version of systemd.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::InstallArgs;
use super::system::{CONFIGURATION, below, systemd_version};
use crate::cli::error::CliError;
use crate::config::{
    Config, Endpoint, Environment, Flags, Host, Invoker, MapEnvironment, settings,
};
use crate::edge::systemd::units::Choices;

/// Where systemd looks for a credential of a service, the first before the others.
const CREDENTIAL_STORES: [&str; 5] = [
    "/run/credentials/@system",
    "/etc/credstore",
    "/run/credstore",
    "/usr/local/lib/credstore",
    "/usr/lib/credstore",
];
const STATE_DIRECTORY: &str = "/var/lib/coord";

/// Where the configuration says that it listens, and what systemd there is.
pub(super) fn choices(
    args: &InstallArgs,
    environment: &dyn Environment,
) -> Result<Choices, CliError> {
    let file = below(args, Path::new(CONFIGURATION));
    // What is set in this shell is not set in the service.
    let mut of_service = MapEnvironment::from([("STATE_DIRECTORY", STATE_DIRECTORY)]);
    of_service.hostname = environment.hostname();
    of_service.credentials = credentials(args);
    let flags = if file.exists() {
        Flags::of_file(file.display().to_string())
    } else {
        Flags::default().with(&settings::PROFILE, "production")
    };
    let config = Config::load(&flags, &of_service, Invoker::from(0))?;
    Ok(Choices {
        binary: String::new(),
        websocket: address(&config.websocket.endpoint, "websocket.host", &file)?,
        metrics: address(&config.metrics.endpoint, "metrics.host", &file)?,
        systemd: systemd_version(&below(args, Path::new("/usr/lib"))),
    })
}

/// What the credential store has for the service.
fn credentials(args: &InstallArgs) -> BTreeMap<String, PathBuf> {
    let names = settings::SERVER.iter().filter_map(|spec| spec.credential);
    let there = names.filter_map(|name| {
        let folders = CREDENTIAL_STORES.iter();
        let files =
            folders.map(|folder| below(args, &Path::new(folder).join("coord.".to_owned() + name)));
        let file = files.into_iter().find(|file| file.exists())?;
        Some((name.to_owned(), file))
    });
    there.collect()
}

/// systemd opens sockets before there is anybody to ask for names.
fn address(endpoint: &Endpoint, key: &str, file: &Path) -> Result<SocketAddr, CliError> {
    match &endpoint.host {
        Host::Address(address) => Ok(SocketAddr::new(*address, endpoint.port.number())),
        Host::Name(name) => Err(CliError::usage(
            format!(
                "{key} is {name} in {}, and a socket unit needs an address",
                file.display()
            ),
            "write the IP address there; 0.0.0.0 or :: for all of them",
        )),
    }
}
