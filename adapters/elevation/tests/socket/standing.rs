//! How the socket stands in the file system: who may find it, what a killed agent left, who may not have it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use crate::rig::{Rig, is_root};

#[test]
fn everybody_finds_the_socket_and_it_goes_with_the_agent() {
    let mut rig = Rig::start();
    let folder = rig.root.path().join("run");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&folder.join("request.sock"))), (0o755, 0o666));
    rig.serves();
    let second = rig.open(rig.root.path()).unwrap_err();
    assert!(second.contains("another process answers there"), "{second}");
    rig.serves();
    rig.port = None;
    assert!(!folder.join("request.sock").exists());
}

#[test]
fn what_a_killed_agent_left_is_taken_over() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("run")).unwrap();
    fs::set_permissions(root.path().join("run"), fs::Permissions::from_mode(0o777)).unwrap();
    drop(UnixListener::bind(root.path().join("run/request.sock")).unwrap());
    let rig = Rig::start_in(root);
    rig.serves();
    assert_eq!(fs::metadata(rig.root.path().join("run")).unwrap().permissions().mode() & 0o777, 0o755);
}

#[test]
fn a_root_may_have_a_long_name() {
    let rig = Rig::start();
    let long = rig.root.path().join("a".repeat(200));
    fs::create_dir(&long).unwrap();
    let port = rig.open(&long).unwrap();
    assert!(smol::block_on(castellan_elevation::client::Connection::open(&long)).is_ok());
    drop(port);
}

#[test]
fn a_folder_that_is_not_the_agents_is_not_used() {
    let rig = Rig::start();
    let (linked, foreign) = (rig.root.path().join("linked"), rig.root.path().join("foreign"));
    fs::create_dir(&linked).unwrap();
    symlink("/tmp", linked.join("run")).unwrap();
    let refused = rig.open(&linked).unwrap_err();
    assert!(refused.contains("no link"), "{refused}");
    if is_root() {
        fs::create_dir_all(foreign.join("run")).unwrap();
        std::os::unix::fs::chown(foreign.join("run"), Some(65_534), None).unwrap();
        let refused = rig.open(&foreign).unwrap_err();
        assert!(refused.contains("somebody else's"), "{refused}");
    }
}
