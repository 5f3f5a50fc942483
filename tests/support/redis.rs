//! Real Redis servers on ports of the loopback address.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use redis::{AsyncConnectionConfig, RedisResult, Value};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::port::HeldPort;
use super::waiting::until;

/// Names the program to run instead of `redis-server`: `valkey-server` takes the same arguments.
const PROGRAM_VARIABLE: &str = "COORD_TEST_REDIS_SERVER";

/// A folder in memory, and the room that it must have.
const MEMORY: &str = "/dev/shm";
const MEMORY_BYTES_MIN: u64 = 512 * 1024 * 1024;

/// A running Redis; killed when dropped.
#[derive(Debug)]
pub struct Redis {
    child: Child,
    port: HeldPort,
    /// Where the other nodes of a Cluster reach it.
    bus: Option<HeldPort>,
    arguments: Vec<String>,
    folder: TempDir,
}

impl Redis {
    pub async fn start(arguments: &[&str]) -> Self {
        Self::start_on("--port", arguments).await
    }

    /// With its port given by another option, such as `--tls-port`.
    pub async fn start_on(option: &str, arguments: &[&str]) -> Self {
        let redis = Self::spawn(option, arguments);
        until("Redis to listen", async || redis.connect().await.ok()).await;
        redis
    }

    /// One that nobody waits for.
    pub fn unready(arguments: &[&str]) -> Self {
        Self::spawn("--port", arguments)
    }

    fn spawn(option: &str, arguments: &[&str]) -> Self {
        let port = HeldPort::take();
        let folder = folder();
        let number = port.number().to_string();
        let directory = folder.path().display().to_string();
        let fixed = [option, &number, "--bind", "127.0.0.1", "--dir", &directory];
        let mut all: Vec<String> = fixed.map(str::to_owned).to_vec();
        all.extend(["--save", ""].map(str::to_owned));
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        Self {
            child: child(&all),
            port,
            bus: None,
            arguments: all,
            folder,
        }
    }

    /// A node of a Cluster to be. It is reached by its port, and by the others by one of its own.
    pub async fn start_clustered() -> Self {
        let bus = HeldPort::take();
        let number = bus.number().to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-port", &number];
        let mut redis = Self::start(&arguments).await;
        redis.bus = Some(bus);
        redis
    }

    /// Run from a file of its own, which Redis rewrites, with further arguments.
    pub async fn start_from(file: &str, text: &str, arguments: &[&str]) -> Self {
        let (port, folder) = (HeldPort::take(), folder());
        let path = folder.path().join(file);
        let (number, directory) = (port.number(), folder.path().display());
        let fixed = format!("port {number}\nbind 127.0.0.1\ndir {directory}\n");
        std::fs::write(&path, fixed + text).unwrap();
        let mut all = vec![path.display().to_string()];
        all.extend(arguments.iter().map(|&argument| argument.to_owned()));
        let redis = Self {
            child: child(&all),
            port,
            bus: None,
            arguments: all,
            folder,
        };
        until("Redis to listen", async || redis.connect().await.ok()).await;
        redis
    }

    pub fn port(&self) -> u16 {
        self.port.number()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends it as a power cut does.
    pub fn kill(&mut self) {
        // It is gone already when the test ended it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on its port, with what it kept.
    pub async fn start_again(&mut self) {
        self.start_again_with(&[]);
        until("Redis to listen", async || self.connect().await.ok()).await;
    }

    /// Like `start_again`, with further arguments and without waiting for anything.
    pub fn start_again_with(&mut self, arguments: &[&str]) {
        self.kill();
        self.arguments
            .extend(arguments.iter().map(|&argument| argument.to_owned()));
        self.child = child(&self.arguments);
    }

    pub async fn connect(&self) -> std::io::Result<TcpStream> {
        TcpStream::connect(("127.0.0.1", self.port())).await
    }

    /// Sends a command as a person would and waits until the answer begins like this.
    pub async fn say(&self, command: &str, answer: &str) {
        until("Redis' answer", async || {
            let mut stream = self.connect().await.ok()?;
            stream.write_all(command.as_bytes()).await.ok()?;
            stream.write_all(b"\r\nQUIT\r\n").await.ok()?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await.ok()?;
            text.contains(answer).then_some(())
        })
        .await;
    }

    /// What Redis answers to one command, given in words.
    pub async fn ask(&self, words: &[&str]) -> Value {
        self.ask_as("", words).await
    }

    /// Likewise, with a password unless it is empty.
    pub async fn ask_as(&self, password: &str, words: &[&str]) -> Value {
        self.try_ask(password, words).await.unwrap()
    }

    async fn try_ask(&self, password: &str, words: &[&str]) -> RedisResult<Value> {
        let user = if password.is_empty() { "" } else { ":" };
        let at = if password.is_empty() { "" } else { "@" };
        let url = format!("redis://{user}{password}{at}127.0.0.1:{}", self.port());
        let client = redis::Client::open(url).unwrap();
        // A command may take longer than the library waits for by itself: SAVE writes everything, on a busy disk.
        let limit = Some(Duration::from_mins(1));
        let patient = AsyncConnectionConfig::new()
            .set_connection_timeout(limit)
            .set_response_timeout(limit);
        let connecting = client.get_multiplexed_async_connection_with_config(&patient);
        let mut connection = connecting.await?;
        let mut command = redis::cmd(words[0]);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async(&mut connection).await
    }

    /// Waits until it is a master. A Sentinel that makes it one breaks all its connections.
    pub async fn becomes_master(&self) {
        until("a new master", async || {
            let info = self.try_ask("", &["INFO"]).await.ok()?;
            (field(info, "role") == "master").then_some(())
        })
        .await;
    }

    /// A field of INFO.
    pub async fn info(&self, name: &str) -> String {
        self.info_as("", name).await
    }

    pub async fn info_as(&self, password: &str, name: &str) -> String {
        field(self.ask_as(password, &["INFO"]).await, name)
    }
}

/// In memory, if there is room. A disk that compilers write to may need longer for a sync than the coordinator waits
/// for Redis, and these tests are not about that.
fn folder() -> TempDir {
    let has_room = nix::sys::statvfs::statvfs(MEMORY)
        .is_ok_and(|found| found.blocks_available() * found.fragment_size() > MEMORY_BYTES_MIN);
    if has_room && let Ok(folder) = tempfile::tempdir_in(MEMORY) {
        return folder;
    }
    tempfile::tempdir().unwrap()
}

fn field(info: Value, name: &str) -> String {
    let Value::BulkString(info) = info else {
        panic!("INFO is a text");
    };
    let info = String::from_utf8(info).unwrap();
    let found = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.unwrap_or_default().to_owned()
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server that is tested with.
pub fn program() -> String {
    let program = std::env::vars().find(|(name, _)| name == PROGRAM_VARIABLE);
    program.map_or_else(|| "redis-server".to_owned(), |(_, program)| program)
}

fn child(arguments: &[String]) -> Child {
    let program = program();
    Command::new(&program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| {
            panic!("{program}: {error}: apt-get install redis-server, or run tests/run")
        })
}
