//! Aligned columns, as kubectl and systemctl print them: no borders, nothing cut, so that a pipe gets what a terminal gets.

use std::io::Write;

use anstyle::{AnsiColor, Style};
use castellan_core::log_message::escape;
use serde_json::Value;
use tabwriter::TabWriter;

use super::output::Globals;
use crate::failure::Failure;

/// Between two columns.
const PADDING: usize = 2;
/// Words of a state that is as it should be.
const GOOD: [&str; 7] = ["Succeeded", "Healthy", "Running", "running", "healthy", "enabled", "InService"];
/// Words of a state that somebody should look at.
const BAD: [&str; 8] = ["Failed", "TimedOut", "Lost", "Unhealthy", "error", "Error", "OutOfService", "Refused"];

/// A table under its heading.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    colours: bool,
}

impl Table {
    /// An empty table; its words of state are coloured where the answer may have colours.
    pub(crate) fn new(globals: &Globals, heading: &[&str]) -> Self {
        let heading = heading.iter().map(|name| (*name).to_owned()).collect();
        Self { rows: vec![heading], colours: globals.has_colours() }
    }

    /// Adds a row, its texts escaped.
    pub(crate) fn row(&mut self, cells: &[&str]) {
        let cell = |text: &&str| {
            let text = if text.is_empty() { String::from("-") } else { escape(text) };
            if self.colours { coloured(&text) } else { text }
        };
        self.rows.push(cells.iter().map(cell).collect());
    }

    /// Whether there is nothing under the heading.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    /// The aligned lines.
    pub(crate) fn lines(&self) -> Result<Vec<String>, Failure> {
        let mut writer = TabWriter::new(Vec::new()).padding(PADDING).ansi(true);
        for row in &self.rows {
            writeln!(writer, "{}", row.join("\t")).map_err(Failure::failed)?;
        }
        let bytes = writer.into_inner().map_err(|error| Failure::failed(error.error()))?;
        let text = String::from_utf8(bytes).map_err(Failure::failed)?;
        Ok(text.lines().map(|line| line.trim_end().to_owned()).collect())
    }
}

/// A word of state in its colour; other texts as they are.
pub(crate) fn coloured(text: &str) -> String {
    let colour = match text {
        good if GOOD.contains(&good) => AnsiColor::Green,
        bad if BAD.contains(&bad) => AnsiColor::Red,
        "Canceled" | "Skipped" | "Starting" | "Stopping" | "Waiting" => AnsiColor::Yellow,
        other => return other.to_owned(),
    };
    let style = Style::new().fg_color(Some(colour.into()));
    format!("{style}{text}{style:#}")
}

/// A member of an object as a cell shows it: texts as they are, nothing for null, JSON for the rest.
pub(crate) fn member(object: &Value, name: &str) -> String {
    match object.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// The text of a member, where it is one.
pub(crate) fn text<'v>(object: &'v Value, name: &str) -> Option<&'v str> {
    object.get(name).and_then(Value::as_str)
}

/// The items of a list; a value that is none has no items.
pub(crate) fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}
