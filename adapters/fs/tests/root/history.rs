//! The run history.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use castellan_core::effect::StoreOrder;
use castellan_core::elevation::ElevationQuery;
use castellan_core::event::{Event, StoreReport};
use castellan_core::id::{JobId, RunId, TicketId};
use castellan_core::run::history::{JobPast, Outcome, RunQuery, RunRecord, TaskRecord};
use castellan_core::schedule::past::{Happening, Note};
use castellan_fs::Store;
use castellan_fs::history::{History, Kept};
use castellan_fs::settings::SettingStore;
use serde_json::{Map, json};

use super::elevations::{ALICE, denied};
use super::support::{NEW_YEAR, days_later, guard, mode, policies, root};

fn running(run: &str, job: &str) -> RunRecord {
    RunRecord {
        run_id: run.to_owned(),
        job_id: job.to_owned(),
        trigger: "event Startup".to_owned(),
        due: None,
        status: "running".to_owned(),
        outcome: None,
        started_at: NEW_YEAR.to_rfc3339(),
        begun_at: None,
        finished_at: None,
        reason: None,
        context: json!({"a": {"b": [1, null, "\u{0}ü"]}}).as_object().unwrap().clone(),
        tasks: Vec::new(),
        warnings: Vec::new(),
    }
}

fn finished(run: &str, job: &str, day: i64) -> RunRecord {
    let task = TaskRecord {
        task_id: "t".to_owned(),
        outcome: "Succeeded".into(),
        reason: None,
        command_line: vec!["/bin/x".to_owned(), "a b".to_owned()],
        pid: Some(7),
        exit_code: Some(0),
        http_status: None,
        signal: None,
        stdout: "out\n".to_owned(),
        stderr: String::new(),
        duration_ms: Some(12),
        route: Some("the end".to_owned()),
    };
    RunRecord {
        status: "succeeded".to_owned(),
        outcome: Some(Outcome::Succeeded),
        finished_at: Some(days_later(day).to_rfc3339()),
        tasks: vec![Arc::new(task)],
        ..running(run, job)
    }
}

/// A database that fails at these runs, as a full disk would.
fn failing(folder: &std::path::Path, when: &str, how: &str) {
    let connection = rusqlite::Connection::open(folder.join("state/history.db")).unwrap();
    let trigger =
        format!("CREATE TRIGGER t BEFORE INSERT ON run WHEN {when} BEGIN SELECT RAISE({how}, 'no room'); END");
    connection.execute(&trigger, []).unwrap();
}

fn newest(history: &History, limit: usize) -> Result<Vec<RunRecord>, String> {
    history.runs(&RunQuery { limit, ..RunQuery::default() })
}

fn ids(runs: &[RunRecord]) -> Vec<&str> {
    runs.iter().map(|run| run.run_id.as_str()).collect()
}

#[test]
fn a_run_comes_back_as_it_was_stored_also_after_a_new_start() {
    let (folder, root) = root();
    let history = History::open(&root).unwrap();
    history.insert_or_replace(&running("1-1", "a"), true).unwrap();
    history.insert_or_replace(&finished("1-1", "a", 0), true).unwrap();
    history.insert_or_replace(&running("1-2", "a"), true).unwrap();
    drop(history);
    let history = History::open(&root).unwrap();
    assert_eq!(newest(&history, 10).unwrap(), [running("1-2", "a"), finished("1-1", "a", 0)]);
    assert_eq!(history.unfinished().unwrap(), [running("1-2", "a")]);
    for file in ["history.db", "history.db-wal", "history.db-shm"] {
        assert_eq!(mode(&folder.path().join("state").join(file)), 0o600, "{file}");
    }
}

#[test]
fn what_was_stored_survives_a_process_that_never_closes_on_disk_or_not() {
    let (folder, root) = root();
    let history = History::open(&root).unwrap();
    history.insert_or_replace(&running("1-1", "a"), true).unwrap();
    history.insert_or_replace(&running("1-2", "a"), false).unwrap();
    assert!(!history.is_synced());
    assert_eq!(ids(&History::open(&root).unwrap().unfinished().unwrap()), ["1-1", "1-2"], "another connection");
    // The files as a kill would leave them: the log not yet moved into the database.
    let copy = tempfile::tempdir().unwrap();
    let state = copy.path().join("state");
    fs::create_dir(&state).unwrap();
    for file in ["history.db", "history.db-wal"] {
        fs::copy(folder.path().join("state").join(file), state.join(file)).unwrap();
    }
    let other = castellan_fs::Root::open(copy.path()).unwrap();
    assert_eq!(ids(&History::open(&other).unwrap().unfinished().unwrap()), ["1-1", "1-2"]);
    drop(history);
}

