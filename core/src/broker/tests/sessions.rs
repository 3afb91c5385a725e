//! Sessions, acknowledgements, and the limits of a connection.

use super::*;

/// A client that stays for an hour without a connection.
fn staying(connect: &mut Connect) {
    connect.clean_start = false;
    connect.session_expiry_seconds = 3600;
}

const TWO: QoS = QoS::ExactlyOnce;

fn session_present(story: &Story) -> bool {
    match story.packets().first() {
        Some((_, Outgoing::ConnectAck(acknowledgement))) => acknowledgement.session_present,
        other => panic!("no CONNACK: {other:?}"),
    }
}

/// A writer and a reader whose session outlives its connections.
fn pair() -> Story {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None).admit_with(2, grant(2, &[], &["#"]), staying);
    assert!(!session_present(&story));
    story.subscribe(2, &["a/#"]);
    story
}

#[test]
fn a_session_waits_for_its_client_and_goes_on_where_it_was() {
    let mut story = pair();
    story.publish(1, publication("a/1", "one", ONE)).publish(1, publication("a/2", "two", TWO));
    story.publish(1, publication("a/3", "three", TWO)).acknowledge(2, Step::Rec, 3);
    assert_eq!(story.steps(), vec![(Step::Rel, 3, ReasonCode::Success)]);
    story.lose(2);
    for (payload, qos) in [("four", ONE), ("not kept if the queue says so", QoS::AtMostOnce)] {
        assert!(story.publish(1, publication("a/4", payload, qos)).deliveries().is_empty());
    }
    story.admit_with(3, grant(2, &[], &["#"]), staying);
    assert!(session_present(&story));
    let again: Vec<_> = story.deliveries().into_iter().map(|(_, delivery)| (delivery.packet, delivery.dup)).collect();
    assert_eq!(again, vec![(Some(1), true), (Some(2), true), (Some(4), false), (None, false)]);
    assert_eq!(
        story.steps(),
        vec![(Step::Rel, 3, ReasonCode::Success)],
        "a message that the client has is not sent again"
    );
    for packet in [1, 4] {
        story.acknowledge(3, Step::Ack, packet);
    }
    story.acknowledge(3, Step::Rec, 2).acknowledge(3, Step::Comp, 2).acknowledge(3, Step::Comp, 3);
    assert_eq!(story.broker.ledger.bytes, 0);
    story.lose(3).admit_with(4, grant(2, &[], &["#"]), staying);
    assert!(story.deliveries().is_empty() && story.steps().is_empty(), "everything is finished");
}

#[test]
fn a_session_ends_when_its_time_is_over_or_a_clean_start_asks_for_it() {
    let mut story = pair();
    story.lose(2).pass(3_600_000 - 1);
    story.admit_with(3, grant(2, &[], &["#"]), staying);
    assert!(session_present(&story));
    story.lose(3).pass(3_600_000);
    assert!(story.broker.subscriptions.is_empty() && story.broker.client_ids.len() == 1);
    story.admit_with(4, grant(2, &[], &["#"]), staying);
    assert!(!session_present(&story));
    story.lose(4).admit(5, grant(2, &[], &["#"]), None);
    assert!(!session_present(&story), "a clean start");
    story.lose(5).admit_with(6, grant(2, &[], &["#"]), staying);
    assert!(!session_present(&story), "which asked for a session that ends with its connection");
}

#[test]
fn an_expiry_of_ever_is_cut_and_the_client_is_told() {
    let mut story = quiet();
    story.admit_with(1, grant(1, &[], &[]), |connect| connect.session_expiry_seconds = u32::MAX);
    let Some((_, Outgoing::ConnectAck(acknowledgement))) = story.packets().into_iter().next() else { panic!() };
    assert_eq!(acknowledgement.session_expiry_seconds, Some(super::super::SESSION_EXPIRY_SECONDS));
    let goodbye = Incoming::Disconnect { keep_will: false, session_expiry_seconds: Some(0) };
    story.receive(1, goodbye).lose(1);
    assert!(story.broker.sessions.is_empty());
    story.admit(2, grant(1, &[], &[]), None);
    story.receive(2, Incoming::Disconnect { keep_will: false, session_expiry_seconds: Some(5) });
    assert_eq!(
        story.closed(),
        vec![(2, ReasonCode::ProtocolError)],
        "a session that ends at once cannot be made to stay"
    );
}

