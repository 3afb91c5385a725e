//! Which triggers become runs, and which waiting run is next.

use super::super::admission;
use super::*;
use crate::job::OperatingSystem;
use crate::limits::QUEUED_RUNS;

const TASK: &str = r#"{"id":"a","command":"x"}"#;

/// Runs of jobs, in the order they were triggered, all recorded; those marked are active.
fn runs(jobs: &[(&str, &str, bool)]) -> Vec<Run> {
    let mut desk = desk();
    let mut effects = Effects::new();
    let mut runs = Vec::new();
    for (index, (id, members, active)) in jobs.iter().enumerate() {
        let mut definition = (*job(TASK, members)).clone();
        definition.id = JobId::parse(id).unwrap();
        let admitted = Admitted::new(Arc::new(definition), Origin::default(), &Map::new()).unwrap();
        let mut turn = desk.turn(at(0), &mut effects);
        let mut run = Run::begin(RunId::new(7, index as u64 + 1), admitted, &mut turn);
        let ticket = TicketId(run.order);
        run.on_persisted(ticket, &Ok(()), &mut turn);
        if *active {
            run.on_admitted(&mut turn);
        }
        assert_eq!((run.is_waiting(), run.is_active()), (!active, *active));
        runs.push(run);
    }
    runs
}

#[track_caller]
fn check(jobs: &[(&str, &str, bool)], places: usize, expect: Option<u64>) {
    let next = admission::next(runs(jobs).iter(), places);
    assert_eq!(next, expect.map(|count| RunId::new(7, count)), "{jobs:?}");
}

#[test]
fn the_next_run() {
    check(&[], 16, None);
    check(&[("a", "", false), ("b", "", false)], 16, Some(1));
    check(&[("a", "", false), ("b", r#","priority":6"#, false)], 16, Some(2));
    check(&[("a", r#","priority":10"#, false), ("b", r#","priority":10"#, false)], 16, Some(1));
    check(&[("a", "", true), ("a", "", false)], 16, None);
    check(&[("a", "", true), ("a", r#","overlap":"parallel""#, false)], 16, Some(2));
    check(&[("a", "", true), ("a", r#","priority":9"#, false), ("b", r#","priority":1"#, false)], 16, Some(3));
    check(&[("a", "", true), ("b", "", false)], 1, None);
    check(&[("a", "", true), ("b", "", true), ("c", r#","overlap":"parallel""#, false)], 2, None);
    check(&[("a", "", true), ("b", "", false)], 2, Some(2));
}

#[test]
fn refusals() {
    let here = OperatingSystem::Linux;
    for (members, others, word) in [
        ("", &[][..], ""),
        (r#","enabled":false"#, &[], "disabled"),
        (r#","osFilter":{"windows":true}"#, &[], "osFilter"),
        (r#","overlap":"skip""#, &[], ""),
        (r#","overlap":"skip""#, &[("demo", "", true)], "overlap is skip"),
        (r#","overlap":"skip""#, &[("demo", "", false)], "overlap is skip"),
        (r#","overlap":"skip""#, &[("other", "", true)], ""),
        (r#","overlap":"queue""#, &[("demo", "", true)], ""),
    ] {
        let refusal = admission::refusal(&job(TASK, members), here, runs(others).iter()).unwrap_or_default();
        assert!(refusal.contains(word) && refusal.is_empty() == word.is_empty(), "{members}: {refusal}");
    }
}

#[test]
fn the_queue_is_bounded() {
    let waiting = runs(&vec![("other", "", false); QUEUED_RUNS - 1]);
    assert!(!admission::is_full(waiting.iter()));
    let full = runs(&vec![("other", "", false); QUEUED_RUNS]);
    assert!(admission::is_full(full.iter()));
    let active = runs(&vec![("other", r#","overlap":"parallel""#, true); QUEUED_RUNS]);
    assert!(!admission::is_full(active.iter()), "who runs does not wait");
}
