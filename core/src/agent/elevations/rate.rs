//! How often each user may ask for more privileges, so that nobody's requests take the place of others'.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;

use crate::limits::ELEVATIONS_PER_MINUTE_OF_ONE;
use crate::time::Monotonic;

/// Milliseconds that the rate looks back.
const MINUTE: u64 = 60_000;

/// Requests of each user in the last minute; who asked for nothing then has no entry.
#[derive(Debug, Default)]
pub(super) struct Rates {
    by_user: BTreeMap<u32, VecDeque<Monotonic>>,
}

impl Rates {
    /// Counts a request.
    ///
    /// # Errors
    /// A sentence, where the user had all of the last minute; it says when he may ask again.
    pub(super) fn admit(&mut self, uid: u32, now: Monotonic) -> Result<(), String> {
        self.by_user.retain(|_, asked| {
            asked.retain(|at| now.millis_since(*at) < MINUTE);
            !asked.is_empty()
        });
        let asked = self.by_user.entry(uid).or_default();
        let Some(first) = asked.front().filter(|_| asked.len() >= ELEVATIONS_PER_MINUTE_OF_ONE) else {
            asked.push_back(now);
            return Ok(());
        };
        let seconds = MINUTE.saturating_sub(now.millis_since(*first)).div_ceil(1000);
        Err(format!(
            "You asked {ELEVATIONS_PER_MINUTE_OF_ONE} times in the last minute, which is the most; ask again in {seconds} seconds."
        ))
    }
}
