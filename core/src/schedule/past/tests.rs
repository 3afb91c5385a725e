//! A daily job against a week of evidence, one kind of difference after the other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "a test may fail by panicking")]

use alloc::vec;

use super::*;
use crate::turn::fixtures::job;

const DAILY: &str = r#","schedule":{"cronExpression":"0 2 * * *"}"#;
const TASK: &str = r#"{"id":"a","command":"tool"}"#;

fn at(text: &str) -> WallTime {
    WallTime::parse_rfc3339(&format!("2026-03-{text}Z")).unwrap()
}

fn run(id: &str, due: &str, started: &str) -> PastRun {
    PastRun {
        run_id: id.to_string(),
        trigger: format!("schedule, due {due}"),
        due: Some(at(due)),
        started: at(started),
        begun: Some(at(started)),
        finished: Some(at(started)),
        status: String::from("Succeeded"),
        reason: Some(String::from("The last task is over.")),
    }
}

fn not_run(noticed: &str, due: &str, guard: &str) -> Note {
    let why = format!("Stopped by {guard}.");
    let what = Happening::NotRun {
        job_id: String::from("demo"),
        due: Some(at(due).to_rfc3339()),
        guard: guard.to_string(),
        why,
    };
    Note { boot: 1, at: at(noticed).to_rfc3339(), what }
}

/// An agent that has run from the first of March, asked on the 20th.
fn past() -> Past {
    let life = Life { started: at("01T00:00:00"), stopped: None, seen: at("01T00:00:00") };
    Past { lives: vec![life], is_running: true, kept_days: 30, now: at("20T00:00:00"), ..Past::default() }
}

