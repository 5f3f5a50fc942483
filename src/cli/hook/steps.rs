//! What is done at each event.

use std::path::{Path, PathBuf};

use super::event::{Event, Verdict};
use super::quiet::say;
use super::work::{Done, Failure, Hook, failure};
use super::{clean, edit, mail, session};
use crate::client::Client;
use crate::engine::ids::MessageId;
use crate::protocol::agent::{AgentUpdateParams, AgentView, StatusParam};
use crate::protocol::message::ImportanceParam;
use crate::protocol::operations::Operation;

/// What an agent says of itself once it works again.
const WORKING: &str = "working";

impl Hook<'_> {
    pub(super) async fn ask(
        &mut self,
        client: &mut Option<Client>,
        event: Event,
    ) -> Result<Done, Failure> {
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
        Ok(told(&warnings, Vec::new()))
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
        Ok(told(&[greeting.text], greeting.shown))
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
        Ok(told(&texts, mail.shown))
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

fn told(texts: &[String], shown: Vec<MessageId>) -> Done {
    let verdict = if texts.is_empty() {
        Verdict::Nothing
    } else {
        Verdict::Context(texts.join("\n\n"))
    };
    Done { verdict, shown }
}
