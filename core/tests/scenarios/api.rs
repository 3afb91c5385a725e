//! Job management over the API: nothing half done, one answer each.

use castellan_core::event::DefinitionKind;
use serde_json::{Value, json};

use crate::world::World;

fn job(id: &str, members: &str) -> String {
    format!(r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool"}}]{members}}}"#)
}

fn file(world: &World, id: &str) -> Option<String> {
    let bytes = world.files.get(&(DefinitionKind::Job, id.to_owned()))?;
    Some(String::from_utf8(bytes.clone()).unwrap())
}

#[test]
fn creating_a_job_whose_binary_is_missing_writes_nothing() {
    let mut world = World::new(&[]);
    let request = world.admin("POST", "/api/Jobs", &job("a", ""));
    world.look("tool");
    world.expect(&["inspect", "1: 400"]);
    let body = world.body(request);
    assert_eq!(
        (&body["findings"][0]["path"], &body["findings"][0]["code"]),
        (&json!("/tasks/0/command"), &json!("binary-not-found"))
    );
    assert_eq!(file(&world, "a"), None);
    world.quiet();
}

#[test]
fn a_job_is_created_shown_replaced_and_deleted() {
    let mut world = World::new(&[]);
    let created = world.admin("POST", "/api/Jobs", &job("a", r#","note":"kept as it came""#));
    world.look("");
    world.disk();
    assert_eq!(world.status(created), Some(201));
    assert!(world.responses[&created].headers.contains(&("location".into(), "/api/Jobs/a".into())));
    assert_eq!(world.get("/api/Jobs/a")["note"], "kept as it came");
    let conflict = world.admin("POST", "/api/Jobs", &job("a", ""));
    assert_eq!(world.status(conflict), Some(409));
    let other = world.admin("PUT", "/api/Jobs/a", &job("b", ""));
    assert_eq!(world.status(other), Some(400));
    let replaced = world.admin("PUT", "/api/Jobs/a", &job("a", r#","priority":9"#));
    world.look("");
    world.disk();
    assert_eq!(world.status(replaced), Some(200));
    assert_eq!(file(&world, "a"), Some(job("a", r#","priority":9"#)));
    let deleted = world.admin("DELETE", "/api/Jobs/a", "");
    let again = world.admin("DELETE", "/api/Jobs/a", "");
    let replacing = world.admin("PUT", "/api/Jobs/a", &job("a", ""));
    world.disk();
    assert_eq!(world.body(deleted), json!({"id":"a","deleted":true}));
    assert_eq!((world.status(again), world.status(replacing)), (Some(409), Some(409)), "the removal was under way");
    let again = world.admin("DELETE", "/api/Jobs/a", "");
    assert_eq!((world.status(again), file(&world, "a")), (Some(404), None));
    world.quiet();
}

#[test]
fn of_two_who_create_one_id_at_once_one_wins() {
    let mut world = World::new(&[]);
    let first = world.admin("POST", "/api/Jobs", &job("a", r#","priority":1"#));
    let second = world.admin("POST", "/api/Jobs", &job("a", r#","priority":2"#));
    world.look("");
    world.look("");
    world.disk();
    assert_eq!((world.status(first), world.status(second)), (Some(201), Some(409)));
    assert_eq!(world.get("/api/Jobs/a")["priority"], 1);
    // Where the first write fails the id is free again.
    let third = world.admin("POST", "/api/Jobs", &job("c", ""));
    world.look("");
    world.disk_once(Err("no space left".into()));
    assert_eq!((world.status(third), file(&world, "c")), (Some(500), None));
    let fourth = world.admin("POST", "/api/Jobs", &job("c", ""));
    world.look("");
    world.disk();
    assert_eq!(world.status(fourth), Some(201));
    world.quiet();
}

#[test]
fn a_replacement_of_a_job_that_was_deleted_meanwhile_does_not_bring_it_back() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    let replacing = world.admin("PUT", "/api/Jobs/a", &job("a", r#","priority":9"#));
    let deleting = world.admin("DELETE", "/api/Jobs/a", "");
    world.disk();
    assert_eq!(world.status(deleting), Some(200));
    world.look("");
    assert_eq!((world.status(replacing), file(&world, "a")), (Some(404), None));
    world.quiet();
}

#[test]
fn findings_of_a_broken_job() {
    let mut world = World::new(&[]);
    for (body, code) in [
        (job("a_b", ""), "id-underscore"),
        (r#"{"id":"a"}"#.to_owned(), "required"),
        ("{".to_owned(), "invalid-json"),
        (r#"{"id":"a","ID":"b"}"#.to_owned(), "invalid-json"),
    ] {
        for target in ["/api/Jobs", "/api/Jobs/validate"] {
            let request = world.admin("POST", target, &body);
            assert_eq!(world.status(request), Some(400), "{body}");
            let findings = world.body(request)["findings"].clone();
            let codes: Vec<&str> =
                findings.as_array().unwrap().iter().filter_map(|finding| finding["code"].as_str()).collect();
            assert!(codes.contains(&code) || code == "invalid-json" && codes.len() == 1, "{body}: {findings}");
        }
    }
    world.quiet();
}

#[test]
fn validation_tells_and_never_writes() {
    let mut world = World::new(&[]);
    let good = world.admin("POST", "/api/Jobs/validate", &job("a", r#","nobody":1"#));
    world.look("");
    assert_eq!(world.body(good)["valid"], true);
    assert_eq!(world.body(good)["findings"][0]["code"], "unknown-key");
    let bad = world.admin("POST", "/api/Jobs/validate", &job("a", ""));
    world.look("tool");
    assert_eq!((world.status(bad), &world.body(bad)["valid"]), (Some(400), &json!(false)));
    let elsewhere = world.admin("POST", "/api/Jobs/validate", &job("a", r#","osFilter":{"windows":true}"#));
    world.look("tool");
    assert_eq!(world.status(elsewhere), Some(200), "nothing is looked for that does not run here");
    world.expect(&["inspect", "1: 200", "inspect", "2: 400", "inspect", "3: 200"]);
    world.quiet();
}

#[test]
fn a_trigger_that_waits_is_answered_by_the_end_or_by_its_deadline() {
    let mut world = World::new(&[("Jobs/a", &job("a", r#","overlap":"parallel""#))]);
    let short = world.admin("POST", "/api/Jobs/a/trigger?wait=true&timeoutSeconds=2", r#"{"context":{"n":1}}"#);
    let long = world.admin("POST", "/api/Jobs/a/run?wait=TRUE", "");
    let none = world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    assert_eq!((world.status(short), world.status(long), world.status(none)), (None, None, Some(202)));
    assert_eq!(world.body(none)["runId"], "7-3");
    world.wait(1_999);
    assert_eq!(world.status(short), None);
    world.wait(1);
    assert_eq!((world.status(short), &world.body(short)["status"]), (Some(202), &json!("running")));
    for spawn in 1..=3 {
        world.lives(spawn, "out");
    }
    assert_eq!(world.status(long), Some(200));
    assert_eq!(
        (&world.body(long)["status"], &world.body(long)["tasks"][0]["stdout"]),
        (&json!("Succeeded"), &json!("out"))
    );
    assert_eq!(world.history["7-1"].context["n"], json!(1), "a sole member is unwrapped");
    for target in
        ["timeoutSeconds=0", "timeoutSeconds=3601", "timeoutSeconds=x", "timeoutSeconds=-1", "timeoutSeconds="]
    {
        let request = world.admin("POST", &format!("/api/Jobs/a/trigger?wait=true&{target}"), "");
        assert_eq!(world.status(request), Some(400), "{target}");
    }
    world.quiet();
}

#[test]
fn triggers_that_cannot_be() {
    let files = [
        ("Jobs/off", &*job("off", r#","enabled":false"#)),
        ("Jobs/elsewhere", &job("elsewhere", r#","osFilter":{"windows":true}"#)),
        ("Jobs/needs", &job("needs", r#","parameters":[{"name":"P","required":true,"type":"integer"}]"#)),
    ];
    let mut world = World::new(&files);
    for (id, body, expect) in [
        ("off", "", 409),
        ("elsewhere", "", 409),
        ("needs", "", 400),
        ("needs", r#"{"P":"x"}"#, 400),
        ("needs", r#"{"parameters":[]}"#, 400),
        ("needs", "[]", 400),
        ("needs", "{", 400),
        ("nobody", "", 404),
    ] {
        let request = world.admin("POST", &format!("/api/Jobs/{id}/trigger"), body);
        assert_eq!(world.status(request), Some(expect), "{id} {body}");
        assert!(!world.body(request)["fix"].as_str().unwrap().is_empty());
    }
    let good = world.admin("POST", "/api/Jobs/needs/trigger", r#"{"parameters":{"p":5}}"#);
    world.disk();
    assert_eq!(world.status(good), Some(202));
}

#[test]
fn a_reload_takes_what_is_there_and_names_what_is_broken() {
    let mut world = World::new(&[("Jobs/a", &job("a", "")), ("Jobs/b", &job("b", "")), ("Jobs/c", &job("c", ""))]);
    world.put("Jobs/a", r#"{"id":"a","tasks":"#);
    world.files.remove(&(DefinitionKind::Job, "b".to_owned()));
    world.put("Jobs/d", &job("d", ""));
    world.put("Jobs/e", &job("x", ""));
    let request = world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    let report = world.body(request);
    assert_eq!(
        (&report["loaded"], &report["removed"]),
        (&json!(["Jobs/c.json", "Jobs/d.json"]), &json!(["Jobs/b.json"]))
    );
    let refused: Vec<&str> =
        report["refused"].as_array().unwrap().iter().filter_map(|file| file["file"].as_str()).collect();
    assert_eq!(refused, ["Jobs/a.json", "Jobs/e.json"]);
    let shown = world.admin("GET", "/api/Jobs/a", "");
    assert_eq!(world.status(shown), Some(404));
    assert!(!world.body(shown)["findings"].as_array().unwrap().is_empty(), "and says why");
    let conflict = world.admin("POST", "/api/Jobs", &job("a", ""));
    assert_eq!(world.status(conflict), Some(409), "the file is there");
    let mended = world.admin("PUT", "/api/Jobs/a", &job("a", ""));
    world.look("");
    world.disk();
    assert_eq!(world.status(mended), Some(200));
    assert_eq!(world.get("/api/Jobs/a")["id"], "a");
    world.quiet();
}

#[test]
fn tiers() {
    let plugin = include_str!("../data/root-plugin.json");
    let mut world = World::new(&[("Jobs/a", &job("a", r#","overlap":"parallel""#)), ("Plugins/EchoBridge", plugin)]);
    world.started(1);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.started(2);
    // Stranger, plugin, task, administrator.
    for (method, target, expect) in [
        ("GET", "/health", [200, 200, 200, 200]),
        ("GET", "/", [200, 200, 200, 200]),
        ("GET", "/api/system/status", [200, 200, 200, 200]),
        ("GET", "/api/Jobs", [403, 200, 200, 200]),
        ("HEAD", "/api/Jobs/a", [403, 200, 200, 200]),
        ("POST", "/api/Jobs/a/trigger", [403, 202, 202, 202]),
        ("GET", "/api/Jobs/a/runs", [403, 200, 200, 200]),
        ("GET", "/api/runs/7-1", [403, 200, 200, 200]),
        ("GET", "/api/plugins", [403, 200, 200, 200]),
        ("GET", "/api/PluginSettings/KeeperPrivilegeManager", [403, 200, 200, 200]),
        ("GET", "/api/PluginSettings/EchoBridge", [403, 200, 200, 200]),
        ("GET", "/api/PluginSettings/Other", [403, 403, 404, 404]),
        ("GET", "/api/PluginSettings/echobridge/metadata.greeting", [403, 200, 200, 200]),
        ("GET", "/api/denials", [403, 403, 403, 200]),
        ("POST", "/api/Jobs/reload", [403, 403, 403, 200]),
        ("DELETE", "/api/Jobs/none", [403, 403, 403, 404]),
        ("POST", "/api/plugins/none/stop", [403, 403, 403, 404]),
        ("PATCH", "/api/Jobs", [405, 405, 405, 405]),
        ("GET", "/api/nothing", [404, 404, 404, 404]),
    ] {
        let requests = [
            world.stranger(method, target, ""),
            world.task(1, method, target, ""),
            world.task(2, method, target, ""),
            world.admin(method, target, ""),
        ];
        world.disk();
        let found = requests.map(|request| world.status(request).unwrap());
        assert_eq!(found, expect, "{method} {target}");
        for request in requests.into_iter().filter(|request| world.status(*request) == Some(403)) {
            let body = world.body(request);
            assert!(body["tierNeeded"].is_string() && body["tierHeld"].is_string(), "{body}");
        }
    }
}

#[test]
fn settings_of_the_agent_itself() {
    let mut world = World::new(&[]);
    let settings = world.get("/api/PluginSettings/KeeperPrivilegeManager");
    assert_eq!(settings["broker.host"], "127.0.0.1");
    assert_eq!(settings["broker.port"], "8883");
    assert_eq!(settings["api.baseUrl"], "https://127.0.0.1:443");
    assert!(settings.as_object().unwrap().values().all(Value::is_string));
}

#[test]
fn a_missing_look_at_a_binary_is_no_consent() {
    use castellan_core::effect::ProcessOrder;
    use castellan_core::event::{Event, ProcessReport};
    let mut world = World::new(&[]);
    let request = world.admin("POST", "/api/Jobs", &job("a", ""));
    let Some(ProcessOrder::Inspect { ticket, .. }) = world.looks.pop_front() else { panic!("nobody asked") };
    world.tell(Event::Process(ProcessReport::Inspected { ticket, executables: vec![] }));
    assert_eq!((world.status(request), file(&world, "a")), (Some(503), None));
    world.quiet();
}

/// The list, and its entity tag.
fn list(world: &mut World) -> (Value, String) {
    let asked = world.admin("GET", "/api/Jobs", "");
    (world.body(asked), world.header(asked, "etag").unwrap().to_owned())
}

#[test]
fn the_list_of_jobs_is_another_one_after_each_change_and_the_same_until_then() {
    let tool = r#"{"id":"a","tasks":[{"id":"t","command":"tool"}]}"#;
    let hourly = r#"{"id":"b","schedule":{"intervalMinutes":60},"tasks":[{"id":"t","command":"echo"}]}"#;
    let mut world = World::new(&[("Jobs/a", tool), ("Jobs/b", hourly)]);
    let mut seen = vec![list(&mut world)];
    world.wait(1000);
    assert_eq!(list(&mut world), seen[0], "time alone changes nothing");
    let known = world.admin_with("GET", "/api/Jobs", "", &[("if-none-match", &seen[0].1)]);
    assert_eq!((world.status(known), world.responses[&known].body.len()), (Some(304), 0));
    let mut changed = |world: &mut World, what: &str| {
        let now = list(world);
        assert!(!seen.contains(&now), "{what}: {now:?}");
        assert!(seen.iter().all(|(_, tag)| *tag != now.1), "{what}");
        let stale = world.admin_with("GET", "/api/Jobs", "", &[("if-none-match", &seen[seen.len() - 1].1)]);
        assert_eq!(world.status(stale), Some(200), "{what}");
        seen.push(now.clone());
        now.0
    };
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    assert_eq!(changed(&mut world, "a run")[0]["lastOutcome"], Value::Null);
    world.prepared(1);
    world.lives(1, "");
    assert_eq!(changed(&mut world, "its end")[0]["lastOutcome"], "Succeeded");
    let next = list(&mut world).0[1]["nextRun"].as_str().map(str::to_owned);
    world.wait(60 * 60 * 1000);
    world.disk();
    let ticked = changed(&mut world, "a schedule's turn");
    assert!(ticked[1]["nextRun"].as_str() > next.as_deref(), "{ticked}");
    assert_eq!(ticked[1]["lastOutcome"], "Succeeded");
    for (method, target, body) in [
        ("POST", "/api/Jobs", r#"{"id":"c","tasks":[{"id":"t","command":"echo"}]}"#),
        ("PUT", "/api/Jobs/c", r#"{"id":"c","enabled":false,"tasks":[{"id":"t","command":"echo"}]}"#),
        ("DELETE", "/api/Jobs/c", ""),
    ] {
        world.admin(method, target, body);
        if method != "DELETE" {
            world.look("");
        }
        world.disk();
        let now = list(&mut world);
        let lines = now.0.as_array().unwrap().len();
        assert_eq!(lines, if method == "DELETE" { 2 } else { 3 }, "{method}: {}", now.0);
        if method == "PUT" {
            assert_eq!(now.0[2]["enabled"], false);
        }
    }
    world.put("Jobs/a", &tool.replace("\"id\":\"a\"", "\"id\":\"a\",\"name\":\"Another\""));
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert_eq!(list(&mut world).0[0]["name"], "Another");
}
