//! What a stranger can send, before and after CONNECT, in both versions: the broker never panics, every answer and every packet
//! for a bystander can be encoded, nothing piles up unread, and how the bytes are cut changes nothing.
#![no_main]

use castellan_core::broker::BrokerSettings;
use castellan_mqtt::stranger::Stranger;
use libfuzzer_sys::fuzz_target;

/// Small, so that limits are met early; the first packet that is larger ends the connection.
const MAX_PACKET_BYTES: u32 = 256;

/// The library reads the topic of a PUBLISH, up to 65,535 bytes with its length, before it looks at the packet's own end.
const UNREAD: usize = 2 + 0xFFFF + 2 + 4;

/// How a conversation begins, so that what follows CONNECT is found at once.
const BEGINNINGS: [&[u8]; 4] = [
    b"",
    b"\x10\x0F\x00\x04MQTT\x04\x02\x00\x00\x00\x03x_1",
    b"\x10\x10\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x03x_1",
    // Session expiry 255 s, Receive Maximum 1, Maximum Packet Size 64.
    b"\x10\x1D\x00\x04MQTT\x05\x02\x00\x00\x0D\x11\x00\x00\x00\xFF\x21\x00\x01\x27\x00\x00\x00\x40\x00\x03x_1",
];

fuzz_target!(|data: &[u8]| {
    let Some((shape, bytes)) = data.split_first() else { return };
    let settings = BrokerSettings {
        max_packet_bytes: MAX_PACKET_BYTES,
        max_queued_messages: usize::from(shape >> 2 & 3),
        visible_denials: shape & 0x10 != 0,
        ..BrokerSettings::default()
    };
    let piece = usize::from(shape >> 5) + 1;
    let sent = [BEGINNINGS[usize::from(shape & 3)], bytes].concat();
    let mut whole = Stranger::new(settings);
    let said = whole.receive(&sent);
    let mut slow = Stranger::new(settings);
    let said_slowly: Vec<u8> = sent.chunks(piece).flat_map(|piece| slow.receive(piece)).collect();
    assert_eq!(said, said_slowly, "the same bytes in pieces of {piece}");
    assert_eq!(whole.is_closed(), slow.is_closed());
    assert!(whole.is_closed() || whole.unread() <= UNREAD, "{} bytes unread", whole.unread());
});
