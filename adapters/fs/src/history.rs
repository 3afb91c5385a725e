//! Run history: `state/history.db`, an SQLite database that an administrator can open while the agent runs.

use std::cell::Cell;
use std::fs::File;
use std::path::PathBuf;

use castellan_core::limits::RUNS_PER_JOB;
use castellan_core::run::history::{JobPast, Outcome, RunQuery, RunRecord};
use castellan_core::schedule::past::{Happening, Note};
use castellan_core::time::WallTime;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};

use crate::database::Kind;
use crate::error::RootError;
use crate::root::Root;

mod elevations;
mod writing;

pub use writing::Kept;

pub(crate) const NAME: &str = "history.db";
const KIND: Kind = Kind { name: NAME, purpose: "the run history", layout: 1, schema: SCHEMA };
/// `needed` is until when the agent needs a request at its start, NULL while that goes on.
/// `boot` and `number` are the two parts of a run id: they order runs however the clock jumped.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS run (
        run_id   TEXT PRIMARY KEY NOT NULL,
        boot     INTEGER NOT NULL,
        number   INTEGER NOT NULL,
        job_id   TEXT NOT NULL,
        started  TEXT NOT NULL,
        finished INTEGER,
        status   TEXT NOT NULL,
        record   TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS run_by_job ON run (job_id, boot, number);
    CREATE INDEX IF NOT EXISTS run_by_order ON run (boot, number);
    CREATE INDEX IF NOT EXISTS run_by_due ON run (job_id, json_extract(record, '$.due'))
        WHERE json_extract(record, '$.due') IS NOT NULL;
    CREATE INDEX IF NOT EXISTS run_unfinished ON run (boot) WHERE finished IS NULL;
    CREATE TABLE IF NOT EXISTS note (
        boot   INTEGER NOT NULL,
        at     TEXT NOT NULL,
        job_id TEXT,
        note   TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS note_by_job ON note (job_id, at);
    CREATE TABLE IF NOT EXISTS elevation (
        request_id TEXT PRIMARY KEY NOT NULL,
        needed     INTEGER,
        changed    TEXT NOT NULL,
        record     TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS elevation_by_need ON elevation (needed);
    CREATE INDEX IF NOT EXISTS elevation_by_order ON elevation (
        CAST(substr(request_id, 2) AS INTEGER), CAST(substr(request_id, instr(request_id, '-') + 1) AS INTEGER));
    CREATE TABLE IF NOT EXISTS anchor (
        only    INTEGER PRIMARY KEY CHECK (only = 0),
        counter INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE IF NOT EXISTS plugin_folder (
        only INTEGER PRIMARY KEY CHECK (only = 0),
        path TEXT NOT NULL
    ) STRICT;
";
/// How much longer failures are kept than other runs.
const FAILURES: i64 = 3;
/// What is beyond `?1` (instant) or `?3` (place among the job's runs that ended, newest first), for failures `?2` or `?4`.
const PRUNE: &str = "
    DELETE FROM run WHERE run_id IN (
        SELECT run_id FROM (
            SELECT run_id, finished, status IN ('Failed', 'TimedOut', 'Lost') AS failed,
                   ROW_NUMBER() OVER (PARTITION BY job_id ORDER BY boot DESC, number DESC) AS place
            FROM run WHERE finished IS NOT NULL)
        WHERE finished < iif(failed, ?2, ?1) OR place > iif(failed, ?4, ?3))
";
/// Notes of a job beyond `?1` (instant) or `?2` (place), and lives of the agent beyond `?2`: they tell of runs that are kept longer.
const PRUNE_NOTES: &str = "
    DELETE FROM note WHERE (job_id IS NOT NULL AND at < ?1) OR rowid IN (
        SELECT rowid FROM (
            SELECT rowid, ROW_NUMBER() OVER (PARTITION BY job_id ORDER BY rowid DESC) AS place FROM note)
        WHERE place > ?2)
";
/// SQLite takes `started` from the row that has the greatest due instant; RFC 3339 in UTC sorts as text.
const PAST: &str = "
    SELECT latest.job_id, latest.started, latest.status, served.due, served.started
    FROM (SELECT job_id, started, status,
                 ROW_NUMBER() OVER (PARTITION BY job_id ORDER BY boot DESC, number DESC) AS place FROM run) AS latest
    LEFT JOIN (SELECT job_id, max(json_extract(record, '$.due')) AS due, started FROM run
               WHERE json_extract(record, '$.due') IS NOT NULL GROUP BY job_id) AS served
           ON served.job_id = latest.job_id
    WHERE latest.place = 1 ORDER BY latest.job_id
";
/// A record without what makes it long.
const BRIEF: &str = "json_set(record, '$.tasks', json('[]'), '$.context', json('{}'), '$.warnings', json('[]'))";
const MILLIS_PER_DAY: i64 = 24 * 60 * 60 * 1000;

/// The open history.
#[derive(Debug)]
pub struct History {
    connection: Connection,
    path: PathBuf,
    /// Whether a commit is on disk when it returns (`PRAGMA synchronous`: `FULL`), as the connection is set now.
    durable: Cell<bool>,
    /// Whether every commit is on disk.
    synced: Cell<bool>,
}

impl History {
    /// Opens the history, made where it is missing.
    ///
    /// # Errors
    /// [`RootError`] where the file is damaged, of another version, or not the agent's own.
    pub fn open(root: &Root) -> Result<Self, RootError> {
        let (connection, path) = KIND.open(root)?;
        Ok(Self { connection, path, durable: Cell::new(true), synced: Cell::new(true) })
    }

    /// Whether everything that was stored is on disk.
    pub fn is_synced(&self) -> bool {
        self.synced.get()
    }

    /// Brings to disk what is not there yet. It is tried once: what the system could not write it may forget, and say so once.
    ///
    /// # Errors
    /// A sentence with the reason; what was stored since the last durable change may not outlive the machine then.
    pub fn sync(&self) -> Result<(), String> {
        if self.synced.replace(true) {
            return Ok(());
        }
        // The log of changes has every commit that was not on disk; SQLite itself brings it there before it moves them.
        let mut log = self.path.clone().into_os_string();
        log.push("-wal");
        File::open(&log).and_then(|log| log.sync_data()).map_err(|error| {
            format!(
                "the latest starts of runs were not brought to disk in {}: {error}. Look after the disk; a crash of the machine may forget them",
                self.path.display()
            )
        })
    }

    fn set_durable(&self, durable: bool) -> rusqlite::Result<()> {
        if self.durable.get() != durable {
            self.connection.pragma_update(None, "synchronous", if durable { "FULL" } else { "NORMAL" })?;
            self.durable.set(durable);
        }
        Ok(())
    }

    /// Runs without an end, oldest first.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn unfinished(&self) -> Result<Vec<RunRecord>, String> {
        self.select("SELECT run_id, record FROM run WHERE finished IS NULL ORDER BY boot, number", params![])
    }

    /// The latest run of each job, and the latest due instant that a run was made for.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn past(&self) -> Result<Vec<JobPast>, String> {
        let failed = |error: rusqlite::Error| self.unread(&error);
        let mut statement = self.connection.prepare(PAST).map_err(failed)?;
        let read = |row: &Row<'_>| {
            let due: (Option<String>, Option<String>) = (row.get(3)?, row.get(4)?);
            Ok(JobPast {
                job_id: row.get(0)?,
                started_at: row.get(1)?,
                outcome: Outcome::from_name(&row.get::<_, String>(2)?),
                due: due.0.zip(due.1),
            })
        };
        let rows = statement.query_map(params![], read).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    /// The runs that are asked for, newest first.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn runs(&self, query: &RunQuery) -> Result<Vec<RunRecord>, String> {
        let RunQuery { job, run, status, before, brief, limit } = query;
        let mut filters = Vec::new();
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        // Only what is asked for stands in the statement, so that an index serves it.
        let mut filter = |clause: &'static str, value: Box<dyn ToSql>| {
            filters.push(clause);
            values.push(value);
        };
        if let Some(run) = run {
            filter("run_id = ?", Box::new(run.to_string()));
        }
        if let Some(job) = job {
            filter("job_id = ?", Box::new(job.to_string()));
        }
        if let Some(status) = status {
            filter("status = ?", Box::new(status.clone()));
        }
        if let Some((boot, number)) = before.as_ref().map(|run| order(run.as_str())) {
            filter("(boot, number) < (?, ?)", Box::new(boot));
            values.push(Box::new(number));
        }
        values.push(Box::new(i64::try_from(*limit).unwrap_or(i64::MAX)));
        let filters = if filters.is_empty() { String::new() } else { format!("WHERE {}", filters.join(" AND ")) };
        let record = if *brief { BRIEF } else { "record" };
        let query = format!("SELECT run_id, {record} FROM run {filters} ORDER BY boot DESC, number DESC LIMIT ?");
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        self.select(&query, &values)
    }

    /// Forgets runs that ended more than `days` days before `now` and what is beyond the newest
    /// [`RUNS_PER_JOB`] of a job; failures have three times as long and as many. Gives the number of runs forgotten. A run
    /// without an end stays.
    ///
    /// # Errors
    /// A sentence with the reason; nothing is forgotten then.
    pub fn prune(&self, days: u32, now: WallTime) -> Result<usize, String> {
        let before = |days: i64| now.as_millis().saturating_sub(days.saturating_mul(MILLIS_PER_DAY));
        let days = i64::from(days);
        let places = i64::try_from(RUNS_PER_JOB).unwrap_or(i64::MAX);
        let limits =
            params![before(days), before(days.saturating_mul(FAILURES)), places, places.saturating_mul(FAILURES)];
        let failed = |error| format!("old runs were not removed from {}: {error}", self.path.display());
        let oldest = WallTime::from_millis(before(days)).to_rfc3339();
        self.set_durable(true).map_err(failed)?;
        self.connection.execute(PRUNE_NOTES, params![oldest, places]).map_err(failed)?;
        self.prune_elevations(before(days), now).map_err(failed)?;
        self.connection.execute(PRUNE, limits).map_err(failed)
    }

    /// Keeps a note; on disk when this returns.
    ///
    /// # Errors
    /// A sentence with the reason; nothing is kept then.
    pub fn note(&self, note: &Note) -> Result<(), String> {
        let failed = |reason: String| format!("a note was not written to {}: {reason}", self.path.display());
        let text = serde_json::to_string(note).map_err(|error| failed(error.to_string()))?;
        let job = match &note.what {
            Happening::NotRun { job_id, .. } => Some(job_id),
            Happening::Started | Happening::Stopped => None,
        };
        let boot = i64::try_from(note.boot).unwrap_or(i64::MAX);
        self.set_durable(true)
            .and_then(|()| {
                self.connection.execute("INSERT INTO note VALUES (?1, ?2, ?3, ?4)", params![boot, note.at, job, text])
            })
            .map(|_| self.synced.set(true))
            .map_err(|error| failed(error.to_string()))
    }

    /// The last counter of the references' manifest that was noted.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn anchor(&self) -> Result<Option<u64>, String> {
        let mut statement =
            self.connection.prepare("SELECT counter FROM anchor").map_err(|error| self.unread(&error))?;
        let mut rows =
            statement.query_map(params![], |row| row.get::<_, i64>(0)).map_err(|error| self.unread(&error))?;
        let counter = rows.next().transpose().map_err(|error| self.unread(&error))?;
        Ok(counter.map(|counter| u64::try_from(counter).unwrap_or(0)))
    }

    /// Notes the counter of a manifest that is on disk; this comes to disk with [`sync`](Self::sync) or the next durable change.
    ///
    /// # Errors
    /// A sentence with the reason; the former one stays.
    pub fn note_anchor(&self, counter: u64) -> Result<(), String> {
        let counter = i64::try_from(counter).unwrap_or(i64::MAX);
        self.set_durable(false)
            .and_then(|()| self.connection.execute("INSERT OR REPLACE INTO anchor VALUES (0, ?1)", params![counter]))
            .map(|_| self.synced.set(false))
            .map_err(|error| format!("the counter of references was not written to {}: {error}", self.path.display()))
    }

    /// Notes the folder of plugins that references are of, and gives the one that was noted before, if it was another.
    ///
    /// # Errors
    /// A sentence with the reason; the former one stays.
    pub fn replace_plugin_folder(&self, path: &str) -> Result<Option<String>, String> {
        let before = self.connection.query_row("SELECT path FROM plugin_folder", params![], |row| row.get(0));
        let before: Option<String> = before.optional().map_err(|error| self.unread(&error))?;
        if before.as_deref() == Some(path) {
            return Ok(None);
        }
        self.set_durable(false)
            .and_then(|()| {
                self.connection.execute("INSERT OR REPLACE INTO plugin_folder VALUES (0, ?1)", params![path])
            })
            .map(|_| self.synced.set(false))
            .map_err(|error| format!("the folder of plugins was not written to {}: {error}", self.path.display()))?;
        Ok(before)
    }

    fn unread(&self, error: &rusqlite::Error) -> String {
        format!("{} cannot be read: {error}", self.path.display())
    }

    fn select(&self, query: &str, values: &[&dyn ToSql]) -> Result<Vec<RunRecord>, String> {
        let failed = |error: rusqlite::Error| self.unread(&error);
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
        let mut statement = self.connection.prepare(query).map_err(failed)?;
        let rows = statement.query_map(values, read).map_err(failed)?;
        rows.map(|row| {
            let (run, text) = row.map_err(failed)?;
            serde_json::from_str(&text)
                .map_err(|error| format!("run {run} in {} is not a run record: {error}", self.path.display()))
        })
        .collect()
    }
}

/// Both parts of a run id; 0 for what is not one.
fn order(run: &str) -> (i64, i64) {
    let part = |text: &str| text.parse().unwrap_or(0);
    run.split_once('-').map_or((0, part(run)), |(boot, number)| (part(boot), part(number)))
}
