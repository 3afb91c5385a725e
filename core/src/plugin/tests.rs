//! Plugin documents and their settings: the documented samples, every field's rules, hostile bytes.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::PluginDefinition;
use super::settings::flatten;
use crate::job::OperatingSystem::{Linux, MacOs, Windows};
use crate::job::finding::{Findings, has_errors};
use crate::json::Json;
use crate::user::RunAs;

const SEED_PLUGIN: &str = include_str!("../../tests/data/seed-003-plugin.json");
const ROOT_PLUGIN: &str = include_str!("../../tests/data/root-plugin.json");

fn shown(findings: &Findings) -> Vec<String> {
    findings.iter().map(|finding| format!("{} {}", finding.path, finding.code)).collect()
}

/// The documented plugin after a change of its text; all findings as `path code`.
#[track_caller]
fn check(from: &str, to: &str, expect: &[&str]) -> Option<PluginDefinition> {
    assert!(from.is_empty() || SEED_PLUGIN.contains(from), "{from}");
    let document = SEED_PLUGIN.replacen(from, to, usize::from(!from.is_empty()));
    let (plugin, findings) = match PluginDefinition::parse(document.as_bytes(), Some("MyBridge"), Windows) {
        Ok((plugin, findings)) => (Some(plugin), findings),
        Err(findings) => (None, findings),
    };
    assert_eq!(shown(&findings), expect, "{document}\n{findings:#?}");
    assert_eq!(plugin.is_none(), has_errors(&findings));
    plugin
}

