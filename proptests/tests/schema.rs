//! Laws of the published JSON Schemas, judged by an independent validator: they are schemas, they accept every documented sample and all
//! that the parsers accept, and they refuse what a parser refuses for its type, bounds, spelling or absence.
//!
//! What a schema cannot say is not held against it: routes, duplicate ids, expressions, cron, quoting (the parser alone refuses them);
//! members of Http tasks in other tasks (the agent only warns of them, the schema refuses them); keys in another case than documented.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail by panicking, and reads the samples"
)]

#[path = "schema/documents.rs"]
mod documents;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use castellan_core::config::Settings;
use castellan_core::job::finding::{Finding, Severity};
use castellan_core::job::{JobDefinition, OperatingSystem};
use castellan_core::plugin::PluginDefinition;
use castellan_core::policy::PolicyType;
use castellan_core::policy::lint::lint;
use castellan_core::schema::Document;
use castellan_core::simulation::TestCase;
use jsonschema::Validator;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use documents::wholes;

struct Judge {
    schema: Value,
    validator: Validator,
}

static JUDGES: LazyLock<BTreeMap<&'static str, Judge>> = LazyLock::new(|| {
    let judge = |document: Document| {
        let schema = document.schema().to_value();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        (document.as_str(), Judge { schema, validator })
    };
    Document::ALL.into_iter().map(judge).collect()
});

fn judge(document: Document) -> &'static Judge {
    &JUDGES[document.as_str()]
}

#[track_caller]
fn accepts(document: Document, instance: &Value) {
    let faults: Vec<String> = judge(document)
        .validator
        .iter_errors(instance)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{instance:#}\n{faults:#?}");
}

fn is_valid(document: Document, instance: &Value) -> bool {
    judge(document).validator.is_valid(instance)
}

/// What a parser says.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Accepted,
    /// For a type, a bound, a spelling, or because something is missing.
    RefusedByShape(String),
    /// For something that a schema cannot see.
    Refused(String),
}

fn verdict(document: Document, instance: &Value) -> Verdict {
    let bytes = instance.to_string().into_bytes();
    let findings = |findings: Vec<Finding>| {
        let shape = [
            "wrong-type",
            "out-of-range",
            "unknown-value",
            "required",
            "day-invalid",
            "schedule-without-mode",
            "schedule-several-modes",
        ];
        let told = format!("{findings:?}");
        // Conditions have one code for all that is wrong with them.
        let condition = ["; it must be ", "is missing", "is not known in this form"];
        let by_shape = findings.iter().any(|finding| match finding.code {
            "condition-invalid" => condition.iter().any(|words| finding.message.contains(words)),
            code => shape.contains(&code),
        });
        if by_shape { Verdict::RefusedByShape(told) } else { Verdict::Refused(told) }
    };
    let said = match document {
        Document::Job => JobDefinition::parse(&bytes, None).map(drop).map_err(findings),
        Document::Plugin => PluginDefinition::parse(&bytes, None, OperatingSystem::Linux).map(drop).map_err(findings),
        Document::Settings => Settings::parse(Some(&bytes)).map(drop).map_err(|error| Verdict::Refused(error.message)),
        Document::Test => TestCase::parse(&bytes).map_err(Verdict::RefusedByShape).and_then(|case| {
            let jobs = (!case.jobs.is_empty()).then_some(()).ok_or(String::from("no job"));
            jobs.and(case.assumptions().map(drop)).map_err(Verdict::Refused)
        }),
        Document::Policy if is_other(instance) => Err(Verdict::Refused(String::from("it is read by its own type"))),
        Document::Policy => {
            let file = castellan_core::job::lint::Document { file: "p.json", stem: "p", bytes: &bytes };
            let linted = lint(&[file], &[], OperatingSystem::Linux).remove(0);
            let errors = linted.findings.into_iter().filter(|finding| finding.severity == Severity::Error);
            if linted.valid { Ok(()) } else { Err(findings(errors.collect())) }
        }
    };
    said.err().unwrap_or(Verdict::Accepted)
}

/// Whether a policy is of a type that is not about privileges: what configures is held to more than its shape, the rest to nothing.
fn is_other(policy: &Value) -> bool {
    let named = policy.as_object().into_iter().flatten().find(|(key, _)| key.eq_ignore_ascii_case("PolicyType"));
    named.and_then(|(_, value)| value.as_str()).is_some_and(|name| PolicyType::from_name(name).is_none())
}

/// Whether a key of `Extension` is for policies that configure.
fn configures(key: &str) -> bool {
    ["Action", "JobId", "JobJson", "PluginId", "SettingsJson", "Settings"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(key))
}

