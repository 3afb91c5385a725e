//! Configuration policies: applied once per content, all of a delivery's unit or nothing, recorded and published.

use castellan_core::configuration_policy::PolicyFile;
use castellan_core::effect::LostOrder;
use castellan_core::event::{DefinitionKind, Event, StoreReport};
use serde_json::{Value, json};

use crate::world::{World, policy};

const JOB: &str = r#"{"id":"scan","tasks":[{"id":"t","command":"echo","arguments":"1"}]}"#;
const OTHER: &str = r#"{"id":"scan","tasks":[{"id":"t","command":"echo","arguments":"2"}]}"#;
const PLUGIN: &str = r#"{"id":"Bridge","executablePath":"bin/Bridge/Bridge","pluginType":"Executable","supportedPlatforms":["Linux"],
    "Subscription":{"Topic":"Bridge"},"metadata":{"greeting":"hello","mqttTopics":{"publish":[],"subscribe":[]}}}"#;

fn update(action: &str, job: &str) -> String {
    let job: Value = serde_json::from_str(job).unwrap();
    json!({ "PolicyType": "JobUpdate", "Extension": { "Action": action, "JobId": "scan", "JobJson": job } }).to_string()
}

fn delete() -> String {
    json!({ "PolicyType": "JobUpdate", "Extension": { "Action": "Delete", "JobId": "scan" } }).to_string()
}

fn greeting(value: &str) -> String {
    let settings = json!({ "metadata": { "greeting": value } });
    json!({ "PolicyType": "SettingsUpdate", "Extension": { "PluginId": "Bridge", "Settings": settings } }).to_string()
}

/// Puts policies into the folder in place of what was there.
fn put(world: &mut World, files: &[(&str, &str)]) {
    world.policies = files.iter().map(|(name, document)| policy(name, document.as_bytes())).collect();
}

/// Reads the folder again; the lines of its policies.
fn reload(world: &mut World) -> Vec<(String, String)> {
    let request = world.admin("POST", "/api/policies/reload", "");
    world.disk();
    results(&world.body(request))
}

fn results(lines: &Value) -> Vec<(String, String)> {
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    lines.as_array().unwrap().iter().map(|line| (text(line, "name"), text(line, "result"))).collect()
}

fn apply(world: &mut World, query: &str, document: &str) -> (u16, Value) {
    let request = world.admin("POST", &format!("/api/policies{query}"), document);
    world.disk();
    (world.status(request).unwrap(), world.body(request))
}

fn line(name: &str, result: &str) -> (String, String) {
    (name.into(), result.into())
}

fn job_of(world: &World) -> Option<Value> {
    let document = world.files.get(&(DefinitionKind::Job, "scan".into()))?;
    Some(serde_json::from_slice(document).unwrap())
}

fn argument(world: &World) -> Option<String> {
    job_of(world).map(|job| job["tasks"][0]["arguments"].as_str().unwrap().to_owned())
}

