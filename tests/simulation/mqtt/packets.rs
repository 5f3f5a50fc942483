//! The broker's side of MQTT, written by hand: a second opinion of what the packets mean.

/// What a client says.
#[derive(Debug)]
pub(super) enum Said {
    Connect {
        v5: bool,
        clean: bool,
        /// Topic and payload.
        will: (String, String),
        will_delay_s: u32,
    },
    Publish {
        topic: String,
        payload: String,
        id: u16,
        retain: bool,
    },
    Subscribe {
        id: u16,
        topics: Vec<String>,
    },
    PubAck,
    Ping,
    Disconnect,
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn short(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let length = usize::from(self.short());
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn length(&mut self) -> usize {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = self.byte();
            value |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }

    fn properties(&mut self, v5: bool) -> &'a [u8] {
        if !v5 {
            return &[];
        }
        let length = self.length();
        self.take(length)
    }
}

/// Takes the first packet out of `bytes`.
pub(super) fn read(bytes: &mut Vec<u8>, v5: bool) -> Option<Said> {
    if bytes.len() < 2 {
        return None;
    }
    let mut reader = Reader(bytes);
    let first = reader.byte();
    let length = reader.length();
    if reader.0.len() < length {
        return None;
    }
    let mut body = Reader(reader.take(length));
    let rest = reader.0.to_vec();
    let said = match first >> 4 {
        1 => connect(&mut body),
        3 => {
            assert_eq!((first >> 1) & 3, 1, "every publish has QoS 1");
            let topic = body.text();
            let id = body.short();
            body.properties(v5);
            Said::Publish {
                topic,
                payload: String::from_utf8(body.0.to_vec()).unwrap(),
                id,
                retain: first & 1 == 1,
            }
        }
        4 => Said::PubAck,
        8 => {
            let id = body.short();
            body.properties(v5);
            let mut topics = Vec::new();
            while !body.0.is_empty() {
                topics.push(body.text());
                body.byte();
            }
            Said::Subscribe { id, topics }
        }
        12 => Said::Ping,
        14 => Said::Disconnect,
        other => panic!("a client does not send packets of type {other}"),
    };
    *bytes = rest;
    Some(said)
}

fn connect(body: &mut Reader<'_>) -> Said {
    assert_eq!(body.text(), "MQTT");
    let v5 = body.byte() == 5;
    let flags = body.byte();
    // The keep-alive, which this broker does not watch.
    body.short();
    body.properties(v5);
    let client_id = body.text();
    assert!(!client_id.is_empty());
    assert_eq!(flags & 0x3c, 0x2c, "there is a retained will with QoS 1");
    let mut of_will = Reader(body.properties(v5));
    let mut will_delay_s = 0;
    if v5 {
        assert_eq!(of_will.byte(), 0x18);
        will_delay_s = u32::from_be_bytes(of_will.take(4).try_into().unwrap());
    }
    let will = (body.text(), body.text());
    Said::Connect {
        v5,
        clean: flags & 2 != 0,
        will,
        will_delay_s,
    }
}

pub(super) fn connack(v5: bool, present: bool, receive_max: u16) -> Vec<u8> {
    if v5 {
        let [high, low] = receive_max.to_be_bytes();
        vec![0x20, 6, u8::from(present), 0, 3, 0x21, high, low]
    } else {
        vec![0x20, 2, u8::from(present), 0]
    }
}

pub(super) fn suback(v5: bool, id: u16, topics: usize) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    let mut body = vec![high, low];
    body.extend(v5.then_some(0));
    body.extend(std::iter::repeat_n(1, topics));
    packet(0x90, &body)
}

/// `refused`: not authorized.
pub(super) fn puback(id: u16, refused: bool) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    if refused {
        vec![0x40, 3, high, low, 0x87]
    } else {
        vec![0x40, 2, high, low]
    }
}

/// With QoS 0.
pub(super) fn publish(v5: bool, topic: &str, payload: &str, retained: bool) -> Vec<u8> {
    let length = u16::try_from(topic.len()).unwrap();
    let mut body = length.to_be_bytes().to_vec();
    body.extend(topic.bytes());
    body.extend(v5.then_some(0));
    body.extend(payload.bytes());
    packet(0x30 | u8::from(retained), &body)
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![first];
    let mut left = body.len();
    loop {
        let byte = u8::try_from(left & 0x7f).unwrap();
        left >>= 7;
        packet.push(byte | if left > 0 { 0x80 } else { 0 });
        if left == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}
