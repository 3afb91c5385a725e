//! The output of tasks as texts: what was captured, without the secrets, as much of it as a record keeps.

use alloc::format;
use alloc::string::String;

use super::secret::Secrets;
use crate::event::Captured;
use crate::limits::RUN_OUTPUT_BYTES;

/// Captured bytes as they may be seen, also where the cut went through a secret.
pub(super) fn masked(captured: &Captured, secrets: &Secrets) -> String {
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if captured.omitted == 0 && captured.tail.is_empty() {
        return secrets.mask(lossy(&captured.head));
    }
    let (head, tail) = (secrets.mask_head(lossy(&captured.head)), secrets.mask_tail(lossy(&captured.tail)));
    joined(&head, captured.omitted, &tail)
}

fn joined(head: &str, omitted: u64, tail: &str) -> String {
    format!("{head}\n… {omitted} bytes left out …\n{tail}")
}

/// Captured bytes as text: invalid UTF-8 is replaced, what was left out is counted.
pub(super) fn text(captured: &Captured) -> String {
    let head = String::from_utf8_lossy(&captured.head);
    if captured.omitted == 0 && captured.tail.is_empty() {
        return head.into_owned();
    }
    joined(&head, captured.omitted, &String::from_utf8_lossy(&captured.tail))
}

/// Bytes of output and command lines that still fit into the record of a run.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(RUN_OUTPUT_BYTES)
    }
}

impl Room {
    /// As much of a text as there is room for; what was left out is said.
    pub(super) fn take(&mut self, text: String) -> String {
        let kept = fit(text, self.0);
        self.0 = self.0.saturating_sub(kept.len());
        kept
    }
}

/// The beginning of a text, and how much was left out.
fn fit(mut text: String, room: usize) -> String {
    if text.len() <= room {
        return text;
    }
    let end = (0..=room).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let omitted = text.len().saturating_sub(end);
    text.truncate(end);
    text.push_str(&format!("… {omitted} bytes left out: a run keeps {RUN_OUTPUT_BYTES} bytes of output …"));
    text
}
