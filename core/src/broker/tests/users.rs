//! What users of local brokers got bitten by (docs/conformance.md has the table): limits without magic values, retained messages,
//! takeovers.

use super::super::retained::RETAINED_MESSAGES;
use super::super::{IN_FLIGHT, WRITE_WINDOW_BYTES};
use super::*;

/// A client that stays for an hour without a connection.
fn staying(connect: &mut Connect) {
    connect.clean_start = false;
    connect.session_expiry_seconds = 3600;
}

fn will(payload: &str) -> Option<Will> {
    Some(Will { publication: publication("a/will", payload, ONE), delay_seconds: 0 })
}

fn flushed(number: u64) -> BrokerEvent {
    BrokerEvent::Flushed { connection: ConnectionId(number) }
}

#[test]
fn a_queue_of_0_1_or_the_largest_number_of_messages_is_just_that() {
    for (limit, kept) in [(0, 0), (1, 1), (usize::MAX, 50)] {
        let mut story = Story::new(BrokerSettings { max_queued_messages: limit, ..BrokerSettings::default() });
        story.admit(1, grant(1, &["a"], &[]), None);
        story.admit_with(2, grant(2, &[], &["a"]), staying).subscribe(2, &["a"]);
        assert_eq!(story.publish(1, publication("a", "online", ONE)).receivers(), vec![2], "{limit}: nothing waits");
        story.acknowledge(2, Step::Ack, 1).lose(2);
        for number in 0..50 {
            story.publish(1, publication("a", &format!("{number}"), ONE));
        }
        story.admit_with(3, grant(2, &[], &["a"]), staying);
        let first = story.sent().into_iter().map(|(_, _, payload)| payload).next();
        assert_eq!(first.as_deref(), (kept > 0).then_some("0"), "{limit}: the oldest");
        assert_eq!(story.deliveries().len(), kept, "{limit}");
    }
}

#[test]
fn a_receive_maximum_of_1_or_the_largest_number_is_kept_to() {
    for (receive_maximum, at_once) in [(1, 1), (u16::MAX, IN_FLIGHT)] {
        let mut story = quiet();
        story.admit(1, grant(1, &["a"], &[]), None);
        let change = |connect: &mut Connect| connect.receive_maximum = receive_maximum;
        story.admit_with(2, grant(2, &[], &["a"]), change).subscribe(2, &["a"]);
        let mut sent = 0;
        for _ in 0..at_once + 5 {
            sent += story.publish(1, publication("a", "", ONE)).deliveries().len();
            sent += story.tell(flushed(2)).deliveries().len();
        }
        assert_eq!(sent, at_once);
        assert_eq!(story.acknowledge(2, Step::Ack, 1).deliveries().len(), 1);
    }
}

#[test]
fn the_shortest_and_the_longest_keep_alive_are_kept_to() {
    for (seconds, patience) in [(1, 1_500), (u16::MAX, 98_302_500)] {
        let mut story = quiet();
        story.admit_with(1, grant(1, &[], &[]), |connect| connect.keep_alive_seconds = seconds);
        assert!(story.pass(patience - 1).closed().is_empty(), "{seconds} s");
        assert_eq!(story.pass(1).closed(), vec![(1, ReasonCode::KeepAliveTimeout)], "{seconds} s");
    }
}

#[test]
fn a_stuck_subscriber_holds_nobody_up() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    for number in [2, 3] {
        story.admit(number, grant(number, &[], &["a"]), None).subscribe(number, &["a"]);
    }
    let large = "x".repeat(WRITE_WINDOW_BYTES);
    let mut receivers = Vec::new();
    for _ in 0..20 {
        receivers.extend(story.publish(1, publication("a", &large, QoS::AtMostOnce)).receivers());
        receivers.extend(story.tell(flushed(3)).receivers());
    }
    assert_eq!(receivers.iter().filter(|receiver| **receiver == 3).count(), 20);
    assert_eq!(receivers.iter().filter(|receiver| **receiver == 2).count(), 1, "it reads nothing");
}

