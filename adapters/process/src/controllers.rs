//! The controllers of cgroup v2 that keep limits: taken hold of once for all trees, and written for one.
//!
//! The kernel gives a controller to the children of a cgroup only where no process is in the cgroup itself (cgroups(7), "no internal
//! processes"; the top of the hierarchy is exempt). The agent's sub-tree stands beside the agent, so the agent steps aside into a
//! cgroup of its own, if it is alone in its cgroup: others' processes are not ours to move. It stays there; whoever made the cgroup
//! (systemd) removes it with all that is below.

use std::fs;
use std::io;
use std::path::Path;

use castellan_core::resources::{KeptLimits, ResourceLimits};

use crate::cgroup::{Cgroup, procs, set};
use crate::procfs;

/// `cpu.max` is a share of this many microseconds, the kernel's own period.
const PERIOD_MICROS: u64 = 100_000;

/// Which limits can be kept, and why the others cannot.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keeping {
    /// Those that can.
    pub kept: KeptLimits,
    /// For those that cannot, each reason in sentences.
    pub problems: Vec<String>,
}

/// Where the agent steps aside to, below the cgroup that it was started in.
pub(crate) fn aside() -> String {
    format!("castellan-{}-{}-agent", procfs::pid_namespace().unwrap_or_default(), std::process::id())
}

/// Gives the controllers to the trees of a sub-tree, as far as the kernel lets us.
pub(crate) fn enable(place: &Path, subtree: &Cgroup) -> Keeping {
    let (offered, given) = match names(&place.join("cgroup.controllers"))
        .and_then(|offered| Ok((offered, names(&place.join("cgroup.subtree_control"))?)))
    {
        Ok(found) => found,
        Err(why) => return Keeping { problems: vec![format!("No limits are kept: {why}")], ..Keeping::default() },
    };
    let is_new = |controller: &&str| !given.iter().any(|name| name == controller);
    let is_offered = |controller: &&str| offered.iter().any(|name| name == controller);
    let wanted = ["memory", "cpu", "pids"].into_iter().filter(is_offered).any(|controller| is_new(&controller));
    let room = if wanted { make_room(place) } else { Ok(()) };
    let mut problems: Vec<(String, String)> = Vec::new();
    let mut had = |limit: &str, controller| {
        let result = if !is_offered(&controller) {
            Err(format!("{} was not given their controllers.", place.display()))
        } else if is_new(&controller) {
            room.clone().and_then(|()| give(place, controller)).and_then(|()| give(&subtree.folder, controller))
        } else {
            give(&subtree.folder, controller)
        };
        let Err(why) = result else { return true };
        match problems.iter_mut().find(|(_, known)| *known == why) {
            Some((limits, _)) => *limits = format!("{limits}, {limit}"),
            None => problems.push((limit.to_owned(), why)),
        }
        false
    };
    let kept =
        KeptLimits { memory: had("memoryMiB", "memory"), cpu: had("cpuPercent", "cpu"), tasks: had("tasks", "pids") };
    let told = |(limits, why)| format!("These limits are not kept: {limits}. {why}");
    Keeping { kept, problems: problems.into_iter().map(told).collect() }
}

/// The controllers that a file lists.
fn names(file: &Path) -> Result<Vec<String>, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{} cannot be read: {error}.", file.display()))?;
    Ok(text.split_ascii_whitespace().map(str::to_owned).collect())
}

fn give(folder: &Path, controller: &str) -> Result<(), String> {
    set(&folder.join("cgroup.subtree_control"), &format!("+{controller}"))
        .map_err(|error| format!("The controller {controller} cannot be given on in {}: {error}.", folder.display()))
}

/// Sees to it that a cgroup holds no process itself: the agent steps aside, if nobody else is there.
///
/// Not left to the kernel's refusal: it would take `cpu` and `pids` beside processes, and thereby turn the cgroups below into ones
/// that no process can enter ("domain invalid").
fn make_room(place: &Path) -> Result<(), String> {
    // Only the top of the hierarchy has no type, and it may hold processes.
    if !place.join("cgroup.type").exists() {
        return Ok(());
    }
    let own = std::process::id();
    let inside = procs(place).map_err(|error| format!("The processes in {} are unknown: {error}.", place.display()))?;
    if inside.is_empty() {
        return Ok(());
    }
    if inside != [own] {
        return Err(format!(
            "{} holds {} processes besides the agent, and the kernel gives controllers on from an empty one only.",
            place.display(),
            inside.iter().filter(|pid| **pid != own).count()
        ));
    }
    let folder = place.join(aside());
    let made = match fs::create_dir(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(()) | Err(_) => set(&folder.join("cgroup.procs"), &own.to_string()),
    };
    made.map_err(|error| format!("The agent cannot step aside into {}: {error}.", folder.display()))
}

/// Sets the limits of one tree that are kept here.
///
/// # Errors
/// A sentence: the kernel does not take one of them.
pub(crate) fn limit(tree: &Cgroup, limits: &ResourceLimits, kept: KeptLimits) -> Result<(), String> {
    let mut values = Vec::new();
    if let Some(mebibytes) = limits.memory_mib.filter(|_| kept.memory) {
        // The group first: from the limit on, the tree dies as one. Swap would be memory by another name.
        values.push(("memory.oom.group", String::from("1"), true));
        values.push(("memory.swap.max", String::from("0"), false));
        values.push(("memory.max", (u64::from(mebibytes) << 20).to_string(), true));
    }
    if let Some(percent) = limits.cpu_percent.filter(|_| kept.cpu) {
        let quota = u64::from(percent).saturating_mul(PERIOD_MICROS / 100);
        values.push(("cpu.max", format!("{quota} {PERIOD_MICROS}"), true));
    }
    if let Some(tasks) = limits.tasks.filter(|_| kept.tasks) {
        values.push(("pids.max", tasks.to_string(), true));
    }
    for (file, value, required) in values {
        match set(&tree.folder.join(file), &value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {}
            Err(error) => return Err(format!("Its limits ({limits}) cannot be set: {file} = {value}: {error}.")),
            Ok(()) => {}
        }
    }
    Ok(())
}

/// Whether the kernel killed a process of this tree for want of memory, under its own limit or one around it; `memory.events`.
pub(crate) fn was_out_of_memory(tree: &Cgroup) -> bool {
    // No such file without the controller: then nobody counted.
    let events = fs::read_to_string(tree.folder.join("memory.events")).unwrap_or_default();
    events.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
}

#[cfg(test)]
mod tests;
