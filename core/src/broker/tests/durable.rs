//! What survives the agent: batches, acknowledgements that wait for them, a start that takes up what the last one left.

use super::super::journal::JOURNAL_BYTES;
use super::super::retained::RETAINED_MESSAGES;
use super::super::{
    IN_FLIGHT, RECEIVE_MAXIMUM, SAVE_DELAY_MILLIS, SAVE_PATIENCE_MILLIS, SAVE_RETRY_MILLIS, UNSAVED_ACKNOWLEDGEMENTS,
};
use super::*;

const TWO: QoS = QoS::ExactlyOnce;
const HOUR: u32 = 3600;

fn plugin(spawn: u64, publish: &[&str], subscribe: &[&str]) -> Grant {
    let mut grant = grant(spawn, publish, subscribe);
    grant.subject.component = Component::Plugin(PluginId::parse("Echo").unwrap());
    grant.subject.client_id = format!("Echo_{spawn}");
    grant
}

fn staying(connect: &mut Connect) {
    connect.clean_start = false;
    connect.session_expiry_seconds = HOUR;
}

/// A job that writes and a plugin that reads `a/#` and keeps its session.
fn pair() -> Story {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None).admit_with(2, plugin(2, &[], &["a/#"]), staying);
    story.subscribe(2, &["a/#"]);
    story
}

impl Story {
    /// The agent was killed; another one starts after this many milliseconds with what is on disk.
    fn restart(&mut self, millis: u64) -> &mut Self {
        self.now += millis;
        let (broker, effects) = Broker::restore(BrokerSettings::default(), self.clocks(), self.disk.stored.clone());
        self.broker = broker;
        self.effects = effects;
        self.disk.waits = None;
        assert!(!self.is_anomaly(), "{:?}", self.effects);
        self.tell(BrokerEvent::AllConnectionsLost)
    }

    fn disk(&mut self, state: DiskState) -> &mut Self {
        self.disk.state = state;
        self
    }

    fn payloads(&self) -> Vec<String> {
        self.sent().into_iter().map(|(_, _, payload)| payload).collect()
    }

    /// The disk answers what it was asked.
    fn answer(&mut self, state: DiskState) -> &mut Self {
        self.disk.state = state;
        self.effects.clear();
        self.save();
        self
    }
}

fn retained(topic: &str, payload: &str, qos: QoS) -> Publication {
    Publication { retain: true, ..publication(topic, payload, qos) }
}

#[test]
fn a_plugins_session_and_its_messages_survive_the_agent() {
    let mut story = pair();
    story.lose(2);
    for (payload, qos) in [("one", ONE), ("lost", QoS::AtMostOnce), ("two", TWO)] {
        story.publish(1, publication("a/1", payload, qos));
    }
    story.restart(1000).admit_with(3, plugin(3, &[], &["a/#"]), staying);
    assert_eq!(story.payloads(), vec!["one", "two"], "in their order; QoS 0 is not kept");
    assert!(story.deliveries().iter().all(|(_, delivery)| !delivery.dup), "another process has another session state");
    story.admit(4, grant(4, &["#"], &[]), None).publish(4, publication("a/2", "three", ONE));
    assert_eq!(story.payloads(), vec!["three"], "its subscription is there");
}

#[test]
fn what_was_acknowledged_does_not_come_again() {
    let mut story = pair();
    story.publish(1, publication("a/1", "one", ONE)).acknowledge(2, Step::Ack, 1);
    story.publish(1, publication("a/1", "two", TWO)).acknowledge(2, Step::Rec, 2);
    story.pass(SAVE_DELAY_MILLIS).restart(0).admit_with(3, plugin(3, &[], &["a/#"]), staying);
    assert_eq!(story.payloads(), Vec::<String>::new());
    assert_eq!(story.disk.stored.waiting, vec![]);
}

