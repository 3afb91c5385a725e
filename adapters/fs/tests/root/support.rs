//! Roots in temporary folders.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use castellan_core::time::WallTime;
use castellan_core::trust::signature::{ImageFacts, SignatureFacts, SignatureFile};
use castellan_fs::Root;
use castellan_fs::history::History;
use castellan_fs::lkg::Guard;
use castellan_fs::policies::PolicyReader;
use tempfile::TempDir;

/// 2026-01-01T00:00:00Z.
pub(crate) const NEW_YEAR: WallTime = WallTime::from_millis(1_767_225_600_000);

pub(crate) fn days_later(days: i64) -> WallTime {
    WallTime::from_millis(NEW_YEAR.as_millis() + days * 24 * 60 * 60 * 1000)
}

pub(crate) fn root() -> (TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path()).unwrap();
    (folder, root)
}

/// A reader of policies that tells of each signature just whether it could be read: bytes are told as `NotDer`.
pub(crate) fn policies() -> PolicyReader {
    PolicyReader::new(Box::new(|path, document, beside| {
        let file = beside.map_or_else(|unread| unread, |bytes| SignatureFile::NotDer(format!("{} bytes", bytes.len())));
        let bytes = document.len() as u64;
        let image = ImageFacts { path: path.to_owned(), is_regular: true, is_deleted: false, is_binary: false, bytes };
        SignatureFacts { image, file, uid: None }
    }))
}

pub(crate) fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

pub(crate) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// Every name in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a store carries orders out by, without references.
pub(crate) fn guard(root: &Root, history: &History) -> Guard {
    Guard::open(root, "Plugins", false, history).unwrap().0
}
