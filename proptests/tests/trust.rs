//! Laws of trust: whatever happens to the registry, an identity is one that it holds and that the kernel's facts lead to.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by panicking"
)]

use std::net::SocketAddr;

use castellan_core::id::{Component, JobId, RunId, SpawnId};
use castellan_core::time::WallTime;
use castellan_core::trust::signature::{SignatureFacts, SignatureFile, SignaturePolicy};
use castellan_core::trust::{Entry, Examination, ExaminedProcess, PeerFacts, ProcessFacts, Registry, SocketFacts};
use castellan_proptests::laws::config;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// Something that happens to a registry.
#[derive(Debug, Clone)]
enum Step {
    Insert(Entry),
    Remove(SpawnId),
    LeaderExited(SpawnId),
    Identify(Box<PeerFacts>),
}

fn entry() -> impl Strategy<Value = Entry> {
    let numbers = (1..6_u64, 0..6_u32, option::of(0..5_u64), 0..2_u32, prop::bool::weighted(0.9));
    numbers.prop_map(|(spawn, session, cgroup, uid, leader_alive)| {
        let component = Component::Job(JobId::parse(&format!("job-{spawn}")).unwrap());
        let run = Some(RunId::new(1, spawn));
        let user_name = format!("user-{uid}");
        Entry { spawn: SpawnId(spawn), component, run, pid: session, session, cgroup, uid, user_name, leader_alive }
    })
}

fn process() -> impl Strategy<Value = ProcessFacts> {
    let flags = (prop::bool::weighted(0.8), prop::bool::weighted(0.8));
    (1..9_u32, 0..6_u32, 0..2_u32, option::of(0..5_u64), flags).prop_map(|(pid, session, uid, cgroup, flags)| {
        ProcessFacts { pid, session, uid, cgroup, holds_socket: flags.0, alive: flags.1 }
    })
}

fn socket() -> impl Strategy<Value = SocketFacts> {
    let flags = (prop::bool::weighted(0.9), 0..4_u64);
    (flags, 0..2_u32, option::of(0..5_u64)).prop_map(|((established, inode), uid, cgroup)| {
        let (peer, local) = (SocketAddr::from(([127, 0, 0, 1], 40_000)), SocketAddr::from(([127, 0, 0, 1], 8675)));
        SocketFacts { peer, local, established, inode, uid, cookie: 77, cgroup }
    })
}

