//! What fits on a screen.

use super::{cut, fitted};

#[test]
fn lines_are_cut_where_the_screen_ends() {
    for (line, expected) in [
        ("abcd", "abcd"),
        ("abcde", "abcde"),
        ("abcdef", "abcd…"),
        ("\u{1b}[31mabcde\u{1b}[0m", "\u{1b}[31mabcde\u{1b}[0m"),
        ("\u{1b}[31mabcdef\u{1b}[0m", "\u{1b}[31mabcd…\u{1b}[0m"),
        ("ab\u{6f22}\u{5b57}", "ab\u{6f22}…"),
        ("", ""),
    ] {
        assert_eq!(cut(line, 5), expected);
    }
}

#[test]
fn what_comes_first_stays_in_sight() {
    let lines = |count: usize| (1..=count).map(|number| number.to_string()).collect::<Vec<_>>();
    assert_eq!(fitted(&lines(4), (5, 80)), lines(4));
    assert_eq!(fitted(&lines(5), (5, 80)), ["1", "2", "3", "2 more lines"]);
    assert_eq!(fitted(&lines(200), (3, 10)), ["1", "199 more …"]);
}
