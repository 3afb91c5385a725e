//! `castellan logs`: the agent's log, filtered and followed. It is read from the files, so it can be read without a running agent.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::time::Duration;

use castellan_core::log_message::{Level, escape};
use castellan_core::time::WallTime;
use castellan_fs::log_reader::LogReader;
use clap::Args;
use serde_json::Value;

use super::output::{self, Form, Globals};
use super::table::{coloured, member, text};
use super::{preview, watch};
use crate::clock::Clock;
use crate::failure::Failure;

/// Between two looks at a file that is followed.
const PAUSE: Duration = Duration::from_millis(200);
/// Lines before those to come, where one follows and does not say how many.
const TAIL: usize = 10;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan logs --follow
  castellan logs --job backup --level Warning --since 2h
  castellan logs --follow --category Denied --grep KeeperLogger
  castellan logs -o json | jq 'select(.category == \"Denied\")'

With -o json: one JSON object a line, as the log has it.")]
pub(crate) struct Options {
    /// What is about this job.
    #[arg(long, value_name = "ID", conflicts_with = "plugin")]
    job: Option<String>,
    /// What is about this plugin.
    #[arg(long, value_name = "ID")]
    plugin: Option<String>,
    #[command(flatten)]
    range: Range,
}

/// Which of the lines.
#[derive(Debug, Args)]
pub(crate) struct Range {
    /// At least this much: Trace, Debug, Information, Warning, Error, Critical.
    #[arg(long, value_parser = level)]
    level: Option<Level>,
    /// What is about this run, or was sent by one of its tasks.
    #[arg(long, value_name = "ID")]
    run: Option<String>,
    /// Of this category, such as Denied or RunFinished.
    #[arg(long, value_name = "NAME")]
    category: Option<String>,
    /// With this text in the message or the context, in any case.
    #[arg(long, value_name = "TEXT")]
    grep: Option<String>,
    /// Not older than this: a span (7d, 12h, 30m) or an instant (RFC 3339).
    #[arg(long, value_parser = since)]
    since: Option<Since>,
    /// The last so many of them.
    #[arg(short = 'n', long)]
    lines: Option<usize>,
    /// Go on with what is logged from now on, until Ctrl-C.
    #[arg(short, long)]
    follow: bool,
}

/// Since when.
#[derive(Debug, Clone, Copy)]
pub(super) enum Since {
    /// So many milliseconds.
    Span(i64),
    /// This instant.
    Instant(WallTime),
}

impl Since {
    /// The instant, counted from now.
    pub(super) fn instant(self) -> WallTime {
        match self {
            Self::Span(millis) => WallTime::from_millis(Clock::start().now().wall.as_millis().saturating_sub(millis)),
            Self::Instant(instant) => instant,
        }
    }
}

fn level(text: &str) -> Result<Level, String> {
    Level::from_name(text)
        .ok_or_else(|| format!("'{text}' is no level; write Trace, Debug, Information, Warning, Error or Critical"))
}

/// A span or an instant.
pub(super) fn since(text: &str) -> Result<Since, String> {
    match WallTime::parse_rfc3339(text) {
        Some(instant) => Ok(Since::Instant(instant)),
        None => preview::span(text).map(Since::Span).map_err(|_| {
            format!(
                "'{text}' is neither a span of time, as in 7d, 12h or 30m, nor an instant, as in 2026-11-23T09:00:00Z"
            )
        }),
    }
}

pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    match (&options.job, &options.plugin) {
        (Some(job), _) => of(&format!("job:{job}"), &options.range, globals),
        (None, Some(plugin)) => of(&format!("plugin:{plugin}"), &options.range, globals),
        (None, None) => of("", &options.range, globals),
    }
}

/// Prints what is about a component; about everything where none is named.
pub(crate) fn of(component: &str, range: &Range, globals: &Globals) -> Result<(), Failure> {
    let root = globals.root.display();
    let unreadable = |error: std::io::Error| {
        let folder = format!("{root}/state/logs");
        if error.kind() == ErrorKind::PermissionDenied {
            let fix = "Say it again as that user, for example with sudo.";
            return Failure::denied(format!("{folder} may be read by the agent's own user and root alone. {fix}"));
        }
        if error.kind() == ErrorKind::NotFound {
            let fix = "Name another root with --root.";
            return Failure::not_found(format!("there is no log in {folder}: no agent ever ran there. {fix}"));
        }
        Failure::failed(format!("the log in {folder} cannot be read: {error}."))
    };
    let from = range.since.map(Since::instant);
    let part = range.grep.as_ref().map(|part| part.to_lowercase());
    let wanted = |record: &Value| {
        let level = || text(record, "level").and_then(Level::from_name);
        let at = || text(record, "timestamp").and_then(WallTime::parse_rfc3339);
        let is = |name: &str, wanted: &str| text(record, name).is_some_and(|found| found.eq_ignore_ascii_case(wanted));
        let has = |name: &str, part: &String| text(record, name).is_some_and(|text| text.to_lowercase().contains(part));
        (component.is_empty() || is("component", component))
            && range.run.as_ref().is_none_or(|run| is("runId", run))
            && range.category.as_ref().is_none_or(|category| is("category", category))
            && part.as_ref().is_none_or(|part| has("message", part) || has("context", part))
            && range.level.is_none_or(|least| level().is_some_and(|level| level >= least))
            && from.is_none_or(|from| at().is_some_and(|at| at >= from))
    };
    let mut log = LogReader::open(&globals.root).map_err(unreadable)?;
    let most = range.lines.or(range.follow.then_some(TAIL)).unwrap_or(usize::MAX);
    let mut last = VecDeque::new();
    while let Some(line) = log.next_line().map_err(unreadable)? {
        if let Some(line) = line_of(&line, &wanted, globals)? {
            if most == usize::MAX {
                output::lines(&[line])?;
            } else {
                last.push_back(line);
                if last.len() > most {
                    last.pop_front();
                }
            }
        }
    }
    output::lines(last.make_contiguous())?;
    if !range.follow {
        return Ok(());
    }
    loop {
        match log.next_line().map_err(unreadable)? {
            Some(line) => output::lines(line_of(&line, &wanted, globals)?.as_slice())?,
            None => watch::pause(PAUSE),
        }
    }
}

/// A line of the file as it is shown, where it is wanted. What is no record (a disk that was full) is shown as it is.
fn line_of(line: &[u8], wanted: &dyn Fn(&Value) -> bool, globals: &Globals) -> Result<Option<String>, Failure> {
    let raw = String::from_utf8_lossy(line);
    let Ok(record) = serde_json::from_str::<Value>(&raw) else { return Ok(Some(escape(&raw))) };
    if !wanted(&record) {
        return Ok(None);
    }
    Ok(Some(match globals.form() {
        Form::Json => escape(&raw),
        Form::Yaml => format!("---\n{}", output::yaml(&record)?),
        Form::Name => escape(&member(&record, "component")),
        Form::Text | Form::Wide => shown(&record, globals),
    }))
}

/// A record for people: time, level, whose it is, what it is about, the message.
fn shown(record: &Value, globals: &Globals) -> String {
    let said = |name: &str| escape(&member(record, name));
    let level = if globals.has_colours() { coloured(&said("level")) } else { said("level") };
    let mut line =
        format!("{} {level} {} {}: {}", said("timestamp"), said("component"), said("category"), said("message"));
    if globals.is_wide() {
        for name in ["source", "runId", "clientId", "pid", "correlationId", "context"] {
            let value = said(name);
            if !value.is_empty() {
                line.push_str(&format!(" {name}={value}"));
            }
        }
    }
    line
}
