//! Head and tail at and around their bounds.
#![allow(clippy::arithmetic_side_effects, reason = "numbers of a test")]

use super::*;

fn check(length: usize, chunk: usize, omitted: u64) {
    let whole: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
    let mut capture = Capture::default();
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
