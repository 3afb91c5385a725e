//! Notes in the history, and the history read beside the agent that writes it.

use std::fs;

use castellan_core::run::history::{Outcome, RunRecord};
use castellan_core::schedule::past::{Happening, Life, Note};
use castellan_core::time::WallTime;
use castellan_fs::history::History;
use castellan_fs::past::{PastReader, is_running};

use super::support::{NEW_YEAR, days_later, names, root};

fn note(boot: u64, day: i64, what: Happening) -> Note {
    Note { boot, at: days_later(day).to_rfc3339(), what }
}

fn not_run(boot: u64, day: i64, job: &str) -> Note {
    let due = Some(days_later(day).to_rfc3339());
    let what =
        Happening::NotRun { job_id: job.to_owned(), due, guard: "overlap".to_owned(), why: "\"stopped\"".to_owned() };
    note(boot, day, what)
}

fn run(id: &str, from: i64, to: Option<i64>, outcome: Option<Outcome>) -> RunRecord {
    RunRecord {
        run_id: id.to_owned(),
        job_id: "a".to_owned(),
        trigger: "schedule".to_owned(),
        due: Some(days_later(from).to_rfc3339()),
        status: outcome.map_or("running", Outcome::as_str).to_owned(),
        outcome,
        started_at: days_later(from).to_rfc3339(),
        begun_at: to.map(|day| days_later(day).to_rfc3339()),
        finished_at: to.map(|day| days_later(day).to_rfc3339()),
        reason: Some("so".to_owned()),
        context: serde_json::Map::new(),
        tasks: Vec::new(),
        warnings: Vec::new(),
    }
}

/// What the reader must find, whoever else has the history open.
fn check(reader: &PastReader) {
    let life = |started, stopped: Option<i64>, seen| Life {
        started: days_later(started),
        stopped: stopped.map(days_later),
        seen: days_later(seen),
    };
    // The run that was lost in the second life shows only that it lived until it started.
    assert_eq!(reader.lives().unwrap(), [life(0, Some(3), 3), life(4, None, 6), life(8, None, 8)]);
    assert_eq!(reader.notes("a").unwrap(), [not_run(1, 1, "a"), not_run(2, 5, "a")]);
    let runs = reader.runs("a").unwrap();
    let told: Vec<_> = runs.iter().map(|run| (run.run_id.as_str(), run.started, run.finished, &*run.status)).collect();
    let expect = [
        ("1-1", days_later(1), Some(days_later(2)), "Succeeded"),
        ("2-2", days_later(6), Some(days_later(8)), "Lost"),
        ("3-3", days_later(9), None, "running"),
    ];
    assert_eq!(told[..2], expect[..2]);
    assert_eq!(
        (runs[0].due, runs[0].begun, runs[0].reason.as_deref()),
        (Some(days_later(1)), Some(days_later(2)), Some("so"))
    );
    assert_eq!(reader.runs("b").unwrap(), []);
    let waiting = |day| reader.waiting(days_later(day)).unwrap();
    assert_eq!((waiting(0), waiting(1), waiting(2), waiting(7)), (0, 1, 0, 1));
}

#[test]
fn the_past_is_read_beside_the_agent_and_after_it() {
    let (folder, root) = root();
    assert!(PastReader::open(folder.path()).unwrap().is_none(), "no agent ran yet");
    assert!(is_running(folder.path()), "who holds the root is this process");
    let history = History::open(&root).unwrap();
    for note in [
        note(1, 0, Happening::Started),
        not_run(1, 1, "a"),
        not_run(1, 2, "b"),
        note(1, 3, Happening::Stopped),
        note(2, 4, Happening::Started),
        not_run(2, 5, "a"),
        note(3, 8, Happening::Started),
    ] {
        history.note(&note).unwrap();
    }
    history.insert_or_replace(&run("1-1", 1, Some(2), Some(Outcome::Succeeded)), true).unwrap();
    history.insert_or_replace(&run("2-2", 6, Some(8), Some(Outcome::Lost)), true).unwrap();
    check(&PastReader::open(folder.path()).unwrap().unwrap());
    drop((history, root));
    check(&PastReader::open(folder.path()).unwrap().unwrap());
    assert!(!is_running(folder.path()));
    let left = names(&folder.path().join("state"));
    assert!(left.contains(&"history.db".to_owned()), "{left:?}");
    fs::write(folder.path().join("state/history.db"), "no database at all, but long enough to be looked at").unwrap();
    let refused = PastReader::open(folder.path()).unwrap().unwrap().lives().unwrap_err();
    assert!(refused.contains("history.db cannot be read"), "{refused}");
}

#[test]
fn notes_are_forgotten_with_age_and_number_and_lives_by_number_alone() {
    let (folder, root) = root();
    let history = History::open(&root).unwrap();
    history.note(&note(1, 0, Happening::Started)).unwrap();
    for day in 0..1010 {
        history.note(&not_run(1, day, "a")).unwrap();
    }
    history.note(&not_run(1, 0, "b")).unwrap();
    let reader = PastReader::open(folder.path()).unwrap().unwrap();
    let count = |job: &str| reader.notes(job).unwrap().len();
    assert_eq!((count("a"), count("b")), (1010, 1));
    history.prune(3000, days_later(1010)).unwrap();
    assert_eq!((count("a"), count("b")), (1000, 1), "a thousand of each job");
    history.prune(30, WallTime::from_millis(NEW_YEAR.as_millis() + 1010 * 86_400_000)).unwrap();
    assert_eq!((count("a"), count("b")), (30, 0), "so many days");
    assert_eq!(reader.lives().unwrap().len(), 1);
}
