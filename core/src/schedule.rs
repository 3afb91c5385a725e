//! Schedules: when jobs are due by themselves (contract section 3).
//!
//! Intervals count on the monotonic clock: they neither heed a wall clock that is set nor the time a machine sleeps.
//! `cronExpression`, `calendar` and `runAt` are instants of the wall clock, in the schedule's own time zone or the machine's.
//!
//! - A due instant runs at most once, also when the clock is set back over it.
//! - An instant that is noticed more than `LATE_MILLIS` late (the machine slept, the clock was set forward) was missed:
//!   all missed instants together are one run with `missedRuns: runOnce`, and none with `skip`; either way it is told.
//! - A local time that a clock change skips is due at the first instant after the gap; one that occurs twice is due once.
//!
//! Any number of schedules costs one timer: the earliest stands first in an ordered set.

mod calendar;
pub(crate) mod cron;
pub mod past;
mod preview;
#[cfg(test)]
mod tests;
pub(crate) mod zone;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use crate::id::JobId;
use crate::job::{CalendarEntry, MissedRuns, ScheduleDefinition};
use crate::time::{Deadline, Monotonic, Now, WallTime};
use cron::Cron;
pub use preview::preview;
use zone::Zone;

/// Milliseconds of a minute, the resolution of every schedule.
const MINUTE: u64 = 60_000;
/// Lateness that makes an instant a missed one: more than the resolution, so that a busy machine misses nothing.
const LATE_MILLIS: i64 = 60_000;

/// How far the instant of an interval, as people read it, may be off: the two clocks differ by a millisecond from look to look, and
/// what is read must not change by itself.
const SHOWN_PRECISION: u64 = 1000;

/// What a schedule led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tick {
    /// An interval is over; the job is triggered.
    Elapsed,
    /// Due at this instant; the job is triggered.
    Due(WallTime),
    /// Missed since this instant, and not made up for.
    Missed(WallTime),
}

/// The schedules of all jobs.
#[derive(Debug, Default)]
pub(crate) struct Timetable {
    schedules: BTreeMap<JobId, Schedule>,
    intervals: BTreeSet<(Monotonic, JobId)>,
    instants: BTreeSet<(WallTime, JobId)>,
    /// The latest wall time seen, to notice a clock that was set back.
    seen: WallTime,
    /// Milliseconds from the monotonic clock to the wall clock, as they were when one of them was set last.
    offset: Option<i64>,
    /// See [`Timetable::version`].
    version: u64,
}

#[derive(Debug)]
enum Schedule {
    Interval { every_millis: u64, next: Monotonic },
    Instants { rule: Rule, zone: Zone, missed: MissedRuns, next: Option<WallTime>, last_run: Option<WallTime> },
}

#[derive(Debug)]
enum Rule {
    Once(WallTime),
    Cron(Cron),
    Calendar(Vec<CalendarEntry>),
}

/// A definition as it counts: with its expression read and its zone found.
enum Mode {
    Interval { every_millis: u64 },
    Instants { rule: Rule, zone: Zone },
}

impl Mode {
    fn read(definition: &ScheduleDefinition, machine_zone: Zone) -> Result<Self, String> {
        let named = |name: &Option<String>| name.as_deref().map_or(Ok(machine_zone), Zone::parse);
        let (rule, zone) = match definition {
            ScheduleDefinition::Interval { minutes } => {
                return Ok(Self::Interval { every_millis: minutes.saturating_mul(MINUTE).max(MINUTE) });
            }
            ScheduleDefinition::Once { at_millis } => (Rule::Once(WallTime::from_millis(*at_millis)), Zone::UTC),
            ScheduleDefinition::Cron { expression, time_zone } => {
                (Rule::Cron(Cron::parse(expression)?), named(time_zone)?)
            }
            ScheduleDefinition::Calendar { entries, time_zone } => (Rule::Calendar(entries.clone()), named(time_zone)?),
        };
        Ok(Self::Instants { rule, zone })
    }
}

impl Rule {
    fn next_after(&self, zone: Zone, after: WallTime) -> Option<WallTime> {
        match self {
            Self::Once(at) => (*at > after).then_some(*at),
            Self::Cron(cron) => zone.next_after(after, |local| cron.next_after(local)),
            Self::Calendar(entries) => zone.next_after(after, |local| calendar::next_after(entries, local)),
        }
    }
}

impl Timetable {
    /// Another one, whenever [`Timetable::next_run`] of any job changed since.
    pub(crate) const fn version(&self) -> u64 {
        self.version
    }

    const fn note_change(&mut self) {
        self.version = self.version.saturating_add(1);
    }

    /// Begins a job's schedule now, in place of the one it had. An instant in the past is never due.
    ///
    /// # Errors
    /// A sentence where the expression or the time zone is not one; the job then has no schedule.
    pub(crate) fn insert(
        &mut self,
        id: &JobId,
        definition: &ScheduleDefinition,
        missed: MissedRuns,
        machine_zone: Zone,
        now: Now,
    ) -> Result<(), String> {
        self.remove(id);
        let schedule = match Mode::read(definition, machine_zone)? {
            Mode::Interval { every_millis } => {
                Schedule::Interval { every_millis, next: now.monotonic.plus_millis(every_millis) }
            }
            Mode::Instants { rule, zone } => {
                let next = rule.next_after(zone, now.wall);
                Schedule::Instants { rule, zone, missed, next, last_run: None }
            }
        };
        self.put(id, schedule);
        Ok(())
    }

