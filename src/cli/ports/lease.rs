//! `coord ports lease`, and the leases of `coord ports run`: the coordinator grants the ports of this host,
//! and this program checks here that they are free.
//!
//! A coordinator knows its leases, but not which programs listen on a host. If a foreign program listens on a
//! port, the lease stays for [`REMEMBERED_MS`] with a note that names the program. All others who lease from
//! the pool then skip the port.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::patience::{LOOK_MS, Patience};
use super::pool::{Pool, Refused, Taken, Want, holder, listed, take};
use crate::cli::child::Question;
use crate::cli::client::{Client, ClientError};
use crate::cli::duration::Millis;
use crate::cli::error::CliError;
use crate::cli::exit::Exit;
use crate::cli::lease::{acquire_with, watch};
use crate::cli::output::Output;
use crate::cli::shell::{ConnectionFlags, Shell};
use crate::cli::table::joined;
use crate::edge::ports::{Port, spans_of_pool};
use crate::engine::ids::{Note, ProjectName};
use crate::protocol::error::{Conflict, ErrorDetail, ErrorKind};
use crate::protocol::lease::{
    LeaseAcquireParams, LeaseAcquireResult, LeaseReleaseParams, ModeParam,
};
use crate::protocol::operations::Operation;
use crate::protocol::resource::{ResourceRequestParam, ResourceText};
use crate::protocol::session::{Empty, SessionOpenParams};

/// How long a port of a foreign program is skipped.
const REMEMBERED_MS: u64 = 300_000;
/// How many ports of foreign programs one run skips at most.
const FOREIGN_MAX: usize = 256;
/// The pause between two requests while waiting for ports.
const ASK_MS: u64 = 5 * LOOK_MS;

#[derive(Debug, clap::Args)]
pub struct LeaseArgs {
    /// A port of this range, in the variable PORT or NAME; may be repeated
    #[arg(long = "pool", value_name = "[NAME=]FIRST-LAST", required = true)]
    pools: Vec<Pool>,
    /// Prefer the port that this id had before [default: the first free port]
    #[arg(long, value_name = "NAME")]
    id: Option<String>,
    /// The time-to-live: the lease expires unless it is renewed within this time
    #[arg(long, value_name = "DURATION", default_value = crate::cli::TTL_DEFAULT)]
    ttl: Millis,
    /// How long to wait until a port is free [default: no wait]
    #[arg(long, value_name = "DURATION")]
    wait: Option<Millis>,
    /// The host name under which this machine's ports are leased [default: its own]
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

/// A coordinator, and the ports that it leased to this command.
pub(super) struct Leased {
    client: Client,
    host: String,
    hold: PortHold,
    project: Option<ProjectName>,
    leases: Vec<LeaseAcquireResult>,
    passed_over: Vec<PassedOver>,
}

/// What keeps the leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortHold {
    /// The session, while the command runs.
    Session,
    Ttl(Millis),
}

/// A granted port that could not be used.
#[derive(Debug, Serialize)]
struct PassedOver {
    port: Port,
    why: String,
}

#[derive(Debug, Serialize)]
struct LeasedPort<'a> {
    variable: &'a str,
    port: Port,
    #[serde(flatten)]
    lease: &'a LeaseAcquireResult,
}

pub(super) async fn run(args: LeaseArgs, shell: &mut Shell<'_>) -> Result<Exit, CliError> {
    let host = host(args.host.as_deref(), shell)?;
    let wants = args.pools.iter().map(|pool| want(pool, args.id.as_deref()));
    let wants: Vec<Want> = wants.collect();
    let mut leased = Leased::open(shell, host, PortHold::Ttl(args.ttl)).await?;
    let taken = leased
        .take_all(&wants, &Patience::of(args.wait), &shell.out)
        .await;
    let shown = taken.and_then(|taken| leased.show(&taken, args.ttl, &mut shell.out));
    leased.close().await;
    shown.map(|()| Exit::Ok)
}

fn want(pool: &Pool, id: Option<&str>) -> Want {
    let mut want = Want::of_pool(pool, id.unwrap_or_default());
    if id.is_none() {
        want.candidates.sort();
    }
    want
}

/// The host name under which this machine's ports are leased.
pub(super) fn host(given: Option<&str>, shell: &Shell<'_>) -> Result<String, CliError> {
    let own = || shell.environment.hostname();
    let name = given.map(str::to_owned).or_else(own).unwrap_or_default();
    if let Err(error) = format!("port:{name}:1").parse::<ResourceRequestParam>() {
        let what = format!(
            "cannot lease ports of this machine as {name:?}: {}",
            error.reason()
        );
        return Err(CliError::usage(what, "set another name with --host"));
    }
    Ok(name)
}

