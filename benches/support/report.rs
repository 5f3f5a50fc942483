//! The table of figures, and the same as JSON.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::thread::available_parallelism;
use std::time::Instant;

use serde_json::{Value, json};

use super::median;

/// Bytes that a bare commit writes: head, project and body of such a record, padded.
const COMMIT_BYTES: usize = 352;
const COMMITS: usize = 400;
/// Room made ahead, so that a bare commit writes no metadata either.
const ROOM_BYTES: usize = 1 << 20;

/// Figures measured so far.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    /// What was to be reached, and whether more is better.
    target: Option<(f64, bool)>,
    /// What the same took elsewhere.
    peer: Option<f64>,
    note: String,
}

impl Report {
    /// A figure without a target.
    pub fn figure(&mut self, what: &str, value: f64, unit: &'static str) -> &mut Self {
        self.rows.push(Row {
            what: what.into(),
            value,
            unit,
            target: None,
            peer: None,
            note: String::new(),
        });
        self
    }

    /// The last figure is to be at most this.
    pub fn at_most(&mut self, target: f64) -> &mut Self {
        self.with(|row| row.target = Some((target, false)))
    }

    /// The last figure is to be at least this.
    pub fn at_least(&mut self, target: f64) -> &mut Self {
        self.with(|row| row.target = Some((target, true)))
    }

    /// What the last figure is elsewhere.
    pub fn peer(&mut self, peer: f64) -> &mut Self {
        self.with(|row| row.peer = Some(peer))
    }

    pub fn note(&mut self, note: impl Into<String>) -> &mut Self {
        let note = note.into();
        self.with(|row| row.note = note)
    }

    fn with(&mut self, change: impl FnOnce(&mut Row)) -> &mut Self {
        if let Some(row) = self.rows.last_mut() {
            change(row);
        }
        self
    }

    pub fn print(&self) {
        println!("\n| what | value | target | peer | ratio | |");
        println!("|---|---|---|---|---|---|");
        for row in &self.rows {
            println!("{}", row.line());
        }
    }

    pub fn write_json(&self, file: &Path, conditions: &Value) {
        let figures: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let text = json!({ "conditions": conditions, "figures": figures });
        let text = serde_json::to_string_pretty(&text).expect("values encode as JSON");
        fs::write(file, text).expect("the file of figures can be written");
    }
}

impl Row {
    fn met(&self) -> Option<bool> {
        let (target, more_is_better) = self.target?;
        Some((self.value >= target) == more_is_better || (self.value - target).abs() < 1e-9)
    }

    fn line(&self) -> String {
        let target = match self.target {
            Some((target, true)) => format!("≥ {}", shown(target)),
            Some((target, false)) => format!("≤ {}", shown(target)),
            None => String::new(),
        };
        let peer = self.peer.map_or(String::new(), shown);
        let ratio = self.peer.map_or(String::new(), |p| shown(self.value / p));
        let verdict = match self.met() {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let Self {
            what, unit, note, ..
        } = self;
        let value = shown(self.value);
        format!("| {what} | {value} {unit} | {target} | {peer} | {ratio} | {verdict} {note} |")
    }

    fn json(&self) -> Value {
        json!({
            "what": self.what,
            "value": self.value,
            "unit": self.unit,
            "target": self.target.map(|(target, _)| target),
            "more_is_better": self.target.map(|(_, more)| more),
            "met": self.met(),
            "peer": self.peer,
            "ratio": self.peer.map(|peer| self.value / peer),
            "note": self.note,
        })
    }
}

fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1_000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}

/// The circumstances, without which a figure says little.
pub fn conditions(folder: &Path) -> Value {
    let read = |path: &str| {
        fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_owned()
    };
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    json!({
        "cores": available_parallelism().map_or(0, usize::from),
        "cpu": model.map(|model| model.trim_start_matches(['\t', ' ', ':'])),
        "kernel": read("/proc/sys/kernel/osrelease"),
        "file_system": file_system(folder),
        "load_average_before": read("/proc/loadavg").split(' ').next(),
        "bare_commit_microseconds": bare_commit_seconds(folder) * 1e6,
    })
}

fn file_system(folder: &Path) -> String {
    let kind = nix::sys::statfs::statfs(folder).map(|found| found.filesystem_type());
    match kind {
        Ok(nix::sys::statfs::EXT4_SUPER_MAGIC) => "ext4".into(),
        Ok(nix::sys::statfs::TMPFS_MAGIC) => "tmpfs".into(),
        Ok(nix::sys::statfs::BTRFS_SUPER_MAGIC) => "btrfs".into(),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    }
}

/// The median of writing as much as a commit does, and syncing it.
fn bare_commit_seconds(folder: &Path) -> f64 {
    let file = preallocated(folder);
    let times: Vec<f64> = (0..COMMITS)
        .map(|index| bare_commit(&file, COMMIT_BYTES, index))
        .collect();
    median(&times)
}

/// A file that has all its blocks.
pub fn preallocated(folder: &Path) -> File {
    let file = tempfile::tempfile_in(folder).expect("the folder can be written to");
    file.write_all_at(&vec![0; ROOM_BYTES], 0)
        .expect("there is room");
    file.sync_all().expect("the medium works");
    file
}

/// One write and sync, in seconds; the `index`th of its file.
pub fn bare_commit(file: &File, bytes: usize, index: usize) -> f64 {
    let data = vec![b'x'; bytes];
    let offset = (index * bytes) % (ROOM_BYTES - bytes);
    let begun = Instant::now();
    file.write_all_at(&data, offset as u64)
        .expect("there is room");
    file.sync_data().expect("the medium works");
    begun.elapsed().as_secs_f64()
}
