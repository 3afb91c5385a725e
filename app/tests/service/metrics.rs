//! `GET /metrics`: the figures move with what happens.

use serde_json::json;

use crate::support::{Agent, Stage};

/// The value of a sample, by its name with its labels; 0 where there is none.
fn value(agent: &Agent<'_>, sample: &str) -> f64 {
    let answer = agent.call("GET", "/metrics").send();
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("text/plain; version=0.0.4; charset=utf-8")));
    let line = answer.body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[test]
fn the_figures_move_with_what_happens() {
    let stage = Stage::new();
    stage.job(&json!({ "id": "good", "tasks": [ { "id": "say", "command": "echo" } ] }));
    stage.script("Breaks", "exit 3");
    stage.job(&json!({ "id": "bad", "tasks": [ { "id": "break", "command": "Breaks" } ] }));
    let agent = stage.start();
    let (succeeded, failed) =
        ("castellan_runs_total{outcome=\"Succeeded\"}", "castellan_runs_total{outcome=\"Failed\"}");
    assert_eq!((value(&agent, succeeded), value(&agent, failed)), (0.0, 0.0));
    agent.run("good");
    agent.run("good");
    agent.run("bad");
    assert_eq!((value(&agent, succeeded), value(&agent, failed)), (2.0, 1.0));
    assert_eq!(value(&agent, "castellan_run_duration_seconds_count"), 3.0);
    assert_eq!(value(&agent, "castellan_run_duration_seconds_bucket{le=\"+Inf\"}"), 3.0);
    assert!(value(&agent, "castellan_run_duration_seconds_sum") > 0.0, "a process takes its time");
    assert_eq!(value(&agent, "castellan_jobs{enabled=\"true\"}"), 2.0);
    assert_eq!(value(&agent, "castellan_runs_active"), 0.0);

    let calls = "castellan_denials_total{action=\"call\"}";
    let before = value(&agent, calls);
    let refused = agent.anonymous("GET", "/metrics").send();
    assert_eq!(refused.status, 403, "{refused:?}");
    assert_eq!(value(&agent, calls), before + 1.0);
    assert_eq!(value(&agent, "castellan_http_requests_total{route=\"/metrics\",status=\"403\"}"), 1.0);
    let triggers = "castellan_http_requests_total{route=\"/api/Jobs/{jobId}/trigger\",status=\"200\"}";
    assert_eq!(value(&agent, triggers), 3.0);
    assert!(value(&agent, "castellan_http_connections_total") > 3.0);
    agent.stop();
}
