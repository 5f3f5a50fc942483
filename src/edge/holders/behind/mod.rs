//! Recognises processes that hold a port for something else, or that do more than use the port: a container's
//! proxy, a tunnel, a virtual machine, a login session, a supervisor.
//!
//! Ending such a process does not stop the service, or stops far more. [`kinds`] is the table of kinds, how
//! each is recognised, and which command stops what is behind it. A wrong match only means that a stop must
//! be confirmed; a process without a match is an ordinary one.

mod engines;
mod kernel;
mod kinds;
mod machines;
mod sessions;
mod tunnels;

use serde::Serialize;

use super::facts::Facts;

pub(super) use engines::container_command;
pub use kernel::KernelSocket;
pub(super) use kernel::of_port as kernel_socket;

/// The kind of a coordinator like this one.
pub const COORDINATOR: &str = "coordinator";
/// The kind of a process of a container that uses the host's own network.
pub const CONTAINER: &str = "container";

/// What a process holds a port for, and the command that stops that.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// The name of its kind, such as `docker-proxy`.
    pub kind: &'static str,
    /// What the process is, such as "Docker's proxy for a container".
    pub is: String,
    /// What ending the process does, such as "leaves the container running".
    pub ending_it: &'static str,
    /// The commands that stop what is behind it, in order. Words in capitals are placeholders for output of
    /// the command before.
    pub stop: Vec<String>,
    /// Advice if there is no command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<&'static str>,
    /// Whether `ports stop` refuses it without `--anyway`.
    pub refused: bool,
}

/// A kind of process: a row of the table.
struct BehindKind {
    name: &'static str,
    /// Names, of which one is enough; for a kind without names `when` alone decides.
    programs: &'static [&'static str],
    /// A further condition.
    when: fn(&Facts) -> bool,
    is: &'static str,
    /// Details of this process: an address, a name.
    detail: fn(&Facts) -> Option<String>,
    ending_it: &'static str,
    stop: fn(&Facts) -> Vec<String>,
    advice: Option<&'static str>,
    refused: bool,
}

/// The defaults of a row.
const KIND: BehindKind = BehindKind {
    name: "",
    programs: &[],
    when: |_| true,
    is: "",
    detail: |_| None,
    ending_it: "",
    stop: |_| Vec::new(),
    advice: None,
    refused: true,
};

/// What is behind a process; `None` for an ordinary one.
pub(super) fn of(facts: &Facts) -> Option<Behind> {
    let mut table = kinds::all();
    let kind = table.find(|kind| kind.fits(facts))?;
    let detail = (kind.detail)(facts).map_or_else(String::new, |detail| format!(" {detail}"));
    let stop = (kind.stop)(facts);
    Some(Behind {
        kind: kind.name,
        is: format!("{}{detail}", kind.is),
        ending_it: kind.ending_it,
        advice: kind.advice.filter(|_| stop.is_empty()),
        stop,
        refused: kind.refused,
    })
}

impl BehindKind {
    fn fits(&self, facts: &Facts) -> bool {
        (self.programs.is_empty() || facts.program.is(self.programs)) && (self.when)(facts)
    }
}

impl Behind {
    /// What it is and what ending it does, as a text that follows its name.
    pub fn sentence(&self) -> String {
        format!("is {}: ending it {}", self.is, self.ending_it)
    }

    /// How to stop what is behind it: commands in backticks, or advice.
    pub fn how(&self) -> Option<String> {
        if self.stop.is_empty() {
            return self.advice.map(str::to_owned);
        }
        let commands: Vec<String> = self.stop.iter().map(|it| format!("`{it}`")).collect();
        Some(commands.join(", then "))
    }
}

#[cfg(test)]
mod tests;
