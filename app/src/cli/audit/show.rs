//! `castellan audit show` and `castellan audit export`: entries for people and for programs, and lines as they are.

use castellan_core::log_message::escape;
use castellan_core::time::WallTime;
use castellan_fs::audit::AuditLine;
use clap::Args;
use serde_json::Value;

use super::super::logs::{Since, since};
use super::super::output::{self, Form, Globals};
use super::super::table::{member, text};
use crate::failure::Failure;

/// Members that every entry has; the rest says what happened.
const FRAME: [&str; 8] = ["sequence", "previous", "time", "boot", "who", "request", "kind", "hash"];

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo castellan audit show --since 24h
  sudo castellan audit show --user alice --kind decision
  sudo castellan audit show --request E12-4 -o json

With -o json: one JSON object a line, as the audit has it. -o name prints numbers of entries.")]
pub(crate) struct Options {
    /// Not older than this: a span (7d, 12h, 30m) or an instant (RFC 3339).
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// What this user or administrator did, or what is about them.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Of this kind: request, decision, control, approval, launch, exit, end, grant, revocation, policy, certificate, restore, ...
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// What belongs to this request.
    #[arg(long, value_name = "ID")]
    request: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: sudo castellan audit export --since 30d > march.jsonl && castellan audit verify march.jsonl"
)]
pub(crate) struct Export {
    /// Not older than this: a span (7d, 12h, 30m) or an instant (RFC 3339).
    #[arg(long, value_parser = since)]
    since: Option<Since>,
}

pub(super) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let from = options.since.map(Since::instant);
    each(globals, |line| {
        let Ok(entry) = serde_json::from_slice::<Value>(&line.bytes) else {
            // `castellan audit verify` says what is wrong with it.
            return output::lines(&[escape(&String::from_utf8_lossy(&line.bytes))]);
        };
        if !is_wanted(&entry, options, from) {
            return Ok(());
        }
        output::lines(&[match globals.form() {
            Form::Json => escape(&String::from_utf8_lossy(&line.bytes)),
            Form::Yaml => format!("---\n{}", output::yaml(&entry)?),
            Form::Name => escape(&member(&entry, "sequence")),
            Form::Text | Form::Wide => shown(&entry, globals.is_wide()),
        }])
    })
}

pub(super) fn export(options: &Export, globals: &Globals) -> Result<(), Failure> {
    let from = options.since.map(Since::instant);
    // From the first that is wanted on, all are: a chain with gaps proves nothing. A clock that was set back changes nothing about that.
    let mut has_begun = from.is_none();
    each(globals, |line| {
        let entry = || serde_json::from_slice::<Value>(&line.bytes).ok();
        has_begun = has_begun || entry().as_ref().and_then(super::time) >= from;
        if has_begun { output::lines(&[String::from_utf8_lossy(&line.bytes)]) } else { Ok(()) }
    })
}

/// Every line that is whole.
pub(super) fn each(globals: &Globals, mut take: impl FnMut(&AuditLine) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut reader = super::open(&globals.root)?;
    let unreadable = |error: std::io::Error| super::unreadable(&globals.root, &error);
    while let Some(line) = reader.next_line().map_err(unreadable)? {
        if line.is_whole {
            take(&line)?;
        }
    }
    Ok(())
}

fn is_wanted(entry: &Value, options: &Options, from: Option<WallTime>) -> bool {
    let is = |name: &str, wanted: &String| text(entry, name).is_some_and(|found| found.eq_ignore_ascii_case(wanted));
    let about = |user: &String| {
        let who = text(entry, "who").and_then(|who| who.split_once(':')).is_some_and(|(_, name)| name == user);
        who || text(entry, "user") == Some(user)
    };
    options.user.as_ref().is_none_or(about)
        && options.kind.as_ref().is_none_or(|kind| is("kind", kind))
        && options.request.as_ref().is_none_or(|request| is("request", request))
        && from.is_none_or(|from| super::time(entry).is_some_and(|at| at >= from))
}

/// An entry for people: when, who, what, and its particulars.
fn shown(entry: &Value, is_wide: bool) -> String {
    let said = |name: &str| escape(&member(entry, name));
    let mut line = format!("{} {} {}", said("time"), said("who"), said("kind"));
    let particulars = entry.as_object().into_iter().flatten();
    let frame = |name: &str| if is_wide { ["time", "who", "kind"].contains(&name) } else { FRAME.contains(&name) };
    if !is_wide && !said("request").is_empty() {
        line.push_str(&format!(" {}", said("request")));
    }
    for (name, value) in particulars.filter(|(name, _)| !frame(name)) {
        let is_empty = value.is_null() || value.as_array().is_some_and(Vec::is_empty) || value.as_str() == Some("");
        if !is_empty {
            line.push_str(&format!(" {}={}", escape(name), escape(&value.to_string())));
        }
    }
    line
}
