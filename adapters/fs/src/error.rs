//! What can be wrong with the agent root, in sentences that name the file and the way out.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use castellan_core::lkg::{Cause, NotWritten};

/// Why the agent root, or a file of it, cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum RootError {
    /// Another agent runs on this root.
    Locked {
        /// The lock file.
        path: PathBuf,
        /// The other agent's process id, where the lock file tells.
        holder: Option<u32>,
    },
    /// Somebody who must not could change or read it.
    Unsafe {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and what to do, without the path.
        what: String,
    },
    /// It is there, but not what it should be.
    Invalid {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and what to do, without the path.
        what: String,
    },
    /// The system refused.
    Failed {
        /// The file or folder.
        path: PathBuf,
        /// What was attempted, as in "cannot {doing} FILE".
        doing: &'static str,
        /// The system's reason.
        error: io::Error,
    },
}

impl RootError {
    /// For `map_err` after a system call.
    pub(crate) fn failed<E: Into<io::Error>>(doing: &'static str, path: &Path) -> impl FnOnce(E) -> Self + use<E> {
        let path = path.to_owned();
        move |error| Self::Failed { path, doing, error: error.into() }
    }
}

impl fmt::Display for RootError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked { path, holder: Some(pid) } => write!(
                formatter,
                "another agent runs on this root: process {pid} holds {}. Stop it first, or choose another --root.",
                path.display()
            ),
            Self::Locked { path, holder: None } => write!(
                formatter,
                "another agent runs on this root and holds {}. Stop it first, or choose another --root.",
                path.display()
            ),
            Self::Unsafe { path, what } | Self::Invalid { path, what } => {
                write!(formatter, "{} {what}", path.display())
            }
            Self::Failed { path, doing, error } => write!(formatter, "cannot {doing} {}: {error}", path.display()),
        }
    }
}

impl From<RootError> for NotWritten {
    fn from(error: RootError) -> Self {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        let full = match &error {
            RootError::Failed { error, .. } => matches!(error.kind(), StorageFull | QuotaExceeded),
            RootError::Locked { .. } | RootError::Unsafe { .. } | RootError::Invalid { .. } => false,
        };
        let (cause, help) =
            if full { (Cause::Full, ". Make room on that disk, then try again.") } else { (Cause::Other, "") };
        Self { cause, reason: format!("{error}{help}") }
    }
}

impl std::error::Error for RootError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed { error, .. } => Some(error),
            Self::Locked { .. } | Self::Unsafe { .. } | Self::Invalid { .. } => None,
        }
    }
}
