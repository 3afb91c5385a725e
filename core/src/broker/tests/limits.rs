//! What one client can do to itself and to others: bounds, shares, answers that must fit, what a stop leaves behind.

use super::super::message::Properties;
use super::super::{
    OFFLINE_SESSIONS, QUEUED_BYTES, RECEIVE_MAXIMUM, SHELL_FAILURE_SECONDS, SUBSCRIPTIONS_PER_CLIENT,
    WRITE_WINDOW_BYTES,
};
use super::*;
use crate::event::Traced;
use crate::id::RunId;
use crate::limits::TRACED_PUBLISHES;

const TWO: QoS = QoS::ExactlyOnce;

fn staying(connect: &mut Connect) {
    connect.clean_start = false;
    connect.session_expiry_seconds = 3600;
}

fn plugin(spawn: u64, name: &str) -> Grant {
    let mut grant = grant(spawn, &["Echo/#"], &["Echo/#"]);
    grant.subject.component = Component::Plugin(PluginId::parse("Echo").unwrap());
    grant.subject.client_id = format!("{name}_{spawn}");
    grant
}

fn with_properties(publication: Publication, change: impl FnOnce(&mut Properties)) -> Publication {
    let mut properties = Properties::default();
    change(&mut properties);
    Publication { properties: Some(Box::new(properties)), ..publication }
}

fn numbered(packet: u16, publication: Publication) -> Incoming {
    Incoming::Publish(IncomingPublish { packet: Some(packet), dup: false, alias: None, publication })
}

#[test]
fn a_new_process_of_a_plugin_has_packet_identifiers_of_its_own() {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &["#"]), None).subscribe(1, &["Echo/out"]);
    story.admit_with(2, plugin(2, "Echo"), staying).subscribe(2, &["Echo/in"]);
    story.receive(2, numbered(7, publication("Echo/out", "of the first process", TWO)));
    story.publish(1, publication("Echo/in", "not acknowledged", TWO));
    story.publish(1, publication("Echo/in", "received", TWO)).acknowledge(2, Step::Rec, 2);
    story.lose(2).admit_with(3, plugin(3, "Echo"), staying);
    let again: Vec<_> = story.deliveries().into_iter().map(|(_, delivery)| (delivery.packet, delivery.dup)).collect();
    assert_eq!(again, vec![(Some(3), false)], "as a new message, and the one that was received not again");
    assert!(story.steps().is_empty(), "no PUBREL for what this process never had");
    story.receive(3, numbered(7, publication("Echo/out", "of the second process", TWO)));
    assert_eq!(story.receivers(), vec![1], "it is not a repetition of the first process's");
}

#[test]
fn a_plugins_session_is_not_taken_up_for_another_user_or_under_a_wrong_form() {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None);
    story.admit_with(2, plugin(2, "Echo_ann"), staying).subscribe(2, &["Echo/#"]);
    story.lose(2).publish(1, publication("Echo/ann", "for ann", ONE));
    story.admit_with(3, plugin(3, "Echo_bob"), staying);
    assert!(story.deliveries().is_empty());
    let mut wrong = plugin(4, "Echo_Tok");
    wrong.withheld = Some(Explanation::new("No.", "Because.", "Do."));
    story.admit_with(4, Grant { publish: filters(&[]), subscribe: filters(&[]), ..wrong }, staying);
    assert_eq!(story.admit_with(5, plugin(5, "Echo_ann"), staying).receivers(), vec![5]);
}

#[test]
fn messages_of_qos_0_take_no_place_of_the_receive_maximum() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    for _ in 0..RECEIVE_MAXIMUM {
        story.publish(1, publication("a", "x", TWO));
    }
    assert!(story.publish(1, publication("a", "x", QoS::AtMostOnce)).closed().is_empty());
    assert_eq!(story.publish(1, publication("a", "x", ONE)).closed(), vec![(1, ReasonCode::ReceiveMaximumExceeded)]);
}

#[test]
fn who_does_not_come_back_cannot_take_the_room_of_the_others() {
    let mut story = Story::new(BrokerSettings { max_queued_messages: 100_000, ..BrokerSettings::default() });
    story.admit(1, grant(1, &["#"], &[]), None);
    story.admit_with(2, grant(2, &[], &["#"]), staying).subscribe(2, &["big"]);
    story.lose(2);
    for bytes in [1 << 20, 1 << 14, 1 << 8, 0] {
        for _ in 0..70 {
            story.publish(1, publication("big", &"x".repeat(bytes), ONE));
            story.tell(BrokerEvent::Flushed { connection: ConnectionId(1) });
        }
    }
    story.admit_with(3, grant(3, &[], &["#"]), |connect| connect.receive_maximum = 1).subscribe(3, &["small"]);
    for _ in 0..3 {
        assert!(story.publish(1, publication("small", "x", ONE)).closed().is_empty(), "it waits for one PUBACK only");
    }
    assert!(story.broker.ledger.bytes <= QUEUED_BYTES);
}

