//! Plugin settings over the API: written, explained, reverted, by whom they may be, and over the next start.

use castellan_core::id::RequestId;
use serde_json::{Value, json};

use crate::plugins::plugin;
use crate::world::World;

const PLUGIN: &str = include_str!("../data/root-plugin.json");
const ONE: &str = "/api/PluginSettings/EchoBridge/metadata.greeting";
const ALL: &str = "/api/PluginSettings/EchoBridge";
const TOKEN: &str = "/api/PluginSettings/EchoBridge/metadata.token.live";

fn secretive() -> String {
    PLUGIN.replace(
        r#""metadata": {"#,
        r#""secretSettings": ["Metadata.Token"], "metadata": { "token": { "live": "s3cret" },"#,
    )
}

/// EchoBridge as spawn 1, a task of the job `scan` as spawn 2.
fn staffed() -> World {
    let tasks = r#"{"id":"scan","tasks":[{"id":"t","command":"tool"}]}"#;
    let files = [("Plugins/EchoBridge", &*secretive()), ("Plugins/Other", &plugin("Other", "")), ("Jobs/scan", tasks)];
    let mut world = World::new(&files);
    world.started(1);
    world.admin("POST", "/api/Jobs/scan/trigger", "");
    world.disk();
    world.started(world_task(&world));
    world
}

/// The spawn of the task; `Other` waits until EchoBridge is connected.
fn world_task(world: &World) -> u64 {
    world.spawns.values().find(|spawn| spawn.owner.to_string() == "job:scan").unwrap().spawn.0
}

#[track_caller]
fn done(world: &mut World, request: RequestId, status: u16) -> Value {
    world.disk();
    assert_eq!(world.status(request), Some(status), "{:?}", world.responses.get(&request));
    serde_json::from_slice(&world.responses[&request].body).unwrap_or_default()
}

