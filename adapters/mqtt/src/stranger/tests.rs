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
    assert_eq!(kinds(&said), [0x20, 0x90, 0x30, 0x40, 0x32, 0x50, 0x34, 0xD0]);
    assert!(!slow.is_closed() && slow.unread() == 0);
}
