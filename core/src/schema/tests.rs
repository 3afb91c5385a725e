//! What the schemas say, held against what the parsers say: the same keys, spellings and defaults in both directions.

use std::collections::BTreeMap;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::{Value, json};

use super::Document;
use crate::config::Settings;
use crate::job::{JobDefinition, OperatingSystem};
use crate::plugin::PluginDefinition;
use crate::shape::{Literal, Object, Shape};
use crate::simulation::TestCase;

/// Every table below a table, itself included, by name.
fn tables(root: &'static Object) -> BTreeMap<&'static str, &'static Object> {
    fn visit(shape: Shape, found: &mut BTreeMap<&'static str, &'static Object>) {
        match shape {
            Shape::Object(table) => {
                if let Some(known) = found.insert(table.name, table) {
                    assert!(core::ptr::eq(known, table), "two tables are called {}", table.name);
                } else {
                    table.keys.iter().for_each(|key| visit(key.shape, found));
                }
            }
            Shape::List(shape, _) | Shape::Map(_, shape) => visit(*shape, found),
            Shape::AnyOf(shapes) => shapes.iter().for_each(|shape| visit(*shape, found)),
            Shape::Named(named) if named.name == "condition" && found.contains_key("conditionLeaf") => {}
            Shape::Named(named) => visit(named.shape, found),
            Shape::Any
            | Shape::Null
            | Shape::Boolean
            | Shape::Integer(..)
            | Shape::Scalar
            | Shape::Text(_)
            | Shape::Choice(_)
            | Shape::Exactly(_) => {}
        }
    }
    let mut found = BTreeMap::new();
    visit(Shape::Object(root), &mut found);
    found
}

#[test]
fn a_key_means_one_thing_and_says_what() {
    for document in Document::ALL {
        for table in tables(document.table().1).values() {
            assert!(table.doc.ends_with('.'), "{}", table.name);
            let mut names: Vec<String> = table.names().iter().map(|name| name.to_ascii_lowercase()).collect();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), table.names().len(), "{} has a key twice", table.name);
            for key in table.keys {
                assert!(key.doc.ends_with('.') && key.doc.len() > 6, "{} {}", table.name, key.name);
                assert!(!(key.required && (key.nullable || key.default.is_some())), "{} {}", table.name, key.name);
                let fits = match (key.default, key.shape) {
                    (None, _) => true,
                    (Some(Literal::Boolean(_)), shape) => matches!(shape, Shape::Boolean),
                    (Some(Literal::Integer(number)), Shape::Integer(low, high)) => (low..=high).contains(&number),
                    (Some(Literal::Text(text)), Shape::Choice(choices)) => choices.names().contains(&text),
                    (Some(Literal::Text(_)), shape) => matches!(shape, Shape::Text(_)),
                    (Some(Literal::Integer(_)), _) => false,
                };
                assert!(fits, "the default of {} {}", table.name, key.name);
            }
        }
    }
}

/// A document with a value at a pointer of member names and indices.
fn with(document: &Value, pointer: &str, key: &str, value: Value) -> Vec<u8> {
    let mut document = document.clone();
    document.pointer_mut(pointer).unwrap()[key] = value;
    document.to_string().into_bytes()
}

fn literal(literal: Literal) -> Value {
    serde_json::from_str(&super::literal(literal).to_string()).unwrap()
}

fn tables_of(document: Document) -> BTreeMap<&'static str, &'static Object> {
    tables(document.table().1)
}

/// A job with one of everything that a table describes, and where that stands.
fn whole_job() -> (Value, [(&'static str, &'static str); 5]) {
    let job = json!({ "id": "j", "events": [ { "eventType": "E" } ], "parameters": [ { "name": "p" } ], "osFilter": {},
        "tasks": [ { "id": "t", "command": "c", "retry": { "attempts": 1 } } ] });
    let places = [
        ("job", ""),
        ("task", "/tasks/0"),
        ("retry", "/tasks/0/retry"),
        ("parameter", "/parameters/0"),
        ("osFilter", "/osFilter"),
    ];
    (job, places)
}

