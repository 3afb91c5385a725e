//! The broker packet by packet, byte by byte: sessions over reconnects, limits, reasons (MQTT 5.0).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use castellan_core::broker::{BrokerSettings, RECEIVE_MAXIMUM, TOPIC_ALIASES};
use castellan_core::event::BrokerReport;
use rustls::pki_types::ServerName;

use crate::support::{Client, House, PATIENCE, Seen, V3, V5, message};

/// A client that is only a socket.
pub(crate) struct Raw(rustls::StreamOwned<rustls::ClientConnection, TcpStream>);

/// A packet with its length before it.
pub(crate) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut length = body.len();
    let mut packet = vec![first];
    loop {
        let low = u8::try_from(length % 128).unwrap();
        length /= 128;
        packet.push(if length > 0 { low | 0x80 } else { low });
        if length == 0 {
            break;
        }
    }
    packet.extend(body);
    packet
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend(text.as_bytes());
    bytes
}

/// CONNECT of MQTT 5.0 with a session that stays for an hour.
pub(crate) fn connect(client_id: &str, clean_start: bool, keep_alive: u16, properties: &[u8]) -> Vec<u8> {
    let mut properties = properties.to_vec();
    properties.extend([0x11, 0, 0, 14, 16]);
    let mut body = text("MQTT");
    body.extend([5, if clean_start { 2 } else { 0 }]);
    body.extend(keep_alive.to_be_bytes());
    body.push(u8::try_from(properties.len()).unwrap());
    body.extend(properties);
    body.extend(text(client_id));
    packet(0x10, &body)
}

pub(crate) fn publish(flags: u8, topic: &str, number: u16, payload: &str) -> Vec<u8> {
    let mut body = text(topic);
    body.extend(number.to_be_bytes());
    body.push(0);
    body.extend(payload.as_bytes());
    packet(0x30 | flags, &body)
}

pub(crate) fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 9, 0];
    body.extend(text(filter));
    body.push(qos);
    packet(0x82, &body)
}

impl Raw {
    pub(crate) fn open(house: &House, first: &[u8]) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", house.port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let session = rustls::ClientConnection::new(Arc::clone(&house.tls), name).unwrap();
        let mut raw = Self(rustls::StreamOwned::new(session, stream));
        raw.send(first);
        raw
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next packet: its first byte and its body.
    pub(crate) fn next(&mut self) -> (u8, Vec<u8>) {
        let mut first = [0; 1];
        self.0.read_exact(&mut first).unwrap();
        let (mut length, mut shift) = (0_usize, 0);
        loop {
            let mut byte = [0; 1];
            self.0.read_exact(&mut byte).unwrap();
            length |= usize::from(byte[0] & 0x7F) << shift;
            shift += 7;
            if byte[0] & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        (first[0], body)
    }

    /// The CONNACK; whether the session was there.
    pub(crate) fn connected(&mut self) -> bool {
        let (first, body) = self.next();
        assert_eq!((first, body[1]), (0x20, 0), "{body:?}");
        body[0] == 1
    }

    /// The reason code of the DISCONNECT that ends the connection.
    pub(crate) fn closed(&mut self) -> u8 {
        let (first, body) = self.next();
        assert_eq!(first, 0xE0, "{body:?}");
        let rest = self.rest();
        assert!(rest.is_empty(), "{rest:?}");
        body[0]
    }

    /// What comes before the broker closes the connection.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(error) = self.0.read_to_end(&mut rest) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the broker kept the connection open");
        }
        rest
    }
}

