//! Gives the client a connection: dials, reads, writes, keeps cursors. One task for each client.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::sync::{Notify, watch};

use super::Source;
use super::client::{Client, Counts, Effect, End, Login, Setup};
use super::cursors::{CursorFile, Cursors};
use super::face::Duty;
use crate::clock::Clock;
use crate::config::{MqttConfig, Trust};
use crate::driver::core::Moment;
use crate::link::{self, Io, LinkError, tls};
use crate::metrics::MqttMetrics;
use crate::protocol::admin::MqttStatus;

const READ_BYTES: usize = 4 * 1024;
/// New events are looked for at most this often, so that many small ones cost one look.
const NEWS_MS: u64 = 20;
/// How often the events that wait are counted.
const LAG_MS: u64 = 1_000;
/// The protocols that brokers on port 443 know MQTT by.
const ALPN: [&[u8]; 2] = [b"mqtt", b"x-amzn-mqtt-ca"];
const ALPN_PORT: u16 = 443;

type Dial = Pin<Box<dyn Future<Output = Result<Box<dyn Io>, LinkError>> + Send>>;

/// Receives the client's state, and whether it can publish events.
pub type Told = Box<dyn Fn(MqttStatus, bool) + Send + Sync>;

/// Everything around one client.
pub struct Runner {
    pub setup: Setup,
    /// The present configuration: a reload changes it.
    pub config: watch::Receiver<Arc<MqttConfig>>,
    pub source: Arc<dyn Source + Send + Sync>,
    pub news: Arc<Notify>,
    /// Where cursors are kept; `None` if no events are published.
    pub cursors: Option<(CursorFile, Cursors)>,
    pub clock: Clock,
    pub metrics: MqttMetrics,
    pub told: Told,
    pub random: u64,
    /// Becomes `true` when the coordinator stops.
    pub stop: watch::Receiver<bool>,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Runner")
    }
}

/// An open connection, and what is still to be written to it.
struct Line {
    read: ReadHalf<Box<dyn Io>>,
    write: WriteHalf<Box<dyn Io>>,
    outgoing: BytesMut,
    /// Something was written that TLS may hold back.
    unflushed: bool,
}

/// The connection, on its way or open, and the file of cursors.
struct Connection {
    dialling: Option<Dial>,
    line: Option<Line>,
    file: Option<CursorFile>,
}

/// What happened.
enum Happened {
    Dialled(Result<Box<dyn Io>, LinkError>),
    Read(std::io::Result<usize>),
    Written(std::io::Result<()>),
    Time,
    News,
    Reloaded,
    Stop,
}

/// What was logged or counted last, so that only changes are.
#[derive(Default)]
struct Shown {
    up: bool,
    problem: Option<String>,
    status: Option<(bool, Duty, bool)>,
    lag_at: Moment,
    counts: Counts,
}

/// The login of a configuration.
pub fn login(config: &MqttConfig) -> Login {
    Login {
        user: config.user.clone(),
        password: config.password.clone(),
    }
}

/// Opens a connection as the configuration says.
pub async fn dial(config: Arc<MqttConfig>) -> Result<Box<dyn Io>, LinkError> {
    let mut tls = None;
    if config.url.tls {
        let config = Arc::clone(&config);
        // The machine's authorities take a slow box some time to read.
        let made = tokio::task::spawn_blocking(move || tls_config(&config)).await;
        let made = made.map_err(std::io::Error::other).and_then(|made| made);
        tls = Some(Arc::new(made.map_err(LinkError::Tls)?));
    }
    // The client's own pings find a silent broker earlier; this is for packets that the network swallows.
    let silence_max = config.keep_alive * 2;
    link::open(&config.url.endpoint, tls.as_ref(), Some(silence_max)).await
}

/// Reads the certificates anew, because files may have changed.
fn tls_config(config: &MqttConfig) -> std::io::Result<rustls::ClientConfig> {
    let trust = match &config.ca_file {
        Some(file) => Trust::Authorities(file.clone()),
        None => Trust::Machine,
    };
    let client = config.certificate.as_ref();
    let client = client.map(|(certificate, key)| (certificate.as_path(), key.as_path()));
    let mut made = tls::config_with(&trust, client)?;
    made.alpn_protocols = alpn(config.url.endpoint.port.number());
    Ok(made)
}

/// What is offered by ALPN: on the port of HTTPS the broker must be told that this is MQTT. Elsewhere nothing, because a
/// broker that knows no ALPN may refuse it.
fn alpn(port: u16) -> Vec<Vec<u8>> {
    match port {
        ALPN_PORT => ALPN.map(<[u8]>::to_vec).into(),
        _ => Vec::new(),
    }
}

