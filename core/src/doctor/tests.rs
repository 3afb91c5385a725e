//! A healthy root has no failure, and for each check one thing is broken that fails this check and no other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail by panicking")]

use alloc::string::{String, ToString};
use std::format;
use std::vec;

use super::*;
use crate::event::Opening;
use crate::turn::fixtures::surroundings;

const JOB: &str = r#"{"id":"scan","eventTopic":"scan/events","enabled":true,"osFilter":{"linux":true},
  "mqttTopics":{"allowedPublications":["KeeperLogger","scan/+"],"allowedSubscriptions":[]},
  "tasks":[{"id":"t","command":"Scanner"},{"id":"u","command":"echo"}]}"#;
const PLUGIN: &str = r#"{"id":"Bridge","pluginType":"Executable","executablePath":"bin/Bridge/Bridge","supportedPlatforms":["Linux"],
  "Subscription":{"Topic":"Bridge"},"metadata":{"mqttTopics":{"publish":["KeeperLogger"],"subscribe":["Bridge/+"]}},
  "autoStart":true,"requiresMonitoring":true,"autoRestart":true}"#;

/// What a test may break.
struct Root {
    files: Vec<DefinitionFile>,
    settings: Settings,
    running: Option<Running>,
    probe: BTreeMap<String, Result<String, String>>,
    missing: &'static str,
}

fn file(kind: DefinitionKind, stem: &str, text: &str) -> DefinitionFile {
    DefinitionFile { kind, stem: stem.to_string(), content: Ok(text.as_bytes().into()) }
}

fn healthy() -> Root {
    let files = Vec::from([file(DefinitionKind::Job, "scan", JOB), file(DefinitionKind::Plugin, "Bridge", PLUGIN)]);
    let text = ToString::to_string;
    let broker = BTreeMap::from(
        [("broker.host", "127.0.0.1"), ("broker.port", "8675")].map(|(key, value)| (text(key), text(value))),
    );
    let running = Running {
        jobs: BTreeSet::from([text("scan")]),
        last_runs: BTreeMap::from([(text("scan"), (text("1-1"), text("Succeeded"), String::new()))]),
        plugins: BTreeMap::from([(text("Bridge"), (text("Running"), text("Healthy"), 0))]),
        settings: BTreeMap::from([(text("KeeperPrivilegeManager"), broker.clone()), (text("Bridge"), broker)]),
        denials: Vec::new(),
        connected: BTreeMap::from(
            [("job:scan", "scan_S_7"), ("plugin:Bridge", "Bridge_8")].map(|(key, value)| (text(key), text(value))),
        ),
        logged: BTreeSet::from([text("job:scan"), text("plugin:Bridge")]),
        drifted: BTreeMap::new(),
    };
    Root { files, settings: Settings::default(), running: Some(running), probe: BTreeMap::new(), missing: "-" }
}

fn of(root: &Root) -> Vec<Examined> {
    let look = |query: &ProgramQuery| ExecutableFacts {
        path: query.candidates[0].clone(),
        exists: !query.candidates[0].contains(root.missing),
        executable: true,
        opening: Opening::Binary,
        ..ExecutableFacts::default()
    };
    let machine = Machine {
        settings: &root.settings,
        surroundings: &surroundings(),
        definitions: &root.files,
        look: &look,
        running: root.running.as_ref(),
        probe: &root.probe,
        now: WallTime::from_millis(0),
    };
    examine(&machine, None)
}

/// `kind:name` of the checks with this status.
fn with(examined: &[Examined], status: Status) -> Vec<String> {
    let all = examined.iter().flat_map(|one| one.checks.iter().map(move |check| (one.kind, check)));
    let found = all.filter(|(_, check)| check.status == status);
    found.map(|(kind, check)| format!("{kind}:{}", check.name)).collect()
}

/// Breaks one thing; exactly this check fails, with a fix.
#[track_caller]
fn check(expected: &str, break_it: impl FnOnce(&mut Root)) {
    let mut root = healthy();
    break_it(&mut root);
    let examined = of(&root);
    assert_eq!(with(&examined, Status::Failed), [expected], "{examined:#?}");
    let checks = examined.iter().flat_map(|one| &one.checks);
    for check in checks {
        assert_eq!(check.fix.is_some(), check.status == Status::Failed, "{check:?}");
        assert!(!check.proof.is_empty(), "{check:?}");
    }
}

