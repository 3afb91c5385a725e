//! The few calls of the system and of the C library without a safe wrapper: signal dispositions, close-on-exec for a range, execveat,
//! memory given back. The only unsafe code.
#![allow(unsafe_code, reason = "the one file where system calls without a safe wrapper may be made")]

use std::ffi::{CStr, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::process::{Pid, Signal, getpid, kill_current_process_group, kill_process};

/// Highest signal number of Linux on every architecture but MIPS.
const LAST_SIGNAL: i32 = 64;
/// Bytes of the kernel's signal set.
const SIGNAL_SET_BYTES: usize = 8;

/// Puts every signal back to its default action, so that a program does not inherit what the agent or its parent ignored.
pub(crate) fn reset_signal_actions() {
    for signal in 1..=LAST_SIGNAL {
        reset_signal_action(signal);
    }
}

/// Makes sure that ended children wait to be reaped even if the agent's own parent ignored SIGCHLD.
pub(crate) fn keep_ended_children() {
    reset_signal_action(libc::SIGCHLD);
}

/// One signal to its default, by the system call itself: libc keeps two real-time signals to itself and would not reset them,
/// but a parent may have left them ignored. SIGKILL and SIGSTOP refuse, which leaves them at their default as well.
fn reset_signal_action(signal: i32) {
    // The kernel's sigaction (handler, flags, restorer, mask) is at most this long everywhere; all zero means SIG_DFL.
    let default = [0_u64; 8];
    // SAFETY: the kernel only reads the action; no handler is installed and no old action is asked for.
    unsafe {
        libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), std::ptr::null_mut::<u64>(), SIGNAL_SET_BYTES)
    };
}

/// Unblocks every signal for the calling thread.
///
/// # Errors
/// As pthread_sigmask(3).
pub(crate) fn unblock_signals() -> io::Result<()> {
    // SAFETY: an all-zero sigset_t is a valid, empty set on Linux.
    let empty: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the new set is valid for reads and no old set is asked for.
    match unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const empty, std::ptr::null_mut()) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Marks every descriptor from `first` on close-on-exec.
///
/// # Errors
/// As close_range(2); ENOSYS or EINVAL before Linux 5.11.
pub(crate) fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: only flags of descriptors change; none is closed now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes a second process of a program with one thread; `None` in the new one.
///
/// # Errors
/// As fork(2).
pub(crate) fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the launcher has one thread, so no lock is held and nothing half done in the copy.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Ends this process by a signal whose action is the default one, whichever others wait.
pub(crate) fn end_by(signal: i32) -> ! {
    // SAFETY: an all-zero sigset_t is a valid, empty set on Linux.
    let mut others: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: the set is valid for writes.
    unsafe { libc::sigfillset(&raw mut others) };
    // SAFETY: the same; a number that is no signal changes nothing.
    unsafe { libc::sigdelset(&raw mut others, signal) };
    // SAFETY: it only answers.
    let own = unsafe { libc::getpid() };
    // SAFETY: a signal to this process itself. Not by raise(3), which refuses those that the C library keeps to itself.
    unsafe { libc::kill(own, signal) };
    // SAFETY: the set is valid for reads. This returns only for a signal that ends nothing.
    unsafe { libc::sigsuspend(&raw const others) };
    std::process::exit(128_i32.saturating_add(signal))
}

/// Stops this process by a signal of job control, or its whole group, as if nobody had asked to hear of that signal: so the kernel decides,
/// which stops none by a key whom no shell could continue. Returns once this goes on.
///
/// # Errors
/// As kill(2).
pub fn stop(signal: Signal, group: bool) -> io::Result<()> {
    let default = [0_u64; 8];
    let mut before = [0_u64; 8];
    let (new, old) = (default.as_ptr(), before.as_mut_ptr());
    // SAFETY: see `reset_signal_action`; the old action is as long as the new one. SIGSTOP refuses, and has no other action.
    let changed = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal.as_raw(), new, old, SIGNAL_SET_BYTES) };
    let sent = if group { kill_current_process_group(signal) } else { kill_process(getpid(), signal) };
    if changed == 0 {
        let none = std::ptr::null_mut::<u64>();
        // SAFETY: puts back what the kernel said the action was.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal.as_raw(), before.as_ptr(), none, SIGNAL_SET_BYTES) };
    }
    Ok(sent?)
}

/// Replaces this process by the program behind a descriptor; searches no PATH and never falls back to a shell.
pub(crate) fn execute(program: BorrowedFd<'_>, arguments: &[&CStr], environment: &[&CStr]) -> io::Error {
    let argv = null_terminated(arguments);
    let envp = null_terminated(environment);
    let (descriptor, path) = (program.as_raw_fd(), c"".as_ptr());
    // SAFETY: path is a C string; argv and envp are null-terminated arrays of C strings; all outlive the call.
    unsafe { libc::syscall(libc::SYS_execveat, descriptor, path, argv.as_ptr(), envp.as_ptr(), libc::AT_EMPTY_PATH) };
    io::Error::last_os_error()
}

/// Gives the pages of freed memory back to the system, those between used ones too; what other C libraries than glibc keep, they keep.
pub fn release_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: malloc_trim takes malloc's own locks and touches only what is free.
    unsafe {
        libc::malloc_trim(0)
    };
}

/// Gives back the pages of this program that were needed so far, most of them by its start; what is needed again is mapped again.
///
/// # Errors
/// As madvise(2), or `/proc/self/maps` cannot be read.
pub fn release_program() -> io::Result<()> {
    for pages in crate::procfs::unwritten_program()? {
        let start = std::ptr::without_provenance_mut(pages.start);
        // SAFETY: a mapping of the program's own file to which nothing is ever written: the next reader gets the same bytes from it.
        if unsafe { libc::madvise(start, pages.len(), libc::MADV_DONTNEED) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

fn null_terminated(strings: &[&CStr]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain(std::iter::once(std::ptr::null())).collect()
}