impl Runner {
    /// Runs until the coordinator stops.
    pub async fn run(mut self) {
        let (file, cursors) = self.cursors.take().unzip();
        let mut line = Connection {
            dialling: None,
            line: None,
            file,
        };
        let mut client = Client::new(
            self.setup.clone(),
            login(&self.config.borrow_and_update()),
            cursors.unwrap_or_default(),
            self.random,
            self.clock.now(),
        );
        let mut shown = Shown::default();
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        // When new events are looked for, if there may be some.
        let mut news: Option<Moment> = None;
        let mut rested = Moment::default();
        loop {
            let now = self.clock.now();
            if news.is_some_and(|at| at <= now) {
                (news, rested) = (None, now.after_ms(NEWS_MS));
                client.news(&*self.source);
            }
            client.poll(now, &*self.source);
            self.carry_out(&mut client, &mut line).await;
            self.show(&client, now, &mut shown);
            if client.is_stopped() {
                return;
            }
            let wakeup = client.wakeup(now);
            let wakeup = news.map_or(wakeup, |at| at.min(wakeup));
            let happened = self.wait(wakeup, &mut line, &mut buffer).await;
            if matches!(happened, Happened::News) {
                news.get_or_insert(rested);
            }
            self.react(happened, &mut client, &mut line, &mut buffer);
        }
    }

    /// Does what the client asks for.
    async fn carry_out(&self, client: &mut Client, connection: &mut Connection) {
        while let Some(effect) = client.next_effect() {
            match effect {
                Effect::Dial => {
                    let config = self.config.borrow().clone();
                    connection.dialling = Some(Box::pin(dial(config)));
                }
                Effect::Send(bytes) => {
                    if let Some(line) = &mut connection.line {
                        line.outgoing.extend_from_slice(&bytes);
                    }
                }
                Effect::Close { flush } => {
                    connection.dialling = None;
                    close(connection.line.take(), flush).await;
                }
                Effect::Save { cursors, last } => {
                    connection.file = save(connection.file.take(), cursors, last).await;
                }
            }
        }
    }

    /// Tells the client what happened.
    fn react(
        &mut self,
        happened: Happened,
        client: &mut Client,
        connection: &mut Connection,
        buffer: &mut BytesMut,
    ) {
        let now = self.clock.now();
        match happened {
            Happened::Dialled(opened) => {
                connection.dialling = None;
                match opened {
                    Ok(io) => {
                        connection.line = Some(Line::new(io));
                        client.connected(now, &*self.source);
                    }
                    Err(error) => client.lost(now, &End::Failed(error.to_string())),
                }
            }
            Happened::Read(Ok(0)) => client.lost(now, &End::Closed),
            Happened::Read(Ok(_)) => {
                client.received(now, buffer, &*self.source);
                buffer.clear();
            }
            Happened::Read(Err(error)) | Happened::Written(Err(error)) => {
                client.lost(now, &of_error(&error));
            }
            Happened::Reloaded => {
                let login = login(&self.config.borrow_and_update());
                client.change_login(now, login);
            }
            Happened::Stop => client.stop(now),
            Happened::Time | Happened::News | Happened::Written(Ok(())) => {}
        }
    }

    async fn wait(
        &mut self,
        wakeup: Moment,
        connection: &mut Connection,
        buffer: &mut BytesMut,
    ) -> Happened {
        let (dialling, line) = (&mut connection.dialling, connection.line.as_mut());
        let dialled = async {
            match dialling {
                Some(dialling) => dialling.await,
                None => std::future::pending().await,
            }
        };
        let (read, write) = match line {
            Some(line) => (
                Some(&mut line.read),
                Some((&mut line.write, &mut line.outgoing, &mut line.unflushed)),
            ),
            None => (None, None),
        };
        let read = async {
            match read {
                Some(read) => read.read_buf(buffer).await,
                None => std::future::pending().await,
            }
        };
        let written = async {
            match write {
                Some((write, outgoing, unflushed)) if !outgoing.is_empty() => {
                    *unflushed = true;
                    write.write_buf(outgoing).await.map(|_| ())
                }
                Some((write, _, unflushed)) if *unflushed => {
                    write.flush().await?;
                    *unflushed = false;
                    Ok(())
                }
                _ => std::future::pending().await,
            }
        };
        let stopped = *self.stop.borrow();
        tokio::select! {
            opened = dialled => Happened::Dialled(opened),
            read = read => Happened::Read(read),
            written = written => Happened::Written(written),
            () = tokio::time::sleep_until(self.clock.instant(wakeup)) => Happened::Time,
            () = self.news.notified() => Happened::News,
            changed = self.config.changed() => match changed {
                Ok(()) => Happened::Reloaded,
                // The sender goes only when all ends.
                Err(_) => Happened::Stop,
            },
            _ = self.stop.wait_for(|stop| *stop), if !stopped => Happened::Stop,
        }
    }