impl Leased {
    /// Connects, and opens a session if the session holds the leases.
    pub(super) async fn open(
        shell: &Shell<'_>,
        host: String,
        hold: PortHold,
    ) -> Result<Self, CliError> {
        let mut client = shell.client().await?;
        let mut project = None;
        if hold == PortHold::Session {
            let opened = client.open_session(&SessionOpenParams::default()).await?;
            shell.out.warn_of(&opened);
            project = Some(opened.project);
        }
        Ok(Self {
            client,
            host,
            hold,
            project,
            leases: Vec::new(),
            passed_over: Vec::new(),
        })
    }

    /// A leased and checked port for each want, or none at all.
    pub(super) async fn take_all(
        &mut self,
        wants: &[Want],
        patience: &Patience,
        out: &Output<'_>,
    ) -> Result<Vec<Taken>, CliError> {
        let mut told = false;
        loop {
            let mut taken = Vec::with_capacity(wants.len());
            let (want, held) = loop {
                let Some(want) = wants.get(taken.len()) else {
                    return Ok(taken);
                };
                match self.take(want).await? {
                    Ok(got) => taken.push(got),
                    Err(held) => break (want, held),
                }
            };
            // Keeping one port while waiting for another could deadlock two commands.
            drop(taken);
            for lease in std::mem::take(&mut self.leases) {
                self.release(&lease).await?;
            }
            let waited = patience.check(|| self.holders(want, &held));
            waited.map_err(|error| error.because_of(held.conflicts))?;
            if !told {
                out.note(format_args!("waiting: {}", want.lacking()));
                told = true;
            }
            sleep(Duration::from_millis(ASK_MS)).await;
        }
    }

    /// A port of the pool that the coordinator grants and that is free here; or the holders of all ports.
    async fn take(&mut self, want: &Want) -> Result<Result<Taken, Holders>, CliError> {
        for _ in 0..FOREIGN_MAX {
            let lease = match self.acquire(want).await? {
                Ok(lease) => lease,
                Err(held) => return Ok(Err(held)),
            };
            let port = port_of(&lease)?;
            match take(port) {
                Ok(Ok(lock)) => {
                    let variable = want.variable.clone();
                    self.leases.push(lease);
                    return Ok(Ok(Taken {
                        variable,
                        port,
                        _lock: lock,
                    }));
                }
                Ok(Err(Refused)) => self.remember(&lease, port).await?,
                Err(error) => {
                    self.release(&lease).await?;
                    return Err(error);
                }
            }
        }
        let what = format!(
            "programs without a lease listen on {FOREIGN_MAX} ports of {}",
            want.range
        );
        Err(CliError::unmet(Exit::Conflict, what))
    }

