//! The command line of the measurements.

use std::path::PathBuf;

/// What to measure, how long, and with which programs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Parts to run; all when empty.
    pub parts: Vec<String>,
    pub rounds: usize,
    /// Seconds of one round of a throughput measurement.
    pub seconds: f64,
    /// Idle sessions to open.
    pub sessions: usize,
    /// Records of the journal whose recovery is timed.
    pub records: u64,
    pub server: PathBuf,
    /// An older coordinator that is measured beside it.
    pub peer: Option<PathBuf>,
    pub nats: PathBuf,
    pub redis: PathBuf,
    /// Where state directories are made: decides which medium is measured.
    pub folder: PathBuf,
    pub json: Option<PathBuf>,
}

const USAGE: &str = "cargo bench --bench NAME -- [PART…] [--rounds N] [--seconds S] [--sessions N] \
    [--records N] [--server PROGRAM] [--peer PROGRAM] [--nats PROGRAM] [--redis PROGRAM] [--folder DIR] [--json FILE]";

impl Options {
    /// Reads the arguments of the process. `parts` are those that exist.
    pub fn read(parts: &[&str]) -> Result<Self, String> {
        let mut options = Self {
            parts: Vec::new(),
            rounds: 7,
            seconds: 3.0,
            sessions: 10_000,
            records: 1_000_000,
            server: env!("CARGO_BIN_EXE_coord").into(),
            peer: None,
            nats: "nats-server".into(),
            redis: "redis-server".into(),
            folder: "target".into(),
            json: None,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let missing = format!("{argument} needs a value\n{USAGE}");
                arguments.next().ok_or(missing)
            };
            match argument.as_str() {
                // Cargo passes it to every benchmark.
                "--bench" => {}
                "--rounds" => options.rounds = number(&value()?)?,
                "--seconds" => options.seconds = number(&value()?)?,
                "--sessions" => options.sessions = number(&value()?)?,
                "--records" => options.records = number(&value()?)?,
                "--server" => options.server = value()?.into(),
                "--peer" => options.peer = Some(value()?.into()),
                "--nats" => options.nats = value()?.into(),
                "--redis" => options.redis = value()?.into(),
                "--folder" => options.folder = value()?.into(),
                "--json" => options.json = Some(value()?.into()),
                part if parts.contains(&part) => options.parts.push(part.to_owned()),
                other => return Err(format!("{other:?} is none of {parts:?}\n{USAGE}")),
            }
        }
        Ok(options)
    }

    pub fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text:?} is no number that fits here"))
}
