//! Packets of MQTT 5 and 3.1.1, as bytes. The only file that names `rumqttc`, of which only the codecs are used.
//!
//! The crate misreads three packets, so this file looks at them first: `e0 00` and `e0 01 xx` (DISCONNECT without
//! properties) and `f0` (AUTH). It gives the crate whole frames only: the crate would otherwise swallow the bytes
//! of a frame that it finds incomplete.

use bytes::{Bytes, BytesMut};
use rumqttc::mqttbytes::{self, v4};
use rumqttc::v5::mqttbytes::{self as bytes5, v5};

use crate::config::MqttVersion;

/// The largest packet in both directions; AWS IoT Core refuses more than 128 KiB.
pub const PACKET_BYTES_MAX: usize = 128 * 1024;
/// The largest fixed header: one byte, and four of the length.
const HEADER_BYTES_MAX: usize = 5;
/// Publishes that the broker may send us before we acknowledged the first.
pub const RECEIVE_MAX: u16 = 16;

pub const PINGREQ: &[u8] = &[0xc0, 0];
/// The orderly end: the broker discards the will.
pub const DISCONNECT: &[u8] = &[0xe0, 0];

/// A message for a topic, with QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: String,
    pub retain: bool,
    /// The broker drops it after this time; only MQTT 5 has that.
    pub expiry_s: Option<u32>,
}

/// What CONNECT says.
#[derive(Debug, Clone)]
pub struct Hello<'a> {
    pub version: MqttVersion,
    pub client_id: &'a str,
    pub user: Option<&'a str>,
    pub password: Option<&'a str>,
    pub keep_alive_s: u16,
    pub will: Option<&'a Message>,
}

/// What a broker sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    Accepted(Granted),
    /// CONNACK with a reason why not.
    Refused(String),
    Publish {
        topic: Bytes,
        payload: Bytes,
        /// 0: it wants no acknowledgement.
        id: u16,
        retained: bool,
    },
    /// A publish of ours was taken, or refused for this reason.
    PubAck {
        id: u16,
        refused: Option<String>,
    },
    SubAck {
        id: u16,
        refused: bool,
    },
    Pong,
    /// The broker ends the connection; only MQTT 5 says why.
    Disconnect(Option<u8>),
}

/// What the broker grants to this connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    pub receive_max: u16,
    pub packet_bytes_max: usize,
    /// The broker's own keep-alive, if it does not accept ours.
    pub keep_alive_s: Option<u16>,
    /// It takes no QoS 1, without which nothing is acknowledged.
    pub only_qos_0: bool,
    pub retains: bool,
}

/// Why the bytes of a broker make no packet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the broker sent {0}")]
pub struct Malformed(String);

/// A packet that the limits do not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLarge;

/// Takes the next whole packet out of `buffer`; `None` if it is not complete yet.
pub fn decode(version: MqttVersion, buffer: &mut BytesMut) -> Result<Option<Incoming>, Malformed> {
    let Some((header, rest)) = frame(buffer)? else {
        return Ok(None);
    };
    if buffer.len() < header + rest {
        return Ok(None);
    }
    let mut frame = buffer.split_to(header + rest);
    match frame[0] >> 4 {
        14 => Ok(Some(Incoming::Disconnect(frame.get(header).copied()))),
        15 => Err(Malformed("AUTH, which was not agreed on".to_owned())),
        _ => match version {
            MqttVersion::V5 => decode_5(&mut frame),
            MqttVersion::V311 => decode_311(&mut frame),
        }
        .map(Some),
    }
}

/// The lengths of the fixed header and of the rest, once they are known.
fn frame(buffer: &BytesMut) -> Result<Option<(usize, usize)>, Malformed> {
    let mut rest = 0;
    for (at, byte) in buffer.iter().enumerate().take(HEADER_BYTES_MAX).skip(1) {
        rest |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            if rest > PACKET_BYTES_MAX {
                return Err(Malformed(format!("a packet of {rest} bytes")));
            }
            return Ok(Some((at + 1, rest)));
        }
    }
    if buffer.len() < HEADER_BYTES_MAX {
        Ok(None)
    } else {
        Err(Malformed("a packet without a length".to_owned()))
    }
}