#[test]
fn qos_2_goes_on_where_it_was_after_a_reconnect() {
    let house = House::open();
    let mut reader = Raw::open(&house, &connect("reader_Tok_1", false, 0, &[]));
    assert!(!reader.connected());
    reader.send(&subscribe("open/#", 2));
    assert_eq!(reader.next(), (0x90, vec![0, 9, 0, 2]));
    let mut writer = Raw::open(&house, &connect("writer_Tok_2", false, 0, &[]));
    writer.connected();
    for (number, payload) in [(1, "one"), (2, "two")] {
        writer.send(&publish(0x04, "open/a", number, payload));
        assert_eq!(writer.next().0, 0x50, "PUBREC");
        assert_eq!(reader.next(), publish_seen(0x34, number, payload));
    }
    // The reader has the first message and says so; nothing after that reaches it.
    reader.send(&packet(0x50, &[0, 1]));
    assert_eq!(reader.next().0, 0x62, "PUBREL");
    drop(reader);
    crate::disconnected(&house, "reader_Tok_1");
    writer.send(&publish(0x04, "open/a", 3, "three"));
    assert_eq!(writer.next().0, 0x50);
    let mut reader = Raw::open(&house, &connect("reader_Tok_1", false, 0, &[]));
    assert!(reader.connected(), "the session was kept");
    assert_eq!(reader.next().0, 0x62, "the first is not sent again, its PUBREL is");
    assert_eq!(reader.next(), publish_seen(0x3C, 2, "two"), "with DUP and its packet identifier");
    assert_eq!(reader.next(), publish_seen(0x34, 3, "three"));
    reader.send(&packet(0x70, &[0, 1]));
    // The writer lost the PUBREC of its third message and sends it again: it is not delivered twice.
    drop(writer);
    let mut writer = Raw::open(&house, &connect("writer_Tok_2", false, 0, &[]));
    assert!(writer.connected());
    writer.send(&publish(0x0C, "open/a", 3, "three"));
    assert_eq!(writer.next().0, 0x50);
    writer.send(&packet(0x62, &[0, 3]));
    assert_eq!(writer.next().0, 0x70, "PUBCOMP");
    writer.send(&publish(0x04, "open/a", 3, "the identifier is free again"));
    assert_eq!(writer.next().0, 0x50);
    assert_eq!(reader.next(), publish_seen(0x34, 4, "the identifier is free again"));
    drop((reader, writer));
    house.close();
}

fn publish_seen(first: u8, number: u16, payload: &str) -> (u8, Vec<u8>) {
    let whole = publish(0, "open/a", number, payload);
    (first, whole[2..].to_vec())
}

#[test]
fn a_clean_start_forgets_the_session() {
    let house = House::open();
    for (clean_start, present) in [(false, false), (false, true), (true, false), (false, true)] {
        let mut client = Raw::open(&house, &connect("reader_Tok_1", clean_start, 0, &[]));
        assert_eq!(client.connected(), present);
        client.send(&packet(0xE0, &[]));
        let mut rest = Vec::new();
        client.0.read_to_end(&mut rest).unwrap();
        assert!(rest.is_empty(), "nothing answers a DISCONNECT");
    }
    house.close();
}

#[test]
fn a_client_may_send_before_its_connack() {
    let house = House::open();
    let mut first = connect("reader_Tok_1", true, 0, &[]);
    first.extend(subscribe("open/#", 1));
    first.extend(publish(0x02, "open/a", 7, "early"));
    let mut client = Raw::open(&house, &first);
    client.connected();
    assert_eq!(client.next().0, 0x90);
    let mut answers = [client.next().0, client.next().0];
    answers.sort_unstable();
    assert_eq!(answers, [0x32, 0x40], "the message and its PUBACK");
    drop(client);
    house.close();
}

