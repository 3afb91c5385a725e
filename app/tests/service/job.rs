//! Point 2: the documented job. Environment, substitution, Plugin Settings, messages, routing.

use serde_json::{Value, json};

use crate::support::{Stage, eventually};

/// The documented job of seed 001 with a puppet in place of the scanner, and a task behind it that is run on findings only.
fn scanner(stage: &Stage) -> Value {
    let mut job = stage.puppet_job("secrets-scanner", &["KeeperLogger", "Jobs/secrets-scanner/events"], &[]);
    let arguments = job["tasks"][0]["arguments"].as_str().unwrap().to_owned();
    job["name"] = json!("Secrets Scanner");
    job["eventTopic"] = json!("Jobs/secrets-scanner/events");
    job["parameters"] =
        json!([ { "name": "ScanPath", "type": "string", "defaultValue": "/with space/and \"quotes\"" } ]);
    job["tasks"][0]["arguments"] =
        json!(format!("{arguments} --scan \"{{ScanPath}}\" --keeper-api-base={{KeeperApiBaseUrl}}"));
    job["tasks"][0]["MergeStdoutJsonIntoContext"] = json!(true);
    job["tasks"].as_array_mut().unwrap().push(json!({
        "id": "report",
        "command": "echo",
        "arguments": "{filesRead} files read, {findings} findings",
        "condition": { "expression": "findings > 0" }
    }));
    job
}

fn task<'r>(run: &'r Value, id: &str) -> &'r Value {
    run["tasks"].as_array().unwrap().iter().find(|task| task["taskId"] == id).unwrap_or_else(|| panic!("{run}"))
}

#[test]
fn the_documented_job_from_trigger_to_report() {
    let stage = Stage::new();
    stage.job(&scanner(&stage));
    stage.job(&stage.puppet_job("listener", &[], &["Jobs/secrets-scanner/events"]));
    let agent = stage.start();
    agent.trigger("listener");
    let mut listener = stage.puppet("listener");
    listener.connect(agent.mqtt);
    assert_eq!(listener.subscribe("Jobs/secrets-scanner/events"), "[Success(AtLeastOnce)]");

    let run = agent.trigger("secrets-scanner");
    let mut task_program = stage.puppet("secrets-scanner");
    let base = format!("https://127.0.0.1:{}", agent.https);
    assert_eq!(
        task_program.arguments()[1..],
        ["--scan", "/with space/and \"quotes\"", &format!("--keeper-api-base={base}")],
        "each placeholder stays within its argument"
    );
    assert_eq!(task_program.base(), base);
    let environment = task_program.environment();
    assert_eq!(environment["KEEPER_JOB_ID"], "secrets-scanner");
    assert_eq!(environment["KEEPER_JOB_NAME"], "Secrets Scanner");
    let allowed = ["PATH", "LANG", "TZ", "HOME", "TMPDIR", "KEEPER_JOB_ID", "KEEPER_JOB_NAME"];
    let leaked: Vec<&String> = environment.keys().filter(|name| !allowed.contains(&name.as_str())).collect();
    assert_eq!(leaked, Vec::<&String>::new(), "the agent's own environment leaks");

    let (status, settings) = task_program.get("/api/PluginSettings/KeeperPrivilegeManager");
    let settings: Value = serde_json::from_str(&settings).unwrap();
    assert_eq!((status, &settings["broker.host"]), (200, &json!("127.0.0.1")));
    assert_eq!(settings["broker.port"], agent.mqtt.to_string());
    assert_eq!(settings["api.baseUrl"], base);

    task_program.connect(agent.mqtt);
    task_program.log("Scan complete: 3 issues detected.");
    task_program.publish("Jobs/secrets-scanner/events", "{\"findings\":3}");
    let pid = task_program.pid();
    task_program.exit(0, "{\"filesRead\": 12, \"findings\": 3}\n");

    let run = agent.finished(&run);
    assert_eq!(run["outcome"], "Succeeded", "{run}");
    assert_eq!((&task(&run, "act")["pid"], &task(&run, "act")["exitCode"]), (&json!(pid), &json!(0)));
    assert_eq!(task(&run, "report")["stdout"].as_str().unwrap().trim_end(), "12 files read, 3 findings");
    assert_eq!((&run["context"]["filesRead"], &run["context"]["findings"]), (&json!(12), &json!(3)));

    let record = agent.logged_message("Test", "Scan complete: 3 issues detected.");
    assert_eq!(record["component"], "job:secrets-scanner");
    assert_eq!((&record["source"], &record["pid"]), (&json!("Puppet"), &json!(pid)));
    assert_eq!(record["clientId"], format!("secrets-scanner_Puppet_{pid}"));

    heard_in_order(&mut listener);
    listener.exit(0, "");
    agent.stop();
}

/// The agent's own events of the run and the task's message, in the order in which they happened.
fn heard_in_order(listener: &mut crate::support::Puppet) {
    let mut heard = Vec::new();
    while heard.last().is_none_or(|last: &Value| last["event"] != "finished") {
        let (topic, payload) = listener.receive();
        assert_eq!(topic, "Jobs/secrets-scanner/events");
        heard.push(serde_json::from_str(&payload).unwrap());
    }
    let story: Vec<&str> = heard.iter().map(|event| event["event"].as_str().unwrap_or("the task's own")).collect();
    assert_eq!(story, ["started", "the task's own", "taskFinished", "taskFinished", "finished"], "{heard:?}");
    assert_eq!(heard[1], json!({ "findings": 3 }));
}

