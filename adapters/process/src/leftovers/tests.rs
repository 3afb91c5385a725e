//! Which processes a record may end, and which it must not.

use super::*;

fn process(pid: u32, parent: u32, session: u32, start: u64) -> Stat {
    Stat { pid, state: 'S', parent, session, threads: 1, start }
}

fn check(name: &str, all: &[Stat], serial: Option<u64>, expect: &[u32]) {
    let found = recorded_members(all, 100, 5, serial, |pid| if pid >= 200 { Some(8) } else { Some(7) });
    assert_eq!(found.iter().map(|process| process.pid).collect::<Vec<u32>>(), expect, "{name}");
}

#[test]
fn only_what_is_certainly_recorded_is_ended() {
    let leader = process(100, 1, 100, 5);
    let child = process(101, 100, 100, 6);
    let left_session = process(102, 101, 102, 7);
    let stranger = process(103, 1, 103, 7);
    check("a living tree", &[leader, child, left_session, stranger], None, &[100, 101, 102]);
    check("an orphan with the right serial", &[child, stranger], Some(7), &[101]);
    check("an orphan of which nothing is known", &[child], None, &[]);
    let recycled = process(100, 1, 100, 900);
    check("the number is another's now", &[recycled, process(201, 100, 100, 901)], Some(6), &[]);
    check("the same, without a serial", &[recycled], None, &[]);
    check("a later session of that number", &[process(200, 1, 100, 901)], Some(7), &[]);
    check("a recycled number that leads no session", &[process(100, 1, 90, 5)], Some(6), &[]);
    let dead = Stat { state: 'Z', ..leader };
    check("a dead leader that is not reaped", &[dead, child], None, &[101]);
    let half_dead = Stat { state: 'Z', threads: 3, ..leader };
    check("only the main thread has ended", &[half_dead], None, &[100]);
}

#[test]
fn a_damaged_record_ends_nothing_and_is_removed() {
    let state = tempfile::tempdir().unwrap();
    let (records, sentences) = Records::open(state.path()).unwrap();
    assert!(sentences.is_empty());
    File::create(records.folder.join("4")).unwrap().write_all(b"{\"boot\":").unwrap();
    let void = Record {
        boot: "another".to_owned(),
        left: Left::Session { leader: std::process::id(), start: 0, serial: None },
    };
    File::create(records.folder.join("5")).unwrap().write_all(&serde_json::to_vec(&void).unwrap()).unwrap();
    let (_, sentences) = Records::open(state.path()).unwrap();
    assert_eq!(sentences.len(), 1, "{sentences:?}");
    assert!(sentences[0].contains("unreadable"));
    assert_eq!(fs::read_dir(state.path().join("processes")).unwrap().count(), 0);
}