fn decode_5(frame: &mut BytesMut) -> Result<Incoming, Malformed> {
    let limit = u32::try_from(PACKET_BYTES_MAX).unwrap_or(u32::MAX);
    let packet = v5::Packet::read(frame, Some(limit)).map_err(|error| wrong(&error))?;
    Ok(match packet {
        v5::Packet::ConnAck(ack) if ack.code == v5::ConnectReturnCode::Success => {
            Incoming::Accepted(granted(ack.properties.as_ref()))
        }
        v5::Packet::ConnAck(ack) => Incoming::Refused(words(&ack.code)),
        v5::Packet::Publish(publish) if publish.qos == bytes5::QoS::ExactlyOnce => {
            return Err(Malformed("QoS 2, which was not asked for".to_owned()));
        }
        v5::Packet::Publish(publish) => Incoming::Publish {
            topic: publish.topic,
            payload: publish.payload,
            id: publish.pkid,
            retained: publish.retain,
        },
        v5::Packet::PubAck(ack) => Incoming::PubAck {
            id: ack.pkid,
            refused: match ack.reason {
                v5::PubAckReason::Success | v5::PubAckReason::NoMatchingSubscribers => None,
                reason => Some(words(&reason)),
            },
        },
        v5::Packet::SubAck(ack) => Incoming::SubAck {
            id: ack.pkid,
            refused: (ack.return_codes.iter())
                .any(|code| !matches!(code, v5::SubscribeReasonCode::Success(_))),
        },
        v5::Packet::PingResp(_) => Incoming::Pong,
        _ => return Err(unexpected()),
    })
}

fn granted(properties: Option<&v5::ConnAckProperties>) -> Granted {
    let bytes_max = properties.and_then(|p| p.max_packet_size);
    let bytes_max = bytes_max.and_then(|max| usize::try_from(max).ok());
    Granted {
        receive_max: properties.and_then(|p| p.receive_max).unwrap_or(u16::MAX),
        packet_bytes_max: bytes_max.unwrap_or(PACKET_BYTES_MAX).min(PACKET_BYTES_MAX),
        keep_alive_s: properties.and_then(|p| p.server_keep_alive),
        only_qos_0: properties.and_then(|p| p.max_qos) == Some(0),
        retains: properties.and_then(|p| p.retain_available) != Some(0),
    }
}

fn decode_311(frame: &mut BytesMut) -> Result<Incoming, Malformed> {
    let packet = v4::Packet::read(frame, PACKET_BYTES_MAX).map_err(|error| wrong(&error))?;
    Ok(match packet {
        v4::Packet::ConnAck(ack) if ack.code == v4::ConnectReturnCode::Success => {
            Incoming::Accepted(granted(None))
        }
        v4::Packet::ConnAck(ack) => Incoming::Refused(words(&ack.code)),
        v4::Packet::Publish(publish) if publish.qos == mqttbytes::QoS::ExactlyOnce => {
            return Err(Malformed("QoS 2, which was not asked for".to_owned()));
        }
        v4::Packet::Publish(publish) => Incoming::Publish {
            topic: publish.topic.into(),
            payload: publish.payload,
            id: publish.pkid,
            retained: publish.retain,
        },
        v4::Packet::PubAck(ack) => Incoming::PubAck {
            id: ack.pkid,
            refused: None,
        },
        v4::Packet::SubAck(ack) => Incoming::SubAck {
            id: ack.pkid,
            refused: ack.return_codes.contains(&v4::SubscribeReasonCode::Failure),
        },
        v4::Packet::PingResp => Incoming::Pong,
        _ => return Err(unexpected()),
    })
}

