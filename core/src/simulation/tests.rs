//! The simulator: it goes the ways the service goes, answers what it is asked, and comes to an end.

use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use serde_json::{Map, Value, json};

use super::{Assumptions, Scenario, Story, Trigger, simulate, why_not};
use crate::config::Settings;
use crate::event::{DefinitionFile, DefinitionKind};
use crate::job::JobDefinition;
use crate::run::history::Outcome;
use crate::schedule::past::{Happening, Life, Note, Past, PastRun};
use crate::time::WallTime;
use crate::turn::fixtures;

fn scenario(jobs: &[Value], trigger: Trigger, assume: &[&str]) -> Scenario {
    let mut assumptions = Assumptions::default();
    for text in assume {
        assumptions.assume(text, &|file| Ok(file.replace('\'', "\"").into_bytes())).unwrap();
    }
    let file = |job: &Value| DefinitionFile {
        kind: DefinitionKind::Job,
        stem: job["id"].as_str().unwrap().to_string(),
        content: Ok(job.to_string().into_bytes().into()),
    };
    Scenario {
        surroundings: fixtures::surroundings(),
        settings: Settings::default(),
        definitions: jobs.iter().map(file).collect(),
        trigger,
        assumptions,
        at: WallTime::parse_rfc3339("2026-03-01T12:00:00Z").unwrap(),
    }
}

fn by_hand(id: &str) -> Trigger {
    Trigger::Job { id: id.to_string(), context: Map::new() }
}

fn event(name: &str) -> Trigger {
    Trigger::Event { name: name.to_string(), context: json!({ "who": "me" }).as_object().unwrap().clone() }
}

/// `job: task outcome, … = outcome` of each run.
fn routes(story: &Story) -> Vec<String> {
    let run = |run: &crate::run::history::RunRecord| {
        let tasks: Vec<String> = run.tasks.iter().map(|task| format!("{} {}", task.task_id, task.outcome)).collect();
        format!("{}: {} = {}", run.job_id, tasks.join(", "), run.status)
    };
    story.runs.iter().map(run).collect()
}

fn scan() -> Value {
    json!({ "id": "scan", "events": ["Go"], "tasks": [
        { "id": "find", "command": "Finder", "arguments": "{who}", "mergeStdoutJsonIntoContext": true,
          "onFailure": "mend", "timeoutSeconds": 60 },
        { "id": "tell", "command": "echo", "arguments": "{found}", "condition": "found > 2", "onSuccess": "stop" },
        { "id": "mend", "command": "fire-event", "arguments": "--event Broken" } ] })
}

#[test]
fn a_run_goes_as_its_programs_end() {
    let play = |assume: &[&str]| routes(&simulate(scenario(&[scan()], event("go"), assume)));
    let merged = play(&["find.stdout={'found':3}"]);
    assert_eq!(merged, ["scan: find Succeeded, tell Succeeded = Succeeded"]);
    let false_condition = play(&["find.stdout={'found':1}"]);
    assert_eq!(false_condition, ["scan: find Succeeded, tell Skipped, mend Succeeded = Succeeded"]);
    for (end, outcome) in [("exit:1", "Failed"), ("signal:9", "Failed"), ("missing", "Failed"), ("hang", "TimedOut")] {
        let routed = play(&[&format!("find={end}")]);
        assert_eq!(routed, [format!("scan: find {outcome}, mend Succeeded = Succeeded")], "{end}");
    }
}

#[test]
fn time_is_virtual_and_limits_hold() {
    let mut hang = scenario(&[scan()], by_hand("scan"), &["find=hang"]);
    hang.at = WallTime::parse_rfc3339("2026-03-01T00:00:00Z").unwrap();
    let story = simulate(hang.clone());
    assert_eq!(story.runs[0].tasks[0].duration_ms, Some(60_000));
    assert_eq!(story.runs[0].finished_at.as_deref(), Some("2026-03-01T00:01:00.000Z"));
    assert_eq!(simulate(hang), story, "the same scenario gives the same story");
    let slow = simulate(scenario(&[scan()], by_hand("scan"), &["find.seconds=59"]));
    assert_eq!((slow.runs[0].tasks[0].duration_ms, slow.is_good()), (Some(59_000), true));
}

#[test]
fn a_job_that_goes_round_ends_at_its_limit() {
    let round = json!({ "id": "round", "tasks": [ { "id": "a", "command": "Tool", "onSuccess": "a" } ] });
    let story = simulate(scenario(&[round], by_hand("round"), &[]));
    assert_eq!(story.runs[0].outcome, Some(Outcome::Failed));
    assert_eq!(story.runs[0].tasks.len(), 1000);
}