#[test]
fn a_message_of_qos_2_is_taken_once_over_any_connections() {
    let mut story = quiet();
    story.admit_with(1, grant(1, &["a"], &["a"]), staying).subscribe(1, &["a"]);
    let again = |dup| {
        Incoming::Publish(IncomingPublish {
            packet: Some(7),
            dup,
            alias: None,
            publication: publication("a", "x", TWO),
        })
    };
    assert_eq!(story.receive(1, again(false)).receivers(), vec![1]);
    assert!(story.receive(1, again(true)).deliveries().is_empty());
    assert_eq!(story.steps(), vec![(Step::Rec, 7, ReasonCode::Success)]);
    story.lose(1).admit_with(2, grant(1, &["a"], &["a"]), staying);
    assert!(story.receive(2, again(true)).deliveries().is_empty());
    assert_eq!(story.acknowledge(2, Step::Rel, 7).steps(), vec![(Step::Comp, 7, ReasonCode::Success)]);
    assert_eq!(story.acknowledge(2, Step::Rel, 7).steps(), vec![(Step::Comp, 7, ReasonCode::PacketIdentifierNotFound)]);
    assert_eq!(story.receive(2, again(false)).receivers(), vec![2], "the identifier is free again");
}

#[test]
fn a_client_gets_no_more_at_a_time_than_it_takes() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    let two = |connect: &mut Connect| {
        staying(connect);
        connect.receive_maximum = 2;
    };
    story.admit_with(2, grant(2, &[], &["a"]), two).subscribe(2, &["a"]);
    let sent: Vec<_> = (0..5).map(|_| story.publish(1, publication("a", "x", TWO)).deliveries().len()).collect();
    assert_eq!(sent, vec![1, 1, 0, 0, 0]);
    assert!(story.acknowledge(2, Step::Rec, 1).deliveries().is_empty(), "not finished");
    assert_eq!(story.acknowledge(2, Step::Comp, 1).deliveries().len(), 1);
    story.lose(2).admit_with(3, grant(2, &[], &["a"]), |connect| {
        staying(connect);
        connect.receive_maximum = 1;
    });
    assert_eq!(story.deliveries().iter().map(|(_, delivery)| delivery.packet).collect::<Vec<_>>(), vec![Some(2)]);
    story.acknowledge(3, Step::Rec, 2).acknowledge(3, Step::Comp, 2);
    assert_eq!(story.deliveries().iter().map(|(_, delivery)| delivery.dup).collect::<Vec<_>>(), vec![true]);
}

#[test]
fn who_sends_too_much_or_the_wrong_thing_is_closed() {
    let at_once = usize::from(super::super::RECEIVE_MAXIMUM);
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    for _ in 0..at_once {
        assert!(story.publish(1, publication("a", "x", TWO)).closed().is_empty());
    }
    assert_eq!(story.publish(1, publication("a", "x", TWO)).closed(), vec![(1, ReasonCode::ReceiveMaximumExceeded)]);

    let mut confused = pair();
    confused.publish(1, publication("a/1", "x", ONE));
    assert_eq!(confused.acknowledge(2, Step::Rec, 1).closed(), vec![(2, ReasonCode::ProtocolError)]);

    let mut shared = pair();
    let request = SubscribeRequest { no_local: true, ..SubscribeRequest::plain(String::from("$share/g/a"), ONE) };
    assert!(shared.subscribe_with(2, vec![request], None).is_empty());
    assert_eq!(shared.closed(), vec![(2, ReasonCode::ProtocolError)]);
}