#[test]
fn policies_of_the_folder_are_applied_in_the_order_of_their_names_once_per_content_over_restarts() {
    let mut world = World::new(&[]);
    put(&mut world, &[("10-add", &update("Add", JOB)), ("20-update", &update("Update", OTHER))]);
    assert_eq!(reload(&mut world), [line("10-add", "Applied"), line("20-update", "Applied")]);
    assert_eq!(argument(&world).as_deref(), Some("2"));
    let told: Vec<&str> = world.published.iter().map(|(_, event)| event["eventName"].as_str().unwrap()).collect();
    assert_eq!(told, ["ConfigurationPolicyApplied"; 2]);
    assert_eq!(world.published[0].1["context"]["changes"], json!(["Jobs/scan added"]));
    assert_eq!(world.get("/api/Jobs/scan")["tasks"][0]["arguments"], "2");

    // An administrator changes the job; the same policies do not take that back.
    world.admin("PUT", "/api/Jobs/scan", &JOB.replace('1', "3"));
    world.look("");
    world.disk();
    let writes = |world: &World| world.transcript.iter().filter(|line| line.starts_with("write ")).count();
    let before = writes(&world);
    assert_eq!(reload(&mut world), [line("10-add", "Applied"), line("20-update", "Applied")]);
    assert_eq!((writes(&world), argument(&world).as_deref()), (before, Some("3")));

    let mut world = world.reborn();
    world.disk();
    assert_eq!((argument(&world).as_deref(), world.published.len()), (Some("3"), 0));
    assert_eq!(results(&world.get("/api/policies")), [line("10-add", "Applied"), line("20-update", "Applied")]);

    // Other content is applied once the watcher has told; what is taken away undoes nothing.
    put(&mut world, &[("20-update", &update("Update", &OTHER.replace('2', "4")))]);
    world.tell(Event::Store(StoreReport::PoliciesChanged));
    world.disk();
    assert_eq!(results(&world.get("/api/policies")), [line("20-update", "Applied")]);
    assert_eq!(argument(&world).as_deref(), Some("4"));
    put(&mut world, &[("30-delete", &delete())]);
    assert_eq!(reload(&mut world), [line("30-delete", "Applied")]);
    assert_eq!((argument(&world), world.get("/api/Jobs")), (None, json!([])));
    world.quiet();
}

