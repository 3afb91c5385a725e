//! Floods of refusals: each topic is reported once and counted, and nothing is forgotten of what it was.

use super::*;
use crate::config::LogRateLimit;

/// What came in sum: topic, how many more, whether it names a declaration.
fn sums(story: &Story) -> Vec<(String, u64, bool)> {
    let sums = story.reports().into_iter().filter_map(|report| match report {
        BrokerReport::DeniedAgain { denial, more } => Some((denial.target, more, denial.declaration.is_some())),
        _ => None,
    });
    sums.collect()
}

fn flood(story: &mut Story, topic: &str, times: usize) -> usize {
    let publish = |_| story.publish(1, publication(topic, "x", ONE)).denials().len();
    (0..times).map(publish).sum()
}

#[test]
fn a_flood_of_denials_is_summed_up() {
    let mut story = quiet();
    story.admit(1, grant(1, &[], &[]), None);
    assert_eq!(flood(&mut story, "no", 500), 1);
    assert!(sums(story.pass(999)).is_empty(), "the window is not over");
    assert_eq!(sums(story.pass(1)), vec![("no".into(), 499, true)]);
    assert_eq!(story.broker.next_deadline(), None);
    assert_eq!(flood(&mut story, "no", 1), 1, "another window");
}

#[test]
fn a_flood_on_one_topic_hides_no_other() {
    let mut story = quiet();
    story.admit(1, grant(1, &[], &[]), None);
    assert_eq!(flood(&mut story, "no", 100) + flood(&mut story, "neither", 10), 2);
    story.subscribe(1, &["no"]);
    assert_eq!(story.denials().len(), 1, "to subscribe is something else");
    let declared = |list: &[(String, u64, bool)]| list.iter().all(|(_, _, declared)| *declared);
    let found = sums(story.pass(1000));
    assert!(declared(&found));
    assert_eq!(
        found.iter().map(|(topic, more, _)| (topic.as_str(), *more)).collect::<Vec<_>>(),
        [("no", 99), ("neither", 9)]
    );
}

#[test]
fn a_client_of_many_topics_is_remembered_in_bounds() {
    let mut story = quiet();
    story.admit(1, grant(1, &[], &[]), None);
    let reported: usize = (0..1000).map(|number| flood(&mut story, &format!("no/{number}"), 1)).sum();
    assert_eq!(reported, 21, "20 topics, and one for the others");
    assert_eq!(flood(&mut story, &"long".repeat(100), 2), 0);
    assert_eq!(sums(story.pass(1000)), vec![("other topics".into(), 981, false)]);
    let sum = story.denials();
    assert!(sum.is_empty(), "counts are no refusals of their own: {sum:?}");
}

#[test]
fn a_client_that_leaves_takes_no_count_with_it() {
    for session_expiry_seconds in [0, 3600] {
        let mut story = quiet();
        story.admit_with(1, grant(1, &[], &[]), |connect| connect.session_expiry_seconds = session_expiry_seconds);
        flood(&mut story, "no", 3);
        assert_eq!(sums(story.lose(1)), vec![("no".into(), 2, true)]);
    }
}

#[test]
fn visible_denials_give_their_reason_every_time() {
    let mut story = Story::new(BrokerSettings { visible_denials: true, ..BrokerSettings::default() });
    story.admit(1, grant(1, &[], &[]), None);
    for _ in 0..3 {
        story.publish(1, publication("no", "x", ONE));
        let told = |packet: &(u64, Outgoing)| matches!(&packet.1, Outgoing::Acknowledgement { note: Some(note), .. } if note.contains("'no'"));
        assert!(story.packets().iter().any(told) && story.outcome() == ReasonCode::NotAuthorized);
    }
}

#[test]
fn a_refused_connect_is_on_record_before_anybody_is_asked() {
    let mut story = quiet();
    let connect =
        Connect { has_authentication_method: true, ..Connect::plain(Version::V5, String::from("scan_Tok_7")) };
    story.ask_with(1, connect);
    let denials = story.denials();
    let [denial] = denials.as_slice() else { panic!("{denials:?}") };
    assert_eq!((denial.client_id.as_deref(), denial.peer.pid), (Some("scan_Tok_7"), Some(7)));
    assert!(story.reports().len() == 1 && denial.explanation.why.contains("authentication"));
}

/// What was reported of dropped log messages: how many, and in how many milliseconds.
fn dropped(story: &Story) -> Vec<(u64, u64)> {
    let reports = story.reports().into_iter().filter_map(|report| match report {
        BrokerReport::LogDropped { messages, millis, .. } => Some((messages, millis)),
        _ => None,
    });
    reports.collect()
}

/// How many of so many log messages are handed to the agent.
fn logged(story: &mut Story, client: u64, messages: usize) -> usize {
    let is_taken = |report: &BrokerReport| matches!(report, BrokerReport::Published { .. });
    let log = |_: &usize| story.publish(client, publication("KeeperLogger", "x", ONE)).reports().iter().any(is_taken);
    (0..messages).filter(log).count()
}

#[test]
fn a_flood_of_log_messages_is_dropped_counted_and_nobody_elses_business() {
    for visible_denials in [false, true] {
        let log_rate = LogRateLimit { per_second: 10, burst: 100 };
        let mut story = Story::new(BrokerSettings { log_rate, visible_denials, ..BrokerSettings::default() });
        story.admit(1, grant(1, &["KeeperLogger"], &[]), None).admit(2, grant(2, &["KeeperLogger", "a"], &["#"]), None);
        story.subscribe(2, &["KeeperLogger"]);
        assert_eq!(logged(&mut story, 1, 500), 100);
        story.publish(1, publication("KeeperLogger", "x", ONE));
        assert!(story.deliveries().is_empty(), "nobody gets it");
        let outcome = if visible_denials { ReasonCode::QuotaExceeded } else { ReasonCode::Success };
        assert_eq!(story.outcome(), outcome);
        assert_eq!(logged(&mut story, 2, 100), 100, "each client has its own");
        story.publish(2, publication("a", "x", ONE));
        assert_eq!(story.outcome(), ReasonCode::Success, "other topics have none");
        assert!(dropped(story.pass(999)).is_empty(), "once a second");
        assert_eq!(dropped(story.pass(1)), [(401, 1000)]);
        assert!(dropped(story.pass(5000)).is_empty(), "there is no more to tell");
        assert_eq!(logged(&mut story, 1, 100), 60, "ten for each of six seconds");
        assert_eq!(dropped(story.lose(1)), [(40, 0)], "a client that leaves takes no count with it");
        story.admit(3, grant(1, &["KeeperLogger"], &[]), None);
        assert_eq!(logged(&mut story, 3, 5), 0, "and one that comes back brings none");
    }
}
