//! Administrators on the broker: the certificate decides who comes, the process behind it must be its own.

use castellan_core::acl::topic::{TopicFilter, TopicName};
use castellan_core::acl::{Decision, Grant};
use castellan_core::event::{BrokerReport, Event};
use castellan_core::id::{Component, ConnectionId};
use castellan_core::trust::PeerFacts;

use crate::broker::job;
use crate::world::{ADMIN, World, ids, peer};

const PID: u32 = 77;

fn admitted() -> (World, Grant) {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.connect_with(1, "@admin_77", peer(1, PID), Some(ADMIN));
    world.expect(&["accept 1 +0 -2"]);
    let grant = world.grants[&ConnectionId(1)].clone();
    (world, grant)
}

#[test]
fn a_certificate_on_the_list_may_read_everything_and_publish_nothing() {
    let (_, grant) = admitted();
    assert_eq!(grant.subject.component, Component::Administrator(String::from("client")));
    assert_eq!((grant.subject.pid, &grant.primary, &grant.withheld), (PID, &None, &None));
    for filter in ["#", "+/x", "KeeperLogger", "$SYS/#", "$SYS/broker/uptime"] {
        let decision = grant.decide_subscribe(&TopicFilter::parse(filter).unwrap());
        assert_eq!(decision, Decision::Allow, "{filter}");
    }
    for filter in ["$share/group/#", "$share/group/$SYS/#", "$other/#"] {
        let decision = grant.decide_subscribe(&TopicFilter::parse(filter).unwrap());
        let Decision::Deny(denial) = decision else { panic!("{filter} takes messages away, or is nobody's") };
        assert_eq!((denial.component.as_deref(), denial.declaration), (Some("admin:client"), None));
    }
    for topic in ["a", "KeeperLogger", "$SYS/x"] {
        let decision = grant.decide_publish(&TopicName::parse(topic).unwrap());
        let Decision::Deny(denial) = decision else { panic!("{topic} is published") };
        assert!(denial.explanation.why.contains("'client'"), "{denial:?}");
    }
}

#[test]
fn who_shows_a_certificate_comes_as_an_administrator_or_not_at_all() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.started(1);
    world.transcript.clear();
    let (pid, cgroup) = ids(1);
    let own = || peer(1, PID);
    let mut holding = peer(1, PID);
    holding.claimed.as_mut().unwrap().holds_socket = false;
    let mut dead = peer(1, PID);
    dead.claimed.as_mut().unwrap().alive = false;
    for (client_id, facts, certificate, expect) in [
        ("@admin_77".to_owned(), own(), Some("revoked"), "refuse 1 NotAuthorized"),
        ("@admin_77".to_owned(), own(), None, "refuse 1 NotAuthorized"),
        ("@admin_78".to_owned(), own(), Some(ADMIN), "refuse 1 ClientIdentifierNotValid"),
        ("@admin_77".to_owned(), holding, Some(ADMIN), "refuse 1 ClientIdentifierNotValid"),
        ("@admin_77".to_owned(), dead, Some(ADMIN), "refuse 1 ClientIdentifierNotValid"),
        (
            "@admin_77".to_owned(),
            PeerFacts { claimed: None, ..own() },
            Some(ADMIN),
            "refuse 1 ClientIdentifierNotValid",
        ),
        ("@admin_77".to_owned(), PeerFacts { at_decision: None, ..own() }, Some(ADMIN), "refuse 1 NotAuthorized"),
        (format!("a_T_{pid}"), peer(cgroup, pid), Some(ADMIN), "refuse 1 ClientIdentifierNotValid"),
        (format!("a_T_{pid}"), peer(cgroup, pid), Some("revoked"), "refuse 1 NotAuthorized"),
        (format!("a_T_{pid}"), peer(cgroup, pid), None, "accept 1 +3 -0"),
        (format!("@admin_{pid}"), peer(cgroup, pid), None, "refuse 1 ClientIdentifierNotValid"),
        (format!("@admin_{pid}"), peer(cgroup, pid), Some(ADMIN), "accept 1 +0 -2"),
    ] {
        world.connect_with(1, &client_id, facts, certificate);
        let answer = world.transcript.iter().filter(|line| *line != "!Denied").cloned().collect::<Vec<_>>();
        assert_eq!(answer, [expect], "{client_id} with {certificate:?}");
        world.transcript.clear();
    }
    let denials = world.get("/api/denials");
    let named = |denial: &&serde_json::Value| denial["component"] == "admin:client";
    assert!(denials.as_array().unwrap().iter().filter(named).count() >= 4, "{denials}");
}

#[test]
fn the_log_names_the_certificate() {
    let (mut world, grant) = admitted();
    let subject = grant.subject;
    world.tell(Event::Broker(BrokerReport::Connected { subject: subject.clone() }));
    world.tell(Event::Broker(BrokerReport::Disconnected { subject, reason: String::from("it left") }));
    for category in ["Connected", "Disconnected"] {
        let line = world.logs.iter().find(|line| line.category == category).unwrap();
        assert_eq!(line.component, "admin:client");
        assert!(line.message.starts_with("Administrator 'client' as @admin_77 (pid 77) "), "{}", line.message);
    }
}
