//! Plugins of users: a process in each active session, sessions that come and go, and all instances together seen as one plugin.

use castellan_core::effect::ProcessOrder;
use castellan_core::event::{Captured, ExitStatus, ProcessReport};
use castellan_core::id::SpawnId;
use castellan_core::user::desktop::Desktop;
use castellan_core::user::sessions::SessionKey;
use castellan_core::user::{Account, Session, Sessions, UserFacts};
use serde_json::{Value, json};

use crate::plugins::plugin;
use crate::world::{World, ids, program};

const WATCHED: &str = r#","executionContext":"User","requiresMonitoring":true,"autoRestart":true"#;

/// A session at a text console of its own seat: name, user.
fn session(id: &str, uid: u32) -> Session {
    Session {
        id: id.into(),
        uid,
        user: format!("u{uid}"),
        class: "user".into(),
        kind: "tty".into(),
        state: "active".into(),
        active: true,
        remote: false,
        seat: "seat0".into(),
        display: String::new(),
    }
}

fn listed(names: &[(&str, u32)]) -> Sessions {
    Sessions::Listed(names.iter().map(|(id, uid)| session(id, *uid)).collect())
}

fn sessions(world: &mut World, names: &[(&str, u32)]) {
    world.process(ProcessReport::SessionsChanged(listed(names)));
}

/// A plugin of users in these sessions, one process each, which runs and is connected; spawns count from 1.
fn running(members: &str, names: &[(&str, u32)]) -> World {
    let mut world = World::new(&[("Plugins/tray", &plugin("tray", &format!("{WATCHED}{members}")))]);
    sessions(&mut world, names);
    for (spawn, (_, uid)) in (1..).zip(names) {
        started(&mut world, spawn, names, *uid);
        world.client(spawn, &format!("tray_u{uid}_{}", ids(spawn).0), spawn);
    }
    world.transcript.clear();
    world
}

fn prepared(world: &mut World, spawn: u64, names: &[(&str, u32)], uid: u32) {
    let account = Account { name: format!("u{uid}"), uid, gid: uid, home: "/srv/u".into(), ..Account::default() };
    let facts = UserFacts { sessions: listed(names), account: Some(Ok(account)), desktop: Desktop::default() };
    let ((pid, cgroup), spawn) = (ids(spawn), SpawnId(spawn));
    let (cgroup, user) = (Some(cgroup), Some(Box::new(facts)));
    world.process(ProcessReport::Prepared { spawn, pid, cgroup, executable: program("/x"), user });
}

fn started(world: &mut World, spawn: u64, names: &[(&str, u32)], uid: u32) {
    prepared(world, spawn, names, uid);
    world.process(ProcessReport::Started { spawn: SpawnId(spawn) });
}

fn end(world: &mut World, spawn: u64) {
    world.exit(spawn, ExitStatus::Signal(15));
    world.collected(spawn, "");
    world.discarded(spawn);
}

/// Session, user, status and reason of each instance.
fn shown(world: &mut World) -> Vec<(Value, Value, Value, Value)> {
    let plugin = world.get("/api/plugins/tray");
    let instances = plugin["instances"].as_array().unwrap().iter();
    let of = |one: &Value| (one["session"].clone(), one["user"].clone(), one["status"].clone(), one["reason"].clone());
    instances.map(of).collect()
}

fn act(world: &mut World, action: &str) -> Value {
    let request = world.admin("POST", &format!("/api/plugins/tray/{action}"), "");
    assert_eq!(world.status(request), Some(200), "{action}");
    world.transcript.retain(|line| !line.ends_with(": 200"));
    world.body(request)
}

