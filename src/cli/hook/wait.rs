//! `coord hook wait`: mail wakes an idle session, by the means of its CLI.
//!
//! | CLI | how it is woken | when the mail is acknowledged |
//! |---|---|---|
//! | Claude Code | this process ends with 2, as `asyncRewake` wants; the text is on stderr | once it is written |
//! | Codex | `codex queue` gives the session a message | once that command succeeded |
//! | opencode | the plugin reads the text and prompts the session | once the plugin says so |
//! | Gemini CLI | it cannot be woken | - |
//!
//! A CLI starts a waiter at the end of each turn and ends none of them, so the newest takes over ([`Place`]).

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use tokio::time::{sleep, timeout};

use super::event::Payload;
use super::mail::{self, Mail};
use super::memory::Place;
use super::quiet::say;
use super::work::{Hook, failure};
use super::{Cli, input, session};
use crate::cli::shell::ConnectionFlags;
use crate::client::seat::{self, Process, Processes, SystemProcesses};
use crate::client::{Client, Notice};
use crate::clock;
use crate::config::{Environment, ProcessEnvironment};
use crate::protocol::events::{EventFilter, EventsSubscribeParams};
use crate::protocol::message::ImportanceParam;
use crate::protocol::session::SessionOpenParams;

/// How often a waiter looks whether it is still wanted.
const LOOK: Duration = Duration::from_secs(1);
/// How long a waiter waits at most; a CLI that cannot be seen may be gone by then.
const LIFE_MAX: Duration = Duration::from_hours(24);
/// The pause before the next attempt to reach a coordinator.
const RETRY: Duration = Duration::from_secs(15);
/// How long the agent counts as present when a waiter is killed.
const GRACE_MS: u64 = 10_000;
/// How long `codex queue` may take.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(30);
/// What wakes a session of Claude Code. The only exit code of a hook that is a decision.
const WAKES: u8 = 2;

/// Waits, and gives the exit code.
pub(super) fn run(cli: Cli, connection: &ConnectionFlags) -> u8 {
    if cli == Cli::Gemini {
        say("Gemini CLI cannot be woken: its mail comes with the next prompt or tool");
        return 0;
    }
    let ended = input::read().and_then(|payload| match payload {
        Some(payload) => wait(cli, connection, &payload),
        None => Ok(0),
    });
    ended.unwrap_or_else(|problem| {
        say(&problem);
        1
    })
}

fn wait(cli: Cli, connection: &ConnectionFlags, payload: &Payload) -> Result<u8, String> {
    if cli == Cli::Claude && is_one_shot(&ProcessEnvironment) {
        return Ok(0);
    }
    let hook = Hook::new(cli, connection, payload, &ProcessEnvironment);
    let Some(place) = &hook.place else {
        return Err(
            "the event has no session_id, or there is no folder to remember sessions in".to_owned(),
        );
    };
    let mark = format!("{}:{}", std::process::id(), clock::boot_ms());
    let taken = place.take_over(&mark);
    taken.map_err(|error| format!("cannot take over from an older waiter: {error}"))?;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let owner = seat::cli_process(&SystemProcesses, std::process::id());
    let waiter = Waiter {
        cli,
        hook: &hook,
        place,
        mark,
        owner,
    };
    let ended = runtime.block_on(async {
        let mut client = None;
        let ended = tokio::select! {
            ended = waiter.woken(&mut client, payload.text("/session_id")) => ended,
            () = waiter.replaced() => Ok(0),
            () = sleep(LIFE_MAX) => Ok(0),
        };
        // Otherwise its session would be seen as one that was lost.
        if let Some(client) = client {
            client.close().await;
        }
        ended
    });
    runtime.shutdown_background();
    ended
}

/// Whether Claude Code runs one prompt and ends (`claude -p`). It ends only after its hooks, so a waiter would keep it
/// alive, and nobody is there to be woken for.
fn is_one_shot(environment: &dyn Environment) -> bool {
    let entry = environment.variable("CLAUDE_CODE_ENTRYPOINT");
    entry.is_ok_and(|name| name.is_some_and(|name| name.starts_with("sdk")))
}

struct Waiter<'a> {
    cli: Cli,
    hook: &'a Hook<'a>,
    place: &'a Place,
    mark: String,
    /// The CLI, where it can be seen.
    owner: Option<Process>,
}

