//! The record on its way to the disk: which task runs stands there while it runs.

use super::*;
use crate::effect::Effect;

const TASKS: &str = r#"{"id":"a","command":"x"},{"id":"b","command":"y"}"#;

/// The ticket and the tasks of each record that was saved.
fn saved(rig: &Rig) -> Vec<(TicketId, String)> {
    let tasks = |record: &RunRecord| {
        let tasks: Vec<String> = record.tasks.iter().map(|task| format!("{}:{}", task.task_id, task.outcome)).collect();
        tasks.join(" ")
    };
    let record = |effect: &Effect| match effect {
        Effect::Store(StoreOrder::PersistRun { ticket, record, .. }) => Some((*ticket, tasks(record))),
        _ => None,
    };
    rig.effects.iter().filter_map(record).collect()
}

fn answer(rig: &mut Rig, ticket: TicketId, result: Result<(), String>) -> Vec<String> {
    rig.act(|run, turn| run.on_persisted(ticket, &result, turn))
}

#[test]
fn a_lost_run_shows_which_task_was_running() {
    let mut rig = Rig::new(&job(TASKS, ""), json!({})).begun();
    let [(first, tasks)] = &saved(&rig)[..] else { panic!("one record") };
    assert_eq!(tasks, "a:Running");
    let first = *first;
    assert!(answer(&mut rig, first, Ok(())).is_empty(), "no anomaly");
    rig.task(1, ExitStatus::Code(0), "");
    assert_eq!(saved(&rig)[0].1, "a:Succeeded b:Running");
}

#[test]
fn a_slow_disk_gets_one_record_at_a_time_and_then_the_latest() {
    let mut rig = Rig::new(&job(TASKS, ""), json!({})).begun();
    let first = saved(&rig)[0].0;
    rig.task(1, ExitStatus::Code(0), "");
    assert!(saved(&rig).is_empty(), "one is under way");
    answer(&mut rig, first, Ok(()));
    assert_eq!(saved(&rig)[0].1, "a:Succeeded b:Running");
}

#[test]
fn a_record_that_failed_is_told_and_the_run_goes_on() {
    let mut rig = Rig::new(&job(TASKS, ""), json!({})).begun();
    let first = saved(&rig)[0].0;
    assert_eq!(answer(&mut rig, first, Err("disk full".into())), ["!HistoryNotWritten"]);
    assert!(rig.run.is_active());
}