/// CONNECT, with the will and the bounds of what the broker may send.
pub fn connect(hello: &Hello<'_>, out: &mut BytesMut) -> Result<(), TooLarge> {
    match hello.version {
        MqttVersion::V5 => connect_5(hello, out),
        MqttVersion::V311 => connect_311(hello, out),
    }
}

fn connect_5(hello: &Hello<'_>, out: &mut BytesMut) -> Result<(), TooLarge> {
    let keep_alive_s = u32::from(hello.keep_alive_s);
    let will = hello.will.map(|will| {
        // The broker waits before it publishes the will, so that a short outage is not told.
        let properties = v5::LastWillProperties {
            delay_interval: Some(keep_alive_s),
            payload_format_indicator: None,
            message_expiry_interval: None,
            content_type: None,
            response_topic: None,
            correlation_data: None,
            user_properties: Vec::new(),
        };
        let payload = will.payload.clone();
        let qos = bytes5::QoS::AtLeastOnce;
        v5::LastWill::new(
            will.topic.clone(),
            payload,
            qos,
            will.retain,
            Some(properties),
        )
    });
    let connect = v5::Connect {
        keep_alive: hello.keep_alive_s,
        client_id: hello.client_id.to_owned(),
        // A clean start would end the old session, and with it the wait before its will. Without a will, there is
        // nothing to keep.
        clean_start: hello.will.is_none(),
        properties: Some(v5::ConnectProperties {
            // A session that expires earlier than the will's delay cuts it short.
            session_expiry_interval: hello.will.map(|_| keep_alive_s * 2),
            receive_maximum: Some(RECEIVE_MAX),
            max_packet_size: u32::try_from(PACKET_BYTES_MAX).ok(),
            topic_alias_max: None,
            request_response_info: None,
            request_problem_info: None,
            user_properties: Vec::new(),
            authentication_method: None,
            authentication_data: None,
        }),
    };
    let login = hello.user.map(|user| {
        let password = hello.password.unwrap_or_default();
        v5::Login::new(user, password)
    });
    let packet = v5::Packet::Connect(connect, will, login);
    packet.write(out, None).map(|_| ()).map_err(|_| TooLarge)
}

fn connect_311(hello: &Hello<'_>, out: &mut BytesMut) -> Result<(), TooLarge> {
    let mut connect = v4::Connect::new(hello.client_id);
    connect.keep_alive = hello.keep_alive_s;
    connect.last_will = hello.will.map(|will| {
        let qos = mqttbytes::QoS::AtLeastOnce;
        v4::LastWill::new(will.topic.clone(), will.payload.clone(), qos, will.retain)
    });
    if let Some(user) = hello.user {
        connect.set_login(user, hello.password.unwrap_or_default());
    }
    let packet = v4::Packet::Connect(connect);
    let written = packet.write(out, PACKET_BYTES_MAX);
    written.map(|_| ()).map_err(|_| TooLarge)
}

/// PUBLISH with QoS 1.
pub fn publish(
    version: MqttVersion,
    message: &Message,
    id: u16,
    bytes_max: usize,
    out: &mut BytesMut,
) -> Result<(), TooLarge> {
    let payload = Bytes::copy_from_slice(message.payload.as_bytes());
    match version {
        MqttVersion::V5 => {
            let properties = message.expiry_s.map(|expiry_s| v5::PublishProperties {
                message_expiry_interval: Some(expiry_s),
                ..v5::PublishProperties::default()
            });
            let qos = bytes5::QoS::AtLeastOnce;
            let mut publish = v5::Publish::new(message.topic.clone(), qos, payload, properties);
            (publish.pkid, publish.retain) = (id, message.retain);
            let limit = u32::try_from(bytes_max).unwrap_or(u32::MAX);
            let written = v5::Packet::Publish(publish).write(out, Some(limit));
            written.map(|_| ()).map_err(|_| TooLarge)
        }
        MqttVersion::V311 => {
            let (topic, qos) = (message.topic.clone(), mqttbytes::QoS::AtLeastOnce);
            let mut publish = v4::Publish::from_bytes(topic, qos, payload);
            (publish.pkid, publish.retain) = (id, message.retain);
            let written = v4::Packet::Publish(publish).write(out, bytes_max);
            written.map(|_| ()).map_err(|_| TooLarge)
        }
    }
}

