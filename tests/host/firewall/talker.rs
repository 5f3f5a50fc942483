//! A process in a namespace that listens and connects as it is told. It never waits for a packet that
//! might be dropped: a connection is begun, and later asked about.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use serde_json::{Value, json};

use super::space::Space;

const SCRIPT: &str = r#"
import errno, json, select, socket, sys, threading
connections, listeners = {}, []
def family(host): return socket.AF_INET6 if ":" in host else socket.AF_INET
def serve(listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=echo, args=(connection,), daemon=True).start()
def echo(connection):
    try:
        while data := connection.recv(4096): connection.sendall(data)
    except OSError: pass
    connection.close()
def listen(host, port):
    s = socket.socket(family(host))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if s.family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((host, port)); s.listen(64); listeners.append(s)
    threading.Thread(target=serve, args=(s,), daemon=True).start()
def connect(id, source, to, port):
    s = socket.socket(family(to)); s.setblocking(False); s.bind((source, 0))
    code = s.connect_ex((to, port))
    assert code in (0, errno.EINPROGRESS), errno.errorcode[code]
    connections[id] = s
def connected(id, wait):
    s = connections[id]
    _, ready, _ = select.select([], [s], [], wait)
    if not ready: return False
    code = s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    assert code == 0, errno.errorcode[code]
    return True
def talk(id, text, wait):
    s = connections[id]; s.settimeout(wait)
    s.sendall(text.encode()); got = b""
    while len(got) < len(text): got += s.recv(4096)
    return got.decode()
def ping(source, to, wait):
    six = ":" in to
    s = socket.socket(family(to), socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
    s.bind((source, 0)); s.settimeout(wait)
    request = bytearray([128 if six else 8, 0, 0, 0, 7, 7, 0, 1])
    if not six:
        total = sum(int.from_bytes(request[i:i + 2], "big") for i in (0, 2, 4, 6))
        request[2:4] = (~((total & 0xffff) + (total >> 16)) & 0xffff).to_bytes(2, "big")
    s.sendto(request, (to, 0))
    while True:
        got = s.recv(4096)
        if not six: got = got[(got[0] & 15) * 4:]
        if got[0] == (129 if six else 0) and got[4:6] == b"\x07\x07": return True
for line in sys.stdin:
    words = json.loads(line)
    try: reply = {"ok": globals()[words.pop("do")](**words)}
    except Exception as error: reply = {"error": repr(error)}
    print(json.dumps(reply), flush=True)
"#;

/// Longer than anything that works takes.
const PATIENCE_S: u64 = 60;

#[derive(Debug)]
pub(crate) struct Talker {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    begun: u32,
}

/// A connection that was begun.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Connection(u32);

impl Talker {
    pub(crate) fn new(space: &Space) -> Self {
        let mut child = space
            .command("python3", &["-c", SCRIPT])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self {
            child,
            stdin,
            stdout,
            begun: 0,
        }
    }

    /// Echoes on a port.
    pub(crate) fn listen(&mut self, host: &str, port: u16) {
        self.tell(&json!({"do": "listen", "host": host, "port": port}));
    }

    /// Begins a connection.
    pub(crate) fn connect(&mut self, source: &str, to: &str, port: u16) -> Connection {
        self.begun += 1;
        let id = self.begun;
        self.tell(&json!({"do": "connect", "id": id, "source": source, "to": to, "port": port}));
        Connection(id)
    }

    /// Whether it is established now.
    pub(crate) fn is_connected(&mut self, connection: Connection) -> bool {
        self.tell(&json!({"do": "connected", "id": connection.0, "wait": 0})) == true
    }

    /// Sends a text and waits until it has come back.
    #[track_caller]
    pub(crate) fn talk(&mut self, connection: Connection) {
        let told = json!({
            "do": "talk", "id": connection.0, "text": "hello", "wait": PATIENCE_S,
        });
        assert_eq!(self.tell(&told), "hello");
    }

    #[track_caller]
    pub(crate) fn talk_all(&mut self, connections: &[Connection]) {
        for &connection in connections {
            self.talk(connection);
        }
    }

    /// Connects, and sees that bytes go there and back.
    #[track_caller]
    pub(crate) fn passes(&mut self, source: &str, to: &str, port: u16) -> Connection {
        let connection = self.connect(source, to, port);
        let told = json!({"do": "connected", "id": connection.0, "wait": PATIENCE_S});
        assert_eq!(self.tell(&told), true, "{source} reaches {to} port {port}");
        self.talk(connection);
        connection
    }

    /// Sends an echo request and waits for its answer.
    #[track_caller]
    pub(crate) fn pings(&mut self, source: &str, to: &str) {
        let told = json!({"do": "ping", "source": source, "to": to, "wait": PATIENCE_S});
        assert_eq!(self.tell(&told), true, "{source} pings {to}");
    }

    #[track_caller]
    fn tell(&mut self, words: &Value) -> Value {
        writeln!(self.stdin.as_mut().unwrap(), "{words}").unwrap();
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        let reply: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(reply.get("error"), None, "{words}");
        reply["ok"].clone()
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        drop(self.stdin.take());
        // Its threads are daemons: it ends with its input.
        let _ = self.child.wait();
    }
}
