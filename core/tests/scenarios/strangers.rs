//! Programs that the agent did not start: looked at where signers are trusted, and what their signature opens.

use castellan_core::acl::topic::{TopicFilter, TopicName};
use castellan_core::acl::{Decision, Grant};
use castellan_core::effect::{LostOrder, ProcessOrder};
use castellan_core::event::{BrokerReport, Event, ExecutableFacts, ProcessReport};
use castellan_core::id::{ConnectionId, SpawnId, TicketId};
use castellan_core::trust::signature::{ImageFacts, SignatureFacts, SignatureFile};
use castellan_core::trust::{Examination, ExaminedProcess, PeerFacts, ProcessFacts};

use crate::broker::job;
use crate::world::{World, ids, peer, program};

const PID: u32 = 77;
const SIGNERS: &str = r#"{"Settings":{"AlternativeSignatures":
    ["bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"],"AllowedNonAdminExecutables":["tool"]}}"#;
const PLUGIN: &str = r#"{"id":"P","pluginType":"Executable","executablePath":"bin/p","supportedPlatforms":["Linux"],
    "Subscription":{"Topic":"P/in"},"metadata":{"mqttTopics":{"publish":["P/out"],"subscribe":[]}},"autoStart":false}"#;

fn world() -> World {
    World::with(SIGNERS, &[("Jobs/a", &job("a", "")), ("Plugins/P", PLUGIN)])
}

fn signed(path: &str, uid: u32) -> SignatureFacts {
    crate::signed::by_pinned(path, Some(uid), true)
}

/// The peer of a user's process.
fn stranger(uid: u32) -> PeerFacts {
    let mut peer = peer(1, PID);
    for socket in [&mut peer.at_accept, &mut peer.at_decision] {
        socket.as_mut().unwrap().uid = uid;
    }
    peer
}

impl World {
    /// The question that waits, and of which paths it asks whether they are the image's.
    fn asked(&mut self) -> (TicketId, PeerFacts, Vec<String>) {
        match self.looks.pop_front() {
            Some(ProcessOrder::Examine { ticket, peer, paths, signers, .. }) => {
                assert_eq!(signers, ["b".repeat(64)]);
                (ticket, peer, paths)
            }
            other => panic!("{other:?} instead of an examination"),
        }
    }

    /// The answer: a signed program of this user at this path, which is all that is asked for there.
    fn is_signed(&mut self, path: &str, uid: u32) {
        let (ticket, peer, paths) = self.asked();
        let facts = ProcessFacts { pid: PID, session: 1, uid, cgroup: None, holds_socket: true, alive: true };
        let paths = paths.into_iter().filter(|asked| asked == path).collect();
        let signature = signed(path, uid);
        let process = Ok(ExaminedProcess {
            facts,
            is_in_our_user_namespace: true,
            is_in_our_process_namespace: true,
            may_administer: true,
            signature,
            paths,
        });
        self.examined(ticket, peer, process);
    }

    fn examined(&mut self, ticket: TicketId, peer: PeerFacts, process: Result<ExaminedProcess, String>) {
        let found = Box::new(Examination { peer, process });
        self.process(ProcessReport::Examined { ticket, found });
    }

    fn grant(&self) -> &Grant {
        &self.grants[&ConnectionId(1)]
    }
}

#[test]
fn without_signers_nobody_is_looked_at() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.connect(1, "a_T_77", stranger(0));
    world.expect(&["!Denied", "refuse 1 NotAuthorized"]);
    let request = world.stranger("GET", "/api/Jobs", "");
    assert_eq!(world.status(request), Some(403));
    assert!(world.looks.is_empty());
}

#[test]
fn a_signed_program_of_root_has_the_topics_of_whose_file_it_is() {
    for (client_id, path, component, publish, subscribe) in [
        ("a_T_77", "/agent/Jobs/bin/tool/tool", "job:a", "KeeperLogger", None),
        ("P_77", "/agent/Plugins/bin/p", "plugin:P", "P/out", Some("P/in")),
        ("P_77", "/agent/bin/p", "plugin:P", "P/out", Some("P/in")),
    ] {
        let mut world = world();
        world.connect(1, client_id, stranger(0));
        world.expect(&["examine"]);
        world.is_signed(path, 0);
        let subject = &world.grant().subject;
        assert_eq!(
            (subject.component.to_string().as_str(), subject.pid, subject.spawn),
            (component, PID, SpawnId::NONE)
        );
        let grant = world.grant();
        assert!(grant.may_publish(&TopicName::parse(publish).unwrap()), "{client_id}");
        if let Some(filter) = subscribe {
            assert_eq!(grant.decide_subscribe(&TopicFilter::parse(filter).unwrap()), Decision::Allow, "{client_id}");
        }
    }
}