/// What came of the instants from the 10th to the 12th, each as `result guard run`; and the reasons.
#[track_caller]
fn told(members: &str, past: &Past) -> (Vec<String>, Vec<String>) {
    let span = (at("09T12:00:00"), at("12T12:00:00"));
    let found = compare(&job(TASK, members), "UTC", OperatingSystem::Linux, span, 1000, past).unwrap();
    let line = |one: &Actual| {
        let pieces = [Some(one.result), one.guard.as_deref(), one.run_id.as_deref()];
        pieces.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    (found.iter().map(line).collect(), found.into_iter().map(|one| one.reason.unwrap_or_default()).collect())
}

#[test]
fn runs_stand_beside_their_instants_with_delay_and_outcome() {
    let mut waited = run("1-2", "11T02:00:00", "11T02:00:00");
    waited.begun = Some(at("11T02:03:20"));
    let mut skipped = run("1-3", "12T02:00:00", "12T02:00:00");
    (skipped.status, skipped.reason) = ("Skipped".into(), Some("The job's condition is false: 1 = 2.".into()));
    let past = Past { runs: vec![run("1-1", "10T02:00:00", "10T02:00:01"), waited, skipped], ..past() };
    let (lines, reasons) = told(DAILY, &past);
    assert_eq!(lines, ["ran 1-1", "ran 1-2", "ran condition 1-3"]);
    assert_eq!((reasons[0].as_str(), reasons[2].as_str()), ("", "The job's condition is false: 1 = 2."));
    assert!(reasons[1].contains("waited 200 s"), "{}", reasons[1]);
    let span = (at("09T12:00:00"), at("12T12:00:00"));
    let found = compare(&job(TASK, DAILY), "UTC", OperatingSystem::Linux, span, 1000, &past).unwrap();
    assert_eq!((found[0].delay_ms, found[1].delay_ms), (Some(1000), Some(200_000)));
}

#[test]
fn one_run_stands_for_all_that_was_missed_before_it() {
    let past = Past { runs: vec![run("2-1", "10T02:00:00", "12T09:00:00")], ..past() };
    let (lines, reasons) = told(DAILY, &past);
    assert_eq!(lines, ["ran 2-1", "madeUp 2-1", "madeUp 2-1"]);
    assert!(reasons[0].contains("made up for at 2026-03-12T09:00:00"), "{}", reasons[0]);
    assert!(reasons[2].contains("from 2026-03-10T02:00:00.000Z on"), "{}", reasons[2]);
}

#[test]
fn what_was_refused_is_told_by_its_note() {
    let notes = vec![not_run("10T02:00:00", "10T02:00:00", "overlap"), not_run("12T08:00:00", "11T02:00:00", "late")];
    let (lines, reasons) = told(DAILY, &Past { notes, ..past() });
    assert_eq!(lines, ["notRun overlap", "notRun late", "notRun late"], "a late note covers all until it was noticed");
    assert_eq!(reasons[0], "Stopped by overlap.");
    let notes = vec![not_run("12T08:00:00", "11T02:00:00", "queue")];
    assert_eq!(told(DAILY, &Past { notes, ..past() }).0, ["notRun schedule", "notRun queue", "notRun schedule"]);
}

#[test]
fn without_an_agent_an_instant_is_missed() {
    let life = |started: &str, stopped: Option<&str>, seen: &str| Life {
        started: at(started),
        stopped: stopped.map(at),
        seen: at(seen),
    };
    let stopped = life("01T00:00:00", Some("10T01:00:00"), "10T01:00:00");
    let killed = life("10T12:00:00", None, "10T13:00:00");
    let lives = vec![stopped, killed, life("11T12:00:00", None, "11T12:00:00")];
    let (lines, reasons) = told(DAILY, &Past { lives: lives.clone(), ..past() });
    assert_eq!(lines, ["missed agent", "missed agent", "notRun schedule"]);
    assert!(reasons[0].contains("stopped at 2026-03-10T01:00:00.000Z and was started again at 2026-03-10T12:00"));
    assert!(
        reasons[1].contains("ended without being told to after 2026-03-10T13:00") && reasons[1].contains("runOnce")
    );
    let (lines, reasons) = told(DAILY, &Past { lives, is_running: false, ..past() });
    assert_eq!(lines[2], "missed agent");
    assert!(reasons[2].contains("has not been started since"), "{}", reasons[2]);
}

#[test]
fn what_is_not_on_record_says_why() {
    let table = [
        (Past { kept_days: 9, ..past() }, "notRecorded", "RunHistoryDays"),
        (Past { lives: vec![], ..past() }, "notRecorded", "castellan run"),
        (
            Past { lives: vec![Life { started: at("15T00:00:00"), ..past().lives[0] }], ..past() },
            "notRecorded",
            "begins",
        ),
        (Past { defined: Some(at("13T00:00:00")), ..past() }, "notRun schedule", "written later"),
        (past(), "notRun schedule", "not in service"),
    ];
    for (past, result, word) in table {
        let (lines, reasons) = told(DAILY, &past);
        assert!(lines[0] == result && reasons[0].contains(word), "{lines:?} {reasons:?}");
    }
    let full = (0..RUNS_PER_JOB).map(|_| run("1-9", "15T02:00:00", "15T02:00:00")).collect();
    assert!(told(DAILY, &Past { runs: full, ..past() }).1[0].contains("newest 1000"));
    assert_eq!(told(&format!(r#"{DAILY},"enabled":false"#), &past()).0[0], "notRun enabled");
    assert_eq!(told(&format!(r#"{DAILY},"osFilter":{{"windows":true}}"#), &past()).0[0], "notRun osFilter");
}

#[test]
fn what_the_schedule_no_more_plans_is_told_too_and_an_interval_by_its_runs() {
    let odd = vec![run("1-1", "10T03:00:00", "10T03:00:00")];
    let (lines, reasons) =
        told(DAILY, &Past { runs: odd, notes: vec![not_run("11T05:00:00", "11T05:00:00", "overlap")], ..past() });
    assert_eq!(lines, ["notRun schedule", "unplanned 1-1", "notRun schedule", "notRun overlap", "notRun schedule"]);
    assert!(reasons[1].contains("no more"), "{}", reasons[1]);
    let tick = PastRun { trigger: "schedule".into(), due: None, ..run("1-2", "10T03:00:00", "10T03:00:00") };
    let by_hand = PastRun { trigger: "api call of admin:client".into(), due: None, ..tick.clone() };
    let past = Past { runs: vec![tick, by_hand], ..past() };
    assert_eq!(told(r#","schedule":{"intervalMinutes":5}"#, &past).0, ["ran 1-2"]);
}
