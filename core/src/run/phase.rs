//! The phases of a run, and the one process that it waits for.

use alloc::format;
use alloc::string::String;

use super::KILL_GRACE_SECONDS;
use super::routing::TaskEnd;
use crate::event::ExitStatus;
use crate::id::{SpawnId, TicketId};
use crate::resources::ResourceLimits;
use crate::time::{Deadline, Monotonic};

/// Where a run stands; see the table in the head of `run.rs`.
#[derive(Debug)]
pub(super) enum Phase {
    Recording(TicketId),
    Waiting,
    Preparing(Live),
    Releasing(Live),
    Running(Live),
    Collecting(Live, ExitStatus),
    Pausing(Pause),
    Calling(Live, Call),
    Clearing,
    Closing(TicketId),
    Done,
}

impl Phase {
    pub(super) const fn live(&self) -> Option<&Live> {
        match self {
            Self::Preparing(live) | Self::Releasing(live) | Self::Running(live) | Self::Collecting(live, _) => {
                Some(live)
            }
            Self::Recording(_)
            | Self::Calling(..)
            | Self::Waiting
            | Self::Pausing(_)
            | Self::Clearing
            | Self::Closing(_)
            | Self::Done => None,
        }
    }

    /// The process or call whose limits can still be enforced.
    pub(super) const fn limited(&self) -> Option<&Live> {
        match self {
            Self::Preparing(live) | Self::Releasing(live) | Self::Running(live) | Self::Calling(live, _) => Some(live),
            Self::Recording(_)
            | Self::Waiting
            | Self::Collecting(..)
            | Self::Pausing(_)
            | Self::Clearing
            | Self::Closing(_)
            | Self::Done => None,
        }
    }

    /// The same, to enforce them.
    pub(super) const fn live_mut(&mut self) -> Option<&mut Live> {
        match self {
            Self::Preparing(live) | Self::Releasing(live) | Self::Running(live) | Self::Calling(live, _) => Some(live),
            Self::Recording(_)
            | Self::Waiting
            | Self::Collecting(..)
            | Self::Pausing(_)
            | Self::Clearing
            | Self::Closing(_)
            | Self::Done => None,
        }
    }

    /// The process with this number, if it is the one the run waits for.
    pub(super) fn live_of(&self, spawn: SpawnId) -> Option<Live> {
        self.live().filter(|live| live.spawn == spawn).cloned()
    }
}

/// The time between two tries of a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    pub(super) index: usize,
    pub(super) until: Monotonic,
}

impl Pause {
    pub(super) const fn deadline(&self) -> Deadline {
        Deadline { at: self.until, reason: "the next try of a task" }
    }
}

/// The request that an Http task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) ticket: TicketId,
    /// Whether the agent answers it itself.
    pub(super) own: bool,
}

/// Why a task is being stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stop {
    TimedOut { seconds: u64 },
    Canceled { reason: String },
}

/// The process of the task that is being executed.
#[derive(Debug, Clone)]
pub(super) struct Live {
    pub(super) spawn: SpawnId,
    pub(super) index: usize,
    pub(super) started: Monotonic,
    limit: Monotonic,
    stop: Option<Stop>,
    kill_at: Option<Monotonic>,
}

/// Which time of a task is over.
pub(super) enum Over {
    /// Its own limit: it is stopped.
    Limit,
    /// That of a stopped one: it is killed.
    Grace,
}

impl Live {
    pub(super) const fn new(spawn: SpawnId, index: usize, now: Monotonic, timeout_seconds: u64) -> Self {
        Self { spawn, index, started: now, limit: now.plus_seconds(timeout_seconds), stop: None, kill_at: None }
    }

    /// The same task, now with the number of its process tree.
    pub(super) fn of(self, spawn: SpawnId) -> Self {
        Self { spawn, ..self }
    }

    /// From now on the grace runs. The first reason to stop it counts; `false` where there was one already.
    pub(super) fn stop(&mut self, stop: Stop, now: Monotonic) -> bool {
        if self.stop.is_some() {
            return false;
        }
        self.stop = Some(stop);
        self.kill_at = Some(now.plus_seconds(KILL_GRACE_SECONDS));
        true
    }

    /// Whether it is being stopped already.
    pub(super) const fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        match (&self.stop, self.kill_at) {
            (None, _) => Some(Deadline { at: self.limit, reason: "a task's time limit" }),
            (Some(_), Some(at)) => Some(Deadline { at, reason: "the grace of a stopped task" }),
            (Some(_), None) => None,
        }
    }

    /// What is over now; a grace is over once.
    pub(super) fn due(&mut self, now: Monotonic) -> Option<Over> {
        if self.stop.is_none() {
            return (now >= self.limit).then_some(Over::Limit);
        }
        self.kill_at.take_if(|at| now >= *at).map(|_| Over::Grace)
    }

    /// How the task ended, given how its process did.
    pub(super) fn judge(&self, status: ExitStatus, limits: ResourceLimits) -> (TaskEnd, Option<String>) {
        self.unless_stopped(match status {
            ExitStatus::Code(0) => None,
            ExitStatus::Code(code) => Some(format!("It exited with code {code}.")),
            ExitStatus::Signal(signal) => Some(format!("Signal {signal} ended it.")),
            ExitStatus::OutOfMemory => Some(format!("Out of memory: {}.", limits.out_of_memory())),
        })
    }

    /// How the task ended: stopped, or failed as said, or well.
    pub(super) fn unless_stopped(&self, failure: Option<String>) -> (TaskEnd, Option<String>) {
        match (&self.stop, failure) {
            (Some(Stop::TimedOut { seconds }), _) => {
                (TaskEnd::TimedOut, Some(format!("It ran longer than timeoutSeconds ({seconds} s) and was stopped.")))
            }
            (Some(Stop::Canceled { reason }), _) => (TaskEnd::Canceled, Some(reason.clone())),
            (None, None) => (TaskEnd::Succeeded, None),
            (None, Some(failure)) => (TaskEnd::Failed, Some(failure)),
        }
    }

    /// How the task ended where its process never ran.
    pub(super) const fn end_of_failure(&self) -> TaskEnd {
        match self.stop {
            Some(Stop::TimedOut { .. }) => TaskEnd::TimedOut,
            Some(Stop::Canceled { .. }) => TaskEnd::Canceled,
            None => TaskEnd::Failed,
        }
    }
}