#[test]
fn any_other_signed_program_may_log_and_that_is_all() {
    for (client_id, path, uid) in [
        // Another program, one that anybody finds on the path, a name that nobody has, and a user who can change what he runs.
        ("a_T_77", "/usr/local/bin/tool", 0),
        ("a_T_77", "/usr/bin/tool", 0),
        ("nobody_77", "/usr/bin/tool", 0),
        ("a_T_77", "/agent/Jobs/bin/tool/tool", 1000),
    ] {
        let mut world = world();
        world.connect(1, client_id, stranger(uid));
        world.is_signed(path, uid);
        let grant = world.grant();
        assert_eq!(grant.subject.component.to_string(), "program:tool", "{client_id} {path}");
        assert!(grant.may_publish(&TopicName::parse("KeeperLogger").unwrap()));
        for topic in ["EventMessages", "JobService", "P/out", "KeeperLogger/x", "$SYS/x"] {
            let Decision::Deny(denial) = grant.decide_publish(&TopicName::parse(topic).unwrap()) else {
                panic!("{topic} is allowed");
            };
            assert_eq!(denial.declaration, None, "no line of a file gives it to whoever is signed");
        }
        for filter in ["KeeperLogger", "P/in", "#"] {
            let decision = grant.decide_subscribe(&TopicFilter::parse(filter).unwrap());
            assert!(matches!(decision, Decision::Deny(_)), "{filter}");
        }
        assert!(world.logged("Denied").is_empty());
    }
}

#[test]
fn a_refusal_says_which_step_failed_and_for_whom() {
    let mut world = world();
    world.connect(1, "a_T_77", stranger(0));
    let (ticket, peer, _) = world.asked();
    let facts = ProcessFacts { pid: PID, session: 1, uid: 0, cgroup: None, holds_socket: true, alive: true };
    let file = SignatureFile::Missing("/opt/x.p7s".into());
    let signature = SignatureFacts { file, ..signed("/opt/x", 0) };
    let process = ExaminedProcess {
        facts,
        is_in_our_user_namespace: true,
        is_in_our_process_namespace: true,
        may_administer: true,
        signature,
        paths: vec![],
    };
    world.examined(ticket, peer, Ok(process));
    world.expect(&["examine", "!Denied", "refuse 1 NotAuthorized"]);
    let denial = &world.get("/api/denials")[0];
    assert_eq!((denial["pid"].as_u64(), denial["uid"].as_u64()), (Some(77), Some(0)));
    assert_eq!(denial["executable"], "/opt/x");
    assert!(denial["why"].as_str().unwrap().contains("There is no signature at /opt/x.p7s."), "{denial}");
    assert!(denial["fix"].as_str().unwrap().contains("castellan sign"), "{denial}");
    assert!(world.logged("Denied")[0].contains("/opt/x"));
}

#[test]
fn a_caller_has_the_plugin_tier_for_as_long_as_its_verdict_holds() {
    let mut world = world();
    let first = world.stranger("GET", "/api/PluginSettings/KeeperPrivilegeManager", "");
    assert_eq!(world.status(first), None, "its program is looked at first");
    world.is_signed("/usr/bin/tool", 0);
    assert_eq!(world.status(first), Some(200));
    let second = world.stranger("GET", "/api/Jobs", "");
    assert_eq!(world.status(second), Some(200), "on the same connection at once");
    let admin = world.stranger("DELETE", "/api/Jobs/a", "");
    assert_eq!(world.status(admin), Some(403), "a signature makes no administrator");
    world.millis += 10_000;
    let later = world.stranger("GET", "/api/Jobs", "");
    assert_eq!(world.status(later), None);
    let (ticket, peer, _) = world.asked();
    world.examined(ticket, peer, Err("It has ended.".into()));
    assert_eq!(world.status(later), Some(403));
    assert!(world.body(later)["detail"].as_str().unwrap().contains("It has ended."));
}

#[test]
fn nobody_is_looked_at_for_what_a_signature_does_not_open() {
    let mut world = world();
    for (method, target, status) in [
        ("GET", "/health", 200),
        ("DELETE", "/api/Jobs/a", 403),
        ("GET", "/api/denials", 403),
        ("GET", "/nothing", 404),
    ] {
        let request = world.stranger(method, target, "");
        assert_eq!(world.status(request), Some(status), "{method} {target}");
    }
    world.connect(1, "a_T_77", PeerFacts { at_decision: None, ..stranger(0) });
    world.connect_with(1, "@admin_77", stranger(0), Some("revoked"));
    assert!(world.looks.is_empty());
}

