//! Laws of documents: what `Json` reads, serde_json reads alike; what it prints, it reads back; no bytes make it panic.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may fail by panicking"
)]

use castellan_core::config::Settings;
use castellan_core::job::finding::has_errors;
use castellan_core::job::{JobDefinition, OperatingSystem};
use castellan_core::json::Json;
use castellan_core::log_message::LogMessage;
use castellan_core::plugin::PluginDefinition;
use castellan_core::plugin::settings::flatten;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Any value of bounded depth whose keys are lower case, so that none are duplicates.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(|number| json!(number)),
        any::<u64>().prop_map(|number| json!(number)),
        (-1e300..1e300_f64).prop_map(|number| json!(number)),
        any::<String>().prop_map(Value::String),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::Array),
            btree_map("[a-zé.~/]{0,6}", inner, 0..6).prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// A document made of the keys that definitions have, so that odd values reach deep.
fn definition() -> impl Strategy<Value = Value> {
    const KEYS: [&str; 32] = [
        "id",
        "name",
        "tasks",
        "command",
        "schedule",
        "intervalMinutes",
        "cronExpression",
        "calendar",
        "time",
        "events",
        "eventType",
        "condition",
        "operator",
        "expressions",
        "type",
        "key",
        "value",
        "mqttTopics",
        "allowedPublications",
        "parameters",
        "default",
        "arguments",
        "environment",
        "retry",
        "osFilter",
        "Settings",
        "MetaData",
        "Message",
        "metadata",
        "Subscription",
        "url",
        "headers",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-2..100_i64).prop_map(|number| json!(number)),
        prop_oneof!["j", "And", "Equals", "Service", "Http", "a > 0", "0 3 \\* \\* \\*", "03:00", "[ -~]{0,12}"]
            .prop_map(Value::String),
    ];
    leaf.prop_recursive(5, 128, 10, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map(proptest::sample::select(&KEYS[..]).prop_map(str::to_string), inner, 0..10)
                .prop_map(|members| members.into_iter().collect()),
        ]
    })
}

/// Everything that reads bytes from outside.
fn read_all(bytes: &[u8]) {
    for findings in [
        JobDefinition::parse(bytes, Some("j")).map(|(_, findings)| findings),
        PluginDefinition::parse(bytes, Some("j"), OperatingSystem::Linux).map(|(_, findings)| findings),
    ] {
        match findings {
            Ok(findings) => assert!(!has_errors(&findings)),
            Err(findings) => assert!(has_errors(&findings)),
        }
    }
    if let Err(error) = Settings::parse(Some(bytes)) {
        assert!(error.message.starts_with("appsettings.json"), "{error}");
    }
    if let Err(reason) = LogMessage::parse(bytes) {
        assert!(!reason.is_empty());
    }
}

proptest! {
    #[test]
    fn printed_is_read_back(value in value()) {
        let bytes = serde_json::to_vec(&value).unwrap();
        let json = Json::parse(&bytes).unwrap();
        prop_assert_eq!(json.to_value(), value);
        prop_assert_eq!(Json::parse(json.to_string().as_bytes()).unwrap(), json);
    }

    #[test]
    fn agrees_with_serde_json(value in value(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(json) = Json::parse(&bytes) {
            prop_assert_eq!(json.to_value(), serde_json::from_slice::<Value>(&bytes).unwrap());
        }
    }

    #[test]
    fn settings_are_flat(value in value()) {
        let json = Json::parse(&serde_json::to_vec(&value).unwrap()).unwrap();
        let settings = flatten(&json);
        let members = value.as_object().cloned().unwrap_or_default();
        prop_assert_eq!(members.is_empty(), settings.is_empty());
        // A plain key cannot be met twice; it stands there with its value.
        for (key, member) in members.iter().filter(|(key, _)| !key.is_empty() && !key.contains('.')) {
            match member {
                Value::String(text) => prop_assert_eq!(settings.get(key), Some(text)),
                Value::Bool(flag) => prop_assert_eq!(settings.get(key), Some(&flag.to_string())),
                Value::Array(_) => prop_assert_eq!(settings.get(key).and_then(|text| serde_json::from_str(text).ok()), Some(member.clone())),
                Value::Null => prop_assert_eq!(settings.get(key).map(String::as_str), Some("")),
                Value::Number(_) | Value::Object(_) => {}
            }
        }
    }

    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..300)) {
        read_all(&bytes);
    }

    #[test]
    fn no_definition_panics(value in definition()) {
        read_all(&serde_json::to_vec(&value).unwrap());
        let task = json!({"id": "j", "tasks": [value]});
        read_all(&serde_json::to_vec(&task).unwrap());
    }
}
