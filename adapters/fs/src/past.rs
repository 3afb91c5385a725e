//! The past of a root as an administrator may look at it, whether an agent runs there or not: read only, no lock taken.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use castellan_core::schedule::past::{Life, Note, PastRun};
use castellan_core::time::WallTime;
use rusqlite::{Connection, OpenFlags, Row};

use crate::database::BUSY;
use crate::history::NAME;

const RUNS: &str = "
    SELECT run_id, json_extract(record, '$.trigger'), json_extract(record, '$.due'), started,
           json_extract(record, '$.begunAt'), json_extract(record, '$.finishedAt'), status, json_extract(record, '$.reason')
    FROM run WHERE job_id = ?1 ORDER BY boot, number
";
/// A life's last sign is the latest of its own notes and runs. A run that was lost ended in the life that found it so.
const LIVES: &str = "
    SELECT begin.at,
           (SELECT min(at) FROM note WHERE boot = begin.boot AND note LIKE '%\"stopped\"%' AND job_id IS NULL),
           max((SELECT max(at) FROM note WHERE boot = begin.boot),
               ifnull((SELECT max(max(started, iif(status = 'Lost', '', ifnull(json_extract(record, '$.finishedAt'), ''))))
                       FROM run WHERE boot = begin.boot), ''))
    FROM note AS begin WHERE job_id IS NULL AND note LIKE '%\"started\"%' ORDER BY rowid
";
/// Runs that had been triggered and had no place yet.
const WAITING: &str = "
    SELECT count(*) FROM run WHERE started <= ?1
       AND coalesce(json_extract(record, '$.begunAt'), json_extract(record, '$.finishedAt'), '9999') > ?1
";

/// The history of a root, open for reading.
#[derive(Debug)]
pub struct PastReader {
    connection: Connection,
    path: PathBuf,
}

impl PastReader {
    /// Opens `state/history.db` below `root`; `None` where there is none: no agent ever ran there.
    ///
    /// # Errors
    /// A sentence: it may not be read, or is no history.
    pub fn open(root: &Path) -> Result<Option<Self>, String> {
        let path = root.join("state").join(NAME);
        let failed =
            |error: String| format!("{} cannot be read: {error}. It belongs to the agent's user.", path.display());
        match fs::metadata(&path) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error.to_string())),
        }
        let flags =
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let real = path.canonicalize().map_err(|error| failed(error.to_string()))?;
        let connection = Connection::open_with_flags(&real, flags).map_err(|error| failed(error.to_string()))?;
        connection.busy_timeout(BUSY).map_err(|error| failed(error.to_string()))?;
        Ok(Some(Self { connection, path }))
    }

    /// The runs of a job, oldest first.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn runs(&self, job: &str) -> Result<Vec<PastRun>, String> {
        let read = |row: &Row<'_>| {
            Ok(PastRun {
                run_id: row.get(0)?,
                trigger: row.get(1)?,
                due: instant(row, 2)?,
                started: instant(row, 3)?.unwrap_or_default(),
                begun: instant(row, 4)?,
                finished: instant(row, 5)?,
                status: row.get(6)?,
                reason: row.get(7)?,
            })
        };
        self.select(RUNS, &[&job], read)
    }

    /// The notes about a job, oldest first.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn notes(&self, job: &str) -> Result<Vec<Note>, String> {
        let texts = self
            .select("SELECT note FROM note WHERE job_id = ?1 ORDER BY rowid", &[&job], |row| row.get::<_, String>(0))?;
        let parse = |text: &String| {
            serde_json::from_str(text).map_err(|error| format!("a note in {} is none: {error}", self.path.display()))
        };
        texts.iter().map(parse).collect()
    }

    /// The lives of the agent, oldest first.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn lives(&self) -> Result<Vec<Life>, String> {
        self.select(LIVES, &[], |row| {
            let started = instant(row, 0)?.unwrap_or_default();
            Ok(Life { started, stopped: instant(row, 1)?, seen: instant(row, 2)?.unwrap_or(started) })
        })
    }

    /// How many runs of all jobs waited for a place at an instant.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn waiting(&self, at: WallTime) -> Result<usize, String> {
        let at = at.to_rfc3339();
        let counts: Vec<i64> = self.select(WAITING, &[&at], |row| row.get(0))?;
        Ok(counts.first().and_then(|count| usize::try_from(*count).ok()).unwrap_or_default())
    }

    fn select<T>(
        &self,
        query: &str,
        values: &[&dyn rusqlite::ToSql],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, String> {
        let failed = |error: rusqlite::Error| format!("{} cannot be read: {error}.", self.path.display());
        let mut statement = self.connection.prepare(query).map_err(failed)?;
        let rows = statement.query_map(values, read).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }
}

/// Whether an agent runs on a root: the process that `state/lock` names holds that file open.
pub fn is_running(root: &Path) -> bool {
    let lock = root.join("state/lock");
    let holder = fs::read_to_string(&lock).ok().and_then(|text| text.trim().parse::<u32>().ok());
    // By device and number: a container may see the file under another path.
    let file = |path: &Path| fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    let (Some(holder), Ok(lock)) = (holder, file(&lock)) else { return false };
    let files = fs::read_dir(format!("/proc/{holder}/fd")).into_iter().flatten();
    files.flatten().any(|open| file(&open.path()).is_ok_and(|open| open == lock))
}

fn instant(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<WallTime>> {
    Ok(row.get::<_, Option<String>>(column)?.as_deref().and_then(WallTime::parse_rfc3339))
}
