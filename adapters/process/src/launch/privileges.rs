//! From the agent's privileges to those of a person. Each step is fatal: what cannot be dropped is not run.
//!
//! Order: output given to the user, groups, group, user, look whether that is so and stays so, no capability, no new privileges, death
//! with the agent once more. The calls change one thread, and the launcher has only one.

use std::ffi::CStr;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::Mode;
use rustix::process::{Gid, Signal, Uid};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::wire::{Ids, Person};

/// What a user's program makes is his alone.
const UMASK: u32 = 0o077;

/// Becomes the person.
///
/// # Errors
/// The step that failed, as a sentence. The process may have lost some of its privileges then and must end.
pub(super) fn take(person: &Person) -> Result<(), String> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        format!("Cannot {what} as {} (user {}): {error}. Nothing was executed.", person.name, person.uid)
    };
    rustix::process::umask(Mode::from_raw_mode(UMASK));
    // While the parent lives it cannot be taken for another; a change of user makes the kernel forget that we die with it.
    let parent = rustix::process::getppid();
    if let Some(ids) = &person.ids {
        change(ids).map_err(|(what, error)| failed(what, &error))?;
        verify(ids).map_err(|error| failed("stay", &error))?;
    }
    if person.confined {
        give_up_capabilities().map_err(|error| failed("give up capabilities", &error))?;
        rustix::thread::set_no_new_privs(true).map_err(|error| failed("forgo new privileges", &error))?;
    }
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| failed("die with the agent", &error))?;
    if rustix::process::getppid() != parent {
        return Err(failed("start", &"the agent is gone"));
    }
    Ok(())
}

fn change(ids: &Ids) -> Result<(), (&'static str, rustix::io::Errno)> {
    let (uid, gid) = (Uid::from_raw(ids.uid), Gid::from_raw(ids.gid));
    if ids.uid != 0 {
        // Else he could write to them, but not open them by /dev/stdout and /dev/stderr.
        rustix::fs::fchown(std::io::stdout(), Some(uid), None).map_err(|error| ("own standard output", error))?;
        rustix::fs::fchown(std::io::stderr(), Some(uid), None).map_err(|error| ("own standard error", error))?;
    }
    let groups: Vec<Gid> = ids.groups.iter().copied().map(Gid::from_raw).collect();
    rustix::thread::set_thread_groups(&groups).map_err(|error| ("set the groups", error))?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(|error| ("set the group", error))?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(|error| ("set the user", error))
}

/// Believes the kernel's answer alone, not that of the calls before.
fn verify(ids: &Ids) -> Result<(), String> {
    let users = nix::unistd::getresuid().map_err(|error| error.to_string())?;
    let groups = nix::unistd::getresgid().map_err(|error| error.to_string())?;
    let is_user = [users.real, users.effective, users.saved].iter().all(|uid| uid.as_raw() == ids.uid);
    let is_group = [groups.real, groups.effective, groups.saved].iter().all(|gid| gid.as_raw() == ids.gid);
    if !is_user || !is_group {
        return Err(format!("the process is {users:?}, {groups:?}"));
    }
    if ids.uid != 0 && rustix::thread::set_thread_uid(Uid::ROOT).is_ok() {
        return Err(String::from("it could become root again"));
    }
    Ok(())
}

fn give_up_capabilities() -> Result<(), String> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).map_err(|error| error.to_string())?;
    let left = rustix::thread::capabilities(None).map_err(|error| error.to_string())?;
    if left == none { Ok(()) } else { Err(format!("{left:?} are left")) }
}

/// Whether a variable may be passed on: `XAUTHORITY` only where the person can open what it names, and it is no link.
pub(super) fn is_of_use(variable: &CStr) -> bool {
    let Some(path) = variable.to_str().ok().and_then(|text| text.strip_prefix("XAUTHORITY=")) else { return true };
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags).open(path).is_ok()
}