#[test]
fn events_lead_from_job_to_job() {
    let mended = json!({ "id": "mended", "events": ["Broken"], "mqttTopics": { "allowedPublications": ["T"] }, "tasks": [
        { "id": "say", "command": "publish-mqtt", "arguments": "--topic T --payload done" } ] });
    let story = simulate(scenario(&[scan(), mended], event("Go"), &["scan/find=exit:2", "nobody=exit:1"]));
    let expected = ["scan: find Failed, mend Succeeded = Succeeded", "mended: say Succeeded = Succeeded"];
    assert_eq!(routes(&story), expected);
    let said: Vec<_> = story.published.iter().filter(|published| !published.lifecycle).collect();
    assert_eq!((said.len(), said[0].topic.as_str(), said[0].value()), (1, "T", json!("done")));
    assert_eq!(story.unused_assumptions, ["nobody"]);
    assert_eq!(story.runs[0].tasks[0].command_line, ["Finder", "me"], "the event's context is substituted");
}

#[test]
fn startup_fires_only_where_it_is_asked_for() {
    let startup = json!({ "id": "first", "events": ["Startup"], "tasks": [ { "id": "a", "command": "echo" } ] });
    let jobs = [startup, scan()];
    assert_eq!(routes(&simulate(scenario(&jobs, event("Startup"), &[]))), ["first: a Succeeded = Succeeded"]);
    assert_eq!(simulate(scenario(&jobs, by_hand("scan"), &[])).runs.len(), 1);
}

#[test]
fn repeated_ends_count_one_after_the_other() {
    let twice = json!({ "id": "twice", "tasks": [
        { "id": "try", "command": "Tool", "onFailure": "try", "onSuccess": "stop" } ] });
    let story = simulate(scenario(&[twice], by_hand("twice"), &["try=exit:1", "try=exit:1", "try=exit:0"]));
    assert_eq!(routes(&story), ["twice: try Failed, try Failed, try Succeeded = Succeeded"]);
}

#[test]
fn what_is_refused_says_why() {
    let disabled = json!({ "id": "off", "enabled": false, "tasks": [ { "id": "a", "command": "echo" } ] });
    let story = simulate(scenario(&[disabled], by_hand("off"), &[]));
    assert!(story.refusal.clone().unwrap().contains("disabled"), "{story:?}");
    assert!(!story.is_good());
    let story = simulate(scenario(&[scan()], event("Nobody"), &[]));
    assert!(story.refusal.unwrap().contains("No job in service"));
    for wrong in ["find", "=exit:1", "find=exit:x", "find=gone", "find.seconds=soon"] {
        assert!(Assumptions::default().assume(wrong, &|_| Ok(vec![])).is_err(), "{wrong}");
    }
}

#[test]
fn why_not_names_the_guard() {
    let stops = |job: Value| {
        let definition = JobDefinition::parse(job.to_string().as_bytes(), None).unwrap().0;
        let id = definition.id.to_string();
        let guards = why_not(&definition, scenario(&[job], by_hand(&id), &[]), None).unwrap();
        guards
            .into_iter()
            .filter(|guard| guard.stops)
            .map(|guard| format!("{}: {}", guard.guard, guard.explanation))
            .collect::<Vec<_>>()
    };
    let job = |more: Value| {
        let mut job = json!({ "id": "j", "schedule": { "cronExpression": "0 12 * * *", "timeZone": "UTC" },
            "tasks": [ { "id": "a", "command": "echo" } ] });
        job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        job
    };
    assert_eq!(stops(job(json!({}))), Vec::<String>::new(), "it is due at noon");
    assert!(stops(job(json!({ "enabled": false })))[0].starts_with("enabled: The job is disabled"));
    assert!(stops(job(json!({ "osFilter": { "windows": true } })))[0].starts_with("osFilter: "));
    let false_condition = stops(job(json!({ "condition": "hasdesktop == 'x' && 1 > 2" })));
    assert!(false_condition[0].starts_with("condition: The job's condition is false:"), "{false_condition:?}");
    let required = stops(job(json!({ "parameters": [ { "name": "P", "required": true } ] })));
    assert!(required[0].contains("required parameter 'P'"), "{required:?}");
    let late = stops(job(json!({ "schedule": { "runAt": "2026-03-02T00:00:00Z" } })));
    assert!(late[0].contains("the next instant is 2026-03-02T00:00:00.000Z"), "{late:?}");
}