#[test]
fn what_the_agent_started_needs_no_signature_and_claims_no_others_process() {
    let mut world = world();
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.started(1);
    let (pid, cgroup) = ids(1);
    world.transcript.clear();
    world.connect(1, &format!("a_T_{pid}"), peer(cgroup, pid));
    world.expect(&["accept 1 +3 -0"]);
    let mut other = peer(cgroup, pid);
    other.claimed.as_mut().unwrap().holds_socket = false;
    world.connect(2, &format!("a_T_{pid}"), other);
    world.expect(&["!Denied", "refuse 2 ClientIdentifierNotValid"]);
}

#[test]
fn a_user_who_asks_too_often_is_told_so_and_others_are_heard() {
    let mut world = world();
    for connection in 1..=6 {
        world.connect(connection, "a_T_77", stranger(1000));
    }
    world.expect(&["examine", "examine", "examine", "examine", "examine", "!Denied", "refuse 6 NotAuthorized"]);
    assert!(world.logged("Denied")[0].contains("5 times within the last second"));
    world.connect(7, "a_T_77", stranger(1001));
    world.expect(&["examine"]);
    world.millis += 1000;
    world.connect(8, "a_T_77", stranger(1000));
    world.expect(&["examine"]);
}

#[test]
fn no_more_wait_than_are_looked_at_in_a_while() {
    let mut world = world();
    for connection in 1..=17 {
        world.connect(connection, "a_T_77", stranger(u32::try_from(connection).unwrap()));
    }
    assert_eq!(world.looks.len(), 16);
    assert!(world.logged("Denied")[0].contains("16 programs"));
}

#[test]
fn root_is_heard_whatever_other_users_ask_for() {
    let mut world = world();
    for connection in 1..=30 {
        world.connect(connection, "a_T_77", stranger(1000 + u32::try_from(connection).unwrap()));
    }
    assert_eq!(world.looks.len(), 16);
    world.transcript.clear();
    world.connect(31, "a_T_77", stranger(0));
    world.expect(&["examine"]);
}

#[test]
fn what_a_stranger_named_its_file_stays_one_line_of_the_record() {
    let mut world = world();
    let path = format!("/tmp/x\n\u{1b}[2J{}", "y".repeat(4000));
    let mut peer = stranger(0);
    peer.claimed_executable = Some(path.clone());
    world.connect(1, "a_T_77", peer);
    let (ticket, peer, _) = world.asked();
    let facts = ProcessFacts { pid: PID, session: 1, uid: 0, cgroup: None, holds_socket: true, alive: true };
    let signature = SignatureFacts { file: SignatureFile::Missing("x.p7s".into()), ..signed(&path, 0) };
    let process = ExaminedProcess {
        facts,
        is_in_our_user_namespace: true,
        is_in_our_process_namespace: true,
        may_administer: true,
        signature,
        paths: vec![],
    };
    world.examined(ticket, peer, Ok(process));
    let denial = &world.get("/api/denials")[0];
    for text in ["executable", "what", "why"].map(|key| denial[key].as_str().unwrap()) {
        assert!(text.chars().count() <= 1025 && !text.contains(char::is_control), "{text:?}");
    }
}

#[test]
fn an_order_that_is_lost_is_answered() {
    let mut world = world();
    world.connect(1, "a_T_77", stranger(0));
    let request = world.stranger("GET", "/api/Jobs", "");
    for _ in 0..2 {
        let (ticket, ..) = world.asked();
        world.tell(Event::Lost { order: LostOrder::Examine(ticket), why: "the queue is full".into() });
    }
    assert_eq!(world.status(request), Some(403));
    assert!(world.transcript.contains(&"refuse 1 NotAuthorized".to_owned()), "{:?}", world.transcript);
    let denial =
        world.get("/api/denials").as_array().unwrap().iter().find(|denial| denial["action"] == "connect").cloned();
    assert_eq!(denial.unwrap()["uid"], 0, "the record knows whose it was");
    world.quiet();
}

#[test]
fn an_agent_that_stops_answers_whoever_waits() {
    let mut world = world();
    world.connect(1, "a_T_77", stranger(0));
    let request = world.stranger("GET", "/api/Jobs", "");
    world.tell(Event::StopRequested("SIGTERM".into()));
    world.tell(Event::Broker(BrokerReport::Stopped));
    assert!(world.exited);
    assert_eq!(world.status(request), Some(503));
}

