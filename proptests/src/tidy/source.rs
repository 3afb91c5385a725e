//! Rules of Rust files: heads, sizes, names, and what must not stand in code.

mod mask;

pub use mask::code_of;

use super::{File, Finding, finding};

/// Lines of a head that says a purpose.
const HEAD: usize = 3;
/// Lines of the head of a module with parts of its own: states, table, invariants.
const ROOT_HEAD: usize = 45;
/// Lines of a file, and of a file of tests.
const LINES: usize = 400;
const TEST_LINES: usize = 800;
/// The one file that may hold it.
const UNSAFE_HOME: &str = "adapters/process/src/sys.rs";
/// Words that name nothing: what such a thing does has a name of its own.
const EMPTY_NAMES: [&str; 8] = ["manager", "managers", "helper", "helpers", "util", "utils", "common", "commons"];

/// Every file opens with its purpose: one to three lines, more where it is the root of a module or shows a table.
pub fn heads(file: &File) -> Vec<Finding> {
    let head: Vec<&str> = file.text.lines().map_while(|line| line.strip_prefix("//!")).collect();
    let words = head.iter().filter(|line| !line.trim().is_empty()).count();
    if words == 0 {
        return vec![finding(file, 1, "open the file with `//!` and its purpose in one sentence.")];
    }
    let is_root = head.iter().any(|line| line.trim_start().starts_with(['|', '`']))
        || ["/lib.rs", "/main.rs"].iter().any(|name| file.path.ends_with(name))
        || declares_parts(file);
    let most = if is_root { ROOT_HEAD } else { HEAD };
    if words > most {
        let message = format!(
            "the head has {words} lines of text; at most {most}: say the purpose, move the rest to where it applies."
        );
        return vec![finding(file, most, message)];
    }
    Vec::new()
}

/// Whether the file is the root of a module with parts of its own.
fn declares_parts(file: &File) -> bool {
    code_of(&file.text).lines().any(|line| {
        let line = line.trim_start();
        let line = line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(line);
        line.strip_prefix("mod ").is_some_and(|rest| rest.trim_end().ends_with(';'))
    })
}

/// No file is longer than somebody can keep in mind.
pub fn sizes(file: &File) -> Vec<Finding> {
    let lines = file.text.lines().count();
    let most = if file.is_test() { TEST_LINES } else { LINES };
    let message = format!("{lines} lines, at most {most}: cut it where two subjects meet.");
    if lines > most { vec![finding(file, most, message)] } else { Vec::new() }
}

/// `name.rs` + `name/`, never `mod.rs`.
pub fn no_mod_rs(file: &File) -> Vec<Finding> {
    let wrong = file.path.ends_with("/mod.rs");
    if wrong { vec![finding(file, 0, "rename it to the folder's name, beside the folder.")] } else { Vec::new() }
}

/// The keyword stands in one file alone.
pub fn unsafe_in_one_place(file: &File) -> Vec<Finding> {
    if file.path == UNSAFE_HOME {
        return Vec::new();
    }
    let message = format!("`unsafe` stands in {UNSAFE_HOME} alone: put a safe function there and call it.");
    lines_with_word(file, "unsafe", &message)
}

/// No name says that a thing does something without saying what.
pub fn no_empty_names(file: &File) -> Vec<Finding> {
    let advice = |name: &str| format!("'{name}' says nothing of what it does; name it after that.");
    let mut findings = Vec::new();
    for part in file.path.trim_end_matches(".rs").split('/') {
        if is_empty_name(part) {
            findings.push(finding(file, 0, advice(part)));
        }
    }
    let code = code_of(&file.text);
    for (index, line) in code.lines().enumerate() {
        for name in defined_names(line).into_iter().filter(|name| is_empty_name(name)) {
            findings.push(finding(file, index.saturating_add(1), advice(name)));
        }
    }
    findings
}

/// The names that a line of code defines.
fn defined_names(line: &str) -> Vec<&str> {
    const KEYWORDS: [&str; 9] = ["struct", "enum", "trait", "fn", "mod", "type", "const", "static", "union"];
    let words: Vec<&str> = line.split(|letter: char| !is_word(letter)).filter(|word| !word.is_empty()).collect();
    let pairs = words.iter().zip(words.iter().skip(1));
    pairs.filter(|(keyword, _)| KEYWORDS.contains(keyword)).map(|(_, name)| *name).collect()
}