#[test]
fn properties_count_like_payload() {
    let heavy = |topic: &str| {
        let publication = publication(topic, "x", ONE);
        with_properties(publication, |properties| properties.user = vec![(String::new(), "x".repeat(60_000)); 17])
    };
    let mut story = Story::new(BrokerSettings { max_queued_messages: 100_000, ..BrokerSettings::default() });
    story.admit(1, grant(1, &["#"], &[]), None).admit(2, grant(2, &[], &["#"]), None).subscribe(2, &["a"]);
    assert!(story.publish(1, heavy("a")).has(|effect| matches!(effect, BrokerEffect::AwaitFlush { .. })), "the window");
    story.admit_with(3, grant(3, &[], &["#"]), staying).subscribe(3, &["b"]);
    story.lose(3).publish(1, heavy("b"));
    assert!(story.broker.ledger.bytes > 2_000_000, "the budget: {}", story.broker.ledger.bytes);
    let retained = (0..20).map(|number| Publication { retain: true, ..heavy(&format!("r/{number}")) });
    let refused: usize = retained.map(|publication| story.publish(1, publication).denials().len()).sum();
    assert!(refused > 0, "the store of retained messages");
    let empty = with_properties(publication("b", "", ONE), |properties| {
        properties.user = vec![(String::new(), String::new()); 200_000];
    });
    let before = story.broker.ledger.bytes;
    assert!(story.publish(1, empty).broker.ledger.bytes - before > 200_000 * size_of::<(String, String)>());
}

#[test]
fn wills_count_like_messages_that_wait() {
    let mut story = quiet();
    let large = "x".repeat(1 << 20);
    let mut dropped = 0;
    for number in 1..=100 {
        story.admit(number, grant(number, &["a"], &[]), Some(publication("a", &large, ONE)));
        dropped += story.denials().len();
    }
    assert!((1..100).contains(&dropped), "{dropped}");
    assert!(story.broker.ledger.bytes <= QUEUED_BYTES, "{}", story.broker.ledger.bytes);
    for number in 1..=50 {
        story.leave(number, false);
    }
    for number in 51..=100 {
        story.lose(number);
    }
    assert_eq!(story.broker.ledger.bytes, 0, "published, or forgotten");
}

#[test]
fn a_will_that_no_client_could_be_sent_is_dropped() {
    let mut story = quiet();
    let will = with_properties(publication("a", "x", ONE), |properties| properties.response_topic = Some("#".into()));
    story.admit(1, grant(1, &["a"], &[]), Some(will));
    assert!(matches!(story.denials().as_slice(), [denial] if denial.explanation.what == "The will is dropped."));
    story.admit(2, grant(2, &[], &["a"]), None).subscribe(2, &["a"]);
    assert!(story.lose(1).deliveries().is_empty());
}

#[test]
fn a_reason_is_never_too_long_for_its_packet() {
    let mut story = Story::new(BrokerSettings { visible_denials: true, ..BrokerSettings::default() });
    let topic = "é".repeat(30_000);
    story.admit(1, grant(1, &[], &[]), Some(publication(&topic, "x", ONE)));
    let short = |note: &Option<String>| note.as_ref().is_some_and(|note| note.len() < 65_536);
    assert!(matches!(story.packets().as_slice(), [(_, Outgoing::ConnectAck(answer)), ..] if short(&answer.note)));
    story.publish(1, publication(&topic, "x", ONE));
    assert!(matches!(story.packets().as_slice(), [(_, Outgoing::Acknowledgement { note, .. })] if short(note)));
}

#[test]
fn a_client_that_comes_back_for_smaller_packets_is_not_stuck() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    story.admit_with(2, grant(2, &[], &["a"]), staying).subscribe(2, &["a"]);
    story.publish(1, publication("a", &"x".repeat(1000), ONE)).lose(2);
    story.admit_with(3, grant(2, &[], &["a"]), |connect| {
        staying(connect);
        (connect.maximum_packet_bytes, connect.receive_maximum) = (Some(100), 1);
    });
    assert!(story.deliveries().is_empty());
    assert!(matches!(story.reports().as_slice(), [_, BrokerReport::Dropped { messages: 1, .. }]));
    assert_eq!(story.publish(1, publication("a", "small", ONE)).receivers(), vec![3]);
}