#[test]
fn what_is_not_on_disk_yet_goes_there_with_the_next_durable_change_or_when_asked() {
    let (_folder, root) = root();
    let history = History::open(&root).unwrap();
    let started = || {
        history.insert_or_replace(&running("1-1", "a"), false).unwrap();
        assert!(!history.is_synced());
    };
    assert!(history.is_synced(), "nothing was stored");
    started();
    history.insert_or_replace(&finished("1-2", "a", 0), true).unwrap();
    assert!(history.is_synced(), "the end of another run");
    started();
    let what = Happening::Stopped;
    history.note(&Note { boot: 1, at: NEW_YEAR.to_rfc3339(), what }).unwrap();
    assert!(history.is_synced(), "a note");
    started();
    history.sync().unwrap();
    assert!(history.is_synced(), "asked");
}

/// Whether the store tried to bring its records to disk: the log of changes is not where it looks for it.
fn told_of_a_sync(durable: bool, close: bool) -> bool {
    let (folder, root) = root();
    let (sender, events) = smol::channel::unbounded();
    let history = History::open(&root).unwrap();
    fs::remove_file(folder.path().join("state/history.db-wal")).unwrap();
    let settings = SettingStore::open(&root).unwrap();
    let store = Store::start(guard(&root, &history), history, settings, policies(), sender).unwrap();
    let record = Arc::new(running("1-1", "a"));
    store.order(StoreOrder::PersistRun { ticket: TicketId(1), record, durable }).unwrap();
    let first = events.recv_blocking().unwrap();
    assert!(matches!(first, Event::Store(StoreReport::RunPersisted { result: Ok(()), .. })), "{first:?}");
    let told = |event| matches!(event, Event::Congested(why) if why.contains("not brought to disk"));
    if close {
        store.close().unwrap();
        return events.try_recv().is_ok_and(told);
    }
    told(events.recv_blocking().unwrap())
}

#[test]
fn the_store_brings_a_start_to_disk_by_itself_and_when_it_is_closed() {
    assert!(told_of_a_sync(false, false), "after a while");
    assert!(told_of_a_sync(false, true), "at the end");
    assert!(!told_of_a_sync(true, true), "there is nothing left to do");
}

#[test]
fn runs_are_found_by_job_and_id_newest_first_by_number_not_by_text() {
    let (_folder, root) = root();
    let history = History::open(&root).unwrap();
    for (run, job) in [("2-1", "a"), ("10-1", "b"), ("2-10", "a"), ("2-9", "b")] {
        history.insert_or_replace(&running(run, job), true).unwrap();
    }
    let (job, run) = (JobId::parse("a").unwrap(), RunId::from_text("2-9").unwrap());
    let found = |query| ids(&history.runs(&query).unwrap()).join(" ");
    let all = RunQuery { limit: 10, ..RunQuery::default() };
    let (of_job, one) =
        (RunQuery { job: Some(job), ..all.clone() }, RunQuery { run: Some(run.clone()), ..all.clone() });
    assert_eq!(found(all.clone()), "10-1 2-10 2-9 2-1");
    assert_eq!(found(RunQuery { limit: 2, ..all.clone() }), "10-1 2-10");
    assert_eq!(found(of_job.clone()), "2-10 2-1");
    assert_eq!(found(one.clone()), "2-9");
    assert_eq!(found(RunQuery { run: Some(run.clone()), ..of_job.clone() }), "");
    assert_eq!(found(RunQuery { before: Some(run.clone()), ..all.clone() }), "2-1");
    assert_eq!(found(RunQuery { before: Some(run), ..of_job }), "2-1");
    assert_eq!(found(RunQuery { status: Some("Failed".to_owned()), ..all.clone() }), "");
    assert_eq!(found(RunQuery { status: Some("running".to_owned()), ..all }), "10-1 2-10 2-9 2-1");
    assert_eq!(ids(&history.unfinished().unwrap()), ["2-1", "2-9", "2-10", "10-1"]);
    history.insert_or_replace(&finished("2-9", "b", 0), true).unwrap();
    let whole = history.runs(&one).unwrap();
    let brief = history.runs(&RunQuery { brief: true, ..one }).unwrap();
    assert!(!whole[0].tasks.is_empty(), "the test needs a run with tasks");
    let expect = RunRecord { tasks: Vec::new(), context: Map::new(), warnings: Vec::new(), ..whole[0].clone() };
    assert_eq!(brief, [expect]);
}

