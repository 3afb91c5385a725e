//! Frames survive the way whole, and nothing else is taken for one.

use super::*;

/// What `bytes` are read as, once the other end has closed.
fn read_back(bytes: &[u8]) -> io::Result<Option<FromCaller>> {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(bytes).unwrap();
    drop(ours);
    smol::block_on(read(&Async::new(theirs).unwrap()))
}

#[test]
fn a_frame_comes_back_as_it_was_sent() {
    let frame = FromCaller::Reply { prompt: 7, text: Some(String::from("a \"quoted\"\n\u{1}")) };
    let bytes = encode(&frame).unwrap();
    assert_eq!(format!("{:?}", read_back(&bytes).unwrap().unwrap()), format!("{frame:?}"));
    for end in 1..bytes.len() {
        assert!(read_back(&bytes[..end]).is_err(), "cut at {end}");
    }
    assert!(read_back(&[]).unwrap().is_none(), "the end between two frames is no error");
}

#[test]
fn what_is_too_long_or_unknown_is_no_frame() {
    let frame = |json: &str| {
        let mut bytes = u32::try_from(json.len()).unwrap().to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes
    };
    for json in [
        "",
        "{}",
        "null",
        r#"{"Signal":"Kill"}"#,
        r#"{"Reply":{"prompt":1,"text":"a","uid":0}}"#,
        r#"{"Reply":{"prompt":-1,"text":"a"}}"#,
        r#"{"Signal":"Hangup"} "#.repeat(2).as_str(),
    ] {
        assert!(read_back(&frame(json)).is_err(), "{json}");
    }
    assert!(matches!(read_back(&frame(r#"{"Signal":"Hangup"}"#)), Ok(Some(FromCaller::Signal(Signal::Hangup)))));
    let announced = u32::try_from(FRAME_BYTES + 1).unwrap().to_le_bytes();
    assert!(read_back(&announced).unwrap_err().to_string().contains("at most"), "before anything of it is read");
    assert!(encode(&"x".repeat(FRAME_BYTES)).is_err());
}
