//! `coord doctor`: tries every link between the agents' CLIs and the coordinator.
//!
//! What a file says is only run if it is exactly what setup would write for this program: a repository could hold
//! anything, and a check must not run it.

mod front;
mod hooks;
mod links;
mod mcp;

use std::io;

use serde::Serialize;
use serde_json::json;

use super::error::CliError;
use super::exit::Exit;
use super::output::{Output, Paint};
use super::setup::{self, Front, Site};
use super::shell::Shell;

/// The arguments of `coord doctor`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct DoctorArgs {
    /// Check these; without a name, all that are installed or set up
    #[arg(value_name = "WHAT")]
    fronts: Vec<Front>,
}

/// How one link does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    Good,
    Bad,
    /// It could not be tried, which is no failure.
    Unknown,
}

/// One link that was tried.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Check {
    /// `coord`, or the CLI.
    pub(super) of: &'static str,
    pub(super) link: &'static str,
    pub(super) state: State,
    pub(super) detail: String,
    /// What to do about a failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mend: Option<String>,
}

impl Check {
    pub(super) fn good(of: &'static str, link: &'static str, detail: impl Into<String>) -> Self {
        Self::new(of, link, State::Good, detail, None)
    }

    pub(super) fn unknown(of: &'static str, link: &'static str, detail: impl Into<String>) -> Self {
        Self::new(of, link, State::Unknown, detail, None)
    }

    pub(super) fn bad(
        of: &'static str,
        link: &'static str,
        detail: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        Self::new(of, link, State::Bad, detail, Some(mend.into()))
    }

    fn new(
        of: &'static str,
        link: &'static str,
        state: State,
        detail: impl Into<String>,
        mend: Option<String>,
    ) -> Self {
        Self {
            of,
            link,
            state,
            detail: detail.into(),
            mend,
        }
    }
}

pub(super) async fn run(args: &DoctorArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let site = Site::find(shell.environment, false, false)?;
    let mut checks = links::checks(shell, &site).await;
    let fronts = match &args.fronts[..] {
        [] => &Front::ALL[..],
        named => named,
    };
    for front in fronts.iter().copied() {
        let is_named = !args.fronts.is_empty();
        checks.extend(match front {
            Front::Git => guard(&site, is_named),
            front => front::checks(front, &site, is_named).await,
        });
    }
    show(&checks, &mut shell.out)?;
    let failed = checks.iter().any(|check| check.state == State::Bad);
    Ok(if failed { Exit::Failed } else { Exit::Ok })
}

fn guard(site: &Site<'_>, is_named: bool) -> Vec<Check> {
    let of = Front::Git.name();
    if site.clone.is_none() {
        let none = Check::unknown(of, "guard", "the current folder is in no git repository");
        return if is_named { vec![none] } else { Vec::new() };
    }
    vec![if setup::is_guarded(site) {
        Check::good(of, "guard", "commits run `coord guard`")
    } else {
        let detail = "commits do not run `coord guard`, so nobody sees what shells write";
        Check::bad(of, "guard", detail, "coord setup git")
    }]
}

fn show(checks: &[Check], out: &mut Output<'_>) -> io::Result<()> {
    if out.style().json {
        let ok = checks.iter().all(|check| check.state != State::Bad);
        return out.json(&json!({ "ok": ok, "checks": checks }));
    }
    for check in checks {
        let (paint, word) = match check.state {
            State::Good => (Paint::Good, "ok"),
            State::Bad => (Paint::Bad, "BAD"),
            State::Unknown => (Paint::Faint, "?"),
        };
        if out.style().quiet && check.state != State::Bad {
            continue;
        }
        let word = out.paint(paint, &format!("{word:<4}"));
        out.line(format_args!(
            "{word}{:<9} {:<11} {}",
            check.of, check.link, check.detail
        ))?;
        if let Some(mend) = &check.mend {
            out.line(format_args!("{:<26}-> {mend}", ""))?;
        }
    }
    Ok(())
}
