//! One user's connections are counted, and another's find room beside them.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use castellan_elevation::wire::ToCaller;

use crate::asking::FOREIGN;
use crate::rig::{Rig, is_root};

#[test]
fn one_user_does_not_take_the_places_of_others() {
    let rig = Rig::start();
    let mut open: Vec<_> = std::iter::repeat_with(|| rig.takes_a_place()).take(16).collect();
    let refused = rig.connect();
    match rig.hear(&refused) {
        Some(ToCaller::Denied { request: None, why, .. }) => assert!(why.contains("one user may have 16"), "{why}"),
        other => panic!("{other:?}"),
    }
    if is_root() {
        let mut other = Command::new("python3");
        other.args(["-c", FOREIGN]).arg(rig.root.path()).uid(65_534).gid(65_534).stdout(Stdio::piped());
        let other = other.spawn().unwrap();
        let (caller, asked) = rig.asked();
        assert_eq!(asked.peer.uid, 65_534);
        rig.answer(caller, 0);
        assert!(other.wait_with_output().unwrap().status.success());
    }
    // Who leaves makes room for the next, once all of his is closed.
    let (caller, connection) = open.pop().unwrap();
    drop(connection);
    rig.left(caller);
    // A moment after he is told to be gone.
    while !rig.admits() {}
}
