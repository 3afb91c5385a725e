//! What is written where, on a folder that only looks like a cgroup; what the kernel makes of it is tested with whole processes.

use super::*;

/// A folder with these files, empty unless they have a text.
#[expect(clippy::disallowed_methods, reason = "files of a test")]
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, Cgroup) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let cgroup = Cgroup { folder: folder.path().to_owned(), id: 0 };
    (folder, cgroup)
}

fn read(cgroup: &Cgroup, file: &str) -> String {
    fs::read_to_string(cgroup.folder.join(file)).unwrap()
}

#[test]
fn each_limit_has_its_file_and_only_kept_ones_are_written() {
    let files = ["memory.max", "memory.oom.group", "cpu.max", "pids.max"];
    let limits = ResourceLimits { memory_mib: Some(64), cpu_percent: Some(150), tasks: Some(7) };
    let (_folder, tree) = folder(&files.map(|file| (file, "")));
    limit(&tree, &limits, KeptLimits::ALL).unwrap();
    assert_eq!(files.map(|file| read(&tree, file)), ["67108864", "1", "150000 100000", "7"]);

    let (_folder, tree) = folder(&files.map(|file| (file, "")));
    limit(&tree, &limits, KeptLimits { tasks: true, ..KeptLimits::default() }).unwrap();
    assert_eq!(files.map(|file| read(&tree, file)), ["", "", "", "7"]);

    let (_folder, bare) = folder(&[]);
    let error = limit(&bare, &limits, KeptLimits::ALL).unwrap_err();
    assert!(error.contains("memoryMiB 64, cpuPercent 150, tasks 7") && error.contains("memory.oom.group"), "{error}");
}

#[test]
fn swap_is_no_way_around_the_memory_limit() {
    let (_folder, tree) = folder(&[("memory.max", ""), ("memory.oom.group", ""), ("memory.swap.max", "max")]);
    limit(&tree, &ResourceLimits { memory_mib: Some(1), ..ResourceLimits::default() }, KeptLimits::ALL).unwrap();
    assert!(read(&tree, "memory.swap.max").starts_with('0'));
}

#[test]
fn a_kill_for_want_of_memory_is_told_from_every_other_end() {
    let killed = "low 0\nhigh 0\nmax 9\noom 1\noom_kill 2\noom_group_kill 1\n";
    let table = [(killed, true), ("oom 3\noom_kill 0\n", false), ("", false)];
    for (events, expect) in table {
        assert_eq!(was_out_of_memory(&folder(&[("memory.events", events)]).1), expect, "{events}");
    }
    assert!(!was_out_of_memory(&folder(&[]).1), "without the controller nobody counted");
}

#[test]
fn what_the_agent_was_not_given_is_named() {
    let (_place, place) = folder(&[("cgroup.controllers", "cpu pids\n"), ("cgroup.subtree_control", "pids\n")]);
    let (_subtree, subtree) = folder(&[("cgroup.subtree_control", "")]);
    let keeping = enable(&place.folder, &subtree);
    assert_eq!(keeping.kept, KeptLimits { memory: false, cpu: true, tasks: true });
    let [problem] = keeping.problems.as_slice() else { panic!("{keeping:?}") };
    assert!(
        problem.starts_with("These limits are not kept: memoryMiB. ")
            && problem.contains("was not given their controllers"),
        "{problem}"
    );
}
