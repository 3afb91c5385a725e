//! Requests for more privileges in the history: a table of their own, pruned with the runs.

use castellan_core::elevation::{ElevationQuery, ElevationRecord};
use castellan_core::limits::ELEVATIONS_PER_USER;
use castellan_core::time::WallTime;
use rusqlite::{ToSql, params};

use super::{History, order};

const NEEDED: &str = "SELECT request_id, record FROM elevation WHERE needed IS NULL OR needed > ?1 ORDER BY changed";
/// The two parts of a request's id, which order requests however the clock jumped; as of the index in the schema.
const BOOT: &str = "CAST(substr(request_id, 2) AS INTEGER)";
const NUMBER: &str = "CAST(substr(request_id, instr(request_id, '-') + 1) AS INTEGER)";

impl History {
    /// Requests without an end, and those whose grant ends after `now`; oldest change first.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn needed_elevations(&self, now: WallTime) -> Result<Vec<ElevationRecord>, String> {
        self.read_elevations(NEEDED, &[&now.as_millis()])
    }

    /// The requests that are asked for, newest first.
    ///
    /// # Errors
    /// A sentence with the reason.
    pub fn elevations(&self, query: &ElevationQuery) -> Result<Vec<ElevationRecord>, String> {
        let ElevationQuery { request, user, status, since, before, limit } = query;
        let mut filters = Vec::new();
        let mut values: Vec<Box<dyn ToSql>> = Vec::new();
        let mut filter = |clause: &str, value: Box<dyn ToSql>| {
            filters.push(clause.to_owned());
            values.push(value);
        };
        if let Some(request) = request {
            filter("request_id = ?", Box::new(request.to_string()));
        }
        if let Some(user) = user {
            filter("json_extract(record, '$.UserName') = ?", Box::new(user.clone()));
        }
        if let Some(status) = status {
            filter("json_extract(record, '$.Status') = ?", Box::new(status.as_str()));
        }
        if let Some(since) = since {
            filter("json_extract(record, '$.AskedAt') >= ?", Box::new(since.to_rfc3339()));
        }
        if let Some((boot, number)) = before.as_ref().map(|request| order(request.as_str().trim_start_matches('E'))) {
            filter(&format!("({BOOT}, {NUMBER}) < (?, ?)"), Box::new(boot));
            values.push(Box::new(number));
        }
        values.push(Box::new(i64::try_from(*limit).unwrap_or(i64::MAX)));
        let filters = if filters.is_empty() { String::new() } else { format!("WHERE {}", filters.join(" AND ")) };
        let query =
            format!("SELECT request_id, record FROM elevation {filters} ORDER BY {BOOT} DESC, {NUMBER} DESC LIMIT ?");
        let values: Vec<&dyn ToSql> = values.iter().map(AsRef::as_ref).collect();
        self.read_elevations(&query, &values)
    }

    /// Forgets requests that were needed until before `oldest`, in milliseconds since 1970, and what is beyond the newest
    /// [`ELEVATIONS_PER_USER`] of a user. What is needed yet stays.
    pub(super) fn prune_elevations(&self, oldest: i64, now: WallTime) -> rusqlite::Result<()> {
        let places = i64::try_from(ELEVATIONS_PER_USER).unwrap_or(i64::MAX);
        let beyond = format!(
            "SELECT request_id FROM (
                SELECT request_id, ROW_NUMBER() OVER (PARTITION BY json_extract(record, '$.UserId')
                    ORDER BY {BOOT} DESC, {NUMBER} DESC) AS place
                FROM elevation)
            WHERE place > ?3"
        );
        let prune = format!("DELETE FROM elevation WHERE needed < ?1 OR (needed <= ?2 AND request_id IN ({beyond}))");
        self.connection.execute(&prune, params![oldest, now.as_millis(), places]).map(drop)
    }

    fn read_elevations(&self, query: &str, values: &[&dyn ToSql]) -> Result<Vec<ElevationRecord>, String> {
        let failed = |error: rusqlite::Error| self.unread(&error);
        let mut statement = self.connection.prepare(query).map_err(failed)?;
        let rows = statement
            .query_map(values, |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))
            .map_err(failed)?;
        rows.map(|row| {
            let (request, text) = row.map_err(failed)?;
            serde_json::from_str(&text)
                .map_err(|error| format!("request {request} in {} cannot be read: {error}", self.path.display()))
        })
        .collect()
    }
}