#[test]
fn topic_aliases_stand_for_topics_and_not_for_permissions() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &["a"]), None).subscribe(1, &["a"]);
    let aliased = |topic: &str, alias| {
        let publication = publication(topic, "x", QoS::AtMostOnce);
        Incoming::Publish(IncomingPublish { packet: None, dup: false, alias: Some(alias), publication })
    };
    assert_eq!(story.receive(1, aliased("a", 1)).receivers(), vec![1]);
    assert_eq!(story.receive(1, aliased("", 1)).receivers(), vec![1]);
    assert_eq!(story.receive(1, aliased("b", 2)).denials().len(), 1);
    story.pass(1000);
    assert_eq!(story.receive(1, aliased("", 2)).denials().len(), 1, "denied under its alias too");
    for (wrong, reason) in [
        (aliased("", 3), ReasonCode::ProtocolError),
        (aliased("a", 0), ReasonCode::TopicAliasInvalid),
        (aliased("a", super::super::TOPIC_ALIASES + 1), ReasonCode::TopicAliasInvalid),
    ] {
        let mut story = quiet();
        story.admit(1, grant(1, &["a"], &[]), None);
        assert_eq!(story.receive(1, wrong).closed(), vec![(1, reason)]);
    }
}

#[test]
fn a_payload_that_is_not_what_it_claims_is_refused() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &["a"]), None).subscribe(1, &["a"]);
    let text = Some(Box::new(super::super::message::Properties { is_utf8: true, ..Default::default() }));
    let good = Publication { properties: text, ..publication("a", "x", ONE) };
    let bad = Publication { payload: Arc::from(&b"\xFF"[..]), ..good.clone() };
    assert_eq!(story.publish(1, good).receivers(), vec![1]);
    assert_eq!(story.publish(1, bad).outcome(), ReasonCode::PayloadFormatInvalid);
    assert!(story.deliveries().is_empty() && story.denials().len() == 1);
}

#[test]
fn a_silent_client_is_closed_after_one_and_a_half_intervals() {
    let mut story = quiet();
    let ten = |connect: &mut Connect| connect.keep_alive_seconds = 10;
    story.admit_with(1, grant(1, &["a"], &[]), ten).admit(2, grant(2, &[], &[]), None);
    assert!(story.pass(9_000).receive(1, Incoming::Ping).closed().is_empty());
    assert!(story.pass(14_999).closed().is_empty());
    assert_eq!(story.pass(1).closed(), vec![(1, ReasonCode::KeepAliveTimeout)]);
    assert!(story.pass(1_000_000).closed().is_empty(), "0 is no limit");
}

#[test]
fn a_delayed_will_waits_for_its_client() {
    let will = |connect: &mut Connect| {
        staying(connect);
        connect.will = Some(Will { publication: publication("a/will", "dead", ONE), delay_seconds: 5 });
    };
    let lost = || {
        let mut story = quiet();
        story.admit(2, grant(2, &[], &["#"]), None).subscribe(2, &["#"]);
        story.admit_with(1, grant(1, &["a/#"], &[]), will);
        assert!(story.lose(1).deliveries().is_empty());
        story
    };
    let dead = vec![(2, String::from("a/will"), String::from("dead"))];
    let mut story = lost();
    assert!(story.pass(4_999).deliveries().is_empty());
    assert_eq!(story.pass(1).sent(), dead);
    assert!(story.pass(3_600_000).deliveries().is_empty(), "once only");
    let mut back = lost();
    assert!(back.admit_with(3, grant(1, &["a/#"], &[]), staying).deliveries().is_empty());
    assert!(back.pass(10_000).deliveries().is_empty(), "it came back in time");
    assert_eq!(lost().admit(3, grant(1, &["a/#"], &[]), None).sent(), dead, "its session has ended");
    let mut ended = lost();
    assert_eq!(ended.order(BrokerOrder::Revoke { spawn: SpawnId(1) }).sent(), dead, "nobody can come back");
    assert!(ended.broker.sessions.len() == 1);
}