#[test]
fn a_policy_that_is_not_sound_changes_nothing_and_says_where() {
    let mut world = World::new(&[("Jobs/scan", JOB)]);
    for (document, status, path, code) in [
        ("{", 400, "", "malformed-json"),
        (r#"{"PolicyId":"x"}"#, 400, "/PolicyType", "required"),
        (r#"{"PolicyType":"JobUpdate"}"#, 400, "/Extension", "required"),
        (r#"{"PolicyType":"JobUpdate","extension":{"action":"Remove"}}"#, 400, "/extension/action", "unknown-value"),
        (r#"{"PolicyType":"JobUpdate","Extension":{"Action":"Delete"}}"#, 400, "/Extension/JobId", "required"),
        (&update("Add", OTHER), 400, "/Extension/Action", "job-exists"),
        (
            &update("Update", r#"{"id":"scan","tasks":[{"id":"t"}]}"#),
            400,
            "/Extension/JobJson/tasks/0/command",
            "required",
        ),
        (&update("Update", r#"{"id":"other","tasks":[]}"#), 400, "/Extension/JobJson/id", "id-mismatch"),
        (&greeting("x"), 400, "/Extension/PluginId", "plugin-missing"),
        (
            r#"{"PolicyType":"SettingsUpdate","Extension":{"PluginId":"Bridge","Settings":{"executablePath":"x"}}}"#,
            400,
            "/Extension/Settings/executablePath",
            "setting-definition",
        ),
        (r#"{"PolicyType":"SettingsUpdate","Extension":{"PluginId":"Bridge"}}"#, 400, "/Extension", "one-of"),
    ] {
        let (found, body) = apply(&mut world, "?name=x", document);
        let finding = body["findings"].as_array().unwrap().iter().find(|one| one["severity"] == "error").unwrap();
        assert_eq!(
            (found, &finding["path"], &finding["code"]),
            (status, &json!(path), &json!(code)),
            "{document}: {body}"
        );
    }
    assert!(world.disk.is_empty() && world.applied.is_empty() && argument(&world).as_deref() == Some("1"));
    assert_eq!(results(&world.get("/api/policies")), [line("x", "Refused")]);
    let told = (world.published.len(), world.logged("PolicyRefused").len());
    let again = world.published.last().unwrap().1["context"]["sha256"].clone();
    apply(&mut world, "?name=x", r#"{"PolicyType":"SettingsUpdate","Extension":{"PluginId":"Bridge"}}"#);
    assert_eq!(world.published.last().unwrap().1["context"]["sha256"], again);
    assert_eq!((world.published.len(), world.logged("PolicyRefused").len()), told, "the same is told once");
    assert_eq!(world.published.last().unwrap().1["eventName"], "ConfigurationPolicyRefused");
    // No name, or one that no file may have.
    for target in ["/api/policies", "/api/policies?name=..%2Fx"] {
        let request = world.admin("POST", target, &delete());
        assert_eq!(world.status(request), Some(400), "{target}");
    }
    world.quiet();
}

#[test]
fn a_dry_run_tells_what_would_change_and_changes_nothing() {
    let mut world = World::new(&[]);
    let (status, body) = apply(&mut world, "?name=x&dryRun=true", &update("Add", JOB));
    assert_eq!((status, &body["result"], &body["changes"]), (200, &json!("Valid"), &json!(["Jobs/scan added"])));
    assert!(world.files.is_empty() && world.applied.is_empty() && world.published.is_empty());
    assert_eq!(world.get("/api/policies"), json!([]));
    let (_, body) = apply(&mut world, "?name=x", &update("Add", JOB));
    assert_eq!((&body["result"], argument(&world).as_deref()), (&json!("Applied"), Some("1")));
    let (_, body) = apply(&mut world, "?name=x", &update("Add", JOB));
    assert_eq!(body["result"], "Unchanged");
    // Whoever wants it judged only, and says so in another way, changes nothing either.
    for query in ["?name=y&dryRun=1", "?name=y&dryRun=yes", "?name=y&dryRun"] {
        let request = world.admin("POST", &format!("/api/policies{query}"), &update("Add", JOB));
        assert_eq!((world.status(request), world.applied.len()), (Some(400), 1), "{query}");
    }
}

#[test]
fn a_binary_that_the_api_would_refuse_is_refused() {
    let mut world = World::new(&[]);
    let request = world.admin("POST", "/api/policies?name=x", &update("Add", &JOB.replace("echo", "tool")));
    world.disk();
    world.look("tool");
    world.disk();
    let body = world.body(request);
    assert_eq!(
        (world.status(request), &body["findings"][0]["path"]),
        (Some(400), &json!("/Extension/JobJson/tasks/0/command"))
    );
    assert!(world.files.is_empty() && world.applied.is_empty(), "{body}");
    let request = world.admin("POST", "/api/policies?name=x", &update("Add", &JOB.replace("echo", "tool")));
    world.disk();
    world.look("nothing");
    world.disk();
    assert_eq!((world.status(request), world.files.len()), (Some(200), 1));
}

#[test]
fn a_layer_of_settings_stands_over_the_file_and_under_what_is_stored_for_as_long_as_its_policy() {
    let mut world = World::new(&[("Plugins/Bridge", PLUGIN)]);
    let explained = |world: &mut World| world.get("/api/PluginSettings/Bridge/metadata.greeting?explain=true");
    put(&mut world, &[("10-a", &greeting("a")), ("20-b", &greeting("b"))]);
    assert_eq!(reload(&mut world), [line("10-a", "Applied"), line("20-b", "Applied")]);
    let shown = explained(&mut world);
    assert_eq!(
        (&shown["value"], &shown["layer"], &shown["writer"]),
        (&json!("b"), &json!("policy"), &json!("policy:20-b"))
    );
    world.admin("PUT", "/api/PluginSettings/Bridge/metadata.greeting", "\"mine\"");
    world.disk();
    let shown = explained(&mut world);
    assert_eq!((&shown["value"], &shown["layer"], &shown["former"]), (&json!("mine"), &json!("storage"), &json!("b")));
    let mut world = world.reborn();
    world.admin("POST", "/api/PluginSettings/Bridge/revert", "");
    world.disk();
    let shown = explained(&mut world);
    assert_eq!((&shown["value"], &shown["writer"]), (&json!("b"), &json!("policy:20-b")), "also after a restart");
    put(&mut world, &[("10-a", &greeting("a")), ("20-b", &greeting("b").replacen('{', "{\"Status\":\"off\",", 1))]);
    assert_eq!(reload(&mut world), [line("10-a", "Applied"), line("20-b", "Idle")]);
    assert_eq!(explained(&mut world)["value"], "a");
    put(&mut world, &[]);
    assert_eq!(reload(&mut world), []);
    let shown = explained(&mut world);
    assert_eq!((&shown["value"], &shown["layer"]), (&json!("hello"), &json!("file")));
    assert!(world.applied.is_empty());
}

#[test]
fn the_file_of_a_plugin_is_replaced_as_a_whole_and_none_is_made() {
    let mut world = World::new(&[("Plugins/Bridge", PLUGIN)]);
    let policy = |id: &str| {
        let text = PLUGIN.replace("hello", "hallo").replace("\"Bridge\"", &format!("\"{id}\""));
        json!({ "PolicyType": "settingsupdate", "Extension": { "SettingsJson": text } }).to_string()
    };
    // Its program is looked at first, as that of a job is.
    for (missing, expect) in [("bin/Bridge", 400), ("nothing", 200)] {
        let request = world.admin("POST", "/api/policies?name=x", &policy("Bridge"));
        world.disk();
        assert_eq!(world.get("/api/PluginSettings/Bridge/metadata.greeting"), "hello");
        world.look(missing);
        world.disk();
        let body = world.body(request);
        assert_eq!(world.status(request), Some(expect), "{body}");
        if expect == 400 {
            let finding = (&body["findings"][0]["path"], &body["findings"][0]["code"]);
            assert_eq!(finding, (&json!("/Extension/SettingsJson/executablePath"), &json!("binary-not-found")));
        } else {
            assert_eq!(body["changes"], json!(["Plugins/Bridge replaced"]));
        }
    }
    assert_eq!(world.get("/api/PluginSettings/Bridge/metadata.greeting"), "hallo");
    let (status, body) = apply(&mut world, "?name=y", &policy("New"));
    assert_eq!((status, &body["findings"][0]["code"]), (400, &json!("plugin-missing")));
}

#[test]
fn a_policy_that_would_keep_a_plugin_out_of_service_is_refused_for_what_all_of_its_unit_comes_to() {
    let called = |id: &str, topic: &str, requires: &str| {
        let named = PLUGIN.replacen("\"Bridge\"", &format!("\"{id}\""), 1);
        named.replace("{\"Topic\":\"Bridge\"}", &format!("{{\"Topic\":\"{topic}\"}},\"requires\":[{requires}]"))
    };
    let policy = |document: &str| {
        json!({ "PolicyType": "SettingsUpdate", "Extension": { "SettingsJson": document } }).to_string()
    };
    let (bridge, scanner) = (called("Bridge", "Bridge", ""), called("Scanner", "Scanner", "\"Bridge\""));
    let mut world = World::new(&[("Plugins/Bridge", &bridge), ("Plugins/Scanner", &scanner)]);
    let job = r#"{"id":"scan","tasks":[{"id":"t","command":"x","executablePath":"/opt/castellan/Plugins/bin/Bridge/Bridge"}]}"#;
    let settings = "/Extension/SettingsJson";
    for (document, path, code, words) in [
        (policy(&called("Scanner", "Bridge", "")), format!("{settings}/Subscription/Topic"), "topic-taken", "'Bridge'"),
        (policy(&called("Bridge", "Scanner", "")), settings.to_owned(), "topic-taken", "keep the plugin Scanner out"),
        (
            policy(&called("Bridge", "Bridge", "\"Scanner\"")),
            format!("{settings}/requires/0"),
            "requires-cycle",
            "first",
        ),
        (
            update("Add", job),
            "/Extension/JobJson/tasks/0/executablePath".to_owned(),
            "binary-of-job-and-plugin",
            "Bridge",
        ),
    ] {
        let request = world.admin("POST", "/api/policies?name=x", &document);
        world.disk();
        world.look("nothing");
        world.disk();
        let body = world.body(request);
        assert_eq!(world.status(request), Some(400), "{body}");
        let finding = &body["findings"][0];
        assert_eq!((&finding["path"], &finding["code"]), (&json!(path), &json!(code)), "{body}");
        assert!(finding["message"].as_str().unwrap().contains(words), "{body}");
    }
    assert!(world.applied.is_empty() && world.logged("PluginRemoved").is_empty());
}

#[test]
fn update_settings_reads_all_definitions_again_and_other_types_are_left_alone() {
    let mut world = World::new(&[]);
    world.put("Jobs/scan", JOB);
    put(
        &mut world,
        &[("a", r#"{"PolicyType":"UpdateSettings"}"#), ("b", r#"{"PolicyType":"LeastPrivilege","Rules":7}"#)],
    );
    assert_eq!(reload(&mut world), [line("a", "Applied"), line("b", "Idle")]);
    assert_eq!(world.get("/api/Jobs")[0]["id"], "scan");
}

/// A policy about privileges for everybody.
fn privileges(status: &str, controls: &[&str]) -> String {
    json!({ "PolicyType": "PrivilegeElevation", "Status": status, "Controls": controls }).to_string()
}

/// What the audit has of policies: name, what became of it, who, and whether the content is named.
fn audited(world: &World) -> Vec<(String, String, String, bool)> {
    let text = |entry: &Value, name: &str| entry[name].as_str().unwrap().to_owned();
    let of_policies = world.audited.iter().filter(|entry| entry["kind"] == "policy");
    of_policies
        .map(|entry| (text(entry, "name"), text(entry, "change"), text(entry, "who"), entry["sha256"] != ""))
        .collect()
}

#[test]
fn policies_about_privileges_are_shown_as_they_stand_and_each_change_of_them_is_audited_once() {
    let mut world = World::new(&[]);
    let entry = |change: &str, who: &str, named| (String::from("p"), change.to_owned(), who.to_owned(), named);
    put(&mut world, &[("p", &privileges("ENFORCE", &["JUSTIFY", "MFA"]))]);
    assert_eq!(reload(&mut world), [line("p", "Applied")]);
    let shown = |world: &mut World| world.get("/api/policies")[0].clone();
    let stands = shown(&mut world);
    assert_eq!((&stands["status"], &stands["controls"]), (&json!("enforce"), &json!(["MFA", "JUSTIFY"])));
    assert_eq!(stands["changes"], json!(["decides: MFA JUSTIFY"]));
    assert_eq!(audited(&world), [entry("applied", "root", true)]);
    // Read again, also in the next life: nothing is new, and it is shown as before.
    reload(&mut world);
    let mut world = world.reborn();
    assert_eq!(reload(&mut world), [line("p", "Applied")]);
    assert_eq!((audited(&world), &shown(&mut world)["controls"]), (vec![], &json!(["MFA", "JUSTIFY"])));
    // Changed, broken, mended, gone.
    put(&mut world, &[("p", &privileges("off", &["JUSTIFY", "MFA"]))]);
    reload(&mut world);
    assert_eq!(shown(&mut world)["changes"], json!(["decides nothing: its Status is off"]));
    put(&mut world, &[("p", &privileges("enforced", &["ALLOW"]))]);
    assert_eq!(reload(&mut world), [line("p", "Refused")]);
    let why = shown(&mut world)["why"].to_string();
    assert!(why.contains("What it may be about is denied until that is mended."), "{why}");
    put(&mut world, &[("p", &privileges("enforce", &["ALLOW"]))]);
    reload(&mut world);
    put(&mut world, &[]);
    assert_eq!(reload(&mut world), []);
    let expected = [
        entry("applied", "root", true),
        entry("refused", "root", true),
        entry("applied", "root", true),
        entry("forgotten", "agent", false),
    ];
    assert_eq!(audited(&world), expected);
    // What an administrator brings is kept for KeeperPolicy, which reads no file of it; what is in a file is not.
    let (status, body) = apply(&mut world, "?name=q", &privileges("enforce", &["DENY"]));
    assert_eq!((status, &body["result"], &body["controls"]), (200, &json!("Applied"), &json!(["DENY"])));
    put(&mut world, &[("p", &privileges("enforce", &["ALLOW"]))]);
    reload(&mut world);
    let kept: Vec<(&str, bool)> =
        world.applied.values().map(|policy| (policy.key.name.as_str(), policy.document.is_some())).collect();
    assert_eq!(kept, [("p", false), ("q", true)]);
    let mut world = world.reborn();
    assert_eq!(world.get("/api/policies")[1]["status"], "enforce");
    world.admin("DELETE", "/api/policies/q", "");
    world.disk();
    assert_eq!(world.applied.len(), 1);
}

#[test]
fn a_thousand_policies_that_need_no_answer_need_no_more_of_the_stack_than_one() {
    let run = || {
        let mut world = World::new(&[]);
        let names: Vec<String> = (0..1000).map(|number| format!("p{number:04}")).collect();
        let delete = delete();
        let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), delete.as_str())).collect();
        put(&mut world, &files);
        assert_eq!(reload(&mut world).len(), 1000);
        // All are unchanged now: no unit waits for anything.
        let mut world = world.reborn();
        world.disk();
        assert_eq!(reload(&mut world).len(), 1000);
    };
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}

#[test]
fn a_bundle_is_applied_or_refused_as_a_whole() {
    let mut world = World::new(&[("Plugins/Bridge", PLUGIN)]);
    let bundle = |last: &str| {
        vec![
            policy("b", greeting("x").as_bytes()),
            policy("a", update("Add", JOB).as_bytes()),
            policy("c", last.as_bytes()),
        ]
    };
    world.bundle("fleet", bundle(&update("Add", OTHER)));
    world.disk();
    assert!(world.files.len() == 1 && world.applied.is_empty(), "{:?}", world.files.keys());
    assert_eq!(
        results(&world.get("/api/policies")),
        [line("a", "Refused"), line("b", "Refused"), line("c", "Refused")]
    );
    world.bundle("fleet", bundle(&update("Update", OTHER)));
    world.disk();
    assert_eq!((argument(&world).as_deref(), world.applied.len()), (Some("2"), 3));
    assert_eq!(world.get("/api/PluginSettings/Bridge/metadata.greeting"), "x");
    world.bundle("fleet", vec![]);
    world.disk_once(Err("no space left".into()));
    assert_eq!((world.applied.len(), world.get("/api/PluginSettings/Bridge/metadata.greeting")), (3, json!("x")));
    world.bundle("fleet", vec![]);
    world.disk();
    assert_eq!((world.applied.len(), world.get("/api/PluginSettings/Bridge/metadata.greeting")), (0, json!("hello")));
}

#[test]
fn a_disk_that_fails_leaves_everything_as_it_was_and_the_policy_is_applied_later() {
    let mut world = World::new(&[]);
    let request = world.admin("POST", "/api/policies?name=x", &update("Add", JOB));
    world.disk_once(Ok(()));
    world.disk_once(Err("no space left".into()));
    assert_eq!((world.status(request), world.get("/api/Jobs")), (Some(500), json!([])));
    // Written but not on record: the next time it finds everything as it wants it.
    let request = world.admin("POST", "/api/policies?name=x", &update("Add", JOB));
    world.disk_once(Ok(()));
    world.disk_once(Ok(()));
    world.disk_once(Err("no space left".into()));
    assert_eq!((world.status(request), argument(&world).as_deref()), (Some(500), Some("1")));
    let (status, body) = apply(&mut world, "?name=x", &update("Add", JOB));
    assert_eq!((status, &body["result"], &body["changes"]), (200, &json!("Applied"), &json!([])));
    // Orders that were lost are answered.
    for step in 0..3 {
        let request = world.admin(
            "POST",
            &format!("/api/policies?name=l{step}"),
            &update("Update", &OTHER.replace('2', &format!("1{step}"))),
        );
        for _ in 0..step {
            world.disk_once(Ok(()));
        }
        let order = world.disk.pop_front().unwrap();
        let order = LostOrder::of(&castellan_core::effect::Effect::Store(order));
        world.tell(Event::Lost { order, why: "full".into() });
        assert!(matches!(world.status(request), Some(500 | 503)), "step {step}: {:?}", world.status(request));
        world.disk();
    }
    world.quiet();
}

#[test]
fn unsigned_policies_are_refused_where_signatures_are_required_and_wrong_ones_always() {
    for (required, expect) in [(false, "Applied"), (true, "Refused")] {
        let settings = json!({ "Settings": { "RequireSignedPolicies": required } }).to_string();
        let mut world = World::with(&settings, &[]);
        put(&mut world, &[("a", &update("Add", JOB))]);
        assert_eq!(reload(&mut world), [line("a", expect)]);
        let why = world.get("/api/policies")[0]["why"].clone();
        assert_eq!(why.as_str().is_some_and(|why| why.contains("castellan sign")), required, "{why}");
    }
    let mut world = World::new(&[]);
    put(&mut world, &[("a", &update("Add", JOB))]);
    let Ok(content) = &mut world.policies[0].content else { panic!() };
    content.signature.as_mut().unwrap().file =
        castellan_core::trust::signature::SignatureFile::NotDer("a.json.p7s: x".into());
    assert_eq!(reload(&mut world), [line("a", "Refused")]);
    // What cannot be read is refused, and a folder that cannot be listed takes nothing away.
    world.policies = vec![policy("b", update("Add", JOB).as_bytes())];
    assert_eq!(reload(&mut world), [line("b", "Applied")]);
    world.policies = vec![PolicyFile { name: "Policies/".into(), content: Err("is a link".into()) }];
    assert_eq!(reload(&mut world), [line("Policies/", "Refused"), line("b", "Applied")]);
}

#[test]
fn a_policy_is_forgotten_with_its_settings_and_what_it_wrote_stays() {
    let mut world = World::new(&[("Plugins/Bridge", PLUGIN)]);
    put(&mut world, &[("greet", &greeting("folder"))]);
    reload(&mut world);
    apply(&mut world, "?name=greet", &greeting("api"));
    apply(&mut world, "?name=add", &update("Add", JOB));
    let forget = |world: &mut World, name: &str| {
        let request = world.admin("DELETE", &format!("/api/policies/{name}"), "");
        world.disk();
        (world.status(request).unwrap(), world.body(request))
    };
    assert_eq!(world.get("/api/PluginSettings/Bridge/metadata.greeting"), "api");
    let (status, body) = forget(&mut world, "greet");
    assert_eq!((status, &body["sources"]), (200, &json!(["Policies", "api"])), "{body}");
    let note = body["notes"][0].as_str().unwrap();
    assert!(note.contains("As long as Policies/greet.json is there") && note.contains("privileges counts"), "{note}");
    assert_eq!(world.get("/api/PluginSettings/Bridge/metadata.greeting"), "hello");
    let (status, body) = forget(&mut world, "add");
    assert_eq!((status, &body["notes"], world.applied.len()), (200, &json!([]), 0));
    assert_eq!(argument(&world).as_deref(), Some("1"));
    assert_eq!(forget(&mut world, "add").0, 404);
    let told =
        |one: &Value| format!("{} {} {} {}", one["who"], one["name"], one["source"], one["change"]).replace('"', "");
    let audited: Vec<String> = world.audited.iter().map(told).collect();
    assert_eq!(
        audited,
        [
            "root greet Policies applied",
            "admin:client greet api applied",
            "admin:client add api applied",
            "admin:client greet Policies forgotten",
            "admin:client greet api forgotten",
            "admin:client add api forgotten"
        ]
    );
    assert_eq!(world.audited[2]["changes"], json!(["Jobs/scan added"]));
    // The file is still there.
    assert_eq!(reload(&mut world), [line("greet", "Applied")]);
    assert_eq!(world.get("/api/PluginSettings/Bridge/metadata.greeting"), "folder");
    // A disk that fails keeps record and settings.
    let request = world.admin("DELETE", "/api/policies/greet", "");
    world.disk_once(Err("no space left".into()));
    assert_eq!((world.status(request), world.applied.len()), (Some(500), 1));
    assert_eq!(world.get("/api/PluginSettings/Bridge/metadata.greeting"), "folder");
    world.quiet();
}

#[test]
fn policies_that_were_refused_are_in_nobody_s_way() {
    let mut world = World::new(&[("Plugins/Bridge", PLUGIN)]);
    for number in 0..1_100 {
        world.millis += 1;
        apply(&mut world, &format!("?name=wrong{number}"), "{");
    }
    assert_eq!((world.audited.len(), &world.audited[0]["change"]), (1_100, &json!("refused")));
    let lines = world.get("/api/policies");
    let names: Vec<&str> = lines.as_array().unwrap().iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert!(names.len() == 256 && names.contains(&"wrong1099") && !names.contains(&"wrong0"), "{}", names.len());
    world.bundle("fleet", vec![policy("greet", greeting("x").as_bytes())]);
    world.disk();
    assert_eq!(world.get("/api/PluginSettings/Bridge/metadata.greeting"), "x");
    put(&mut world, &[("add", &update("Add", JOB))]);
    assert_eq!(reload(&mut world), [line("add", "Applied")]);
}

#[test]
fn what_is_told_of_a_policy_names_it_once_and_ends_once() {
    let mut world = World::new(&[]);
    apply(&mut world, "?name=x", r#"{"PolicyType":"JobUpdate"}"#);
    let told = |world: &World| (*world.logged("PolicyRefused").last().unwrap()).to_owned();
    assert!(told(&world).starts_with("The policy x of api was not applied. At /Extension: "), "{}", told(&world));
    assert_eq!(told(&world).matches("The policy").count(), 1, "{}", told(&world));
    // A file of any name is a file, and the folder is the folder.
    world.policies = vec![policy("*", update("Add", JOB).as_bytes())];
    assert_eq!(reload(&mut world), [line("*", "Refused")]);
    assert!(told(&world).contains("Its name, without .json, is '*'") && world.files.is_empty(), "{}", told(&world));
    let gone = |why: &str| PolicyFile { name: String::from("Policies/"), content: Err(why.into()) };
    world.policies = vec![gone("the folder Policies cannot be listed: denied")];
    assert_eq!(
        reload(&mut world),
        [line("*", "Refused"), line("Policies/", "Refused")],
        "it tells nothing of what is gone"
    );
    assert!(
        told(&world).contains("cannot be listed: denied. What it may be about is denied until that is mended. Make it"),
        "{}",
        told(&world)
    );
    world.policies = vec![gone("the folder Policies may be changed by others.")];
    reload(&mut world);
    assert!(!told(&world).contains(".."), "{}", told(&world));
    // The disk's reason as well.
    world.admin("POST", "/api/policies?name=y", &update("Add", JOB));
    world.disk_once(Ok(()));
    world.disk_once(Err("no space left".into()));
    let words = "The policy y of api was not applied. What it changes could not be written; what was there before still counts. no space left. ";
    assert!(told(&world).starts_with(words), "{}", told(&world));
}
