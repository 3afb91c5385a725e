//! An agent that was killed: its trees end with it or with the next start, and nobody else's do.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use castellan_core::event::ExitStatus;
use castellan_process::{Containment, ContainmentChoice};

use crate::rig::{Rig, lives, modes, shell};

const ROOT: &str = "CASTELLAN_TEST_ROOT";
const MODE: &str = "CASTELLAN_TEST_MODE";

/// Not a test: the agent that is killed. Without its variables it has nothing to do.
#[test]
#[ignore = "the body of the process that a_killed_agent_leaves_nothing starts and kills"]
fn victim() {
    let (Ok(root), Ok(mode)) = (std::env::var(ROOT), std::env::var(MODE)) else {
        return;
    };
    let mode = if mode == "session" { ContainmentChoice::Session } else { ContainmentChoice::Auto };
    let folder = tempfile::Builder::new().prefix("victim").tempdir_in(root).unwrap();
    let state = folder.path().join("state");
    std::os::unix::fs::symlink(format!("{}/../state", folder.path().display()), &state).unwrap();
    let rig = Rig::start_in(folder, mode);
    let prepared = rig.prepare(&shell("sleep 1000 & echo $! > pids.tmp; mv pids.tmp pids; echo; wait"));
    rig.release(prepared.spawn);
    let waiting = rig.prepare(&["/usr/bin/touch", "ran"]);
    eprintln!("victim {} {} {}", rig.folder.path().display(), prepared.pid, waiting.pid);
    rig.exited(prepared.spawn);
}

#[test]
fn a_killed_agent_leaves_nothing() {
    for mode in modes() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("state")).unwrap();
        let name = if mode == ContainmentChoice::Session { "session" } else { "auto" };
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "leftovers::victim", "--ignored", "--nocapture"])
            .env(ROOT, root.path())
            .env(MODE, name)
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(victim.stderr.take().unwrap()).lines();
        let line = lines.find_map(|line| line.unwrap().strip_prefix("victim ").map(str::to_owned)).unwrap();
        let fields: Vec<&str> = line.split(' ').collect();
        let pids = std::path::Path::new(fields[0]).join("pids");
        let child: u32 = loop {
            // Written by the script in one step, soon; there is nothing to wait on but the file itself.
            if let Ok(text) = std::fs::read_to_string(&pids) {
                break text.trim().parse().unwrap();
            }
            std::thread::yield_now();
        };
        assert!(lives(child));
        victim.kill().unwrap();
        victim.wait().unwrap();
        assert!(lives(child), "without the next start this test would show nothing");

        let rig = Rig::start_in(root, mode);
        let told = rig.port().leftovers().join("\n");
        assert!(told.contains("was killed"), "{told}");
        assert!(!lives(child));
        for pid in &fields[1..] {
            assert!(!lives(pid.parse().unwrap()), "{pid}");
        }
        assert!(!std::path::Path::new(fields[0]).join("ran").exists());
    }
}

#[test]
fn an_empty_cgroup_whose_agent_is_gone_is_removed() {
    let rig = Rig::start(ContainmentChoice::Auto);
    let Containment::Cgroup { path, .. } = rig.port().containment().clone() else {
        // Said loudly by the tests that ask for the modes.
        return assert_eq!(modes(), [ContainmentChoice::Session]);
    };
    let name = path.file_name().unwrap().to_str().unwrap();
    let namespace = name.split('-').nth(1).unwrap();
    // A number above the kernel's limit is nobody's.
    let abandoned = path.with_file_name(format!("castellan-{namespace}-4194305-0"));
    let elsewhere = path.with_file_name("castellan-1-4194305-0");
    std::fs::create_dir(&abandoned).unwrap();
    std::fs::create_dir(&elsewhere).unwrap();
    let next = Rig::start(ContainmentChoice::Auto);
    assert!(!abandoned.exists() && path.exists(), "a living agent's stays");
    assert!(elsewhere.exists(), "another container's stays");
    std::fs::remove_dir(&elsewhere).unwrap();
    assert_eq!(next.run(&["/bin/true"]).status, ExitStatus::Code(0));
}

#[test]
fn a_cgroup_of_a_killed_agent_with_our_own_number_does_not_stand_in_the_way() {
    let subtree = || match Rig::start(ContainmentChoice::Auto).port().containment().clone() {
        Containment::Cgroup { path, .. } => Some(path),
        Containment::Session { why } => {
            // Said loudly by the tests that ask for the modes.
            assert_eq!(modes(), [ContainmentChoice::Session], "{why}");
            None
        }
    };
    let number = |path: &std::path::Path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let (rest, number) = name.rsplit_once('-').unwrap();
        (rest.to_owned(), number.parse::<u32>().unwrap())
    };
    let Some(path) = subtree() else { return };
    let (rest, last) = number(&path);
    // Other tests take numbers meanwhile; one that is taken already is theirs.
    let left = (last + 1..last + 100).find(|next| {
        let folder = path.with_file_name(format!("{rest}-{next}"));
        std::fs::create_dir(&folder).and_then(|()| std::fs::create_dir(folder.join("tree-1"))).is_ok()
    });
    while subtree().is_some_and(|path| number(&path).1 < left.unwrap()) {}
}
