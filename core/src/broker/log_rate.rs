//! How many log messages a client may send: a bucket of tokens for each client, which time fills. What comes while it is empty is dropped
//! and counted, and the count is reported at most once a second.
//!
//! It stands before the hand-over to the agent, so that one client cannot fill the queue that all others log through.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::string::String;

use super::Broker;
use super::effect::{BrokerEffect, BrokerEffects};
use super::session::SessionId;
use crate::acl::Subject;
use crate::config::LogRateLimit;
use crate::event::BrokerReport;
use crate::time::Monotonic;

/// One token. They are counted in thousandths, so that a bucket gains as many in a millisecond as whole ones in a second.
const TOKEN: u64 = 1000;
/// From the first message that is dropped to the report, ms.
const REPORT_MILLIS: u64 = 1000;

/// Clients that left and are remembered at a time; a bucket of the default settings is full again after two seconds.
const EMPTIED: usize = 10_000;

/// The bucket of one client; full at first.
#[derive(Debug, Default)]
pub(super) struct LogRate {
    /// Thousandths of tokens that are missing.
    missing: u64,
    filled_at: Monotonic,
    /// Messages dropped since the last report, and when the first of them came.
    dropped: u64,
    since: Option<Monotonic>,
}

impl LogRate {
    fn missing_at(&self, now: Monotonic, limit: LogRateLimit) -> u64 {
        self.missing.saturating_sub(now.millis_since(self.filled_at).saturating_mul(limit.per_second.into()))
    }

    /// Whether one more message may pass.
    pub(super) fn admit(&mut self, now: Monotonic, limit: LogRateLimit) -> bool {
        self.missing = self.missing_at(now, limit);
        self.filled_at = now;
        let missing = self.missing.saturating_add(TOKEN);
        if missing <= u64::from(limit.burst).saturating_mul(TOKEN) {
            self.missing = missing;
            return true;
        }
        self.dropped = self.dropped.saturating_add(1);
        self.since.get_or_insert(now);
        false
    }

    /// When what was dropped is to be reported.
    pub(super) fn due(&self) -> Option<Monotonic> {
        self.since.map(|since| since.plus_millis(REPORT_MILLIS))
    }

    /// What was dropped since the last report, whatever the time.
    pub(super) fn take_report(&mut self, now: Monotonic, subject: &Subject) -> Option<BrokerEffect> {
        let millis = now.millis_since(self.since.take()?);
        let messages = core::mem::take(&mut self.dropped);
        Some(BrokerEffect::from(BrokerReport::LogDropped { subject: subject.clone(), messages, millis }))
    }
}

/// Buckets of clients that left before theirs was full again, by client id: whoever comes back finds it as it was.
#[derive(Debug, Default)]
pub(super) struct Emptied(BTreeMap<String, LogRate>);

impl Emptied {
    /// Keeps what is missing of a bucket.
    pub(super) fn keep(&mut self, now: Monotonic, limit: LogRateLimit, client_id: &str, rate: &LogRate) {
        let is_full = |rate: &LogRate| rate.missing_at(now, limit) == 0;
        if is_full(rate) {
            return;
        }
        if self.0.len() >= EMPTIED {
            self.0.retain(|_, rate| !is_full(rate));
        }
        if self.0.len() < EMPTIED {
            let LogRate { missing, filled_at, .. } = *rate;
            self.0.insert(client_id.to_owned(), LogRate { missing, filled_at, ..LogRate::default() });
        }
    }

    /// The bucket with which a client begins.
    pub(super) fn take(&mut self, client_id: &str) -> LogRate {
        self.0.remove(client_id).unwrap_or_default()
    }
}

impl Broker {
    /// Reports what was dropped of a client.
    pub(super) fn report_dropped_logs(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        if let Some(session) = self.sessions.get_mut(&id) {
            effects.extend(session.log_rate.take_report(now, &session.grant.subject));
        }
    }
}

#[cfg(test)]
mod tests;
