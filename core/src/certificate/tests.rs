//! Which certificates count when, and what may be done to the list.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by panicking"
)]

use alloc::vec;

use super::*;

const NOW: WallTime = WallTime::from_millis(1_000 * DAY_MILLIS);

fn days(days: i64) -> WallTime {
    WallTime::from_millis(NOW.as_millis() + days * DAY_MILLIS)
}

fn certificate(sha256: &str, name: &str) -> AdminCertificate {
    let (sha256, name) = (sha256.to_string(), name.to_string());
    AdminCertificate { sha256, name, not_before: days(-30), not_after: days(60), revoked: None }
}

fn revoked(certificate: AdminCertificate) -> AdminCertificate {
    AdminCertificate { revoked: Some(Revocation { at: NOW, by: "x".to_string() }), ..certificate }
}

#[test]
fn the_clock_and_revocation_say_what_a_certificate_is_worth() {
    let one = certificate("a", "alice");
    let millis = |at: WallTime, more: i64| WallTime::from_millis(at.as_millis() + more);
    for (at, state) in [
        (millis(one.not_before, -1), State::NotYetValid),
        (one.not_before, State::Valid),
        (one.not_after, State::Valid),
        (millis(one.not_after, 1), State::Expired),
    ] {
        assert_eq!((one.state(at), one.counts(at)), (state, state == State::Valid), "{at:?}");
        assert_eq!(revoked(one.clone()).state(at), State::Revoked);
    }
    assert_eq!(one.renewal(), days(30));
    assert!(!one.is_forgotten(days(150)) && one.is_forgotten(millis(days(150), 1)));
    let endless = AdminCertificate::without_end("a", "b");
    assert!(endless.counts(NOW) && !endless.is_forgotten(NOW) && endless.renewal() > NOW);
}

#[test]
fn the_file_keeps_its_form() {
    let list = vec![certificate("a", "alice"), revoked(certificate("b", "bob"))];
    let text = serde_json::to_string(&list).unwrap();
    assert!(text.starts_with(
        r#"[{"sha256":"a","name":"alice","notBefore":"1972-08-28T00:00:00.000Z","notAfter":"1972-11-26T00:00:00.000Z"},"#
    ), "{text}");
    assert!(text.ends_with(r#""revoked":{"at":"1972-09-27T00:00:00.000Z","by":"x"}}]"#), "{text}");
    assert_eq!(serde_json::from_str::<Vec<AdminCertificate>>(&text).unwrap(), list);
    assert!(serde_json::from_str::<Vec<AdminCertificate>>(&text.replace("1972-08", "soon")).is_err());
}

#[test]
fn names_and_lives_are_bounded() {
    let hex = "a".repeat(DIGITS);
    let check = |name: &str, days: i64| decide_issue(&[], NOW, name, days);
    for name in ["a", "Alice.B-c_d@host", "9", &"x".repeat(63), &"g".repeat(64)] {
        assert_eq!(check(name, 90), Ok(90), "{name}");
    }
    let own = ["client", "Client", "root", "ROOT"];
    let odd = ["", ".a", "-a", "@a", "a b", "a/b", "a\n", "ä", "a:b", &"x".repeat(65), &hex];
    for name in own.into_iter().chain(odd) {
        assert!(matches!(check(name, 90), Err(Refusal::Invalid(_))), "{name:?}");
    }
    assert_eq!((check("a", 1), check("a", 825)), (Ok(1), Ok(825)));
    for days in [0, -1, 826, 65_536 + 90, i64::MAX] {
        assert!(matches!(check("a", days), Err(Refusal::Invalid(_))), "{days}");
    }
}

#[test]
fn a_name_is_free_once_its_certificate_counts_no_more() {
    let alice = certificate("a", "alice");
    let issue = |list: &[AdminCertificate], now| {
        decide_issue(list, now, "Alice", 90).map_err(|refusal| refusal.explanation().what.clone())
    };
    assert_eq!(issue(core::slice::from_ref(&alice), NOW), Err("'alice' has a certificate.".to_string()));
    assert_eq!(issue(core::slice::from_ref(&alice), days(61)), Ok(90));
    assert_eq!(issue(&[revoked(alice.clone())], NOW), Ok(90));
    let full = vec![revoked(alice); ADMIN_CERTIFICATES];
    assert_eq!(issue(&full, NOW), Err("No certificate was issued.".to_string()));
    assert_eq!(issue(&full[1..], NOW), Ok(90));
}

#[test]
fn who_would_be_left_without_a_certificate_is_asked_again() {
    let list = [
        certificate("a1", "client"),
        certificate("a2", "client"),
        certificate("b", "bob"),
        revoked(certificate("c", "carol")),
    ];
    let revoke = |whose: &str, own: Option<&str>, force| match decide_revoke(&list, NOW, whose, own, force) {
        Ok(gone) => Ok(gone.into_iter().collect::<Vec<_>>()),
        Err(refusal) => Err(refusal),
    };
    let gone = |sha256: &[&str]| Ok(sha256.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(revoke("bob", Some("a1"), false), gone(&["b"]));
    assert_eq!(revoke("client", Some("b"), false), gone(&["a1", "a2"]));
    assert_eq!(revoke("A1", Some("a1"), false), gone(&["a1"]), "another one of the same name is left");
    assert!(matches!(revoke("client", Some("a1"), false), Err(Refusal::Conflict(_))), "its own last one");
    assert_eq!(revoke("client", Some("a1"), true), gone(&["a1", "a2"]));
    for whose in ["carol", "c", "nobody", ""] {
        assert!(matches!(revoke(whose, Some("a1"), true), Err(Refusal::NotFound(_))), "{whose}");
    }
    let alone = [certificate("a1", "client")];
    assert!(matches!(decide_revoke(&alone, NOW, "client", None, false), Err(Refusal::Conflict(_))), "nobody is left");
    assert!(decide_revoke(&alone, NOW, "client", None, true).is_ok());
}
