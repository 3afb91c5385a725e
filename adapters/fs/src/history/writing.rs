//! Writing records of runs and of requests for more privileges: one by itself, or those that wait in one transaction.

use castellan_core::elevation::ElevationRecord;
use castellan_core::run::history::RunRecord;
use castellan_core::time::WallTime;
use rusqlite::{Connection, Statement, params};

use super::{History, order};

const RUN: &str = "INSERT OR REPLACE INTO run VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const ELEVATION: &str = "INSERT OR REPLACE INTO elevation VALUES (?1, ?2, ?3, ?4)";

/// What the history keeps.
#[derive(Debug, Clone, Copy)]
pub enum Kept<'r> {
    /// A run.
    Run(&'r RunRecord),
    /// A request for more privileges.
    Elevation(&'r ElevationRecord),
}

impl<'r> From<&'r RunRecord> for Kept<'r> {
    fn from(record: &'r RunRecord) -> Self {
        Self::Run(record)
    }
}

impl<'r> From<&'r ElevationRecord> for Kept<'r> {
    fn from(record: &'r ElevationRecord) -> Self {
        Self::Elevation(record)
    }
}

impl History {
    /// Stores a record, replacing what is stored of it: on disk when this returns, or else, where it is not `durable`, with what outlives
    /// this process, and with [`sync`](Self::sync) or the next durable change.
    ///
    /// # Errors
    /// A sentence with the reason; nothing is changed then.
    pub fn insert_or_replace<'r>(&self, record: impl Into<Kept<'r>>, durable: bool) -> Result<(), String> {
        let record = record.into();
        self.set_durable(durable)
            .map_err(|error| error.to_string())
            .and_then(|()| Writer::to(&self.connection).write(record))
            .map(|()| self.synced.set(durable))
            .map_err(|reason| self.not_written(record, &reason))
    }

    /// The same of several at once, which costs the disk no more than one: all of them are durable if one has to be. What came of each.
    pub fn insert_or_replace_all(&self, records: &[(Kept<'_>, bool)]) -> Vec<Result<(), String>> {
        match records {
            // What is on disk stays so.
            [] => return Vec::new(),
            [(record, durable)] => return vec![self.insert_or_replace(*record, *durable)],
            _ => {}
        }
        let durable = records.iter().any(|(_, durable)| *durable);
        let inserted = self.insert_together(records, durable);
        let inserted = inserted.unwrap_or_else(|reason| vec![Err(reason); records.len()]);
        let named = inserted.into_iter().zip(records);
        named.map(|(result, (record, _))| result.map_err(|reason| self.not_written(*record, &reason))).collect()
    }

    /// In one transaction; an error is that of the whole of it, which left nothing behind.
    fn insert_together(&self, records: &[(Kept<'_>, bool)], durable: bool) -> Result<Vec<Result<(), String>>, String> {
        let failed = |error: rusqlite::Error| error.to_string();
        self.set_durable(durable).map_err(failed)?;
        // Rolled back where it is dropped without commit.
        let transaction = self.connection.unchecked_transaction().map_err(failed)?;
        let mut writer = Writer::to(&self.connection);
        let mut inserted = Vec::with_capacity(records.len());
        for (record, _) in records {
            let result = writer.write(*record);
            // Some failures, such as a full disk, end the transaction; what came after would be stored by itself.
            if transaction.is_autocommit() {
                return Err(result.err().unwrap_or_else(|| String::from("the transaction is gone")));
            }
            inserted.push(result);
        }
        drop(writer);
        transaction.commit().map_err(failed)?;
        self.synced.set(durable);
        Ok(inserted)
    }

    fn not_written(&self, record: Kept<'_>, reason: &str) -> String {
        let named = match record {
            Kept::Run(record) => format!("run {}", record.run_id),
            Kept::Elevation(record) => format!("request {}", record.request_id),
        };
        format!("{named} was not written to {}: {reason}", self.path.display())
    }
}

/// The statements of one transaction, each made when it is wanted first.
struct Writer<'c> {
    connection: &'c Connection,
    run: Option<Statement<'c>>,
    elevation: Option<Statement<'c>>,
}

impl<'c> Writer<'c> {
    const fn to(connection: &'c Connection) -> Self {
        Self { connection, run: None, elevation: None }
    }

    fn write(&mut self, record: Kept<'_>) -> Result<(), String> {
        match record {
            Kept::Run(record) => self.write_run(record),
            Kept::Elevation(record) => self.write_elevation(record),
        }
    }

    fn write_run(&mut self, record: &RunRecord) -> Result<(), String> {
        let text = serde_json::to_string(record).map_err(|error| error.to_string())?;
        let (boot, number) = order(&record.run_id);
        let finished =
            record.finished_at.as_deref().map(|at| WallTime::parse_rfc3339(at).unwrap_or_default().as_millis());
        let RunRecord { run_id, job_id, started_at, status, .. } = record;
        let values = params![run_id, boot, number, job_id, started_at, finished, status, text];
        made(&mut self.run, self.connection, RUN)
            .and_then(|statement| statement.execute(values))
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    fn write_elevation(&mut self, record: &ElevationRecord) -> Result<(), String> {
        let text = serde_json::to_string(record).map_err(|error| error.to_string())?;
        let needed = record.needed_until().map(WallTime::as_millis);
        let values = params![record.request_id, needed, record.changed_at, text];
        made(&mut self.elevation, self.connection, ELEVATION)
            .and_then(|statement| statement.execute(values))
            .map(|_| ())
            .map_err(|error| error.to_string())
    }
}

fn made<'s, 'c>(
    statement: &'s mut Option<Statement<'c>>,
    connection: &'c Connection,
    text: &str,
) -> rusqlite::Result<&'s mut Statement<'c>> {
    Ok(match statement {
        Some(statement) => statement,
        None => statement.insert(connection.prepare(text)?),
    })
}
