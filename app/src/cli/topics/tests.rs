//! What a hostile publisher chooses stays on its line.

use super::*;

const HOSTILE: &str = "a\u{1b}[2J\r\nb\u{9b}31m\u{202e}\u{7f}";

fn message(payload: &[u8]) -> Received {
    Received { topic: HOSTILE.to_owned(), payload: payload.to_vec(), qos: 2, retain: true }
}

#[test]
fn nothing_reaches_the_terminal_as_it_came() {
    let time = WallTime::from_millis(0);
    for shown in [line(time, &message(HOSTILE.as_bytes())), object(time, &message(HOSTILE.as_bytes()))] {
        assert!(!shown.chars().any(|letter| letter.is_control() || letter == '\u{202e}'), "{shown:?}");
        assert!(shown.contains("\\u001b[2J"), "{shown}");
    }
}

#[test]
fn a_program_reads_back_what_was_sent() {
    let read = |payload: &[u8]| {
        serde_json::from_str::<serde_json::Value>(&object(WallTime::from_millis(0), &message(payload))).unwrap()
    };
    let text = read(HOSTILE.as_bytes());
    assert_eq!((&text["payload"], &text["topic"]), (&json!(HOSTILE), &json!(HOSTILE)));
    assert_eq!((&text["qos"], &text["retain"]), (&json!(2), &json!(true)));
    assert_eq!(read(&[0xff, 0x00, 0x1b])["payloadHex"], "ff001b");
}

#[test]
fn a_long_payload_is_cut_for_people_and_binary_is_in_digits() {
    let long = line(WallTime::from_millis(0), &message(&vec![b'x'; SHOWN + 1]));
    assert!(long.ends_with("x… (2001 bytes)"), "{long}");
    assert!(line(WallTime::from_millis(0), &message(&[0xff, 0x1b])).ends_with(": 0xff1b"));
}
