//! Bytes to packets and back: the protocol library's codecs of both versions behind one type.

use std::cell::RefCell;
use std::io;
use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;

use castellan_core::broker::message::Delivery;
use castellan_core::broker::packet::{Connect, Incoming, Outgoing, ReasonCode, Version};
use ntex_bytes::{BytePages, Bytes, BytesMut};
use ntex_codec::{Decoder, Encoder};
use ntex_io::IoRef;
use ntex_mqtt::error::{DecodeError, EncodeError};
use ntex_mqtt::{v3, v5};

use crate::{packets3, packets5};

/// Bytes of the first packet that tell the version: fixed header, protocol name, level.
const LONGEST_PROBE: usize = 12;

/// What a client sent.
#[derive(Debug)]
pub(crate) enum Frame {
    /// Its CONNECT.
    Connect(Box<Connect>),
    /// Anything else.
    Packet(Incoming),
}

impl Frame {
    /// What no client may send now.
    pub(crate) fn violation(reason: ReasonCode, text: impl Into<String>) -> Self {
        Self::Packet(Incoming::Violation { reason, text: text.into() })
    }
}

/// The payload that was encoded last, so that all receivers of a message share one copy of it: a large one is written from there.
#[derive(Debug, Default)]
pub(crate) struct LastPayload(RefCell<Option<(Arc<[u8]>, Bytes)>>);

impl LastPayload {
    /// The payload as the protocol library takes it.
    fn shared(&self, payload: &Arc<[u8]>) -> Bytes {
        let mut last = self.0.borrow_mut();
        match &*last {
            Some((of, bytes)) if Arc::ptr_eq(of, payload) => bytes.clone(),
            Some(_) | None => {
                let bytes = Bytes::copy_from_slice(payload);
                *last = Some((Arc::clone(payload), bytes.clone()));
                bytes
            }
        }
    }
}

/// The codec of one connection.
#[derive(Debug)]
pub(crate) struct Wire {
    codec: Codec,
    payloads: Rc<LastPayload>,
}

/// The protocol library's codec, and a PUBLISH whose payload is still to come.
#[derive(Debug)]
enum Codec {
    V3(v3::codec::Codec, RefCell<Option<v3::codec::Publish>>),
    V5(v5::codec::Codec, RefCell<Option<v5::codec::Publish>>),
}

impl Wire {
    /// The codec of this version; larger packets are refused before they are read.
    pub(crate) fn new(version: Version, max_packet_bytes: u32, payloads: Rc<LastPayload>) -> Self {
        let codec = match version {
            Version::V311 => {
                let codec = v3::codec::Codec::new();
                codec.set_max_size(max_packet_bytes);
                // Whole payloads only.
                codec.set_min_chunk_size(u32::MAX);
                Codec::V3(codec, RefCell::default())
            }
            Version::V5 => {
                let codec = v5::codec::Codec::new();
                codec.set_max_inbound_size(max_packet_bytes);
                codec.set_min_chunk_size(u32::MAX);
                Codec::V5(codec, RefCell::default())
            }
        };
        Self { codec, payloads }
    }

    /// Closes with a reason, where the version has a packet for that.
    pub(crate) fn say_goodbye(&self, io: &IoRef, reason: ReasonCode, note: Option<String>) {
        report_unsaid(match &self.codec {
            Codec::V3(..) => Ok(()),
            Codec::V5(codec, _) => io.encode(packets5::disconnect(reason, note), codec),
        });
    }

    /// Answers a CONNECT that cannot be read. MQTT 5.0 can say that it was malformed (4.13); MQTT 3.1.1 closes without a word,
    /// but for an empty client id of a session that is to stay (3.1.3.1).
    pub(crate) fn refuse_connect(&self, io: &IoRef, error: &DecodeError) {
        let said = match &self.codec {
            Codec::V3(codec, _) if *error == DecodeError::InvalidClientId => io.encode(packets3::no_client_id(), codec),
            Codec::V3(..) => Ok(()),
            Codec::V5(codec, _) => io.encode(packets5::malformed_connect(), codec),
        };
        report_unsaid(said);
    }
}

fn report_unsaid(said: Result<(), EncodeError>) {
    if let Err(error) = said {
        log::debug!("the reason of a close could not be written: {error}");
    }
}

impl Decoder for Wire {
    type Item = Frame;
    type Error = DecodeError;

