//! Grants: what is allowed, and that each denial names the line that would have allowed it.

use alloc::string::String;
use std::vec::Vec;

use crate::acl::topic::{TopicFilter, TopicName};
use crate::acl::{Decision, Denial, Grant, PrimarySubscription, Subject};
use crate::id::{Component, JobId, PluginId, SpawnId};
use crate::why::Explanation;

fn filters(list: &[&str]) -> Vec<TopicFilter> {
    list.iter().map(|text| TopicFilter::parse(text).unwrap()).collect()
}

fn grant(component: Component, publish: &[&str], subscribe: &[&str]) -> Grant {
    let client_id = String::from("x_Tok_7");
    let subject = Subject { component, run: None, spawn: SpawnId(1), pid: 7, client_id };
    Grant {
        subject,
        publish: filters(publish).into(),
        subscribe: filters(subscribe).into(),
        primary: None,
        user: None,
        withheld: None,
    }
}

fn job() -> Component {
    Component::Job(JobId::parse("scan").unwrap())
}

fn publish(grant: &Grant, topic: &str) -> Option<Denial> {
    denial(grant.decide_publish(&TopicName::parse(topic).unwrap()))
}

fn subscribe(grant: &Grant, filter: &str) -> Option<Denial> {
    denial(grant.decide_subscribe(&TopicFilter::parse(filter).unwrap()))
}

fn denial(decision: Decision) -> Option<Denial> {
    match decision {
        Decision::Allow => None,
        Decision::Deny(denial) => Some(*denial),
    }
}

#[test]
fn only_what_is_declared_is_allowed() {
    let grant = grant(job(), &["KeeperLogger", "out/+", "#"][..2], &["in/#"]);
    for topic in ["KeeperLogger", "out/a"] {
        assert_eq!(publish(&grant, topic), None);
    }
    for topic in ["KeeperLogger/x", "keeperlogger", "KeeperLogger/", "/KeeperLogger", "out", "out/a/b", "in/a"] {
        assert!(publish(&grant, topic).is_some(), "{topic}");
    }
    for filter in ["in/#", "in/a", "in/+/b", "in", "$share/g/in/a"] {
        assert_eq!(subscribe(&grant, filter), None);
    }
    for filter in ["#", "+", "+/+", "$SYS/#", "out/a", "$share/g/KeeperLogger", "+/a"] {
        assert!(subscribe(&grant, filter).is_some(), "{filter}");
    }
}

#[test]
fn a_denial_names_its_declaration() {
    let check = |component: Component, pointers: [&str; 2], file: &str| {
        let grant = grant(component, &[], &[]);
        for (denial, pointer) in [publish(&grant, "a/b"), subscribe(&grant, "a/b")].into_iter().zip(pointers) {
            let denial = denial.unwrap();
            let declaration = denial.declaration.unwrap();
            assert_eq!((&*declaration.file, &*declaration.pointer, &*declaration.value), (file, pointer, "a/b"));
            assert!(denial.explanation.fix.contains(pointer.trim_end_matches("/-")), "{}", denial.explanation);
            assert_eq!((denial.peer.pid, denial.client_id.as_deref()), (Some(7), Some("x_Tok_7")));
        }
    };
    check(job(), ["/mqttTopics/allowedPublications/-", "/mqttTopics/allowedSubscriptions/-"], "Jobs/scan.json");
    let plugin = Component::Plugin(PluginId::parse("Echo").unwrap());
    check(plugin, ["/metadata/mqttTopics/publish/-", "/metadata/mqttTopics/subscribe/-"], "Plugins/Echo.json");
}

#[test]
fn a_shared_subscription_is_declared_by_its_inner_filter() {
    let denial = subscribe(&grant(job(), &[], &[]), "$share/g/a/b").unwrap();
    assert_eq!(denial.declaration.unwrap().value, "a/b");
}

#[test]
fn the_primary_subscription_is_always_allowed() {
    let mut grant = grant(Component::Plugin(PluginId::parse("Echo").unwrap()), &[], &[]);
    assert!(subscribe(&grant, "Echo").is_some());
    let topic = TopicFilter::parse("Echo").unwrap();
    grant.primary = Some(PrimarySubscription { topic, qos: 2, clean_session: true });
    assert_eq!(subscribe(&grant, "Echo"), None);
    assert!(subscribe(&grant, "Echo/#").is_some());
    assert!(publish(&grant, "Echo").is_some());
}

#[test]
fn system_topics_are_nobodys() {
    let grant = grant(job(), &["$SYS/#"], &["$SYS/#"]);
    assert_eq!(publish(&grant, "$SYS/x").unwrap().declaration, None);
    assert_eq!(subscribe(&grant, "$SYS/#").unwrap().declaration, None);
}

#[test]
fn a_withheld_grant_says_so() {
    let mut grant = grant(job(), &[], &[]);
    grant.withheld = Some(Explanation::new("Connected without any permission.", "Wrong form.", "Use the triple."));
    let denial = publish(&grant, "KeeperLogger").unwrap();
    assert_eq!(denial.declaration, None);
    assert!(denial.explanation.why.contains("Wrong form.") && denial.explanation.fix == "Use the triple.");
}
