//! Spans as people read them.

use castellan_core::time::WallTime;

use super::{duration, relative};

#[test]
fn an_instant_is_told_in_its_largest_unit() {
    let now = WallTime::from_millis(1_000_000_000);
    for (millis, expect) in [
        (0, "now"),
        (-999, "now"),
        (-1000, "1s ago"),
        (-59_999, "59s ago"),
        (-60_000, "1m ago"),
        (7_200_000, "in 2h"),
        (-86_400_000 * 3, "3d ago"),
    ] {
        assert_eq!(relative(WallTime::from_millis(now.as_millis() + millis), now), expect, "{millis}");
    }
}

#[test]
fn a_duration_is_short() {
    for (millis, expect) in [(7, "7ms"), (1250, "1.2s"), (61_000, "1m1s")] {
        assert_eq!(duration(millis), expect);
    }
}
