//! Floods of refusals: each topic is reported once and counted, and nothing is forgotten of what it was.

use super::*;

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
