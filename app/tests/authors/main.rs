//! The commands for job authors: the real binary on files of a temporary folder, its output as JSON and its exit codes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail by panicking; it writes files as an author does and starts the binary"
)]

use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

struct Desk {
    folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str, content: &str) -> &Self {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self
    }

    fn run(&self, arguments: &str) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
        command.args(arguments.split_whitespace()).current_dir(self.folder.path()).env_remove("CASTELLAN_ROOT");
        command.output().unwrap()
    }

    /// The document that a command prints with `-o json`, and its exit code.
    #[track_caller]
    fn json(&self, arguments: &str) -> (i32, Value) {
        let output = self.run(&format!("{arguments} -o json"));
        let document = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code().unwrap(), document)
    }

    #[track_caller]
    fn refuses(&self, arguments: &str, code: i32, why: &str) {
        let output = self.run(arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {told}");
        assert!(told.contains(why), "{arguments}: {told}");
    }
}

fn scan() -> String {
    json!({ "id": "scan", "events": ["Go"], "schedule": { "cronExpression": "30 2 * * *" },
        "mqttTopics": { "allowedPublications": ["Scans/done"], "allowedSubscriptions": [] },
        "parameters": [ { "name": "Path", "defaultValue": "/etc" } ],
        "tasks": [
            { "id": "find", "command": "Finder", "arguments": "--in \"{Path}\"", "mergeStdoutJsonIntoContext": true,
              "onFailure": "mend" },
            { "id": "tell", "command": "publish-mqtt", "arguments": "--topic Scans/done --payload {found}",
              "condition": "found > 2", "onSuccess": "stop" },
            { "id": "mend", "command": "echo", "arguments": "nothing to tell" } ] })
    .to_string()
}

#[test]
fn simulate_tells_the_way_of_a_run() {
    let desk = Desk::new();
    desk.file("scan.json", &scan())
        .file("found.txt", "{\"found\": 3}")
        .file("given/values.json", "{\"path\": \"/a b\"}");
    let at = "--at 2026-03-01T12:00:00Z";
    let (code, story) = desk.json(&format!(
        "simulate scan.json --event go --context given/values.json --assume find.stdout=found.txt {at}"
    ));
    let run = &story["runs"][0];
    assert_eq!(
        (code, &run["outcome"], &run["startedAt"]),
        (0, &json!("Succeeded"), &json!("2026-03-01T12:00:00.000Z"))
    );
    assert_eq!(run["tasks"][0]["commandLine"], json!(["Finder", "--in", "/a b"]));
    assert_eq!(run["tasks"].as_array().unwrap().len(), 2, "the route of 'tell' ends the run");
    assert_eq!(run["context"]["found"], 3);
    let own: Vec<&Value> =
        story["published"].as_array().unwrap().iter().filter(|one| one["lifecycle"] == false).collect();
    assert_eq!((own.len(), &own[0]["topic"], &own[0]["payload"]), (1, &json!("Scans/done"), &json!(3)));
    let text = String::from_utf8(desk.run("simulate scan.json --assume find.stdout=found.txt").stdout).unwrap();
    assert!(text.contains("condition: true: found = 3 > 2"), "{text}");
    assert!(text.contains("published on Scans/done: 3"), "{text}");

    let (code, story) = desk.json(&format!("simulate . --assume find=exit:1 {at}"));
    assert_eq!((code, &story["runs"][0]["tasks"][0]["outcome"]), (0, &json!("Failed")));
    assert_eq!(story["runs"][0]["tasks"][1]["taskId"], "mend");
    let (_, again) = desk.json(&format!("simulate . --assume find=exit:1 {at}"));
    assert_eq!(story, again, "the same question has the same answer");
}