#[test]
fn old_runs_are_forgotten_and_running_ones_never() {
    let (_folder, root) = root();
    let history = History::open(&root).unwrap();
    history.insert_or_replace(&running("1-1", "a"), true).unwrap();
    for (run, day) in [("1-2", 0), ("1-3", 10), ("1-4", 11)] {
        history.insert_or_replace(&finished(run, "a", day), true).unwrap();
    }
    assert_eq!(history.prune(30, days_later(40)).unwrap(), 1);
    assert_eq!(ids(&newest(&history, 10).unwrap()), ["1-4", "1-3", "1-1"]);
    assert_eq!(history.prune(0, days_later(400)).unwrap(), 2);
    assert_eq!(ids(&newest(&history, 10).unwrap()), ["1-1"]);
}

fn ended(run: &str, job: &str, outcome: Outcome) -> RunRecord {
    RunRecord {
        status: outcome.as_str().to_owned(),
        outcome: Some(outcome),
        tasks: Vec::new(),
        ..finished(run, job, 0)
    }
}

#[test]
fn the_past_of_each_job_is_its_latest_run_and_its_latest_due_instant() {
    let (_folder, root) = root();
    let history = History::open(&root).unwrap();
    let due = |run: &str, day: i64| RunRecord {
        due: Some(days_later(day).to_rfc3339()),
        started_at: days_later(day + 1).to_rfc3339(),
        ..ended(run, "a", Outcome::Failed)
    };
    for record in [due("1-1", 5), due("1-2", 3), ended("1-9", "a", Outcome::Succeeded), running("2-1", "b")] {
        history.insert_or_replace(&record, true).unwrap();
    }
    let past = |job_id: &str, outcome, due| JobPast {
        job_id: job_id.to_owned(),
        started_at: NEW_YEAR.to_rfc3339(),
        outcome,
        due,
    };
    let served = Some((days_later(5).to_rfc3339(), days_later(6).to_rfc3339()));
    assert_eq!(history.past().unwrap(), [past("a", Some(Outcome::Succeeded), served), past("b", None, None)]);
}

#[test]
fn failures_are_kept_three_times_as_long() {
    let (_folder, root) = root();
    let history = History::open(&root).unwrap();
    let outcomes =
        [Outcome::Succeeded, Outcome::Skipped, Outcome::Canceled, Outcome::Failed, Outcome::TimedOut, Outcome::Lost];
    for (number, outcome) in outcomes.into_iter().enumerate() {
        history.insert_or_replace(&ended(&format!("1-{number}"), "a", outcome), true).unwrap();
    }
    assert_eq!(history.prune(30, days_later(31)).unwrap(), 3);
    assert_eq!(ids(&newest(&history, 10).unwrap()), ["1-5", "1-4", "1-3"]);
    assert_eq!(history.prune(30, days_later(90)).unwrap(), 0);
    assert_eq!(history.prune(30, days_later(91)).unwrap(), 3);
}

#[test]
fn a_job_keeps_its_newest_thousand_runs_and_three_thousand_failures() {
    let (_folder, root) = root();
    let history = History::open(&root).unwrap();
    history.insert_or_replace(&ended("1-1", "other", Outcome::Succeeded), true).unwrap();
    history.insert_or_replace(&running("1-2", "a"), true).unwrap();
    history.insert_or_replace(&ended("1-3", "a", Outcome::Failed), true).unwrap();
    for number in 4..=1004 {
        history.insert_or_replace(&ended(&format!("1-{number}"), "a", Outcome::Succeeded), true).unwrap();
    }
    assert_eq!(history.prune(30, days_later(1)).unwrap(), 1, "the 1,001st success");
    let kept = newest(&history, 5000).unwrap();
    assert_eq!(kept.len(), 1003);
    assert_eq!(ids(&kept[999..]), ["1-5", "1-3", "1-2", "1-1"]);
}

#[test]
fn a_damaged_foreign_or_linked_database_is_refused_and_left_alone() {
    let (folder, root) = root();
    let path = folder.path().join("state/history.db");
    fs::write(&path, "this is not a database, but long enough to be looked at").unwrap();
    let error = History::open(&root).unwrap_err().to_string();
    assert!(error.contains("state/history.db") && error.contains("move it away"), "{error}");
    fs::remove_file(&path).unwrap();

    let other = rusqlite::Connection::open(&path).unwrap();
    other.pragma_update(None, "user_version", 99).unwrap();
    drop(other);
    let error = History::open(&root).unwrap_err().to_string();
    assert!(error.contains("layout 99"), "{error}");
    fs::remove_file(&path).unwrap();

    let victim = folder.path().join("victim");
    fs::write(&victim, "").unwrap();
    symlink(&victim, &path).unwrap();
    assert!(History::open(&root).is_err());
    assert_eq!(fs::read(&victim).unwrap(), b"");
}

