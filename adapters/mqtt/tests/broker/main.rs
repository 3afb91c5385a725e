//! The real broker over TLS, seen by clients nobody here wrote (`rumqttc`, MQTT 3.1.1 and 5.0) and by our own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking, and stands in for the shell"
)]

mod hostile;
mod own_client;
mod packets;
mod statements;
mod support;

use std::sync::mpsc;

use castellan_core::acl::{Action, Denial};
use castellan_core::broker::BrokerSettings;
use castellan_core::effect::BrokerOrder;
use castellan_core::event::BrokerReport;
use castellan_core::id::{Component, JobId, SpawnId};
use support::{Client, House, PATIENCE, Seen, V3, V5, asked, filters, message};

fn denial(house: &House) -> Denial {
    house.report("a denial", |report| match report {
        BrokerReport::Denied(denial) => Some(denial),
        _ => None,
    })
}

fn disconnected(house: &House, client_id: &str) -> String {
    house.report("a disconnect", |report| match report {
        BrokerReport::Disconnected { subject, reason } if subject.client_id == client_id => Some(reason),
        _ => None,
    })
}

/// From one version to the other, at every QoS: what arrives, how it is acknowledged, what the agent hears.
fn allowed_publish<P: Client, S: Client>() {
    let house = House::open();
    let mut subscriber = S::connect(&house, "reader_Tok_1");
    let mut publisher = P::connect(&house, "writer_Tok_2");
    subscriber.subscribe(&["open/+"], 2);
    subscriber.expect(&Seen::Subscribed(vec![2]));
    for (qos, payload) in [(0, "zero"), (1, "one"), (2, "two")] {
        publisher.publish("open/a", qos, false, payload);
        if qos > 0 {
            publisher.expect(&Seen::Acknowledged(0));
        }
        if qos == 2 {
            publisher.expect(&Seen::Completed);
        } else if qos == 0 {
            // rumqttc sends only while it is polled; the next packet's answer shows that this one is out.
            publisher.publish("open-not", 1, false, "");
            publisher.expect(&Seen::Acknowledged(0));
        }
        subscriber.expect(&message("open/a", payload, qos));
    }
    publisher.publish("KeeperLogger", 1, false, "{}");
    publisher.expect(&Seen::Acknowledged(0));
    let (subject, payload) = house.report("a log message", |report| match report {
        BrokerReport::Published { subject, topic, payload, .. } if topic == "KeeperLogger" => Some((subject, payload)),
        _ => None,
    });
    assert_eq!((subject.pid, &*payload), (2, b"{}".as_slice()));
    publisher.leave();
    subscriber.leave();
    house.close();
}

#[test]
fn allowed_publish_3_to_3() {
    allowed_publish::<V3, V3>();
}

#[test]
fn allowed_publish_5_to_5() {
    allowed_publish::<V5, V5>();
}

#[test]
fn allowed_publish_3_to_5() {
    allowed_publish::<V3, V5>();
}

#[test]
fn allowed_publish_5_to_3() {
    allowed_publish::<V5, V3>();
}

fn denied_publish<C: Client>(visible_denials: bool, expect: u8) {
    let house = House::with(BrokerSettings { visible_denials, ..BrokerSettings::default() });
    let mut subscriber = V5::connect(&house, "reader_Tok_1");
    subscriber.subscribe(&["open/#"], 1);
    subscriber.expect(&Seen::Subscribed(vec![1]));
    let mut publisher = C::connect(&house, "writer_Tok_2");
    publisher.publish("closed/a", 1, true, "secret");
    publisher.expect(&Seen::Acknowledged(expect));
    let denial = denial(&house);
    assert_eq!((denial.action, &*denial.target, denial.peer.pid), (Action::Publish, "closed/a", Some(2)));
    let declaration = denial.declaration.unwrap();
    assert_eq!((&*declaration.file, &*declaration.pointer), ("Jobs/writer.json", "/mqttTopics/allowedPublications/-"));
    // The connection stays, and the next message is the first that anybody gets.
    publisher.publish("open/a", 1, false, "fine");
    publisher.expect(&Seen::Acknowledged(0));
    subscriber.expect(&message("open/a", "fine", 1));
    house.close();
}

#[test]
fn a_denied_publish_reaches_nobody_and_the_connection_stays() {
    denied_publish::<V3>(false, 0);
    denied_publish::<V5>(false, 0);
}

