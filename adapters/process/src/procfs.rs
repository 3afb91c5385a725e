//! Reading `/proc`: what the kernel tells about a process.

use std::fs::{self, File};
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::ops::Range;
use std::os::fd::OwnedFd;

use castellan_core::limits::DESCRIPTORS;
use rustix::fs::{CWD, Mode, OFlags, RawDir, fstat, openat, readlinkat};

/// Bytes of one of the files read here that are looked at; the kernel writes less.
const FILE_BYTES: u64 = 64 << 10;
/// Bytes of names of descriptors that are read at once.
const NAME_BYTES: usize = 2048;

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

/// A process's folder in `/proc`: what is read through it is about that very process, and is gone with it.
#[derive(Debug)]
pub(crate) struct Folder(OwnedFd);

impl Folder {
    /// Opens it, `None` where there is no such process. To walk there once costs less than once for each file.
    pub(crate) fn open(pid: u32) -> Option<Self> {
        openat(CWD, format!("/proc/{pid}"), OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .ok()
            .map(Self)
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        let file = openat(&self.0, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut bytes = Vec::with_capacity(1024);
        File::from(file).take(FILE_BYTES).read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// See [`Stat`].
    pub(crate) fn stat(&self) -> Option<Stat> {
        // The name is bytes of the process's choice, not necessarily UTF-8.
        parse_stat(&String::from_utf8_lossy(&self.read("stat")?))
    }

    /// Effective user id: the folder's owner, whether the process may be dumped or not; a fiftieth of reading `status`.
    pub(crate) fn effective_uid(&self) -> Option<u32> {
        fstat(&self.0).ok().map(|found| found.st_uid)
    }

    /// Path of its cgroup v2 below the hierarchy's root.
    pub(crate) fn cgroup_path(&self) -> Option<String> {
        parse_cgroup(&String::from_utf8(self.read("cgroup")?).ok()?)
    }

    /// Whether this socket is among its first [`DESCRIPTORS`] descriptors.
    pub(crate) fn holds_socket(&self, inode: u64) -> bool {
        self.holds_socket_within(inode, &mut { DESCRIPTORS })
    }

    /// The same, with so many descriptors left to look at in all.
    fn holds_socket_within(&self, inode: u64, left: &mut usize) -> bool {
        let wanted = format!("socket:[{inode}]");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(folder) = openat(&self.0, "fd", flags, Mode::empty()) else {
            return false;
        };
        let mut space = [MaybeUninit::uninit(); NAME_BYTES];
        let mut entries = RawDir::new(&folder, &mut space);
        let end = left.saturating_sub(DESCRIPTORS);
        while let Some(Ok(entry)) = entries.next() {
            let name = entry.file_name();
            if name.to_bytes().starts_with(b".") {
                continue;
            }
            if *left == end {
                return false;
            }
            *left = left.saturating_sub(1);
            if readlinkat(&folder, name, Vec::new()).is_ok_and(|link| link.to_bytes() == wanted.as_bytes()) {
                return true;
            }
        }
        false
    }
}

/// A process's [`Stat`], `None` where there is no such process or it cannot be read.
pub(crate) fn stat(pid: u32) -> Option<Stat> {
    Folder::open(pid)?.stat()
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

/// Effective user id of a process.
pub(crate) fn effective_uid(pid: u32) -> Option<u32> {
    Folder::open(pid)?.effective_uid()
}

/// The numbers of a process in the process namespaces below ours, outermost first; none where it is in ours.
pub(crate) fn inner_numbers(pid: u32) -> Vec<u32> {
    let bytes = Folder::open(pid).and_then(|folder| folder.read("status")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let numbers = text.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    numbers.split_ascii_whitespace().skip(1).filter_map(|number| number.parse().ok()).collect()
}

/// The effective capabilities of a process, as bits.
pub(crate) fn effective_capabilities(pid: u32) -> Option<u64> {
    let text = String::from_utf8(Folder::open(pid)?.read("status")?).ok()?;
    let digits = text.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// The line of cgroup v2, unless the cgroup is removed already.
pub(crate) fn parse_cgroup(text: &str) -> Option<String> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let usable = path.starts_with('/') && !path.ends_with(" (deleted)") && path.split('/').all(|part| part != "..");
    usable.then(|| path.to_owned())
}

/// As [`Folder::holds_socket`].
pub(crate) fn holds_socket(pid: u32, inode: u64) -> bool {
    holds_socket_within(pid, inode, &mut { DESCRIPTORS })
}

/// The same, with so many descriptors left to look at in all.
pub(crate) fn holds_socket_within(pid: u32, inode: u64, left: &mut usize) -> bool {
    Folder::open(pid).is_some_and(|folder| folder.holds_socket_within(inode, left))
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

/// Where our own program's file is mapped and nothing was written since: its code, and what stands before it (constants, and what the
/// loader relocated by). The parts that the loader did write to are mapped apart.
///
/// # Errors
/// `/proc/self/maps` cannot be read.
pub(crate) fn unwritten_program() -> io::Result<Vec<Range<usize>>> {
    let program = fs::read_link("/proc/self/exe")?.display().to_string();
    Ok(parse_unwritten(&fs::read_to_string("/proc/self/maps")?, &program))
}

/// Of lines like `5601-5602 r-xp 0030c000 fe:00 7473980   /usr/bin/castellan`; proc_pid_maps(5).
pub(crate) fn parse_unwritten(maps: &str, program: &str) -> Vec<Range<usize>> {
    let range = |line: &str| {
        let (fields, path) = line.split_at_checked(line.find('/')?)?;
        let mut fields = fields.split_ascii_whitespace();
        let (pages, rights, offset) = (fields.next()?, fields.next()?, fields.next()?);
        let is_unwritten = rights == "r-xp" || (rights == "r--p" && usize::from_str_radix(offset, 16) == Ok(0));
        let (start, end) = pages.split_once('-')?;
        let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
        (is_unwritten && path == program).then_some(range)
    };
    maps.lines().filter_map(range).collect()
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