#[test]
fn a_client_hears_the_limits_and_why_it_is_closed() {
    let settings = BrokerSettings { max_packet_bytes: 2000, ..BrokerSettings::default() };
    let house = House::with(settings);
    let dial = || {
        let mut client = Raw::open(&house, &connect("reader_Tok_1", true, 0, &[]));
        let (_, body) = client.next();
        for property in [
            [&[0x21], &RECEIVE_MAXIMUM.to_be_bytes()[..]].concat(),
            [&[0x22], &TOPIC_ALIASES.to_be_bytes()[..]].concat(),
            [&[0x27], &2000_u32.to_be_bytes()[..]].concat(),
        ] {
            assert!(body.windows(property.len()).any(|found| found == property), "{property:?} in {body:?}");
        }
        client
    };
    let aliased = |alias: u16, topic: &str| {
        let mut body = text(topic);
        body.extend([3, 0x23]);
        body.extend(alias.to_be_bytes());
        packet(0x30, &body)
    };
    for (what, bytes, code) in [
        ("a second CONNECT", connect("reader_Tok_1", true, 0, &[]), 0x82),
        ("a packet of a server", packet(0xD0, &[]), 0x82),
        ("AUTH", packet(0xF0, &[]), 0x82),
        ("a reserved packet type", packet(0x00, &[]), 0x81),
        ("too large a packet", publish(0x02, "open/a", 1, &"x".repeat(2000)), 0x95),
        ("a wildcard in a topic name", publish(0x02, "open/+", 1, ""), 0x90),
        ("an alias of nothing", aliased(1, ""), 0x82),
        ("too high an alias", aliased(TOPIC_ALIASES + 1, "open/a"), 0x94),
        ("No Local on a shared subscription", subscribe("$share/g/open/a", 0x04), 0x82),
    ] {
        let mut client = dial();
        client.send(&bytes);
        assert_eq!(client.closed(), code, "{what}");
    }
    let mut eager = dial();
    for number in 1..=RECEIVE_MAXIMUM + 1 {
        eager.send(&publish(0x04, "open/a", number, ""));
    }
    for _ in 0..RECEIVE_MAXIMUM {
        assert_eq!(eager.next().0, 0x50);
    }
    assert_eq!(eager.closed(), 0x93);
    house.close();
}

#[test]
fn no_answer_is_larger_than_the_client_takes() {
    let house = House::with(BrokerSettings { visible_denials: true, ..BrokerSettings::default() });
    let mut client = Raw::open(&house, &connect("reader_Tok_1", true, 0, &[0x27, 0, 0, 0, 40]));
    client.connected();
    client.send(&publish(0x02, "closed/a", 7, ""));
    assert_eq!(client.next(), (0x40, vec![0, 7, 0x87, 0]), "the reason string does not fit (MQTT 5.0 3.4.2.2.2)");
    let mut narrow = Raw::open(&house, &connect("reader_Tok_2", true, 0, &[0x27, 0, 0, 0, 10]));
    let mut rest = Vec::new();
    if let Err(error) = narrow.0.read_to_end(&mut rest) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "a client that cannot take a CONNACK is kept waiting");
    }
    assert!(rest.is_empty(), "{rest:?}");
    drop((client, narrow));
    house.close();
}

#[test]
fn a_client_that_reads_nothing_is_closed() {
    let house = House::open();
    let mut stuck = Raw::open(&house, &connect("reader_Tok_1", true, 0, &[]));
    stuck.connected();
    stuck.send(&subscribe("open/#", 0));
    assert_eq!(stuck.next().0, 0x90);
    let mut writer = Raw::open(&house, &connect("writer_Tok_2", true, 0, &[]));
    writer.connected();
    for number in 1..=20 {
        writer.send(&publish(0x02, "open/a", number, &"x".repeat(900_000)));
        assert_eq!(writer.next().0, 0x40);
    }
    for _ in 0..9 {
        if house.reports.recv_timeout(PATIENCE).is_ok_and(|report| {
            matches!(report, BrokerReport::Disconnected { subject, .. } if subject.client_id == "reader_Tok_1")
        }) {
            drop((stuck, writer));
            return house.close();
        }
    }
    panic!("it is kept though it reads nothing");
}

#[test]
fn a_silent_client_is_closed_and_one_without_keep_alive_is_not() {
    let house = House::open();
    let mut patient = Raw::open(&house, &connect("reader_Tok_1", true, 0, &[]));
    patient.connected();
    let mut silent = Raw::open(&house, &connect("reader_Tok_2", true, 1, &[]));
    silent.connected();
    assert_eq!(silent.closed(), 0x8D);
    patient.send(&packet(0xC0, &[]));
    assert_eq!(patient.next().0, 0xD0);
    drop(patient);
    house.close();
}