#[test]
fn runs_and_requests_that_are_written_together_come_back_each_by_itself() {
    let (_folder, root) = root();
    let history = History::open(&root).unwrap();
    let (first, second) = (running("1-1", "a"), finished("1-2", "b", 0));
    let asked = denied("E1-1", ALICE, 0);
    let together = [
        (Kept::Run(&first), false),
        (Kept::Elevation(&asked), true),
        (Kept::Run(&second), false),
        (Kept::Run(&second), false),
    ];
    assert_eq!(history.insert_or_replace_all(&together), [Ok(()), Ok(()), Ok(()), Ok(())]);
    assert!(history.is_synced(), "one of them had to be durable");
    assert_eq!(newest(&history, 9).unwrap(), [second, first.clone()]);
    assert_eq!(history.elevations(&ElevationQuery { limit: 9, ..ElevationQuery::default() }).unwrap(), [asked]);
    assert_eq!(
        history.insert_or_replace_all(&[(Kept::Run(&first), false), (Kept::Run(&first), false)]),
        [Ok(()), Ok(())]
    );
    assert!(!history.is_synced());
    assert_eq!(history.insert_or_replace_all(&[]), []);
}

#[test]
fn of_runs_that_are_written_together_one_that_fails_takes_no_other_along() {
    let (folder, root) = root();
    let history = History::open(&root).unwrap();
    failing(folder.path(), "NEW.job_id = 'bad'", "ABORT");
    let runs = [running("1-1", "a"), running("1-2", "bad"), running("1-3", "a")];
    let together: Vec<(Kept<'_>, bool)> = runs.iter().map(|run| (Kept::Run(run), true)).collect();
    let results = history.insert_or_replace_all(&together);
    assert!(results[0].is_ok() && results[2].is_ok(), "{results:?}");
    let error = results[1].clone().unwrap_err();
    assert!(error.contains("run 1-2 was not written to") && error.contains("no room"), "{error}");
    assert_eq!(ids(&newest(&history, 9).unwrap()), ["1-3", "1-1"]);
}

#[test]
fn runs_whose_transaction_is_gone_were_all_not_written() {
    let (folder, root) = root();
    let history = History::open(&root).unwrap();
    failing(folder.path(), "NEW.job_id = 'bad'", "ROLLBACK");
    let runs = [running("1-1", "a"), running("1-2", "bad"), running("1-3", "a")];
    let together: Vec<(Kept<'_>, bool)> = runs.iter().map(|run| (Kept::Run(run), true)).collect();
    let results = history.insert_or_replace_all(&together);
    assert!(results.iter().all(Result::is_err), "{results:?}");
    assert_eq!(newest(&history, 9).unwrap(), []);
    history.insert_or_replace(&runs[0], true).unwrap();
}

#[test]
fn orders_that_wait_together_are_answered_in_their_order_with_what_stands_between_them() {
    let (_folder, root) = root();
    let (sender, events) = smol::channel::bounded(400);
    let (history, settings) = (History::open(&root).unwrap(), SettingStore::open(&root).unwrap());
    let store = Store::start(guard(&root, &history), history, settings, policies(), sender).unwrap();
    // A batch has an end, and a question in the middle of it sees what was ordered before.
    for number in 1..=300_u64 {
        let (ticket, durable) = (TicketId(number), number % 7 == 0);
        let order = if number % 5 == 0 {
            let record = Box::new(denied(&format!("E1-{number}"), ALICE, 0));
            StoreOrder::KeepElevation { ticket, record, durable }
        } else {
            StoreOrder::PersistRun { ticket, record: Arc::new(running(&format!("1-{number}"), "a")), durable }
        };
        store.order(order).unwrap();
        if number == 100 {
            let query = RunQuery { limit: 1000, ..RunQuery::default() };
            store.order(StoreOrder::ReadRuns { ticket: TicketId(1000), query }).unwrap();
        }
    }
    store.close().unwrap();
    let mut reports = Vec::new();
    while let Ok(Event::Store(report)) = events.try_recv() {
        match report {
            StoreReport::RunPersisted { ticket, run, result } => {
                assert_eq!((run, result), (RunId::new(1, ticket.0), Ok(())));
                reports.push(ticket.0);
            }
            StoreReport::ElevationKept { ticket, result } => {
                assert_eq!((ticket.0 % 5, result), (0, Ok(())));
                reports.push(ticket.0);
            }
            StoreReport::RunsRead { ticket, result } => {
                assert_eq!(result.unwrap().len(), 80);
                reports.push(ticket.0);
            }
            other => panic!("{other:?}"),
        }
    }
    let expected: Vec<u64> = (1..=100).chain([1000]).chain(101..=300).collect();
    assert_eq!(reports, expected);
}