/// Every decision of the run below. The secret parameter shows nowhere, although a program writes its value and it is merged.
const DECISIONS: &str = r#"run 1-1 of tell, triggered by api call of admin:simulation, at 2026-03-01T12:00:00.000Z
  condition: true: Count = 2 > 1.
  task off: Skipped
    because: The plugin setting Scanner:on is not set.
    merge: from contextWhenSkipped: found = 0.
    then: To 'not'. Skipped: next in the list.
  task not: Skipped
    because: The condition is false: found = 0 > 0.
    then: To 'try'. Skipped: next in the list.
  task try: Failed
    condition: true: Count = 2 == 2.
    token: {Pin} is ***.
    token: {Count} is 2.
    token: {nobody} stays as it is; nobody sets it.
    runs: "Tool" "***" "2" "{nobody}" "***"
    ends: exit code 1
    because: It exited with code 1.
    stdout: {"found": [1, "***"]}
    merge: from its output: found = [1,"***"].
    then: Once more. retry: 1 of 1 in 0 s.
  task try: Succeeded
    token: {Pin} is ***.
    token: {Count} is 2.
    token: {nobody} stays as it is; nobody sets it.
    runs: "Tool" "***" "2" "{nobody}" "***"
    ends: exit code 0
    stdout: {"found": [1, "***"]}
    merge: from its output: found = [1,"***"].
    then: To 'last'. onSuccess of 'try'.
  task last: Succeeded
    token: {found} is [1,"***"].
    runs: "echo" "[1,\"***\"]"
    ends: exit code 0
    stdout: [1,"***"]
    then: The run ends. The list of tasks is done.
  warning: Task 'try': nobody sets {nobody}; it stays as it is.
  outcome: Succeeded. The list of tasks is done.
  context: {"Count":2,"LastExitCode":0,"LastOutput":"[1,\"***\"]","Pin":"***","found":[1,"***"],"last.ExitCode":0,"try.ExitCode":0}
"#;

#[test]
fn simulate_prints_every_decision_with_its_values() {
    let desk = Desk::new();
    let job = json!({ "id": "tell", "condition": "Count > 1", "parameters": [
        { "name": "Pin", "secret": true, "required": true }, { "name": "Count", "type": "integer", "default": 2 } ],
        "tasks": [
            { "id": "off", "command": "Tool", "skipWhenPluginSettingFalse": "Scanner:on", "contextWhenSkipped": { "found": 0 } },
            { "id": "not", "command": "Tool", "condition": "found > 0" },
            { "id": "try", "command": "Tool", "arguments": "{Pin} {Count} {nobody} {Pin}", "condition": "Count == 2",
              "mergeStdoutJsonIntoContext": true, "retry": { "attempts": 1 }, "onSuccess": "last", "onFailure": "stop" },
            { "id": "list", "command": "echo" },
            { "id": "last", "command": "echo", "arguments": "{found}" } ] });
    desk.file("tell.json", &job.to_string()).file("out.txt", "{\"found\": [1, \"geheim\"]}");
    let assume = "--assume try=exit:1 --assume try=exit:0 --assume try.stdout=out.txt";
    let told =
        desk.run(&format!("simulate tell.json --context {{\"Pin\":\"geheim\"}} {assume} --at 2026-03-01T12:00:00Z"));
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(text, DECISIONS, "{text}");
}

#[test]
fn simulate_has_an_exit_code_for_each_end() {
    let desk = Desk::new();
    desk.file("scan.json", &scan()).file("bad/bad.json", "{}").file("two/a.json", &scan());
    desk.file("two/b.json", &scan().replace("\"scan\"", "\"other\""));
    desk.refuses("simulate scan.json --event Nobody", 1, "No job in service waits");
    desk.refuses("simulate scan.json --os windows --assume find=exit:1 --event Startup", 1, "No job in service");
    desk.refuses("simulate scan.json --assume find=maybe", 2, "no end");
    desk.refuses("simulate scan.json --at noon", 2, "RFC 3339");
    desk.refuses("simulate two", 2, "several jobs");
    desk.refuses("simulate nowhere.json", 3, "nowhere.json");
    desk.refuses("simulate bad/bad.json", 6, "bad/bad.json:1:1: error required: 'id'");
    desk.file("fails.json", &json!({ "id": "fails", "tasks": [ { "id": "a", "command": "x" } ] }).to_string());
    desk.refuses("simulate fails.json --assume a=signal:9", 1, "fails Failed");
    let root = desk.folder.path().display().to_string();
    desk.file("Jobs/scan.json", &scan());
    assert_eq!(desk.json(&format!("simulate scan --root {root}")).0, 0, "a job by its id in a root");
}

