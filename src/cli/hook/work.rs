//! The work of one hook: from an event to an answer.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::timeout;

use super::event::{Answer, Dialect, Event, Payload, Verdict};
use super::memory::{Memory, Place};
use super::quiet::say;
use super::{Cli, clean, edit, mail, session};
use crate::causes;
use crate::cli::repository::{Repository, Settings};
use crate::cli::shell::ConnectionFlags;
use crate::client::seat::{self, SystemProcesses};
use crate::client::{Client, ClientError, Target};
use crate::config::{ClientConfig, Environment};
use crate::engine::ids::{AgentKind, MessageId};
use crate::protocol::agent::{AgentUpdateParams, AgentView, StatusParam};
use crate::protocol::message::ImportanceParam;
use crate::protocol::operations::Operation;

/// How long the coordinator may take for all that a hook asks; below the deadline of the whole.
const COORDINATOR_TIMEOUT: Duration = Duration::from_millis(1_500);
/// What an agent says of itself once it works again.
const WORKING: &str = "working";

const NO_TOKEN: &str = "no token of an agent is set in COORD_TOKEN_FILE or COORD_TOKEN (`coord token create NAME --seats` \
    makes one), and hooks do not act as the operator";

/// One hook.
pub(super) struct Hook<'a> {
    pub(super) dialect: Dialect,
    payload: &'a Payload,
    pub(super) environment: &'a dyn Environment,
    connection: &'a ConnectionFlags,
    pub(super) folder: PathBuf,
    pub(super) repository: Option<Repository>,
    settings: Result<Settings, String>,
    pub(super) place: Option<Place>,
    memory: Memory,
}

/// What is printed, and what is acknowledged once it is.
#[derive(Debug, Default)]
struct Done {
    verdict: Verdict,
    shown: Vec<MessageId>,
}

