//! `limits` of a task or plugin.

use super::keys::LIMITS;
use crate::job::finding::Report;
use crate::json::read::ObjectReader;
use crate::resources::ResourceLimits;

/// What it may use of the machine; nothing is limited where the key is absent.
pub(crate) fn parse(reader: &ObjectReader<'_>, report: &mut Report) -> ResourceLimits {
    let Some(members) = reader.take("limits").and_then(|field| field.object(&LIMITS, report)) else {
        return ResourceLimits::default();
    };
    let mut number = |name| {
        let value = members.take(name)?.integer(LIMITS.range(name), report)?;
        u32::try_from(value).ok()
    };
    let limits =
        ResourceLimits { memory_mib: number("memoryMiB"), cpu_percent: number("cpuPercent"), tasks: number("tasks") };
    members.finish(report);
    limits
}