#[test]
fn what_cannot_be_spoken_is_refused() {
    let house = House::open();
    let mut older = Raw::open(&house, &packet(0x10, &[&text("MQIsdp")[..], &[3, 2, 0, 0, 0, 1, b'x']].concat()));
    assert_eq!(older.next(), (0x20, vec![0, 1]), "unacceptable protocol version");
    let mut newer = Raw::open(&house, &packet(0x10, &[&text("MQTT")[..], &[6, 2, 0, 0, 0, 0, 1, b'x']].concat()));
    assert_eq!(newer.next(), (0x20, vec![0, 1]));
    let method = [&[0x15][..], &text("SCRAM")].concat();
    let mut enhanced = Raw::open(&house, &connect("reader_Tok_1", true, 0, &method));
    let (first, body) = enhanced.next();
    assert_eq!((first, body[1]), (0x20, 0x8C), "bad authentication method");
    drop((older, newer, enhanced));
    house.close();
}

#[test]
fn a_panic_costs_the_connections_and_nothing_else() {
    let house = House::open();
    let mut reader = Raw::open(&house, &connect("reader_Tok_1", false, 0, &[]));
    reader.connected();
    reader.send(&subscribe("open/#", 2));
    reader.next();
    let mut writer = V5::connect(&house, "writer_Tok_2");
    writer.publish("open/kept", 1, true, "retained");
    writer.expect(&Seen::Acknowledged(0));
    assert_eq!(reader.next().0, 0x32);
    house.panic.store(true, Ordering::SeqCst);
    reader.send(&packet(0xC0, &[]));
    let mut rest = Vec::new();
    if let Err(error) = reader.0.read_to_end(&mut rest) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the connection outlived its shell");
    }
    let mut reader = Raw::open(&house, &connect("reader_Tok_1", false, 0, &[]));
    assert!(reader.connected(), "the session was kept");
    assert_eq!(reader.next().0, 0x3A, "what it had not acknowledged comes again");
    let mut late = V3::connect(&house, "late_Tok_3");
    late.subscribe(&["open/kept"], 1);
    late.expect(&Seen::Subscribed(vec![1]));
    late.expect(&Seen::Message { topic: "open/kept".into(), payload: "retained".into(), qos: 1, retain: true });
    writer = V5::connect(&house, "writer_Tok_2");
    writer.publish("open/a", 1, false, "alive");
    writer.expect(&Seen::Acknowledged(0));
    assert_eq!(reader.next().0, 0x32);
    drop((reader, late, writer));
    house.close();
}

#[test]
fn the_agent_learns_that_the_broker_is_gone() {
    let house = House::open();
    // One more than the broker is started again.
    for _ in 0..=10 {
        let mut client = Raw::open(&house, &connect("reader_Tok_1", true, 0, &[]));
        client.connected();
        house.panic.store(true, Ordering::SeqCst);
        client.send(&packet(0xC0, &[]));
        let mut rest = Vec::new();
        if let Err(error) = client.0.read_to_end(&mut rest) {
            assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the connection outlived its shell");
        }
        let gone = |report| matches!(report, BrokerReport::Disconnected { .. }).then_some(());
        house.report("the end of the connection", gone);
    }
    house.ended();
}

#[test]
fn shared_subscriptions_lose_nothing_when_a_member_goes() {
    let house = House::open();
    let mut members: Vec<_> = ["one_Tok_1", "two_Tok_2"].map(|id| V5::connect(&house, id)).into_iter().collect();
    for member in &mut members {
        member.subscribe(&["$share/g/open/a"], 1);
        member.expect(&Seen::Subscribed(vec![1]));
    }
    let mut gone = members.remove(0);
    gone.leave();
    gone.expect(&Seen::Closed);
    let mut writer = V3::connect(&house, "writer_Tok_3");
    for payload in ["a", "b", "c"] {
        writer.publish("open/a", 1, false, payload);
        writer.expect(&Seen::Acknowledged(0));
        members[0].expect(&message("open/a", payload, 1));
    }
    drop((members, writer, gone));
    house.close();
}
