//! `elevate` is read without the tree of all commands, and means what it means with it.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::*;

/// Words that stand before and behind `elevate`, each of which could be read in more than one way.
const WORDS: [&str; 18] = [
    "--",
    "",
    "-",
    "id",
    "elevate",
    "status",
    "help",
    "-h",
    "-V",
    "-qojson",
    "--json",
    "--root",
    "--root=/x",
    "--reason",
    "--reason=--",
    "--code=1",
    "--unknown",
    "\u{fe}",
];

/// Reads both ways where the short one understands it.
fn agree(words: &[OsString]) -> bool {
    let Ok(ElevateAlone { globals, command: Elevate::Elevate(options) }) = ElevateAlone::try_parse_from(words) else {
        return false;
    };
    let all = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let short = Cli { globals, command: Command::Elevate(options) };
    assert_eq!(format!("{short:?}"), format!("{all:?}"), "{words:?}");
    true
}

#[test]
fn elevate_means_the_same_with_and_without_all_commands() {
    // One of them is no text at all.
    let words = WORDS.map(|word| if word == "\u{fe}" { OsString::from_vec(vec![0xfe]) } else { OsString::from(word) });
    let mut understood = 0;
    for first in &words {
        for second in &words {
            let castellan = || OsString::from("castellan");
            let elevate = || OsString::from("elevate");
            let lines = [
                vec![castellan(), first.clone(), elevate(), second.clone(), OsString::from("true")],
                vec![castellan(), elevate(), first.clone(), second.clone(), OsString::from("true")],
                vec![castellan(), elevate(), first.clone(), second.clone()],
            ];
            understood += lines.iter().filter(|line| agree(line)).count();
        }
    }
    assert!(understood > 100, "{understood} lines were understood");
}
