//! Facts of a signed program that pass, with one change that must fail; and what a user may ask for.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec;
use core::net::{Ipv4Addr, SocketAddr};

use super::super::signature::SignatureFile;
use super::super::signature::fixtures::{NOW, good};
use super::super::{RefusalKind, SocketFacts};
use super::*;
use crate::time::Monotonic;

const PID: u32 = 4242;

fn examination() -> Examination {
    let socket = SocketFacts {
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40000)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 8675)),
        established: true,
        inode: 9,
        uid: 0,
        cookie: 11,
        cgroup: Some(1),
    };
    let peer = PeerFacts {
        at_accept: Some(socket.clone()),
        claimed_pid: Some(PID),
        at_decision: Some(socket),
        own_end_established: true,
        ..PeerFacts::default()
    };
    let facts = ProcessFacts { pid: PID, session: 1, uid: 0, cgroup: None, holds_socket: true, alive: true };
    let paths = vec!["/usr/bin/tool".to_owned()];
    let process = ExaminedProcess {
        facts,
        is_in_our_user_namespace: true,
        is_in_our_process_namespace: true,
        may_administer: true,
        signature: good(),
        paths,
    };
    Examination { peer, process: Ok(process) }
}

fn judge(examination: &Examination) -> Result<Stranger, Refusal> {
    let pins = ["b".repeat(64)];
    let non_admin = ["helper".to_owned()];
    examination.judge(SignaturePolicy { pins: &pins, non_admin: &non_admin }, WallTime::from_millis(NOW))
}

fn process(examination: &mut Examination) -> &mut ExaminedProcess {
    examination.process.as_mut().unwrap()
}

#[test]
fn a_signed_program_of_root_is_who_it_is() {
    let stranger = judge(&examination()).unwrap();
    let expected = Stranger { pid: PID, uid: 0, name: "tool".to_owned(), paths: vec!["/usr/bin/tool".to_owned()] };
    assert_eq!(stranger, expected);
}

#[test]
fn a_listed_program_of_another_user_is_who_it_is() {
    let mut examined = examination();
    for socket in [&mut examined.peer.at_accept, &mut examined.peer.at_decision] {
        socket.as_mut().unwrap().uid = 1000;
    }
    let program = process(&mut examined);
    (program.facts.uid, program.signature.uid) = (1000, Some(1000));
    let refusal = judge(&examined).unwrap_err();
    assert!(refusal.explanation.why.contains("AllowedNonAdminExecutables"), "{}", refusal.explanation);
    process(&mut examined).signature.image.path = "/opt/helper".to_owned();
    let stranger = judge(&examined).unwrap();
    assert_eq!((stranger.uid, stranger.name.as_str()), (1000, "helper"));
}

#[test]
fn whatever_is_wrong_is_told_and_never_trusted() {
    type Change = fn(&mut Examination);
    let wrong: [(Change, &str); 12] = [
        (|e| e.peer.at_accept = None, "knew no such connection"),
        (|e| e.peer.at_decision = None, "was gone"),
        (|e| e.peer.at_decision.as_mut().unwrap().cookie = 12, "changed hands"),
        (|e| e.peer.own_end_established = false, "Our own end"),
        (|e| e.process = Err("Nobody is there.".to_owned()), "Nobody is there."),
        (|e| process(e).facts.holds_socket = false, "first 1024 descriptors"),
        (|e| process(e).facts.alive = false, "Process 4242 has ended."),
        (|e| process(e).facts.uid = 1000, "runs as user 1000"),
        (|e| process(e).signature.uid = Some(1000), "User 0 opened the connection"),
        (|e| process(e).signature.uid = None, "User 0 opened the connection"),
        (|e| process(e).is_in_our_user_namespace = false, "user namespace of its own"),
        (|e| process(e).signature.file = SignatureFile::Missing("/usr/bin/tool.p7s".to_owned()), "/usr/bin/tool.p7s"),
    ];
    for (change, why) in wrong {
        let mut examined = examination();
        change(&mut examined);
        let refusal = judge(&examined).unwrap_err();
        assert_eq!(refusal.kind, RefusalKind::NotTrusted, "{why}");
        assert!(refusal.explanation.to_string().contains(why), "{why}: {}", refusal.explanation);
        assert!(!refusal.explanation.fix.is_empty(), "{why}");
    }
}

#[test]
fn root_is_root_of_this_machine_alone() {
    assert_eq!(examination().judge_root().unwrap().pid, Some(PID), "no signature is asked for");
    type Change = fn(&mut Examination);
    let wrong: [(Change, &str); 7] = [
        (|e| e.peer.own_end_established = false, "Our own end"),
        (|e| process(e).facts.holds_socket = false, "first 1024 descriptors"),
        (|e| process(e).facts.uid = 1000, "runs as user 1000"),
        (|e| (process(e).facts.uid, process(e).signature.uid) = (1000, Some(1000)), "User 0 opened the connection"),
        (|e| process(e).is_in_our_user_namespace = false, "user namespace of its own"),
        (|e| process(e).is_in_our_process_namespace = false, "process namespace of its own"),
        (|e| process(e).may_administer = false, "CAP_SYS_ADMIN"),
    ];
    for (change, why) in wrong {
        let mut examined = examination();
        change(&mut examined);
        let refusal = examined.judge_root().unwrap_err();
        assert!(refusal.explanation.to_string().contains(why), "{why}: {}", refusal.explanation);
    }
    let mut of_another_user = examination();
    for socket in [&mut of_another_user.peer.at_accept, &mut of_another_user.peer.at_decision] {
        socket.as_mut().unwrap().uid = 1000;
    }
    let program = process(&mut of_another_user);
    (program.facts.uid, program.signature.uid) = (1000, Some(1000));
    assert!(of_another_user.judge_root().unwrap_err().explanation.why.contains("not as root"));
}

#[test]
fn the_record_names_the_program_only_where_it_is_the_peers() {
    let mut examined = examination();
    process(&mut examined).signature.file = SignatureFile::Missing(String::new());
    let peer = judge(&examined).unwrap_err().peer;
    assert_eq!(peer, Peer { pid: Some(PID), uid: Some(0), executable: Some("/usr/bin/tool".to_owned()) });
    process(&mut examined).facts.holds_socket = false;
    let refusal = judge(&examined).unwrap_err();
    assert_eq!(refusal.peer.executable, None, "what another process runs is not the peer's");
    assert!(!refusal.explanation.to_string().contains("/usr/bin/tool"), "{}", refusal.explanation);
}

#[test]
fn each_user_and_all_together_have_so_many_a_second() {
    let mut budget = Budget::default();
    let at = Monotonic::from_millis;
    let taken = |budget: &mut Budget, uid, millis| (0..100).filter(|_| budget.take(uid, at(millis)).is_ok()).count();
    assert_eq!(taken(&mut budget, 1000, 0), 5);
    assert!(budget.take(1000, at(0)).unwrap_err().contains("user 1000"));
    assert_eq!([1001, 1002, 1003].map(|uid| taken(&mut budget, uid, 0)), [5; 3], "others have their own");
    assert_eq!(taken(&mut budget, 1004, 0), 0, "but all together no more");
    assert!(!budget.take(1004, at(0)).unwrap_err().contains("1004"));
    assert_eq!(taken(&mut budget, 0, 0), 5, "which root is not one of");
    assert_eq!(taken(&mut budget, 1000, 200), 1, "one comes back in a fifth of a second");
    assert_eq!(taken(&mut budget, 1000, 10_000), 5, "and never more than were there");
    assert_eq!(taken(&mut budget, 1000, 0), 0, "a clock that stands back gives nothing");
}
