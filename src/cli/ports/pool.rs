//! Ports for a command: which ones it prefers, and how they are reserved.
//!
//! A port is reserved by its lock, which other runs of this program respect. Then it is tried, because other
//! programs may listen there without a lock. Several ports are reserved together or not at all: otherwise two
//! commands could each keep a port that the other waits for.

use std::path::Path;
use std::str::FromStr;

use crate::cli::error::CliError;
use crate::edge::holders::{self, PortLock};
use crate::edge::ports::{
    Port, PortRange, PortRangeError, Profile, Service, candidates_for_key, candidates_in_pool,
};

/// For how many ports an error names the holder.
const NAMED_MAX: usize = 16;
/// The variable that most development servers read.
const VARIABLE_DEFAULT: &str = "PORT";

/// A range of ports, and the variable that tells the command which one it got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pool {
    pub(super) variable: String,
    pub(super) range: PortRange,
}

/// Why a text is not a pool.
#[derive(Debug, thiserror::Error)]
pub(super) enum PoolError {
    #[error("{0}")]
    Range(#[from] PortRangeError),
    #[error("{0:?} is not a variable name: use letters, digits and _, as in API_PORT=3000-3999")]
    Variable(String),
    #[error("all ports of {0} belong to profiles or to their well-known neighbours")]
    Owned(PortRange),
}

/// A port that a command needs.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) variable: String,
    pub(super) range: PortRange,
    /// The best first.
    pub(super) candidates: Vec<Port>,
}

/// A reserved port; dropping this releases it.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) variable: String,
    pub(super) port: Port,
    pub(super) _lock: PortLock,
}

/// The port is reserved, or a process listens on it.
#[derive(Debug)]
pub(super) struct Refused;

impl Want {
    /// The three services of the testing profile. The smallest range comes first, because it runs out first.
    pub(super) fn of_test(id: &str) -> Vec<Self> {
        let of_service = |service: Service| {
            let range = Profile::Testing.ports(service);
            Self {
                variable: service.variable().to_owned(),
                range,
                candidates: candidates_for_key(range, id).collect(),
            }
        };
        let mut wants: Vec<Self> = Service::ALL.into_iter().map(of_service).collect();
        wants.sort_by_key(|want| want.range.count());
        wants
    }

    pub(super) fn of_pool(pool: &Pool, id: &str) -> Self {
        Self {
            variable: pool.variable.clone(),
            range: pool.range,
            candidates: candidates_in_pool(pool.range, id).collect(),
        }
    }

    /// The holders of its ports, for an error.
    pub(super) fn holders(&self) -> String {
        let mut ports = self.candidates.clone();
        ports.sort();
        let named = ports
            .iter()
            .map(|port| format!("{port}  {}", holder(*port)));
        format!("{}:{}", self.lacking(), listed(named))
    }

    pub(super) fn lacking(&self) -> String {
        format!("no port of {} is free for {}", self.range, self.variable)
    }
}

/// The first lines of an error; the rest is counted.
pub(super) fn listed(mut lines: impl ExactSizeIterator<Item = String>) -> String {
    let shown = lines.by_ref().take(NAMED_MAX);
    let mut shown: Vec<String> = shown.map(|line| format!("\n  {line}")).collect();
    if lines.len() > 0 {
        shown.push(format!("\n  and {} more", lines.len()));
    }
    shown.concat()
}

/// Reserves a port for each want; or none at all, and gives the want that got none.
pub(super) fn take_all(wants: &[Want]) -> Result<Result<Vec<Taken>, &Want>, CliError> {
    let mut taken = Vec::with_capacity(wants.len());
    for want in wants {
        let mut got = None;
        for port in &want.candidates {
            if let Ok(lock) = take(*port)? {
                let variable = want.variable.clone();
                got = Some(Taken {
                    variable,
                    port: *port,
                    _lock: lock,
                });
                break;
            }
        }
        match got {
            Some(got) => taken.push(got),
            None => return Ok(Err(want)),
        }
    }
    Ok(Ok(taken))
}

/// Reserves one port, if it is free.
pub(super) fn take(port: Port) -> Result<Result<PortLock, Refused>, CliError> {
    let number = port.number();
    let lock = PortLock::take(number)
        .map_err(|error| CliError::input(format!("lock port {port}"), error))?;
    let Some(lock) = lock else {
        return Ok(Err(Refused));
    };
    let free = holders::is_free(number)
        .map_err(|error| CliError::input(format!("listen on port {port}"), error))?;
    Ok(if free { Ok(lock) } else { Err(Refused) })
}

/// Who uses a port: the process that listens there, or the holder of its lock.
pub(super) fn holder(port: Port) -> String {
    let (proc, number) = (Path::new(holders::PROC), port.number());
    if let Some(holder) = PortLock::holder(proc, number) {
        return format!("reserved by {holder}");
    }
    let found = holders::of_port(proc, number).unwrap_or_default();
    let first = found.first();
    first.map_or_else(
        || "free by now, or its holder cannot be seen".to_owned(),
        |holder| format!("used by {holder}"),
    )
}

impl FromStr for Pool {
    type Err = PoolError;

    /// `3000-3999`, or `API_PORT=3000-3999`.
    fn from_str(text: &str) -> Result<Self, PoolError> {
        let (variable, range) = text.split_once('=').unwrap_or((VARIABLE_DEFAULT, text));
        let fits = |(i, c): (usize, char)| {
            c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit())
        };
        if variable.is_empty() || !variable.char_indices().all(fits) {
            return Err(PoolError::Variable(variable.to_owned()));
        }
        let range: PortRange = range.parse()?;
        if candidates_in_pool(range, "").next().is_none() {
            return Err(PoolError::Owned(range));
        }
        Ok(Self {
            variable: variable.to_owned(),
            range,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(&str, &str), &str>) {
        let found = text.parse::<Pool>();
        let found = found.map(|pool| (pool.variable, pool.range.to_string()));
        let found = found.map_err(|error| error.to_string());
        let expected = expected.map(|(name, range)| (name.to_owned(), range.to_owned()));
        assert_eq!(found, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn texts_become_pools_or_say_why_not() {
        check("3000-3999", Ok(("PORT", "3000-3999")));
        check("API_PORT=3000", Ok(("API_PORT", "3000")));
        check(
            "3999-3000",
            Err("the range 3999-3000 is reversed: write 3000-3999"),
        );
        check(
            "1PORT=3000",
            Err(
                "\"1PORT\" is not a variable name: use letters, digits and _, as in API_PORT=3000-3999",
            ),
        );
        check(
            "6380-6390",
            Err("all ports of 6380-6390 belong to profiles or to their well-known neighbours"),
        );
    }

    #[test]
    fn a_test_wants_the_ports_it_prefers_first() {
        let wants = Want::of_test("test_login");
        let first: Vec<String> = wants
            .iter()
            .map(|want| format!("{}={}", want.variable, want.candidates[0]))
            .collect();
        assert_eq!(
            first,
            [
                "METRICS_PORT=9096",
                "REDIS_PORT=6390",
                "WEBSOCKET_PORT=8772"
            ]
        );
    }
}
