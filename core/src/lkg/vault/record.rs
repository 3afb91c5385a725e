//! Sealed files: their head, what is bound to each, and one version of an item as it stands inside.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::event::DefinitionKind;
use crate::hexadecimal;
use crate::lkg::Item;
use crate::time::WallTime;

/// The first bytes of every sealed file; the last one is the format's number.
const MAGIC: [u8; 8] = *b"CSTLKG\0\x01";
/// Bytes of the authentication tag at the end of what a `Seal` gives.
const TAG_BYTES: usize = 16;
/// Characters of a writer that are kept: a certificate's name or a policy's file.
const WRITER_CHARS: usize = 256;

/// Tells keys apart without telling anything of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hexadecimal(&self.0))
    }
}

/// What a seal is for; each purpose has a key of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The manifest.
    Manifest,
    /// One version of an item.
    Record,
}

/// The file of one version of an item.
pub(super) fn name(item: &Item, version: u64, key: KeyId) -> String {
    format!("{}.{}.{version}.{key}", item.kind.folder(), item.id)
}

/// What a sealed file is bound to, so that it opens in its own place alone. Different places never give the same bytes: all but the
/// id, which is last, are of fixed length.
pub(super) fn bound_to(key: KeyId, place: Option<(&Item, u64)>) -> Vec<u8> {
    let mut bytes = head(key);
    let Some((item, version)) = place else {
        bytes.push(0);
        return bytes;
    };
    bytes.push(match item.kind {
        DefinitionKind::Job => 1,
        DefinitionKind::Plugin => 2,
    });
    bytes.extend(version.to_le_bytes());
    bytes.extend(item.id.as_bytes());
    bytes
}

fn head(key: KeyId) -> Vec<u8> {
    let mut bytes = Vec::from(MAGIC);
    bytes.extend(key.0);
    bytes
}

/// A sealed file: its head, and what the seal gave.
pub(super) fn wrap(key: KeyId, sealed: &[u8]) -> Vec<u8> {
    let mut bytes = head(key);
    bytes.extend(sealed);
    bytes
}

/// The key's id and what was sealed; else a phrase that follows the file's name.
pub(super) fn unwrap(bytes: &[u8]) -> Result<(KeyId, &[u8]), &'static str> {
    let (magic, rest) = bytes.split_first_chunk::<8>().ok_or("is cut off")?;
    if *magic != MAGIC {
        return Err("is no sealed file of this agent");
    }
    let (key, sealed) = rest.split_first_chunk::<8>().ok_or("is cut off")?;
    if sealed.len() < TAG_BYTES {
        return Err("is cut off");
    }
    Ok((KeyId(*key), sealed))
}

/// The tag at the end of what a seal gave: it tells this one from every other that was ever made with the key.
pub(super) fn tag(sealed: &[u8]) -> String {
    hexadecimal(sealed.last_chunk::<TAG_BYTES>().map_or(&[], |tag| tag.as_slice()))
}

/// One version of an item.
pub(super) struct Record {
    pub(super) writer: String,
    pub(super) at: WallTime,
    /// `None`: this version says that the item was deleted.
    pub(super) document: Option<Arc<[u8]>>,
}

/// The line before the document.
#[derive(Serialize, Deserialize)]
struct Line {
    writer: String,
    at: WallTime,
    deleted: bool,
}

/// A version as it is sealed: one line of JSON, then the document byte for byte.
pub(super) fn encode(writer: &str, at: WallTime, document: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let line = Line { writer: writer.chars().take(WRITER_CHARS).collect(), at, deleted: document.is_none() };
    let mut bytes = serde_json::to_vec(&line).map_err(|error| format!("a reference cannot be written: {error}"))?;
    bytes.push(b'\n');
    bytes.extend(document.unwrap_or_default());
    Ok(bytes)
}

/// What [`encode`] gave.
pub(super) fn decode(bytes: &[u8]) -> Option<Record> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = bytes.split_at_checked(end)?;
    let Line { writer, at, deleted } = serde_json::from_slice(line).ok()?;
    let document = (!deleted).then(|| Arc::from(rest.get(1..).unwrap_or_default()));
    Some(Record { writer, at, document })
}
