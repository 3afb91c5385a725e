//! Last Known Good as checks: each by the fact that decides it.
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::string::String;
use std::vec;
use std::vec::Vec;

use super::*;

fn facts() -> LkgFacts {
    let status = LkgLine { key_id: Some("k".into()), counter: Some(7), alarms: vec![], items: vec![line("InService")] };
    LkgFacts {
        settings: ConfigurationLkg { enabled: true, audit_only: false, sweep_seconds: 60 },
        key: Ok(Some(KeyFacts { mode: 0o600, is_own: true })),
        has_references: true,
        running: Some((status, Some(VerifiedLine { references: 1, differences: vec![] }))),
    }
}

fn line(state: &str) -> ItemLine {
    let (kind, id) = ("Jobs".into(), "scan".into());
    ItemLine { kind, id, state: state.into(), why: Some("A bit is flipped.".into()), fix: Some("Mend it.".into()) }
}

/// The first letter of each check's outcome.
fn outcomes(facts: &LkgFacts) -> String {
    let checks = examine_lkg(facts).checks;
    for check in &checks {
        let fails = check.status == crate::doctor::Status::Failed;
        assert_eq!(check.fix.is_some(), fails, "{check:?}");
        assert!(!check.proof.is_empty(), "{check:?}");
    }
    checks.iter().map(|check| format!("{:?}", check.status).remove(0)).collect()
}

#[test]
fn each_fact_decides_its_check() {
    let with = |change: fn(&mut LkgFacts)| {
        let mut facts = facts();
        change(&mut facts);
        outcomes(&facts)
    };
    let status = |facts: &mut LkgFacts, change: fn(&mut LkgLine)| change(&mut facts.running.as_mut().unwrap().0);
    assert_eq!(with(|_| ()), "OOOO");
    assert_eq!(with(|facts| facts.settings.enabled = false), "SSSS");
    assert_eq!(with(|facts| facts.settings.audit_only = true), "OOOO");
    assert_eq!(with(|facts| facts.key = Ok(Some(KeyFacts { mode: 0o640, is_own: true }))), "OFOO");
    assert_eq!(with(|facts| facts.key = Ok(Some(KeyFacts { mode: 0o600, is_own: false }))), "OFOO");
    assert_eq!(with(|facts| facts.key = Err("No.".into())), "OSOO");
    assert_eq!(with(|facts| facts.key = Ok(None)), "OOOO", "a credential");
    assert_eq!(with(|facts| facts.running = None), "OOSS");
    assert_eq!(with(|facts| (facts.key, facts.running) = (Ok(None), None)), "OSSS", "perhaps a credential");
    let mut lost = facts();
    lost.key = Ok(None);
    status(&mut lost, |status| status.key_id = None);
    assert_eq!(outcomes(&lost), "OFOO");
    lost.has_references = false;
    assert_eq!(outcomes(&lost), "OSOO", "the first start is yet to come");

    let mut alarmed = facts();
    status(&mut alarmed, |status| {
        status.alarms = vec![AlarmLine { what: "It is old.".into(), why: "So.".into(), fix: "Do.".into() }];
    });
    assert_eq!(outcomes(&alarmed), "OOFO");
    for (state, expect) in [("OutOfService", "OOFO"), ("Refused", "OOFO"), ("Tombstone", "OOOO")] {
        let mut facts = facts();
        facts.running.as_mut().unwrap().0.items = vec![line(state)];
        assert_eq!(outcomes(&facts), expect, "{state}");
    }
    let mut drifted = facts();
    let differences: Vec<_> = vec![DifferenceLine { item: "Jobs/scan".into(), what: "is missing".into() }];
    drifted.running.as_mut().unwrap().1 = Some(VerifiedLine { references: 1, differences });
    assert_eq!(outcomes(&drifted), "OOOF");
    drifted.running.as_mut().unwrap().1 = None;
    assert_eq!(outcomes(&drifted), "OOOS");
}