    /// The preferred port, otherwise any of the pool; or the holders of all ports.
    async fn acquire(
        &mut self,
        want: &Want,
    ) -> Result<Result<LeaseAcquireResult, Holders>, CliError> {
        let best = want.candidates.first().map(ToString::to_string);
        let spans = spans_of_pool(want.range);
        let any = spans.iter().map(ToString::to_string);
        let mut held = Holders::default();
        for ports in best.into_iter().chain(any) {
            match self.lease(&ports, self.hold.ttl_ms(), None).await {
                Ok(lease) => return Ok(Ok(lease)),
                Err(ClientError::Refused(error)) if error.kind == ErrorKind::Conflict => {
                    held.add(&error.detail);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Err(held))
    }

    /// Skips a port that a foreign program uses: for this command, and for all who lease.
    async fn remember(&mut self, lease: &LeaseAcquireResult, port: Port) -> Result<(), CliError> {
        let why = holder(port);
        self.release(lease).await?;
        let note: Option<Note> = why.parse().ok();
        match self
            .lease(&port.to_string(), Some(REMEMBERED_MS), note)
            .await
        {
            Ok(_) => {}
            // Another command is recording the same port just now.
            Err(error) if error.kind() == Some(ErrorKind::Conflict) => {}
            Err(error) => return Err(error.into()),
        }
        self.passed_over.push(PassedOver { port, why });
        Ok(())
    }

    async fn lease(
        &mut self,
        ports: &str,
        ttl_ms: Option<u64>,
        note: Option<Note>,
    ) -> Result<LeaseAcquireResult, ClientError> {
        let resource = format!("port:{}:{ports}", self.host);
        let resource = resource.parse();
        let params = LeaseAcquireParams {
            resources: vec![resource.expect("the host's name and the ports have been checked")],
            mode: ModeParam::Exclusive,
            ttl_ms,
            wait_ms: None,
            note,
            tree: None,
            request_id: None,
        };
        let reply = acquire_with(&mut self.client, &params).await?;
        Ok(reply.value)
    }

    async fn release(&mut self, lease: &LeaseAcquireResult) -> Result<(), CliError> {
        let params = LeaseReleaseParams {
            lease: Some(lease.lease),
            fence: Some(lease.fence),
            ..LeaseReleaseParams::default()
        };
        let operation = Operation::LeaseRelease;
        let released = self.client.call::<Empty>(operation, &params).await;
        Ok(released.map(drop)?)
    }

    /// The holders of a pool's ports, for an error.
    fn holders(&self, want: &Want, held: &Holders) -> String {
        let mut text = format!("{} on {}:", want.lacking(), self.host);
        text += &listed(held.lines.values().cloned());
        let over = self.passed_over.iter();
        text += &listed(over.map(|PassedOver { port, why }| format!("{port}  {why}")));
        text
    }

    fn show(&self, taken: &[Taken], ttl: Millis, out: &mut Output<'_>) -> Result<(), CliError> {
        let given = taken.iter().zip(&self.leases);
        if out.style().json {
            let given = given.map(|(Taken { variable, port, .. }, lease)| LeasedPort {
                variable,
                port: *port,
                lease,
            });
            let given: Vec<LeasedPort<'_>> = given.collect();
            let passed_over = &self.passed_over;
            return Ok(out.json(&json!({ "ports": given, "passed_over": passed_over }))?);
        }
        for (Taken { variable, port, .. }, lease) in given {
            out.line(format_args!("{variable}={port}"))?;
            let (id, fence) = (lease.lease, lease.fence);
            out.note(format_args!(
                "lease {id} with fence {fence}, for {ttl}: renew it with `coord lease renew {id} --fence \
                 {fence}`, release it with `coord lease release {id} --fence {fence}`"
            ));
        }
        for PassedOver { port, why } in &self.passed_over {
            out.note(format_args!("skipped {port}: {why}"));
        }
        Ok(())
    }

    /// The variables that tell a command its leases.
    pub(super) fn variables(&self, connection: &ConnectionFlags) -> Vec<(&'static str, OsString)> {
        let project = self.project.as_ref();
        let known = project.map(|project| connection.for_child(&self.client, project));
        let mut variables = known.unwrap_or_default();
        let resources = self.leases.iter().flat_map(|lease| &lease.resources);
        let resources: Vec<&ResourceText> = resources.collect();
        variables.push(("COORD_RESOURCES", joined(&resources).into()));
        variables
    }

    /// Returns when one of the leases is lost, with the reason. Answers questions whether they still hold.
    pub(super) async fn lost(&mut self, questions: mpsc::Receiver<Question>) -> CliError {
        watch(&mut self.client, &self.leases, questions).await
    }

    pub(super) async fn close(self) {
        self.client.close().await;
    }
}

/// The holders of a pool's ports.
#[derive(Debug, Default)]
struct Holders {
    /// One for each port, for people.
    lines: BTreeMap<String, String>,
    conflicts: Vec<Conflict>,
}

impl Holders {
    fn add(&mut self, detail: &ErrorDetail) {
        for conflict in &detail.conflicts {
            let (held, holder, lease) = (&conflict.held, &conflict.holder, conflict.lease);
            let now = detail.now_ms.unwrap_or_default();
            let until = conflict.until(now);
            let line = format!("{held}  leased by {holder} (lease {lease}, {until})");
            if self.lines.insert(held.clone(), line).is_none() {
                self.conflicts.push(conflict.clone());
            }
        }
    }
}

impl PortHold {
    fn ttl_ms(self) -> Option<u64> {
        match self {
            Self::Session => None,
            Self::Ttl(ttl) => Some(ttl.0),
        }
    }
}

/// The one port of a lease.
fn port_of(lease: &LeaseAcquireResult) -> Result<Port, CliError> {
    let port = match lease.resources.as_slice() {
        [one] => one.port().and_then(|(_, port)| Port::new(port)),
        _ => None,
    };
    port.ok_or_else(|| {
        let what = format!(
            "the coordinator gave {} for a port",
            joined(&lease.resources)
        );
        CliError::unmet(Exit::Failed, what)
    })
}
