//! Requests for more privileges in the history: a table of their own, pruned with the runs.

use castellan_core::elevation::ElevationRecord;
use castellan_core::limits::ENDED_ELEVATIONS;
use castellan_core::time::WallTime;
use rusqlite::params;

use super::History;

const KEEP: &str = "INSERT OR REPLACE INTO elevation VALUES (?1, ?2, ?3, ?4)";
const NEEDED: &str = "SELECT request_id, record FROM elevation WHERE needed IS NULL OR needed > ?1
    OR request_id IN (SELECT request_id FROM elevation ORDER BY changed DESC LIMIT ?2) ORDER BY changed";

impl History {
    /// Stores a request, replacing what is stored of it; durable as of [`insert_or_replace`](Self::insert_or_replace).
    ///
    /// # Errors
    /// A sentence with the reason; nothing is changed then.
    pub fn keep_elevation(&self, record: &ElevationRecord, durable: bool) -> Result<(), String> {
        let failed = |reason: String| {
            format!("request {} was not written to {}: {reason}", record.request_id, self.path.display())
        };
        let text = serde_json::to_string(record).map_err(|error| failed(error.to_string()))?;
        let needed = record.needed_until().map(WallTime::as_millis);
        let values = params![record.request_id, needed, record.changed_at, text];
        self.set_durable(durable)
            .and_then(|()| self.connection.execute(KEEP, values))
            .map(|_| self.synced.set(durable))
            .map_err(|error| failed(error.to_string()))
    }

    /// Requests without an end, those whose grant ends after `now`, and as many of the latest as are shown; oldest change first.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn needed_elevations(&self, now: WallTime) -> Result<Vec<ElevationRecord>, String> {
        let failed = |error: rusqlite::Error| self.unread(&error);
        let shown = u32::try_from(ENDED_ELEVATIONS).unwrap_or(u32::MAX);
        let mut statement = self.connection.prepare(NEEDED).map_err(failed)?;
        let rows = statement
            .query_map(params![now.as_millis(), shown], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
            .map_err(failed)?;
        rows.map(|row| {
            let (request, text) = row.map_err(failed)?;
            serde_json::from_str(&text)
                .map_err(|error| format!("request {request} in {} cannot be read: {error}", self.path.display()))
        })
        .collect()
    }

    /// Forgets requests that were needed until before `oldest`, in milliseconds since 1970.
    pub(super) fn prune_elevations(&self, oldest: i64) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM elevation WHERE needed < ?1", params![oldest]).map(drop)
    }
}
