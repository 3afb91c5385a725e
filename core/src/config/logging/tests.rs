//! When a file of the log is full, and which former ones stay.

use std::vec;

use super::*;

const LIMITS: LogFileLimits = LogFileLimits { file_bytes: 100, file_hours: 2, total_bytes: 350 };

#[test]
fn a_file_is_full_by_its_size_or_its_age() {
    let at = |hours: i64| Some(WallTime::from_millis(hours * 3_600_000));
    for (bytes, incoming, begun, now, full) in [
        (60, 40, at(0), at(1), false),
        (60, 41, at(0), at(1), true),
        (0, 1000, None, at(0), false),
        (1, 1, at(0), at(2), true),
        (1, 1, at(5), at(1), false),
        (1, 1, None, at(9), false),
    ] {
        assert_eq!(LIMITS.is_full(bytes, incoming, begun, now), full, "{bytes} {incoming} {begun:?} {now:?}");
    }
}

#[test]
fn former_files_stay_as_long_as_there_is_room_and_they_are_not_too_many() {
    for (former, kept) in
        [(vec![], 0), (vec![100, 100], 2), (vec![100, 100, 50], 3), (vec![100, 100, 51], 2), (vec![300, 1], 0)]
    {
        assert_eq!(LIMITS.kept(&former), kept, "{former:?}");
    }
    assert_eq!(LIMITS.kept(&[0; 200]), 99);
}