    /// Goes on after the last instant that was served before the agent started: what was missed since is due now where missed
    /// runs are made up for, and nothing is due twice.
    pub(crate) fn resume(&mut self, id: &JobId, served: WallTime, now: Now) {
        let Some(Schedule::Instants { rule, zone, missed, next, last_run }) = self.schedules.get_mut(id) else {
            return;
        };
        self.version = self.version.saturating_add(1);
        let after = match missed {
            MissedRuns::Skip => served.max(now.wall),
            MissedRuns::RunOnce => served,
        };
        let first = rule.next_after(*zone, after);
        *last_run = Some(served);
        if let Some(former) = core::mem::replace(next, first) {
            self.instants.remove(&(former, id.clone()));
        }
        if let Some(first) = first {
            self.instants.insert((first, id.clone()));
        }
    }

    /// Ends a job's schedule.
    pub(crate) fn remove(&mut self, id: &JobId) {
        self.note_change();
        match self.schedules.remove(id) {
            Some(Schedule::Interval { next, .. }) => {
                self.intervals.remove(&(next, id.clone()));
            }
            Some(Schedule::Instants { next: Some(next), .. }) => {
                self.instants.remove(&(next, id.clone()));
            }
            Some(Schedule::Instants { next: None, .. }) | None => {}
        }
    }

    fn put(&mut self, id: &JobId, schedule: Schedule) {
        self.note_change();
        match &schedule {
            Schedule::Interval { next, .. } => {
                self.intervals.insert((*next, id.clone()));
            }
            Schedule::Instants { next: Some(next), .. } => {
                self.instants.insert((*next, id.clone()));
            }
            Schedule::Instants { next: None, .. } => {}
        }
        self.schedules.insert(id.clone(), schedule);
    }

    /// When to look again. A wall-clock instant is translated with the clocks of now, so it is a hint.
    pub(crate) fn next_deadline(&self, now: Now) -> Option<Deadline> {
        let interval = self.intervals.first().map(|(at, _)| *at);
        let instant = self.instants.first().map(|(at, _)| {
            let ahead = at.as_millis().saturating_sub(now.wall.as_millis());
            now.monotonic.plus_millis(u64::try_from(ahead).unwrap_or_default())
        });
        let at = interval.into_iter().chain(instant).min()?;
        Some(Deadline { at, reason: "a schedule" })
    }

    /// The next due instant of a job as people read it.
    pub(crate) fn next_run(&self, id: &JobId, now: Now) -> Option<WallTime> {
        match self.schedules.get(id)? {
            Schedule::Interval { next, .. } => {
                let offset = self.offset.unwrap_or_else(|| offset(now));
                let next = i64::try_from(next.as_millis()).unwrap_or(i64::MAX);
                Some(WallTime::from_millis(next.saturating_add(offset)))
            }
            Schedule::Instants { next, .. } => *next,
        }
    }

    /// What is due now; each schedule moves on past every instant that is over.
    pub(crate) fn take_due(&mut self, now: Now) -> Vec<(JobId, Tick)> {
        self.heed_clocks(now);
        let mut due = Vec::new();
        while let Some((at, id)) = self.intervals.first().filter(|(at, _)| *at <= now.monotonic).cloned() {
            self.intervals.remove(&(at, id.clone()));
            if let Some(Schedule::Interval { every_millis, next }) = self.schedules.get_mut(&id) {
                let missed = now.monotonic.millis_since(at).checked_div(*every_millis).unwrap_or_default();
                *next = at.plus_millis(missed.saturating_add(1).saturating_mul(*every_millis));
                self.intervals.insert((*next, id.clone()));
            }
            due.push((id, Tick::Elapsed));
        }
        while let Some((at, id)) = self.instants.first().filter(|(at, _)| *at <= now.wall).cloned() {
            self.instants.remove(&(at, id.clone()));
            let Some(Schedule::Instants { rule, zone, missed, next, last_run }) = self.schedules.get_mut(&id) else {
                continue;
            };
            let late = now.wall.as_millis().saturating_sub(at.as_millis()) > LATE_MILLIS;
            let tick = if late && *missed == MissedRuns::Skip {
                Tick::Missed(at)
            } else {
                *last_run = Some(at);
                Tick::Due(at)
            };
            *next = rule.next_after(*zone, now.wall);
            if let Some(next) = next {
                self.instants.insert((*next, id.clone()));
            }
            due.push((id, tick));
        }
        if !due.is_empty() {
            self.note_change();
        }
        due
    }

    /// A wall clock that was set back makes instants future again; those that ran do not run twice.
    pub(crate) fn heed_clocks(&mut self, now: Now) {
        let offset = offset(now);
        if self.offset.is_none_or(|known| known.abs_diff(offset) >= SHOWN_PRECISION) {
            self.offset = Some(offset);
            self.note_change();
        }
        let back = self.seen.as_millis().saturating_sub(now.wall.as_millis()) > LATE_MILLIS;
        self.seen = if back { now.wall } else { self.seen.max(now.wall) };
        if !back {
            return;
        }
        self.note_change();
        self.instants.clear();
        for (id, schedule) in &mut self.schedules {
            let Schedule::Instants { rule, zone, next, last_run, .. } = schedule else { continue };
            let after = last_run.map_or(now.wall, |last| last.max(now.wall));
            *next = rule.next_after(*zone, after);
            if let Some(next) = next {
                self.instants.insert((*next, id.clone()));
            }
        }
    }
}

/// Milliseconds from the monotonic clock to the wall clock.
fn offset(now: Now) -> i64 {
    now.wall.as_millis().saturating_sub(i64::try_from(now.monotonic.as_millis()).unwrap_or(i64::MAX))
}