#[test]
fn what_a_member_of_a_group_leaves_goes_to_the_others() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    for number in [2, 3] {
        story.admit_with(number, grant(number, &[], &["a"]), staying).subscribe(number, &["$share/g/a"]);
    }
    let first = story.publish(1, publication("a", "x", ONE)).receivers();
    story.publish(1, publication("a", "y", TWO));
    let (gone, left) = if first == vec![2] { (2, 3) } else { (3, 2) };
    assert!(story.lose(gone).deliveries().is_empty(), "it may come back");
    assert_eq!(story.publish(1, publication("a", "z", ONE)).receivers(), vec![left], "online members first");
    let mut again = story.order(BrokerOrder::Revoke { spawn: SpawnId(gone) }).sent();
    again.retain(|(to, ..)| *to == left);
    assert_eq!(again, vec![(left, String::from("a"), String::from("x"))]);
}

#[test]
fn a_plugin_that_was_started_again_goes_on_with_its_session() {
    let plugin = |spawn: u64| {
        let mut grant = grant(spawn, &[], &["Echo/#"]);
        grant.subject.component = Component::Plugin(PluginId::parse("Echo").unwrap());
        grant.subject.client_id = format!("Echo_{spawn}");
        grant
    };
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None);
    story.admit_with(2, plugin(2), staying).subscribe(2, &["Echo/#"]);
    story.lose(2).order(BrokerOrder::Revoke { spawn: SpawnId(2) });
    for payload in ["one", "two"] {
        story.publish(1, publication("Echo/x", payload, TWO));
    }
    story.admit_with(3, plugin(3), staying);
    assert!(!session_present(&story), "this process has no state of it, and would have to close (MQTT 5.0 3.2.2.1.1)");
    let sent: Vec<_> = story.sent().into_iter().map(|(_, _, payload)| payload).collect();
    assert_eq!(sent, vec!["one", "two"]);
    story.lose(3).admit(4, plugin(4), None);
    assert!(!session_present(&story) && story.broker.sessions.len() == 2, "a clean start leaves nothing behind");
}

#[test]
fn a_session_goes_on_with_the_next_process_of_the_same_user_alone() {
    let plugin = |spawn: u64, user: Option<u32>| {
        let mut grant = grant(spawn, &[], &["Echo/#"]);
        grant.subject.component = Component::Plugin(PluginId::parse("Echo").unwrap());
        // The form without a name looks the same for every user.
        grant.subject.client_id = format!("Echo_{spawn}");
        Grant { user, ..grant }
    };
    for (user, other) in [(Some(1000), Some(2000)), (Some(1000), None), (None, Some(1000))] {
        let mut story = quiet();
        story.admit(1, grant(1, &["#"], &[]), None);
        story.admit_with(2, plugin(2, user), staying).subscribe(2, &["Echo/in"]);
        story.lose(2).publish(1, publication("Echo/in", "for him alone", ONE));
        story.admit_with(3, plugin(3, other), staying);
        assert!(story.deliveries().is_empty(), "{user:?} {other:?}");
        story.admit_with(4, plugin(4, user), staying);
        assert_eq!(story.receivers(), vec![4], "{user:?}");
    }
}

#[test]
fn a_plugin_whose_file_says_so_keeps_its_session_whatever_its_client_asks_for() {
    let plugin = |spawn: u64| {
        let mut grant = grant(spawn, &[], &["Echo/Commands"]);
        grant.subject.component = Component::Plugin(PluginId::parse("Echo").unwrap());
        grant.subject.client_id = format!("Echo_{spawn}");
        let topic = TopicFilter::parse("Echo").unwrap();
        grant.primary = Some(PrimarySubscription { topic, qos: 2, clean_session: false });
        grant
    };
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None).admit(2, plugin(2), None).subscribe(2, &["Echo/Commands"]);
    let first = story.publish(1, publication("Echo", "done", TWO)).deliveries();
    let packet = first[0].1.packet.unwrap();
    story.acknowledge(2, Step::Rec, packet).lose(2).order(BrokerOrder::Revoke { spawn: SpawnId(2) });
    let payloads: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    for (number, payload) in payloads.iter().enumerate() {
        story.publish(1, publication(if number % 2 == 0 { "Echo" } else { "Echo/Commands" }, payload, TWO));
    }
    // MQTT 3.1.1 with Clean Session 1, from another process.
    story.admit_with(3, plugin(3), |connect| connect.version = Version::V311);
    assert!(!session_present(&story), "its client knows of no session");
    let sent: Vec<String> = story.sent().into_iter().map(|(_, _, payload)| payload).collect();
    assert_eq!(sent, payloads, "what was acknowledged is not sent again, and the rest comes in its order");
}

