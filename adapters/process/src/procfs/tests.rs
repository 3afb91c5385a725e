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
#[expect(clippy::disallowed_methods, reason = "the process that is looked at")]
fn the_folders_owner_is_the_effective_user_also_where_the_files_in_it_are_roots() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    const NOBODY: u32 = 65534;
    assert_eq!(effective_uid(std::process::id()), Some(rustix::process::geteuid().as_raw()));
    if !rustix::process::geteuid().is_root() {
        return eprintln!("SKIPPED: another user's process can be made by root alone");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.path().join("program");
    fs::copy("/bin/sleep", &program).unwrap();
    // What its user may not read, the kernel does not dump.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o711)).unwrap();
    let mut child = loop {
        match std::process::Command::new(&program).arg("1000").uid(NOBODY).spawn() {
            // A child that another test is just starting has the copy open for writing.
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            started => break started.unwrap(),
        }
    };
    let owner = effective_uid(child.id());
    let of_a_file = fs::metadata(format!("/proc/{}/environ", child.id())).map(|found| found.uid());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!((owner, of_a_file.unwrap()), (Some(NOBODY), 0));
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
