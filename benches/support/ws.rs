//! The least of WebSocket that a client needs after its upgrade. Requests are made once; nothing is
//! copied twice, so that on shared processors the client takes little from the server.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use cli_coordinator::client::socket::request as upgrade_request;
use serde_json::Value;
use tokio_tungstenite::tungstenite;

const TEXT: u8 = 0x81;
const FINAL_TEXT_OR_CONTROL: u8 = 0x80;

/// Appends a masked text frame. The mask is 0, which the standard allows and which costs nothing.
pub fn put_text(json: &[u8], out: &mut Vec<u8>) {
    out.push(TEXT);
    match u16::try_from(json.len()) {
        Ok(short @ 0..=125) => out.push(0x80 | short.to_be_bytes()[1]),
        Ok(middle) => {
            out.push(0x80 | 0x7e);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        Err(error) => panic!("requests of the benchmark are short: {error}"),
    }
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(json);
}

/// A text frame of its own.
pub fn text(json: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    put_text(json.as_bytes(), &mut frame);
    frame
}

/// The first frame of `input`, if it is complete: its payload and its length. Control frames have
/// no payload here.
pub fn next_frame(input: &[u8]) -> Option<(&[u8], usize)> {
    let (&first, &second) = (input.first()?, input.get(1)?);
    assert!(
        first & FINAL_TEXT_OR_CONTROL != 0,
        "replies are not fragmented"
    );
    let (head, length) = match second {
        126 => (
            4,
            usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?])),
        ),
        127 => {
            let bytes = input.get(2..10)?.try_into().expect("they are eight");
            let length = u64::from_be_bytes(bytes);
            (10, usize::try_from(length).expect("it fits in memory"))
        }
        short => (2, usize::from(short)),
    };
    let payload = input.get(head..head + length)?;
    let shown = if first == TEXT { payload } else { &[] };
    Some((shown, head + length))
}

/// A blocking connection.
#[derive(Debug)]
pub struct Socket {
    pub stream: TcpStream,
    input: Vec<u8>,
}

impl Socket {
    /// Connects and shakes hands.
    pub fn connect(address: SocketAddr, token: &str) -> Self {
        Self::connect_to(address, "/ws", token)
    }

    pub fn connect_to(address: SocketAddr, target: &str, token: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the coordinator takes connections");
        stream.set_nodelay(true).expect("it is a TCP socket");
        let request = upgrade_request(&format!("ws://{address}{target}"), Some(token));
        let request = request.expect("address and token are well-formed");
        let upgraded = tungstenite::client(request, stream).expect("it upgrades");
        // The coordinator says nothing unasked, so nothing is lost with the library's buffer.
        let stream = upgraded.0.into_inner();
        let input = Vec::new();
        Self { stream, input }
    }

    /// Sends a ready frame and waits for the next text frame, which is left in `into`.
    pub fn exchange(&mut self, frame: &[u8], into: &mut Vec<u8>) {
        self.stream.write_all(frame).expect("it is sent");
        into.clear();
        loop {
            while let Some((payload, used)) = next_frame(&self.input) {
                into.extend_from_slice(payload);
                self.input.drain(..used);
                if !into.is_empty() {
                    return;
                }
            }
            read_some(&mut self.stream, &mut self.input);
        }
    }

    /// Calls an operation; its failure is the end.
    pub fn call(&mut self, method: &str, params: &str) -> Value {
        let reply = self.ask(method, params);
        assert!(reply["result"].is_object(), "{method} was refused: {reply}");
        reply
    }

    /// Calls an operation; it may be refused.
    pub fn ask(&mut self, method: &str, params: &str) -> Value {
        let mut reply = Vec::new();
        self.exchange(&text(&request(method, params)), &mut reply);
        serde_json::from_slice(&reply).expect("replies are JSON")
    }
}

/// A request with the id 1.
pub fn request(method: &str, params: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
}

fn read_some(stream: &mut TcpStream, input: &mut Vec<u8>) {
    let mut chunk = [0; 4096];
    let count = stream.read(&mut chunk).expect("the connection holds");
    assert!(count > 0, "the other side closed the connection");
    input.extend_from_slice(&chunk[..count]);
}
