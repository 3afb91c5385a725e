//! What a stranger may send: the same answers however its bytes are cut, and none that is no packet.

use castellan_core::broker::BrokerSettings;

use super::*;

/// CONNECT of MQTT 5.0, SUBSCRIBE of a/#, and a PUBLISH of each QoS that comes back.
const CONVERSATION: &[u8] = b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03x_1\
    \x82\x09\x00\x01\x00\x00\x03a/#\x02\x30\x06\x00\x03a/b\x00\x32\x0A\x00\x03a/b\x00\x02\x00hi\x34\x08\x00\x03a/b\x00\x03\x00\xC0\x00";

/// The first byte of each packet.
fn kinds(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [kind, length, rest @ ..] = bytes {
        kinds.push(*kind);
        bytes = rest.get(usize::from(*length)..).unwrap();
    }
    kinds
}

#[test]
fn the_bytes_of_a_conversation_may_come_one_by_one() {
    let whole = Stranger::new(BrokerSettings::default()).receive(CONVERSATION);
    let mut slow = Stranger::new(BrokerSettings::default());
    let said: Vec<u8> = CONVERSATION.iter().flat_map(|byte| slow.receive(&[*byte])).collect();
    assert_eq!(said, whole);
    assert_eq!(kinds(&said), [0x20, 0x90, 0x30, 0x32, 0x40, 0x34, 0x50, 0xD0]);
    assert!(!slow.is_closed() && slow.unread() == 0);
}

/// The topic of an alias is not in the packet that uses it: what goes out may be larger than what may come in.
#[test]
fn an_alias_makes_no_packet_that_a_client_of_3_1_1_cannot_be_sent() {
    let topic = format!("a/{}", "x".repeat(98));
    let publish = |topic: &str, payload: &str| {
        let text = u16::try_from(topic.len()).unwrap().to_be_bytes();
        let body = [&text[..], topic.as_bytes(), b"\x03\x23\x00\x01", payload.as_bytes()].concat();
        [&[0x30, u8::try_from(body.len()).unwrap()], &body[..]].concat()
    };
    let mut stranger = Stranger::new(BrokerSettings { max_packet_bytes: 120, ..BrokerSettings::default() });
    stranger.receive(b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03x_1");
    for bytes in [publish(&topic, ""), publish("", &"y".repeat(100)), b"\xC0\x00".to_vec()] {
        let said = stranger.receive(&bytes);
        assert!(!stranger.is_closed(), "{said:?}");
    }
}