/// Whether a schema is stricter than its parser. Members of `Extension` that configure in policies about privileges: they are left alone. Members of Http tasks in other tasks: the agent only warns. Arrays in place of a test
/// case's objects: serde takes the members in order, which nobody writes.
fn is_excepted(document: Document, instance: &Value) -> bool {
    if document == Document::Test {
        let below = |key: &str| instance[key].as_object().into_iter().flat_map(|members| members.values());
        let published = instance["expect"]["publishes"].as_array().into_iter().flatten();
        let mut objects = [instance, &instance["expect"]].into_iter().chain(below("assume")).chain(published);
        return objects.any(Value::is_array);
    }
    if document == Document::Policy {
        return instance["Extension"].as_object().is_some_and(|members| members.keys().any(|key| configures(key)));
    }
    let tasks = instance["tasks"].as_array().into_iter().flatten();
    tasks.filter_map(Value::as_object).any(|task| {
        let kind = task.get("executionType").or_else(|| task.get("ExecutionType")).and_then(Value::as_str);
        !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("Http"))
            && ["method", "url", "headers", "body", "expectStatus"].iter().any(|key| task.contains_key(*key))
    })
}

/// The one excerpt of a job that the documentation shows: valid for its schema, no job for the agent.
fn is_excerpt(instance: &Value) -> bool {
    let keys = instance.as_object().into_iter().flat_map(|members| members.keys().map(String::as_str));
    keys.eq(["eventTopic", "id", "mqttTopics"])
}

/// The two laws for one document.
#[track_caller]
fn agree(document: Document, instance: &Value) {
    match verdict(document, instance) {
        Verdict::Accepted if !is_excepted(document, instance) => accepts(document, instance),
        Verdict::RefusedByShape(_) if is_excerpt(instance) => {}
        Verdict::RefusedByShape(why) => assert!(!is_valid(document, instance), "{instance:#}\n{why}"),
        Verdict::Accepted | Verdict::Refused(_) => {}
    }
}

#[test]
fn every_schema_is_a_schema_of_draft_2020_12() {
    for document in Document::ALL {
        let schema = &judge(document).schema;
        if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
            panic!("{}: {error} at {}", document.as_str(), error.instance_path());
        }
    }
    assert!(!jsonschema::draft202012::meta::is_valid(&json!({ "type": "texts" })), "the judge sees faults");
}

fn sample(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lays a fragment over a document, member by member.
fn merge(into: &mut Value, fragment: &Value) {
    match (into, fragment) {
        (Value::Object(into), Value::Object(fragment)) => {
            for (key, value) in fragment {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, value) => *into = value.clone(),
    }
}

#[test]
fn every_sample_is_accepted() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/data");
    let mut seen = BTreeMap::<&str, usize>::new();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut instance = sample(&path);
        let document = match () {
            () if name.contains("settings") => Document::Settings,
            () if name.contains("plugin") => Document::Plugin,
            () if name.contains("policy") => Document::Policy,
            () if name.contains("log-message") => continue,
            () => Document::Job,
        };
        if name.contains("fragment") {
            let whole = if document == Document::Job { "seed-001-job.json" } else { "seed-003-plugin.json" };
            let fragment = std::mem::replace(&mut instance, sample(&folder.join(whole)));
            if fragment.get("schedule").is_some() {
                instance["schedule"] = Value::Null;
            }
            merge(&mut instance, &fragment);
        }
        accepts(document, &instance);
        agree(document, &instance);
        *seen.entry(document.as_str()).or_default() += 1;
    }
    assert_eq!(seen, BTreeMap::from([("job", 9), ("plugin", 6), ("settings", 3), ("policy", 4)]));
    for (file, document) in
        [("Jobs/secrets-scanner.json", Document::Job), ("Plugins/EchoBridge.json", Document::Plugin)]
    {
        accepts(document, &sample(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/root").join(file)));
    }
}

/// The JSON blocks of the integrators' guide that are whole documents.
#[test]
fn every_document_of_the_guide_is_accepted() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/integrators.md");
    let text = std::fs::read_to_string(guide).unwrap();
    let mut seen = BTreeSet::new();
    for block in text.split("```json\n").skip(1) {
        let Ok(instance) = serde_json::from_str::<Value>(block.split("```").next().unwrap()) else { continue };
        let document = match () {
            () if instance.get("pluginType").is_some() => Document::Plugin,
            () if instance.get("expect").is_some() => Document::Test,
            () if instance.get("tasks").is_some() => Document::Job,
            () => continue,
        };
        accepts(document, &instance);
        seen.insert(document.as_str());
    }
    assert_eq!(seen, BTreeSet::from(["job", "plugin", "test"]));
}

/// Values of every kind, and some at the edges.
fn odd() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(5),
        json!(-1),
        json!(0),
        json!(1.5),
        json!(1e300),
        json!("text"),
        json!(""),
        json!([]),
        json!(["text"]),
        json!([5]),
        json!([null]),
        json!([{}]),
        json!({}),
        json!({ "text": [] }),
    ]
}