/// Why a hook got nothing from the coordinator, as a sentence.
type Failure = String;

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
        let mut client = None;
        let done = match timeout(COORDINATOR_TIMEOUT, self.ask(&mut client, event)).await {
            Ok(done) => done,
            Err(_) => Err(format!(
                "the coordinator did not answer within {} ms",
                COORDINATOR_TIMEOUT.as_millis()
            )),
        };
        let (done, notice) = match done {
            Ok(done) => (done, None),
            Err(failure) => self.without(&failure, is_edit, may_tell),
        };
        let answer = Answer {
            verdict: done.verdict,
            notice,
        };
        if answer != Answer::default() {
            let said = (self.dialect.render)(self.payload.name(), &answer);
            let printed = writeln!(io::stdout(), "{said}").and_then(|()| io::stdout().flush());
            // What nobody read is not acknowledged.
            printed.map_err(|error| format!("cannot print the answer: {error}"))?;
        }
        let Some(mut client) = client else {
            return Ok(());
        };
        let acknowledged = mail::acknowledge(&mut client, done.shown).await;
        client.close().await;
        acknowledged.map_err(failure)
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

    async fn ask(&mut self, client: &mut Option<Client>, event: Event) -> Result<Done, Failure> {
        match event {
            Event::BeforeEdit(paths) => self.before_edit(client, &paths).await,
            Event::SessionStart => self.start(client).await,
            Event::Prompt | Event::AfterTool => self.between(client).await,
            Event::TurnEnd { continued } => self.turn_end(client, continued).await,
            Event::Waiting(what) => {
                self.waits(client, &format!("waits for its user: {what}"))
                    .await
            }
            Event::Failed(what) => self.waits(client, what).await,
            Event::SessionEnd => self.end(client).await,
            Event::Delivered(shown) => {
                self.connect(client).await?;
                Ok(Done {
                    shown,
                    ..Done::default()
                })
            }
            Event::Subagent | Event::Unknown => Ok(Done::default()),
        }
    }

    async fn connect<'c>(&self, client: &'c mut Option<Client>) -> Result<&'c mut Client, Failure> {
        let target = self.target()?.present_as(&self.kind());
        let connected = Client::connect(target).await.map_err(failure)?;
        Ok(client.insert(connected))
    }

    async fn before_edit(
        &mut self,
        client: &mut Option<Client>,
        paths: &[PathBuf],
    ) -> Result<Done, Failure> {
        let settings = self.settings()?.clone();
        let Some(repository) = self.repository.as_ref().filter(|_| !settings.is_off()) else {
            return Ok(Done::default());
        };
        let host = self.environment.hostname().unwrap_or_default();
        let batches = edit::batches(repository, &host, &self.folder, paths);
        if batches.is_empty() {
            return Ok(Done::default());
        }
        let note = self.note();
        let client = self.connect(client).await?;
        let mut warnings = Vec::new();
        for batch in batches {
            let mut found = edit::ensure(client, batch, &settings, &note)
                .await
                .map_err(failure)?;
            if found.refused(&settings) {
                let verdict = Verdict::Deny(found.reason(&settings));
                return Ok(Done {
                    verdict,
                    ..Done::default()
                });
            }
            // A lease that goes on is news once.
            found.same.retain(|it| self.memory.tells(it.lease));
            found.other.retain(|it| self.memory.tells(it.lease));
            warnings.extend(found.warning(&settings));
        }
        if !self.dialect.tells_before_edit {
            self.memory.pending.extend(warnings);
            return Ok(Done::default());
        }
        Ok(told(warnings, Vec::new()))
    }

    /// Who edits: the CLI, and which subagent of it.
    fn note(&self) -> String {
        let begins = edit::NOTE_BEGINS;
        let title = self.dialect.title;
        let subagent = ["/agent_type", "/agent_id"].map(|field| self.payload.text(field));
        let subagent = subagent.into_iter().find(|name| !name.is_empty());
        match subagent {
            Some(name) => {
                let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
                format!("{begins}{title}, subagent {name}")
            }
            None => format!("{begins}{title}"),
        }
    }

    async fn start(&mut self, client: &mut Option<Client>) -> Result<Done, Failure> {
        let project = self.settings()?.project.clone();
        if let Some(project) = &project
            && let Ok(Some(file)) = self.environment.variable("CLAUDE_ENV_FILE")
            && let Err(error) = session::export(Path::new(&file), project)
        {
            say(&format!(
                "cannot tell the session's shell its project: {error}"
            ));
        }
        let client = self.connect(client).await?;
        let greeting = session::greeting(client, project.as_ref())
            .await
            .map_err(failure)?;
        Ok(told(vec![greeting.text], greeting.shown))
    }

    /// At a prompt, and between two tools.
    async fn between(&mut self, client: &mut Option<Client>) -> Result<Done, Failure> {
        let client = self.connect(client).await?;
        if self.memory.is_waiting {
            update(client, StatusParam::Busy, WORKING).await?;
            self.memory.is_waiting = false;
        }
        let mut texts = std::mem::take(&mut self.memory.pending);
        let mail = mail::take(client, mail::CHARS_MAX, None)
            .await
            .map_err(failure)?;
        let mail = mail.unwrap_or_default();
        texts.extend(Some(mail.text).filter(|text| !text.is_empty()));
        Ok(told(texts, mail.shown))
    }

    async fn turn_end(
        &mut self,
        client: &mut Option<Client>,
        continued: bool,
    ) -> Result<Done, Failure> {
        let client = self.connect(client).await?;
        if !continued {
            let important = Some(ImportanceParam::High);
            let mail = mail::take(client, mail::CHARS_MAX, important)
                .await
                .map_err(failure)?;
            if let Some(mail) = mail {
                let verdict = Verdict::GoOn(mail.text);
                return Ok(Done {
                    verdict,
                    shown: mail.shown,
                });
            }
        }
        if let Some(repository) = &self.repository {
            let host = self.environment.hostname().unwrap_or_default();
            let tree = repository.tree(&host);
            let me = session::myself(client).await.map_err(failure)?.name;
            let here = (repository.root(), &tree);
            clean::release(client, &me, here).await.map_err(failure)?;
        }
        Ok(Done::default())
    }

    async fn waits(&mut self, client: &mut Option<Client>, why: &str) -> Result<Done, Failure> {
        let client = self.connect(client).await?;
        update(client, StatusParam::Idle, why).await?;
        self.memory.is_waiting = true;
        Ok(Done::default())
    }

    async fn end(&mut self, client: &mut Option<Client>) -> Result<Done, Failure> {
        let target = self.target()?.leaving();
        let connected = Client::connect(target).await.map_err(failure)?;
        let client = client.insert(connected);
        session::release_all(client).await.map_err(failure)?;
        Ok(Done::default())
    }
}

async fn update(client: &mut Client, status: StatusParam, note: &str) -> Result<(), Failure> {
    let params = AgentUpdateParams {
        status: Some(status),
        note: note.parse().ok(),
        ..AgentUpdateParams::default()
    };
    let updated = client
        .call::<AgentView>(Operation::AgentUpdate, &params)
        .await;
    updated.map(drop).map_err(failure)
}

fn told(texts: Vec<String>, shown: Vec<MessageId>) -> Done {
    let verdict = if texts.is_empty() {
        Verdict::Nothing
    } else {
        Verdict::Context(texts.join("\n\n"))
    };
    Done { verdict, shown }
}

pub(super) fn failure(error: ClientError) -> Failure {
    causes::one_line(&error)
}