#[test]
fn what_a_returning_client_may_no_longer_have_is_gone() {
    let mut story = pair();
    story.publish(1, publication("a/1", "x", ONE)).lose(2);
    story.publish(1, publication("a/2", "y", ONE));
    story.admit_with(3, grant(2, &[], &["a/2"]), staying);
    assert!(session_present(&story));
    assert_eq!(story.sent(), vec![(3, String::from("a/2"), String::from("y"))]);
    assert_eq!(story.denials().len(), 1, "its subscription is wider than its permissions");
    assert!(story.publish(1, publication("a/2", "z", ONE)).deliveries().is_empty());
}

#[test]
fn retained_messages_come_as_the_client_takes_them() {
    let mut story = Story::new(BrokerSettings { max_queued_messages: 3, ..BrokerSettings::default() });
    story.admit(1, grant(1, &["#"], &[]), None);
    for number in 0..100 {
        story.publish(1, Publication { retain: true, ..publication(&format!("a/{number:02}"), "x", ONE) });
    }
    story.admit_with(2, grant(2, &[], &["#"]), |connect| connect.receive_maximum = 10);
    story.subscribe(2, &["#"]);
    let mut topics: Vec<_> = story.sent().into_iter().map(|(_, topic, _)| topic).collect();
    assert_eq!(topics.len(), 10);
    for packet in 1..=100 {
        topics.extend(story.acknowledge(2, Step::Ack, packet).sent().into_iter().map(|(_, topic, _)| topic));
    }
    assert_eq!(topics, (0..100).map(|number| format!("a/{number:02}")).collect::<Vec<_>>());
    assert!(!story.has(|effect| matches!(effect, BrokerEffect::Report(_))), "none was dropped");
}

#[test]
fn a_message_larger_than_the_client_takes_is_passed_over() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    // 1 + 1 (fixed header) + 3 (topic) + 2 (packet identifier) + 1 (properties) + payload.
    story.admit_with(2, grant(2, &[], &["a"]), |connect| connect.maximum_packet_bytes = Some(13)).subscribe(2, &["a"]);
    assert_eq!(story.publish(1, publication("a", "12345", ONE)).receivers(), vec![2]);
    assert!(story.publish(1, publication("a", "123456", ONE)).deliveries().is_empty());
    assert!(matches!(story.reports().as_slice(), [BrokerReport::Dropped { messages: 1, .. }]));
    assert_eq!(story.publish(1, publication("a", "12345", ONE)).receivers(), vec![2]);
}

#[test]
fn a_client_that_does_not_read_is_sent_no_more_than_the_write_window() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None).admit(2, grant(2, &[], &["a"]), None).subscribe(2, &["a"]);
    let large = "x".repeat(super::super::WRITE_WINDOW_BYTES / 2);
    let mut sent = 0;
    for _ in 0..6 {
        sent += story.publish(1, publication("a", &large, QoS::AtMostOnce)).deliveries().len();
    }
    assert_eq!(sent, 2);
    assert_eq!(story.tell(BrokerEvent::Flushed { connection: ConnectionId(2) }).deliveries().len(), 2);
    assert!(story.has(|effect| matches!(effect, BrokerEffect::AwaitFlush { .. })));
}

