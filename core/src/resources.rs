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

    /// Those of them that this machine does not keep.
    fn unkept(&self, kept: KeptLimits) -> Self {
        Self {
            memory_mib: self.memory_mib.filter(|_| !kept.memory),
            cpu_percent: self.cpu_percent.filter(|_| !kept.cpu),
            tasks: self.tasks.filter(|_| !kept.tasks),
        }
    }

    /// The warning about those that this machine does not keep, as a sentence; `None` where it keeps all.
    pub(crate) fn warning(&self, kept: KeptLimits) -> Option<String> {
        let unkept = self.unkept(kept);
        (!unkept.is_empty()).then(|| {
            format!(
                "this machine does not keep {unkept}; it runs without. The line Containment of the start says why: run the agent on \
                 cgroup v2 as a service with Delegate=yes."
            )
        })
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

/// Which limits the kernel keeps on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeptLimits {
    /// `memoryMiB`.
    pub memory: bool,
    /// `cpuPercent`.
    pub cpu: bool,
    /// `tasks`.
    pub tasks: bool,
}

impl KeptLimits {
    /// All of them, as on a machine with cgroup v2 whose controllers the agent was given.
    pub const ALL: Self = Self { memory: true, cpu: true, tasks: true };
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
