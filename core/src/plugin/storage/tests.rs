//! Layers of settings: which one counts, what may be stored, what a secret covers.

use std::borrow::ToOwned;
use std::collections::BTreeMap;
use std::format;
use std::string::String;
use std::vec;
use std::vec::Vec;

use super::{Layer, PluginSettings, Rows, SettingChange, StoredSetting, Unstorable, change_rows};
use crate::json::Json;
use crate::limits::SETTING_BYTES;

const BY: (&str, &str) = ("plugin:P", "2026-01-01T00:00:00.000Z");

fn settings() -> PluginSettings {
    let mut settings = PluginSettings::default();
    let file =
        [("metadata.greeting", "hello"), ("metadata.Token", "t"), ("subscription.QOS", "2"), ("enabled", "false")];
    let file: BTreeMap<String, String> = file.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    settings.insert("P", file, vec![String::from("METADATA.token"), String::from("own.a")]);
    settings
}

fn text(value: &str) -> Json {
    Json::String(value.to_owned())
}

/// Stores it, as if the disk had answered.
fn put(settings: &mut PluginSettings, key: &str, value: &str) -> Vec<SettingChange> {
    let changes = settings.put("p", &settings.rows("P"), (key, text(value)), BY).unwrap();
    settings.apply(changes.clone());
    changes
}

#[test]
fn storage_over_file_over_default() {
    let mut settings = settings();
    put(&mut settings, "Metadata.GREETING", "moin");
    put(&mut settings, "own.key", "new");
    let all = settings.of("p").unwrap();
    for (key, spelled, value, layer) in [
        ("metadata.greeting", "metadata.greeting", "moin", Layer::Storage),
        ("own.key", "own.key", "new", Layer::Storage),
        ("subscription.qos", "subscription.QOS", "2", Layer::File),
        ("enabled", "enabled", "false", Layer::File),
        ("startuppriority", "startupPriority", "100", Layer::Default),
        ("subscription.cleansession", "Subscription.CleanSession", "true", Layer::Default),
        ("executioncontext", "executionContext", "Service", Layer::Default),
    ] {
        let setting = &all[key];
        assert_eq!((setting.key.as_str(), setting.value.as_str(), setting.layer), (spelled, value, layer));
    }
    assert!(settings.of("Q").is_none());
    settings.retire("P");
    assert!(settings.of("P").is_none());
    assert_eq!((settings.rows("P").len(), settings.plugins()), (2, vec![String::from("p")]), "it may come back");
}

#[test]
fn what_a_plugin_is_cannot_be_stored() {
    for (key, is_definition) in [
        ("id", true),
        ("ExecutablePath", true),
        ("subscription.topic", true),
        ("Subscription.Anything", true),
        ("arguments", true),
        ("secretSettings", true),
        ("metadata", true),
        ("METADATA.MqttTopics", true),
        ("metadata.mqttTopics.publish", true),
        ("metadata.mqttRole", false),
        ("metadata.mqttTopics2", false),
        ("metadata.", false),
        ("identity", false),
        ("other.id", false),
    ] {
        let stored = settings().put("P", &Rows::new(), (key, text("x")), BY);
        assert_eq!(stored.err(), is_definition.then_some(Unstorable::Definition), "{key}");
    }
}

#[test]
fn what_else_cannot_be_stored() {
    let stored =
        |key: &str, value: Json| settings().put("P", &Rows::new(), (key, value), BY).map(|changes| changes.len());
    assert_eq!(stored("a", text(&"x".repeat(SETTING_BYTES))), Ok(1));
    assert_eq!(stored("a", text(&"x".repeat(SETTING_BYTES + 1))), Err(Unstorable::TooLong));
    assert_eq!(stored("metadata.token.x", text("***")), Err(Unstorable::Mask));
    assert_eq!(stored("metadata.greeting", text("***")), Ok(1), "no secret");
    let object = |document: &str| Json::parse(document.as_bytes()).unwrap();
    assert_eq!(stored("a", object(r#"{"b":{"c":1,"d":[2]},"e":{}}"#)), Ok(3));
    for name in ["x/y", "x\\y", "\u{0}", &"n".repeat(256)] {
        let name = Json::String(name.to_owned());
        assert_eq!(stored("a", object(&format!("{{{name}:1}}"))), Err(Unstorable::Key));
    }
}

#[test]
fn a_secret_covers_what_is_below_it_and_keeps_no_former_value() {
    let mut settings = settings();
    for (key, is_secret) in [
        ("metadata.token", true),
        ("metadata.TOKEN.live", true),
        ("metadata.tokens", false),
        ("own.a", true),
        ("own", false),
    ] {
        put(&mut settings, key, "first");
        let changes = put(&mut settings, key, "second");
        let SettingChange::Keep(row) = &changes[0] else { panic!("{changes:?}") };
        assert_eq!(row.former.is_none(), is_secret, "{row:?}");
        assert_eq!(settings.of("P").unwrap()[&key.to_ascii_lowercase()].secret, is_secret, "{key}");
        assert_eq!(settings.shown("p", key).as_deref(), Some(if is_secret { "***" } else { "second" }));
        put(&mut settings, key, "TRUE");
        assert_eq!(settings.shown("p", key).as_deref(), Some("TRUE"), "conditions may ask for it");
    }
}

#[test]
fn reverting_drops_what_is_stored_and_remembers_who_did_where_the_file_has_it() {
    let mut settings = settings();
    put(&mut settings, "metadata.greeting", "moin");
    put(&mut settings, "metadata.token", "u");
    put(&mut settings, "own.key", "new");
    let changes = settings.revert("P", &settings.rows("P"), ("admin:client", "later"));
    settings.apply(changes);
    let rows = settings.rows("p");
    assert_eq!(rows.keys().collect::<Vec<_>>(), ["metadata.greeting", "metadata.token"]);
    let greeting = &rows["metadata.greeting"];
    assert_eq!((greeting.value.as_deref(), greeting.former.as_deref()), (None, Some("moin")));
    assert_eq!((greeting.writer.as_str(), greeting.time.as_str()), ("admin:client", "later"));
    assert_eq!(rows["metadata.token"].former, None);
    assert_eq!(settings.of("P").unwrap()["metadata.greeting"].value, "hello");
    assert_eq!(settings.revert("P", &rows, ("admin:client", "again")), [], "nothing is stored any more");
    settings.retire("P");
    let forgotten = settings.revert("P", &settings.rows("P"), BY);
    settings.apply(forgotten);
    assert_eq!(settings.plugins(), Vec::<String>::new(), "nobody has a file for it");
}

#[test]
fn a_change_on_its_way_counts_for_the_next_one() {
    let settings = settings();
    let mut ahead = Rows::new();
    let first = settings.put("P", &ahead, ("metadata.greeting", text("1")), BY).unwrap();
    change_rows(&mut ahead, first[0].clone());
    let second = settings.put("P", &ahead, ("metadata.greeting", text("2")), BY).unwrap();
    let SettingChange::Keep(StoredSetting { former, .. }) = &second[0] else { panic!("{second:?}") };
    assert_eq!(former.as_deref(), Some("1"));
    assert_eq!(settings.of("P").unwrap()["metadata.greeting"].value, "hello", "it is not on disk");
}
