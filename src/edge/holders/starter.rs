//! Supervisors that restart a process when it ends, and the command that keeps it stopped.

use serde::Serialize;

use super::INIT;
use super::behind::container_command;
use super::facts::Facts;
use super::program::{Program, word};

/// The supervisor of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Starter {
    /// Its name, and its process where it has one of its own.
    pub who: String,
    /// The command that keeps the process stopped; none when only its parent is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<String>,
    /// Whether it is a parent that this command descends from too: nobody should end the shell they sit at.
    #[serde(skip)]
    pub is_ours: bool,
}

/// A supervisor, by its names, and how it is told to stop one of its programs.
struct SupervisorKind {
    programs: &'static [&'static str],
    stop: fn(&Facts, &Program) -> String,
}

const SUPERVISORS: &[SupervisorKind] = &[
    SupervisorKind {
        programs: &["supervisord"],
        stop: |facts, _| {
            let of = |name: &str| word(facts.variables.get(name)?);
            match (of("SUPERVISOR_GROUP_NAME"), of("SUPERVISOR_PROCESS_NAME")) {
                (Some(group), Some(name)) if group != name => {
                    format!("supervisorctl stop {group}:{name}")
                }
                (_, name) => format!("supervisorctl stop {}", name.unwrap_or("NAME")),
            }
        },
    },
    SupervisorKind {
        programs: &["PM2", "pm2", "pm2-runtime"],
        stop: |facts, _| {
            let id = facts.variables.get("pm_id").and_then(|id| word(id));
            format!("pm2 stop {}", id.unwrap_or("NAME"))
        },
    },
    SupervisorKind {
        programs: &["runsv"],
        stop: |_, own| format!("sv down {}", service(own)),
    },
    SupervisorKind {
        programs: &["s6-supervise"],
        stop: |_, own| format!("s6-svc -d /run/service/{}", service(own)),
    },
    SupervisorKind {
        programs: &["supervise"],
        stop: |_, own| format!("svc -d /service/{}", service(own)),
    },
    SupervisorKind {
        programs: &["supervise-daemon"],
        stop: |_, own| format!("rc-service {} stop", service(own)),
    },
    SupervisorKind {
        programs: &["circusd"],
        stop: |_, _| "circusctl stop NAME".to_owned(),
    },
];

/// Finds what restarts a process, the nearest first: a known supervisor, its container's engine, its service
/// manager, otherwise its parent.
pub(super) fn of(facts: &Facts) -> Option<Starter> {
    supervisor(facts)
        .or_else(|| {
            let stop = container_command(facts);
            stop.map(|stop| starter("the engine of its container", Some(stop)))
        })
        .or_else(|| {
            let stop = facts.service_command(&[])?;
            Some(starter("systemd", Some(stop)))
        })
        .or_else(|| {
            let parent = facts.parents.first().filter(|parent| parent.pid != INIT)?;
            // The manager of a user's services takes over whose parent has ended.
            let is_manager = parent.is(&["systemd", "init"]);
            let is_ours = facts.own_parents.contains(&parent.pid);
            (!is_manager).then(|| Starter {
                is_ours,
                ..starter(&parent.named(), None)
            })
        })
}

fn supervisor(facts: &Facts) -> Option<Starter> {
    let known = |parent: &Program| SUPERVISORS.iter().find(|it| parent.is(it.programs));
    let mut found = facts
        .parents
        .iter()
        .filter_map(|parent| Some((parent, known(parent)?)));
    let (parent, supervisor) = found.next()?;
    let stop = (supervisor.stop)(facts, parent);
    Some(starter(&parent.named(), Some(stop)))
}

fn starter(who: &str, stop: Option<String>) -> Starter {
    let who = who.to_owned();
    Starter {
        who,
        stop,
        is_ours: false,
    }
}

/// What a supervisor of one service was started for.
fn service(supervisor: &Program) -> &str {
    let name = supervisor.words.iter().skip(1).find_map(|own| word(own));
    name.unwrap_or("NAME")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(facts: &Facts, who: &str, stop: Option<&str>) {
        let found = of(facts).expect("somebody starts it");
        assert!(found.who.starts_with(who), "{found:?}");
        assert_eq!(found.stop.as_deref(), stop);
    }

    #[test]
    fn each_supervisor_has_its_command() {
        let below = |words: &str| Facts::of_words("web").below(&["sh", words, "init"]);
        let mut facts = below("/usr/bin/python3 /usr/bin/supervisord -n");
        check(
            &facts,
            "python3 (process 77)",
            Some("supervisorctl stop NAME"),
        );
        let mut name = |name: &str, value: &str| facts.variables.insert(name.into(), value.into());
        name("SUPERVISOR_PROCESS_NAME", "web_00");
        name("SUPERVISOR_GROUP_NAME", "web");
        check(&facts, "python3", Some("supervisorctl stop web:web_00"));
        let mut facts = below("PM2 v5.3.0: God Daemon (/root/.pm2)");
        facts.variables.insert("pm_id".into(), "3".into());
        check(&facts, "PM2", Some("pm2 stop 3"));
        facts.variables.insert("pm_id".into(), "3; reboot".into());
        check(&facts, "PM2", Some("pm2 stop NAME"));
        check(&below("runsv web"), "runsv", Some("sv down web"));
        check(
            &below("s6-supervise web"),
            "s6-supervise",
            Some("s6-svc -d /run/service/web"),
        );
        check(
            &below("supervise web"),
            "supervise",
            Some("svc -d /service/web"),
        );
        check(
            &below("supervise-daemon web --start"),
            "supervise-daemo",
            Some("rc-service web stop"),
        );
        check(&below("circusd"), "circusd", Some("circusctl stop NAME"));
    }

    #[test]
    fn a_service_a_container_and_a_parent_are_next() {
        let facts = Facts::of_words("web").below(&["sh"]);
        check(&facts, "sh (process 77)", None);
        let service = facts.clone().in_group("/system.slice/web.service");
        check(&service, "systemd", Some("systemctl stop web.service"));
        let id = "0123456789abcdef".repeat(4);
        let container = facts
            .clone()
            .in_group(&format!("/system.slice/docker-{id}.scope"));
        check(&container, "the engine", Some("docker stop 0123456789ab"));
        let own = Facts {
            own_parents: vec![77],
            ..Facts::of_words("web").below(&["sh"])
        };
        assert!(of(&own).expect("somebody starts it").is_ours);
        // The one that takes over orphans starts nothing.
        let orphan = Facts::of_words("web").below(&["/lib/systemd/systemd --user"]);
        assert_eq!(of(&orphan), None);
    }
}