#[test]
fn lint_names_file_place_and_code() {
    let desk = Desk::new();
    desk.file("scan.json", &scan());
    let (code, report) = desk.json("job lint scan.json");
    assert_eq!((code, &report["files"][0]["valid"], &report["files"][0]["findings"]), (0, &json!(true), &json!([])));
    let fires = |id: &str, on: &str, fires: &str| {
        json!({ "id": id, "events": [on],
            "tasks": [ { "id": "f", "command": "fire-event", "arguments": format!("--event {fires}") } ] })
        .to_string()
    };
    desk.file("loop/a.json", &fires("a", "One", "Two")).file("loop/b.json", &fires("b", "Two", "One"));
    let (code, report) = desk.json("job lint loop");
    assert_eq!(code, 0, "warnings are no errors");
    for file in [0, 1] {
        let finding = &report["files"][file]["findings"][0];
        assert_eq!((&finding["code"], &finding["path"]), (&json!("event-loop"), &json!("/tasks/0/arguments")));
    }
    desk.file("bad_id.json", &fires("bad_id", "One", "Two"));
    let (code, report) = desk.json("job lint scan.json bad_id.json");
    assert_eq!((code, &report["files"][1]["findings"][0]["code"]), (6, &json!("id-underscore")));
    let text = String::from_utf8(desk.run("job lint bad_id.json").stdout).unwrap();
    assert!(text.contains("bad_id.json:1:"), "{text}");
    desk.refuses("job lint nowhere.json", 3, "nowhere.json");
}

