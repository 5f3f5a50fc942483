//! The system project: tokens and the list of projects. Every deployment has exactly one.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::command::{
    Actor, ProjectCreate, ProjectScope, Role, TokenCreate, TokenRevoke, is_false,
};
use super::event::{Change, ChangeKind, Subject};
use super::ids::{AgentName, JournalTime, Principal, ProjectName, TokenId};
use super::limits::{LimitExceeded, check_limit};
use super::outcome::Refusal;

/// A token: the identity that a secret gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    pub id: TokenId,
    pub secret_hash: Box<str>,
    pub agent: Principal,
    pub role: Role,
    pub projects: ProjectScope,
    pub created_at: JournalTime,
    #[serde(default)]
    pub expires_at: Option<JournalTime>,
    /// Whether connections may name a seat.
    #[serde(default, skip_serializing_if = "is_false")]
    pub seats: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectEntry {
    pub created_at: JournalTime,
}

impl Engine {
    /// The token whose secret has this SHA-256, as hex.
    pub fn token_by_hash(&self, secret_hash: &str) -> Option<&Token> {
        let id = self.index.token_by_hash.get(secret_hash)?;
        self.state.tokens.get(id)
    }

    /// Whether a valid token names an agent in a project. Observer tokens do not count: they cannot read a
    /// mailbox or do a task.
    pub fn token_knows(&self, agent: &AgentName, project: &ProjectName) -> bool {
        let tokens = self.index.tokens_of_agent.get(agent);
        tokens.is_some_and(|ids| self.any_opens(ids, project))
    }

    /// The agents that valid tokens name in a project, in the order of their names.
    pub fn agents_with_token<'a>(
        &'a self,
        project: &'a ProjectName,
    ) -> impl Iterator<Item = &'a AgentName> {
        let agents = self.index.tokens_of_agent.iter();
        agents
            .filter(|(_, ids)| self.any_opens(ids, project))
            .map(|(agent, _)| agent)
    }

    fn any_opens(&self, ids: &BTreeSet<TokenId>, project: &ProjectName) -> bool {
        let mut tokens = ids.iter().filter_map(|id| self.state.tokens.get(id));
        tokens.any(|token| token.projects.allows(project))
    }

    pub(super) fn check_token_create(
        &self,
        by: &Actor,
        create: &TokenCreate,
    ) -> Result<(), Refusal> {
        operators_only(by)?;
        let limits = &self.limits;
        check_limit!(limits, tokens_max, self.state.tokens.len() + 1)?;
        if let ProjectScope::Only(projects) = &create.projects {
            check_limit!(limits, projects_per_token_max, projects.len())?;
            let unknown = projects
                .iter()
                .find(|p| !self.state.projects.contains_key(*p));
            if let Some(project) = unknown {
                return Err(Refusal::NotFound(format!("project {project}")));
            }
        }
        let taken = self.state.tokens.contains_key(&create.token)
            || self
                .index
                .token_by_hash
                .contains_key(create.secret_hash.as_str());
        if taken {
            return Err(Refusal::Conflict(format!(
                "token {} already exists",
                create.token
            )));
        }
        Ok(())
    }

    pub(super) fn token_create(&mut self, create: &TokenCreate) {
        let token = Token {
            id: create.token.clone(),
            secret_hash: create.secret_hash.as_str().into(),
            agent: create.agent.clone(),
            role: create.role,
            projects: create.projects.clone(),
            created_at: self.state.now,
            expires_at: create.ttl_ms.map(|ms| self.state.now.after_ms(ms)),
            seats: create.seats,
        };
        self.index.insert(&token);
        self.change(of_token(ChangeKind::TokenCreated, &token));
        self.state.tokens.insert(token.id.clone(), token);
    }

    pub(super) fn check_token_revoke(
        &self,
        by: &Actor,
        revoke: &TokenRevoke,
    ) -> Result<(), Refusal> {
        operators_only(by)?;
        if self.state.tokens.contains_key(&revoke.token) {
            return Ok(());
        }
        Err(Refusal::NotFound(format!("token {}", revoke.token)))
    }

    pub(super) fn token_revoke(&mut self, id: &TokenId, reason: &str) {
        if let Some(token) = self.state.tokens.remove(id) {
            self.index.remove(&token);
            self.change(of_token(ChangeKind::TokenRevoked, &token).reason(reason));
        }
    }

    pub(super) fn check_project_create(
        &self,
        by: &Actor,
        create: &ProjectCreate,
    ) -> Result<(), Refusal> {
        operators_only(by)?;
        if self.state.projects.contains_key(&create.project) {
            return Err(Refusal::Conflict(format!(
                "project {} already exists",
                create.project
            )));
        }
        let max = self.projects_max();
        if self.state.projects.len() as u64 >= max {
            let limit = "projects_max";
            return Err(LimitExceeded { limit, max }.into());
        }
        Ok(())
    }

    pub(super) fn project_create(&mut self, create: &ProjectCreate) {
        let project = ProjectEntry {
            created_at: self.state.now,
        };
        self.state.projects.insert(create.project.clone(), project);
        let subject = Subject::Project(create.project.clone());
        self.change(Change::new(ChangeKind::ProjectCreated).about(subject));
    }
}

/// At the first start the node itself is the operator, because no token exists yet.
fn operators_only(by: &Actor) -> Result<(), Refusal> {
    match by {
        Actor::Node(_) => Ok(()),
        Actor::Agent { .. } if by.is_operator() => Ok(()),
        Actor::Agent { .. } => Err(Refusal::Forbidden(
            "only an operator may do this".to_owned(),
        )),
    }
}

fn of_token(kind: ChangeKind, token: &Token) -> Change {
    let subject = Subject::Token(token.id.clone());
    Change::new(kind)
        .agent(&AgentName::from(&token.agent))
        .about(subject)
}
