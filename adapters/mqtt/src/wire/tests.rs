//! The first bytes of a connection.

use super::*;

#[test]
fn the_version_is_read_from_the_first_bytes_and_no_earlier() {
    let v5 = b"\x10\x20\x00\x04MQTT\x05";
    for end in 0..v5.len() {
        assert_eq!(greet(v5.get(..end).unwrap()), None, "{end}");
    }
    assert_eq!(greet(v5), Some(Greeting::Version(Version::V5)));
    assert_eq!(greet(b"\x10\xFF\x7F\x00\x04MQTT\x04"), Some(Greeting::Version(Version::V311)));
    assert_eq!(greet(b"\x10\x20\x00\x04MQTT\x06"), Some(Greeting::UnknownLevel(6)));
    assert_eq!(greet(b"\x10\x20\x00\x06MQIsdp\x03"), Some(Greeting::UnknownLevel(3)));
    for stranger in [b"GET / HTTP/1.1".as_slice(), b"\x20", b"\x10\xFF\xFF\xFF\xFF", b"\x10\x20\x00\x04MQTX"] {
        assert_eq!(greet(stranger), Some(Greeting::Stranger), "{stranger:?}");
    }
}

#[test]
fn receivers_of_one_message_share_its_payload() {
    let payloads = LastPayload::default();
    let payload: Arc<[u8]> = Arc::from([b'x'; 100_000]);
    let first = payloads.shared(&payload);
    assert_eq!(&first[..], &payload[..]);
    assert_eq!(payloads.shared(&payload).as_ptr(), first.as_ptr(), "one copy for all");
    let same_text: Arc<[u8]> = Arc::from([b'x'; 100_000]);
    assert_ne!(payloads.shared(&same_text).as_ptr(), first.as_ptr(), "another message has its own");
}