#[test]
fn an_early_acknowledgement_makes_no_place_that_is_not_there() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    story.admit_with(2, grant(2, &[], &["a"]), staying).subscribe(2, &["a"]);
    for _ in 0..3 {
        story.publish(1, publication("a", "x", ONE));
    }
    story.lose(2).admit_with(3, grant(2, &[], &["a"]), |connect| {
        staying(connect);
        connect.receive_maximum = 1;
    });
    assert_eq!(story.deliveries().len(), 1);
    assert!(story.acknowledge(3, Step::Ack, 2).deliveries().is_empty(), "the first still waits");
    assert_eq!(story.acknowledge(3, Step::Ack, 1).deliveries().len(), 1);
}

#[test]
fn a_subscribe_of_thousands_is_refused_in_one_line() {
    let mut story = quiet();
    story.admit(1, grant(1, &[], &["a/#"]), None);
    let many: Vec<_> = (0..10_000).map(|number| format!("a/{number}")).collect();
    let outcomes = story.subscribe(1, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let granted = outcomes.iter().filter(|outcome| matches!(outcome, SubscribeOutcome::Granted(_))).count();
    assert_eq!((outcomes.len(), granted), (10_000, SUBSCRIPTIONS_PER_CLIENT));
    assert!(!story.is_anomaly() && story.denials().len() == 1);
    for _ in 0..100 {
        story.subscribe(1, &["a/new"]);
    }
    assert!(story.denials().is_empty() && !story.is_anomaly(), "and not once for each");
}

#[test]
fn a_failure_of_the_shell_keeps_every_session() {
    let clients = OFFLINE_SESSIONS as u64 + 50;
    let mut story = quiet();
    for number in 1..=clients {
        story.admit_with(number, grant(number, &[], &[]), staying);
    }
    story.tell(BrokerEvent::AllConnectionsLost);
    assert_eq!(story.broker.sessions.len(), clients as usize);
    let clients = clients + 1;
    story.admit_with(clients, grant(clients, &[], &[]), staying).lose(clients);
    assert_eq!(story.broker.sessions.len(), clients as usize, "one more lost connection costs nobody a session");
    story.pass(SHELL_FAILURE_SECONDS * 1000);
    story.admit_with(clients + 1, grant(clients + 1, &[], &[]), staying).lose(clients + 1);
    assert_eq!(story.broker.sessions.len(), OFFLINE_SESSIONS, "whoever has not come back by now");
}

#[test]
fn the_session_that_waited_longest_makes_room() {
    let mut story = quiet();
    story.admit_with(1, grant(1, &[], &[]), staying);
    for number in 2..2 + OFFLINE_SESSIONS as u64 {
        story.admit_with(number, grant(number, &[], &[]), staying).lose(number).pass(1);
    }
    story.lose(1);
    let waiting: Vec<_> = story.broker.sessions.values().map(|session| session.client_id.as_str()).collect();
    assert!(waiting.contains(&"scan_Tok_1") && !waiting.contains(&"scan_Tok_2"), "the first client left last");
    // Who comes back at once costs nobody a place.
    story.admit_with(999, grant(3, &[], &[]), staying);
    story.admit_with(1000, grant(3, &[], &[]), staying).lose(999);
    assert_eq!(story.broker.sessions.len(), OFFLINE_SESSIONS);
}

#[test]
fn nothing_is_reported_after_a_stop() {
    let mut story = quiet();
    story.admit_with(1, grant(1, &["KeeperLogger"], &[]), |connect| {
        staying(connect);
        connect.will = Some(Will { publication: publication("KeeperLogger", "x", ONE), delay_seconds: 1 });
    });
    story.lose(1).order(BrokerOrder::Stop);
    assert_eq!(story.broker.next_deadline(), None);
    assert!(story.pass(3_600_000).effects.is_empty());
    assert!(story.tell(BrokerEvent::AllConnectionsLost).has(|effect| matches!(effect, BrokerEffect::Finish)));
    assert!(story.ask(2, "x_T_2", Version::V5, None).reports().is_empty());
}

#[test]
fn a_full_member_of_a_group_is_passed_over() {
    let mut story = Story::new(BrokerSettings { max_queued_messages: 1, ..BrokerSettings::default() });
    story.admit(1, grant(1, &["a"], &[]), None);
    for number in [2, 3] {
        story.admit_with(number, grant(number, &[], &["a"]), |connect| connect.receive_maximum = 1);
        story.subscribe(number, &["$share/g/a"]);
    }
    let mut taken = vec![];
    for number in 0..20_u16 {
        story.publish(1, publication("a", &number.to_string(), ONE));
        assert!(story.closed().is_empty(), "the other one has room");
        let of_the_fast: Vec<_> = story.deliveries().into_iter().filter(|(to, _)| *to == 3).collect();
        for (_, delivery) in of_the_fast {
            taken.push(delivery.packet);
            story.acknowledge(3, Step::Ack, delivery.packet.unwrap());
        }
    }
    assert_eq!(taken.len(), 18, "all but what the slow one has");
}

#[test]
fn messages_that_are_too_large_are_summed_up() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    story.admit_with(2, grant(2, &[], &["a"]), |connect| connect.maximum_packet_bytes = Some(10)).subscribe(2, &["a"]);
    for _ in 0..50 {
        story.publish(1, publication("a", "too large", ONE));
    }
    let sums = story.pass(1000).reports();
    let is_sum = |denial: &Denial| denial.explanation.what.starts_with("A message on 'a' is not sent");
    assert!(matches!(sums.as_slice(), [BrokerReport::DeniedAgain { denial, more: 49 }] if is_sum(denial)), "{sums:?}");
}

