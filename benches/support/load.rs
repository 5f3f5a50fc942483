//! Many connections in a closed loop, on one thread: each sends its next request when the answer
//! to the last one is there.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

/// One side of a conversation.
pub trait Talk {
    /// Writes the first request of a unit of work.
    fn begin(&mut self, out: &mut Vec<u8>);

    /// Takes the first message of `input` and writes what follows from it.
    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step;
}

impl Talk for Box<dyn Talk> {
    fn begin(&mut self, out: &mut Vec<u8>) {
        (**self).begin(out);
    }

    fn take(&mut self, input: &[u8], out: &mut Vec<u8>) -> Step {
        (**self).take(input, out)
    }
}

/// What a message did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It is not complete yet.
    Incomplete,
    /// So many bytes were used; the unit goes on.
    Within(usize),
    /// So many bytes were used; the unit is complete.
    Finished(usize),
}

struct Peer<T> {
    stream: TcpStream,
    talk: T,
    input: Vec<u8>,
    output: Vec<u8>,
    busy: bool,
}

/// The connections.
pub struct Load<T> {
    peers: Vec<Peer<T>>,
    epoll: Epoll,
}

/// What one round did.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub units: u64,
    pub seconds: f64,
}

impl Round {
    pub fn per_second(self) -> f64 {
        self.units as f64 / self.seconds
    }
}

const EVENTS_AT_ONCE: usize = 256;
/// A server that says nothing for so long is broken.
const SILENCE_MS_MAX: u16 = 20_000;

impl<T: Talk> Load<T> {
    pub fn new(conversations: Vec<(TcpStream, T)>) -> Self {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("the kernel has epoll");
        let mut peers = Vec::with_capacity(conversations.len());
        for (index, (stream, talk)) in conversations.into_iter().enumerate() {
            stream.set_nonblocking(true).expect("it is a socket");
            let event = EpollEvent::new(EpollFlags::EPOLLIN, index as u64);
            epoll.add(&stream, event).expect("it is a socket");
            peers.push(Peer {
                stream,
                talk,
                input: Vec::new(),
                output: Vec::new(),
                busy: false,
            });
        }
        Self { peers, epoll }
    }

    /// Works for so long; then every connection finishes its unit of work and rests.
    pub fn run(&mut self, duration: Duration) -> Round {
        let begun = Instant::now();
        let (mut units, mut busy) = (0, self.peers.len());
        for peer in &mut self.peers {
            peer.talk.begin(&mut peer.output);
            peer.busy = true;
            peer.flush();
        }
        let mut chunk = vec![0; 64 * 1024];
        let mut events = [EpollEvent::empty(); EVENTS_AT_ONCE];
        while busy > 0 {
            let timeout = EpollTimeout::from(SILENCE_MS_MAX);
            let ready = self.epoll.wait(&mut events, timeout).unwrap_or(0);
            assert!(ready > 0, "the server has gone silent");
            let go_on = begun.elapsed() < duration;
            for event in &events[..ready] {
                let index = usize::try_from(event.data()).expect("it was an index");
                let peer = &mut self.peers[index];
                units += peer.serve(&mut chunk, go_on);
                busy -= usize::from(!peer.busy);
            }
        }
        Round {
            units,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }
}

impl<T: Talk> Peer<T> {
    /// Deals with all that has arrived; says how many units are complete with it.
    fn serve(&mut self, chunk: &mut [u8], go_on: bool) -> u64 {
        let count = match self.stream.read(chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return 0,
            Err(error) => panic!("the connection broke: {error}"),
        };
        assert!(count > 0, "the server closed a connection");
        self.input.extend_from_slice(&chunk[..count]);
        let (mut used, mut units) = (0, 0);
        loop {
            match self.talk.take(&self.input[used..], &mut self.output) {
                Step::Incomplete => break,
                Step::Within(bytes) => used += bytes,
                Step::Finished(bytes) => {
                    used += bytes;
                    units += 1;
                    self.busy = go_on;
                    if go_on {
                        self.talk.begin(&mut self.output);
                    }
                }
            }
        }
        self.input.drain(..used);
        self.flush();
        units
    }

    /// Requests are far smaller than a socket's buffer, so this does not wait.
    fn flush(&mut self) {
        if !self.output.is_empty() {
            let sent = self
                .stream
                .write(&self.output)
                .expect("the connection holds");
            assert_eq!(
                sent,
                self.output.len(),
                "a request fits the socket's buffer"
            );
            self.output.clear();
        }
    }
}