    fn decode(&self, source: &mut BytesMut) -> Result<Option<Frame>, DecodeError> {
        loop {
            let frame = match &self.codec {
                Codec::V3(codec, begun) => match codec.decode(source)? {
                    None => return Ok(None),
                    Some(v3::codec::Decoded::Packet(packet, _)) => Some(packets3::frame(packet)),
                    Some(v3::codec::Decoded::Publish(publish, payload, _)) => {
                        if whole(publish.payload_size, payload.len()) {
                            Some(packets3::publish(&publish, &payload))
                        } else {
                            begun.replace(Some(publish));
                            None
                        }
                    }
                    Some(v3::codec::Decoded::PayloadChunk(payload, _)) => {
                        begun.take().map(|publish| packets3::publish(&publish, &payload))
                    }
                },
                Codec::V5(codec, begun) => match codec.decode(source)? {
                    None => return Ok(None),
                    Some(v5::codec::Decoded::Packet(packet, _)) => {
                        if let v5::codec::Packet::Connect(connect) = &packet {
                            // 0 is no limit; the library never leaves it in a CONNECT.
                            codec.set_max_outbound_size(connect.max_packet_size.map_or(0, NonZeroU32::get));
                        }
                        Some(packets5::frame(packet))
                    }
                    Some(v5::codec::Decoded::Publish(publish, payload, _)) => {
                        if whole(publish.payload_size, payload.len()) {
                            Some(packets5::publish(&publish, &payload))
                        } else {
                            begun.replace(Some(publish));
                            None
                        }
                    }
                    Some(v5::codec::Decoded::PayloadChunk(payload, _)) => {
                        begun.take().map(|publish| packets5::publish(&publish, &payload))
                    }
                },
            };
            if frame.is_some() {
                return Ok(frame);
            }
        }
    }
}

fn whole(announced: u32, here: usize) -> bool {
    usize::try_from(announced) == Ok(here)
}

impl Encoder for Wire {
    type Item = Outgoing;
    type Error = EncodeError;

    fn encode(&self, packet: Outgoing, pages: &mut BytePages) -> Result<(), EncodeError> {
        let payload = |delivery: &Delivery| self.payloads.shared(&delivery.message.payload);
        match &self.codec {
            // Not by the codec that reads: its limit is on what a client sends, and a client of MQTT 3.1.1 names none.
            Codec::V3(..) => match packets3::encoded(packet, payload) {
                Some(encoded) => v3::codec::Codec::new().encode(encoded, pages),
                None => Ok(()),
            },
            Codec::V5(codec, _) => codec.encode(packets5::encoded(packet, payload), pages),
        }
    }
}

/// Reads the protocol level of a CONNECT and leaves it where it is.
#[derive(Debug)]
pub(crate) struct Probe;

/// What the first packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// A CONNECT of a version that is spoken here.
    Version(Version),
    /// A CONNECT of another version.
    UnknownLevel(u8),
    /// No CONNECT.
    Stranger,
}

impl Decoder for Probe {
    type Item = Greeting;
    type Error = io::Error;

    fn decode(&self, source: &mut BytesMut) -> Result<Option<Greeting>, io::Error> {
        Ok(greet(source))
    }
}

impl Encoder for Probe {
    type Item = v3::codec::ConnectAckReason;
    type Error = EncodeError;

    /// A refusal in the one form that every version understands (MQTT 3.1.1 3.1.2.2).
    fn encode(&self, return_code: Self::Item, pages: &mut BytePages) -> Result<(), EncodeError> {
        let refusal = v3::codec::ConnectAck { return_code, session_present: false };
        v3::codec::Codec::new().encode(v3::codec::Encoded::Packet(v3::codec::Packet::ConnectAck(refusal)), pages)
    }
}

/// The version of a CONNECT, as far as its first bytes tell; `None` where more are needed (MQTT 5.0 3.1.2).
fn greet(bytes: &[u8]) -> Option<Greeting> {
    const CONNECT: u8 = 0x10;
    const CONTINUES: u8 = 0x80;
    let (first, rest) = bytes.split_first()?;
    if *first != CONNECT {
        return Some(Greeting::Stranger);
    }
    let length = rest.iter().take(4).position(|byte| byte & CONTINUES == 0);
    let Some(header) = length.and_then(|last| rest.get(last.saturating_add(1)..)) else {
        return (rest.len() >= 4).then_some(Greeting::Stranger);
    };
    let expected: &[u8] = b"\x00\x04MQTT";
    let (name, level) = header.split_at_checked(expected.len()).unwrap_or((header, &[]));
    if !expected.starts_with(name) {
        // The older protocol name has a level of its own, which is not spoken here (MQTT 3.1).
        let is_older = header.starts_with(b"\x00\x06MQIsdp");
        let undecided = b"\x00\x06MQIsdp".starts_with(header);
        return match (is_older, undecided) {
            (true, _) => Some(Greeting::UnknownLevel(3)),
            (false, true) if bytes.len() < LONGEST_PROBE => None,
            (false, _) => Some(Greeting::Stranger),
        };
    }
    Some(match level.first()? {
        4 => Greeting::Version(Version::V311),
        5 => Greeting::Version(Version::V5),
        other => Greeting::UnknownLevel(*other),
    })
}

#[cfg(test)]
mod tests;
