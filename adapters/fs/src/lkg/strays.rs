//! What stands in a folder of definitions besides what is blessed there, and which item a file's name stands for.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use castellan_core::event::DefinitionKind;
use castellan_core::lkg::{Document, Item};
use rustix::fs::Dir;

use crate::definitions::EXTENSION;
use crate::durable;

/// Files without a reference that one survey names; each causes an order, and the store's queue has room for four times as many.
const STRAYS: usize = 1000;

/// The item that a file of this name is; `None` where its name is none of a definition.
pub(super) fn item(kind: DefinitionKind, name: &OsStr) -> Option<Item> {
    let stem = name.as_bytes().strip_suffix(EXTENSION.as_bytes())?;
    Some(Item::new(kind, String::from_utf8_lossy(stem)))
}

/// The name of an item's file: with those bytes that are no UTF-8, where it has such.
pub(super) fn file_name(folder: BorrowedFd<'_>, id: &str) -> OsString {
    let plain = OsString::from(format!("{id}{EXTENSION}"));
    if !id.contains(char::REPLACEMENT_CHARACTER) {
        return plain;
    }
    let entries = Dir::read_from(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec()));
    names.find(|name| name.to_string_lossy() == plain.to_string_lossy()).unwrap_or(plain)
}

/// What stands in a folder and nobody blessed.
#[derive(Default)]
pub(super) struct Strays {
    /// Files of definitions, by id and name, and how many more there are.
    pub(super) found: Vec<(String, OsString)>,
    pub(super) left_out: usize,
    /// Directories that were put aside.
    pub(super) aside: BTreeSet<String>,
}

pub(super) fn strays(folder: BorrowedFd<'_>, blessed: &BTreeMap<String, Document>) -> rustix::io::Result<Strays> {
    let mut strays = Strays::default();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = OsStr::from_bytes(entry.file_name().to_bytes());
        if let Some(aside) = name.to_str().filter(|name| durable::is_put_aside(name) && strays.aside.len() < STRAYS) {
            strays.aside.insert(aside.to_owned());
        }
        // The kind does not matter for it.
        let Some(item) = item(DefinitionKind::Job, name).filter(|item| !blessed.contains_key(&item.id)) else {
            continue;
        };
        if strays.found.len() < STRAYS {
            strays.found.push((item.id, name.to_owned()));
        } else {
            strays.left_out = strays.left_out.saturating_add(1);
        }
    }
    Ok(strays)
}

/// What is told of a directory that was put aside.
pub(super) fn put_aside(path: &Path) -> String {
    format!(
        "{} is a directory that stood where the agent writes its files, and was put aside with what is in it. See who made it, and \
         delete it.",
        path.display()
    )
}
