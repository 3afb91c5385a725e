//! Head and tail at and around their bounds.
#![allow(clippy::arithmetic_side_effects, reason = "numbers of a test")]

use castellan_core::effect::Owner;
use castellan_core::id::{JobId, PluginId};

use super::*;

fn check(length: usize, chunk: usize, omitted: u64) {
    let whole: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut capture = Capture::of(&Owner::Component(Component::Job(JobId::parse("job").unwrap())));
    for bytes in whole.chunks(chunk) {
        capture.push(bytes);
    }
    let captured = capture.finish();
    assert_eq!(captured.omitted, omitted, "{length} in chunks of {chunk}");
    if omitted == 0 {
        assert!(captured.head == whole && captured.tail.is_empty(), "{length} in chunks of {chunk}");
    } else {
        assert!(captured.head == whole[..OUTPUT_HALF_BYTES], "{length} in chunks of {chunk}");
        assert!(captured.tail == whole[length - OUTPUT_HALF_BYTES..], "{length} in chunks of {chunk}");
    }
}

#[test]
fn the_whole_or_head_and_tail() {
    for chunk in [1, 1000, CHUNK_BYTES, 3 * OUTPUT_HALF_BYTES] {
        check(0, chunk, 0);
        check(OUTPUT_HALF_BYTES, chunk, 0);
        check(2 * OUTPUT_HALF_BYTES, chunk, 0);
        check(2 * OUTPUT_HALF_BYTES + 1, chunk, 1);
        check(5 * OUTPUT_HALF_BYTES, chunk, u64::try_from(3 * OUTPUT_HALF_BYTES).unwrap());
    }
}

#[test]
fn of_a_plugin_the_end_alone() {
    let mut capture = Capture::of(&Owner::Component(Component::Plugin(PluginId::parse("Bridge").unwrap())));
    capture.push(b"first");
    assert_eq!(capture.clone().finish().head, b"first", "all of it where it fits");
    capture.push(&vec![b'x'; PLUGIN_OUTPUT_BYTES]);
    let captured = capture.finish();
    assert_eq!((captured.head.len(), captured.tail.len(), captured.omitted), (0, PLUGIN_OUTPUT_BYTES, 5));
}