/// SUBSCRIBE with QoS 1.
pub fn subscribe(
    version: MqttVersion,
    topics: &[String],
    id: u16,
    out: &mut BytesMut,
) -> Result<(), TooLarge> {
    match version {
        MqttVersion::V5 => {
            let filter = |topic: &String| v5::Filter::new(topic, bytes5::QoS::AtLeastOnce);
            let mut subscribe = v5::Subscribe::new_many(topics.iter().map(filter), None);
            subscribe.pkid = id;
            let written = v5::Packet::Subscribe(subscribe).write(out, None);
            written.map(|_| ()).map_err(|_| TooLarge)
        }
        MqttVersion::V311 => {
            let filter = |topic: &String| {
                v4::SubscribeFilter::new(topic.clone(), mqttbytes::QoS::AtLeastOnce)
            };
            let mut subscribe = v4::Subscribe::new_many(topics.iter().map(filter));
            subscribe.pkid = id;
            let written = v4::Packet::Subscribe(subscribe).write(out, PACKET_BYTES_MAX);
            written.map(|_| ()).map_err(|_| TooLarge)
        }
    }
}

/// PUBACK of a publish that the broker sent; the same in both versions.
pub fn puback(id: u16, out: &mut BytesMut) {
    let [high, low] = id.to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

fn wrong(error: &dyn std::fmt::Debug) -> Malformed {
    Malformed(format!("a malformed packet ({error:?})"))
}

fn unexpected() -> Malformed {
    Malformed("a packet that only clients send".to_owned())
}

/// `NotAuthorized` as `not authorized`.
fn words(reason: &dyn std::fmt::Debug) -> String {
    let mut words = String::new();
    for letter in format!("{reason:?}").chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(version: MqttVersion, bytes: &[u8]) -> Result<Option<Incoming>, Malformed> {
        let mut buffer = BytesMut::from(bytes);
        decode(version, &mut buffer)
    }

    #[test]
    fn packets_that_the_crate_misreads_are_read_here() {
        for version in [MqttVersion::V5, MqttVersion::V311] {
            assert_eq!(
                read(version, &[0xe0, 0]),
                Ok(Some(Incoming::Disconnect(None)))
            );
            assert_eq!(
                read(version, &[0xe0, 1, 0x8e]),
                Ok(Some(Incoming::Disconnect(Some(0x8e))))
            );
            assert!(read(version, &[0xf0, 2, 0, 0]).is_err());
        }
    }

    #[test]
    fn an_incomplete_packet_stays_in_the_buffer() {
        let puback = [0x40, 2, 0, 7];
        for length in 0..puback.len() {
            let mut buffer = BytesMut::from(&puback[..length]);
            assert_eq!(decode(MqttVersion::V5, &mut buffer), Ok(None));
            assert_eq!(buffer.len(), length);
        }
        let taken = Incoming::PubAck {
            id: 7,
            refused: None,
        };
        assert_eq!(read(MqttVersion::V5, &puback), Ok(Some(taken)));
    }

    #[test]
    fn a_packet_has_a_length_and_a_bound() {
        assert!(read(MqttVersion::V5, &[0x30, 0xff, 0xff, 0xff, 0xff]).is_err());
        assert!(read(MqttVersion::V311, &[0x30, 0xff, 0xff, 0x7f]).is_err());
        assert_eq!(read(MqttVersion::V5, &[0x30, 0xff, 0xff]), Ok(None));
    }

    #[test]
    fn reasons_read_as_words() {
        let refused = read(MqttVersion::V5, &[0x40, 3, 0, 7, 0x87]);
        let refused = refused.expect("it is a packet").expect("it is complete");
        let expected = Incoming::PubAck {
            id: 7,
            refused: Some("not authorized".to_owned()),
        };
        assert_eq!(refused, expected);
    }
}
