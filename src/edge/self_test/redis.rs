//! The client of Redis, against a stub in this process that wants a password.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{CheckError, CheckFound, CheckResult};
use crate::config::{Config, Flags, Invoker, MapEnvironment, REDIS_ENVIRONMENT_KEY};
use crate::edge::probe::{self, Expected, ProbeTarget, ServiceState};

const PASSWORD: &str = "self-test";
const ENVIRONMENT: &str = "testing";
const ANSWER_MS_MAX: u64 = 5_000;

/// Bounds of what the stub reads.
const WORDS_MAX: usize = 16;
const WORD_BYTES_MAX: usize = 1024;
const LINE_BYTES_MAX: u64 = 32;

/// Asks the stub what `coord health` asks a Redis, as the right and as the wrong one.
pub(super) async fn check(folder: &Path) -> CheckResult {
    let right = ask(folder, PASSWORD).await?;
    if right.state != ServiceState::Running {
        let detail = format!("asked a Redis: {}: {}", right.state, right.detail);
        return Ok(CheckFound::failed(detail, "send this report to support"));
    }
    let wrong = ask(folder, "another").await?;
    if wrong.state != ServiceState::Unauthorised {
        let detail = format!("a wrong password gave: {}: {}", wrong.state, wrong.detail);
        return Ok(CheckFound::failed(detail, "send this report to support"));
    }
    let latency = right.latency_us.unwrap_or_default();
    Ok(CheckFound::ok(format!(
        "AUTH, PING, ROLE and GET answered by a stub in {latency} µs ({}); a wrong password is reported",
        right.detail
    )))
}

async fn ask(folder: &Path, password: &str) -> Result<probe::ProbeFinding, CheckError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let state = folder.join("no-state");
    let environment = MapEnvironment::from([
        ("COORD_PROFILE", ENVIRONMENT),
        (
            "COORD_STATE_DIR",
            state.to_str().ok_or("the folder's name is not UTF-8")?,
        ),
        ("REDIS_HOST", "127.0.0.1"),
        ("REDIS_PORT", &port.to_string()),
        ("REDIS_PASSWORD", password),
    ]);
    let config = Config::load(&Flags::default(), &environment, Invoker::from(0))?;
    let redis = config.redis.as_ref().ok_or("Redis is configured")?;
    let target = ProbeTarget {
        endpoint: redis.endpoint.clone(),
        tls: None,
    };
    let expected = Expected {
        profile: config.profile,
        port_fingerprint: config.port_fingerprint().to_string(),
        time_max: Duration::from_millis(ANSWER_MS_MAX),
    };
    let serving = async {
        let (stream, _) = listener.accept().await?;
        serve(stream).await
    };
    tokio::select! {
        finding = probe::redis(&target, redis, &expected) => Ok(finding),
        // It only ends when the client has, who has its answer by then.
        served = serving => {
            served?;
            Err("the client ended the connection before it was done".into())
        }
    }
}

/// Answers until the client goes.
async fn serve(stream: TcpStream) -> Result<(), CheckError> {
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    let mut known = false;
    while let Some(words) = command(&mut input).await? {
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let answer = answer(&words, &mut known);
        output.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}

/// The words of the next command: `*2\r\n$3\r\nGET\r\n$1\r\nx\r\n`. `None` at the end.
async fn command(
    input: &mut (impl AsyncBufRead + Unpin),
) -> Result<Option<Vec<Vec<u8>>>, CheckError> {
    let Some(count) = number(input, '*', WORDS_MAX).await? else {
        return Ok(None);
    };
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let bytes = number(input, '$', WORD_BYTES_MAX).await?;
        let bytes = bytes.ok_or("the client ends in the middle of a command")?;
        // The line's end stands behind it.
        let mut word = vec![0; bytes + 2];
        input.read_exact(&mut word).await?;
        word.truncate(bytes);
        words.push(word);
    }
    Ok(Some(words))
}

/// A line that is a sign and a number.
async fn number(
    input: &mut (impl AsyncBufRead + Unpin),
    sign: char,
    max: usize,
) -> Result<Option<usize>, CheckError> {
    let mut line = String::new();
    // A line of ours is short; a longer one is cut, and so no number.
    let mut short = input.take(LINE_BYTES_MAX);
    if short.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let number = line.trim_end().strip_prefix(sign);
    let number = number.and_then(|number| number.parse().ok());
    let number = number.filter(|number| *number <= max);
    number.map_or_else(
        || Err(format!("the client sends {line:?} where {sign} and a number belong").into()),
        |number| Ok(Some(number)),
    )
}

/// As a Redis with `requirepass` answers.
fn answer(words: &[&[u8]], known: &mut bool) -> String {
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
    let name = words.first().map(|name| name.to_ascii_uppercase());
    match (name.as_deref(), &words[1.min(words.len())..]) {
        (Some(b"AUTH"), [.., password]) => {
            *known = *password == PASSWORD.as_bytes();
            if *known {
                "+OK\r\n".to_owned()
            } else {
                "-WRONGPASS invalid username-password pair or user is disabled.\r\n".to_owned()
            }
        }
        _ if !*known => "-NOAUTH Authentication required.\r\n".to_owned(),
        (Some(b"PING"), []) => "+PONG\r\n".to_owned(),
        (Some(b"ROLE"), []) => format!("*3\r\n{}:0\r\n*0\r\n", bulk("master")),
        (Some(b"GET"), [key]) if *key == REDIS_ENVIRONMENT_KEY.as_bytes() => bulk(ENVIRONMENT),
        _ => "-ERR unknown command\r\n".to_owned(),
    }
}
