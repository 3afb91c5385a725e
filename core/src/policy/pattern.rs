//! Patterns of paths, file names and commands: `*` stays within one path segment, a variable stands at the beginning.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::filter::Facts;
use crate::job::finding::quote;
use crate::job::parse::arguments::split;

/// The path variables that policies may use (contract section 3).
pub(crate) const VARIABLES: [&str; 9] =
    ["rootdir", "home", "tmp", "etc", "var", "usr", "bin", "userdesktop", "documents"];

/// What a pattern is held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    FileName,
}

/// A pattern of paths or file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    part: Part,
    /// A variable, by lower-case name, that stands before the text.
    variable: Option<&'static str>,
    /// What follows; `*` stands for any characters but `/`.
    text: String,
}

/// A command that a policy names: its program, and its arguments where they matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Command {
    program: Pattern,
    /// `None`: whatever they are.
    arguments: Option<Vec<String>>,
}

impl Pattern {
    /// Reads an entry of `ApplicationCheck`.
    ///
    /// # Errors
    /// A clause that says what is wrong.
    pub(crate) fn parse(entry: &str) -> Result<Self, String> {
        if entry.is_empty() {
            return Err(String::from("it is empty; write a path, a file name or *"));
        }
        if let Some((variable, text)) = variable(entry)? {
            return Ok(Self { part: Part::Path, variable: Some(variable), text: text.to_string() });
        }
        let part = match (entry.starts_with('/'), entry.contains('/') && !is_of_windows(entry)) {
            (true, _) => Part::Path,
            (false, false) => Part::FileName,
            (false, true) => {
                return Err(format!(
                    "{} is no whole path; begin it with / or with a variable such as {{home}}",
                    quote(entry)
                ));
            }
        };
        if part == Part::Path && !is_normal(entry) {
            return Err(format!("{} has an empty segment, . or .. in it, which no file's path has", quote(entry)));
        }
        Ok(Self { part, variable: None, text: entry.to_string() })
    }

    /// Reads an entry of `Extension.Folders`: the beginning of paths, without wildcards.
    ///
    /// # Errors
    /// A clause that says what is wrong.
    pub(crate) fn folder(entry: &str) -> Result<Self, String> {
        let pattern = Self::parse(entry)?;
        match pattern.part {
            Part::Path => Ok(pattern),
            Part::FileName => Err(format!("{} is no folder; begin it with / or with a variable", quote(entry))),
        }
    }

    /// The text that it equals, where it has neither wildcard nor variable.
    pub(crate) fn literal(&self) -> Option<&str> {
        (self.variable.is_none() && !self.text.contains('*')).then_some(self.text.as_str())
    }

    /// Whether the file of the request is one of it.
    pub(crate) fn matches(&self, facts: &Facts<'_>) -> bool {
        match self.part {
            Part::FileName => glob(&self.text, facts.file_name),
            Part::Path => self.rest(facts).is_some_and(|rest| glob(&self.text, rest)),
        }
    }

    /// Whether the file's path begins with it.
    pub(crate) fn leads_to(&self, facts: &Facts<'_>) -> bool {
        self.rest(facts).is_some_and(|rest| rest.starts_with(&self.text))
    }

    /// The file's path behind the variable; `None` where the user has none, or the file is elsewhere.
    fn rest<'a>(&self, facts: &Facts<'a>) -> Option<&'a str> {
        let Some(variable) = self.variable else { return Some(&facts.request.file_path) };
        let value = facts.request.variables.get(variable).filter(|value| value.starts_with('/'))?;
        let rest = facts.request.file_path.strip_prefix(value.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

impl Command {
    /// Reads an entry of `Extension.AllowCommands`: a program, and its arguments where they matter, quoted as for a shell.
    ///
    /// # Errors
    /// A clause that says what is wrong.
    pub(crate) fn parse(entry: &str) -> Result<Self, String> {
        let words = split(entry).map_err(|mark| format!("in {} a {mark} is not closed", quote(entry)))?;
        let Some((program, arguments)) = words.split_first() else {
            return Err(String::from("it is empty; write a command or *"));
        };
        let arguments = (!arguments.is_empty()).then(|| arguments.to_vec());
        Ok(Self { program: Pattern::parse(program)?, arguments })
    }

    /// Whether the request's command is one of it.
    pub(crate) fn matches(&self, facts: &Facts<'_>) -> bool {
        self.program.matches(facts)
            && self.arguments.as_ref().is_none_or(|wanted| same_arguments(wanted, &facts.request.arguments))
    }
}

/// Each word for one argument; a last `*` for all that are left, another one for any argument.
fn same_arguments(wanted: &[String], given: &[String]) -> bool {
    let (wanted, is_open) = match wanted.split_last() {
        Some((last, before)) if last == "*" => (before, true),
        _ => (wanted, false),
    };
    let enough = if is_open { given.len() >= wanted.len() } else { given.len() == wanted.len() };
    enough && wanted.iter().zip(given).all(|(wanted, given)| wanted == "*" || glob(wanted, given))
}

/// The variable that an entry begins with, and what follows it.
fn variable(entry: &str) -> Result<Option<(&'static str, &str)>, String> {
    let Some(inside) = entry.strip_prefix('{').filter(|_| !is_of_windows(entry)) else { return Ok(None) };
    let Some((name, text)) = inside.split_once('}') else {
        return Err(format!("the brace in {} is not closed", quote(entry)));
    };
    let Some(known) = VARIABLES.into_iter().find(|known| known.eq_ignore_ascii_case(name)) else {
        return Err(format!("{} is no variable here; there are {}", quote(name), VARIABLES.join(", ")));
    };
    if text.is_empty() || (text.starts_with('/') && is_normal(text)) {
        return Ok(Some((known, text)));
    }
    Err(format!("what follows the variable in {} is no path", quote(entry)))
}

/// Whether an entry is for Windows: it names no file here.
pub(crate) fn is_of_windows(entry: &str) -> bool {
    entry.contains('\\')
}

/// Whether an absolute path is one that a file has: no empty segment, no `.`, no `..`. One `/` at the end is taken, for folders.
pub(crate) fn is_normal(path: &str) -> bool {
    let Some(segments) = path.strip_prefix('/') else { return false };
    let segments = segments.strip_suffix('/').unwrap_or(segments);
    path == "/" || segments.split('/').all(|segment| !matches!(segment, "" | "." | ".."))
}

/// Whether a text is one of a pattern, in which `*` stands for any characters but `/`. In linear time for one star a segment, and never
/// more than the product of both lengths.
fn glob(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // What is tried again: the pattern behind the last star, and the text from where that star may take one more byte.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => return true,
            (Some((b'*', behind)), _) => {
                pattern = behind;
                again = Some((behind, text));
                continue;
            }
            (Some((wanted, behind)), Some((found, rest))) if wanted == found => {
                (pattern, text) = (behind, rest);
                continue;
            }
            _ => {}
        }
        // A star before the last one need not be tried again: whatever it took more, the last one could take as well.
        match again.and_then(|(behind, from)| Some((behind, from.split_first()?))) {
            Some((behind, (taken, rest))) if *taken != b'/' => {
                (pattern, text) = (behind, rest);
                again = Some((behind, rest));
            }
            _ => return false,
        }
    }
}
