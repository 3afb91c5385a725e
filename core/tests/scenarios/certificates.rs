//! Admin certificates while the agent runs: what is changed over the API, what ends open connections, what is renewed.

use castellan_core::certificate::AdminCertificate;
use castellan_core::effect::LostOrder;
use castellan_core::event::{Event, StoreReport};
use castellan_core::time::WallTime;
use serde_json::{Value, json};

use crate::world::{ADMIN, World, peer};

const DAY: u64 = 24 * 3600 * 1000;
const PID: u32 = 77;

fn issue(world: &mut World, name: &str, days: u16) -> (Option<u16>, Value) {
    let body = json!({ "Name": name, "days": days, "certificateRequest": "CSR" }).to_string();
    let request = world.admin("POST", "/api/admin/certificates", &body);
    world.disk();
    (world.status(request), world.body(request))
}

fn revoke(world: &mut World, whose: &str) -> (Option<u16>, Value) {
    let request = world.admin("DELETE", &format!("/api/admin/certificates/{whose}"), "");
    world.disk();
    (world.status(request), world.body(request))
}

fn state(world: &mut World, name: &str) -> Vec<String> {
    let list = world.get("/api/admin/certificates");
    let of = |one: &&Value| one["name"] == name;
    list.as_array().unwrap().iter().filter(of).map(|one| one["state"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_certificate_counts_from_its_issue_to_its_revocation_also_on_what_is_open() {
    let mut world = World::new(&[]);
    let (status, issued) = issue(&mut world, "alice", 10);
    assert_eq!((status, &issued["state"], &issued["certificate"]), (Some(201), &json!("valid"), &json!("PEM")));
    let alice = issued["sha256"].as_str().unwrap().to_owned();
    let status = |world: &mut World| {
        let request = world.with_certificate(&alice, "GET", "/api/denials", "");
        world.status(request)
    };
    assert_eq!(status(&mut world), Some(200));
    let stream = world.with_certificate(&alice, "GET", "/api/events", "");
    assert!(world.streams[&stream].is_some(), "it is open");
    world.connect_with(1, "@admin_77", peer(1, PID), Some(&alice));
    world.transcript.clear();

    let request = world.admin("DELETE", "/api/admin/certificates/alice", "");
    assert_eq!((world.status(request), status(&mut world)), (None, Some(200)), "it counts until that is on disk");
    world.transcript.clear();
    world.disk();
    let finished = format!("finish {stream}");
    world.expect(&[
        "!CertificateRevoked",
        &format!("{request}: 200"),
        "audit admin:client certificate",
        &format!("revoke certificate {alice}"),
        &finished,
    ]);
    assert!(world.streams[&stream].is_none(), "it was ended");
    assert_eq!(world.body(request), json!({ "revoked": [alice] }));
    assert_eq!(status(&mut world), Some(403));
    world.connect_with(2, "@admin_77", peer(1, PID), Some(&alice));
    assert!(world.transcript.contains(&String::from("refuse 2 NotAuthorized")), "{:?}", world.transcript);
    let listed = world.get("/api/admin/certificates");
    assert_eq!((&listed[1]["state"], &listed[1]["revokedBy"]), (&json!("revoked"), &json!("client")));
    let line = world.logged("CertificateRevoked")[0].to_owned();
    assert!(line.starts_with("Administrator 'client' revoked the certificate of 'alice'"), "{line}");
    assert_eq!(revoke(&mut world, "alice").0, Some(404));
    let told = |one: &Value| (one["boot"].clone(), one["change"].clone(), one["names"].clone(), one["sha256"].clone());
    let audited: Vec<_> = world.audited.iter().map(told).collect();
    let entry = |change: &str| (json!(7), json!(change), json!(["alice"]), json!([alice]));
    assert_eq!(audited, [entry("issued"), entry("revoked")]);
    world.quiet();
}

#[test]
fn a_certificate_that_expires_takes_its_open_connections_with_it() {
    let mut world = World::new(&[]);
    let (_, issued) = issue(&mut world, "alice", 10);
    let alice = issued["sha256"].as_str().unwrap().to_owned();
    world.connect_with(1, "@admin_77", peer(1, PID), Some(&alice));
    world.transcript.clear();
    world.wait(10 * DAY);
    let request = world.with_certificate(&alice, "GET", "/api/denials", "");
    assert_eq!(world.status(request), Some(200), "its last millisecond");
    world.transcript.clear();
    world.wait(1);
    world.expect(&[&format!("revoke certificate {alice}")]);
    let request = world.with_certificate(&alice, "GET", "/api/denials", "");
    assert_eq!(world.status(request), Some(403));
    assert_eq!(state(&mut world, "alice"), ["expired"]);
    assert_eq!(issue(&mut world, "alice", 10).0, Some(201), "the name is free again");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_written() {
    let mut world = World::new(&[]);
    for (body, status) in [
        ("", 400),
        ("[]", 400),
        (r#"{"name":"a"}"#, 400),
        (r#"{"name":7,"certificateRequest":"x"}"#, 400),
        (r#"{"name":"a","days":"7","certificateRequest":"x"}"#, 400),
        (r#"{"name":"a","days":1.5,"certificateRequest":"x"}"#, 400),
        (r#"{"name":"a","days":0,"certificateRequest":"x"}"#, 400),
        (r#"{"name":"a","days":826,"certificateRequest":"x"}"#, 400),
        (r#"{"name":"client","certificateRequest":"x"}"#, 400),
        (r#"{"name":"../a","certificateRequest":"x"}"#, 400),
    ] {
        let request = world.admin("POST", "/api/admin/certificates", body);
        assert_eq!(world.status(request), Some(status), "{body}");
    }
    assert!(world.disk.is_empty());
    assert_eq!(revoke(&mut world, "nobody").0, Some(404));
    let (status, refused) = revoke(&mut world, "client");
    assert_eq!(status, Some(409));
    assert!(refused["fix"].as_str().unwrap().contains("--force"), "{refused}");
    for request in [
        world.stranger("GET", "/api/admin/certificates", ""),
        world.stranger("POST", "/api/admin/certificates", "{}"),
        world.stranger("DELETE", "/api/admin/certificates/client", ""),
    ] {
        assert_eq!(world.status(request), Some(403));
    }
    let request = world.admin("DELETE", "/api/admin/certificates/client?force=true", "");
    world.disk();
    assert_eq!(world.status(request), Some(200));
    let request = world.admin("GET", "/api/denials", "");
    assert_eq!(world.status(request), Some(403), "it was its own");
}

#[test]
fn of_two_who_ask_for_one_name_one_gets_it_and_a_failed_disk_changes_nothing() {
    let mut world = World::new(&[]);
    let body = r#"{"name":"alice","certificateRequest":"x"}"#;
    let first = world.admin("POST", "/api/admin/certificates", body);
    let second = world.admin("POST", "/api/admin/certificates", body);
    assert_eq!(world.status(second), Some(409));
    world.disk_once(Err(String::from("no space left")));
    assert_eq!((world.status(first), state(&mut world, "alice").len()), (Some(500), 0));
    let third = world.admin("POST", "/api/admin/certificates", body);
    world.disk();
    assert_eq!(world.status(third), Some(201));
    world.quiet();
}

#[test]
fn orders_that_were_lost_are_answered_and_trust_is_taken_back_all_the_same() {
    let mut world = World::new(&[]);
    let (_, issued) = issue(&mut world, "alice", 10);
    let alice = issued["sha256"].as_str().unwrap().to_owned();
    world.connect_with(1, "@admin_77", peer(1, PID), Some(&alice));
    let request = world.admin("DELETE", "/api/admin/certificates/alice", "");
    let order = world.disk.pop_front().unwrap();
    let castellan_core::effect::StoreOrder::ChangeCertificates { ticket, .. } = order else { panic!("{order:?}") };
    world.tell(Event::Lost { order: LostOrder::ChangeCertificates(ticket), why: String::from("full") });
    assert_eq!(world.status(request), Some(500));
    assert_eq!(revoke(&mut world, &alice).0, Some(200));
    world.transcript.clear();
    world.tell(Event::Lost { order: LostOrder::RevokeCertificate(alice.clone()), why: String::from("full") });
    world.wait(100);
    world.expect(&["!Congested", &format!("revoke certificate {alice}")]);
    let report = StoreReport::CertificatesChanged { ticket, result: Ok(Default::default()) };
    world.tell(Event::Store(report));
    assert_eq!(state(&mut world, "client"), ["valid"], "an answer that nobody asked for changes nothing");
}

/// The agent's own certificate, made so many days ago for 90.
fn own(days_ago: i64) -> AdminCertificate {
    let day = i64::try_from(DAY).unwrap();
    let at = |days: i64| WallTime::from_millis(1_700_000_000_000 + days * day);
    AdminCertificate {
        not_before: at(-days_ago),
        not_after: at(90 - days_ago),
        ..AdminCertificate::without_end(ADMIN, "client")
    }
}

#[test]
fn the_agents_own_certificate_is_made_anew_while_it_runs() {
    let mut world = World::certified(vec![own(0)]);
    world.wait(60 * DAY - 1);
    assert_eq!(world.transcript, Vec::<String>::new());
    world.wait(1);
    world.expect(&["certificates Renew"]);
    world.disk();
    assert_eq!(state(&mut world, "client"), ["valid", "valid"], "the former one counts until its end");
    world.transcript.clear();
    world.wait(59 * DAY);
    assert_eq!(world.transcript, Vec::<String>::new());
    world.wait(DAY + 1);
    world.expect(&["certificates Renew"]);
}

#[test]
fn a_renewal_that_fails_is_tried_again_a_day_later_and_a_revoked_one_never() {
    let mut world = World::certified(vec![own(61)]);
    world.expect(&["certificates Renew"]);
    world.disk_once(Err(String::from("no ca.key")));
    world.expect(&["!CertificatesNotChanged"]);
    world.wait(DAY - 1);
    world.expect(&[]);
    world.wait(1);
    world.expect(&["certificates Renew"]);
    let mut revoked = own(61);
    revoked.revoked = Some(castellan_core::certificate::Revocation { at: revoked.not_before, by: String::from("x") });
    let mut world = World::certified(vec![revoked]);
    world.wait(20 * DAY);
    world.expect(&[]);
}
