//! The work of one hook: from an event to an answer.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;
use tokio::time::timeout;

use super::event::{Answer, Dialect, Event, Payload, Verdict};
use super::memory::{Memory, Place};
use super::quiet::say;
use super::{Cli, mail};
use crate::causes;
use crate::cli::repository::{Repository, Settings};
use crate::cli::shell::ConnectionFlags;
use crate::client::seat::{self, CliKind, SystemProcesses};
use crate::client::{ClientError, Target};
use crate::clock;
use crate::config::{ClientConfig, Environment};
use crate::engine::ids::{AgentKind, MessageId};

/// How long the coordinator may take for all that a hook asks; below the deadline of the whole.
const COORDINATOR_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long it is left alone after that, or each tool would cost as much again.
const SILENT_MS: u64 = 20_000;

const NO_TOKEN: &str = "no token of an agent is set in COORD_TOKEN_FILE or COORD_TOKEN (`coord token create NAME --seats` \
    makes one), and hooks do not act as the operator";

/// One hook.
pub(super) struct Hook<'a> {
    pub(super) dialect: Dialect,
    pub(super) payload: &'a Payload,
    pub(super) environment: &'a dyn Environment,
    connection: &'a ConnectionFlags,
    pub(super) folder: PathBuf,
    pub(super) repository: Option<Repository>,
    settings: Result<Settings, String>,
    pub(super) place: Option<Place>,
    pub(super) memory: Memory,
}

/// What is printed, and what is acknowledged once it is.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) verdict: Verdict,
    pub(super) shown: Vec<MessageId>,
}

/// Why a hook got nothing from the coordinator, as a sentence.
pub(super) type Failure = String;

/// Answers an event on stdout.
pub(super) fn answer(
    cli: Cli,
    connection: &ConnectionFlags,
    payload: &Payload,
    environment: &dyn Environment,
) -> Result<(), Failure> {
    let event = (cli.dialect().event)(payload);
    if matches!(event, Event::Unknown | Event::Subagent) {
        return Ok(());
    }
    let mut hook = Hook::new(cli, connection, payload, environment);
    if let (Event::Prompt, Some(place)) = (&event, &hook.place) {
        place.end_waiter();
    }
    let before = hook.memory.clone();
    let is_end = event == Event::SessionEnd;
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    let ended = runtime.block_on(hook.answer(event));
    runtime.shutdown_background();
    let Some(place) = &hook.place else {
        return ended;
    };
    if is_end {
        place.forget();
    } else if hook.memory != before
        && let Err(error) = place.write(&hook.memory)
    {
        say(&format!("cannot remember what was said: {error}"));
    }
    ended
}

impl<'a> Hook<'a> {
    pub(super) fn new(
        cli: Cli,
        connection: &'a ConnectionFlags,
        payload: &'a Payload,
        environment: &'a dyn Environment,
    ) -> Self {
        let folder = match payload.text("/cwd") {
            // A deleted folder has no name any more; then only absolute paths mean anything.
            "" => std::env::current_dir().unwrap_or_default(),
            folder => PathBuf::from(folder),
        };
        let repository = Some(folder.as_path())
            .filter(|folder| folder.is_absolute())
            .and_then(Repository::around);
        let settings = repository.as_ref().map(Repository::settings);
        let session_id = payload.text("/session_id");
        let place = Place::of(environment, cli.name(), session_id);
        let place = place.filter(|_| !session_id.is_empty());
        Self {
            dialect: cli.dialect(),
            payload,
            environment,
            connection,
            folder,
            repository,
            settings: settings.unwrap_or_else(|| Ok(Settings::default())),
            memory: place.as_ref().map(Place::read).unwrap_or_default(),
            place,
        }
    }

    /// Where the coordinator is, and as whom and in which project to speak there.
    pub(super) fn target(&self) -> Result<Target, Failure> {
        let flags = self
            .connection
            .flags()
            .map_err(|error| causes::one_line(&error))?;
        let config = ClientConfig::load(&flags, self.environment);
        let config = config.map_err(|error| causes::one_line(&error))?;
        // Sessions that are all the operator would not exclude each other.
        if config.is_operator_by_default() {
            return Err(NO_TOKEN.to_owned());
        }
        let seat = seat::of_hook(
            self.dialect.cli,
            self.payload.text("/session_id"),
            self.environment,
            &SystemProcesses,
            std::process::id(),
        );
        let target = Target::new(config).map_err(failure)?;
        let target = target.with_seat_hint(seat.as_ref());
        // The repository's own project: all that work in it must come to the same one.
        Ok(match &self.settings()?.project {
            Some(project) => target.in_project(project),
            None => target,
        })
    }