    /// Logs, counts and reports what changed.
    fn show(&self, client: &Client, now: Moment, shown: &mut Shown) {
        let broker = self.config.borrow().url.to_string();
        let up = client.is_up();
        if up != shown.up {
            shown.up = up;
            self.metrics.connected.set(i64::from(up));
            if up {
                tracing::info!(broker, "connected to the MQTT broker");
            } else {
                tracing::warn!(broker, "the connection to the MQTT broker ended");
            }
        }
        let problem = client.problem();
        let mut changed = problem != shown.problem.as_deref();
        if changed {
            shown.problem = problem.map(str::to_owned);
            if let Some(problem) = problem {
                tracing::warn!(broker, "MQTT: {problem}");
            }
        }
        let counts = client.counts();
        changed |= counts.takeovers != shown.counts.takeovers;
        self.count(counts, std::mem::replace(&mut shown.counts, counts));
        let duty = if up { client.duty() } else { Duty::Off };
        let can_publish = client.can_publish(now);
        let status = (up, duty, can_publish);
        if changed || shown.status != Some(status) {
            shown.status = Some(status);
            let status = MqttStatus {
                broker,
                connected: up,
                problem: shown.problem.clone(),
                events: duty.text().to_owned(),
                takeovers: counts.takeovers,
            };
            (self.told)(status, can_publish);
        }
        if shown.lag_at <= now {
            shown.lag_at = now.after_ms(LAG_MS);
            self.metrics.lag(client.lag(&*self.source));
        }
    }
}

impl Runner {
    fn count(&self, counts: Counts, before: Counts) {
        if counts == before {
            return;
        }
        let metrics = &self.metrics;
        metrics
            .takeovers
            .inc_by(counts.takeovers - before.takeovers);
        metrics.connects.inc_by(counts.connects - before.connects);
        metrics.refused.inc_by(counts.refused - before.refused);
        let outcomes = [
            ("sent", counts.events_sent - before.events_sent),
            ("refused", counts.events_refused - before.events_refused),
            ("gap", counts.gaps - before.gaps),
        ];
        for (outcome, more) in outcomes {
            metrics.events.with_label_values(&[outcome]).inc_by(more);
        }
    }
}

impl Line {
    fn new(io: Box<dyn Io>) -> Self {
        let (read, write) = split(io);
        Self {
            read,
            write,
            outgoing: BytesMut::new(),
            unflushed: false,
        }
    }
}

/// How long a last packet may take.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(500);

async fn close(line: Option<Line>, flush: bool) {
    let Some(mut line) = line else { return };
    if !flush {
        return;
    }
    let writing = async {
        line.write.write_all_buf(&mut line.outgoing).await?;
        line.write.shutdown().await
    };
    // A broker that does not read its goodbye publishes the will, which says what is then true.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, writing).await;
}

/// On a thread of its own: a slow disk must not hold up agents.
async fn save(file: Option<CursorFile>, cursors: Cursors, last: bool) -> Option<CursorFile> {
    let mut file = file?;
    let saving = tokio::task::spawn_blocking(move || {
        let saved = file.save(&cursors, last);
        (file, saved)
    });
    let (file, saved) = saving.await.ok()?;
    if let Err(error) = saved {
        // Readers get the events since the last save once more after a restart.
        tracing::warn!("cannot save how far events were published: {error}");
    }
    Some(file)
}

/// A reset says what an orderly end says: the broker has dropped the connection, and had not read everything.
fn of_error(error: &std::io::Error) -> End {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof
        | std::io::ErrorKind::ConnectionReset
        | std::io::ErrorKind::BrokenPipe => End::Closed,
        _ => End::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::alpn;

    #[test]
    fn mqtt_is_named_on_the_port_of_https_only() {
        assert_eq!(alpn(443), [b"mqtt".to_vec(), b"x-amzn-mqtt-ca".to_vec()]);
        assert!(alpn(8_883).is_empty());
    }
}
