//! A lean publisher of log messages: MQTT 3.1.1 in its own frames, windows of QoS 1, each acknowledged as a whole before the next.

use std::io::{Read, Result, Write};

/// Reads and writes, as a TLS connection does.
pub(crate) trait Wire: Read + Write {}

impl<T: Read + Write> Wire for T {}

/// The topic of log messages.
const TOPIC: &[u8] = b"KeeperLogger";

/// Connects under this client id.
pub(crate) fn connect(wire: &mut dyn Wire, id: &str) -> Result<()> {
    let mut body = b"\0\x04MQTT\x04\x02\0\0".to_vec();
    body.extend(u16::try_from(id.len()).unwrap().to_be_bytes());
    body.extend(id.as_bytes());
    wire.write_all(&[&[0x10, u8::try_from(body.len()).unwrap()], &*body].concat())?;
    wire.flush()?;
    let mut answer = [0; 4];
    wire.read_exact(&mut answer)?;
    assert_eq!(answer, [0x20, 2, 0, 0], "CONNACK");
    Ok(())
}

/// Sends the messages of these numbers, `{text} {number}`, and waits until each is acknowledged.
pub(crate) fn send(wire: &mut dyn Wire, text: &str, numbers: std::ops::Range<u64>) -> Result<()> {
    let mut frames = Vec::new();
    for (number, packet) in numbers.clone().zip(1_u16..) {
        let payload = format!(
            r#"{{"MetaData":{{"MessageType":4,"LogLevel":1,"Source":"Flood","Category":"Flood","Message":"{text} {number}"}}}}"#
        );
        let length = 2 + TOPIC.len() + 2 + payload.len();
        // Two bytes of seven bits each (MQTT 3.1.1 2.2.3): every frame here is longer than 127 bytes and shorter than 16384.
        frames.extend([0x32, u8::try_from(length % 128).unwrap() | 0x80, u8::try_from(length / 128).unwrap()]);
        frames.extend([0, u8::try_from(TOPIC.len()).unwrap()]);
        frames.extend(TOPIC);
        frames.extend(packet.to_be_bytes());
        frames.extend(payload.as_bytes());
    }
    wire.write_all(&frames)?;
    wire.flush()?;
    for _ in numbers {
        let mut answer = [0; 4];
        wire.read_exact(&mut answer)?;
        assert_eq!(answer[..2], [0x40, 2], "PUBACK");
    }
    Ok(())
}