fn rewrite(root: &mut Root, place: usize, from: &str, to: &str) {
    let text = String::from_utf8(root.files[place].content.clone().unwrap().to_vec()).unwrap();
    assert!(text.contains(from), "{from}");
    root.files[place].content = Ok(text.replace(from, to).into_bytes().into());
}

fn running(root: &mut Root) -> &mut Running {
    root.running.as_mut().unwrap()
}

fn deny(root: &mut Root, component: &str, action: &str, target: &str) {
    let text = ToString::to_string;
    let (what, fix) = (text("It may not."), text("Declare it."));
    running(root).denials.push(DenialLine {
        action: text(action),
        target: text(target),
        component: Some(text(component)),
        what,
        fix,
    });
}

#[test]
fn a_healthy_root_has_every_check_in_the_guides_order_and_no_failure() {
    let examined = of(&healthy());
    assert_eq!(with(&examined, Status::Failed), Vec::<String>::new());
    assert_eq!(with(&examined, Status::Skipped), ["job:signature", "plugin:signature"], "nothing has to be signed");
    let counts: Vec<(&str, usize)> = examined.iter().map(|one| (one.kind, one.checks.len())).collect();
    assert_eq!(counts, [("job", 13), ("plugin", 11)]);
    let numbers: Vec<usize> = examined[0].checks.iter().map(|check| check.number).collect();
    assert_eq!(numbers, (1..=13).collect::<Vec<_>>());
    let json = serde_json::to_value(&examined[0].checks[1]).unwrap();
    assert_eq!(
        (&json["name"], &json["status"], &json["fix"]),
        (&"job-id".into(), &"ok".into(), &serde_json::Value::Null)
    );
}

#[test]
fn without_an_agent_what_only_it_knows_is_skipped() {
    let mut root = healthy();
    root.running = None;
    let examined = of(&root);
    assert_eq!(with(&examined, Status::Failed), Vec::<String>::new());
    let expected: Vec<String> = ["binary-exists", "job-id", "enabled", "os-filter", "publications", "environment"]
        .iter()
        .map(|name| format!("job:{name}"))
        .chain(["binary-exists", "subscription", "lifecycle", "own-binary"].iter().map(|name| format!("plugin:{name}")))
        .collect();
    assert_eq!(with(&examined, Status::Ok), expected);
}