#[test]
fn retain_handling_counts_on_a_resumed_session() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    story.publish(1, Publication { retain: true, ..publication("a", "kept", ONE) });
    story.admit_with(2, grant(2, &[], &["a"]), staying).subscribe(2, &["a"]);
    assert_eq!(story.receivers(), vec![2]);
    story.acknowledge(2, Step::Ack, 1).lose(2).admit_with(3, grant(2, &[], &["a"]), staying);
    assert!(story.deliveries().is_empty(), "a reconnect is no SUBSCRIBE");
    for (retain_handling, expect) in
        [(RetainHandling::AtSubscribe, 1), (RetainHandling::AtSubscribeNew, 0), (RetainHandling::No, 0)]
    {
        let request = SubscribeRequest { retain_handling, ..SubscribeRequest::plain(String::from("a"), ONE) };
        story.subscribe_with(3, vec![request], None);
        assert_eq!(story.deliveries().len(), expect, "{retain_handling:?}");
    }
}

#[test]
fn every_retained_message_comes_and_no_more_are_kept_than_there_is_room_for() {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None);
    for number in 0..=RETAINED_MESSAGES {
        story.packet = 0;
        story.publish(1, Publication { retain: true, ..publication(&format!("a/{number:04}"), &"x".repeat(100), ONE) });
        assert_eq!(story.denials().len(), usize::from(number == RETAINED_MESSAGES), "{number}");
        story.tell(flushed(1));
    }
    story.admit(2, grant(2, &[], &["#"]), None);
    let request = SubscribeRequest::plain(String::from("a/+"), QoS::AtMostOnce);
    story.subscribe_with(2, vec![request], None);
    let mut topics = Vec::new();
    loop {
        let sent = story.sent();
        assert!(sent.len() * 100 <= WRITE_WINDOW_BYTES, "no flood: {} at once", sent.len());
        if sent.is_empty() {
            break;
        }
        topics.extend(sent.into_iter().map(|(_, topic, _)| topic));
        story.tell(flushed(2));
    }
    assert_eq!(topics, (0..RETAINED_MESSAGES).map(|number| format!("a/{number:04}")).collect::<Vec<_>>());
}

#[test]
fn a_takeover_sends_the_old_will_once_and_keeps_the_new_one() {
    for version in [Version::V311, Version::V5] {
        let mut story = quiet();
        story.admit(9, grant(9, &[], &["#"]), None).subscribe(9, &["#"]);
        for (number, payload) in [(1, "old"), (2, "new")] {
            story.admit_with(number, grant(1, &["a/#"], &[]), |connect| {
                staying(connect);
                (connect.version, connect.will) = (version, will(payload));
            });
        }
        let sent = |payload: &str| vec![(9, String::from("a/will"), String::from(payload))];
        assert_eq!(story.closed(), vec![(1, ReasonCode::SessionTakenOver)], "{version:?}");
        assert_eq!(story.sent(), sent("old"), "{version:?}");
        assert!(story.lose(1).deliveries().is_empty(), "{version:?}: once");
        assert_eq!(story.lose(2).sent(), sent("new"), "{version:?}");
    }
}

#[test]
fn a_thousand_takeovers_leave_one_session_and_one_subscription() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    story.admit_with(2, grant(2, &[], &["a"]), staying).subscribe(2, &["a"]);
    for number in 3..1003 {
        story.admit_with(number, grant(2, &[], &["a"]), staying);
        assert_eq!(story.closed(), vec![(number - 1, ReasonCode::SessionTakenOver)]);
        assert!(story.lose(number - 1).closed().is_empty());
    }
    assert_eq!((story.broker.sessions.len(), story.broker.connections.len()), (2, 2));
    assert!(story.broker.closing.is_empty() && story.broker.client_ids.len() == 2);
    assert_eq!(story.publish(1, publication("a", "once", ONE)).receivers(), vec![1002]);
}
