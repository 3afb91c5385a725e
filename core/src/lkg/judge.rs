//! What is done about a file that is not as it was blessed, and the sentences that tell it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Found, Item, Trace, diff};
use crate::event::DefinitionKind;
use crate::log_message::escape;
use crate::why::Explanation;

/// What may be done about files that differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// They are restored.
    Restore,
    /// They are reported and stay (`ConfigurationLkg:AuditOnly`, or held since Last Known Good was off).
    Report,
}

/// What is blessed of an item, by the agent's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blessed<'a> {
    /// This document.
    Document(&'a [u8]),
    /// It was removed.
    Removed,
    /// It never was.
    Never,
}

/// What is done about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: memory knows already what the disk has.
    Leave,
    /// What stands there goes into quarantine, and what is blessed takes its place: the document, or nothing.
    Restore,
    /// It is told, and stays.
    Report,
}

/// What is done about a difference. The survey may be older than the agent's memory, never younger.
pub fn judge(mode: Mode, blessed: Blessed<'_>, found: &Found) -> Verdict {
    let differs = match (blessed, found) {
        (Blessed::Document(document), Found::Bytes { content, .. }) => document != content.as_slice(),
        (Blessed::Document(_), Found::Missing | Found::Rights { .. } | Found::Other { .. }) => true,
        (Blessed::Removed | Blessed::Never, Found::Missing) => false,
        (Blessed::Removed | Blessed::Never, Found::Bytes { .. } | Found::Rights { .. } | Found::Other { .. }) => true,
    };
    match (differs, mode) {
        (false, _) => Verdict::Leave,
        (true, Mode::Restore) => Verdict::Restore,
        (true, Mode::Report) => Verdict::Report,
    }
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done<'a> {
    /// It is as blessed again; what stood there has this name in quarantine.
    Restored(Option<&'a str>),
    /// It is restored in its turn.
    Waiting,
    /// It stays, by `ConfigurationLkg:AuditOnly`.
    Reported,
    /// It stays, as it differed when Last Known Good was turned on or began anew, until somebody says which one counts.
    Held,
    /// It could not be put right, for this reason; it is tried again.
    Failed(&'a str),
}

/// A difference as people see it, without the file that it was: small, whatever stood there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What is with the file; a sentence without its end.
    file: String,
    who: String,
    properly: String,
    has_document: bool,
    /// Which keys differ, without the values of secrets.
    pub keys: Vec<String>,
}

impl Observation {
    /// What is to be told of a difference.
    pub fn of(item: &Item, blessed: Blessed<'_>, found: &Found) -> Self {
        let name = format!("{}.json", escape(&item.to_string()));
        let file = match (blessed, found) {
            (_, Found::Missing) => format!("{name} was deleted or renamed"),
            (_, Found::Rights { what, .. } | Found::Other { what, .. }) => format!("{name} {}", escape(what)),
            (Blessed::Document(_), Found::Bytes { content, .. }) => {
                format!("{name} was changed ({} bytes now)", content.len())
            }
            (Blessed::Removed, Found::Bytes { .. }) => format!("{name} is there again, although it was removed"),
            (Blessed::Never, Found::Bytes { .. }) => format!("{name} is there, and nobody blessed it"),
        };
        let document = match blessed {
            Blessed::Document(document) => Some(document),
            Blessed::Removed | Blessed::Never => None,
        };
        let keys = match found {
            Found::Bytes { content, .. } => diff::lines(document, Some(content)),
            Found::Missing | Found::Rights { .. } | Found::Other { .. } => Vec::new(),
        };
        Self { file, who: who(found), properly: properly(item, found), has_document: document.is_some(), keys }
    }

    /// What, who as far as known and what was done, how to make the change properly.
    pub fn told(&self, done: Done<'_>) -> Explanation {
        let Self { file, who, properly, has_document, .. } = self;
        let runs = if *has_document { "the agent runs what was blessed" } else { "the agent runs nothing of it" };
        let what = match done {
            Done::Restored(_) if *has_document => format!("{file}; it was restored."),
            Done::Restored(Some(_)) => format!("{file}; it was moved away and never counted."),
            Done::Restored(None) => format!("{file}; it was gone again before it was moved, and never counted."),
            Done::Waiting => format!("{file}; it is put right in its turn, and {runs}."),
            Done::Reported => format!("{file}; it stays so, as AuditOnly is set, and {runs}."),
            Done::Held => format!(
                "{file} before Last Known Good was turned on or began anew; it stays so until somebody says what counts, and {runs}."
            ),
            Done::Failed(_) => format!("{file}; it could not be put right, and {runs}."),
        };
        let why = match done {
            Done::Restored(Some(copy)) => format!("{who} What stood there is state/quarantine/{}.", escape(copy)),
            Done::Failed(reason) => format!("{who} {}", escape(reason)),
            Done::Restored(None) | Done::Waiting | Done::Reported | Done::Held => who.clone(),
        };
        Explanation::new(what, why, properly.clone())
    }
}

/// Who did it, as far as the kernel tells.
fn who(found: &Found) -> String {
    let trace = match found {
        Found::Missing => return "The kernel does not tell who deletes a file.".to_string(),
        Found::Bytes { trace, .. } | Found::Rights { trace, .. } | Found::Other { trace, .. } => trace,
    };
    let Trace { owner, modified, writer } = trace;
    let mut who = match writer {
        Some(writer) => format!("It was written by {}", escape(writer)),
        None => "Which process wrote it is not known".to_string(),
    };
    if let Some(owner) = owner {
        who.push_str(&format!("; it belonged to user {owner}"));
    }
    if let Some(modified) = modified {
        who.push_str(&format!("; its content was changed last at {}", escape(modified)));
    }
    who.push('.');
    who
}

/// How the change is made so that it stays.
fn properly(item: &Item, found: &Found) -> String {
    let shown = escape(&item.to_string());
    match (item.kind, found) {
        (DefinitionKind::Job, Found::Missing) => {
            format!("To remove it, use `castellan jobs delete {}`.", escape(&item.id))
        }
        (DefinitionKind::Plugin, Found::Missing) => {
            "To stop a plugin, use `castellan plugins stop`; to change it, a SettingsUpdate policy.".to_string()
        }
        (_, Found::Rights { .. }) => "The agent gives its files these rights; nothing is to be done.".to_string(),
        (DefinitionKind::Job, Found::Bytes { .. }) => {
            format!("If the change is meant, use `castellan jobs apply FILE`, or `castellan lkg accept {shown}`.")
        }
        (DefinitionKind::Plugin, Found::Bytes { .. }) => {
            format!("If the change is meant, use a SettingsUpdate policy, or `castellan lkg accept {shown}`.")
        }
        (_, Found::Other { .. }) => {
            format!(
                "Only a plain file counts; for a change of it use `castellan lkg accept {shown}` after writing one."
            )
        }
    }
}

/// A folder that is not the agent's any more, with the survey's sentence.
pub fn explain_folder(kind: DefinitionKind, why: &str) -> Explanation {
    Explanation::new(
        format!(
            "The folder of {} is not used: nothing of it is read, and nothing is written through it.",
            kind.folder()
        ),
        escape(why),
        "The agent runs what was blessed, from memory. Put its folder back; if the other one is meant, restart the agent.",
    )
}

#[cfg(test)]
mod tests;