#[test]
fn preview_lists_what_is_due() {
    let desk = Desk::new();
    desk.file("scan.json", &scan());
    let ask = "schedule preview scan.json --next 3 --from 2026-03-28T00:00:00Z --tz Europe/Vienna";
    let (code, preview) = desk.json(ask);
    // 02:30 does not exist on the 29th; 03:00, the first instant after the gap, stands for it.
    let due = ["2026-03-28T01:30:00.000Z", "2026-03-29T01:00:00.000Z", "2026-03-30T00:30:00.000Z"];
    assert_eq!((code, preview), (0, json!({ "due": due })));
    desk.file("every.json", &scan().replace(r#"{"cronExpression":"30 2 * * *"}"#, r#"{"intervalMinutes":90}"#));
    let (_, preview) = desk.json("schedule preview every.json --next 2 --from 2026-03-28T00:00:00Z");
    assert_eq!(preview, json!({ "due": ["2026-03-28T01:30:00.000Z", "2026-03-28T03:00:00.000Z"] }));
    desk.file(
        "once.json",
        &scan().replace(r#"{"cronExpression":"30 2 * * *"}"#, r#"{"runAt":"2026-03-01T00:00:00Z"}"#),
    );
    assert_eq!(desk.json("schedule preview once.json --from 2026-03-28T00:00:00Z").1, json!({ "due": [] }));
    desk.refuses("schedule preview scan.json --tz Middle/Earth", 2, "no time zone");
    desk.refuses("schedule preview scan.json --next 0", 2, "--next");
    desk.refuses("schedule preview scan.json --past 7d --root .", 3, "There is no history at ./state/history.db");
    for wrong in ["7", "0d", "d", "7w", "-1d"] {
        desk.refuses(&format!("schedule preview scan.json --past={wrong}"), 2, "7d, 12h or 30m");
    }
    desk.refuses("schedule preview scan.json --past 7d --next 3", 2, "cannot be used with");
}

#[test]
fn why_not_names_the_guards() {
    let desk = Desk::new();
    desk.file("scan.json", &scan());
    let stopping = |question: &str| {
        let (code, answer) = desk.json(question);
        assert_eq!(code, 0, "{answer}");
        let guards = answer["guards"].as_array().unwrap().clone();
        let stops = guards.iter().filter(|guard| guard["stops"] == true);
        stops.map(|guard| guard["guard"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(stopping("why-not scan.json --at 2026-03-01T02:30:00Z --tz UTC"), Vec::<String>::new());
    assert_eq!(stopping("why-not scan.json --at 2026-03-01T02:32:00Z --tz UTC"), ["schedule"]);
    desk.file("off.json", &scan().replacen('{', "{\"enabled\":false,\"condition\":\"RiskLevel > 50\",", 1));
    assert_eq!(stopping("why-not off.json --at 2026-03-01T02:30:00Z --tz UTC"), ["enabled"]);
    desk.file("off.json", &scan().replacen('{', "{\"condition\":\"RiskLevel > 50\",", 1));
    assert_eq!(stopping("why-not off.json --at 2026-03-01T02:30:00Z --tz UTC"), ["condition"]);
    let text = String::from_utf8(desk.run("why-not off.json --root .").stdout).unwrap();
    assert!(text.contains("not known without a history in ./state; name the root with --root"), "{text}");
    desk.file("bad.json", "{\"id\":\"bad\"}");
    desk.refuses("why-not bad.json", 6, "bad.json:1:1: error required: 'tasks'");
}

#[test]
fn schema_prints_one_document_for_each_kind() {
    let desk = Desk::new();
    for kind in ["job", "plugin", "settings", "policy", "test"] {
        let output = desk.run(&format!("schema {kind}"));
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{kind}");
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["$id"], format!("urn:castellan:schema:{kind}"));
        assert!(schema["properties"].as_object().unwrap().len() > 1, "{kind}");
    }
    let help = String::from_utf8(desk.run("schema --help").stdout).unwrap();
    assert!(help.contains("json.schemas"), "{help}");
    desk.refuses("schema jobs", 2, "a similar value exists: 'job'");
}

#[test]
fn cases_pass_or_say_what_differs() {
    let desk = Desk::new();
    let case = |ends: &str, route: Value| {
        json!({ "name": "a scan that fails is mended", "jobs": ["../scan.json"], "event": "Go", "context": { "Path": "/srv" },
            "assume": { "find": { "ends": [ends], "stdout": { "found": 5 }, "seconds": 2 } },
            "expect": { "outcome": "Succeeded", "route": route, "context": { "found": 5, "Path": "/srv" },
                "publishes": [ { "topic": "Scans/done", "payload": 5 } ] } })
        .to_string()
    };
    desk.file("scan.json", &scan()).file("cases/good.test.json", &case("exit:0", json!(["find", "tell"])));
    let (code, report) = desk.json("job test cases");
    assert_eq!((code, &report["cases"][0]["passed"]), (0, &json!(true)), "{report}");
    desk.file("cases/bad.test.json", &case("exit:1", json!(["find", "tell"])));
    let (code, report) = desk.json("job test cases");
    assert_eq!((code, &report["cases"][0]["passed"], &report["cases"][1]["passed"]), (1, &json!(false), &json!(true)));
    let route = &report["cases"][0]["differences"][0];
    let expected = json!({ "what": "route", "expected": ["find", "tell"], "found": ["find", "mend"] });
    assert_eq!(route, &expected, "{report}");
    let text = String::from_utf8(desk.run("job test cases").stdout).unwrap();
    assert!(text.contains("FAILED cases/bad.test.json") && text.contains("found    [\"find\",\"mend\"]"), "{text}");
    desk.file("wrong/w.test.json", "{\"jobs\":[\"../scan.json\"],\"expect\":{\"outcom\":\"Failed\"}}");
    desk.refuses("job test wrong", 6, "outcom");
    desk.refuses("job test .", 3, "no *.test.json");
}
