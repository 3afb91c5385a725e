//! Limits that the kernel keeps, where it gives us the controllers of cgroup v2.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use castellan_core::event::ExitStatus;
use castellan_core::resources::{KeptLimits, ResourceLimits};
use castellan_process::{Containment, ContainmentChoice};

use crate::rig::{Prepared, Rig, lives, request, shell};

/// A port that keeps what is wanted, and its sub-tree; else says loudly why not.
fn rig_that_keeps(wanted: impl Fn(KeptLimits) -> bool) -> Option<(Rig, PathBuf)> {
    let rig = Rig::start(ContainmentChoice::Auto);
    let containment = rig.port().containment().clone();
    match &containment {
        Containment::Cgroup { path, keeping } if wanted(keeping.kept) => {
            let path = path.clone();
            Some((rig, path))
        }
        Containment::Cgroup { .. } | Containment::Session { .. } => {
            // Past the test harness, which hides what a passing test prints.
            writeln!(std::io::stderr(), "SKIPPED: limits need controllers of cgroup v2: {containment}").unwrap();
            None
        }
    }
}

fn run(rig: &Rig, script: &str, limits: ResourceLimits) -> Prepared {
    rig.spawn_request(castellan_core::effect::SpawnRequest { limits, ..request(0, &shell(script)) });
    let prepared = rig.prepared();
    rig.release(prepared.spawn);
    prepared
}

/// The cgroup of a tree.
fn folder_of(tree: &Prepared, subtree: &Path) -> PathBuf {
    let folders = std::fs::read_dir(subtree).unwrap().map(|entry| entry.unwrap());
    let found = folders.into_iter().find(|entry| Some(entry.metadata().unwrap().ino()) == tree.cgroup);
    found.expect("the cgroup of the tree").path()
}

#[test]
fn a_tree_beyond_its_memory_is_killed_as_one_and_that_is_said() {
    let Some((rig, subtree)) = rig_that_keeps(|kept| kept.memory) else { return };
    // tail(1) keeps a line that never ends; the other one is innocent, and goes with it.
    let eater = "sleep 1000 & echo $! >&2; tail /dev/zero";
    let limited = run(&rig, eater, ResourceLimits { memory_mib: Some(16), ..ResourceLimits::default() });
    assert_eq!(rig.exited(limited.spawn), ExitStatus::OutOfMemory);
    let (_, stderr) = rig.collect(limited.spawn);
    let innocent: u32 = String::from_utf8(stderr.head).unwrap().trim().parse().unwrap();
    assert!(!lives(innocent), "the tree dies as one");
    rig.discard(limited.spawn);

    // A limit around all trees, as systemd's MemoryMax around the agent.
    std::fs::write(subtree.join("memory.max"), "33554432").unwrap();
    let unlimited = run(&rig, "exec tail /dev/zero", ResourceLimits::default());
    assert_eq!(rig.exited(unlimited.spawn), ExitStatus::OutOfMemory);
    rig.discard(unlimited.spawn);

    let killed = run(&rig, "kill -KILL $$", ResourceLimits { memory_mib: Some(16), ..ResourceLimits::default() });
    assert_eq!(rig.exited(killed.spawn), ExitStatus::Signal(9), "somebody's kill is not the kernel's");
    rig.discard(killed.spawn);
}

#[test]
fn a_tree_gets_no_more_processes_than_it_may_have() {
    let Some((rig, _)) = rig_that_keeps(|kept| kept.tasks) else { return };
    let script = "for n in 1 2 3 4 5; do sleep 1000 & echo $n; done";
    let tree = run(&rig, script, ResourceLimits { tasks: Some(3), ..ResourceLimits::default() });
    assert_eq!(rig.exited(tree.spawn), ExitStatus::Code(2));
    let (stdout, stderr) = rig.collect(tree.spawn);
    let stderr = String::from_utf8(stderr.head).unwrap();
    assert_eq!((stdout.head.as_slice(), stderr.contains("fork")), (&b"1\n2\n"[..], true), "{stderr}");
    rig.discard(tree.spawn);
}

#[test]
fn a_tree_gets_no_more_processor_time_than_its_share() {
    let Some((rig, subtree)) = rig_that_keeps(|kept| kept.cpu) else { return };
    let script = "n=0; while [ $n -lt 200000 ]; do n=$((n+1)); done";
    let tree = run(&rig, script, ResourceLimits { cpu_percent: Some(10), ..ResourceLimits::default() });
    let folder = folder_of(&tree, &subtree);
    assert_eq!(std::fs::read_to_string(folder.join("cpu.max")).unwrap(), "10000 100000\n");
    assert_eq!(rig.exited(tree.spawn), ExitStatus::Code(0));
    let stat = std::fs::read_to_string(folder.join("cpu.stat")).unwrap();
    assert!(!stat.contains("nr_throttled 0\n") && stat.contains("nr_throttled"), "{stat}");
    rig.discard(tree.spawn);
}

/// Set for the process that [`placed`] is the body of.
const PLACED: &str = "CASTELLAN_TEST_PLACED";

/// Not a test: an agent in the cgroup where it was put, which says what it can keep there. Without its variable it has nothing to do.
#[test]
#[ignore = "the body of the process that an_agent_steps_aside_only_where_it_is_alone starts"]
fn placed() {
    if std::env::var(PLACED).is_err() {
        return;
    }
    let rig = Rig::start(ContainmentChoice::Auto);
    let first = rig.port().containment().to_string();
    // Another port of the same process comes when the agent has stepped aside already.
    let second = Rig::start(ContainmentChoice::Auto).port().containment().to_string();
    let aside = std::fs::read_to_string("/proc/self/cgroup").unwrap().contains("-agent\n");
    writeln!(std::io::stderr(), "aside: {aside}\n{first}\n{second}").unwrap();
}

#[test]
fn an_agent_steps_aside_only_where_it_is_alone() {
    let Some((rig, subtree)) = rig_that_keeps(|kept| kept == KeptLimits::ALL) else { return };
    let home = subtree.parent().unwrap().join(format!("castellan-test-{}", std::process::id()));
    for (company, expect) in [("", true), ("sleep 1000 >/dev/null 2>&1 & ", false)] {
        std::fs::create_dir(&home).unwrap();
        let script = format!(
            "echo $$ > {}/cgroup.procs; {company}exec \"$0\" --exact limited::placed --ignored",
            home.display()
        );
        let binary = std::env::current_exe().unwrap();
        let mut command = std::process::Command::new("/bin/sh");
        let output = command.args(["-c", &script]).arg(binary).env(PLACED, "1").output();
        std::fs::write(home.join("cgroup.kill"), "1").unwrap();
        let said = String::from_utf8(output.unwrap().stderr).unwrap();
        let kept = said.matches("All limits of tasks and plugins are kept.").count();
        assert_eq!((said.contains("aside: true"), kept), (expect, if expect { 2 } else { 0 }), "{said}");
        assert_eq!(said.contains("holds 1 processes besides the agent"), !expect, "{said}");
        removed(&home);
    }
    drop(rig);
}

/// Removes a cgroup and those in it; what was killed in it leaves it a moment later.
fn removed(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
        if entry.file_type().unwrap().is_dir() {
            removed(&entry.path());
        }
    }
    while let Err(error) = std::fs::remove_dir(folder) {
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::BUSY.raw_os_error()), "{error}");
        std::thread::yield_now();
    }
}
