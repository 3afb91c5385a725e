//! An administrator looks on: it gets what is allowed, keeps nothing, and loses everything with its permissions.

use super::*;
use crate::api::CertificateFacts;

fn administrator(number: u32) -> Grant {
    let component = Component::Administrator(String::from("client"));
    let subject =
        Subject { component, run: None, spawn: SpawnId(0), pid: number, client_id: format!("@admin_{number}") };
    Grant {
        subject,
        publish: filters(&[]),
        subscribe: filters(&["#", "$SYS/#"]),
        primary: None,
        user: None,
        withheld: None,
    }
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
fn a_certificate_that_counts_no_more_closes_its_own_connections_alone() {
    let mut story = quiet();
    for (number, sha256) in [(1, Some("old")), (2, Some("new")), (3, Some("old")), (4, None)] {
        let grant = if sha256.is_some() { administrator(number) } else { grant(u64::from(number), &["a"], &[]) };
        let certificate = sha256.map(|sha256| CertificateFacts { sha256: sha256.to_string() });
        let (connection, peer) = (ConnectionId(u64::from(number)), Box::default());
        let connect = Box::new(Connect::plain(Version::V5, grant.subject.client_id.clone()));
        story.tell(BrokerEvent::ConnectReceived { connection, connect, peer, certificate });
        story.accept(u64::from(number), grant);
    }
    story.order(BrokerOrder::RevokeCertificate { sha256: String::from("old") });
    assert_eq!(story.closed(), [(1, ReasonCode::NotAuthorized), (3, ReasonCode::NotAuthorized)]);
    story.lose(1).lose(3).order(BrokerOrder::RevokeCertificate { sha256: String::from("old") });
    assert!(story.closed().is_empty() && story.broker.certificates.len() == 1);
}
