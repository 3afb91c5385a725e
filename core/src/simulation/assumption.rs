//! Assumptions: how the programs of a simulation end, what they write, and how long they take.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::event::ExitStatus;

/// How the programs of a simulation end; what nothing is assumed of exits with 0 at once and writes nothing.
///
/// `task=exit:1`, `task=signal:9`, `task=hang` (until its time limit), `task=missing` (no such program), `task.stdout=FILE`,
/// `task.stderr=FILE`, `task.seconds=N`; with `job/task` in place of `task` only in that job. Several ends of one task count one
/// after the other; the last one stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assumptions {
    tasks: BTreeMap<String, Assumed>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Assumed {
    ends: Vec<End>,
    asked: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    seconds: u64,
}

/// How a program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Status(ExitStatus),
    /// It runs until somebody ends it.
    Hangs,
    /// There is no such program.
    Missing,
}

/// One execution of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) end: End,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) seconds: u64,
}

impl Assumptions {
    /// Adds one assumption as the command line has it; `read` brings the content of a file.
    ///
    /// # Errors
    /// A sentence that names what is wrong and what is allowed.
    pub fn assume(&mut self, text: &str, read: &dyn Fn(&str) -> Result<Vec<u8>, String>) -> Result<(), String> {
        let known = "task=exit:N, task=signal:N, task=out-of-memory, task=hang, task=missing, task.stdout=FILE, task.stderr=FILE or task.seconds=N";
        let (task, value) = text.split_once('=').ok_or_else(|| format!("'{text}' assumes nothing; write {known}."))?;
        let (task, part) = match task.rsplit_once('.') {
            Some((task, part @ ("stdout" | "stderr" | "seconds"))) => (task, part),
            _ => (task, "end"),
        };
        if task.is_empty() {
            return Err(format!("'{text}' names no task; write {known}."));
        }
        let number =
            || value.parse::<u64>().map_err(|_| format!("'{value}' in '{text}' is not a whole number of seconds."));
        match part {
            "stdout" => self.write(task, read(value)?),
            "stderr" => self.of(task).stderr = read(value)?,
            "seconds" => self.of(task).seconds = number()?,
            _ => {
                let end = end(value).ok_or_else(|| format!("'{value}' in '{text}' is no end; write {known}."))?;
                self.of(task).ends.push(end);
            }
        }
        Ok(())
    }

    /// Assumes what a task writes to its standard output.
    pub fn write(&mut self, task: &str, stdout: Vec<u8>) {
        self.of(task).stdout = stdout;
    }

    fn of(&mut self, task: &str) -> &mut Assumed {
        self.tasks.entry(task.to_ascii_lowercase()).or_default()
    }

    /// What happens to the next execution of a task's program.
    pub(super) fn next(&mut self, job: &str, task: &str) -> Fate {
        let (job, task) = (job.to_ascii_lowercase(), task.to_ascii_lowercase());
        let qualified = format!("{job}/{task}");
        let key = if self.tasks.contains_key(&qualified) { qualified } else { task };
        let succeeds = End::Status(ExitStatus::Code(0));
        let Some(assumed) = self.tasks.get_mut(&key) else {
            return Fate { end: succeeds, stdout: Vec::new(), stderr: Vec::new(), seconds: 0 };
        };
        let end = assumed.ends.get(assumed.asked).or(assumed.ends.last()).copied().unwrap_or(succeeds);
        assumed.asked = assumed.asked.saturating_add(1);
        Fate { end, stdout: assumed.stdout.clone(), stderr: assumed.stderr.clone(), seconds: assumed.seconds }
    }

    /// The tasks that something was assumed of and that were never executed as a program.
    pub(super) fn unused(&self) -> Vec<String> {
        self.tasks.iter().filter(|(_, assumed)| assumed.asked == 0).map(|(task, _)| task.to_string()).collect()
    }
}

fn end(value: &str) -> Option<End> {
    match value.split_once(':') {
        Some(("exit", code)) => code.parse().ok().map(|code| End::Status(ExitStatus::Code(code))),
        Some(("signal", signal)) => signal.parse().ok().map(|signal| End::Status(ExitStatus::Signal(signal))),
        None if value == "hang" => Some(End::Hangs),
        None if value == "out-of-memory" => Some(End::Status(ExitStatus::OutOfMemory)),
        None if value == "missing" => Some(End::Missing),
        _ => None,
    }
}