#[test]
fn a_default_is_what_counts_where_nothing_is_given() {
    let (job, places) = whole_job();
    let parse = |bytes: Vec<u8>| {
        let (job, _) = JobDefinition::parse(&bytes, None).unwrap();
        format!("{:?}", JobDefinition { document: Vec::new().into(), ..job })
    };
    let plain = parse(job.to_string().into_bytes());
    let mut seen = 0;
    for (name, place) in places {
        for key in tables_of(Document::Job)[name].keys {
            let Some(default) = key.default else { continue };
            assert_eq!(parse(with(&job, place, key.name, literal(default))), plain, "{name} {}", key.name);
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");

    let plugin = json!({ "id": "P", "pluginType": "Executable", "executablePath": "p", "supportedPlatforms": ["Linux"],
        "Subscription": { "Topic": "P" }, "metadata": { "mqttTopics": { "publish": [], "subscribe": [] } } });
    let parse = |bytes: Vec<u8>| {
        let (plugin, _) = PluginDefinition::parse(&bytes, None, OperatingSystem::Linux).unwrap();
        format!("{:?}", PluginDefinition { document: Vec::new().into(), settings: crate::json::Json::Null, ..plugin })
    };
    for (name, place) in [("plugin", ""), ("subscription", "/Subscription")] {
        for key in tables_of(Document::Plugin)[name].keys {
            let Some(default) = key.default else { continue };
            let given = parse(with(&plugin, place, key.name, literal(default)));
            assert_eq!(given, parse(plugin.to_string().into_bytes()), "{}", key.name);
        }
    }

    let settings = json!({ "Settings": { "ConfigurationLkg": {}, "PluginMonitoring": {} }, "MqttBrokerSettings": {} });
    for (name, place) in [
        ("settings", "/Settings"),
        ("configurationLkg", "/Settings/ConfigurationLkg"),
        ("pluginMonitoring", "/Settings/PluginMonitoring"),
        ("mqttBrokerSettings", "/MqttBrokerSettings"),
    ] {
        for key in tables_of(Document::Settings)[name].keys {
            let Some(default) = key.default else { continue };
            let given = Settings::parse(Some(&with(&settings, place, key.name, literal(default)))).unwrap().0;
            assert_eq!(given, Settings::default(), "{}", key.name);
        }
    }
}

/// The names that a sentence of serde lists between backticks after "expected".
fn listed(message: &str) -> Vec<String> {
    let after = message.split_once("expected").map_or("", |(_, after)| after);
    after.split('`').skip(1).step_by(2).map(ToString::to_string).collect()
}

#[test]
fn a_test_case_has_the_keys_that_serde_reads() {
    let case =
        json!({ "jobs": ["j"], "assume": { "t": {} }, "expect": { "publishes": [ { "topic": "t", "payload": 1 } ] } });
    let tables = tables_of(Document::Test);
    assert_eq!(tables.len(), 4);
    for (name, place) in
        [("testCase", ""), ("given", "/assume/t"), ("expectation", "/expect"), ("publication", "/expect/publishes/0")]
    {
        let refusal = TestCase::parse(&with(&case, place, "nobody", json!(1))).unwrap_err();
        assert_eq!(listed(&refusal), tables[name].names(), "{name}: {refusal}");
        for key in tables[name].keys {
            let null = TestCase::parse(&with(&case, place, key.name, Value::Null));
            assert_eq!(null.is_ok(), key.nullable || key.name == "payload", "null as {}: {null:?}", key.name);
            let mut without = case.clone();
            without.pointer_mut(place).unwrap().as_object_mut().unwrap().remove(key.name);
            assert_eq!(TestCase::parse(without.to_string().as_bytes()).is_err(), key.required, "without {}", key.name);
        }
    }
    let refusal = TestCase::parse(&with(&case, "/expect", "outcome", json!("no"))).unwrap_err();
    let Shape::Exactly(outcomes) = tables["expectation"].key("outcome").unwrap().shape else { panic!("another shape") };
    assert_eq!(listed(&refusal), outcomes.names());
}

#[test]
fn each_schema_is_a_document_of_its_own() {
    for document in Document::ALL {
        let schema = document.schema().to_value();
        assert_eq!(schema["$id"], format!("urn:castellan:schema:{}", document.as_str()));
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        let text = schema.to_string();
        for reference in text.split("\"$ref\":\"#/$defs/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(schema["$defs"].get(name).is_some(), "{name}");
        }
    }
    let job = Document::Job.schema().to_value();
    assert_eq!(job["properties"]["priority"]["maximum"], 10);
    assert_eq!(job["$defs"]["task"]["properties"]["timeoutSeconds"]["default"], 3600);
    assert_eq!(job["$defs"]["task"]["properties"]["executionType"]["anyOf"][0]["enum"][1], "Http");
    assert_eq!(job["$defs"]["task"]["properties"]["ExecutionType"]["doNotSuggest"], true);
}
