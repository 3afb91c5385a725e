//! The log: its level at run time, what of plugins stays hidden, whose run a line is about, and messages that came too fast.

use castellan_core::event::{BrokerReport, Captured, Event, ExitStatus, ProcessReport};
use castellan_core::id::SpawnId;
use castellan_core::log_message::Level;
use serde_json::{Value, json};

use crate::world::World;

const LEVEL: &str = "/api/PluginSettings/KeeperPrivilegeManager/system.logging.level";
const PLUGIN: &str = include_str!("../data/root-plugin.json");

fn message(text: &str) -> String {
    let parts = json!({ "MessageType": 4, "Message": text, "Source": text, "Category": text, "CorrelationId": text, "Context": text });
    json!({ "MetaData": parts }).to_string()
}

#[track_caller]
fn put(world: &mut World, target: &str, body: &str, status: u16) -> Value {
    let put = world.admin("PUT", target, body);
    world.disk();
    assert_eq!(world.status(put), Some(status), "{:?}", world.responses.get(&put));
    world.body(put)
}

#[test]
fn the_level_changes_at_once_and_outlives_the_agent() {
    let mut world = World::with("{}", &[]);
    assert_eq!(world.get(LEVEL), "Information");
    put(&mut world, LEVEL, r#""debug""#, 200);
    assert_eq!(world.log_level, Some(Level::Debug));
    assert_eq!(world.logged("LogLevel"), ["The log's level is Debug now; it was Information."]);
    let explained = world.get(&format!("{LEVEL}?explain=true"));
    assert_eq!(
        (&explained["value"], &explained["layer"], &explained["former"]),
        (&json!("Debug"), &json!("storage"), &json!("Information"))
    );
    let mut next = world.reborn();
    assert_eq!((next.log_level, next.get(LEVEL)), (Some(Level::Debug), json!("Debug")));
    let revert = next.admin("POST", "/api/PluginSettings/KeeperPrivilegeManager/revert", "");
    next.disk();
    assert_eq!((next.status(revert), next.log_level), (Some(200), Some(Level::Information)), "the file counts again");
    next.quiet();
}

#[test]
fn no_other_setting_of_the_agent_is_stored_and_no_other_level_taken() {
    let mut world = World::with("{}", &[]);
    let problem = put(&mut world, LEVEL, r#""Loud""#, 400);
    assert!(problem["fix"].as_str().unwrap().contains("Information"), "{problem}");
    let problem = put(&mut world, "/api/PluginSettings/KeeperPrivilegeManager/MaxConcurrentRuns", "3", 409);
    assert!(problem["fix"].as_str().unwrap().contains("appsettings.json"), "{problem}");
    assert_eq!(world.log_level, None);
    let refused = world.stranger("PUT", LEVEL, r#""Debug""#);
    assert_eq!(world.status(refused), Some(403));
}

#[test]
fn secrets_of_a_plugin_stand_in_no_line_and_no_refusal() {
    let secretive = PLUGIN.replace(
        r#""metadata": {"#,
        r#""secretSettings": ["metadata.token"], "metadata": { "token": { "live": "s3cret" },"#,
    );
    let mut world = World::new(&[("Plugins/EchoBridge", &secretive)]);
    world.started(1);
    let (pid, _) = crate::world::ids(1);
    let bridge = world.client(1, &format!("EchoBridge_{pid}"), 1);
    put(&mut world, "/api/PluginSettings/EchoBridge/metadata.token.next", r#""line one\nst0red""#, 200);
    world.publish(&bridge, "KeeperLogger", &message("it is s3cret, not line one\nst0red"));
    let record = world.logs.last().unwrap().clone();
    assert_eq!(record.message, "it is ***, not ***");
    for text in [&*record.source, &*record.category, &record.correlation_id, &record.context] {
        assert_eq!(text, "it is ***, not ***");
    }
    world.publish(&bridge, "KeeperLogger", r#"{"MetaData":{"MessageType":"s3cret"}}"#);
    world.tell(Event::Process(ProcessReport::Exited { spawn: SpawnId(1), status: ExitStatus::Code(1) }));
    let stderr = Captured { head: b"cannot log in with s3cret".to_vec(), ..Captured::default() };
    let stdout = Captured::default();
    world.tell(Event::Process(ProcessReport::Collected { spawn: SpawnId(1), stdout, stderr }));
    world.discarded(1);
    let denials = world.get("/api/denials").to_string();
    assert!(denials.contains("'***'") && !denials.contains("s3cret"), "{denials}");
    let lines = format!("{:?}", world.logs);
    assert!(lines.contains("cannot log in with ***"), "{lines}");
    assert!(!lines.contains("s3cret") && !lines.contains("st0red"), "{lines}");
}

#[test]
fn lines_of_a_run_and_of_its_tasks_name_it() {
    let job = r#"{"id":"scan","mqttTopics":{"allowedPublications":["KeeperLogger"]},"tasks":[
        {"id":"say","command":"log-message","arguments":"--message built-in"},{"id":"t","command":"tool"}]}"#;
    let mut world = World::new(&[("Jobs/scan", job)]);
    world.admin("POST", "/api/Jobs/scan/trigger", "");
    world.disk();
    world.started(1);
    let (pid, _) = crate::world::ids(1);
    let scanner = world.client(1, &format!("scan_Tool_{pid}"), 1);
    world.publish(&scanner, "KeeperLogger", &message("from its task"));
    for told in ["RunTriggered", "log-message", "from its task"] {
        let record = world.logs.iter().find(|record| record.category == told);
        assert_eq!(record.and_then(|record| record.run_id.as_deref()), Some("7-1"), "{told}: {record:?}");
    }
}

#[test]
fn log_messages_that_came_too_fast_are_told_to_their_owner() {
    let job =
        r#"{"id":"scan","mqttTopics":{"allowedPublications":["KeeperLogger"]},"tasks":[{"id":"t","command":"tool"}]}"#;
    let mut world = World::with(r#"{"Settings":{"system.logging.clientRate":7}}"#, &[("Jobs/scan", job)]);
    world.admin("POST", "/api/Jobs/scan/trigger", "");
    world.disk();
    world.started(1);
    let (pid, _) = crate::world::ids(1);
    let subject = world.client(1, &format!("scan_Tool_{pid}"), 1);
    for (messages, millis) in [(812, 1000), (3, 250)] {
        world.tell(Event::Broker(BrokerReport::LogDropped { subject: subject.clone(), messages, millis }));
    }
    let lines = world.logged("LogDropped");
    assert!(
        lines[0].starts_with(&format!("812 log messages of scan_Tool_{pid} were dropped in 1.000 s.")),
        "{lines:?}"
    );
    assert!(lines[0].contains("7 a second") && lines[0].contains("system.logging.clientRate"), "{lines:?}");
    let denials = world.get("/api/denials");
    let denial = &denials[0];
    assert_eq!((&denial["action"], &denial["target"]), (&json!("log"), &json!("KeeperLogger")));
    assert_eq!((&denial["component"], &denial["count"]), (&json!("job:scan"), &json!(815)));
}