#[test]
fn an_acknowledgement_waits_for_the_disk_and_keeps_its_order() {
    let mut story = pair();
    story.disk(DiskState::Hangs);
    story.publish(1, publication("a/1", "one", ONE));
    assert_eq!(story.payloads(), vec!["one"], "who is there gets it at once");
    assert_eq!(story.steps(), vec![]);
    assert_eq!(story.publish(1, publication("b", "nobody's", ONE)).steps(), vec![], "behind the first");
    assert_eq!(story.publish(1, publication("a/1", "two", TWO)).steps(), vec![]);
    story.answer(DiskState::Works);
    let acknowledged: Vec<_> = story.steps().into_iter().map(|(step, packet, _)| (step, packet)).collect();
    assert_eq!(acknowledged, vec![(Step::Ack, 2), (Step::Ack, 3), (Step::Rec, 4)]);
    assert_eq!(story.disk.stored.waiting.len(), 2);
    assert_eq!(story.broker.next_deadline(), None);
}

#[test]
fn what_came_and_went_while_the_disk_worked_is_acknowledged() {
    let mut story = pair();
    story.disk(DiskState::Hangs).publish(1, publication("a/1", "one", ONE));
    story.publish(1, publication("a/1", "two", ONE)).acknowledge(2, Step::Ack, 2);
    assert_eq!(story.steps(), vec![]);
    story.answer(DiskState::Works);
    assert_eq!(story.steps().len(), 2, "the second one needed no batch");
}

#[test]
fn messages_for_those_who_do_not_stay_wait_for_no_disk() {
    let mut story = quiet();
    story.admit(1, plugin(1, &["#"], &[]), None).admit_with(2, grant(2, &[], &["a"]), staying).subscribe(2, &["a"]);
    story.disk(DiskState::Hangs).publish(1, publication("a", "x", ONE));
    assert_eq!(
        story.steps(),
        vec![(Step::Ack, story.packet, ReasonCode::Success)],
        "a job's session ends with the agent"
    );
    assert!(!story.has(|effect| matches!(effect, BrokerEffect::Save(_))));
}

#[test]
fn a_disk_that_fails_delays_and_loses_nothing() {
    let mut story = pair();
    story.disk(DiskState::Fails).publish(1, publication("a/1", "one", ONE));
    assert_eq!(story.steps(), vec![]);
    assert!(story.is_anomaly());
    assert!(!story.pass(SAVE_RETRY_MILLIS).is_anomaly(), "said once");
    story.publish(1, retained("a/2", "two", ONE)).disk(DiskState::Works);
    assert!(story.pass(SAVE_RETRY_MILLIS).is_anomaly(), "and that it is over");
    assert_eq!(story.steps().len(), 2);
    assert_eq!((story.disk.stored.waiting.len(), story.disk.stored.retained.len()), (2, 1));
    assert_eq!(story.disk.stored.sessions.len(), 1, "the batch after a failure has everything");
}

#[test]
fn a_client_is_not_kept_waiting_for_ever() {
    let mut story = pair();
    story.disk(DiskState::Hangs).publish(1, publication("a/1", "one", TWO));
    story.pass(SAVE_PATIENCE_MILLIS);
    assert_eq!(story.closed(), vec![(1, ReasonCode::ImplementationSpecific)]);
    story.lose(1).admit_with(3, plugin(3, &["#"], &[]), |connect| connect.clean_start = false);
    assert_eq!(story.steps(), vec![]);
}

#[test]
fn who_has_most_acknowledgements_under_way_makes_room_for_the_others() {
    let mut story = quiet();
    for number in 1..=3 {
        story.admit_with(number, grant(number, &["#"], &[]), |connect| connect.version = Version::V311);
    }
    story.disk(DiskState::Hangs);
    let mut publish = |from: u64, packet: usize| {
        let packet = Some(u16::try_from(packet).unwrap());
        let publish = IncomingPublish { packet, dup: false, alias: None, publication: retained("a", "x", ONE) };
        story.receive(from, Incoming::Publish(publish)).closed()
    };
    for packet in 1..=UNSAVED_ACKNOWLEDGEMENTS / 2 {
        assert_eq!((publish(1, packet), packet > 1 && !publish(2, packet - 1).is_empty()), (vec![], false));
    }
    assert_eq!(publish(3, 1), vec![], "exactly as many as may be");
    assert_eq!(publish(3, 2), vec![(1, ReasonCode::QuotaExceeded)]);
    assert_eq!(publish(3, 3), vec![]);
}

