//! How often each user may ask for more privileges, so that nobody's requests take the place of others'.

use alloc::collections::BTreeMap;
use alloc::format;

use super::admitting::refusal;
use crate::agent::last_minute::LastMinute;
use crate::limits::ELEVATIONS_PER_MINUTE_OF_ONE;
use crate::time::Monotonic;
use crate::why::Explanation;

/// Requests of each user in the last minute; who asked for nothing then has no entry.
#[derive(Debug, Default)]
pub(super) struct Rates {
    by_user: BTreeMap<u32, LastMinute>,
}

impl Rates {
    /// Counts a request.
    ///
    /// # Errors
    /// The user had all of the last minute; says when he may ask again.
    pub(super) fn admit(&mut self, uid: u32, now: Monotonic) -> Result<(), Explanation> {
        self.by_user.retain(|_, asked| !asked.is_empty(now));
        let asked = self.by_user.entry(uid).or_default();
        asked.admit(ELEVATIONS_PER_MINUTE_OF_ONE, now).map_err(|seconds| {
            let why = format!("You asked {ELEVATIONS_PER_MINUTE_OF_ONE} times in the last minute, which is the most.");
            refusal(why, format!("Ask again in {seconds} seconds."))
        })
    }
}
