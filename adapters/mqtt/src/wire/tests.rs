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