#[test]
fn a_denied_publish_can_be_visible_in_5() {
    denied_publish::<V5>(true, 0x87);
    denied_publish::<V3>(true, 0);
}

#[test]
fn a_denied_subscription_leaves_the_others_alone() {
    fn check<C: Client>(denied: u8) {
        let house = House::open();
        let mut client = C::connect(&house, "reader_Tok_1");
        client.subscribe(&["closed/a", "open/a", "#", "$share/g/KeeperLogger"], 1);
        client.expect(&Seen::Subscribed(vec![denied, 1, denied, denied]));
        assert_eq!(denial(&house).target, "closed/a");
        house.order(BrokerOrder::Publish { topic: "closed/a".into(), payload: b"no".to_vec(), qos: 1, retain: false });
        house.order(BrokerOrder::Publish { topic: "open/a".into(), payload: b"yes".to_vec(), qos: 1, retain: false });
        client.expect(&message("open/a", "yes", 1));
        house.close();
    }
    check::<V3>(0x80);
    check::<V5>(0x87);
}

#[test]
fn refused_connections_are_told_why() {
    fn check<C: Client>(client_id: &str, code: u8) {
        let house = House::open();
        C::dial(&house, client_id).expect(&Seen::Refused(code));
        house.close();
    }
    check::<V3>("stranger_Tok_1", 5);
    check::<V5>("stranger_Tok_1", 0x87);
    check::<V3>("impostor_Tok_1", 2);
    check::<V5>("impostor_Tok_1", 0x85);
}

#[test]
fn a_connect_that_nobody_answers_is_refused() {
    let house = House::open();
    let mut client = V5::dial(&house, "ignored_Tok_1");
    client.expect(&Seen::Refused(0x88));
    assert_eq!(asked(&house).1, "ignored_Tok_1");
    house.close();
}

#[test]
fn revocation_closes_the_connections_of_that_process_only() {
    fn check<C: Client>(expect: Seen) {
        let house = House::open();
        let mut revoked = C::connect(&house, "reader_Tok_1");
        let mut other = C::connect(&house, "reader_Tok_2");
        house.order(BrokerOrder::Revoke { spawn: SpawnId(1) });
        revoked.expect(&expect);
        assert!(disconnected(&house, "reader_Tok_1").contains("no longer trusted"));
        other.subscribe(&["open/a"], 1);
        other.expect(&Seen::Subscribed(vec![1]));
        house.close();
    }
    check::<V3>(Seen::Closed);
    check::<V5>(Seen::Disconnected(0x87));
}

#[test]
fn a_stop_tells_everybody_and_ends_every_thread() {
    let house = House::open();
    let mut three = V3::connect(&house, "reader_Tok_1");
    let mut five = V5::connect(&house, "reader_Tok_2");
    house.close();
    three.expect(&Seen::Closed);
    five.expect(&Seen::Disconnected(0x8B));
}

#[test]
fn a_stop_does_not_wait_for_a_disk_that_hangs() {
    let (writes, writing) = mpsc::channel();
    let (disk, hangs) = mpsc::channel::<()>();
    let keep = move |_: &_| {
        writes.send(()).unwrap();
        hangs.recv().map_err(|error| error.to_string())
    };
    let house = House::keeping(BrokerSettings::default(), Box::new(keep));
    house.order(BrokerOrder::Publish { topic: "open/a".into(), payload: b"x".to_vec(), qos: 1, retain: true });
    writing.recv_timeout(PATIENCE).unwrap();
    let (end, ended) = mpsc::channel();
    let stop = std::thread::spawn(move || {
        house.close();
        end.send(()).unwrap();
    });
    ended.recv_timeout(PATIENCE).expect("the broker ends although its last batch is not written");
    stop.join().unwrap();
    drop(disk);
}

#[test]
fn without_the_agent_the_broker_stops() {
    let house = House::open();
    let mut client = V5::connect(&house, "reader_Tok_1");
    let agent = house.abandon();
    client.publish("KeeperLogger", 1, false, "{}");
    // Whether the message is still acknowledged depends on when the broker notices.
    let end = loop {
        match client.see() {
            Seen::Acknowledged(0) | Seen::Other => {}
            seen => break seen,
        }
    };
    assert_eq!(end, Seen::Disconnected(0x8B));
    agent.join().unwrap();
}

