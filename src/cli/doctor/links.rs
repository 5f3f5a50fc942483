//! From this user to the coordinator: reachable, token, project, seat, clock.

use super::Check;
use crate::causes;
use crate::cli::setup::{Access, Site};
use crate::cli::shell::Shell;
use crate::client::{ClientError, Target};
use crate::clock::wall_ms;
use crate::config::{ClientConfig, Secret};
use crate::engine::ids::SeatName;

const OF: &str = "coord";
/// Certificates and logs of two machines further apart than this are misread.
const CLOCK_MS_MAX: u64 = 60_000;
/// A seat that nothing else takes; asking for one opens no session.
const SEAT: &str = "doctor";
/// What no coordinator ever gave out.
const WRONG_TOKEN: &str = "coord-doctor";

pub(super) async fn checks(shell: &Shell<'_>, site: &Site<'_>) -> Vec<Check> {
    let config = match shell.config() {
        Ok(config) => config,
        Err(error) => {
            let why = causes::one_line(&error);
            let mend = "correct what it names, then run coord doctor again";
            return vec![Check::bad(OF, "settings", why, mend)];
        }
    };
    let mut checks = Vec::new();
    let url = config.url.to_string();
    let project = config.project.clone();
    match connect(config.clone()).await {
        Ok(date) => {
            checks.push(Check::good(OF, "coordinator", format!("answers at {url}")));
            checks.push(token(&config, site));
            if let Some(project) = project {
                checks.push(Check::good(
                    OF,
                    "project",
                    format!("{project} is open to the token"),
                ));
            }
            checks.push(clock(date));
            checks.push(seat(config, site).await);
        }
        Err(error) => checks.extend(failed(&error, &url, &config, site).await),
    }
    checks
}

/// Opens a connection; the coordinator's wall clock in milliseconds.
async fn connect(config: ClientConfig) -> Result<Option<u64>, ClientError> {
    let mut socket = Target::new(config)?.connect().await?;
    let since = socket.date();
    // The coordinator ends the connection all the same once it is dropped.
    let _ = socket.close().await;
    Ok(since.and_then(|since| u64::try_from(since.as_millis()).ok()))
}

fn token(config: &ClientConfig, site: &Site<'_>) -> Check {
    if config.is_operator_by_default() {
        let detail =
            "agents of this user would act as the operator, because there is no other token";
        return Check::bad(OF, "token", detail, token_mend(site, config));
    }
    Check::good(OF, "token", "accepted")
}

fn token_mend(site: &Site<'_>, config: &ClientConfig) -> String {
    if config
        .operator_token
        .as_ref()
        .is_some_and(|file| file.exists())
    {
        return "coord setup, which makes a token for agents".to_owned();
    }
    format!("the operator runs `{}`", Access::token_command(site))
}

fn clock(theirs: Option<u64>) -> Check {
    let Some(theirs) = theirs else {
        return Check::unknown(OF, "clock", "the coordinator does not say what time it is");
    };
    let apart = wall_ms().abs_diff(theirs);
    if apart <= CLOCK_MS_MAX {
        return Check::good(
            OF,
            "clock",
            format!("{} s from the coordinator's", apart / 1_000),
        );
    }
    let detail = format!("{} s from the coordinator's", apart / 1_000);
    Check::bad(
        OF,
        "clock",
        detail,
        "set the clock of this machine or of the coordinator's",
    )
}

async fn seat(config: ClientConfig, site: &Site<'_>) -> Check {
    let of_session = crate::client::seat::find(
        site.environment,
        &crate::client::seat::SystemProcesses,
        std::process::id(),
    );
    let seat: SeatName = SEAT.parse().expect("it is a seat name");
    let asked = ClientConfig {
        seat: Some(seat),
        ..config
    };
    match connect(asked).await {
        Ok(_) => Check::good(
            OF,
            "seat",
            match of_session {
                Some(seat) => format!("this shell has seat {seat}"),
                None => "the token allows seats; no CLI started this shell".to_owned(),
            },
        ),
        Err(ClientError::NoSeats { said, .. }) => {
            let detail = format!("the token allows no seats, so all windows are one agent{said}");
            let mend = format!("the operator runs `{}`", Access::token_command(site));
            Check::bad(OF, "seat", detail, mend)
        }
        Err(error) => Check::unknown(OF, "seat", causes::one_line(&error)),
    }
}

/// Which link an error of the connection belongs to.
async fn failed(
    error: &ClientError,
    url: &str,
    config: &ClientConfig,
    site: &Site<'_>,
) -> Vec<Check> {
    let why = causes::one_line(error);
    let reached = || Check::good(OF, "coordinator", format!("answers at {url}"));
    match error {
        ClientError::NoToken { .. } | ClientError::BadToken { .. } => {
            let token = Check::bad(OF, "token", why, token_mend(site, config));
            vec![anybody(url, config).await, token]
        }
        ClientError::Unauthenticated { .. } => {
            let mend = format!("remove the token's file, then {}", token_mend(site, config));
            vec![reached(), Check::bad(OF, "token", why, mend)]
        }
        ClientError::Forbidden { .. } => {
            let mend = match &config.project {
                Some(project) => format!("the operator runs `coord project create {project}`"),
                None => token_mend(site, config),
            };
            vec![reached(), Check::bad(OF, "project", why, mend)]
        }
        error => vec![unreached(error, config)],
    }
}

fn unreached(error: &ClientError, config: &ClientConfig) -> Check {
    let mend = match (error.next_step(), &config.operator_token) {
        (_, Some(_)) => "coord install --user --now, or start the one that runs there".to_owned(),
        (next, None) => next.unwrap_or_else(|| "start the coordinator there".to_owned()),
    };
    Check::bad(OF, "coordinator", causes::one_line(error), mend)
}

/// Whether a coordinator is there, for a user without a token: it refuses a wrong one.
async fn anybody(url: &str, config: &ClientConfig) -> Check {
    let config = ClientConfig {
        token: Some(Secret::new(WRONG_TOKEN)),
        ..config.clone()
    };
    match connect(config.clone()).await {
        Ok(_) | Err(ClientError::Unauthenticated { .. } | ClientError::Forbidden { .. }) => {
            Check::good(OF, "coordinator", format!("answers at {url}"))
        }
        Err(error) => unreached(&error, &config),
    }
}
