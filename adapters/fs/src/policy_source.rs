//! What a policy source needs of the disk: a folder with a bundle, and files with certificates and secrets. All lie outside of the root
//! and are read with the same suspicion as definitions.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use castellan_core::limits::{BUNDLE_BYTES, DOCUMENT_BYTES};
use rustix::fs::{Mode, OFlags};

use crate::error::RootError;
use crate::files::{self, Privacy};
use crate::root::check;

/// A bundle in its signature, and one without; the first that is there counts.
const NAMES: [&str; 2] = ["bundle.p7m", "bundle.json"];

/// The bundle in a folder.
///
/// # Errors
/// [`RootError`] where there is none, or somebody else may change it.
pub fn read_bundle(folder: &Path) -> Result<Vec<u8>, RootError> {
    let opened = open_folder(folder)?;
    for name in NAMES {
        if let Some(bytes) = files::read_in(opened.as_fd(), folder, name, BUNDLE_BYTES, Privacy::Guarded)? {
            return Ok(bytes);
        }
    }
    let what = format!("has neither {} nor {}. Put the bundle there.", NAMES[0], NAMES[1]);
    Err(RootError::Invalid { path: folder.to_owned(), what })
}

/// A file with certificates.
///
/// # Errors
/// [`RootError`] where it is not there, or somebody else may change it.
pub fn read_certificates(path: &Path) -> Result<Vec<u8>, RootError> {
    read_file(path, Privacy::Guarded)
}

/// A file with a key or password, which nobody else may even read.
///
/// # Errors
/// [`RootError`] where it is not there, or somebody else may read it.
pub fn read_secret(path: &Path) -> Result<Vec<u8>, RootError> {
    read_file(path, Privacy::Secret)
}

fn read_file(path: &Path, privacy: Privacy) -> Result<Vec<u8>, RootError> {
    let invalid = |what: &str| RootError::Invalid { path: path.to_owned(), what: what.to_owned() };
    let name = path.file_name().and_then(OsStr::to_str).ok_or_else(|| invalid("names no file."))?;
    let folder = path.parent().ok_or_else(|| invalid("names no file."))?;
    let found = files::read_in(open_folder(folder)?.as_fd(), folder, name, DOCUMENT_BYTES, privacy)?;
    found.ok_or_else(|| invalid("is not there. Put the file there, or take it out of appsettings.json."))
}

/// Opens a folder that nobody else may change.
fn open_folder(path: &Path) -> Result<OwnedFd, RootError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(path, flags, Mode::empty()).map_err(RootError::failed("open", path))?;
    check(&folder, path)?;
    Ok(folder)
}