#[test]
fn a_client_that_does_not_read_is_not_called_silent() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    story.admit_with(2, grant(2, &[], &["a"]), |connect| connect.keep_alive_seconds = 1).subscribe(2, &["a"]);
    story.publish(1, publication("a", &"x".repeat(WRITE_WINDOW_BYTES), QoS::AtMostOnce));
    assert!(story.pass(5000).closed().is_empty(), "its PINGREQ waits behind what it has not read");
    story.tell(BrokerEvent::Flushed { connection: ConnectionId(2) });
    assert!(story.pass(1499).closed().is_empty());
    assert_eq!(story.pass(1).closed(), vec![(2, ReasonCode::KeepAliveTimeout)]);
}

#[test]
fn programs_that_the_agent_did_not_start_leave_room_for_all_others() {
    let program = |number: u64| {
        let mut grant = grant(number, &[], &[]);
        let subject = &mut grant.subject;
        (subject.spawn, subject.component) = (SpawnId::NONE, Component::Program("tool".into()));
        grant
    };
    let mut story = quiet();
    let programs = super::super::PROGRAMS as u64;
    for number in 1..=programs {
        assert_eq!(story.admit(number, program(number), None).refusal(), None);
    }
    let refusal = story.admit(programs + 1, program(programs + 1), None).refusal();
    assert_eq!(refusal, Some(ConnectRefusal::ServerUnavailable));
    assert_eq!(story.admit(programs + 2, grant(programs + 2, &[], &[]), None).refusal(), None, "a task");
    assert_eq!(story.lose(1).admit(programs + 3, program(programs + 3), None).refusal(), None, "in place of another");
}

#[test]
fn publishes_of_a_run_are_told_up_to_a_bound_and_then_counted_until_the_client_leaves() {
    let mut story = Story::new(BrokerSettings { traced: true, ..BrokerSettings::default() });
    let mut of_a_run = grant(1, &["x", "KeeperLogger", "EventMessages"], &[]);
    of_a_run.subject.run = Some(RunId::new(1, 1));
    story.admit(1, of_a_run, None).admit(2, grant(2, &["x"], &[]), None);
    let traced = |story: &Story| {
        let reports = story.reports();
        let traced = reports.into_iter().filter_map(|report| match report {
            BrokerReport::Traced { subject, traced } => {
                assert_eq!(subject.client_id, "scan_Tok_1");
                Some(traced)
            }
            _ => None,
        });
        traced.collect::<Vec<_>>()
    };
    let told = |topic: &str, qos| Traced::Publish { topic: topic.to_string(), qos, bytes: 3 };
    for number in 0..TRACED_PUBLISHES + 2 {
        story.publish(1, publication("x", "123", QoS::AtMostOnce));
        let expect = (number < TRACED_PUBLISHES).then(|| told("x", QoS::AtMostOnce));
        assert_eq!(traced(&story), expect.into_iter().collect::<Vec<_>>(), "{number}");
    }
    story.publish(1, publication("KeeperLogger", "123", ONE));
    assert_eq!(traced(&story), [], "a line of the log has its own record");
    story.publish(2, publication("x", "123", ONE));
    assert_eq!(traced(&story), [], "it is of no run");
    // What starts runs is always told, and before it is handed over.
    story.publish(1, publication("EventMessages", "123", ONE));
    assert!(matches!(story.reports().as_slice(), [BrokerReport::Traced { .. }, BrokerReport::Published { .. }]));
    assert_eq!(traced(&story), [told("EventMessages", ONE)]);
    story.lose(1);
    assert_eq!(traced(&story), [Traced::LeftOut(2)]);

    let mut story = quiet();
    let mut of_a_run = grant(1, &["x"], &[]);
    of_a_run.subject.run = Some(RunId::new(1, 1));
    story.admit(1, of_a_run, None).publish(1, publication("x", "123", ONE));
    assert!(story.reports().is_empty(), "nobody asked for it");
}
