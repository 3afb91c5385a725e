//! The broker's deadlines: one for each thing that waits, found without a look at the others.

use alloc::collections::{BTreeMap, BTreeSet};

use super::session::SessionId;
use crate::id::ConnectionId;
use crate::time::{Deadline, Monotonic};

/// What waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A CONNECT for its verdict.
    Verdict(ConnectionId),
    /// A connection for its client's next packet.
    KeepAlive(SessionId),
    /// The connection of a revoked process for its end.
    Revoked(SessionId),
    /// A client's refusals for being summed up.
    Denials(SessionId),
    /// A client's dropped log messages for being reported.
    LogRate(SessionId),
    /// A will for its client to come back, or not.
    Will(SessionId),
    /// A session without a connection for its end.
    Expiry(SessionId),
    /// A client for its acknowledgements, which wait for the disk.
    Unsaved(SessionId),
    /// Changes for being saved.
    Save,
    /// The stop for the last connections.
    Stop,
}

impl Timer {
    const fn reason(self) -> &'static str {
        match self {
            Self::Verdict(_) => "a CONNECT waits for its verdict",
            Self::KeepAlive(_) => "a client's keep-alive",
            Self::Revoked(_) => "the connection of a revoked process",
            Self::Denials(_) => "the sum of a client's refusals",
            Self::LogRate(_) => "the count of a client's dropped log messages",
            Self::Will(_) => "a delayed will",
            Self::Expiry(_) => "the expiry of a session",
            Self::Unsaved(_) => "acknowledgements wait for the disk",
            Self::Save => "changes of sessions and retained messages wait to be saved",
            Self::Stop => "the end of the stop",
        }
    }
}

/// All deadlines, at most one of each kind for each connection or session.
#[derive(Debug, Default)]
pub(super) struct Timers {
    order: BTreeSet<(Monotonic, Timer)>,
    at: BTreeMap<Timer, Monotonic>,
}

impl Timers {
    /// Sets or moves one.
    pub(super) fn set(&mut self, timer: Timer, at: Monotonic) {
        if let Some(former) = self.at.insert(timer, at) {
            self.order.remove(&(former, timer));
        }
        self.order.insert((at, timer));
    }

    /// Sets one that is not set yet.
    pub(super) fn set_first(&mut self, timer: Timer, at: Monotonic) {
        if !self.at.contains_key(&timer) {
            self.set(timer, at);
        }
    }

    /// Takes one away, if it is there.
    pub(super) fn clear(&mut self, timer: Timer) {
        if let Some(former) = self.at.remove(&timer) {
            self.order.remove(&(former, timer));
        }
    }

    /// When one is over, if it is set.
    pub(super) fn get(&self, timer: Timer) -> Option<Monotonic> {
        self.at.get(&timer).copied()
    }

    /// Takes the first that is over.
    pub(super) fn take_due(&mut self, now: Monotonic) -> Option<Timer> {
        let (at, timer) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.clear(timer);
        Some(timer)
    }

    /// The next one.
    pub(super) fn next(&self) -> Option<Deadline> {
        self.order.first().map(|(at, timer)| Deadline { at: *at, reason: timer.reason() })
    }
}