#[test]
fn a_caller_may_name_its_process_and_must_name_one() {
    let mut world = world();
    let named = world.stranger_with("GET", "/api/Jobs", &[("x-keeper-pid", "4711")]);
    assert_eq!(world.status(named), None);
    assert_eq!(world.asked().1.claimed_pid, Some(4711));
    for odd in ["0", "-1", "007", "", "4194305", "x"] {
        let request = world.stranger_with("GET", "/api/Jobs", &[("x-keeper-pid", odd)]);
        assert_eq!(world.status(request), Some(403), "{odd}");
        assert!(world.body(request)["detail"].as_str().unwrap().contains("X-Keeper-Pid"), "{odd}");
    }
}

/// The plugin's process is prepared with these facts about its file's signature; what the agent does then.
fn prepared(settings: &str, signature: Option<Result<Box<SignatureFacts>, String>>) -> (World, String) {
    let mut world = World::with(settings, &[("Plugins/P", &PLUGIN.replace("false", "true"))]);
    let (pid, cgroup) = ids(1);
    world.transcript.clear();
    let executable = ExecutableFacts { signature, ..program("/agent/Plugins/bin/p") };
    world.process(ProcessReport::Prepared { spawn: SpawnId(1), pid, cgroup: Some(cgroup), executable, user: None });
    let answer = world.transcript.join(" ");
    (world, answer)
}

#[test]
fn a_plugin_is_signed_where_signers_are_trusted() {
    let path = "/agent/Plugins/bin/p";
    let script = || {
        let facts = signed(path, 0);
        let image = ImageFacts { is_binary: false, ..facts.image.clone() };
        SignatureFacts { image, uid: None, ..facts }
    };
    for good in [SignatureFacts { uid: None, ..signed(path, 0) }, script()] {
        let (world, answer) = prepared(SIGNERS, Some(Ok(Box::new(good))));
        assert_eq!(answer, "release 1");
        assert_eq!(world.spawns[&SpawnId(1)].program.signers, ["b".repeat(64)]);
    }
    let unsigned = SignatureFacts { file: SignatureFile::Missing("/agent/Plugins/bin/p.p7s".into()), ..script() };
    for (signature, why) in [
        (Some(Ok(Box::new(unsigned))), "There is no signature at /agent/Plugins/bin/p.p7s."),
        (Some(Err("it is gone".into())), "cannot be read: it is gone."),
        (None, "was not looked at."),
    ] {
        let (world, answer) = prepared(SIGNERS, signature);
        assert_eq!(answer, "abort 1", "{why}");
        assert!(world.aborts[0].contains(why), "{:?}", world.aborts);
    }
    let (world, answer) = prepared("{}", None);
    assert_eq!(answer, "release 1", "nobody asks where no signer is trusted");
    assert!(world.spawns[&SpawnId(1)].program.signers.is_empty());
}

#[test]
fn root_administrates_without_a_certificate_only_if_it_is_root_of_this_machine() {
    let settings = r#"{"Settings":{"AllowElevatedWithoutCertificate":true}}"#;
    let denials = ("GET", "/api/denials");
    let look = |world: &mut World, may_administer| {
        let Some(ProcessOrder::Examine { ticket, peer, signers, .. }) = world.looks.pop_front() else {
            panic!("nothing was to be looked at");
        };
        assert!(signers.is_empty());
        let facts = ProcessFacts { pid: PID, session: 1, uid: 0, cgroup: None, holds_socket: true, alive: true };
        let process = Ok(ExaminedProcess {
            facts,
            is_in_our_user_namespace: true,
            is_in_our_process_namespace: true,
            may_administer,
            signature: signed("/usr/bin/curl", 0),
            paths: vec![],
        });
        world.process(ProcessReport::Examined { ticket, found: Box::new(Examination { peer, process }) });
    };

    let mut world = World::with(settings, &[("Jobs/a", &job("a", ""))]);
    let first = world.stranger(denials.0, denials.1, "");
    assert_eq!(world.status(first), None, "it is looked into first");
    look(&mut world, true);
    assert_eq!(world.status(first), Some(200));
    assert_eq!(world.logged("Administrator").len(), 1);
    let second = world.stranger(denials.0, denials.1, "");
    assert_eq!(world.status(second), Some(200), "its connection is known for a while");
    world.wait(10_001);
    let third = world.stranger(denials.0, denials.1, "");
    assert_eq!(world.status(third), None, "but not for ever");
    look(&mut world, false);
    assert_eq!(world.status(third), Some(403));
    assert!(world.body(third)["detail"].as_str().unwrap().contains("CAP_SYS_ADMIN"), "{}", world.body(third));
    assert_eq!(world.body(third)["tierNeeded"], "Admin");

    world.connect(1, "a_T_77", stranger(0));
    assert!(world.looks.is_empty(), "on the broker root is nobody without a certificate");
    let mut without = World::new(&[]);
    let request = without.stranger(denials.0, denials.1, "");
    assert_eq!((without.status(request), without.looks.len()), (Some(403), 0));
}
