//! Policies about privileges that came over the API or with a bundle, for whoever answers by them while an agent runs.

use std::io;
use std::path::{Path, PathBuf};

use castellan_core::configuration_policy::AppliedPolicy;
use rusqlite::{Connection, OpenFlags};

use super::{APPLIED, applied};
use crate::database::BUSY;
use crate::error::RootError;
use crate::settings::KIND;

/// Those of one root, in `state/settings.db`. What was committed when somebody asks is never missed: all of a change, or nothing of it.
#[derive(Debug)]
pub struct DeliveredPolicies {
    connection: Connection,
    path: PathBuf,
    /// As it was when they were read last (`PRAGMA data_version`).
    version: Option<i64>,
}

impl DeliveredPolicies {
    /// Those of the agent root at this path, which is not locked; `None` where no agent ever ran there.
    ///
    /// # Errors
    /// [`RootError`] where they cannot be read.
    pub fn open(root: &Path) -> Result<Option<Self>, RootError> {
        let path = root.join("state").join(KIND.name);
        match path.symlink_metadata() {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(RootError::failed("look at", &path)(error)),
        }
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let opened = Connection::open_with_flags(&path, flags).and_then(|connection| {
            connection.busy_timeout(BUSY)?;
            connection.pragma_update(None, "trusted_schema", false)?;
            Ok(connection)
        });
        match opened {
            Ok(connection) => Ok(Some(Self { connection, path, version: None })),
            Err(error) => Err(KIND.unusable(&path, &error)),
        }
    }

    /// Reads them again, if anything was committed since they were read last.
    ///
    /// # Errors
    /// [`RootError`] where they cannot be read; they are read again then.
    pub fn read_changed(&mut self) -> Result<Option<Vec<AppliedPolicy>>, RootError> {
        let read = || {
            // Before anything is read, so that what is committed meanwhile is noticed next time.
            let version = self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?;
            if self.version == Some(version) {
                return Ok((version, None));
            }
            let mut statement = self.connection.prepare(APPLIED)?;
            let found = statement.query_map([], applied)?.collect::<rusqlite::Result<Vec<AppliedPolicy>>>()?;
            Ok((version, Some(found.into_iter().filter(|policy| policy.document.is_some()).collect())))
        };
        let read: rusqlite::Result<(i64, Option<Vec<AppliedPolicy>>)> = read();
        match read {
            Ok((version, found)) => {
                self.version = Some(version);
                Ok(found)
            }
            Err(error) => {
                self.version = None;
                Err(KIND.unusable(&self.path, &error))
            }
        }
    }
}
