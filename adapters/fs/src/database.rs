//! An SQLite database under `state/`: made for nobody else, of a known layout, durable when a statement returns, unless its user says otherwise.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use rustix::fs::{Mode, OFlags, openat};

use crate::error::RootError;
use crate::root::Root;

/// How long a write waits for somebody who has a database open by hand.
pub(crate) const BUSY: Duration = Duration::from_secs(5);

/// What the log of changes may keep of the disk between two writes, bytes.
const LOG_BYTES: i64 = 4 << 20;

/// One kind of database.
pub(crate) struct Kind {
    /// The file's name under `state/`.
    pub(crate) name: &'static str,
    /// What it is used as, for messages.
    pub(crate) purpose: &'static str,
    /// The number of its layout; a database with another one is not touched.
    pub(crate) layout: i64,
    /// Makes what is missing of the layout.
    pub(crate) schema: &'static str,
}

impl Kind {
    /// Opens it, made where it is missing.
    pub(crate) fn open(&self, root: &Root) -> Result<(Connection, PathBuf), RootError> {
        let path = root.path().join("state").join(self.name);
        // Made here so that it is nobody else's from the start; SQLite gives its side files the same rights.
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let state = root.folder("state")?;
        let file = openat(state.as_fd(), self.name, flags, Mode::RUSR | Mode::WUSR);
        drop(file.map_err(RootError::failed("open", &path))?);
        let flags =
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(&path, flags).map_err(|error| self.unusable(&path, &error))?;
        prepare(&connection).map_err(|error| self.unusable(&path, &error))?;
        self.check_layout(&connection, &path)?;
        Ok((connection, path))
    }

    fn check_layout(&self, connection: &Connection, path: &Path) -> Result<(), RootError> {
        let error = |error| self.unusable(path, &error);
        let Self { layout, schema, .. } = self;
        let found: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).map_err(error)?;
        if found == 0 {
            let make = format!("BEGIN IMMEDIATE; {schema} PRAGMA user_version = {layout}; COMMIT;");
            return connection.execute_batch(&make).map_err(error);
        }
        if found == *layout {
            // What came later without another layout is added.
            return connection.execute_batch(schema).map_err(error);
        }
        let what = format!(
            "is of layout {found}, this agent knows layout {layout}. Move it away, or run the agent that made it."
        );
        Err(RootError::Invalid { path: path.to_owned(), what })
    }

    /// Why it cannot be used, with what to do.
    pub(crate) fn unusable(&self, path: &Path, error: &rusqlite::Error) -> RootError {
        let what =
            format!("cannot be used as {}: {error}. Repair it, or move it away to begin a new one.", self.purpose);
        RootError::Invalid { path: path.to_owned(), what }
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The log of changes is cut again after a large one.
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES)?;
    connection.pragma_update(None, "trusted_schema", false)
}
