//! Rules of every text file: no unfinished words, no paths of somebody's machine, no hosts of registries.

use super::source::has_word;
use super::{File, Finding, finding};

/// The only place that packages come from; a lock file names no other.
const PUBLIC_REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// No reminder stands in the tree; what is missing stands where it is planned.
pub fn no_reminders(file: &File) -> Vec<Finding> {
    // Put together, so that this file does not break its own rule.
    let words = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat()];
    each_line(
        file,
        |line| words.iter().any(|word| has_word(line, word)),
        "do it now, or open an issue and drop the reminder.",
    )
}

/// No path that exists on one machine alone. The folder of `you` is everybody's.
pub fn no_machine_paths(file: &File) -> Vec<Finding> {
    let folders = ["work", "root", "home"].map(|folder| format!("/{folder}/"));
    let begins = |line: &str, at: usize| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        before.is_none_or(|letter| {
            !letter.is_alphanumeric() && !matches!(letter, '/' | '.' | '-' | '_' | '}' | '*' | '$')
        })
    };
    let yours = |line: &str, at: usize| line.get(at..).is_some_and(|rest| rest.split('/').nth(2) == Some("you"));
    let is_one = |line: &str, at: usize| begins(line, at) && !yours(line, at);
    let wrong = |line: &str| folders.iter().any(|folder| line.match_indices(folder).any(|(at, _)| is_one(line, at)));
    each_line(file, wrong, "this path is one machine's own; use a relative one, a variable, or /srv/… in an example.")
}

/// No registry but the public one, and that in the lock file alone.
pub fn no_registry_hosts(file: &File) -> Vec<Finding> {
    if file.path == "Cargo.lock" {
        let wrong = |line: &str| {
            line.strip_prefix("source = ").is_some_and(|source| source.trim_matches('"') != PUBLIC_REGISTRY)
        };
        return each_line(file, wrong, "a package comes from elsewhere than crates.io; lock it from there.");
    }
    let hosts = [
        ["index.", "crates.io"].concat(),
        ["static.", "crates.io"].concat(),
        ["pypi", ".org"].concat(),
        ["files.python", "hosted.org"].concat(),
        ["registry.", "npmjs.org"].concat(),
        ["replace", "-with"].concat(),
        ["index", "-url"].concat(),
        ["[regis", "tries"].concat(),
        ["PIP_INDEX", "_URL"].concat(),
    ];
    let wrong = |line: &str| hosts.iter().any(|host| line.contains(host.as_str()));
    each_line(file, wrong, "where packages come from is the machine's setting, not the project's.")
}

fn each_line(file: &File, wrong: impl Fn(&str) -> bool, message: &str) -> Vec<Finding> {
    let lines = file.text.lines().enumerate().filter(|(_, line)| wrong(line));
    lines.map(|(index, _)| finding(file, index.saturating_add(1), message)).collect()
}
