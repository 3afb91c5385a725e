//! Which process wrote a file, as far as the kernel tells: fanotify, which it offers to root alone (`CAP_SYS_ADMIN`).
//!
//! Told is who wrote into a file while it was in the folder, whatever its name was by then. Not told is who wrote a file elsewhere and
//! moved it here, who deleted or renamed one, and who changed rights.

use std::collections::VecDeque;
use std::fs::read_link;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};
use rustix::fs::{CWD, fstat, stat};

/// Files whose last writer is known: many more than are looked at between two reads.
const WRITERS: usize = 256;
/// Reads of some hundred events at one time; what is left is dropped by the kernel, and those writers stay unknown.
const READS: usize = 16;

/// The last writers of files, by device and inode, newest last.
#[derive(Debug, Default)]
pub(super) struct Writers(Mutex<VecDeque<((u64, u64), String)>>);

impl Writers {
    /// Who wrote this file last, as `pid 4711 (/usr/bin/vim, user 1000)`.
    pub(super) fn of(&self, device: u64, inode: u64) -> Option<String> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(file, _)| *file == (device, inode)).map(|(_, writer)| writer.clone())
    }

    fn note(&self, file: (u64, u64), writer: String) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(of, _)| *of != file);
        if known.len() >= WRITERS {
            known.pop_front();
        }
        known.push_back((file, writer));
    }
}

/// What the kernel tells of writers.
pub(super) struct Sightings(Fanotify);

impl Sightings {
    /// `None` where the kernel does not tell this agent.
    pub(super) fn start() -> Option<Self> {
        let flags = InitFlags::FAN_CLASS_NOTIF | InitFlags::FAN_CLOEXEC | InitFlags::FAN_NONBLOCK;
        Fanotify::init(flags, EventFFlags::O_RDONLY | EventFFlags::O_CLOEXEC | EventFFlags::O_LARGEFILE).ok().map(Self)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Also tells of this folder.
    pub(super) fn mark(&self, folder: &Path) -> io::Result<()> {
        let flags = MarkFlags::FAN_MARK_ADD | MarkFlags::FAN_MARK_ONLYDIR | MarkFlags::FAN_MARK_DONT_FOLLOW;
        let mask = MaskFlags::FAN_MODIFY | MaskFlags::FAN_CLOSE_WRITE | MaskFlags::FAN_EVENT_ON_CHILD;
        Ok(self.0.mark(flags, mask, CWD, Some(folder))?)
    }

    /// Notes what it has to tell.
    pub(super) fn read(&self, writers: &Writers) {
        for _ in 0..READS {
            // Nothing more, or something that only leaves a writer unknown.
            let Ok(events) = self.0.read_events() else { return };
            // Of equal neighbours, as a loop of writes makes them, the first says it all.
            let mut last = None;
            for event in events {
                let pid = event.pid();
                if let Some(file) = file(&event)
                    && u32::try_from(pid).is_ok_and(|pid| pid != std::process::id())
                    && last.replace((file, pid)) != Some((file, pid))
                {
                    writers.note(file, writer(pid));
                }
            }
        }
    }
}

fn file(event: &FanotifyEvent) -> Option<(u64, u64)> {
    let found = fstat(event.fd()?).ok()?;
    Some((found.st_dev, found.st_ino))
}

/// A process for people.
fn writer(pid: i32) -> String {
    if pid == 0 {
        return String::from("a process of another PID namespace");
    }
    let place = format!("/proc/{pid}");
    match (read_link(format!("{place}/exe")), stat(&*place)) {
        (Ok(program), Ok(process)) => format!("pid {pid} ({}, user {})", program.display(), process.st_uid),
        _ => format!("pid {pid} (which ended since)"),
    }
}