#[test]
fn why_not_knows_from_the_history_what_stood_against_a_run_then() {
    let noon = WallTime::parse_rfc3339("2026-03-01T12:00:00Z").unwrap();
    let hours = |count: i64| WallTime::from_millis(noon.as_millis() + count * 60 * 60 * 1000);
    let life = Life { started: hours(-9), stopped: None, seen: hours(-9) };
    let up = Past { lives: vec![life], is_running: true, now: hours(9), ..Past::default() };
    let run = |due: Option<WallTime>| PastRun {
        run_id: "7-3".to_string(),
        due,
        started: hours(-1),
        finished: Some(hours(1)),
        ..PastRun::default()
    };
    let note = |guard: &str| {
        let (job_id, due, guard) = ("j".to_string(), Some(noon.to_rfc3339()), guard.to_string());
        Note {
            boot: 7,
            at: noon.to_rfc3339(),
            what: Happening::NotRun { job_id, due, guard, why: "As noted.".to_string() },
        }
    };
    let stopped = Life { stopped: Some(hours(-2)), ..life };
    let table = [
        ("skip", up.clone(), ""),
        ("skip", Past { lives: vec![stopped], ..up.clone() }, "agent: The agent was not running: it was stopped at"),
        ("skip", Past { runs: vec![run(None)], ..up.clone() }, "overlap: Run 7-3 was active from"),
        ("skip", Past { runs: vec![run(Some(noon))], ..up.clone() }, ""),
        ("queue", Past { runs: vec![run(None)], ..up.clone() }, ""),
        ("queue", Past { waiting: 256, ..up.clone() }, "queue: 256 runs waited"),
        ("queue", Past { waiting: 255, ..up.clone() }, ""),
        ("queue", Past { notes: vec![note("queue")], ..up.clone() }, "queue: As noted."),
        ("skip", Past { notes: vec![note("overlap")], ..up.clone() }, "overlap: As noted."),
        ("skip", Past { notes: vec![note("late")], ..up }, "agent: As noted."),
    ];
    for (overlap, past, expect) in table {
        let job = json!({ "id": "j", "overlap": overlap, "schedule": { "cronExpression": "0 12 * * *", "timeZone": "UTC" },
            "tasks": [ { "id": "a", "command": "echo" } ] });
        let definition = JobDefinition::parse(job.to_string().as_bytes(), None).unwrap().0;
        let guards = why_not(&definition, scenario(&[job], by_hand("j"), &[]), Some(&past)).unwrap();
        let names: Vec<&str> = guards.iter().map(|guard| guard.guard).collect();
        assert_eq!(names, ["enabled", "osFilter", "schedule", "agent", "overlap", "queue", "condition"]);
        let stops = guards.iter().filter(|guard| guard.stops);
        let stops: Vec<String> = stops.map(|guard| format!("{}: {}", guard.guard, guard.explanation)).collect();
        assert_eq!(stops.len(), usize::from(!expect.is_empty()), "{stops:?}");
        assert!(stops.iter().all(|stop| stop.starts_with(expect)), "{stops:?}");
    }
}

#[test]
fn a_request_is_answered_as_its_task_is_assumed_to_end() {
    let ask = json!({ "id": "ask", "events": ["Go"], "tasks": [
        { "id": "get", "executionType": "Http", "method": "GET", "url": "https://risk.example/score", "timeoutSeconds": 60,
          "mergeStdoutJsonIntoContext": true },
        { "id": "tell", "command": "echo", "arguments": "{score}" } ] });
    let told = |assume: &[&str]| {
        let story = simulate(scenario(std::slice::from_ref(&ask), event("Go"), assume));
        let status = story.runs[0].tasks[0].http_status;
        (routes(&story)[0].clone(), status, story.runs[0].context.get("score").cloned())
    };
    let good = told(&["get.stdout={'score':7}"]);
    assert_eq!(good, ("ask: get Succeeded, tell Succeeded = Succeeded".to_string(), Some(200), Some(json!(7))));
    assert_eq!(told(&["get=exit:404"]), ("ask: get Failed = Failed".to_string(), Some(404), None));
    assert_eq!(told(&["get=missing"]), ("ask: get Failed = Failed".to_string(), None, None));
    assert_eq!(told(&["get=hang"]), ("ask: get TimedOut = TimedOut".to_string(), None, None));
}

#[test]
fn a_condition_is_told_when_it_is_asked_and_a_retry_does_not_ask() {
    let job = json!({ "id": "try", "events": ["Go"], "tasks": [
        { "id": "t", "command": "x", "condition": "!(LastExitCode == 3)", "retry": { "attempts": 1 } } ] });
    let story = simulate(scenario(&[job], event("Go"), &["t=exit:3", "t=exit:0"]));
    assert_eq!(routes(&story), ["try: t Failed, t Succeeded = Succeeded"]);
    let told = |kind: &str| story.steps.iter().filter(|step| step.kind == kind).count();
    assert_eq!((told("ConditionHeld"), told("TaskSkipped")), (1, 0));
}