#[test]
fn a_copy_of_what_is_not_saved_waits_too() {
    let mut story = quiet();
    story.admit_with(1, plugin(1, &["#"], &["a"]), staying).subscribe(1, &["a"]);
    story.disk(DiskState::Hangs).publish(1, publication("a", "one", TWO));
    let packet = story.packet;
    story.lose(1).admit_with(2, plugin(1, &["#"], &["a"]), staying);
    let copy =
        IncomingPublish { packet: Some(packet), dup: true, alias: None, publication: publication("a", "one", TWO) };
    assert_eq!(story.receive(2, Incoming::Publish(copy)).steps(), vec![]);
    story.answer(DiskState::Works);
    assert_eq!(story.steps(), vec![(Step::Rec, packet, ReasonCode::Success)]);
    assert_eq!(story.disk.stored.waiting.len(), 1, "taken once");
}

#[test]
fn a_client_has_as_many_messages_under_way_as_it_was_told() {
    let mut story = pair();
    story.disk(DiskState::Hangs);
    for _ in 0..RECEIVE_MAXIMUM {
        assert!(story.publish(1, publication("a/1", "x", ONE)).closed().is_empty());
    }
    story.publish(1, publication("a/1", "x", ONE));
    assert_eq!(story.closed(), vec![(1, ReasonCode::ReceiveMaximumExceeded)]);
}

#[test]
fn retained_messages_survive_and_are_written_when_they_have_settled() {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None);
    for number in 0..10 {
        story.publish(1, retained("a", &number.to_string(), QoS::AtMostOnce));
    }
    assert_eq!(story.disk.stored.retained, vec![], "nobody waits for them");
    story.pass(SAVE_DELAY_MILLIS).publish(1, retained("b", "now", ONE));
    assert_eq!(story.steps().len(), 1);
    story.publish(1, retained("gone", "x", ONE)).publish(1, retained("gone", "", ONE));
    story.restart(0).admit(2, grant(2, &[], &["#"]), None).subscribe(2, &["#"]);
    assert_eq!(story.payloads(), vec!["9", "now"]);
}

#[test]
fn time_goes_on_while_the_agent_does_not_run() {
    let mut story = pair();
    story.lose(2);
    for (payload, seconds) in [("short", 10), ("long", 100)] {
        story.publish(1, Publication { expiry_seconds: Some(seconds), ..publication("a/1", payload, ONE) });
        story.publish(1, Publication { expiry_seconds: Some(seconds), ..retained(payload, payload, ONE) });
    }
    story.restart(50_000).admit_with(3, plugin(3, &[], &["a/#"]), staying);
    let left: Vec<_> = story.deliveries().into_iter().map(|(_, delivery)| delivery.expiry_seconds).collect();
    assert_eq!((story.payloads(), left), (vec![String::from("long")], vec![Some(50)]));
    assert_eq!(story.pass(SAVE_DELAY_MILLIS).disk.stored.retained.len(), 1, "what is over is forgotten");
    story.lose(3).pass(SAVE_DELAY_MILLIS).restart(u64::from(HOUR) * 1000).pass(SAVE_DELAY_MILLIS);
    assert_eq!(story.disk.stored, Stored::default(), "and so are sessions and all that waits for them");
}

#[test]
fn a_clock_that_was_set_back_keeps_nothing_longer() {
    let mut story = pair();
    story.pass(10_000_000).lose(2);
    let short = |publication: Publication| Publication { expiry_seconds: Some(10), ..publication };
    story.publish(1, short(publication("a/1", "x", ONE))).publish(1, short(retained("a/1", "x", ONE)));
    story.now = 1000;
    story.restart(0).pass(10_000).admit(4, grant(4, &[], &["#"]), None).subscribe(4, &["#"]);
    assert_eq!(story.payloads(), Vec::<String>::new());
    story.admit_with(3, plugin(3, &[], &["a/#"]), staying);
    assert_eq!(story.payloads(), Vec::<String>::new());
    story.lose(3).pass(u64::from(HOUR) * 1000).pass(SAVE_DELAY_MILLIS);
    assert_eq!(story.disk.stored.sessions, vec![]);
}

