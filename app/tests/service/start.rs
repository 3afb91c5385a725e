//! Point 1: the agent loads its definitions, opens its ports, says so, and fires `Startup`.

use serde_json::json;

use crate::support::{Stage, eventually};

#[test]
fn an_empty_root_becomes_an_agent_that_fires_startup() {
    let stage = Stage::new();
    stage.job(&json!({
        "id": "at-start",
        "name": "At start",
        "events": [ { "eventType": "Startup" } ],
        "tasks": [ { "id": "say", "command": "echo", "arguments": "started by {JobId}" } ]
    }));
    stage.job(&json!({
        "id": "by-hand",
        "name": "By hand",
        "tasks": [ { "id": "say", "command": "echo", "arguments": "never" } ]
    }));
    let mut plugin = stage.puppet_plugin("Quiet", &[], &[]);
    plugin["autoStart"] = json!(false);
    stage.plugin(&plugin);

    let agent = stage.start();

    let ports = agent.ports().unwrap();
    assert_eq!(ports, json!({ "http": agent.http, "https": agent.https, "mqtt": agent.mqtt, "pid": agent.pid() }));
    assert!([agent.http, agent.https, agent.mqtt].iter().all(|port| *port != 0), "{ports}");
    for folder in ["Jobs/bin", "Plugins/bin", "Policies", "state/logs", "state/admin"] {
        assert!(stage.root().join(folder).is_dir(), "{folder} was not made");
    }

    let run = eventually("the run that Startup began", || {
        agent.runs("at-start").pop().filter(|run| run["outcome"].is_string())
    });
    assert_eq!((&run["outcome"], &run["trigger"]), (&json!("Succeeded"), &json!("event Startup")), "{run}");
    assert_eq!(run["tasks"][0]["stdout"].as_str().unwrap().trim_end(), "started by at-start");
    assert_eq!(agent.runs("by-hand"), Vec::<serde_json::Value>::new(), "only jobs that wait for Startup start");

    let status = agent.anonymous("GET", "/api/system/status").send().json();
    assert_eq!((&status["jobCount"], &status["pluginCount"]), (&json!(2), &json!(1)), "{status}");
    agent.logged_message("Ready", &format!("mqtts://127.0.0.1:{}", agent.mqtt));
    agent.logged_message("Loaded", "3 definitions loaded, 0 refused");

    assert_eq!(
        (agent.stdout(), agent.stderr()),
        (String::new(), String::new()),
        "nothing is printed without a terminal"
    );
    agent.stop();
}

#[test]
fn plain_http_serves_health_and_points_to_https() {
    let stage = Stage::new();
    let agent = stage.start();
    let health = agent.call("GET", "/health").plain(agent.http).send();
    assert_eq!((health.status, &health.json()["status"]), (200, &json!("healthy")));

    let elsewhere = agent.call("GET", "/api/Jobs").plain(agent.http).send();
    let location = format!("https://127.0.0.1:{}/api/Jobs", agent.https);
    assert_eq!((elsewhere.status, elsewhere.header("location")), (308, Some(location.as_str())));
    assert_eq!(agent.call("POST", "/api/Jobs").plain(agent.http).json(&json!({})).send().status, 403);
    agent.stop();
}

#[cfg(not(feature = "otlp"))]
#[test]
fn an_agent_that_was_built_without_telemetry_says_so_where_it_is_wanted_and_works() {
    let stage = Stage::new();
    stage.settings(json!({ "Telemetry": { "Endpoint": "http://127.0.0.1:9" } }));
    stage.job(&json!({ "id": "say", "tasks": [ { "id": "say", "command": "echo" } ] }));
    let agent = stage.start();
    agent.logged_message(
        "Start",
        "Settings:Telemetry has no effect: this castellan was built without the feature 'otlp'",
    );
    assert_eq!(agent.run("say")["outcome"], "Succeeded");
    agent.stop();
}
