//! Reading `/proc`: what the kernel tells about a process.

use std::fs;
use std::io;

use castellan_core::limits::DESCRIPTORS;
use rustix::fs::{Dir, Mode, OFlags, readlinkat};

/// The fields of `/proc/PID/stat` that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Process id.
    pub(crate) pid: u32,
    /// `Z`, `X` and `x` are dead.
    pub(crate) state: char,
    /// Parent's process id.
    pub(crate) parent: u32,
    /// Session id.
    pub(crate) session: u32,
    /// Threads that have not ended.
    pub(crate) threads: u32,
    /// When it started, in clock ticks since boot.
    pub(crate) start: u64,
}

impl Stat {
    /// Whether it only waits to be reaped. A dead main thread alone does not make a process dead.
    pub(crate) fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x') && self.threads <= 1
    }
}

/// Parses `/proc/PID/stat`. The name in parentheses is the process's own choice and may hold `)`, blanks and digits
/// (CVE-2017-1000367), hence from the last parenthesis on.
pub(crate) fn parse_stat(text: &str) -> Option<Stat> {
    let (before, after) = text.rsplit_once(')')?;
    let pid = before.split_once(' ')?.0.parse().ok()?;
    // Counted from field 3, the state; proc_pid_stat(5).
    let mut fields = after.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let threads = fields.nth(13)?.parse().ok()?;
    let start = fields.nth(1)?.parse().ok()?;
    Some(Stat { pid, state, parent, session, threads, start })
}

/// A process's [`Stat`], `None` where there is no such process or it cannot be read.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    // The name is bytes of the process's choice, not necessarily UTF-8.
    let bytes = fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&String::from_utf8_lossy(&bytes))
}

/// All processes that can be seen now.
///
/// # Errors
/// `/proc` cannot be listed.
pub(crate) fn all() -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        // A process that ended meanwhile is left out.
        if let Some(process) = name.to_str().and_then(|name| name.parse().ok()).and_then(stat) {
            found.push(process);
        }
    }
    Ok(found)
}

/// Effective user id.
pub(crate) fn effective_uid(pid: u32) -> Option<u32> {
    status(pid, "Uid:").get(1).copied()
}

/// The numbers of a process in the process namespaces below ours, outermost first; none where it is in ours.
pub(crate) fn inner_numbers(pid: u32) -> Vec<u32> {
    status(pid, "NSpid:").into_iter().skip(1).collect()
}

/// The numbers behind this name in `/proc/PID/status`; none where there is no such process or line.
fn status(pid: u32, name: &str) -> Vec<u32> {
    let bytes = fs::read(format!("/proc/{pid}/status")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let numbers = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    numbers.split_ascii_whitespace().filter_map(|number| number.parse().ok()).collect()
}

/// Path of the cgroup v2 of a process below the hierarchy's root, as `/proc/PID/cgroup` shows it.
pub(crate) fn cgroup_path(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    parse_cgroup(&text)
}

/// The line of cgroup v2, unless the cgroup is removed already.
pub(crate) fn parse_cgroup(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let usable = path.starts_with('/') && !path.ends_with(" (deleted)") && path.split('/').all(|part| part != "..");
    usable.then(|| path.to_owned())
}

/// Whether this socket is among the first [`DESCRIPTORS`] descriptors of a process.
pub(crate) fn holds_socket(pid: u32, inode: u64) -> bool {
    holds_socket_within(pid, inode, &mut { DESCRIPTORS })
}

/// The same, with so many descriptors left to look at in all.
pub(crate) fn holds_socket_within(pid: u32, inode: u64, left: &mut usize) -> bool {
    let wanted = format!("socket:[{inode}]");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    // From the folder on, as the way to it costs more than the look.
    let Ok(folder) = rustix::fs::open(format!("/proc/{pid}/fd"), flags, Mode::empty()) else {
        return false;
    };
    let Ok(entries) = Dir::read_from(&folder) else {
        return false;
    };
    let named = entries.filter_map(Result::ok).filter(|entry| !entry.file_name().to_bytes().starts_with(b"."));
    named.take(DESCRIPTORS.min(*left)).any(|entry| {
        *left = left.saturating_sub(1);
        readlinkat(&folder, entry.file_name(), Vec::new()).is_ok_and(|link| link.to_bytes() == wanted.as_bytes())
    })
}

/// The number that the kernel gives a session at setsid(2) and never again while the machine runs, where it keeps one.
pub(crate) fn session_serial(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/autogroup")).ok()?;
    parse_session_serial(&text)
}

/// `/autogroup-123 nice 0`; sched(7).
pub(crate) fn parse_session_serial(text: &str) -> Option<u64> {
    text.strip_prefix("/autogroup-")?.split_ascii_whitespace().next()?.parse().ok()
}

/// The number of our process namespace, in which alone our process ids mean something.
pub(crate) fn pid_namespace() -> Option<u64> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.parse().ok()
}

/// A text that differs at every boot of the machine.
///
/// # Errors
/// `/proc/sys` is not there.
pub(crate) fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|text| text.trim().to_owned())
}

#[cfg(test)]
mod tests;
