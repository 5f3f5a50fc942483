//! A broker that sends anything, in pieces: the client neither panics nor stores without bound, and whatever comes,
//! its timers still end the connection.

#![no_main]

use std::time::Duration;

use cli_coordinator::config::MqttVersion;
use cli_coordinator::driver::core::Moment;
use cli_coordinator::driver::history::{HistoryRead, Publisher};
use cli_coordinator::engine::ids::{Cursor, ProjectName};
use cli_coordinator::mqtt::client::{Client, Effect, Login, Setup};
use cli_coordinator::mqtt::face::{BoxIdentity, Face};
use cli_coordinator::mqtt::{Cursors, Source};
use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;

/// What the broker sends: anything, or what is nearly right.
#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    Bytes(&'a [u8]),
    Connack,
    Suback(u8),
    Puback(u8, u8),
    Publish { own: bool, payload: &'a [u8] },
    Pause(u16),
    Empty(u8),
}

const ROOT: &str = "coord/v1/default/box";

struct Nothing;

impl Source for Nothing {
    fn condition(&self) -> &'static str {
        "ready"
    }

    fn health(&self) -> String {
        "{}".to_owned()
    }

    fn wall_ms(&self) -> Option<u64> {
        None
    }

    fn publisher(&self) -> Publisher {
        Publisher::This
    }

    fn projects(&self) -> Vec<ProjectName> {
        vec!["default".parse().expect("it is a name")]
    }

    fn end(&self, _: &ProjectName) -> Option<Cursor> {
        None
    }

    fn read(&self, _: &ProjectName, after: Option<Cursor>, _: usize) -> HistoryRead {
        // A gap that never ends, so that there is always something to publish.
        let next = after.unwrap_or_default();
        HistoryRead::Gap {
            next,
            reason: "cursor_expired",
        }
    }

    fn count_after(&self, _: &ProjectName, _: Option<Cursor>) -> u64 {
        0
    }
}

fn bytes(piece: &Piece<'_>, v5: bool) -> Vec<u8> {
    match piece {
        Piece::Bytes(bytes) => bytes.to_vec(),
        Piece::Connack if v5 => vec![0x20, 3, 0, 0, 0],
        Piece::Connack => vec![0x20, 2, 0, 0],
        Piece::Suback(id) if v5 => vec![0x90, 5, 0, *id, 0, 1, 1],
        Piece::Suback(id) => vec![0x90, 4, 0, *id, 1, 1],
        Piece::Puback(id, 0) => vec![0x40, 2, 0, *id],
        Piece::Puback(id, reason) => vec![0x40, 3, 0, *id, *reason],
        Piece::Publish { own, payload } => {
            let topic = format!("{ROOT}/{}", if *own { "status" } else { "cmd/health" });
            let payload = &payload[..payload.len().min(60)];
            let mut body = vec![0, u8::try_from(topic.len()).expect("it is short")];
            body.extend(topic.bytes());
            body.extend(v5.then_some(0));
            body.extend(payload);
            let mut packet = vec![0x30, u8::try_from(body.len()).expect("it is short")];
            packet.extend(body);
            packet
        }
        Piece::Pause(_) => Vec::new(),
        Piece::Empty(kind) => vec![kind & 0xf0, 0],
    }
}

fuzz_target!(|input: (bool, Vec<Piece>)| {
    let (v5, pieces) = input;
    let setup = Setup {
        version: if v5 {
            MqttVersion::V5
        } else {
            MqttVersion::V311
        },
        client_id: "coord-box".to_owned(),
        keep_alive: Duration::from_secs(10),
        health_interval: Duration::from_secs(60),
        events: true,
        face: Face::Fleet {
            identity: BoxIdentity {
                run: "0".repeat(16),
                node: "box-1".to_owned(),
                name: "box".to_owned(),
                version: "0",
                environment: "testing".to_owned(),
            },
            root: ROOT.to_owned(),
            health_interval_ms: 60_000,
        },
        announcements: Vec::new(),
    };
    let mut now = Moment(1);
    let mut client = Client::new(setup, Login::default(), Cursors::new(), 1, now);
    for piece in pieces.iter().take(64) {
        if let Piece::Pause(ms) = piece {
            now = now.after_ms(u64::from(*ms));
        }
        client.poll(now, &Nothing);
        let mut sent = 0;
        while let Some(effect) = client.next_effect() {
            match effect {
                Effect::Dial => client.connected(now, &Nothing),
                Effect::Send(bytes) => sent += bytes.len(),
                Effect::Close { .. } | Effect::Save { .. } => {}
            }
        }
        assert!(sent < 256 * 1024, "it sends {sent} bytes at once");
        client.received(now, &bytes(piece, v5), &Nothing);
    }
});
