//! Questions about what is the caller's own: whose that is says the kernel, and each has one answer.

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use castellan_core::effect::{ElevationAnswer, ElevationOrder};
use castellan_core::elevation::{CallerId, OwnWish};
use castellan_core::id::ElevationId;
use castellan_core::why::Explanation;
use castellan_elevation::client::Connection;
use castellan_elevation::wire::{AskOwn, ToCaller, VERSION, Wish};

use crate::rig::{Rig, is_root, within};

/// A client that nobody here wrote: asks, then prints each frame it hears, until the connection ends.
const FOREIGN: &str = r#"
import json, socket, struct, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
line.connect(sys.argv[1] + "/run/request.sock")
body = json.dumps({"version": 1, "own": {"Withdraw": "E1-3"}}).encode()
line.sendall(struct.pack("<I", len(body)) + body)
reader = line.makefile("rb")
while head := reader.read(4):
    print(reader.read(struct.unpack("<I", head)[0]).decode(), flush=True)
"#;

const NOBODY: u32 = 65_534;

fn asks(rig: &Rig, own: Wish) -> (Connection, CallerId, OwnWish) {
    let connection = rig.connect();
    within("a question", connection.ask_own(&AskOwn { version: VERSION, own })).unwrap();
    let (caller, peer, wish) = rig.own_asked();
    assert_eq!((peer.uid, peer.pid), (rustix::process::geteuid().as_raw(), std::process::id()));
    (connection, caller, wish)
}

#[test]
fn whose_it_is_says_the_kernel() {
    let rig = Rig::start();
    let mut command = Command::new("python3");
    command.args(["-c", FOREIGN]).arg(rig.root.path()).stdout(Stdio::piped());
    let uid = if is_root() { NOBODY } else { rustix::process::geteuid().as_raw() };
    if uid == NOBODY {
        command.uid(NOBODY).gid(NOBODY);
    }
    let child = command.spawn().unwrap();
    let (caller, peer, wish) = rig.own_asked();
    assert_eq!((peer.pid, peer.uid), (child.id(), uid));
    assert_eq!(peer.account.unwrap().name, format!("user-{uid}"));
    assert_eq!(wish, OwnWish::Withdraw(String::from("E1-3")));
    let answer = ElevationAnswer::GaveUp(vec![ElevationId::new(1, 3)]);
    rig.port().order(ElevationOrder::Answer { caller, answer });
    let heard = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(heard.stdout).unwrap(), "{\"GaveUp\":[\"E1-3\"]}\n");
}

#[test]
fn each_question_has_one_answer_and_lends_nothing() {
    let rig = Rig::start();
    let (connection, caller, wish) = asks(&rig, Wish::Drop(None));
    assert_eq!(wish, OwnWish::Drop(None));
    assert!(rig.port().take(caller).is_none(), "there is nothing that a program could get");
    let answer = ElevationAnswer::NotFound(Explanation::new("What.", "Why.", "Fix."));
    rig.port().order(ElevationOrder::Answer { caller, answer });
    let [what, why, fix] = ["What.", "Why.", "Fix."].map(String::from);
    assert_eq!(rig.hear(&connection), Some(ToCaller::NotFound { what, why, fix }));
    assert_eq!(rig.hear(&connection), None, "it is closed");
    // Who leaves before is told as everybody who leaves.
    let (connection, caller, _) = asks(&rig, Wish::List);
    drop(connection);
    rig.left(caller);
}

#[test]
fn questions_take_places_as_requests_do() {
    let rig = Rig::start();
    let open: Vec<_> = std::iter::repeat_with(|| asks(&rig, Wish::List)).take(16).collect();
    assert!(!rig.admits(), "one user may have 16 open");
    drop(open);
}
