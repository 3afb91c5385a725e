//! Hostile names, real files.

use super::*;

fn line(name: &str) -> String {
    format!("21 ({name}) S 7 21 20 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 123456 5 6 7")
}

#[test]
fn a_process_name_cannot_forge_the_fields_after_it() {
    for name in ["sh", "x) R 1 1 1", ") Z 1 1 1 (", "a b", "", "((", "))"] {
        let found = parse_stat(&line(name));
        assert_eq!(
            found,
            Some(Stat { pid: 21, state: 'S', parent: 7, session: 20, threads: 1, start: 123_456 }),
            "{name}"
        );
    }
    for bad in ["", "21", "21 (sh", "21 (sh) S", "21 (sh) S 7 21 20", "x (sh) S 7 21 20"] {
        assert_eq!(parse_stat(bad), None, "{bad}");
    }
}

#[test]
fn our_own_process_reads_as_the_kernel_says() {
    let own = stat(std::process::id()).unwrap();
    assert_eq!(own.pid, std::process::id());
    assert!(!own.is_dead());
    // 0 in a container whose first process is not a session's leader: `getsid` of rustix takes that for impossible.
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let session = status.lines().find_map(|line| line.strip_prefix("NSsid:")).unwrap();
    assert_eq!(Some(own.session), session.split_whitespace().last().and_then(|id| id.parse().ok()));
    assert!(all().unwrap().iter().any(|process| process.pid == own.pid));
    assert_eq!(stat(u32::MAX), None);
}

#[test]
fn the_folders_owner_is_the_effective_user() {
    let by_status = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().nth(1)?.parse::<u32>().ok()
    };
    assert_eq!(effective_uid(std::process::id()), Some(rustix::process::geteuid().as_raw()));
    // Where the files inside belong to root, as those of a process that may not be dumped, the folder still does not.
    let others = all().unwrap().into_iter().filter(|process| process.pid != std::process::id());
    for process in others {
        let (owner, told) = (effective_uid(process.pid), by_status(process.pid));
        // One that ended, or changed its user meanwhile, is no case.
        if owner.is_some() && told.is_some() && by_status(process.pid) == told {
            assert_eq!(owner, told, "{process:?}");
        }
    }
}

#[test]
fn only_a_plain_existing_cgroup_is_a_cgroup() {
    let table = [
        ("0::/\n", Some("/")),
        ("1:cpu:/a\n0::/b/c\n", Some("/b/c")),
        ("0::/a (deleted)\n", None),
        ("0::/../a\n", None),
        ("0::a\n", None),
        ("1:cpu:/a\n", None),
    ];
    for (text, expect) in table {
        assert_eq!(parse_cgroup(text).as_deref(), expect, "{text}");
    }
    assert_eq!(parse_session_serial("/autogroup-123 nice 0\n"), Some(123));
    assert_eq!(parse_session_serial("/autogroup-x nice 0\n"), None);
}

#[test]
fn a_socket_is_found_among_the_descriptors() {
    use std::os::unix::fs::MetadataExt;
    let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let link = fs::metadata(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&one))).unwrap();
    assert!(holds_socket(std::process::id(), link.ino()));
    assert!(!holds_socket(std::process::id(), u64::MAX));
}