fn is_empty_name(name: &str) -> bool {
    let mut words: Vec<String> = vec![String::new()];
    for letter in name.chars() {
        if !letter.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let begins = letter.is_uppercase() && words.last().is_some_and(|word| !word.ends_with(char::is_uppercase));
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(letter);
        }
    }
    words.iter().any(|word| EMPTY_NAMES.contains(&word.to_lowercase().as_str()))
}

/// Outside of tests nothing is thrown away silently.
pub fn nothing_swallowed(file: &File) -> Vec<Finding> {
    if file.is_test() {
        return Vec::new();
    }
    let code = code_of(&file.text);
    let wrong = |line: &str| line.split("let _").skip(1).any(|rest| rest.trim_start().starts_with(['=', ':']));
    let lines = code.lines().enumerate().filter(|(_, line)| wrong(line));
    let message = "say what becomes of the value: handle it, record it, or `drop` it with the reason in a comment.";
    lines.map(|(index, _)| finding(file, index.saturating_add(1), message)).collect()
}

/// Nothing in the tree waits to be written.
pub fn nothing_unfinished(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for macro_name in ["todo", "unimplemented"] {
        let message = format!("`{macro_name}!` does not ship: write it, or leave out what needs it.");
        let calls = lines_with_word(file, macro_name, &message);
        let code = code_of(&file.text);
        let is_call =
            |line: usize| code.lines().nth(line.saturating_sub(1)).is_some_and(|line| has_macro(line, macro_name));
        findings.extend(calls.into_iter().filter(|found| is_call(found.line)));
    }
    findings
}

fn has_macro(line: &str, name: &str) -> bool {
    line.split(name).skip(1).any(|rest| rest.starts_with('!'))
}

/// A test runs, or it is not there. What other tests start as a process of its own is no test: its reason begins with "the body of".
pub fn no_ignored_tests(file: &File) -> Vec<Finding> {
    let code = code_of(&file.text);
    let squeezed = |line: &str| line.split_whitespace().collect::<String>();
    let wrong = |(line, text): (&str, &str)| {
        let line = squeezed(line);
        let ignored = line.contains("#[ignore") || (line.contains("cfg_attr(") && has_word(&line, "ignore"));
        ignored && !text.trim_start().starts_with("#[ignore = \"the body of ")
    };
    let lines = code.lines().zip(file.text.lines()).enumerate().filter(|(_, line)| wrong(*line));
    let message = "an ignored test proves nothing: let it run, or skip loudly where the machine lacks something.";
    lines.map(|(index, _)| finding(file, index.saturating_add(1), message)).collect()
}

/// Tests wait for events. A timer is a deadline in a race (something stands behind it in its block), or the pause of a poll
/// that says so in a comment above it.
pub fn no_sleeping_tests(file: &File) -> Vec<Finding> {
    if !file.is_test() {
        return Vec::new();
    }
    let code = code_of(&file.text);
    let (code, text): (Vec<&str>, Vec<&str>) = (code.lines().collect(), file.text.lines().collect());
    let mut findings = Vec::new();
    for (index, line) in code.iter().enumerate() {
        let sleeps = has_word(line, "sleep") && line.contains("sleep(");
        let timer = line.contains("Timer::after(") && line.trim_end().ends_with(".await;");
        let races = timer
            && code.get(index.saturating_add(1)).is_some_and(|next| !next.trim().is_empty() && next.trim() != "}");
        let above = text.iter().take(index).rev().map_while(|line| line.trim().strip_prefix("//"));
        let polls = above.into_iter().any(|comment| comment.to_lowercase().contains("poll"));
        if (sleeps || timer) && !races && !polls {
            let message = "wait for the event; where nothing can be awaited, poll with a deadline and say `poll` in a comment above.";
            findings.push(finding(file, index.saturating_add(1), message));
        }
    }
    findings
}

/// The lines of code that have this word.
fn lines_with_word(file: &File, word: &str, message: &str) -> Vec<Finding> {
    let code = code_of(&file.text);
    let lines = code.lines().enumerate().filter(|(_, line)| has_word(line, word));
    lines.map(|(index, _)| finding(file, index.saturating_add(1), message)).collect()
}

/// Whether a text has a word, not only a part of one.
pub fn has_word(text: &str, word: &str) -> bool {
    text.split(|letter: char| !is_word(letter)).any(|found| found == word)
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
