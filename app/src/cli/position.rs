//! Where in a JSON file something stands: from JSON pointer to line and column, with the line itself and a caret below it.

use castellan_core::job::finding::Finding;
use castellan_core::log_message::escape;
use jsonc_parser::ast::Value;
use jsonc_parser::common::{Range, Ranged};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde::Deserialize;

/// Characters of a line that are shown; a document on one line may be long.
const SHOWN: usize = 100;
/// Of them, how many stand before the place.
const BEFORE: usize = 60;

/// The code of a document that is no JSON.
const MALFORMED: &str = "malformed-json";

/// A place in a text, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) line: usize,
    /// In characters.
    pub(crate) column: usize,
}

/// A finding, of this program or in an answer of the agent.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Mark {
    /// JSON pointer; empty for the whole document.
    pub(crate) path: String,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) severity: String,
}

impl From<&Finding> for Mark {
    fn from(finding: &Finding) -> Self {
        Self {
            path: finding.path.clone(),
            code: finding.code.to_owned(),
            message: finding.message.clone(),
            severity: format!("{:?}", finding.severity).to_lowercase(),
        }
    }
}

/// Findings as people read them, each with its line of the file: `file:line:column: severity code: message (pointer)`.
pub(crate) fn shown(file: &str, bytes: &[u8], findings: &[Mark]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let tree = parse_to_ast(&text, &CollectOptions::default(), &ParseOptions::default()).ok();
    let tree = tree.and_then(|parsed| parsed.value);
    let mut lines = Vec::new();
    for finding in findings {
        let place = match &tree {
            // Where the document is no JSON, the finding itself says the line; the tree is of what is nearly JSON, too.
            Some(tree) if finding.code != MALFORMED => at(&text, nearest(tree, &finding.path).start),
            Some(_) | None => said_in(&finding.message).unwrap_or(Position { line: 1, column: 1 }),
        };
        let pointer = if finding.path.is_empty() { String::new() } else { format!(" ({})", escape(&finding.path)) };
        lines.push(format!(
            "{}:{}:{}: {} {}: {}{pointer}",
            escape(file),
            place.line,
            place.column,
            escape(&finding.severity),
            escape(&finding.code),
            escape(&finding.message)
        ));
        lines.extend(excerpt(&text, place));
    }
    lines
}

/// The bytes of the value at a pointer; `None` where there is none.
pub(crate) fn range_of(text: &str, pointer: &str) -> Option<Range> {
    let tree = parse_to_ast(text, &CollectOptions::default(), &ParseOptions::default()).ok()?.value?;
    find(&tree, pointer).1.then(|| nearest(&tree, pointer))
}

/// The line of the value at a pointer, from 1; `None` where there is none.
pub(crate) fn line_of(text: &str, pointer: &str) -> Option<usize> {
    range_of(text, pointer).map(|range| at(text, range.start).line)
}

/// The value at a pointer, or what is nearest to it.
fn nearest(tree: &Value<'_>, pointer: &str) -> Range {
    find(tree, pointer).0
}

/// How far a pointer (RFC 6901) leads, names without regard to case, and whether that is its end.
fn find(tree: &Value<'_>, pointer: &str) -> (Range, bool) {
    let mut value = tree;
    for piece in pointer.split('/').skip(1) {
        let name = piece.replace("~1", "/").replace("~0", "~");
        let next = match value {
            Value::Object(object) => object
                .properties
                .iter()
                .find(|property| property.name.as_str().eq_ignore_ascii_case(&name))
                .map(|property| &property.value),
            Value::Array(array) => name.parse::<usize>().ok().and_then(|index| array.elements.get(index)),
            Value::StringLit(_) | Value::NumberLit(_) | Value::BooleanLit(_) | Value::NullKeyword(_) => None,
        };
        let Some(next) = next else { return (value.range(), false) };
        value = next;
    }
    (value.range(), true)
}

/// Line and column of a byte of a text.
fn at(text: &str, byte: usize) -> Position {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count().saturating_add(1);
    let start = before.rfind('\n').map_or(0, |end| end.saturating_add(1));
    let column = before.get(start..).map_or(0, |piece| piece.chars().count()).saturating_add(1);
    Position { line, column }
}

/// `… line 3, column 7: …`, as errors of syntax say it.
fn said_in(message: &str) -> Option<Position> {
    let (line, rest) = message.split_once("line ")?.1.split_once(", column ")?;
    let column: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let (line, column) = (line.parse::<usize>().ok()?, column.parse::<usize>().ok()?);
    Some(Position { line: line.max(1), column: column.max(1) })
}

/// The line of a place and a caret below it.
pub(crate) fn excerpt(text: &str, place: Position) -> Vec<String> {
    let Some(line) = text.lines().nth(place.line.saturating_sub(1)) else { return Vec::new() };
    let skipped = place.column.saturating_sub(1).saturating_sub(BEFORE);
    // One character for one, so that the caret stays below its place.
    let plain = |letter: char| if escape(letter.encode_utf8(&mut [0; 4])).chars().count() == 1 { letter } else { ' ' };
    let line: String = line.chars().skip(skipped).take(SHOWN).map(plain).collect();
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(place.column.saturating_sub(1).saturating_sub(skipped));
    vec![format!("  {number} | {line}"), format!("  {margin} | {indent}^")]
}

#[cfg(test)]
mod tests;
