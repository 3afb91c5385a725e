//! What went wrong for somebody, kept for `GET /api/denials` and written to the log.

use alloc::string::String;

use serde::Serialize;

use super::Agent;
use crate::acl::Denial;
use crate::effect::Effects;
use crate::limits::DENIALS;
use crate::time::Now;

/// A refusal with its time.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DenialRecord {
    timestamp: String,
    #[serde(flatten)]
    denial: Denial,
    /// How often the same was refused in a row.
    count: u64,
    #[serde(rename = "lastTimestamp")]
    last_timestamp: String,
}

impl Agent {
    /// Puts a refusal on record; the same one again only counts, and is logged at powers of ten.
    pub(super) fn record_denial(&mut self, now: Now, denial: Denial, effects: &mut Effects) {
        let timestamp = now.wall.to_rfc3339();
        if let Some(last) = self.denials.front_mut().filter(|last| last.denial == denial) {
            last.count = last.count.saturating_add(1);
            last.last_timestamp = timestamp;
            if last.count.checked_ilog10().is_some_and(|power| 10_u64.checked_pow(power) == Some(last.count)) {
                self.desk.turn(now, effects).log_denial(&denial);
            }
            return;
        }
        self.desk.turn(now, effects).log_denial(&denial);
        self.denials.truncate(DENIALS.saturating_sub(1));
        self.denials.push_front(DenialRecord { last_timestamp: timestamp.clone(), timestamp, denial, count: 1 });
    }
}
