//! An administrator looks on: it gets what is allowed, keeps nothing, and loses everything with its permissions.

use super::*;

fn administrator(number: u32) -> Grant {
    let component = Component::Administrator(String::from("client"));
    let subject =
        Subject { component, run: None, spawn: SpawnId(0), pid: number, client_id: format!("@admin_{number}") };
    Grant { subject, publish: filters(&[]), subscribe: filters(&["#", "$SYS/#"]), primary: None, withheld: None }
}

#[test]
fn an_administrator_sees_all_traffic() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a/b"], &[]), None).admit(2, administrator(2), None);
    assert_eq!(story.subscribe(2, &["#", "$SYS/#"]).len(), 2);
    assert_eq!(story.publish(1, publication("a/b", "x", ONE)).receivers(), vec![2]);
    let order = BrokerOrder::Publish { topic: "$SYS/x".into(), payload: vec![], qos: 0, retain: false };
    assert_eq!(story.order(order).receivers(), vec![2]);
    assert!(story.publish(2, publication("a/b", "x", ONE)).deliveries().is_empty());
    assert_eq!(story.denials().len(), 1);
}

#[test]
fn nothing_is_kept_for_an_administrator() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None);
    story.admit_with(2, administrator(2), |connect| {
        (connect.clean_start, connect.session_expiry_seconds) = (false, 3600);
    });
    let told = story.packets().into_iter().find_map(|(_, packet)| match packet {
        Outgoing::ConnectAck(acknowledgement) => acknowledgement.session_expiry_seconds,
        _ => None,
    });
    assert_eq!(told, Some(0), "MQTT 5.0 3.2.2.3.2");
    story.subscribe(2, &["a"]);
    story.lose(2).publish(1, publication("a", "x", ONE)).admit(3, administrator(2), None);
    assert!(story.deliveries().is_empty() && story.broker.sessions.len() == 2);
}

#[test]
fn an_administrator_takes_nobodys_connection() {
    let mut story = quiet();
    story.admit(1, administrator(1), None).ask(2, "@admin_1", Version::V5, None).accept(2, administrator(2));
    assert!(story.closed().is_empty());
    assert_eq!(
        story.denials().first().map(|denial| denial.explanation.why.as_str()),
        Some("Another process is connected with it, or left a session that waits.")
    );
}

#[test]
fn a_certificate_that_is_taken_back_ends_what_it_sees() {
    let mut story = quiet();
    story.admit(1, grant(1, &["a"], &[]), None).admit(2, administrator(2), None).subscribe(2, &["#"]);
    let (publish, subscribe) = (filters(&[]), filters(&[]));
    let component = Component::Administrator(String::from("client"));
    story.order(BrokerOrder::Regrant { component, publish, subscribe, primary: None });
    assert_eq!(story.denials().len(), 1, "its subscription ends");
    assert!(story.publish(1, publication("a", "x", ONE)).deliveries().is_empty());
}
