//! How often programs that the agent did not start may make it read and hash: a token bucket for each user, and one for all but root.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;

use crate::time::Monotonic;

/// Examinations in a second by one user; a program that connects needs one.
const PER_USER: u64 = 5;
/// Examinations in a second by all users but root together; one takes a millisecond, or a second for the largest image.
const IN_ALL: u64 = 20;
/// Thousandths of an examination, as one refills in each millisecond for each that a second allows.
const ONE: u64 = 1000;

/// What is left of both.
#[derive(Debug, Default)]
pub struct Budget {
    all: Bucket,
    /// Those that are not full again; with [`IN_ALL`] there are never more than that each second, and root.
    users: BTreeMap<u32, Bucket>,
}

/// What was taken, in thousandths, and when that was reckoned last.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    taken: u64,
    at: Monotonic,
}

impl Bucket {
    /// As of now, refilled with so many a second.
    const fn refilled(self, now: Monotonic, a_second: u64) -> Self {
        let back = now.millis_since(self.at).saturating_mul(a_second);
        Self { taken: self.taken.saturating_sub(back), at: now }
    }

    const fn has_one(self, a_second: u64) -> bool {
        self.taken.saturating_add(ONE) <= a_second.saturating_mul(ONE)
    }

    const fn less_one(self) -> Self {
        Self { taken: self.taken.saturating_add(ONE), at: self.at }
    }
}

impl Budget {
    /// Takes one examination for a user.
    ///
    /// # Errors
    /// A sentence: whose second is used up.
    pub fn take(&mut self, uid: u32, now: Monotonic) -> Result<(), String> {
        self.users.retain(|_, bucket| {
            *bucket = bucket.refilled(now, PER_USER);
            bucket.taken > 0
        });
        let user = self.users.get(&uid).copied().unwrap_or(Bucket { taken: 0, at: now });
        if !user.has_one(PER_USER) {
            return Err(format!("Programs of user {uid} were looked at {PER_USER} times within the last second."));
        }
        // Whoever has many user ids (subuid(5)) must not keep root's programs out.
        if uid != 0 {
            self.all = self.all.refilled(now, IN_ALL);
            if !self.all.has_one(IN_ALL) {
                return Err(format!("Programs of users were looked at {IN_ALL} times within the last second."));
            }
            self.all = self.all.less_one();
        }
        self.users.insert(uid, user.less_one());
        Ok(())
    }
}
