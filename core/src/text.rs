//! Texts of others, made short enough to be shown.

use alloc::format;
use alloc::string::{String, ToString};

/// A text with so many characters at most; where there are more, `…` says so.
pub(crate) fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_string(),
    }
}