#[test]
fn the_same_process_takes_its_client_id_over() {
    let house = House::open();
    let mut former = V5::connect(&house, "reader_Tok_1");
    let _second = V5::connect(&house, "reader_Tok_1");
    former.expect(&Seen::Disconnected(0x8E));
    assert!(disconnected(&house, "reader_Tok_1").contains("again"));
    house.close();
}

#[test]
fn retained_messages_come_at_subscribe_and_an_empty_one_deletes() {
    let house = House::open();
    let mut writer = V5::connect(&house, "writer_Tok_1");
    writer.publish("open/kept", 1, true, "kept");
    writer.expect(&Seen::Acknowledged(0));
    let mut reader = V3::connect(&house, "reader_Tok_2");
    reader.subscribe(&["open/#"], 1);
    reader.expect(&Seen::Subscribed(vec![1]));
    let kept = Seen::Message { topic: "open/kept".into(), payload: "kept".into(), qos: 1, retain: true };
    reader.expect(&kept);
    writer.publish("open/kept", 1, true, "");
    writer.expect(&Seen::Acknowledged(0));
    reader.expect(&message("open/kept", "", 1));
    let mut late = V5::connect(&house, "reader_Tok_3");
    late.subscribe(&["open/#"], 1);
    late.expect(&Seen::Subscribed(vec![1]));
    writer.publish("open/next", 1, false, "next");
    writer.expect(&Seen::Acknowledged(0));
    late.expect(&message("open/next", "next", 1));
    house.close();
}

#[test]
fn a_will_is_published_for_a_lost_connection_only() {
    fn check<C: Client>() {
        let house = House::open();
        let mut reader = V5::connect(&house, "reader_Tok_1");
        reader.subscribe(&["open/#"], 1);
        reader.expect(&Seen::Subscribed(vec![1]));
        let mut polite = C::dial_with_will(&house, "writer_Tok_2", "open/polite");
        polite.expect(&Seen::Connected);
        polite.leave();
        polite.expect(&Seen::Closed);
        assert!(disconnected(&house, "writer_Tok_2").contains("DISCONNECT"));
        let mut rude = C::dial_with_will(&house, "writer_Tok_3", "open/rude");
        rude.expect(&Seen::Connected);
        drop(rude);
        reader.expect(&message("open/rude", "will", 1));
        house.close();
    }
    check::<V3>();
    check::<V5>();
}

#[test]
fn a_will_on_an_undeclared_topic_is_denied_at_connect() {
    let house = House::open();
    let mut client = V5::dial_with_will(&house, "writer_Tok_1", "closed/will");
    client.expect(&Seen::Connected);
    let denial = denial(&house);
    assert_eq!(denial.target, "closed/will");
    assert!(denial.explanation.what.contains("will"), "{}", denial.explanation);
    house.close();
}

#[test]
fn new_permissions_hold_at_once() {
    let house = House::open();
    let mut client = V5::connect(&house, "reader_Tok_1");
    client.subscribe(&["open/a"], 1);
    client.expect(&Seen::Subscribed(vec![1]));
    house.order(BrokerOrder::Regrant {
        component: Component::Job(JobId::parse("reader").unwrap()),
        publish: filters(&["open/b"]),
        subscribe: filters(&["open/b"]),
        primary: None,
    });
    assert_eq!(denial(&house).target, "open/a");
    client.subscribe(&["open/a", "open/b"], 1);
    client.expect(&Seen::Subscribed(vec![0x87, 1]));
    for topic in ["open/a", "open/b"] {
        house.order(BrokerOrder::Publish { topic: topic.into(), payload: b"x".to_vec(), qos: 0, retain: false });
    }
    client.expect(&message("open/b", "x", 0));
    house.close();
}

#[test]
fn many_messages_arrive_in_order() {
    let house = House::open();
    let mut reader = V5::connect(&house, "reader_Tok_1");
    reader.subscribe(&["open/#"], 1);
    reader.expect(&Seen::Subscribed(vec![1]));
    for number in 0..500_u32 {
        let payload = number.to_string().into_bytes();
        house.order(BrokerOrder::Publish { topic: "open/n".into(), payload, qos: 1, retain: false });
    }
    for number in 0..500_u32 {
        reader.expect(&message("open/n", &number.to_string(), 1));
    }
    house.close();
}
