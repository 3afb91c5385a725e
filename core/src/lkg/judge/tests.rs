//! Every mode, every state of a reference, everything that can stand in a file's place.

use std::format;
use std::string::ToString;
use std::vec::Vec;

use super::{Blessed, Done, Mode, Observation, explain_folder, judge};
use crate::event::DefinitionKind;
use crate::lkg::{Found, Item, Trace};

fn founds() -> Vec<(&'static str, Found)> {
    let trace = || Trace { owner: Some(1000), modified: Some("2026-11-22T10:00:00.000Z".to_string()), writer: None };
    [
        ("missing", Found::Missing),
        ("same", Found::Bytes { content: b"{}".to_vec().into(), trace: trace() }),
        ("bytes", Found::Bytes { content: b"{ }".to_vec().into(), trace: trace() }),
        ("rights", Found::Rights { what: "has mode 0666".to_string(), trace: trace() }),
        ("other", Found::Other { what: "is a symbolic link to '/x\n'".to_string(), trace: trace() }),
    ]
    .into()
}

#[test]
fn every_verdict() {
    let mut table = Vec::new();
    for (name, blessed) in
        [("document", Blessed::Document(b"{}")), ("removed", Blessed::Removed), ("never", Blessed::Never)]
    {
        for (found_name, found) in founds() {
            let row = [Mode::Restore, Mode::Report].map(|mode| format!("{:?}", judge(mode, blessed, &found)));
            table.push(format!("{name} {found_name}: {}", row.join(" ")));
        }
    }
    let expect = "\
document missing: Restore Report
document same: Leave Leave
document bytes: Restore Report
document rights: Restore Report
document other: Restore Report
removed missing: Leave Leave
removed same: Restore Report
removed bytes: Restore Report
removed rights: Restore Report
removed other: Restore Report
never missing: Leave Leave
never same: Restore Report
never bytes: Restore Report
never rights: Restore Report
never other: Restore Report";
    assert_eq!(table.join("\n"), expect);
}

#[test]
fn each_difference_says_what_who_and_how_to_do_it_properly() {
    let scan = Item::new(DefinitionKind::Job, "scan");
    let changed = Observation::of(&scan, Blessed::Document(b"{}"), &founds()[2].1).told(Done::Restored(Some("q")));
    assert_eq!(changed.what, "Jobs/scan.json was changed (3 bytes now); it was restored.");
    assert_eq!(
        changed.why,
        "Which process wrote it is not known; it belonged to user 1000; its content was changed last at 2026-11-22T10:00:00.000Z. \
         What stood there is state/quarantine/q."
    );
    assert!(
        changed.fix.contains("castellan jobs apply FILE") && changed.fix.contains("castellan lkg accept Jobs/scan")
    );
    for item in [scan, Item::new(DefinitionKind::Plugin, "a\u{1b}b")] {
        for blessed in [Blessed::Document(b"{}"), Blessed::Removed, Blessed::Never] {
            for (_, found) in founds() {
                for done in [Done::Restored(None), Done::Waiting, Done::Reported, Done::Held, Done::Failed("no room\n")]
                {
                    let text = Observation::of(&item, blessed, &found).told(done).to_string();
                    assert!(!text.contains(['\u{1b}', '\n']), "{text}");
                    assert!(matches!(done, Done::Failed(_)) == text.contains("no room"), "{text}");
                    assert!(matches!(done, Done::Reported) == text.contains("AuditOnly"), "{text}");
                    assert!(blessed == Blessed::Document(b"{}") || !text.contains("what was blessed"), "{text}");
                }
            }
        }
    }
    let seen = Trace { writer: Some("pid 7 (/usr/bin/vim, user 0)".to_string()), ..Trace::default() };
    let found = Found::Bytes { content: Vec::new().into(), trace: seen };
    let explained = Observation::of(&Item::new(DefinitionKind::Job, "x"), Blessed::Never, &found).told(Done::Reported);
    assert_eq!(explained.why, "It was written by pid 7 (/usr/bin/vim, user 0).");
    assert!(explain_folder(DefinitionKind::Job, "x").to_string().contains("nothing is written through it"));
}
