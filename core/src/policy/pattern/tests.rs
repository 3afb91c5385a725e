//! What patterns match and refuse, and the wildcard against a naive matcher over all short texts.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Command, Pattern, glob, is_normal};

/// Letter by letter, with every way a star could go.
fn naive(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', behind @ ..], _) => {
            naive(behind, text) || matches!(text, [taken, rest @ ..] if *taken != b'/' && naive(pattern, rest))
        }
        ([wanted, behind @ ..], [found, rest @ ..]) => wanted == found && naive(behind, rest),
        _ => false,
    }
}

fn all(letters: &[u8], longest: usize) -> Vec<String> {
    let mut texts = Vec::from([String::new()]);
    let mut last = texts.clone();
    for _ in 0..longest {
        last = last
            .iter()
            .flat_map(|text| letters.iter().map(move |letter| alloc::format!("{text}{}", *letter as char)))
            .collect();
        texts.extend(last.iter().cloned());
    }
    texts
}

#[test]
fn a_star_stays_within_a_segment() {
    let texts = all(b"ab/", 5);
    for pattern in all(b"ab/*", 4) {
        for text in &texts {
            assert_eq!(glob(&pattern, text), naive(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }
}

#[test]
fn a_slow_pattern_is_held_against_a_long_text_at_once() {
    let pattern = "*a".repeat(500) + "b";
    assert!(!glob(&pattern, &"a".repeat(5000)));
}

#[test]
fn what_is_no_pattern_says_why() {
    let cases = [
        ("", "it is empty"),
        ("bin/ls", "no whole path"),
        ("/usr/../bin/ls", "has an empty segment"),
        ("//ls", "has an empty segment"),
        ("{hmoe}/ls", "is no variable here"),
        ("{home", "is not closed"),
        ("{home}x", "is no path"),
        ("{home}/../x", "is no path"),
    ];
    for (entry, words) in cases {
        let why = Pattern::parse(entry).unwrap_err();
        assert!(why.contains(words), "{entry}: {why}");
    }
    assert!(Pattern::folder("bin").unwrap_err().contains("is no folder"));
    assert!(Command::parse("ls 'x").unwrap_err().contains("is not closed"));
    assert!(Command::parse(" ").unwrap_err().contains("it is empty"));
}

#[test]
fn a_path_that_files_have_is_normal() {
    assert!(["/", "/a", "/a/b.c", "/a/", "/...", "/.a"].into_iter().all(is_normal));
    assert!(!["", "a", "a/b", "//", "/a//b", "/.", "/a/..", "/a/./b"].into_iter().any(is_normal));
}
