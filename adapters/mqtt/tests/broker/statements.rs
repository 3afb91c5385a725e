//! Normative statements of both versions, byte by byte: those that public conformance suites found, and those that they do not
//! ask about.

use castellan_core::broker::BrokerSettings;

use crate::packets::{Raw, connect, packet, publish, subscribe, text};
use crate::support::House;

/// CONNECT of MQTT 3.1.1.
fn connect_3(client_id: &str, flags: u8) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend([4, flags, 0, 0]);
    body.extend(text(client_id));
    packet(0x10, &body)
}

/// A client of MQTT 3.1.1 with a session that stays, past its CONNACK.
fn dial_3(house: &House, client_id: &str) -> Raw {
    let mut client = Raw::open(house, &connect_3(client_id, 0));
    assert_eq!(client.next().0, 0x20);
    client
}

/// A client of MQTT 5.0, past its CONNACK.
fn dial_5(house: &House, client_id: &str) -> Raw {
    let mut client = Raw::open(house, &connect(client_id, true, 0, &[]));
    client.connected();
    client
}

/// MQTT 3.1.1 3.1.3.1, [MQTT-3.1.3-8].
#[test]
fn an_empty_client_id_with_a_session_that_stays_is_told_so() {
    let house = House::open();
    assert_eq!(Raw::open(&house, &connect_3("", 0)).rest(), [0x20, 2, 0, 2]);
    house.close();
}

/// MQTT 3.1.1 2.2.2 and 4.8, MQTT 5.0 2.1.3 and 4.13: a packet that is not as the standard has it ends its connection.
#[test]
fn malformed_packets_end_their_connection_in_both_versions() {
    let house = House::open();
    // The last byte is the payload in MQTT 3.1.1, and in MQTT 5.0 says that there are no properties.
    let short = |flags: u8, number: &[u8]| packet(0x30 | flags, &[&text("open/a")[..], number, &[0]].concat());
    for (what, bytes) in [
        ("PUBLISH with QoS 3 [MQTT-3.3.1-4]", short(0x06, &[0, 1])),
        ("PUBLISH with QoS 1 and packet identifier 0 [MQTT-2.3.1-1]", short(0x02, &[0, 0])),
        ("PUBLISH with QoS 0 and DUP [MQTT-3.3.1-2]", short(0x08, &[])),
        ("PUBREL without its flags [MQTT-3.6.1-1]", packet(0x60, &[0, 1])),
        ("SUBSCRIBE without its flags [MQTT-3.8.1-1]", packet(0x80, &subscribe("open/a", 0)[2..])),
        ("SUBSCRIBE without a filter [MQTT-3.8.3-3]", packet(0x82, &[0, 9, 0])),
        ("SUBSCRIBE with QoS 3 [MQTT-3.8.3-4]", subscribe("open/a", 3)),
        ("UNSUBSCRIBE without its flags [MQTT-3.10.1-1]", packet(0xA0, &[0, 9, 0, 0, 1, b'a'])),
        ("UNSUBSCRIBE without a filter [MQTT-3.10.3-2]", packet(0xA2, &[0, 9, 0])),
        ("PINGREQ with flags [MQTT-2.2.2-2]", packet(0xC1, &[])),
        ("DISCONNECT with flags [MQTT-3.14.1-1]", packet(0xE1, &[])),
    ] {
        let mut old = dial_3(&house, "reader_Tok_1");
        old.send(&bytes);
        assert!(old.rest().is_empty(), "{what}: MQTT 3.1.1 has no word for it");
        let mut new = dial_5(&house, "reader_Tok_2");
        new.send(&bytes);
        assert_eq!(new.closed(), 0x81, "{what}");
    }
    house.close();
}

/// MQTT 5.0 2.2.2.2: the protocol library does not tell a property that came twice from one that cannot be there, so that it is
/// answered as a malformed packet (docs/conformance.md).
#[test]
fn a_property_that_came_twice_ends_the_connection() {
    let house = House::open();
    let twice = [0x01, 0x00, 0x01, 0x00];
    let mut body = text("open/a");
    body.push(4);
    body.extend(twice);
    let mut client = dial_5(&house, "reader_Tok_1");
    client.send(&packet(0x30, &body));
    assert_eq!(client.closed(), 0x81);
    house.close();
}

/// MQTT 3.1.1 3.1.2.4, 3.8.4, 4.4: what was not acknowledged comes again with DUP and its packet identifier, in its order.
#[test]
fn a_session_of_3_1_1_goes_on_where_it_was() {
    let house = House::open();
    let subscribe_3 = |filter: &str, qos: u8| packet(0x82, &[&[0, 9], &text(filter)[..], &[qos]].concat());
    let publish_3 = |flags: u8, number: u16, payload: &[u8]| {
        packet(0x30 | flags, &[&text("open/a")[..], &number.to_be_bytes(), payload].concat())
    };
    let seen = |first: u8, number: u16, payload: &[u8]| (first, publish_3(0, number, payload)[2..].to_vec());
    let mut reader = dial_3(&house, "reader_Tok_1");
    reader.send(&subscribe_3("open/#", 2));
    assert_eq!(reader.next(), (0x90, vec![0, 9, 2]), "[MQTT-3.8.4-5]");
    let mut writer = dial_3(&house, "writer_Tok_2");
    for (flags, number, payload, answer) in [(2, 1, b"one", (0x40, 1)), (4, 2, b"two", (0x50, 2))] {
        writer.send(&publish_3(flags, number, payload));
        assert_eq!(writer.next(), (answer.0, vec![0, answer.1]));
        assert_eq!(reader.next(), seen(0x30 | flags, number, payload));
    }
    drop(reader);
    crate::disconnected(&house, "reader_Tok_1");
    let mut reader = Raw::open(&house, &connect_3("reader_Tok_1", 0));
    assert_eq!(reader.next(), (0x20, vec![1, 0]), "[MQTT-3.2.2-2]");
    assert_eq!(reader.next(), seen(0x3A, 1, b"one"), "[MQTT-4.4.0-1], [MQTT-3.3.1-1]");
    assert_eq!(reader.next(), seen(0x3C, 2, b"two"), "[MQTT-4.6.0-1]");
    let mut clean = Raw::open(&house, &connect_3("reader_Tok_1", 2));
    assert_eq!(clean.next(), (0x20, vec![0, 0]), "[MQTT-3.2.2-1]");
    assert!(reader.rest().is_empty(), "taken over [MQTT-3.1.4-2]");
    drop((clean, writer));
    house.close();
}

/// MQTT 5.0 3.2.2.3.6: the whole packet counts; a larger one is not read.
#[test]
fn the_largest_packet_is_taken_and_no_larger_one() {
    const LARGEST: usize = 100;
    let house = House::with(BrokerSettings { max_packet_bytes: 100, ..BrokerSettings::default() });
    let filled = |length: usize| {
        let empty = publish(0x02, "open/a", 1, "").len();
        publish(0x02, "open/a", 1, &"x".repeat(length - empty))
    };
    assert_eq!(filled(LARGEST).len(), LARGEST);
    let mut new = dial_5(&house, "reader_Tok_1");
    new.send(&filled(LARGEST));
    assert_eq!(new.next().0, 0x40);
    new.send(&filled(LARGEST + 1));
    assert_eq!(new.closed(), 0x95);
    let mut old = dial_3(&house, "reader_Tok_2");
    old.send(&filled(LARGEST));
    assert_eq!(old.next().0, 0x40);
    // The version has no such limit; the protocol library counts what follows the first two bytes.
    old.send(&filled(LARGEST + 3));
    assert!(old.rest().is_empty());
    house.close();
}
