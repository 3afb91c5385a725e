//! Tables for the registry and for identification; every field of good facts made wrong once.
#![allow(clippy::arithmetic_side_effects, reason = "numbers of a test")]

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use core::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::id::{Component, JobId, RunId, SpawnId};
use crate::limits::REGISTRY_ENTRIES;

const CGROUP: u64 = 77;
const PID: u32 = 4242;
const UID: u32 = 1000;

fn entry(spawn: u64, pid: u32, cgroup: Option<u64>) -> Entry {
    Entry {
        spawn: SpawnId(spawn),
        component: Component::Job(JobId::parse("scanner").unwrap()),
        run: Some(RunId::new(1, spawn)),
        pid,
        session: pid,
        cgroup,
        uid: UID,
        user_name: "root".into(),
        leader_alive: true,
    }
}

fn registry(cgroup: Option<u64>) -> Registry {
    let mut registry = Registry::default();
    registry.insert(entry(1, PID, cgroup)).unwrap();
    registry.insert(entry(2, 5000, cgroup.map(|id| id + 1))).unwrap();
    registry
}

fn socket(cgroup: Option<u64>) -> SocketFacts {
    SocketFacts {
        peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 40000)),
        local: SocketAddr::from((Ipv4Addr::LOCALHOST, 8675)),
        established: true,
        inode: 9,
        uid: UID,
        cookie: 11,
        cgroup,
    }
}

fn process(cgroup: Option<u64>) -> ProcessFacts {
    ProcessFacts { pid: PID, session: PID, uid: UID, cgroup, holds_socket: true, alive: true }
}

/// Facts of a task that connects and claims its own process id; `tree` is its cgroup, `None` without cgroups.
fn facts(tree: Option<u64>) -> PeerFacts {
    // Without cgroups of our own the kernel still stamps sockets, with the root's id.
    let stamped = Some(tree.unwrap_or(1));
    PeerFacts {
        at_accept: Some(socket(stamped)),
        claimed_pid: Some(PID),
        claimed: Some(process(stamped)),
        holder: None,
        claimed_executable: None,
        at_decision: Some(socket(stamped)),
        own_end_established: true,
        own_cookie: 12,
    }
}

