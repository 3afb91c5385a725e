//! Runs against a world that lies, is late or never answers.

use super::*;
use crate::limits::{RUN_OUTPUT_BYTES, RUN_WARNINGS};
use crate::time::Monotonic;

const ONE: &str = r#"{"id":"a","command":"x","timeoutSeconds":10}"#;

#[test]
fn limits_fall_due_once_and_never_lie_behind() {
    let mut rig = Rig::new(&job(ONE, ""), json!({})).begun();
    let spawn = SpawnId(1);
    rig.act(|run, turn| run.on_prepared(spawn, 100, Ok(Fit::DIRECTLY), turn));
    rig.act(|run, turn| run.on_started(spawn, turn));
    let due = |rig: &Rig| rig.run.next_deadline().map(|deadline| deadline.at.as_millis());
    assert_eq!(due(&rig), Some(10_000));
    rig.now = 9_999;
    assert!(rig.act(|run, turn| run.on_deadline(turn)).is_empty(), "early");
    rig.now = 10_000;
    assert_eq!(rig.act(|run, turn| run.on_deadline(turn)), ["Terminate 1"]);
    assert_eq!(due(&rig), Some(15_000));
    assert!(rig.act(|run, turn| run.on_deadline(turn)).is_empty(), "twice");
    rig.now = 15_000;
    assert_eq!(rig.act(|run, turn| run.on_deadline(turn)), ["Kill 1"]);
    assert_eq!(due(&rig), None, "nothing more can be done");
    rig.act(|run, turn| run.on_exited(spawn, ExitStatus::Signal(9), turn));
    assert_eq!(due(&rig), None);
    rig.act(|run, turn| run.on_collected(spawn, &Captured::default(), &Captured::default(), turn));
    assert_eq!(rig.tasks(), ["a:TimedOut"]);
}

#[test]
fn a_slow_answer_to_collect_leaves_no_deadline_behind() {
    let mut rig = Rig::new(&job(ONE, ""), json!({})).begun();
    rig.act(|run, turn| run.on_prepared(SpawnId(1), 100, Ok(Fit::DIRECTLY), turn));
    rig.act(|run, turn| run.on_exited(SpawnId(1), ExitStatus::Code(0), turn));
    rig.now = 60_000;
    assert!(rig.run.next_deadline().is_none_or(|deadline| deadline.at > Monotonic::from_millis(rig.now)));
}

#[test]
fn a_process_that_was_given_up_before_it_was_prepared_is_never_released() {
    for give_up in [
        (|rig: &mut Rig| {
            rig.now = 10_000;
            rig.act(|run, turn| run.on_deadline(turn))
        }) as fn(&mut Rig) -> Vec<String>,
        |rig| rig.act(|run, turn| run.cancel("test.", turn)),
    ] {
        let mut rig = Rig::new(&job(ONE, ""), json!({})).begun();
        assert_eq!(give_up(&mut rig), ["Abort 1"]);
        assert!(rig.act(|run, turn| run.on_prepared(SpawnId(1), 100, Ok(Fit::DIRECTLY), turn)).is_empty());
        let orders = rig.act(|run, turn| run.on_spawn_failed(SpawnId(1), "aborted.", turn));
        assert_eq!(orders.first().map(String::as_str), Some("!TaskFinished"), "{orders:?}");
        assert!(["TimedOut", "Canceled"].contains(&rig.run.record().status.as_str()));
    }
}

#[test]
fn a_canceled_run_ends_as_canceled_even_if_its_task_succeeds() {
    let two = r#"{"id":"a","command":"x"},{"id":"b","command":"x"}"#;
    let mut rig = Rig::new(&job(two, ""), json!({})).begun();
    rig.act(|run, turn| run.on_prepared(SpawnId(1), 100, Ok(Fit::DIRECTLY), turn));
    assert_eq!(rig.act(|run, turn| run.cancel("test.", turn)), ["Terminate 1"]);
    assert!(rig.act(|run, turn| run.cancel("again.", turn)).is_empty());
    rig.act(|run, turn| run.on_exited(SpawnId(1), ExitStatus::Code(0), turn));
    rig.act(|run, turn| run.on_collected(SpawnId(1), &Captured::default(), &Captured::default(), turn));
    assert_eq!((rig.tasks(), rig.run.record().status.as_str()), (vec!["a:Canceled".to_string()], "Canceled"));
}

#[test]
fn a_run_that_waits_ends_at_once_when_it_is_canceled() {
    let mut rig = Rig::new(&job(ONE, ""), json!({}));
    assert!(rig.act(|run, turn| run.cancel("test.", turn)).is_empty(), "its start is not on record yet");
    let orders = rig.act(|run, turn| run.on_persisted(TicketId(1), &Ok(()), turn));
    assert_eq!(orders, ["Persist Canceled", "!RunFinished", "Jobs/demo/events:finished", "JobService:completed"]);
    let mut rig = Rig::new(&job(ONE, ""), json!({}));
    rig.act(|run, turn| run.on_persisted(TicketId(1), &Ok(()), turn));
    assert_eq!(rig.act(|run, turn| run.cancel("test.", turn))[0], "Persist Canceled");
}

#[test]
fn what_a_run_keeps_is_bounded() {
    let task = r#"{"id":"a","command":"x","onSuccess":"a"}"#;
    let mut rig = Rig::new(&job(task, ""), json!({})).begun();
    let megabyte = "ä".repeat(512 << 10);
    for spawn in 1..=20 {
        rig.task(spawn, ExitStatus::Code(0), &megabyte);
    }
    let kept: usize = rig.run.record().tasks.iter().map(|task| task.stdout.len()).sum();
    assert!((RUN_OUTPUT_BYTES - 4..RUN_OUTPUT_BYTES + 4096).contains(&kept), "{kept}");
    assert!(rig.run.record().tasks[19].stdout.contains("1048576 bytes left out"));
    for index in 0..500 {
        rig.run.record_mut().warn(format!("warning {index}"));
    }
    assert_eq!(rig.run.record().warnings.len(), RUN_WARNINGS);
}
