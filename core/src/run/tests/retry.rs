//! Tries of a task: each on record, a pause between, and only the last one routes.

use super::*;

const TASKS: &str = r#"{"id":"a","command":"x","timeoutSeconds":10,"onFailure":"c","retry":{"attempts":2,"delaySeconds":5}},
    {"id":"b","command":"echo"},{"id":"c","command":"echo","onSuccess":"stop"}"#;

fn spawned(orders: &[String]) -> bool {
    orders.iter().any(|order| order.starts_with("Spawn"))
}

fn over(rig: &mut Rig, seconds: u64) -> Vec<String> {
    rig.now += seconds * 1000;
    rig.act(|run, turn| run.on_deadline(turn))
}

#[test]
fn a_failed_task_is_tried_again_after_its_delay() {
    let mut rig = Rig::new(&job(TASKS, ""), json!({})).begun();
    assert!(!spawned(&rig.task(1, ExitStatus::Code(3), "one")));
    assert_eq!(rig.run.next_deadline().unwrap().at, at(5_000).monotonic);
    assert!(rig.run.is_active(), "a pausing run keeps its place");
    assert!(over(&mut rig, 4).is_empty(), "too early");
    assert!(spawned(&over(&mut rig, 1)));
    rig.task(2, ExitStatus::Code(0), "two");
    assert_eq!(rig.tasks(), ["a:Failed", "a:Succeeded", "b:Succeeded", "c:Succeeded"]);
    let tries = &rig.run.record().tasks;
    assert_eq!(tries[0].route.as_deref(), Some("Once more. retry: 1 of 2 in 5 s."));
    assert_eq!((tries[0].stdout.as_str(), tries[1].stdout.as_str()), ("one", "two"));
}

#[test]
fn only_the_last_try_routes() {
    let mut rig = Rig::new(&job(TASKS, ""), json!({})).begun();
    for spawn in 1..=3 {
        rig.task(spawn, ExitStatus::Code(3), "");
        if spawn < 3 {
            assert!(spawned(&over(&mut rig, 5)));
        }
    }
    assert_eq!(rig.tasks(), ["a:Failed", "a:Failed", "a:Failed", "c:Succeeded"]);
}

#[test]
fn a_task_that_took_too_long_is_tried_again_with_a_time_limit_of_its_own() {
    let mut rig = Rig::new(&job(TASKS, ""), json!({})).begun();
    over(&mut rig, 10);
    rig.act(|run, turn| run.on_spawn_failed(SpawnId(1), "stopped", turn));
    assert!(spawned(&over(&mut rig, 5)));
    assert_eq!(rig.tasks(), ["a:TimedOut", "a:Running"]);
    assert_eq!(rig.run.next_deadline().unwrap().at, at(25_000).monotonic);
}

#[test]
fn a_condition_is_not_asked_again_and_a_way_back_to_the_task_counts_anew() {
    let tasks = r#"{"id":"a","command":"x","condition":"!(LastExitCode == 3)","retry":{"attempts":1}},{"id":"b","command":"echo"}"#;
    let mut rig = Rig::new(&job(tasks, ""), json!({})).begun();
    assert!(spawned(&rig.task(1, ExitStatus::Code(3), "")), "no delay, no pause");
    let tasks = r#"{"id":"a","command":"x","onFailure":"b","retry":{"attempts":1}},{"id":"b","command":"echo","onSuccess":"a"}"#;
    let mut rig = Rig::new(&job(tasks, ""), json!({})).begun();
    for spawn in 1..=4 {
        rig.task(spawn, ExitStatus::Code(3), "");
    }
    assert_eq!(rig.tasks().join(" "), "a:Failed a:Failed b:Succeeded a:Failed a:Failed b:Succeeded a:Running");
}

#[test]
fn built_in_commands_are_tried_again_too() {
    let tasks = r#"{"id":"a","command":"log-message","retry":{"attempts":1,"delaySeconds":5}}"#;
    let mut rig = Rig::new(&job(tasks, ""), json!({})).begun();
    over(&mut rig, 5);
    assert_eq!((rig.tasks().join(" "), rig.run.record().status.as_str()), ("a:Failed a:Failed".into(), "Failed"));
}

#[test]
fn a_run_is_canceled_in_the_pause_at_once() {
    let mut rig = Rig::new(&job(TASKS, ""), json!({})).begun();
    rig.task(1, ExitStatus::Code(3), "");
    let orders = rig.act(|run, turn| run.cancel("the agent stops.", turn));
    assert_eq!(orders, ["Discard 1"]);
    assert_eq!((rig.tasks().join(" "), rig.run.record().status.as_str()), ("a:Failed".into(), "Canceled"));
    assert_eq!(rig.run.next_deadline(), None);
}
