//! A look ahead: when a schedule will be due, by the very timetable of the agent.

use alloc::string::String;
use alloc::vec::Vec;

use super::Timetable;
use super::zone::Zone;
use crate::job::JobDefinition;
use crate::time::{Monotonic, Now, WallTime};

/// The next `count` instants after `from` at which a job is due by its schedule, on a machine in `machine_zone`; fewer where the
/// schedule ends, none where the job has none. An interval is counted from `from`, as if the job came into service then.
///
/// # Errors
/// A sentence where the zone is none.
pub fn preview(job: &JobDefinition, machine_zone: &str, from: WallTime, count: usize) -> Result<Vec<WallTime>, String> {
    let zone = Zone::parse(machine_zone)?;
    let Some(schedule) = &job.schedule else { return Ok(Vec::new()) };
    let mut now = Now { monotonic: Monotonic::default(), wall: from };
    let mut timetable = Timetable::default();
    timetable.insert(&job.id, schedule, job.missed_runs, zone, now)?;
    let mut due = Vec::new();
    while due.len() < count {
        let Some(next) = timetable.next_run(&job.id, now) else { break };
        let ahead = next.as_millis().saturating_sub(now.wall.as_millis());
        now = Now { monotonic: now.monotonic.plus_millis(u64::try_from(ahead).unwrap_or_default()), wall: next };
        if timetable.take_due(now).is_empty() {
            break;
        }
        due.push(next);
    }
    Ok(due)
}