#[test]
fn each_check_of_a_job_fails_for_its_own_reason_alone() {
    check("job:binary-exists", |root| root.missing = "Scanner");
    check("job:job-id", |root| rewrite(root, 0, r#""id":"scan""#, r#""id":"other""#));
    check("job:job-id", |root| rewrite(root, 0, r#""id":"scan""#, r#""id":"sc_an""#));
    check("job:job-id", |root| root.files[0].content = Err("it is a link.".to_string()));
    check("job:enabled", |root| rewrite(root, 0, r#""enabled":true"#, r#""enabled":false"#));
    check("job:os-filter", |root| rewrite(root, 0, r#"{"linux":true}"#, r#"{"windows":true}"#));
    check("job:publications", |root| rewrite(root, 0, r#""KeeperLogger","#, ""));
    check("job:publications", |root| rewrite(root, 0, r#","scan/+""#, ""));
    check("job:in-service", |root| running(root).jobs.clear());
    check("job:trigger", |root| {
        let last = ("1-2".to_string(), "Failed".to_string(), "exit code 3".to_string());
        running(root).last_runs.insert("scan".to_string(), last);
    });
    check("job:client-id", |root| deny(root, "job:scan", "connect", "scan_7"));
    check("job:event-topic", |root| deny(root, "job:scan", "publish", "scan/events"));
    check("job:signature", |root| {
        rewrite(root, 1, r#""supportedPlatforms":["Linux"]"#, r#""supportedPlatforms":["Windows"]"#);
        root.files.remove(1);
        root.settings.alternative_signatures.push("0".repeat(64));
    });
    for name in ["trigger", "environment", "plugin-settings", "client-id", "keeper-logger", "event-topic"] {
        check(&format!("job:{name}"), |root| {
            root.files.remove(1);
            root.probe.insert(name.to_string(), Err("the probe says so.".to_string()));
        });
    }
}

#[test]
fn each_check_of_a_plugin_fails_for_its_own_reason_alone() {
    check("plugin:binary-exists", |root| root.missing = "Bridge/Bridge");
    check("plugin:binary-exists", |root| rewrite(root, 1, r#""id":"Bridge""#, r#""id":"Other""#));
    check("plugin:publish-topics", |root| deny(root, "plugin:Bridge", "publish", "x"));
    check("plugin:subscribe-topics", |root| deny(root, "plugin:Bridge", "subscribe", "x"));
    check("plugin:client-id", |root| deny(root, "plugin:Bridge", "connect", "Bridge_T_8"));
    check("plugin:signature", |root| {
        root.files.remove(0);
        root.settings.alternative_signatures.push("0".repeat(64));
    });
    check("plugin:own-settings", |root| drop(running(root).settings.remove("Bridge")));
    check("plugin:connected", |root| {
        let state = ("Failed".to_string(), "Failed".to_string(), 0);
        running(root).plugins.insert("Bridge".to_string(), state);
    });
    check("plugin:lifecycle", |root| rewrite(root, 1, r#""requiresMonitoring":true"#, r#""requiresMonitoring":false"#));
    check("plugin:lifecycle", |root| {
        let state = ("Running".to_string(), "Healthy".to_string(), 5);
        running(root).plugins.insert("Bridge".to_string(), state);
    });
    check("plugin:own-binary", |root| {
        rewrite(
            root,
            0,
            r#""command":"Scanner""#,
            r#""command":"Bridge","executablePath":"/agent/Plugins/bin/Bridge/Bridge""#,
        );
    });
}

#[test]
fn a_file_that_is_not_what_is_in_service_is_a_check_of_its_own() {
    let drift = |item: &str| {
        let item = item.to_string();
        move |root: &mut Root| drop(running(root).drifted.insert(item, "has other content, 9 bytes".to_string()))
    };
    check("job:as-blessed", drift("Jobs/scan"));
    check("plugin:as-blessed", drift("Plugins/Bridge"));
    // Where nothing is in service that is the failure.
    check("job:in-service", |root| {
        drift("Jobs/scan")(root);
        running(root).jobs.clear();
    });
}

#[test]
fn a_plugin_that_somebody_stopped_is_no_failure() {
    let mut root = healthy();
    let state = ("Stopped".to_string(), "Unhealthy".to_string(), 0);
    running(&mut root).plugins.insert("Bridge".to_string(), state);
    assert!(with(&of(&root), Status::Skipped).contains(&"plugin:connected".to_string()));
    assert_eq!(with(&of(&root), Status::Failed), Vec::<String>::new());
}

#[test]
fn what_concerns_two_fails_at_both() {
    let failures = |change: &dyn Fn(&mut Root)| {
        let mut root = healthy();
        change(&mut root);
        with(&of(&root), Status::Failed)
    };
    let twin = PLUGIN.replace(r#""id":"Bridge""#, r#""id":"Twin""#).replace("bin/Bridge/Bridge", "bin/Twin/Twin");
    let found = failures(&|root| {
        root.files.push(file(DefinitionKind::Plugin, "Twin", &twin));
        running(root).settings.insert("Twin".to_string(), BTreeMap::new());
    });
    assert_eq!(found, ["plugin:subscription", "plugin:subscription"]);
    let found = failures(&|root| drop(running(root).settings.remove("KeeperPrivilegeManager")));
    assert_eq!(found, ["job:plugin-settings", "plugin:agent-settings"]);
}

#[test]
fn the_log_has_everything_or_it_is_said_what_not() {
    let statuses =
        |facts: Option<&LogFacts>| examine_log(facts).checks.iter().map(|check| check.status).collect::<Vec<_>>();
    let whole = LogFacts { lost: vec![(String::from("file"), 0)], dropped: 0 };
    assert_eq!(statuses(None), [Status::Skipped; 2]);
    assert_eq!(statuses(Some(&whole)), [Status::Ok; 2]);
    let facts = LogFacts { lost: vec![(String::from("file"), 0), (String::from("journald"), 7)], dropped: 12 };
    assert_eq!(statuses(Some(&facts)), [Status::Failed; 2]);
    let checks = examine_log(Some(&facts)).checks;
    assert!(checks[0].proof.contains("journald (7)") && !checks[0].proof.contains("file"), "{checks:?}");
    assert!(checks[1].proof.starts_with("12 log messages"), "{checks:?}");
}