#[test]
fn a_session_that_ends_takes_its_messages_from_the_disk() {
    let mut story = pair();
    story.lose(2).publish(1, publication("a/1", "x", ONE));
    assert_eq!((story.disk.stored.sessions.len(), story.disk.stored.waiting.len()), (1, 1));
    story.admit_with(3, plugin(3, &[], &["a/#"]), |connect| connect.clean_start = true);
    story.pass(SAVE_DELAY_MILLIS);
    assert_eq!(story.disk.stored, Stored::default());
    story.admit_with(4, plugin(4, &[], &["a/#"]), staying).subscribe(4, &["a/1"]);
    story.pass(SAVE_DELAY_MILLIS);
    assert_eq!(story.disk.stored.sessions.len(), 1);
    story.receive(4, Incoming::Disconnect { keep_will: false, session_expiry_seconds: Some(0) });
    story.pass(SAVE_DELAY_MILLIS);
    assert_eq!(story.disk.stored, Stored::default(), "its client said so");
}

#[test]
fn permissions_are_those_of_the_new_start() {
    let mut story = pair();
    story.lose(2).publish(1, publication("a/1", "old", ONE)).restart(0);
    story.admit_with(3, plugin(3, &[], &["b"]), staying);
    assert_eq!(story.payloads(), Vec::<String>::new());
    assert_eq!(story.denials().len(), 1, "its subscription ends, and that is on record");
    story.pass(SAVE_DELAY_MILLIS);
    assert_eq!(story.disk.stored.waiting, vec![]);
}

#[test]
fn a_stop_waits_until_everything_is_saved_and_not_longer() {
    for (state, lost) in [(DiskState::Works, false), (DiskState::Hangs, true)] {
        let mut story = pair();
        story.disk(DiskState::Hangs).order(BrokerOrder::Stop).lose(1).lose(2);
        assert!(!story.reports().iter().any(|report| matches!(report, BrokerReport::Stopped)));
        story.answer(state);
        if lost {
            story.pass(STOP_MILLIS);
        }
        assert!(story.reports().iter().any(|report| matches!(report, BrokerReport::Stopped)));
        assert_eq!(story.is_anomaly(), lost);
        let ends = story.disk.stored.sessions.first().and_then(|(_, session)| session.ends_at);
        assert_eq!(ends.is_some(), !lost, "the session counts from the stop");
    }
}

#[test]
fn state_that_is_none_is_left_out_and_said() {
    let mut story = pair();
    story.lose(2).publish(1, publication("a/1", "x", ONE)).publish(1, retained("a/1", "x", ONE));
    let mut stored = story.disk.stored.clone();
    stored.retained[0].topic = String::from("a/#");
    stored.waiting[0].2.message.topic = String::new();
    stored.sessions[0].1.subscriptions[0].filter = String::from("a/#/b");
    let (_, effects) = Broker::restore(BrokerSettings::default(), story.clocks(), stored);
    assert_eq!(effects.len(), 3);
}

#[test]
fn what_was_under_way_comes_back_beside_what_waited() {
    let mut story = pair();
    let all = IN_FLIGHT + 10;
    assert!(all > BrokerSettings::default().max_queued_messages);
    for number in 0..all {
        story.publish(1, publication("a/1", &number.to_string(), ONE));
        if story.has(|effect| matches!(effect, BrokerEffect::AwaitFlush { .. })) {
            story.tell(BrokerEvent::Flushed { connection: ConnectionId(2) });
        }
    }
    assert_eq!(story.disk.stored.waiting.len(), all);
    story.restart(0).pass(SAVE_DELAY_MILLIS);
    assert_eq!(story.disk.stored.waiting.len(), all, "all of it was acknowledged");
}

#[test]
fn what_does_not_fit_any_more_is_said() {
    let mut story = pair();
    story.lose(2).publish(1, publication("a/1", "x", ONE));
    let (session, first, delivery) = story.disk.stored.waiting[0].clone();
    let limit = IN_FLIGHT + BrokerSettings::default().max_queued_messages;
    let more = (1..=u64::try_from(limit).unwrap() + 1).map(|more| (session, first + more, delivery.clone()));
    story.disk.stored.waiting.extend(more);
    let (_, effects) = Broker::restore(BrokerSettings::default(), story.clocks(), story.disk.stored.clone());
    assert!(
        matches!(effects.as_slice(), [BrokerEffect::Report(report)] if matches!(**report, BrokerReport::Dropped { .. })),
        "once for the session: {}",
        effects.len()
    );
}

