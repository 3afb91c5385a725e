//! What a program may use of the machine: `limits` of a task or plugin. The kernel keeps them through the cgroup of its tree (cgroup v2);
//! where there is none, they cannot be kept, and that is said.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// The limits of one process tree; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResourceLimits {
    /// `memoryMiB`: memory of the whole tree, MiB; beyond it the kernel kills the tree (`memory.max`, `memory.oom.group`).
    pub memory_mib: Option<u32>,
    /// `cpuPercent`: processor time of the whole tree, 100 is one core (`cpu.max`).
    pub cpu_percent: Option<u32>,
    /// `tasks`: processes and threads of the whole tree; beyond it fork(2) fails (`pids.max`).
    pub tasks: Option<u32>,
}

impl ResourceLimits {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How a program ended whose tree the kernel killed for want of memory, as the rest of a sentence.
    pub(crate) fn out_of_memory(&self) -> String {
        match self.memory_mib {
            Some(limit) => format!(
                "the kernel killed it: with all that it started it needed more than limits.memoryMiB ({limit}); \
                 find out what it needs, or raise the limit"
            ),
            None => String::from(
                "the kernel killed it: its own limits say nothing, so the limit is one around the agent (MemoryMax of \
                 its service) or the machine's own",
            ),
        }
    }
}

impl fmt::Display for ResourceLimits {
    /// As a definition spells them: `memoryMiB 64, tasks 10`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let given = [("memoryMiB", self.memory_mib), ("cpuPercent", self.cpu_percent), ("tasks", self.tasks)];
        let mut separator = "";
        for (name, value) in given {
            if let Some(value) = value {
                write!(formatter, "{separator}{name} {value}")?;
                separator = ", ";
            }
        }
        Ok(())
    }
}
