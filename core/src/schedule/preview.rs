//! The due instants of a schedule ahead of time, from the very rules that the agent follows.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Mode, Zone};
use crate::job::ScheduleDefinition;
use crate::time::WallTime;

/// The first `count` instants strictly after `from` at which the schedule is due, fewer where it ends before; `machine_zone` is
/// the IANA zone of a schedule that names none. An interval counts from `from`, as if the agent started there.
///
/// # Errors
/// A sentence where the expression or a time zone is not one.
pub fn preview(
    definition: &ScheduleDefinition,
    machine_zone: &str,
    from: WallTime,
    count: usize,
) -> Result<Vec<WallTime>, String> {
    let mode = Mode::read(definition, Zone::parse(machine_zone)?)?;
    let next_after = |at: WallTime| match &mode {
        Mode::Interval { every_millis } => {
            let every_millis = i64::try_from(*every_millis).ok()?;
            at.as_millis().checked_add(every_millis).map(WallTime::from_millis)
        }
        Mode::Instants { rule, zone } => rule.next_after(*zone, at),
    };
    Ok(core::iter::successors(next_after(from), |at| next_after(*at)).take(count).collect())
}