impl Waiter<'_> {
    /// Comes when a newer waiter did, or the session works again, or its CLI is gone.
    async fn replaced(&self) {
        loop {
            sleep(LOOK).await;
            let is_there = |owner: &Process| {
                let now = SystemProcesses.read(owner.id);
                now.is_some_and(|it| it.started == owner.started)
            };
            if !self.place.is_newest(&self.mark) || !self.owner.as_ref().is_none_or(is_there) {
                return;
            }
        }
    }

    async fn woken(&self, client: &mut Option<Client>, session_id: &str) -> Result<u8, String> {
        let mut told = false;
        loop {
            match self.next_mail(client).await {
                Ok((client, mail)) => return self.deliver(client, mail, session_id).await,
                Err(problem) if !told => {
                    say(&problem);
                    told = true;
                }
                Err(_) => {}
            }
            sleep(RETRY).await;
        }
    }

    /// Waits for mail, present meanwhile.
    async fn next_mail<'c>(
        &self,
        client: &'c mut Option<Client>,
    ) -> Result<(&'c mut Client, Mail), String> {
        let connected = Client::connect(self.hook.target()?)
            .await
            .map_err(failure)?;
        let client = client.insert(connected);
        let params = SessionOpenParams {
            kind: Some(self.hook.kind()),
            grace_ms: Some(GRACE_MS),
            ..SessionOpenParams::default()
        };
        client.open_session(&params).await.map_err(failure)?;
        let me = session::myself(client).await.map_err(failure)?.name;
        // Mail to the principal may wait in its own mailbox.
        let filters = [me.clone(), me.without_seat()].map(|agent| EventFilter {
            kinds: ["message.sent".to_owned()].into(),
            agent: Some(agent),
            ..EventFilter::default()
        });
        // Followed before the first look, so that nothing falls between both.
        let params = EventsSubscribeParams {
            filters: filters.into(),
            from: None,
        };
        client.subscribe(params).await.map_err(failure)?;
        loop {
            let wakes = Some(ImportanceParam::Normal);
            let mail = mail::take(client, mail::CHARS_MAX, wakes).await;
            if let Some(mail) = mail.map_err(failure)? {
                return Ok((client, mail));
            }
            if let Notice::EventsClosed(..) = client.notice().await.map_err(failure)? {
                client.resubscribe().await.map_err(failure)?;
            }
        }
    }

    /// Wakes the session. What did not reach it stays in the mailbox.
    async fn deliver(
        &self,
        client: &mut Client,
        mail: Mail,
        session_id: &str,
    ) -> Result<u8, String> {
        let code = match self.cli {
            Cli::Claude => {
                let written = io::stderr().write_all(format!("{}\n", mail.text).as_bytes());
                written.map_err(|error| format!("cannot write the mail: {error}"))?;
                WAKES
            }
            Cli::Codex => {
                self.queue(session_id, &mail.text).await?;
                0
            }
            Cli::Opencode | Cli::Gemini => {
                let said = json!({ "text": mail.text, "messages": mail.shown });
                let printed = writeln!(io::stdout(), "{said}");
                printed.map_err(|error| format!("cannot print the mail: {error}"))?;
                return Ok(0);
            }
        };
        if let Err(error) = mail::acknowledge(client, mail.shown).await {
            say(&format!("the mail comes again: {}", failure(error)));
        }
        Ok(code)
    }

    async fn queue(&self, session_id: &str, text: &str) -> Result<(), String> {
        let program = self.codex();
        let mut queue = Command::new(&program);
        queue
            .args(["queue", "--thread", session_id, "--message", text])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let name = program.display();
        match timeout(QUEUE_TIMEOUT, queue.status()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(format!(
                "{name} queue failed: {status}; the mail stays unread"
            )),
            Ok(Err(error)) => Err(format!("cannot run {name}: {error}; the mail stays unread")),
            Err(_) => Err(format!("{name} queue took too long; the mail stays unread")),
        }
    }

    /// The very program that the session runs in, or else the one on the path.
    fn codex(&self) -> PathBuf {
        let running = self.owner.as_ref();
        let running = running.and_then(|it| fs::read_link(format!("/proc/{}/exe", it.id)).ok());
        let is_codex = |path: &PathBuf| path.file_name().is_some_and(|name| name == "codex");
        running.filter(is_codex).unwrap_or_else(|| "codex".into())
    }
}