#[test]
fn packet_identifiers_go_round_and_are_never_given_twice() {
    let mut story = pair();
    story.publish(1, publication("a/stuck", "x", TWO));
    let mut last = 1;
    for _ in 0..70_000_u32 {
        let Some((_, delivery)) = story.publish(1, publication("a/1", "x", ONE)).deliveries().pop() else { break };
        last = delivery.packet.unwrap();
        assert_ne!(last, 1, "it is in flight");
        story.acknowledge(2, Step::Ack, last).tell(BrokerEvent::Flushed { connection: ConnectionId(2) });
        story.tell(BrokerEvent::Flushed { connection: ConnectionId(1) }).packet = 0;
    }
    assert_eq!(last, u16::MAX, "the next one would be the stuck one's");
    story.acknowledge(2, Step::Rec, 1).acknowledge(2, Step::Comp, 1);
    assert_eq!(story.deliveries().first().map(|(_, delivery)| delivery.packet), Some(Some(1)));
}

#[test]
fn a_shell_that_failed_takes_the_connections_with_it_and_nothing_else() {
    let mut story = pair();
    story.publish(1, Publication { retain: true, ..publication("a/1", "kept", TWO) });
    story.ask(3, "x_T_3", Version::V5, None).tell(BrokerEvent::AllConnectionsLost);
    let ended = |report: &BrokerReport| matches!(report, BrokerReport::Disconnected { .. });
    assert_eq!(story.reports().iter().filter(|report| ended(report)).count(), 2);
    story.admit_with(4, grant(2, &[], &["#"]), staying);
    assert!(session_present(&story));
    assert_eq!(story.sent(), vec![(4, String::from("a/1"), String::from("kept"))]);
    assert_eq!(story.subscribe(4, &["a/1"]), vec![SubscribeOutcome::Granted(TWO)]);
    assert!(story.deliveries().iter().all(|(_, delivery)| delivery.retain) && story.deliveries().len() == 1);
    assert!(story.order(BrokerOrder::Stop).lose(4).has(|effect| matches!(effect, BrokerEffect::Finish)));
}

#[test]
fn nothing_is_kept_for_or_taken_up_by_whom_the_agent_did_not_start() {
    let plugin = |number: u64, spawn| {
        let mut grant = grant(number, &[], &["Echo/#"]);
        grant.subject.component = Component::Plugin(PluginId::parse("Echo").unwrap());
        (grant.subject.spawn, grant.subject.client_id) = (spawn, format!("Echo_{number}"));
        grant
    };
    let mut story = quiet();
    story.admit_with(1, plugin(1, SpawnId(1)), staying).lose(1);
    assert_eq!(story.broker.sessions.len(), 1);
    story.admit_with(2, plugin(2, SpawnId::NONE), staying);
    assert_eq!(story.broker.sessions.len(), 2, "the plugin's session is not for a program of its name");
    story.lose(2);
    assert_eq!(story.broker.sessions.len(), 1, "another process could come under the same number");
}

#[test]
fn a_session_that_waits_is_not_ended_by_whom_the_agent_did_not_start() {
    let plugin = |spawn| {
        let mut grant = grant(1, &[], &["Echo/#"]);
        grant.subject.component = Component::Plugin(PluginId::parse("Echo").unwrap());
        (grant.subject.spawn, grant.subject.client_id) = (spawn, String::from("Echo_100"));
        grant
    };
    let mut program = plugin(SpawnId::NONE);
    program.subject.component = Component::Program(String::from("tool"));
    for stranger in [program, plugin(SpawnId::NONE)] {
        let mut story = quiet();
        story.admit_with(1, plugin(SpawnId(1)), staying).lose(1).admit_with(2, stranger, |_| {});
        let denied = story.reports();
        let [BrokerReport::Denied(denial)] = denied.as_slice() else { panic!("{denied:?}") };
        assert!(denial.explanation.why.contains("left a session"), "{}", denial.explanation);
        story.lose(2).admit_with(3, plugin(SpawnId(1)), staying);
        assert!(session_present(&story), "the number of its process was another's for a while");
    }
}

#[test]
fn a_verdict_for_whom_has_left_is_nothing_to_report() {
    let mut story = quiet();
    story.ask(1, "scan_Tok_1", Version::V5, None);
    assert!(story.lose(1).accept(1, grant(1, &[], &[])).effects.is_empty() && story.broker.sessions.is_empty());
}