#[test]
fn nobody_asks_for_sessions_before_a_plugin_needs_them() {
    let by_hand = plugin("tray", WATCHED).replace(r#""autoStart":true"#, r#""autoStart":false"#);
    let mut world = World::new(&[("Plugins/a", &plugin("a", "")), ("Plugins/tray", &by_hand)]);
    world.wait(60_000);
    assert!(!world.transcript.contains(&"watch sessions".to_string()), "{:?}", world.transcript);
    assert_eq!(world.get("/api/plugins/tray")["reason"], "autoStart is false, and nobody has started it.");
    world.transcript.clear();
    let state = act(&mut world, "start");
    assert_eq!((&state["status"], &state["instances"]), (&json!("Stopped"), &json!([])));
    assert_eq!(state["reason"], "logind is being asked who sits at the machine.");
    act(&mut world, "start");
    world.expect(&["watch sessions"]);
}

#[test]
fn each_active_session_of_an_ordinary_user_has_one_process() {
    let mut world = World::new(&[("Plugins/tray", &plugin("tray", WATCHED))]);
    let (root, mut away, mut far, mut greeter) = (session("4", 0), session("5", 5), session("6", 6), session("c1", 7));
    (away.active, away.state) = (false, "online".into());
    far.remote = true;
    greeter.class = "greeter".into();
    let all = vec![session("1", 1000), session("2", 2000), session("3", 2000), root, away, far, greeter];
    for _ in 0..2 {
        world.process(ProcessReport::SessionsChanged(Sessions::Listed(all.clone())));
        world.wait(1_000);
    }
    world.expect(&["spawn 1 plugin:tray", "spawn 2 plugin:tray", "spawn 3 plugin:tray"]);
    for (spawn, id, uid) in [(1, "1", 1000), (2, "2", 2000), (3, "3", 2000)] {
        let query = world.spawns[&SpawnId(spawn)].user.clone().unwrap();
        assert_eq!(query.session, Some(SessionKey::Listed { id: id.into(), uid }));
    }
    assert_eq!(world.logged("PluginStarting")[1], "Plugin tray in session 2 of u2000 starts: it was asked to start.");
    // Each is started as the user of its very session, or not at all.
    let there = [("1", 1000), ("2", 2000)];
    prepared(&mut world, 2, &there, 2000);
    prepared(&mut world, 3, &there, 2000);
    prepared(&mut world, 1, &there, 2000);
    world.expect(&["release 2", "abort 3", "abort 1"]);
    assert!(world.aborts[0].contains("session '3' of user 2000 ended before its process could start"));
    assert!(world.aborts[1].contains("not the session's"), "{:?}", world.aborts);
}

#[test]
fn a_process_ends_with_its_session_and_no_other_does() {
    let mut world = running("", &[("1", 1000), ("2", 2000)]);
    sessions(&mut world, &[("1", 1000)]);
    world.expect(&["Terminate 2"]);
    assert_eq!(
        world.logged("PluginStopping"),
        ["Plugin tray in session 2 of u2000 is stopped: its session 2 of u2000 ended."]
    );
    let reason = json!("its session 2 of u2000 ended");
    assert_eq!(shown(&mut world)[1], (json!("2"), json!("u2000"), json!("Stopping"), reason));
    end(&mut world, 2);
    world.wait(400_000);
    assert_eq!(shown(&mut world), [(json!("1"), json!("u1000"), json!("Running"), json!("it was asked to start"))]);
    // In the background it is no active session either.
    let mut behind = session("1", 1000);
    behind.active = false;
    world.transcript.clear();
    world.process(ProcessReport::SessionsChanged(Sessions::Listed(vec![behind])));
    world.expect(&["Terminate 1"]);
    assert!(world.logged("PluginStopping")[1].ends_with("its session 1 of u1000 is not active."));
    end(&mut world, 1);
    let plugin = world.get("/api/plugins/tray");
    let told = (&plugin["status"], &plugin["health"], &plugin["processId"], &plugin["instances"]);
    assert_eq!(told, (&json!("Stopped"), &json!("Unhealthy"), &json!(null), &json!([])));
    assert!(plugin["reason"].as_str().unwrap().starts_with("NoActiveSession: no session is active and local"));
}

#[test]
fn a_session_that_is_back_before_its_process_is_gone_gets_the_next_one_after_it() {
    let mut world = running("", &[("1", 1000)]);
    sessions(&mut world, &[]);
    // The name of the session, but another user: no successor, and none that waits for him.
    sessions(&mut world, &[("1", 3000)]);
    world.expect(&["Terminate 1", "spawn 2 plugin:tray"]);
    sessions(&mut world, &[("1", 1000)]);
    world.expect(&["abort 2"]);
    end(&mut world, 1);
    world.expect(&["revoke 1", "collect 1", "discard 1", "spawn 3 plugin:tray"]);
    world.spawn_failed(2);
    assert_eq!(shown(&mut world).len(), 1);
}

#[test]
fn what_is_done_by_hand_is_done_to_all_and_sessions_that_come_later_follow() {
    let both = [("1", 1000), ("2", 2000)];
    let mut world = running("", &both);
    assert_eq!(act(&mut world, "restart")["status"], "Stopping");
    world.expect(&["Terminate 1", "Terminate 2"]);
    end(&mut world, 1);
    end(&mut world, 2);
    world.transcript.clear();
    assert_eq!(world.get("/api/plugins/tray")["restarts"], 2);
    started(&mut world, 3, &both, 1000);
    let state = act(&mut world, "stop");
    assert_eq!((&state["status"], &state["instances"][1]["status"]), (&json!("Stopping"), &json!("Starting")));
    world.spawn_failed(4);
    end(&mut world, 3);
    world.transcript.clear();
    sessions(&mut world, &[("1", 1000), ("3", 3000)]);
    world.wait(400_000);
    world.expect(&[]);
    assert_eq!(shown(&mut world).len(), 1, "that of session 2 is gone");
    let state = act(&mut world, "start");
    assert_eq!((&state["status"], &state["restarts"]), (&json!("Starting"), &json!(2)), "none is forgotten");
    world.expect(&["spawn 5 plugin:tray", "spawn 6 plugin:tray"]);
}

#[test]
fn each_process_backs_off_by_itself_and_the_worst_speaks_for_all() {
    let mut world = running("", &[("1", 1000), ("2", 2000)]);
    end(&mut world, 2);
    let plugin = world.get("/api/plugins/tray");
    assert_eq!((&plugin["status"], &plugin["health"]), (&json!("Backoff"), &json!("Unhealthy")));
    assert_eq!((&plugin["processId"], &plugin["reason"]), (&json!(null), &json!("signal 15 ended it")));
    assert_eq!(plugin["instances"][0]["processId"], ids(1).0);
    world.transcript.clear();
    world.wait(1_000);
    world.expect(&["spawn 3 plugin:tray"]);
    started(&mut world, 3, &[("1", 1000), ("2", 2000)], 2000);
    let plugin = world.get("/api/plugins/tray");
    assert_eq!((&plugin["status"], &plugin["health"]), (&json!("Running"), &json!("Starting")));
    assert_eq!((&plugin["restarts"], &plugin["instances"][0]["restarts"]), (&json!(1), &json!(0)));
    assert_eq!(world.get("/api/system/status")["pluginsRunning"], 1);
}

#[test]
fn an_interactive_plugin_wants_a_desktop() {
    let desktop = plugin("tray", r#","executionContext":"Interactive""#);
    let mut world = World::new(&[("Plugins/tray", &desktop)]);
    let graphical = Session { kind: "wayland".into(), ..session("2", 2000) };
    world.process(ProcessReport::SessionsChanged(Sessions::Listed(vec![session("1", 1000), graphical])));
    world.expect(&["spawn 1 plugin:tray"]);
    let query = world.spawns[&SpawnId(1)].user.clone().unwrap();
    assert_eq!(query.session, Some(SessionKey::Listed { id: "2".into(), uid: 2000 }));
}

#[test]
fn without_logind_the_configured_user_has_the_one_session() {
    let files = [("Plugins/tray", &*plugin("tray", WATCHED))];
    let mut world = World::with(r#"{"Settings":{"SessionUser":"kiosk"}}"#, &files);
    world.process(ProcessReport::SessionsChanged(Sessions::NoLogind("no bus".into())));
    world.expect(&["spawn 1 plugin:tray"]);
    assert_eq!(world.spawns[&SpawnId(1)].user.clone().unwrap().session, Some(SessionKey::Configured));
    assert_eq!(shown(&mut world)[0].1, "kiosk");
    world.transcript.clear();
    // Where logind is there after all, its word counts.
    sessions(&mut world, &[("1", 1000)]);
    world.expect(&["abort 1", "spawn 2 plugin:tray"]);

    let mut world = World::new(&files);
    world.process(ProcessReport::SessionsChanged(Sessions::NoLogind("no bus".into())));
    world.expect(&[]);
    let said = world.logged("PluginWaits")[0];
    assert!(
        said.starts_with("Plugin tray has no process: NoActiveSession: ") && said.contains("SessionUser"),
        "{said}"
    );
}

#[test]
fn a_logind_that_falls_silent_ends_nobodys_process() {
    let mut world = running("", &[("1", 1000)]);
    for silence in [Sessions::Failed("it hangs".into()), Sessions::NoLogind("no bus".into())] {
        world.process(ProcessReport::SessionsChanged(silence));
    }
    world.expect(&["!SessionsUnknown", "!SessionsUnknown"]);
    assert!(world.logged("SessionsUnknown")[0].contains("it hangs"));
    sessions(&mut world, &[]);
    world.expect(&["Terminate 1"]);
}

#[test]
fn who_requires_it_waits_for_all_of_them_and_for_one_at_least() {
    let files = [("Plugins/tray", &*plugin("tray", WATCHED)), ("Plugins/z", &plugin("z", r#","requires":["tray"]"#))];
    let mut world = World::new(&files);
    let reason = |world: &mut World| world.get("/api/plugins/z")["reason"].as_str().unwrap().to_owned();
    sessions(&mut world, &[]);
    assert!(reason(&mut world).contains("waits: tray has no process: NoActiveSession: "), "{}", reason(&mut world));
    let both = [("1", 1000), ("2", 2000)];
    sessions(&mut world, &both);
    for (spawn, uid) in [(1, 1000), (2, 2000)] {
        assert!(reason(&mut world).ends_with("tray is not connected to the broker yet."), "{}", reason(&mut world));
        assert!(!world.transcript.contains(&"spawn 3 plugin:z".to_string()));
        started(&mut world, spawn, &both, uid);
        world.client(spawn, &format!("tray_u{uid}_{}", ids(spawn).0), spawn);
    }
    assert_eq!(world.transcript.last().unwrap(), "spawn 3 plugin:z");
}

#[test]
fn each_process_answers_its_own_pings_and_hears_those_of_the_others() {
    let check = r#","healthCheck":{"topic":"tray/ping","intervalSeconds":20,"timeoutSeconds":10}"#;
    let mut world = running(check, &[("1", 1000), ("2", 2000)]);
    let subjects: Vec<_> =
        [1, 2].map(|spawn| world.grants[&castellan_core::id::ConnectionId(spawn)].subject.clone()).into();
    world.wait(20_000);
    world.expect(&["publish tray/ping ", "publish tray/ping "]);
    let pings: Vec<String> = world.published.iter().map(|(_, ping)| ping.to_string()).collect();
    // The second program answers all that it hears, the first one nothing.
    pings.iter().for_each(|ping| world.publish(&subjects[1], "PluginHealth", ping));
    world.expect(&[]);
    world.wait(10_000);
    world.expect(&["!PluginHangs", "Terminate 1"]);
    world.publish(&subjects[1], "PluginHealth", r#"{"id":"9.1"}"#);
    world.expect(&["!Denied"]);
}

#[test]
fn another_execution_context_counts_from_the_next_start_and_never_beside_the_former() {
    let mut world = running("", &[("1", 1000), ("2", 2000)]);
    let of_the_agent = plugin("tray", r#","requiresMonitoring":true,"autoRestart":true"#);
    world.put("Plugins/tray", &of_the_agent);
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert!(
        world.transcript.ends_with(&["Terminate 1".into(), "Terminate 2".into(), "1: 200".into()]),
        "{:?}",
        world.transcript
    );
    end(&mut world, 1);
    assert!(!world.transcript.contains(&"spawn 3 plugin:tray".into()), "one of the former kind is still there");
    end(&mut world, 2);
    assert_eq!(world.transcript.last().unwrap(), "spawn 3 plugin:tray");
    assert_eq!(world.spawns[&SpawnId(3)].user, None);
    world.started(3);
    world.put("Plugins/tray", &plugin("tray", WATCHED));
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    end(&mut world, 3);
    assert!(
        world.transcript.ends_with(&["spawn 4 plugin:tray".into(), "spawn 5 plugin:tray".into()]),
        "{:?}",
        world.transcript
    );
}

#[test]
fn a_process_of_a_session_is_never_started_again_as_the_agent_itself_nor_the_other_way_round() {
    let of_the_agent = plugin("tray", r#","requiresMonitoring":true,"autoRestart":true"#);
    let touch = |world: &mut World, document: &str| {
        world.put("Plugins/tray", document);
        world.tell(castellan_core::event::Event::Store(castellan_core::event::StoreReport::DefinitionsTouched));
        world.disk();
        world.transcript.clear();
    };
    let mut world = running("", &[("1", 1000), ("2", 2000)]);
    touch(&mut world, &of_the_agent);
    end(&mut world, 1);
    world.transcript.clear();
    world.wait(1_000);
    world.expect(&["Terminate 2"]);
    end(&mut world, 2);
    assert_eq!(world.transcript.last().unwrap(), "spawn 3 plugin:tray");
    assert_eq!((world.spawns[&SpawnId(3)].user.clone(), shown(&mut world).len()), (None, 0));
    world.started(3);
    touch(&mut world, &plugin("tray", WATCHED));
    end(&mut world, 3);
    world.transcript.clear();
    world.wait(1_000);
    world.expect(&["spawn 4 plugin:tray", "spawn 5 plugin:tray"]);
    assert!(world.spawns[&SpawnId(5)].user.is_some());
    // One that waits for a session starts at once where it needs none any more.
    let mut world = World::new(&[("Plugins/tray", &plugin("tray", WATCHED))]);
    sessions(&mut world, &[]);
    world.put("Plugins/tray", &of_the_agent);
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    assert!(world.transcript.contains(&"spawn 1 plugin:tray".into()), "{:?}", world.transcript);
}

#[test]
fn the_output_of_every_process_is_shown_with_its_session() {
    let mut world = running("", &[("1", 1000), ("2", 2000), ("3", 3000)]);
    world.exit(2, ExitStatus::Code(1));
    world.process(ProcessReport::Collected {
        spawn: SpawnId(2),
        stdout: Captured::of(b"last words".to_vec()),
        stderr: Captured::default(),
    });
    world.discarded(2);
    sessions(&mut world, &[("1", 1000), ("3", 3000)]);
    let request = world.admin("GET", "/api/plugins/tray/output", "");
    for _ in 0..2 {
        let Some(ProcessOrder::Peek { ticket, spawn }) = world.looks.pop_front() else { panic!("nobody asked") };
        let stdout = Captured::of(format!("written by {spawn}").into_bytes());
        world.process(ProcessReport::Peeked { ticket, stdout, stderr: Captured::default() });
    }
    let shown = world.body(request);
    let shown =
        shown["processes"].as_array().unwrap().iter().map(|one| (&one["session"], &one["user"], &one["stdout"]));
    let expected = [("2", "u2000", "last words"), ("1", "u1000", "written by 1"), ("3", "u3000", "written by 3")];
    let expected = expected.map(|(id, user, text)| (json!(id), json!(user), json!(text)));
    assert_eq!(shown.map(|(id, user, text)| (id.clone(), user.clone(), text.clone())).collect::<Vec<_>>(), expected);
}

#[test]
fn a_plugin_out_of_service_and_an_agent_that_stops_end_all_of_them() {
    let both = [("1", 1000), ("2", 2000)];
    let mut world = running("", &both);
    world.files.clear();
    world.admin("POST", "/api/Jobs/reload", "");
    world.disk();
    let ends = |world: &World| ["Terminate 1", "Terminate 2"].map(|end| world.transcript.contains(&end.to_string()));
    assert_eq!(ends(&world), [true, true], "{:?}", world.transcript);
    sessions(&mut world, &[("1", 1000), ("2", 2000), ("3", 3000)]);
    end(&mut world, 1);
    assert_eq!(world.get("/api/plugins").as_array().unwrap().len(), 1, "one process is left");
    end(&mut world, 2);
    assert_eq!(world.get("/api/plugins"), json!([]));
    assert!(!world.transcript.iter().any(|line| line.starts_with("spawn")), "{:?}", world.transcript);

    let mut world = running("", &both);
    world.tell(castellan_core::event::Event::StopRequested("SIGTERM".into()));
    assert_eq!(ends(&world), [true, true], "{:?}", world.transcript);
    sessions(&mut world, &[("3", 3000)]);
    end(&mut world, 1);
    assert!(!world.transcript.contains(&"stop broker".into()), "{:?}", world.transcript);
    end(&mut world, 2);
    assert_eq!(world.transcript.last().unwrap(), "stop broker");
}

#[test]
fn what_one_user_left_at_the_broker_is_not_given_to_another() {
    let world = running("", &[("1", 1000), ("2", 2000)]);
    let users: Vec<_> = world.grants.values().map(|grant| grant.user).collect();
    assert_eq!(users, [Some(1000), Some(2000)]);
    let mut world = World::new(&[("Plugins/a", &plugin("a", ""))]);
    world.started(1);
    world.client(1, &format!("a_{}", ids(1).0), 1);
    assert_eq!(world.grants[&castellan_core::id::ConnectionId(1)].user, None, "the agent's own");
}

#[test]
fn a_former_secret_is_hidden_until_the_last_process_that_was_told_it_is_gone() {
    let secretive = r#","token":"s3cret-one","secretSettings":["token"]"#;
    let mut world = running(secretive, &[("1", 1000), ("2", 2000)]);
    let changed = plugin("tray", &format!("{WATCHED}{secretive}")).replace("s3cret-one", "another");
    world.put("Plugins/tray", &changed);
    world.tell(castellan_core::event::Event::Store(castellan_core::event::StoreReport::DefinitionsTouched));
    world.disk();
    end(&mut world, 1);
    world.exit(2, ExitStatus::Code(3));
    let stderr = Captured::of(b"cannot log in with s3cret-one".to_vec());
    world.process(ProcessReport::Collected { spawn: SpawnId(2), stdout: Captured::default(), stderr });
    world.discarded(2);
    let lines = format!("{:?}", world.logs);
    assert!(lines.contains("cannot log in with ***") && !lines.contains("s3cret-one"), "{lines}");
}
