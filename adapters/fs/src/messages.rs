//! What of the broker survives the agent: `state/broker.db`, an SQLite database of retained messages, plugins' sessions, and what
//! waits for them.

use std::path::PathBuf;
use std::sync::Arc;

use castellan_core::broker::stored::{Batch, Change, Stored, StoredDelivery, StoredMessage, StoredSession};
use rusqlite::{Connection, Row, Transaction, params};
use serde::de::DeserializeOwned;

use crate::database::Kind;
use crate::error::RootError;
use crate::root::Root;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS retained (
        topic   TEXT PRIMARY KEY NOT NULL,
        message TEXT NOT NULL,
        payload BLOB NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS session (
        session INTEGER PRIMARY KEY NOT NULL,
        state   TEXT NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS waiting (
        session  INTEGER NOT NULL,
        place    INTEGER NOT NULL,
        delivery TEXT NOT NULL,
        payload  BLOB NOT NULL,
        PRIMARY KEY (session, place)
    ) STRICT;
";
const KIND: Kind =
    Kind { name: "broker.db", purpose: "the store of sessions and retained messages", layout: 1, schema: SCHEMA };
const EMPTY: &str = "DELETE FROM retained; DELETE FROM session; DELETE FROM waiting;";

/// The open store.
#[derive(Debug)]
pub struct MessageStore {
    connection: Connection,
    path: PathBuf,
}

impl MessageStore {
    /// Opens the store, made where it is missing.
    ///
    /// # Errors
    /// [`RootError`] where the file is damaged, of another version, or not the agent's own.
    pub fn open(root: &Root) -> Result<Self, RootError> {
        let (connection, path) = KIND.open(root)?;
        Ok(Self { connection, path })
    }

    /// All that is stored.
    ///
    /// # Errors
    /// [`RootError`] where something is there that this program did not write.
    pub fn read(&self) -> Result<Stored, RootError> {
        let retained = self.select("SELECT message, payload FROM retained ORDER BY topic", |row| {
            let message: StoredMessage = parse(row, 0)?;
            Ok(StoredMessage { payload: payload(row)?, ..message })
        })?;
        let sessions = self.select("SELECT state, session FROM session ORDER BY session", |row| {
            Ok((number(row.get(1)?), parse::<StoredSession>(row, 0)?))
        })?;
        let waiting = self.select("SELECT delivery, payload, session, place FROM waiting ORDER BY place", |row| {
            let mut delivery: StoredDelivery = parse(row, 0)?;
            delivery.message.payload = payload(row)?;
            Ok((number(row.get(2)?), number(row.get(3)?), delivery))
        })?;
        Ok(Stored { retained, sessions, waiting })
    }

    /// Keeps a batch; on disk when this returns.
    ///
    /// # Errors
    /// A sentence with the reason; nothing is changed then.
    pub fn keep(&mut self, batch: &Batch) -> Result<(), String> {
        let failed = |reason: String| format!("{} was not written: {reason}", self.path.display());
        let kept = self.connection.transaction().map_err(Failed::from).and_then(|transaction| {
            if batch.replaces_all {
                transaction.execute_batch(EMPTY)?;
            }
            batch.changes.iter().try_for_each(|change| apply(&transaction, change))?;
            Ok(transaction.commit()?)
        });
        kept.map_err(|Failed(reason)| failed(reason))
    }

    fn select<T>(&self, query: &str, read: impl Fn(&Row<'_>) -> rusqlite::Result<T>) -> Result<Vec<T>, RootError> {
        let rows = self
            .connection
            .prepare(query)
            .and_then(|mut statement| statement.query_map([], |row| read(row))?.collect::<rusqlite::Result<Vec<_>>>());
        rows.map_err(|error| KIND.unusable(&self.path, &error))
    }
}

/// Why a change was not kept.
struct Failed(String);

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<serde_json::Error> for Failed {
    fn from(error: serde_json::Error) -> Self {
        Self(error.to_string())
    }
}

fn apply(transaction: &Transaction<'_>, change: &Change) -> Result<(), Failed> {
    let execute = |statement: &str, values: &[&dyn rusqlite::ToSql]| -> Result<(), Failed> {
        transaction.prepare(statement)?.execute(values)?;
        Ok(())
    };
    match change {
        Change::Retained { topic, message: Some(message) } => execute(
            "INSERT OR REPLACE INTO retained VALUES (?1, ?2, ?3)",
            params![topic, serde_json::to_string(message)?, &*message.payload],
        ),
        Change::Retained { topic, message: None } => execute("DELETE FROM retained WHERE topic = ?1", params![topic]),
        Change::Session { session, state: Some(state) } => execute(
            "INSERT OR REPLACE INTO session VALUES (?1, ?2)",
            params![signed(*session), serde_json::to_string(state)?],
        ),
        Change::Session { session, state: None } => {
            execute("DELETE FROM waiting WHERE session = ?1", params![signed(*session)])?;
            execute("DELETE FROM session WHERE session = ?1", params![signed(*session)])
        }
        Change::Waiting { session, place, delivery: Some(delivery) } => execute(
            "INSERT OR REPLACE INTO waiting VALUES (?1, ?2, ?3, ?4)",
            params![signed(*session), signed(*place), serde_json::to_string(delivery)?, &*delivery.message.payload],
        ),
        Change::Waiting { session, place, delivery: None } => {
            execute("DELETE FROM waiting WHERE session = ?1 AND place = ?2", params![signed(*session), signed(*place)])
        }
    }
}

fn parse<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error))
    })
}

fn payload(row: &Row<'_>) -> rusqlite::Result<Arc<[u8]>> {
    row.get::<_, Vec<u8>>(1).map(Arc::from)
}

/// SQLite's numbers are signed; those counted here never come near the end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number(stored: i64) -> u64 {
    u64::try_from(stored).unwrap_or(0)
}