/// The schema that a pointer of the schema's own leads to.
fn definition<'s>(schema: &'s Value, name: &str) -> &'s Value {
    if name.is_empty() { schema } else { &schema["$defs"][name] }
}

/// A document with another value for a key, which may stand there in another case.
fn with(whole: &Value, place: &str, key: &str, value: Value) -> Value {
    let mut instance = whole.clone();
    let members = instance.pointer_mut(place).unwrap().as_object_mut().unwrap();
    members.retain(|known, _| !known.eq_ignore_ascii_case(key));
    members.insert(key.to_owned(), value);
    instance
}

/// Whether the parser reads a member, whatever it says: an odd value there changes its verdict or is the same to both.
#[test]
fn odd_values_of_every_property_are_refused_by_both_or_by_none() {
    for (document, definitions) in wholes() {
        let schema = &judge(document).schema;
        let mut visited = BTreeSet::new();
        for (name, whole, place) in definitions {
            accepts(document, &whole);
            assert_eq!(verdict(document, &whole), Verdict::Accepted, "{whole:#}");
            visited.insert(name);
            for (key, property) in definition(schema, name)["properties"].as_object().unwrap() {
                let (mut refused, mut tried) = (0, 0);
                for value in odd() {
                    let instance = with(&whole, place, key, value);
                    if is_excepted(document, &instance) {
                        continue;
                    }
                    tried += 1;
                    agree(document, &instance);
                    let valid = is_valid(document, &instance);
                    assert!(
                        valid || verdict(document, &instance) != Verdict::Accepted,
                        "{place}/{key}: the parser does not read what the schema restricts\n{instance:#}"
                    );
                    refused += usize::from(!valid);
                }
                // What may be anything is read by nobody's leave.
                assert!(tried == 0 || (refused == 0) == is_free(property), "{name}.{key}");
            }
        }
        let defined = schema["$defs"].as_object().into_iter().flat_map(|defined| defined.keys().map(String::as_str));
        let objects = defined.filter(|name| definition(schema, name).get("properties").is_some());
        let missing: Vec<&str> = objects.filter(|name| !visited.contains(name)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "nobody tried these of {}", document.as_str());
    }
}

/// Whether a property says nothing of its value.
fn is_free(property: &Value) -> bool {
    ["type", "anyOf", "enum", "$ref"].iter().all(|keyword| property.get(keyword).is_none())
}

#[test]
fn spellings_and_bounds_are_those_of_the_parser() {
    let mut tried = 0;
    for (document, definitions) in wholes() {
        let schema = &judge(document).schema;
        for (name, whole, place) in definitions {
            for (key, property) in definition(schema, name)["properties"].as_object().unwrap() {
                let mut tries = Vec::new();
                for spelling in property["anyOf"][0]["enum"].as_array().into_iter().flatten().filter_map(Value::as_str)
                {
                    tries.extend([json!(spelling), json!(spelling.to_uppercase()), json!(spelling.to_lowercase())]);
                    tries.push(json!(format!("{spelling}x")));
                }
                for (bound, beyond) in [("minimum", -1), ("maximum", 1)] {
                    if let Some(bound) = property[bound].as_i64() {
                        tries.extend([json!(bound), json!(bound.saturating_add(beyond))]);
                    }
                }
                for value in tries {
                    let instance = with(&whole, place, key, value.clone());
                    let fits = |verdict| !matches!(verdict, Verdict::RefusedByShape(_));
                    let said = verdict(document, &instance);
                    if is_excepted(document, &instance) {
                        continue;
                    }
                    let read = if document == Document::Settings { said == Verdict::Accepted } else { fits(said) };
                    assert_eq!(read, is_valid(document, &instance), "{name}.{key} = {value}\n{instance:#}");
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 150, "{tried}");
}

/// All places of a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| places(item, &format!("{at}/{index}"), found));
        }
        Value::Object(members) => {
            for (key, member) in members {
                places(member, &format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Any number of odd values anywhere, members gone, lists doubled.
    #[test]
    fn what_a_parser_accepts_its_schema_accepts(
        kind in any::<Index>(),
        whole in any::<Index>(),
        changes in proptest::collection::vec((any::<Index>(), any::<Index>(), 0..4_u8), 0..4),
    ) {
        let wholes = wholes();
        let (document, definitions) = kind.get(&wholes);
        let mut instance = whole.get(definitions).1.clone();
        for (place, value, how) in changes {
            let mut found = Vec::new();
            places(&instance, "", &mut found);
            let place = place.get(&found).clone();
            let (parent, key) = place.rsplit_once('/').unwrap_or(("", ""));
            match (how, instance.pointer_mut(parent)) {
                (0, Some(Value::Object(members))) => {
                    members.remove(key);
                }
                (1, Some(Value::Array(items))) => items.extend(items.clone()),
                (_, _) => *instance.pointer_mut(&place).unwrap() = value.get(&odd()).clone(),
            }
        }
        agree(*document, &instance);
    }
}
