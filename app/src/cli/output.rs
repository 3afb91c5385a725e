//! What a command prints: text for people, or one document for programs; and the options that every command has for it.
//!
//! Results go to standard output, everything said about them to standard error. Nothing that somebody else chose reaches a terminal
//! with its control characters. Colours, times that count from now, and progress are for terminals alone.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

use castellan_core::log_message::escape;
use castellan_core::time::WallTime;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;

use super::DEFAULT_ROOT;
use crate::clock::Clock;
use crate::failure::Failure;

/// Milliseconds of the units in which a span is told, largest first.
const UNITS: [(&str, u64); 4] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)];

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// For people.
    Text,
    /// One JSON document.
    Json,
    /// The same document in YAML.
    Yaml,
    /// For people, with every column and full times.
    Wide,
    /// The ids alone, one a line, for other commands.
    Name,
}

/// The options of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Globals {
    /// The agent root: appsettings.json, Jobs, Plugins, Policies, state.
    #[arg(long, global = true, env = "CASTELLAN_ROOT", default_value = DEFAULT_ROOT, value_name = "DIR")]
    pub(crate) root: PathBuf,
    /// The form of the answer.
    #[arg(short, long, global = true, value_enum, default_value_t = Form::Text, value_name = "FORM")]
    output: Form,
    /// The same as --output json.
    #[arg(long, global = true, hide = true)]
    json: bool,
    /// Print results alone: no notes, no progress, nothing about writes that worked.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// No colours; so does the variable NO_COLOR.
    #[arg(long, global = true)]
    no_color: bool,
}

impl Globals {
    /// The form that was asked for.
    pub(crate) const fn form(&self) -> Form {
        if self.json { Form::Json } else { self.output }
    }

    /// Whether the answer is a document for programs.
    pub(crate) fn is_document(&self) -> bool {
        matches!(self.form(), Form::Json | Form::Yaml)
    }

    /// Whether the answer is for programs: a document, or ids.
    pub(crate) fn is_for_programs(&self) -> bool {
        self.is_document() || self.form() == Form::Name
    }

    /// Whether results alone are wanted.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether tables have all their columns.
    pub(crate) fn is_wide(&self) -> bool {
        self.form() == Form::Wide
    }

    /// Whether the answer goes to a terminal that can be redrawn.
    pub(crate) fn is_on_terminal(&self) -> bool {
        std::io::stdout().is_terminal() && !is_dumb()
    }

    /// Whether the answer may have colours (<https://no-color.org>).
    pub(crate) fn has_colours(&self) -> bool {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        !self.no_color && !refused && self.is_on_terminal()
    }

    /// Prints a result: the document, its ids, or what people read.
    pub(crate) fn show(
        &self,
        document: &impl Serialize,
        names: &[&str],
        text: impl FnOnce() -> Result<Vec<String>, Failure>,
    ) -> Result<(), Failure> {
        match self.form() {
            Form::Json => lines(&[json(document)?]),
            Form::Yaml => lines(&[yaml(document)?]),
            Form::Name => lines(&names.iter().map(|name| escape(name)).collect::<Vec<_>>()),
            Form::Text | Form::Wide => lines(&text()?),
        }
    }

    /// Says what was done: what it was done to, and the past participle.
    pub(crate) fn written(&self, done: &[(String, String)], dry_run: bool) -> Result<(), Failure> {
        if self.is_for_programs() {
            let names: Vec<&str> = done.iter().map(|(name, _)| name.as_str()).collect();
            let list = done.iter().map(|(name, what)| json!({ "name": name, "result": what, "dryRun": dry_run }));
            return self.show(&list.collect::<Vec<_>>(), &names, || Ok(Vec::new()));
        }
        let would = if dry_run { " (dry run)" } else { "" };
        done.iter().try_for_each(|(name, what)| self.done(&format!("{} {}{would}", escape(name), escape(what))))
    }

    /// Says that a write worked.
    pub(crate) fn done(&self, text: &str) -> Result<(), Failure> {
        if self.quiet { Ok(()) } else { lines(&[text]) }
    }

    /// Says something about the work to people, beside its result.
    pub(crate) fn note(&self, text: &str) -> Result<(), Failure> {
        if self.quiet { Ok(()) } else { warn(text) }
    }

    /// Says on one line of the terminal how far the work is; an empty text wipes the line. In a pipe there is no progress.
    pub(crate) fn progress(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stderr();
        if self.quiet || self.is_document() || !out.is_terminal() || is_dumb() {
            return Ok(());
        }
        write!(out, "\r\x1b[K{text}").and_then(|()| out.flush()).map_err(unwritten)
    }

    /// An instant as people read it: how far from now on a terminal, RFC 3339 elsewhere.
    pub(crate) fn when(&self, instant: Option<&str>) -> String {
        let Some(instant) = instant else { return String::from("-") };
        match WallTime::parse_rfc3339(instant) {
            Some(at) if self.is_on_terminal() && !self.is_wide() => relative(at, Clock::start().now().wall),
            Some(_) | None => instant.to_owned(),
        }
    }
}

fn is_dumb() -> bool {
    std::env::var_os("TERM").is_some_and(|name| name == "dumb")
}

/// How far an instant is from another, in its largest unit.
pub(crate) fn relative(at: WallTime, now: WallTime) -> String {
    let millis = at.as_millis().abs_diff(now.as_millis());
    match span(millis) {
        _ if millis < 1000 => String::from("now"),
        span if at > now => format!("in {span}"),
        span => format!("{span} ago"),
    }
}

/// A span in its largest unit.
pub(crate) fn span(millis: u64) -> String {
    let whole = |unit: u64| millis.checked_div(unit).filter(|count| *count > 0);
    let found = UNITS.iter().find_map(|(name, unit)| whole(*unit).map(|count| format!("{count}{name}")));
    found.unwrap_or_else(|| String::from("0s"))
}

/// Milliseconds as people read them.
pub(crate) fn duration(millis: u64) -> String {
    match millis {
        0..1000 => format!("{millis}ms"),
        1000..60_000 => format!("{}.{}s", millis / 1000, (millis % 1000) / 100),
        _ => format!("{}m{}s", millis / 60_000, (millis % 60_000) / 1000),
    }
}

/// A value as JSON. What JSON leaves as it is and a terminal would obey is escaped too; JSON reads that back.
pub(crate) fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::failed)?;
    Ok(text.lines().map(escape).collect::<Vec<_>>().join("\n"))
}

/// A value in YAML; as JSON, which is YAML too, where plain YAML would show what a terminal obeys as it is.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    let text = yaml_serde::to_string(value).map_err(Failure::failed)?;
    let text = text.trim_end();
    if text.lines().all(|line| escape(line) == line) { Ok(text.to_owned()) } else { json(value) }
}

/// Says on standard error what must be heard, also where notes are not wanted.
pub(crate) fn warn(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stderr(), "castellan: {text}").map_err(unwritten)
}

/// Passes on lines of somebody's standard error.
pub(crate) fn errors(lines: &[String]) -> Result<(), Failure> {
    let mut out = std::io::stderr().lock();
    lines.iter().try_for_each(|line| writeln!(out, "{line}")).map_err(unwritten)
}

/// Prints lines.
pub(crate) fn lines(lines: &[impl AsRef<str>]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    for line in lines {
        writeln!(out, "{}", line.as_ref()).map_err(unwritten)?;
    }
    out.flush().map_err(unwritten)
}

fn unwritten(error: std::io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        return Failure::hung_up();
    }
    Failure::failed(format!("the answer cannot be written: {error}."))
}

#[cfg(test)]
mod tests;