#[test]
fn without_findings_the_report_is_skipped_and_says_why() {
    let stage = Stage::new();
    stage.job(&scanner(&stage));
    let agent = stage.start();
    let run = agent.trigger("secrets-scanner");
    stage.puppet("secrets-scanner").exit(0, "{\"filesRead\": 12, \"findings\": 0}");
    let run = agent.finished(&run);
    assert_eq!(run["outcome"], "Succeeded", "{run}");
    let report = task(&run, "report");
    assert_eq!(report["outcome"], "Skipped", "{run}");
    assert!(report["reason"].as_str().unwrap().contains("findings = 0 > 0"), "{report}");
    agent.stop();
}

#[test]
fn a_task_that_fails_ends_the_run_as_failed() {
    let stage = Stage::new();
    stage.job(&scanner(&stage));
    let agent = stage.start();
    let run = agent.trigger("secrets-scanner");
    stage.puppet("secrets-scanner").exit(7, "{\"findings\": 3}");
    let run = agent.finished(&run);
    assert_eq!((&run["outcome"], &task(&run, "act")["exitCode"]), (&json!("Failed"), &json!(7)), "{run}");
    assert_eq!(run["tasks"].as_array().unwrap().len(), 1, "nothing runs behind a failure that is not routed: {run}");
    agent.stop();
}

#[test]
fn the_parameters_of_a_trigger_come_before_the_defaults() {
    let stage = Stage::new();
    stage.job(&scanner(&stage));
    let agent = stage.start();
    let body = json!({ "parameters": { "scanpath": "/home; rm -rf $(pwd) '" } });
    let answer = agent.call("POST", "/api/Jobs/secrets-scanner/run").json(&body).send();
    assert_eq!(answer.status, 202, "{answer:?}");
    let task_program = stage.puppet("secrets-scanner");
    assert_eq!(task_program.arguments()[2], "/home; rm -rf $(pwd) '", "no shell ever sees it");
    task_program.exit(0, "");
    agent.stop();
}

#[test]
fn a_job_without_topics_gets_no_keeper_variables() {
    let stage = Stage::new();
    let mut job = stage.puppet_job("plain", &[], &[]);
    job.as_object_mut().unwrap().remove("mqttTopics");
    stage.job(&job);
    let agent = stage.start();
    agent.trigger("plain");
    let mut program = stage.puppet("plain");
    let keeper: Vec<&String> = program.environment().keys().filter(|name| name.starts_with("KEEPER_")).collect();
    assert_eq!(keeper, Vec::<&String>::new());
    let (status, _) = program.get("/api/PluginSettings/KeeperPrivilegeManager");
    assert_eq!(status, 200, "it is a process of the agent all the same");
    program.exit(0, "");
    agent.stop();
}

#[test]
fn a_plugin_and_a_job_talk_to_each_other() {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Echo", &["Echo/Responses/+"], &["Echo/Commands/+"]));
    stage.job(&stage.puppet_job("caller", &["Echo/Commands/ping"], &["Echo/Responses/+"]));
    let agent = stage.start();
    let mut plugin = stage.puppet("Echo");
    plugin.connect_plugin(agent.mqtt);
    plugin.subscribe("Echo/Commands/+");
    agent.trigger("caller");
    let mut caller = stage.puppet("caller");
    caller.connect(agent.mqtt);
    caller.subscribe("Echo/Responses/ping");
    caller.publish("Echo/Commands/ping", "42");
    assert_eq!(plugin.receive(), (String::from("Echo/Commands/ping"), String::from("42")));
    plugin.publish("Echo/Responses/ping", "42");
    assert_eq!(caller.receive(), (String::from("Echo/Responses/ping"), String::from("42")));
    caller.exit(0, "");
    agent.stop();
}

#[test]
fn a_message_starts_other_jobs_where_it_is_declared() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("sender", &["EventMessages", "JobService"], &[]));
    stage.job(&stage.puppet_job("mute", &["KeeperLogger"], &[]));
    stage.job(&json!({
        "id": "waiting",
        "events": [ { "eventType": "Custom", "customEvent": "FileFound" } ],
        "tasks": [ { "id": "say", "command": "echo", "arguments": "{Path}" } ]
    }));
    let agent = stage.start();
    agent.trigger("mute");
    let mut mute = stage.puppet("mute");
    mute.connect(agent.mqtt);
    mute.publish("EventMessages", "{\"eventName\":\"FileFound\"}");
    mute.publish("JobService", "{\"jobId\":\"waiting\"}");
    mute.log("said without effect");
    agent.logged_message("Test", "said without effect");
    assert_eq!(agent.runs("waiting"), Vec::<Value>::new(), "what is not declared starts nothing");

    agent.trigger("sender");
    let mut sender = stage.puppet("sender");
    sender.connect(agent.mqtt);
    sender.publish("EventMessages", "{\"eventName\":\"FileFound\",\"context\":{\"path\":\"/by event\"}}");
    sender.publish("JobService", "{\"jobId\":\"waiting\",\"context\":{\"path\":\"/by id\"}}");
    let runs = eventually("both runs", || {
        let runs = agent.runs("waiting");
        (runs.len() == 2 && runs.iter().all(|run| run["outcome"] == "Succeeded")).then_some(runs)
    });
    let said: Vec<&str> = runs.iter().map(|run| run["tasks"][0]["stdout"].as_str().unwrap().trim_end()).collect();
    assert_eq!(said, ["/by id", "/by event"], "newest first");
    agent.stop();
}
