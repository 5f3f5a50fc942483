//! `coord health mqtt`: does the broker accept this box?

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::limit_ms;
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::shell::Shell;
use crate::cli::table::Table;
use crate::config::{Config, Flags, Invoker, MqttConfig};
use crate::edge::probe::ServiceState;
use crate::mqtt::face::Told;
use crate::mqtt::probe::{self, LinkFault, Tried};

#[derive(Debug, clap::Args)]
pub(super) struct MqttArgs {
    /// How long the broker has to answer [default: 3s]
    #[arg(long, value_name = "DURATION")]
    timeout: Option<Millis>,
    #[command(flatten)]
    flags: Flags,
}

/// What the attempt came to, as it is printed with `--json`.
#[derive(Debug, Serialize)]
struct Finding {
    well: bool,
    service: &'static str,
    address: String,
    state: ServiceState,
    detail: String,
    next: Option<String>,
}

/// Tries the broker once.
pub(super) async fn run(args: &MqttArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let time_max = Duration::from_millis(limit_ms(args.timeout)?);
    // Nothing is bound here, so privileged ports are no problem.
    let config = Config::load(&args.flags, shell.environment, Invoker::from(0))?;
    for warning in &config.warnings {
        shell.out.note(format_args!("warning: {warning}"));
    }
    let Some(mqtt) = config.mqtt else {
        let next = "set mqtt.url, for instance to mqtts://broker.example:8883";
        return Err(CliError::usage("the configuration names no broker", next));
    };
    let mqtt = Arc::new(mqtt);
    let tried = probe::attempt(&mqtt, time_max).await;
    let (state, detail, next) = judge(&mqtt, tried);
    let finding = Finding {
        well: state.is_well(),
        service: "mqtt",
        address: mqtt.url.to_string(),
        state,
        detail,
        next,
    };
    show(&finding, shell)?;
    Ok(if finding.well { Exit::Ok } else { Exit::Failed })
}

fn show(finding: &Finding, shell: &mut Shell<'_>) -> Result<(), CliError> {
    let out = &mut shell.out;
    if out.style().json {
        out.json(finding)?;
        return Ok(());
    }
    let mut table = Table::new(&["SERVICE", "ADDRESS", "STATE", "DETAIL"]);
    table.row(&[
        finding.service.to_owned(),
        finding.address.clone(),
        finding.state.to_string(),
        finding.detail.clone(),
    ]);
    out.table(&table, "no services")?;
    if let (Some(next), false) = (&finding.next, out.style().quiet) {
        out.line(format_args!("next for MQTT: {next}"))?;
    }
    Ok(())
}

fn judge(config: &MqttConfig, tried: Tried) -> (ServiceState, String, Option<String>) {
    let root = config.root();
    match tried {
        Tried::Accepted { status } => accepted(status.as_deref()),
        Tried::Forbidden => (
            ServiceState::Unauthorised,
            format!("it accepts the login, but not a subscription to {root}/status"),
            Some(format!("let this user read and write {root}/# in the broker's ACL")),
        ),
        Tried::Refused(why) => {
            let next = match config.password {
                Some(_) => "check mqtt.user and mqtt.password, and mqtt.version",
                None => "set mqtt.user and mqtt.password_file, and check mqtt.version",
            };
            let detail = format!("it refuses the connection: {why}");
            (ServiceState::Unauthorised, detail, Some(next.to_owned()))
        }
        Tried::Foreign(what) => (
            ServiceState::WrongService,
            what,
            Some(
                "check mqtt.url and mqtt.version: mqtts: is port 8883, mqtt: is 1883 as a rule".to_owned(),
            ),
        ),
        Tried::Unreachable(LinkFault { what, tls: true }) => (
            ServiceState::WrongService,
            what,
            Some(
                "check mqtt.ca_file, mqtt.certificate_file and mqtt.key_file, and whether the port has TLS"
                    .to_owned(),
            ),
        ),
        Tried::Unreachable(LinkFault { what, tls: false }) => (
            ServiceState::Unreachable,
            what,
            Some("check mqtt.url, the name, and the firewall in between".to_owned()),
        ),
    }
}

/// The broker is well; the box's own status is told as it stands there.
fn accepted(status: Option<&str>) -> (ServiceState, String, Option<String>) {
    let told: Option<Told> = status.and_then(|status| serde_json::from_str(status).ok());
    let is_online = told.as_ref().is_some_and(|told| told.state == "online");
    let detail = match (told, status) {
        (Some(Told { state, run, conn }), _) => {
            format!("it accepts this box; its status is {state} (run {run}, connection {conn})")
        }
        (None, Some(_)) => "it accepts this box; its status is not one of a coordinator".to_owned(),
        (None, None) => "it accepts this box, and knows no status of it yet".to_owned(),
    };
    let next =
        "see `coord status` for the coordinator's own connection, or start it with `coord serve`";
    (
        ServiceState::Running,
        detail,
        (!is_online).then(|| next.to_owned()),
    )
}