#[test]
fn retained_messages_that_expired_leave_the_disk_when_they_make_room() {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None);
    for number in 0..RETAINED_MESSAGES {
        let short = Publication { expiry_seconds: Some(1), ..retained(&number.to_string(), "x", QoS::AtMostOnce) };
        story.publish(1, short);
    }
    story.pass(SAVE_DELAY_MILLIS);
    assert_eq!(story.disk.stored.retained.len(), RETAINED_MESSAGES);
    story.publish(1, retained("new", "x", ONE));
    assert_eq!(story.disk.stored.retained.len(), 1);
}

#[test]
fn nothing_to_clear_is_nothing_to_write() {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None).disk(DiskState::Hangs);
    story.publish(1, retained("never/kept", "", ONE));
    assert_eq!(story.steps(), vec![(Step::Ack, story.packet, ReasonCode::Success)]);
}

#[test]
fn a_disk_that_hangs_makes_the_broker_remember_no_more_than_there_is() {
    let mut story = pair();
    story.disk(DiskState::Hangs).publish(1, retained("kept", "x", ONE));
    for number in 0..JOURNAL_BYTES / 60_000 + 2 {
        let topic = format!("{number}/{}", "t".repeat(60_000));
        story.publish(1, retained(&topic, "x", QoS::AtMostOnce)).publish(1, retained(&topic, "", QoS::AtMostOnce));
    }
    story.publish(1, retained("kept", "y", ONE));
    story.answer(DiskState::Works);
    assert_eq!(story.steps().len(), 2, "and everything is saved all the same");
    let topics: Vec<_> = story.disk.stored.retained.iter().map(|message| message.payload.to_vec()).collect();
    assert_eq!((topics, story.disk.stored.sessions.len()), (vec![b"y".to_vec()], 1));
    assert!(story.disk.largest < 10, "the batch has what there is: {}", story.disk.largest);
}

#[test]
fn a_stop_keeps_the_wills_of_who_was_still_there() {
    let mut story = quiet();
    let will = |topic: &str| Some(Will { publication: retained(topic, "offline", ONE), delay_seconds: 0 });
    story.admit_with(1, grant(1, &["#"], &[]), |connect| connect.will = will("job"));
    story.admit_with(2, plugin(2, &["#"], &[]), |connect| {
        staying(connect);
        connect.will = will("plugin").map(|will| Will { delay_seconds: HOUR, ..will });
    });
    story.publish(1, retained("job", "online", ONE)).publish(2, retained("plugin", "online", ONE));
    story.order(BrokerOrder::Stop).lose(1).lose(2);
    assert!(story.reports().iter().any(|report| matches!(report, BrokerReport::Stopped)));
    let kept: Vec<_> = story.disk.stored.retained.iter().map(|message| message.payload.to_vec()).collect();
    assert_eq!(kept, vec![b"offline".to_vec(), b"offline".to_vec()], "the next start says nobody is online");
}

#[test]
fn what_a_member_of_a_group_leaves_at_the_stop_waits_for_one_that_outlives_it() {
    let mut story = quiet();
    story.admit(1, grant(1, &["#"], &[]), None).admit_with(2, plugin(2, &[], &["a"]), staying);
    story.subscribe(2, &["$share/g/a"]);
    story.lose(2);
    for job in 3..=4 {
        story.admit(job, grant(job, &[], &["a"]), None);
        story.subscribe(job, &["$share/g/a"]);
    }
    story.publish(1, publication("a", "x", ONE));
    assert_eq!(story.sent().len(), 1, "a member that is connected comes first");
    story.order(BrokerOrder::Stop);
    assert_eq!(story.payloads(), Vec::<String>::new(), "the other one goes too");
    story.lose(1).lose(3).lose(4);
    assert_eq!(story.disk.stored.waiting.len(), 1);
}