fn facts() -> impl Strategy<Value = PeerFacts> {
    let sockets = (option::weighted(0.95, socket()), option::weighted(0.1, option::weighted(0.9, socket())));
    let claim = (option::of(1..9_u32), option::of(process()), option::of(process()), prop::bool::weighted(0.9));
    (sockets, claim, any::<bool>()).prop_map(|((at_accept, changed), (claimed_pid, claimed, holder, own_end), own)| {
        // Mostly the claimed process is the one that was looked at.
        let claimed =
            claimed.map(|process| ProcessFacts { pid: claimed_pid.filter(|_| own).unwrap_or(process.pid), ..process });
        let at_decision = changed.unwrap_or_else(|| at_accept.clone());
        PeerFacts {
            at_accept,
            claimed_pid,
            claimed,
            claimed_executable: None,
            holder,
            at_decision,
            own_end_established: own_end,
            own_cookie: 78,
        }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => entry().prop_map(Step::Insert),
        1 => (1..6_u64).prop_map(|spawn| Step::Remove(SpawnId(spawn))),
        1 => (1..6_u64).prop_map(|spawn| Step::LeaderExited(SpawnId(spawn))),
        6 => facts().prop_map(|facts| Step::Identify(Box::new(facts))),
    ]
}

/// The trees that count, as a list.
#[derive(Default)]
struct Model(Vec<Entry>);

impl Model {
    fn take(&mut self, step: &Step, registry: &mut Registry) {
        match step {
            Step::Insert(entry) => {
                if registry.insert(entry.clone()).is_ok() {
                    assert!(entry.cgroup.is_none_or(|cgroup| cgroup > 1), "{entry:?} would own every process");
                    assert!(self.0.iter().all(|known| known.spawn != entry.spawn), "{entry:?} twice");
                    self.0.push(entry.clone());
                }
            }
            Step::Remove(spawn) => {
                registry.remove(*spawn);
                self.0.retain(|entry| entry.spawn != *spawn);
            }
            Step::LeaderExited(spawn) => {
                registry.leader_exited(*spawn);
                self.0.retain(|entry| entry.spawn != *spawn || entry.cgroup.is_some());
            }
            Step::Identify(facts) => self.check(facts, registry),
        }
        assert_eq!(registry.len(), self.0.len());
        assert!(self.0.iter().all(|entry| registry.entry(entry.spawn).is_some()));
    }

    /// An identity is one of the trees, and every fact leads there.
    fn check(&self, facts: &PeerFacts, registry: &Registry) {
        let Ok(identity) = registry.identify(facts) else { return };
        let entry =
            self.0.iter().find(|entry| entry.spawn == identity.spawn).expect("the identity of a tree that is not held");
        assert_eq!((&identity.component, &identity.run), (&entry.component, &entry.run));
        let socket = facts.at_accept.as_ref().unwrap();
        assert!(
            facts.at_decision.as_ref() == Some(socket)
                && socket.established
                && socket.inode != 0
                && facts.own_end_established
        );
        let known = |process: &&ProcessFacts| process.alive && process.holds_socket;
        let holders = || facts.claimed.iter().chain(&facts.holder).filter(known);
        match entry.cgroup {
            Some(cgroup) => assert_eq!(socket.cgroup, Some(cgroup)),
            None => assert!(
                socket.uid == entry.uid
                    && holders().any(|process| (process.session, process.uid) == (entry.session, entry.uid))
            ),
        }
        if let Some(claim) = facts.claimed_pid {
            assert_eq!(identity.pid, Some(claim));
            let claimed = facts.claimed.as_ref().filter(known).expect("a claim nobody looked at");
            assert_eq!(claimed.pid, claim);
            assert!(entry.cgroup.map_or(claimed.session == entry.session, |cgroup| claimed.cgroup == Some(cgroup)));
        }
    }

    /// Whether one of the trees owns the socket's cgroup and its own process claims it: then there must be an identity.
    fn must_identify(&self, facts: &PeerFacts) -> bool {
        let Some(socket) = facts.at_accept.as_ref().filter(|socket| socket.established && socket.inode != 0) else {
            return false;
        };
        let owned = self.0.iter().any(|entry| entry.cgroup.is_some() && entry.cgroup == socket.cgroup);
        owned && facts.at_decision.as_ref() == Some(socket) && facts.own_end_established && facts.claimed_pid.is_none()
    }
}

/// A program at this path, signed as it should be where the last part says so.
fn signature() -> impl Strategy<Value = SignatureFacts> {
    let path = prop_oneof![Just("/usr/bin/tool"), Just("/usr/bin/helper"), Just("/usr/bin/python3")];
    (path, option::weighted(0.9, 0..2_u32), prop::bool::weighted(0.9), prop::bool::weighted(0.9)).prop_map(
        |(path, uid, is_valid, is_signed)| {
            let good = castellan_proptests::signed::by_pinned(path, uid, is_valid);
            if is_signed { good } else { SignatureFacts { file: SignatureFile::Missing(path.to_owned()), ..good } }
        },
    )
}

fn examination() -> impl Strategy<Value = Examination> {
    let examined = (process(), prop::bool::weighted(0.9), signature());
    (facts(), option::weighted(0.9, examined), any::<bool>()).prop_map(|(peer, examined, is_of_one_user)| {
        let process = examined.ok_or_else(|| String::from("There is no such process."));
        let process = process.map(|(mut facts, is_in_our_user_namespace, signature)| {
            if let (Some(socket), true) = (&peer.at_accept, is_of_one_user) {
                facts.uid = socket.uid;
            }
            ExaminedProcess {
                facts,
                is_in_our_user_namespace,
                is_in_our_process_namespace: true,
                may_administer: true,
                signature,
                paths: Vec::new(),
            }
        });
        Examination { peer, process }
    })
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn a_stranger_is_the_living_process_of_its_socket_and_a_signed_program_or_nobody(examined in examination()) {
        let (pins, non_admin) = ([castellan_proptests::signed::pin()], [String::from("helper")]);
        let policy = SignaturePolicy { pins: &pins, non_admin: &non_admin };
        let verdict = examined.judge(policy, WallTime::from_millis(1));
        let socket = examined.peer.at_accept.as_ref().filter(|socket| {
            socket.established
                && socket.inode != 0
                && examined.peer.at_decision.as_ref() == Some(socket)
                && examined.peer.own_end_established
        });
        let is_one = examined.process.as_ref().is_ok_and(|process| {
            let ExaminedProcess { facts, signature, .. } = process;
            let is_signed = match &signature.file {
                SignatureFile::Read(data) => data.signers[0].evidence.as_ref().unwrap().is_valid,
                SignatureFile::Missing(_)
                | SignatureFile::Unreadable(_)
                | SignatureFile::TooLarge(_)
                | SignatureFile::NotDer(_) => false,
            };
            let may_run = facts.uid == 0 || signature.image.path.ends_with("/helper");
            facts.alive
                && facts.holds_socket
                && socket.is_some_and(|socket| socket.uid == facts.uid)
                && signature.uid == Some(facts.uid)
                && process.is_in_our_user_namespace
                && is_signed
                && may_run
                && !signature.image.path.ends_with("/python3")
        });
        prop_assert_eq!(verdict.is_ok(), is_one, "{:?}", verdict);
        match verdict {
            Ok(stranger) => prop_assert_eq!(stranger.pid, examined.process.unwrap().facts.pid),
            Err(refusal) => prop_assert!(!refusal.explanation.why.is_empty() && !refusal.explanation.fix.is_empty()),
        }
    }
}

proptest! {
    #![proptest_config(config(600))]

    #[test]
    fn an_identity_is_held_by_the_registry(steps in vec(step(), 1..40)) {
        let (mut model, mut registry) = (Model::default(), Registry::default());
        for step in &steps {
            model.take(step, &mut registry);
            if let Step::Identify(facts) = step {
                prop_assert!(!model.must_identify(facts) || registry.identify(facts).is_ok());
            }
        }
    }
}