#[test]
fn the_documented_plugin() {
    let plugin = check("", "", &[]).unwrap();
    assert_eq!((plugin.id.as_str(), plugin.name.as_str(), plugin.version.as_str()), ("MyBridge", "My Bridge", "1.0.0"));
    assert_eq!(plugin.executable_path, "bin/MyBridge/MyBridge.exe");
    assert_eq!((plugin.subscription.topic.as_str(), plugin.subscription.qos), ("MyBridge", 2));
    assert!(plugin.subscription.clean_session && plugin.supported_here && plugin.run_as.is_none() && !plugin.built_in);
    let topics = |filters: &[crate::acl::topic::TopicFilter]| {
        filters.iter().map(|filter| filter.as_str().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(topics(&plugin.publish), ["KeeperLogger", "MyBridge/Responses/+"]);
    assert_eq!(topics(&plugin.subscribe), ["MyBridge/Commands/+"]);
    assert_eq!(plugin.startup_priority, 60);
    assert!(plugin.auto_start && plugin.requires_monitoring && plugin.auto_restart && plugin.enabled);
    assert_eq!(&*plugin.document, SEED_PLUGIN.as_bytes());
}

#[test]
fn the_plugin_of_the_example_root() {
    let (plugin, findings) = PluginDefinition::parse(ROOT_PLUGIN.as_bytes(), Some("EchoBridge"), Linux).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(plugin.arguments, ["--keeper-api-base={KeeperApiBaseUrl}"]);
    assert!(plugin.supported_here);
    let settings = flatten(&plugin.settings);
    assert_eq!(settings.get("metadata.greeting").map(String::as_str), Some("hello"));
    assert_eq!(settings.get("Subscription.Qos").map(String::as_str), Some("2"));
    assert_eq!(settings.get("metadata.mqttTopics.subscribe").map(String::as_str), Some(r#"["EchoBridge/Commands/+"]"#));
}

#[test]
fn defaults() {
    let minimal = r#"{"id":"p","pluginType":"executable","executablePath":"/bin/p","supportedPlatforms":["LINUX"],
        "subscription":{"topic":"p"},"metadata":{"mqttTopics":{"publish":[],"subscribe":[]}}}"#;
    let (plugin, findings) = PluginDefinition::parse(minimal.as_bytes(), None, MacOs).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!((plugin.name.as_str(), plugin.startup_priority, plugin.subscription.qos), ("p", 100, 0));
    assert!(plugin.enabled && plugin.run_as.is_none() && plugin.subscription.clean_session);
    assert!(!plugin.auto_start && !plugin.requires_monitoring && !plugin.auto_restart && !plugin.supported_here);
}

#[test]
fn fields() {
    for (from, to, expect) in [
        ("\"id\": \"MyBridge\"", "\"id\": \"Other\"", "/id id-mismatch"),
        ("\"id\": \"MyBridge\"", "\"id\": \"My_Bridge\"", "/id id-underscore"),
        ("\"id\": \"MyBridge\",", "", "/id required"),
        ("\"Executable\"", "\"Service\"", "/pluginType plugin-type-reserved"),
        ("\"Executable\"", "\"Script\"", "/pluginType unknown-value"),
        ("\"pluginType\": \"Executable\",", "", "/pluginType required"),
        ("bin/MyBridge/MyBridge.exe", "", "/executablePath required"),
        ("bin/MyBridge/MyBridge.exe", "../../bin/sh", "/executablePath path-escapes"),
        ("bin/MyBridge/MyBridge.exe", "bin\\\\..\\\\x", "/executablePath path-escapes"),
        ("bin/MyBridge/MyBridge.exe", "/opt/../x", "/executablePath path-escapes"),
        ("[\"Windows\"]", "[]", "/supportedPlatforms platforms-empty"),
        ("[\"Windows\"]", "[\"BeOS\"]", "/supportedPlatforms/0 unknown-value"),
        ("[\"Windows\"]", "\"Windows\"", "/supportedPlatforms wrong-type"),
        ("\"Topic\": \"MyBridge\",", "", "/Subscription/Topic required"),
        ("\"Topic\": \"MyBridge\"", "\"Topic\": \"\"", "/Subscription/Topic topic-invalid"),
        ("\"Qos\": 2", "\"Qos\": 3", "/Subscription/Qos out-of-range"),
        ("\"CleanSession\": true", "\"CleanSession\": 1", "/Subscription/CleanSession wrong-type"),
        ("\"metadata\"", "\"metdata\"", "/metadata required"),
        ("\"mqttTopics\"", "\"mqtTopics\"", "/metadata/mqttTopics required"),
        ("\"publish\": [", "\"publish\": [5, ", "/metadata/mqttTopics/publish/0 wrong-type"),
        ("\"subscribe\": [", "\"other\": [", "/metadata/mqttTopics/subscribe required"),
        ("60", "\"60\"", "/startupPriority wrong-type"),
        ("\"Service\"", "\"Root\"", "/executionContext unknown-value"),
        ("\"requiresMonitoring\": true", "\"requiresMonitoring\": false", "/autoRestart auto-restart-unused"),
        ("\"autoStart\": true", "\"autoStart\": \"yes\"", "/autoStart wrong-type"),
        ("\"autoStart\": true", "\"arguments\": \"'\"", "/arguments unbalanced-quote"),
        ("\"autoStart\": true", "\"requires\": [\"MyBridge\"]", "/requires/0 requires-itself"),
        ("\"autoStart\": true", "\"requires\": [\"B\", \"B\"]", "/requires/1 requires-twice"),
        ("\"autoStart\": true", "\"requires\": [\"a_b\"]", "/requires/0 id-underscore"),
        ("\"autoStart\": true", "\"healthCheck\": {}", "/healthCheck/topic required"),
        ("\"autoStart\": true", "\"healthCheck\": {\"topic\": \"a/+\"}", "/healthCheck/topic topic-invalid"),
        (
            "\"autoStart\": true",
            "\"healthCheck\": {\"topic\": \"PluginHealth\"}",
            "/healthCheck/topic health-topic-reserved",
        ),
        (
            "\"autoStart\": true",
            "\"healthCheck\": {\"topic\": \"a\", \"timeoutSeconds\": 0}",
            "/healthCheck/timeoutSeconds out-of-range",
        ),
        ("\"autoStart\": true", "\"limits\": {\"tasks\": -1}", "/limits/tasks out-of-range"),
    ] {
        let extra: &[&str] = match to {
            "\"metdata\"" => &["/metdata unknown-key"],
            "\"other\": [" => &["/metadata/mqttTopics/other unknown-key"],
            _ => &[],
        };
        check(from, to, &[&[expect], extra].concat());
    }
    assert_eq!(check("\"Service\"", "\"interactive\"", &[]).unwrap().run_as, Some(RunAs::UserDesktop));
}

#[test]
fn what_it_waits_for_and_what_it_must_answer() {
    let to = r#""requires": ["Bus", "Store"], "healthCheck": {"topic": "MyBridge/Health"}, "limits": {"memoryMiB": 64, "cpuPercent": 50}"#;
    let plugin = check("\"autoStart\": true", to, &[]).unwrap();
    assert_eq!(plugin.requires.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Bus", "Store"]);
    let health = plugin.health_check.unwrap();
    assert_eq!((health.topic.as_str(), health.interval_seconds, health.timeout_seconds), ("MyBridge/Health", 30, 10));
    assert_eq!(plugin.limits.to_string(), "memoryMiB 64, cpuPercent 50");
}

#[test]
fn the_built_in_plugin_needs_no_file() {
    let document = r#"{"id":"KeeperLogger","pluginType":"Service","supportedPlatforms":["Linux"],"Subscription":{"Topic":"KeeperLogger"},
        "metadata":{"mqttTopics":{"publish":[],"subscribe":[]}}}"#;
    let (plugin, _) = PluginDefinition::parse(document.as_bytes(), None, Linux).unwrap();
    assert!(plugin.built_in && plugin.executable_path.is_empty());
}

#[test]
fn settings_are_flat_texts() {
    for (document, expect) in [
        ("{}", r#"{}"#),
        ("[1]", r#"{}"#),
        (
            r#"{"a":{"b":{"c":"x"},"n":1.50,"t":true,"z":null},"list":[{"y":1,"x":[]}],"none":{},"t":"bare \"text\""}"#,
            r#"{"a.b.c":"x","a.n":"1.5","a.t":"true","a.z":"","list":"[{\"y\":1,\"x\":[]}]","none":"{}","t":"bare \"text\""}"#,
        ),
        (r#"{"a.b":1,"a":{"b":2}}"#, r#"{"a.b":"1"}"#),
        (r#"{"":{"x":1}}"#, r#"{".x":"1"}"#),
    ] {
        let settings = flatten(&Json::parse(document.as_bytes()).unwrap());
        assert_eq!(serde_json::to_string(&settings).unwrap(), expect);
    }
}

/// Each byte of the samples changed in turn: a plugin or findings, never a panic.
#[test]
fn no_bytes_panic() {
    for (index, byte) in SEED_PLUGIN.bytes().enumerate() {
        let (before, after) = (&SEED_PLUGIN.as_bytes()[..index], &SEED_PLUGIN.as_bytes()[index + 1..]);
        for middle in [&[][..], &[byte, byte], b"\"", b"{", b"]", b"\\", b"\xff", b"0"] {
            let document = [before, middle, after].concat();
            match PluginDefinition::parse(&document, Some("MyBridge"), Linux) {
                Ok((_, findings)) => assert!(!has_errors(&findings)),
                Err(findings) => assert!(has_errors(&findings)),
            }
        }
    }
}
