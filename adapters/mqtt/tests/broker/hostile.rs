//! Peers that break the rules (security.md M03, M16, M24, M29, M30, M32): closed, and nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use castellan_core::broker::message::Packet;
use castellan_core::event::BrokerReport;
use rustls::pki_types::ServerName;

use crate::support::{Client, House, PATIENCE, Seen, V5};

/// What comes back for these bytes over TLS until the broker closes.
fn answer_to(house: &House, bytes: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect(("127.0.0.1", house.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let session = rustls::ClientConnection::new(Arc::clone(&house.tls), name).unwrap();
    let mut stream = rustls::StreamOwned::new(session, stream);
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "the broker kept the connection open"),
    }
    answer
}

/// CONNECT of MQTT 5.0 with this client id.
fn connect(client_id: &str) -> Vec<u8> {
    let length = u8::try_from(client_id.len()).unwrap();
    let mut packet = vec![0x10, 13 + length, 0, 4, b'M', b'Q', b'T', b'T', 5, 2, 0, 60, 0, 0, length];
    packet.extend(client_id.as_bytes());
    packet
}

#[test]
fn plain_tcp_is_closed_without_an_answer() {
    let house = House::open();
    let mut stream = TcpStream::connect(("127.0.0.1", house.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x00").unwrap();
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset),
    }
    assert!(answer.first() != Some(&0x20), "no CONNACK: {answer:?}");
    house.close();
}

#[test]
fn a_flood_of_silent_connections_keeps_nobody_out() {
    let house = House::open();
    let silent: Vec<_> = (0..200).map(|_| TcpStream::connect(("127.0.0.1", house.port)).unwrap()).collect();
    drop(V5::connect(&house, "reader_Tok_1"));
    assert_eq!(silent.len(), 200);
    house.close();
}

#[test]
fn broken_packets_close_their_connection_and_no_other() {
    let house = House::open();
    let mut bystander = V5::connect(&house, "reader_Tok_1");
    let is_connack = |answer: &[u8]| answer.first() == Some(&0x20) && answer.get(3) == Some(&0);
    for (what, bytes) in [
        ("CONNECT of 256 MB", b"\x10\xff\xff\xff\x7f".to_vec()),
        ("PUBLISH before CONNECT", b"\x30\x05\x00\x01ahi".to_vec()),
        ("garbage", b"GET / HTTP/1.1\r\n\r\n".to_vec()),
        ("a remaining length of five bytes", b"\x10\xff\xff\xff\xff\x7f".to_vec()),
        ("protocol level 9", b"\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x00\x00".to_vec()),
    ] {
        assert!(!is_connack(&answer_to(&house, &bytes)), "{what}");
    }
    for (number, (what, bytes)) in [
        ("CONNECT twice", connect("reader_Tok_5")),
        ("PUBLISH to a wildcard", b"\x30\x06\x00\x03a/+\x00".to_vec()),
        ("PUBLISH with NUL in its topic", b"\x30\x06\x00\x03a\x00b\x00".to_vec()),
        ("PUBLISH with a surrogate in its topic", b"\x30\x06\x00\x03\xed\xa0\x80\x00".to_vec()),
        ("PUBLISH with U+FFFE in its topic", b"\x30\x06\x00\x03\xef\xbf\xbe\x00".to_vec()),
        ("PUBLISH of 2 MB", b"\x30\x80\x80\x80\x01\x00\x01a".to_vec()),
    ]
    .into_iter()
    .enumerate()
    {
        let client_id = format!("writer_Tok_{}", number + 10);
        let answer = answer_to(&house, &[connect(&client_id), bytes].concat());
        assert!(is_connack(&answer), "{what}: {answer:?}");
        house.report(what, |report| match report {
            BrokerReport::Disconnected { subject, .. } => (subject.client_id == client_id).then_some(()),
            _ => None,
        });
    }
    bystander.subscribe(&["open/a"], 1);
    bystander.expect(&Seen::Subscribed(vec![1]));
    house.close();
}

/// A client that missed an acknowledgement may send its packet again (MQTT 5.0 4.4); the agent is told which packet it was.
#[test]
fn a_packet_that_is_sent_again_is_reported_as_such() {
    let house = House::open();
    let publish = |first: u8| [&[first, 18, 0, 12], b"KeeperLogger".as_slice(), &[0, 7, 0, b'x']].concat();
    let goodbye = b"\xe0\x00".to_vec();
    for first in [0x32, 0x3A, 0x34, 0x3C] {
        let answer = answer_to(&house, &[connect("writer_Tok_1"), publish(first), goodbye.clone()].concat());
        assert_eq!(answer.first(), Some(&0x20), "{answer:?}");
        let packet = house.report("the message", |report| match report {
            BrokerReport::Published { packet, .. } => Some(packet),
            _ => None,
        });
        assert_eq!(packet, Some(Packet { identifier: 7, duplicate: first & 8 != 0 }), "{first:#x}");
    }
    house.close();
}

#[test]
fn bad_filters_fail_by_themselves() {
    let house = House::open();
    let subscribe = b"\x82\x17\x00\x01\x00\x00\x09$share//x\x00\x00\x05a#b/c\x00";
    let answer = answer_to(&house, &[&*connect("reader_Tok_1"), subscribe, b"\xe0\x00"].concat());
    assert!(answer.first() == Some(&0x20), "{answer:?}");
    assert!(answer.ends_with(&[0x90, 5, 0, 1, 0, 0x8F, 0x8F]), "{answer:?}");
    drop(V5::connect(&house, "reader_Tok_2"));
    house.close();
}

#[test]
fn a_client_that_says_nothing_after_tls_is_closed() {
    let house = House::open();
    assert_eq!(answer_to(&house, b""), b"");
    house.close();
}
