//! Making, checking and locking a root; the ports file.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::symlink;
use std::process::Stdio;

use castellan_core::event::Endpoints;
use castellan_fs::{PortsFile, Root, RootError};

use super::support::{mode, names, root, set_mode};

#[test]
fn a_missing_root_is_made_with_everything_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b");
    let root = Root::open(&path).unwrap();
    assert_eq!(names(&path), ["Jobs", "Plugins", "Policies", "state"]);
    assert_eq!(names(&path.join("state")), ["admin", "audit", "boot", "keys", "lkg", "lock", "logs", "quarantine"]);
    for closed in ["state", "state/logs", "state/admin", "state/audit"] {
        assert_eq!(mode(&path.join(closed)), 0o700, "{closed}");
    }
    assert!(path.join("Jobs/bin").is_dir() && path.join("Plugins/bin").is_dir());
    assert_eq!((root.boot(), root.read_settings().unwrap()), (1, None));
    assert_eq!(fs::read_to_string(path.join("state/lock")).unwrap(), format!("{}\n", std::process::id()));
}

#[test]
fn a_second_agent_is_refused_and_told_who_holds_the_root() {
    let (folder, first) = root();
    let error = Root::open(folder.path()).unwrap_err();
    assert!(matches!(error, RootError::Locked { holder: Some(pid), .. } if pid == std::process::id()), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    let copy = first.clone();
    drop(first);
    assert!(Root::open(folder.path()).is_err(), "a copy holds the lock as well");
    drop(copy);
    assert_eq!(Root::open(folder.path()).unwrap().boot(), 2);
}

#[test]
fn a_child_inherits_neither_the_lock_nor_any_folder() {
    let (folder, first) = root();
    let path = folder.path().canonicalize().unwrap();
    let mut command = std::process::Command::new("cat");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    input.write_all(b"x").unwrap();
    // Its answer shows that it runs its own program, for which the kernel has closed what is not to be inherited.
    output.read_exact(&mut [0]).unwrap();
    let open: Vec<_> = fs::read_dir(format!("/proc/{}/fd", child.id()))
        .unwrap()
        .map(|entry| fs::read_link(entry.unwrap().path()).unwrap())
        .collect();
    drop(first);
    let again = Root::open(folder.path());
    drop(input);
    assert!(child.wait().unwrap().success());
    assert!(open.len() >= 3 && open.iter().all(|target| !target.starts_with(&path)), "{open:?}");
    assert!(again.is_ok(), "{again:?}");
}

#[test]
fn a_lock_whose_holder_was_killed_is_waited_for() {
    let (folder, first) = root();
    drop(first);
    let mut dead = std::process::Command::new("true").spawn().unwrap();
    assert!(dead.wait().unwrap().success());
    let path = folder.path().canonicalize().unwrap().join("state/lock");
    fs::write(&path, format!("{}\n", dead.id())).unwrap();
    // As a child has it that was just being started when the holder was killed.
    let copy = fs::File::open(&path).unwrap();
    copy.lock().unwrap();
    let opened = || {
        let open = fs::read_dir("/proc/self/fd").unwrap().flatten();
        open.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path)).count()
    };
    let root = folder.path().to_owned();
    let starting = std::thread::spawn(move || Root::open(&root));
    while opened() < 2 && !starting.is_finished() {
        std::thread::yield_now();
    }
    drop(copy);
    let again = starting.join().unwrap();
    assert_eq!(again.unwrap().boot(), 2);
    let _second = Root::open(folder.path()).unwrap();
    let error = Root::open(folder.path()).unwrap_err();
    assert!(matches!(error, RootError::Locked { .. }), "one that lives is not waited for: {error}");
}

#[test]
fn the_boot_counter_goes_up_and_a_broken_one_stops_the_start() {
    let (folder, first) = root();
    drop(first);
    for expected in 2..5 {
        assert_eq!(Root::open(folder.path()).unwrap().boot(), expected);
    }
    for broken in ["", "x", "-1", "18446744073709551615"] {
        fs::write(folder.path().join("state/boot"), broken).unwrap();
        let error = Root::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("state/boot") && error.contains("Write a number"), "{error}");
    }
}

#[test]
fn a_root_that_others_may_change_is_refused() {
    for place in ["", "Jobs", "Plugins", "Jobs/bin", "state"] {
        for bad in [0o777, 0o775, 0o1777] {
            let (folder, first) = root();
            drop(first);
            set_mode(&folder.path().join(place), bad);
            let error = Root::open(folder.path()).unwrap_err();
            assert!(matches!(error, RootError::Unsafe { .. }), "{place} {bad:o}: {error}");
            assert!(error.to_string().contains("chmod go-w"), "{error}");
        }
    }
}

#[test]
fn a_folder_that_is_a_link_is_refused() {
    let (folder, first) = root();
    drop(first);
    let elsewhere = tempfile::tempdir().unwrap();
    fs::remove_dir_all(folder.path().join("Jobs")).unwrap();
    symlink(elsewhere.path(), folder.path().join("Jobs")).unwrap();
    let error = Root::open(folder.path()).unwrap_err();
    assert!(matches!(error, RootError::Failed { .. }), "{error}");
    assert!(names(elsewhere.path()).is_empty());
}

#[test]
fn a_state_folder_that_others_may_read_is_closed() {
    let (folder, first) = root();
    drop(first);
    set_mode(&folder.path().join("state"), 0o755);
    let _root = Root::open(folder.path()).unwrap();
    assert_eq!(mode(&folder.path().join("state")), 0o700);
}

#[test]
fn settings_are_read_as_bytes_and_not_from_a_link() {
    let (folder, root) = root();
    let path = folder.path().join("appsettings.json");
    fs::write(&path, "{\"a\":\u{feff}1}").unwrap();
    assert_eq!(root.read_settings().unwrap().unwrap(), "{\"a\":\u{feff}1}".as_bytes());
    set_mode(&path, 0o666);
    assert!(root.read_settings().unwrap_err().to_string().contains("chmod go-w"));
    fs::remove_file(&path).unwrap();
    symlink("/etc/passwd", &path).unwrap();
    assert!(root.read_settings().unwrap_err().to_string().contains("symbolic link"));
}

#[test]
fn the_ports_file_stands_while_the_agent_is_ready() {
    let (folder, root) = root();
    let path = folder.path().join("state/ports.json");
    fs::write(&path, "stale").unwrap();
    PortsFile::remove_stale(&root).unwrap();
    assert!(!path.exists());
    PortsFile::remove_stale(&root).unwrap();
    let file = PortsFile::write(&root, Endpoints { http: 1, https: 2, mqtt: 3 }, 4).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "{\"http\":1,\"https\":2,\"mqtt\":3,\"pid\":4}\n");
    file.remove().unwrap();
    assert!(!path.exists());
}