    pub(super) fn settings(&self) -> Result<&Settings, Failure> {
        self.settings.as_ref().map_err(Clone::clone)
    }

    pub(super) fn kind(&self) -> AgentKind {
        let kind = self.dialect.kind.parse();
        kind.expect("the kinds of the dialects are names")
    }

    async fn answer(&mut self, event: Event) -> Result<(), Failure> {
        let is_edit = matches!(event, Event::BeforeEdit(_));
        // Others get no answer, so only stderr can tell.
        let may_tell = matches!(
            event,
            Event::SessionStart | Event::Prompt | Event::BeforeEdit(_) | Event::AfterTool
        );
        let is_strict = self.settings.as_ref().is_ok_and(|it| it.strict);
        let mut client = None;
        let is_left_alone = self.is_silent() && !(is_edit && is_strict);
        let done = if is_left_alone {
            Err("the coordinator did not answer a moment ago".to_owned())
        } else if let Ok(done) = timeout(COORDINATOR_TIMEOUT, self.ask(&mut client, event)).await {
            done
        } else {
            // Its close frame would wait too.
            client = None;
            self.memory.silent_until_ms = clock::boot_ms() + SILENT_MS;
            let ms = COORDINATOR_TIMEOUT.as_millis();
            Err(format!("the coordinator did not answer within {ms} ms"))
        };
        let (done, notice) = match done {
            Ok(done) => (done, None),
            Err(failure) => self.without(&failure, is_edit, may_tell),
        };
        let Done { verdict, mut shown } = done;
        let answer = Answer { verdict, notice };
        if answer != Answer::default() {
            let mut said = (self.dialect.render)(self.payload.name(), &answer);
            if self.dialect.cli == CliKind::Opencode && matches!(answer.verdict, Verdict::GoOn(_)) {
                // opencode may end before the plugin's prompt, so the plugin says what it delivered.
                said["hookSpecificOutput"]["messages"] = json!(std::mem::take(&mut shown));
            }
            let printed = writeln!(io::stdout(), "{said}").and_then(|()| io::stdout().flush());
            // What nobody read is not acknowledged.
            printed.map_err(|error| format!("cannot print the answer: {error}"))?;
        }
        let Some(mut client) = client else {
            return Ok(());
        };
        let acknowledged = mail::acknowledge(&mut client, shown).await;
        client.close().await;
        acknowledged.map_err(failure)
    }

    /// Whether it was silent a moment ago. A reboot makes a remembered time mean nothing.
    fn is_silent(&self) -> bool {
        let left = self.memory.silent_until_ms.saturating_sub(clock::boot_ms());
        (1..=SILENT_MS).contains(&left)
    }

    /// What happens without a coordinator: the session goes on, and the user is told once; a strict clone refuses.
    fn without(&mut self, failure: &str, is_edit: bool, may_tell: bool) -> (Done, Option<String>) {
        say(failure);
        let is_strict = self.settings.as_ref().is_ok_and(|it| it.strict);
        if is_edit && is_strict {
            let reason = format!(
                "coord: this edit is refused, because this clone is strict (`coord.strict` in git's configuration) and \
                 {failure}. Next: tell your user; an edit is possible again when the coordinator answers."
            );
            let verdict = Verdict::Deny(reason);
            return (
                Done {
                    verdict,
                    ..Done::default()
                },
                None,
            );
        }
        let is_news = may_tell && !self.memory.told_away;
        self.memory.told_away |= is_news;
        let notice = is_news.then(|| {
            format!(
                "coord: {failure}. Files are not reserved and no mail comes until it answers; this is said once a session."
            )
        });
        (Done::default(), notice)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "errors are mapped by it")]
pub(super) fn failure(error: ClientError) -> Failure {
    causes::one_line(&error)
}