#[test]
fn a_setting_is_durable_before_it_is_answered_and_there_after_the_next_start() {
    let mut world = World::new(&[("Plugins/EchoBridge", PLUGIN)]);
    let put = world.admin("PUT", "/api/pluginsettings/echobridge/METADATA.greeting", r#"{"value":"moin"}"#);
    assert_eq!(world.status(put), None, "it is not on disk yet");
    assert_eq!(world.get_now(ONE), json!("hello"));
    let settings = done(&mut world, put, 200);
    assert_eq!((&settings["metadata.greeting"], &settings["Subscription.Qos"]), (&json!("moin"), &json!("2")));
    assert_eq!(world.get(ONE), json!("moin"));

    let lost = world.admin("PUT", ONE, r#""never""#);
    assert!(world.disk_once(Err("the disk is full".into())));
    assert_eq!((world.status(lost), world.get(ONE)), (Some(500), json!("moin")));

    let mut next = world.reborn();
    assert_eq!(next.get(ONE), json!("moin"));
    let reverted = next.admin("POST", &format!("{ALL}/Revert"), "");
    assert_eq!(done(&mut next, reverted, 200)["metadata.greeting"], "hello");
    assert_eq!(next.reborn().get(ONE), json!("hello"));
    next.quiet();
}

#[test]
fn values_of_every_kind_become_texts_and_objects_their_leaves() {
    let mut world = World::new(&[("Plugins/EchoBridge", PLUGIN)]);
    for (body, expect) in [
        ("5", "5"),
        ("true", "true"),
        ("null", ""),
        (r#""a\"b""#, "a\"b"),
        ("[1, \"x\"]", r#"[1,"x"]"#),
        ("{}", "{}"),
        (r#"{"Value":[]}"#, "[]"),
    ] {
        let put = world.admin("PUT", "/api/PluginSettings/EchoBridge/own", body);
        assert_eq!(done(&mut world, put, 200)["own"], expect, "{body}");
    }
    let put = world.admin("PUT", "/api/PluginSettings/EchoBridge/own", r#"{"a":{"b":1},"value":2}"#);
    let settings = done(&mut world, put, 200);
    assert_eq!((&settings["own.a.b"], &settings["own.value"]), (&json!("1"), &json!("2")));
    for (target, body, status) in [
        ("own", "", 400),
        ("own", "{", 400),
        ("own", r#"{"a/b":1}"#, 400),
        ("own", &format!("\"{}\"", "x".repeat(16 << 10)), 200),
        ("own", &format!("\"{}\"", "x".repeat((16 << 10) + 1)), 413),
        ("executablePath", "\"/bin/sh\"", 409),
        ("METADATA.mqttTopics.publish", "[\"#\"]", 409),
        ("metadata", r#"{"MQTTTOPICS":{"publish":["\#"]}}"#, 400),
        ("metadata", r##"{"greeting":"x","MQTTTOPICS":{"publish":["#"]}}"##, 409),
        ("metadata", "5", 409),
    ] {
        let put = world.admin("PUT", &format!("/api/PluginSettings/EchoBridge/{target}"), body);
        let problem = done(&mut world, put, status);
        assert!(status == 200 || !problem["fix"].as_str().unwrap().is_empty(), "{problem}");
    }
    assert_eq!(world.get(ONE), "hello", "a refused object writes none of its leaves");
    let put = world.admin("PUT", "/api/PluginSettings/Nobody/x", "5");
    done(&mut world, put, 404);
    world.quiet();
}

#[test]
fn the_storage_is_bounded_and_says_so() {
    let mut world = World::new(&[("Plugins/EchoBridge", PLUGIN)]);
    for number in 0..256 {
        let put = world.admin("PUT", &format!("/api/PluginSettings/EchoBridge/own.{number}"), "1");
        done(&mut world, put, 200);
    }
    let more = world.admin("PUT", "/api/PluginSettings/EchoBridge/own.more", "1");
    done(&mut world, more, 409);
    let known = world.admin("PUT", "/api/PluginSettings/EchoBridge/own.7", "2");
    done(&mut world, known, 200);
    let revert = world.admin("POST", &format!("{ALL}/revert"), "");
    done(&mut world, revert, 200);
    assert!(world.settings.is_empty(), "{:?}", world.settings);
    let more = world.admin("PUT", "/api/PluginSettings/EchoBridge/own.more", "1");
    done(&mut world, more, 200);
}

#[test]
fn who_may_write_and_revert_what() {
    let mut world = staffed();
    let task = world_task(&world);
    let other = "/api/PluginSettings/Other/x";
    // Stranger, plugin, task, administrator.
    for (method, target, expect) in [
        ("PUT", ONE, [403, 200, 403, 200]),
        ("PUT", other, [403, 403, 403, 200]),
        ("PUT", "/api/PluginSettings/KeeperPrivilegeManager/x", [403, 403, 403, 409]),
        ("POST", "/api/PluginSettings/EchoBridge/revert", [403, 200, 403, 200]),
        ("POST", "/api/PluginSettings/Other/revert", [403, 403, 403, 200]),
        ("POST", "/api/PluginSettings/Nobody/revert", [403, 403, 403, 404]),
        ("POST", "/api/PluginSettings/KeeperPrivilegeManager/revert", [403, 403, 403, 200]),
        ("POST", "/api/PluginSettings/revert-all", [403, 200, 403, 200]),
        ("DELETE", ONE, [405, 405, 405, 405]),
        ("PUT", ALL, [405, 405, 405, 405]),
    ] {
        let requests = [
            world.stranger(method, target, "1"),
            world.task(1, method, target, "1"),
            world.task(task, method, target, "1"),
            world.admin(method, target, "1"),
        ];
        world.disk();
        assert_eq!(requests.map(|request| world.status(request).unwrap()), expect, "{method} {target}");
    }
    let denied = world.get("/api/denials").to_string();
    assert!(denied.contains("job:scan may not change the settings of EchoBridge"), "{denied}");
}

#[test]
fn a_plugin_that_reverts_all_reverts_its_own_and_an_http_task_everybodys() {
    let reverting = r#"{"id":"tidy","tasks":[{"id":"t","executionType":"Http","method":"POST",
        "url":"{KeeperApiBaseUrl}/api/PluginSettings/revert-all"}]}"#;
    let files = [("Plugins/EchoBridge", PLUGIN), ("Plugins/Other", &plugin("Other", "")), ("Jobs/tidy", reverting)];
    let mut world = World::new(&files);
    world.started(1);
    for target in [ONE, "/api/PluginSettings/Other/x"] {
        let put = world.admin("PUT", target, "1");
        done(&mut world, put, 200);
    }
    let own = world.task(1, "POST", "/api/PluginSettings/revert-all", "");
    let shown = done(&mut world, own, 200);
    assert_eq!((&shown["EchoBridge"]["metadata.greeting"], &shown["Other"]), (&json!("hello"), &Value::Null));
    assert_eq!(world.get("/api/PluginSettings/Other/x"), json!("1"));

    world.admin("POST", "/api/Jobs/tidy/trigger", "");
    world.disk();
    let task = world.get("/api/runs/7-1")["tasks"][0].clone();
    assert_eq!((&task["outcome"], &task["httpStatus"]), (&json!("Succeeded"), &json!(200)), "{task}");
    let gone = world.admin("GET", "/api/PluginSettings/Other/x", "");
    assert_eq!(world.status(gone), Some(404));
    assert_eq!(world.logged("SettingsWritten").last().unwrap(), &"job:tidy reverted the settings of all plugins.");
}

#[test]
fn explained_settings_say_where_they_come_from_and_who_wrote_them() {
    let mut world = staffed();
    let explained = |world: &mut World| {
        let all = world.get(&format!("{ALL}?explain=true"));
        let one = world.get(&format!("{ONE}?Explain=TRUE"));
        assert_eq!(all["metadata.greeting"], one);
        one
    };
    let file =
        json!({ "value": "hello", "layer": "file", "writer": null, "time": null, "former": null, "secret": false });
    assert_eq!(explained(&mut world), file);
    let put = world.task(1, "PUT", ONE, r#""moin""#);
    done(&mut world, put, 200);
    let by_plugin = explained(&mut world);
    assert_eq!(by_plugin["layer"], "storage");
    assert_eq!((&by_plugin["writer"], &by_plugin["former"]), (&json!("plugin:EchoBridge"), &json!("hello")));
    assert_eq!(by_plugin["time"], "2023-11-14T22:13:20.000Z");
    world.wait(1000);
    let put = world.admin("PUT", ONE, r#""servus""#);
    done(&mut world, put, 200);
    let by_admin = explained(&mut world);
    assert_eq!((&by_admin["writer"], &by_admin["former"]), (&json!("admin:client"), &json!("moin")));
    assert_eq!(by_admin["time"], "2023-11-14T22:13:21.000Z");
    assert_eq!(explained(&mut world.reborn()), by_admin);
    let revert = world.admin("POST", &format!("{ALL}/revert"), "");
    done(&mut world, revert, 200);
    let reverted = explained(&mut world);
    assert_eq!((&reverted["value"], &reverted["layer"]), (&json!("hello"), &json!("file")));
    assert_eq!((&reverted["writer"], &reverted["former"]), (&json!("admin:client"), &json!("servus")));

    let all = world.get(&format!("{ALL}?explain=true"));
    assert_eq!((&all["enabled"]["value"], &all["enabled"]["layer"]), (&json!("true"), &json!("default")));
    let agent = world.get("/api/PluginSettings/KeeperPrivilegeManager?explain=true");
    assert_eq!(agent["broker.port"]["layer"], "agent");
    assert_eq!((&agent["MaxConcurrentRuns"]["layer"]), (&json!("default")));
}

#[test]
fn a_secret_is_its_own_plugins_alone() {
    let mut world = staffed();
    let task = world_task(&world);
    let shown = |world: &World, request: RequestId| String::from_utf8(world.responses[&request].body.clone()).unwrap();
    let check = |world: &mut World, secret: &str| {
        for target in [ALL.to_owned(), TOKEN.to_owned(), format!("{ALL}?explain=true"), format!("{TOKEN}?explain=true")]
        {
            let requests = [
                world.task(1, "GET", &target, ""),
                world.task(task, "GET", &target, ""),
                world.admin("GET", &target, ""),
            ];
            let bodies = requests.map(|request| shown(world, request));
            assert!(bodies[0].contains(secret), "{target}: {}", bodies[0]);
            for body in &bodies[1..] {
                assert!(body.contains("\"***\"") && !body.contains(secret), "{target}: {body}");
            }
        }
    };
    check(&mut world, "s3cret");
    let mask = world.admin("PUT", TOKEN, r#""***""#);
    done(&mut world, mask, 400);
    let put = world.admin("PUT", TOKEN, r#""other-s3cret""#);
    let answer = done(&mut world, put, 200);
    assert_eq!(answer["metadata.token.live"], "***");
    check(&mut world, "other-s3cret");
    assert!(world.settings.values().all(|row| row.former.is_none()), "{:?}", world.settings);
    let revert = world.admin("POST", &format!("{ALL}/revert"), "");
    done(&mut world, revert, 200);
    assert!(world.settings.values().all(|row| row.former.is_none()), "{:?}", world.settings);
    check(&mut world, "s3cret");
    assert!(!format!("{:?}", world.logs).contains("s3cret"));
}

/// An entity tag is a digest that anybody can make of a guess.
#[test]
fn the_entity_tag_of_a_secret_is_its_own_plugins_alone() {
    let mut world = staffed();
    let own = world.task(1, "GET", TOKEN, "");
    let secret = world.header(own, "etag").unwrap().to_owned();
    let guess = world.admin_with("PUT", TOKEN, r#""x""#, &[("if-match", "\"guess\"")]);
    assert_eq!(world.status(guess), Some(412));
    let shown = world.header(guess, "etag").unwrap().to_owned();
    assert_ne!(shown, secret);
    assert!(!format!("{:?}", world.body(guess)).contains(&secret));
    let get = world.admin("GET", TOKEN, "");
    assert_eq!(world.header(get, "etag"), Some(&*shown));
    let put = world.admin_with("PUT", TOKEN, r#""x""#, &[("if-match", &shown)]);
    done(&mut world, put, 200);
    assert_eq!(world.header(put, "etag"), None, "the writer reads a mask from now on");
}

/// What is stored and who may read it are looked up without regard to case: there is one of a name.
#[test]
fn a_plugin_named_as_another_in_other_letters_gets_none_of_its_secrets() {
    let twin = PLUGIN.replace(r#""id": "EchoBridge""#, r#""id": "echobridge""#);
    let agents = PLUGIN.replace(r#""id": "EchoBridge""#, r#""id": "keeperPrivilegeManager""#);
    let mut world = World::new(&[
        ("Plugins/EchoBridge", &*secretive()),
        ("Plugins/echobridge", &twin),
        ("Plugins/keeperPrivilegeManager", &agents),
    ]);
    let plugins = world.get("/api/plugins");
    assert_eq!(plugins.as_array().unwrap().len(), 1, "{plugins}");
    for (id, code) in [("echobridge", "id-taken"), ("keeperPrivilegeManager", "id-reserved")] {
        let refused = world.admin("GET", &format!("/api/plugins/{id}"), "");
        assert_eq!(world.status(refused), Some(404));
        assert_eq!(world.body(refused)["findings"][0]["code"], code, "{id}");
    }
    assert_eq!(world.get(&TOKEN.replace("EchoBridge", "echobridge")), "***");
}

#[test]
fn a_task_is_skipped_by_what_is_stored() {
    let job = r#"{"id":"j","tasks":[{"id":"t","command":"echo","arguments":"x","skipWhenPluginSettingFalse":"echobridge:Metadata.On"}]}"#;
    let mut world = World::new(&[("Plugins/EchoBridge", PLUGIN), ("Jobs/j", job)]);
    let mut outcome = |body: &str| {
        let put = world.admin("PUT", "/api/PluginSettings/EchoBridge/metadata.on", body);
        done(&mut world, put, 200);
        let trigger = world.admin("POST", "/api/Jobs/j/trigger?wait=true", "");
        done(&mut world, trigger, 200)["tasks"][0]["outcome"].clone()
    };
    assert_eq!(outcome("true"), "Succeeded");
    assert_eq!(outcome("false"), "Skipped");
}

#[test]
fn of_two_writers_with_one_etag_one_wins() {
    let mut world = World::new(&[("Plugins/EchoBridge", PLUGIN)]);
    let shown = world.admin("GET", ONE, "");
    let tag = world.header(shown, "etag").unwrap().to_owned();
    let first = world.admin_with("PUT", ONE, r#""one""#, &[("if-match", &tag)]);
    let second = world.admin_with("PUT", ONE, r#""two""#, &[("if-match", &tag)]);
    assert_eq!(world.status(second), Some(412), "although the first is not on disk yet");
    let current = world.header(second, "etag").unwrap().to_owned();
    assert_eq!(world.body(second)["etag"], json!(current));
    done(&mut world, first, 200);
    assert_eq!(world.header(first, "etag"), Some(&*current), "it is stored as it was sent");
    let third = world.admin_with("PUT", ONE, r#"{"value":"three"}"#, &[("if-match", &format!("\"x\", {current}"))]);
    done(&mut world, third, 200);
    assert_eq!(world.header(third, "etag"), None, "something was made of it");

    let only_new = [("if-none-match", "*")];
    let known = world.admin_with("PUT", ONE, "1", &only_new);
    done(&mut world, known, 412);
    let new = world.admin_with("PUT", &format!("{ALL}/own"), "1", &only_new);
    done(&mut world, new, 200);
    let none = world.admin_with("PUT", &format!("{ALL}/unknown"), "1", &[("if-match", "*")]);
    done(&mut world, none, 412);
    assert_eq!(world.header(none, "etag"), None);
    let weak = world.admin_with("PUT", ONE, "1", &[("if-match", &format!("W/{current}"))]);
    done(&mut world, weak, 412);
}

#[test]
fn what_is_known_is_not_sent_again() {
    let mut world = World::new(&[
        ("Plugins/EchoBridge", PLUGIN),
        ("Jobs/a", r#"{"id":"a","tasks":[{"id":"t","command":"echo"}]}"#),
    ]);
    for target in
        [ALL, ONE, "/api/Jobs/a", "/api/PluginSettings/KeeperPrivilegeManager", &format!("{ALL}?explain=true")]
    {
        let first = world.admin("GET", target, "");
        let tag = world.header(first, "etag").unwrap().to_owned();
        assert!(tag.starts_with('"') && tag.ends_with('"'), "{tag} is strong");
        for (field, value, status) in [
            ("if-none-match", tag.clone(), 304),
            ("if-none-match", format!("\"other\", W/{tag}"), 304),
            ("if-none-match", "*".into(), 304),
            ("if-none-match", "\"other\"".into(), 200),
            ("if-match", tag.clone(), 200),
            ("if-match", "\"other\"".into(), 412),
        ] {
            let again = world.admin_with("GET", target, "", &[(field, &value)]);
            assert_eq!(world.status(again), Some(status), "{target} {field}: {value}");
            assert_eq!(world.header(again, "etag"), Some(&*tag));
            assert_eq!(world.responses[&again].body.is_empty(), status == 304);
        }
    }
    let before = world.admin("GET", ALL, "");
    let put = world.admin("PUT", ONE, "\"x\"");
    done(&mut world, put, 200);
    let tag = world.header(before, "etag").unwrap().to_owned();
    let after = world.admin_with("GET", ALL, "", &[("if-none-match", &tag)]);
    assert_eq!(world.status(after), Some(200));
}

#[test]
fn a_job_is_replaced_and_removed_only_where_it_is_what_the_writer_saw() {
    let job = |text: &str| format!(r#"{{"id":"a","tasks":[{{"id":"t","command":"tool","arguments":"{text}"}}]}}"#);
    let mut world = World::new(&[]);
    let created = world.admin("POST", "/api/Jobs", &job("0"));
    world.look("");
    world.disk();
    let tag = world.header(created, "etag").unwrap().to_owned();
    let shown = world.admin("GET", "/api/Jobs/a", "");
    assert_eq!(world.header(shown, "etag"), Some(&*tag));

    // Both were read, and both were looked at, before the first is on disk.
    let first = world.admin_with("PUT", "/api/Jobs/a", &job("1"), &[("if-match", &tag)]);
    let second = world.admin_with("PUT", "/api/Jobs/a", &job("2"), &[("if-match", &tag)]);
    world.look("");
    world.look("");
    assert_eq!((world.status(first), world.status(second)), (None, Some(412)));
    let removal = world.admin_with("DELETE", "/api/Jobs/a", "", &[("if-match", &tag)]);
    assert_eq!(world.status(removal), Some(412), "it would remove what nobody looked at");
    done(&mut world, first, 200);
    let current = world.header(second, "etag").unwrap().to_owned();
    assert_eq!((world.header(first, "etag"), world.header(removal, "etag")), (Some(&*current), Some(&*current)));
    assert_eq!(world.get("/api/Jobs/a")["tasks"][0]["arguments"], "1");

    let invalid = world.admin_with("PUT", "/api/Jobs/a", "{}", &[("if-match", "\"other\"")]);
    assert_eq!(world.status(invalid), Some(400), "what would be refused anyway is (RFC 9110 13.2.1)");
    let unknown = world.admin_with("DELETE", "/api/Jobs/b", "", &[("if-match", "*")]);
    assert_eq!(world.status(unknown), Some(404));
    let removed = world.admin_with("DELETE", "/api/Jobs/a", "", &[("if-match", &current)]);
    done(&mut world, removed, 200);
    world.quiet();
}
