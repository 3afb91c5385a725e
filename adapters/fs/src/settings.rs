//! The unified storage of plugin settings, which policies were applied, their bundle, and users' authenticators:
//! `state/settings.db`, an SQLite database that an
//! administrator can read while the agent runs.

use std::path::PathBuf;

use castellan_core::plugin::storage::{SettingChange, StoredSetting};
use rusqlite::{Connection, OptionalExtension, Params, Row, Transaction, params};

use crate::database::Kind;
use crate::error::RootError;
use crate::root::Root;

/// Ids and keys are compared without regard to case, as the core compares them: ASCII alone.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS setting (
        plugin TEXT NOT NULL COLLATE NOCASE,
        key    TEXT NOT NULL COLLATE NOCASE,
        value  TEXT,
        writer TEXT NOT NULL,
        time   TEXT NOT NULL,
        former TEXT,
        PRIMARY KEY (plugin, key)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS policy (
        name     TEXT NOT NULL,
        source   TEXT NOT NULL,
        type     TEXT NOT NULL,
        sha256   TEXT NOT NULL,
        time     TEXT NOT NULL,
        plugin   TEXT,
        settings TEXT,
        sha1_of_signer   TEXT,
        sha256_of_signer TEXT,
        PRIMARY KEY (name, source)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS policy_document (
        name     TEXT NOT NULL,
        source   TEXT NOT NULL,
        document BLOB NOT NULL,
        PRIMARY KEY (name, source)
    ) STRICT;
    CREATE TABLE IF NOT EXISTS bundle (
        place    INTEGER PRIMARY KEY CHECK (place = 1),
        source   TEXT NOT NULL,
        etag     TEXT,
        document BLOB NOT NULL,
        time     INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS mfa (
        user         TEXT PRIMARY KEY,
        sealed       BLOB NOT NULL,
        last_step    INTEGER,
        wrong        INTEGER NOT NULL,
        locked_until INTEGER,
        time         TEXT NOT NULL,
        by           TEXT NOT NULL
    ) STRICT;
";
pub(crate) const KIND: Kind =
    Kind { name: "settings.db", purpose: "the storage of plugin settings", layout: 1, schema: SCHEMA };

/// The open storage.
#[derive(Debug)]
pub struct SettingStore {
    connection: Connection,
    path: PathBuf,
}

impl SettingStore {
    /// Opens the storage, made where it is missing.
    ///
    /// # Errors
    /// [`RootError`] where the file is damaged, of another version, or not the agent's own.
    pub fn open(root: &Root) -> Result<Self, RootError> {
        let (connection, path) = KIND.open(root)?;
        Ok(Self { connection, path })
    }

    /// All that is stored, by plugin and key.
    ///
    /// # Errors
    /// [`RootError`] where it cannot be read.
    pub fn read(&self) -> Result<Vec<StoredSetting>, RootError> {
        let read = |row: &Row<'_>| {
            Ok(StoredSetting {
                plugin: row.get(0)?,
                key: row.get(1)?,
                value: row.get(2)?,
                writer: row.get(3)?,
                time: row.get(4)?,
                former: row.get(5)?,
            })
        };
        self.rows("SELECT plugin, key, value, writer, time, former FROM setting ORDER BY plugin, key", read)
    }

    /// Carries out all changes, which are on disk when this returns.
    ///
    /// # Errors
    /// A sentence with the reason; nothing is changed then.
    pub fn write(&self, changes: &[SettingChange]) -> Result<(), String> {
        self.transact(|transaction| changes.iter().try_for_each(|change| apply(transaction, change)))
    }

    /// Every row that a query finds.
    pub(crate) fn rows<T>(
        &self,
        query: &str,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, RootError> {
        let rows = self.connection.prepare(query).and_then(|mut statement| statement.query_map([], read)?.collect());
        rows.map_err(|error| KIND.unusable(&self.path, &error))
    }

    /// The one row that a query finds, if any.
    pub(crate) fn row<T>(
        &self,
        query: &str,
        given: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, RootError> {
        let row = self.connection.query_row(query, given, read).optional();
        row.map_err(|error| KIND.unusable(&self.path, &error))
    }

    /// Does all of it or nothing; it is on disk when this returns.
    pub(crate) fn transact(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>) -> Result<(), String> {
        let written = self.connection.unchecked_transaction().and_then(|transaction| {
            work(&transaction)?;
            transaction.commit()
        });
        written.map_err(|error| format!("{} was not written: {error}", self.path.display()))
    }
}

fn apply(transaction: &Transaction<'_>, change: &SettingChange) -> rusqlite::Result<()> {
    let done = match change {
        SettingChange::Keep(StoredSetting { plugin, key, value, writer, time, former }) => transaction.execute(
            "INSERT OR REPLACE INTO setting VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![plugin, key, value, writer, time, former],
        ),
        SettingChange::Forget { plugin, key } => {
            transaction.execute("DELETE FROM setting WHERE plugin = ?1 AND key = ?2", params![plugin, key])
        }
    };
    done.map(|_| ())
}
