//! Memory: the coordinator alone, and with many sessions that do nothing.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::support::options::Options;
use crate::support::report::Report;
use crate::support::server::Server;
use crate::support::ws::Socket;

const KIB: f64 = 1024.0;
const MIB: f64 = 1024.0 * KIB;
const TARGET_SESSION_BYTES: f64 = 12.0 * KIB;
const TARGET_ALONE_BYTES: f64 = 12.0 * MIB;
/// The engine's `sessions_per_agent_max`.
const SESSIONS_PER_AGENT: usize = 64;

pub fn measure(options: &Options, report: &mut Report) {
    raise_file_limit();
    let folder = tempfile::tempdir_in(&options.folder).expect("the folder can be written to");
    let server = Server::start(options, &folder.path().join("coord"));
    let alone = server.process.rss_bytes() as f64;
    let tokens = server.agent_tokens(options.sessions.div_ceil(SESSIONS_PER_AGENT));
    let before = server.process.rss_bytes() as f64;
    let sessions: Vec<Socket> = (0..options.sessions)
        .map(|index| server.session(&tokens[index / SESSIONS_PER_AGENT]))
        .collect();
    let after = server.process.rss_bytes() as f64;
    drop(sessions);
    report
        .figure("RSS without sessions", alone / MIB, "MiB")
        .at_most(TARGET_ALONE_BYTES / MIB);
    report
        .figure(
            "RSS per idle session",
            (after - before) / options.sessions as f64 / KIB,
            "KiB",
        )
        .at_most(TARGET_SESSION_BYTES / KIB)
        .note(format!(
            "{} sessions: {:.0} MiB",
            options.sessions,
            after / MIB
        ));
}

fn raise_file_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it may be raised to the hard limit");
}
