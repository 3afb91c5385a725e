//! Sending a signal to a process that is certainly the one meant.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

/// A handle of a process, `None` where there is no such process.
///
/// # Errors
/// As pidfd_open(2).
pub(crate) fn open(pid: u32) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(handle) => Ok(Some(handle)),
        // EINVAL: the number is a thread's.
        Err(Errno::SRCH | Errno::INVAL) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Signals a process if it is still the right one once a handle pins it; an ended process is none of our business.
///
/// # Errors
/// We may not signal it.
pub(crate) fn send_if(pid: u32, signal: Signal, still_the_one: impl Fn() -> bool) -> io::Result<()> {
    let Some(handle) = open(pid)? else {
        return Ok(());
    };
    if !still_the_one() {
        return Ok(());
    }
    match rustix::process::pidfd_send_signal(&handle, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