#[derive(Debug, PartialEq)]
enum Expect {
    Spawn(u64, Option<u32>),
    NotTrusted(&'static str),
    NotOwn(&'static str),
}
use Expect::{NotOwn, NotTrusted, Spawn};

fn check(name: &str, registry: &Registry, facts: &PeerFacts, expect: Expect) {
    let found = registry.identify(facts);
    match (&found, &expect) {
        (Ok(identity), Spawn(spawn, pid)) => assert_eq!((identity.spawn.0, identity.pid), (*spawn, *pid), "{name}"),
        (Err(refusal), NotTrusted(why)) => {
            assert_eq!(refusal.kind, RefusalKind::NotTrusted, "{name}: {}", refusal.explanation);
            assert!(refusal.explanation.to_string().contains(why), "{name}: {}", refusal.explanation);
        }
        (Err(refusal), NotOwn(why)) => {
            assert_eq!(refusal.kind, RefusalKind::ClaimedPidNotOwn, "{name}: {}", refusal.explanation);
            assert!(refusal.explanation.to_string().contains(why), "{name}: {}", refusal.explanation);
        }
        (Ok(_), NotTrusted(_) | NotOwn(_)) | (Err(_), Spawn(..)) => panic!("{name}: {found:?} instead of {expect:?}"),
    }
}

type Change = fn(&mut PeerFacts);

fn both(facts: &mut PeerFacts, change: fn(&mut SocketFacts)) {
    facts.at_accept.as_mut().map(change);
    facts.at_decision.as_mut().map(change);
}

fn claimed(facts: &mut PeerFacts) -> &mut ProcessFacts {
    facts.claimed.as_mut().unwrap()
}

fn decided(facts: &mut PeerFacts) -> &mut SocketFacts {
    facts.at_decision.as_mut().unwrap()
}

#[test]
fn controls_are_accepted_in_both_modes() {
    for tree in [Some(CGROUP), None] {
        check("own pid", &registry(tree), &facts(tree), Spawn(1, Some(PID)));
    }
    let mut no_claim = facts(Some(CGROUP));
    (no_claim.claimed_pid, no_claim.claimed) = (None, None);
    check("no claim, cgroup", &registry(Some(CGROUP)), &no_claim, Spawn(1, None));
    let mut found = facts(None);
    (found.claimed_pid, found.holder) = (None, found.claimed.take());
    check("no claim, holder found", &registry(None), &found, Spawn(1, Some(PID)));
    for tree in [Some(CGROUP), None] {
        let mut child = facts(tree);
        (child.claimed_pid, claimed(&mut child).pid) = (Some(4300), 4300);
        check("a descendant with its own pid", &registry(tree), &child, Spawn(1, Some(4300)));
    }
    let mut moved = facts(Some(CGROUP));
    claimed(&mut moved).session = 9999;
    claimed(&mut moved).uid = 33;
    check("own session and fewer rights in the cgroup", &registry(Some(CGROUP)), &moved, Spawn(1, Some(PID)));
}

#[test]
fn a_doubtful_socket_is_nobody_in_both_modes() {
    let wrong: [(&str, Change, &str); 16] = [
        ("unknown at accept", |f| f.at_accept = None, "when it was accepted"),
        ("gone at decision", |f| f.at_decision = None, "was gone"),
        ("closing at accept", |f| f.at_accept.as_mut().unwrap().established = false, "at accept"),
        ("closing at decision", |f| decided(f).established = false, "at the decision"),
        ("closing at both", |f| both(f, |s| s.established = false), "not ESTABLISHED"),
        ("no holder at accept", |f| f.at_accept.as_mut().unwrap().inode = 0, "No process held"),
        ("no holder at decision", |f| decided(f).inode = 0, "No process held"),
        ("no holder at both", |f| both(f, |s| s.inode = 0), "No process held"),
        ("other inode", |f| decided(f).inode = 10, "changed hands"),
        ("other cookie", |f| decided(f).cookie = 12, "changed hands"),
        ("other user", |f| decided(f).uid = 0, "changed hands"),
        ("other cgroup", |f| decided(f).cgroup = Some(78), "changed hands"),
        ("cgroup vanished", |f| decided(f).cgroup = None, "changed hands"),
        ("other peer address", |f| decided(f).peer.set_port(1), "changed hands"),
        ("other local address", |f| decided(f).local.set_port(1), "changed hands"),
        ("our end reset", |f| f.own_end_established = false, "Our own end"),
    ];
    for tree in [Some(CGROUP), None] {
        for (name, change, why) in wrong {
            let mut bad = facts(tree);
            change(&mut bad);
            check(name, &registry(tree), &bad, NotTrusted(why));
        }
    }
}

#[test]
fn with_cgroups_the_socket_names_the_tree_and_the_claim_must_fit() {
    let table: [(&str, Change, Expect); 12] = [
        ("stranger's socket, our pid", |f| both(f, |s| s.cgroup = Some(5)), NotTrusted("agent started no such")),
        ("root cgroup", |f| both(f, |s| s.cgroup = Some(1)), NotTrusted("agent started no such")),
        ("no cgroup id", |f| both(f, |s| s.cgroup = None), NotTrusted("agent started no such")),
        ("id 0", |f| both(f, |s| s.cgroup = Some(0)), NotTrusted("agent started no such")),
        ("other tree's socket", |f| both(f, |s| s.cgroup = Some(CGROUP + 1)), NotOwn("not one of job:scanner")),
        ("no such process", |f| f.claimed = None, NotOwn("no process 4242")),
        ("dead process", |f| claimed(f).alive = false, NotOwn("has ended")),
        ("process elsewhere", |f| claimed(f).cgroup = Some(1), NotOwn("not one of")),
        ("process in no cgroup", |f| claimed(f).cgroup = None, NotOwn("not one of")),
        ("socket in flight", |f| claimed(f).holds_socket = false, NotOwn("does not hold")),
        ("facts of another process", |f| claimed(f).pid = 4243, NotOwn("no process 4242")),
        ("claim of another process", |f| f.claimed_pid = Some(0), NotOwn("no process 0")),
    ];
    for (name, change, expect) in table {
        let mut bad = facts(Some(CGROUP));
        change(&mut bad);
        check(name, &registry(Some(CGROUP)), &bad, expect);
    }
}

#[test]
fn without_cgroups_the_holder_names_the_tree() {
    let stranger = ProcessFacts { pid: 600, session: 600, ..process(Some(1)) };
    let table: [(&str, Change, Expect); 10] = [
        ("nobody holds it", |f| claimed(f).holds_socket = false, NotTrusted("No process that the agent started")),
        ("no such process", |f| f.claimed = None, NotTrusted("No process that the agent started")),
        ("dead process", |f| claimed(f).alive = false, NotTrusted("No process that the agent started")),
        ("stranger's session", |f| claimed(f).session = 600, NotTrusted("session 600")),
        ("session 0", |f| claimed(f).session = 0, NotTrusted("session 0")),
        ("other user's socket", |f| both(f, |s| s.uid = 65534), NotTrusted("user 65534 opened")),
        ("other user's process", |f| claimed(f).uid = 65534, NotTrusted("user 65534 holds")),
        ("other user's socket, root", |f| both(f, |s| s.uid = 0), NotTrusted("user 0 opened")),
        ("claim of a sibling", |f| f.holder = Some(ProcessFacts { pid: 4300, ..process(None) }), Spawn(1, Some(PID))),
        ("facts of another process", |f| f.claimed_pid = Some(7), NotOwn("no process 7")),
    ];
    for (name, change, expect) in table {
        let mut bad = facts(None);
        change(&mut bad);
        check(name, &registry(None), &bad, expect);
    }
    let mut ours_but_forged = facts(None);
    ours_but_forged.holder = Some(ProcessFacts { pid: 4300, ..process(None) });
    claimed(&mut ours_but_forged).holds_socket = false;
    check("holder is ours, claim is not", &registry(None), &ours_but_forged, NotOwn("does not hold"));
    let mut sibling_tree = ours_but_forged.clone();
    claimed(&mut sibling_tree).session = 5000;
    check("claim of another tree", &registry(None), &sibling_tree, NotOwn("not one of"));
    let mut outside = facts(None);
    (outside.claimed, outside.claimed_pid) = (Some(stranger), Some(600));
    check("stranger with its own pid", &registry(None), &outside, NotTrusted("agent started no such"));
}

#[test]
fn trust_ends_with_the_leader_or_with_the_tree() {
    let mut with = registry(Some(CGROUP));
    assert_eq!(with.leader_exited(SpawnId(1)), None);
    check("descendants outlive the leader", &with, &facts(Some(CGROUP)), Spawn(1, Some(PID)));
    assert_eq!(with.remove(SpawnId(1)).map(|gone| gone.leader_alive), Some(false));
    check("removed", &with, &facts(Some(CGROUP)), NotTrusted("agent started no such"));
    assert_eq!(with.remove(SpawnId(1)), None);

    let mut without = registry(None);
    assert_eq!(without.leader_exited(SpawnId(1)).map(|gone| gone.spawn), Some(SpawnId(1)));
    check("leader gone", &without, &facts(None), NotTrusted("agent started no such"));
    without.insert(entry(3, PID, None)).unwrap();
    check("the number is another's now", &without, &facts(None), Spawn(3, Some(PID)));
    assert_eq!(without.leader_exited(SpawnId(1)), None, "an unknown spawn changes nothing");
    assert_eq!(without.len(), 2);
}

#[test]
fn the_registry_refuses_what_it_could_confuse() {
    let table = vec![
        ("same spawn", entry(1, 6000, Some(99)), "entered already"),
        ("same cgroup", entry(3, 6000, Some(CGROUP)), "belongs to spawn 1"),
        ("cgroup 0", entry(3, 6000, Some(0)), "shared by every process"),
        ("cgroup 1", entry(3, 6000, Some(1)), "shared by every process"),
        ("session 0", entry(3, 0, None), "no living leader"),
        ("session of init", entry(3, 1, None), "no living leader"),
        ("dead leader", Entry { leader_alive: false, ..entry(3, 6000, None) }, "no living leader"),
    ];
    for (name, bad, why) in table {
        let mut registry = registry(Some(CGROUP));
        let refusal = registry.insert(bad).unwrap_err();
        assert!(refusal.to_string().contains(why), "{name}: {refusal}");
        assert_eq!(registry.len(), 2, "{name}");
    }
    assert!(registry(None).insert(entry(3, PID, None)).unwrap_err().why.contains("belongs to spawn 1"));
}

#[test]
fn the_registry_is_bounded() {
    let mut full = Registry::default();
    for spawn in 0..u64::try_from(REGISTRY_ENTRIES).unwrap() {
        full.insert(entry(spawn, PID, Some(spawn + 2))).unwrap();
    }
    let refusal = full.insert(entry(1 << 40, PID, Some(1 << 40))).unwrap_err();
    assert!(refusal.why.contains(&format!("{REGISTRY_ENTRIES}")), "{refusal}");
    full.remove(SpawnId(0)).unwrap();
    full.insert(entry(1 << 40, PID, Some(1 << 40))).unwrap();
    assert_eq!((full.len(), full.is_empty()), (REGISTRY_ENTRIES, false));
    assert!(full.entry(SpawnId(1 << 40)).is_some());
}
