//! The description of the API for programs (OpenAPI 3.1): `GET /openapi.json`.
//!
//! Printed from the table of operations ([`super::operation`]), from the types of the bodies, and from the tables of the documents
//! that people write. The tier of an operation is asked from the router, so that the description cannot say another.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::operation::{Answer, Body, CONTROL, Content, Operation, Path, REQUEST_ID, RUN_ID, paths};
use super::route::{self, Method};
use super::{Problem, Tier, stream};
use crate::event::DefinitionKind;
use crate::job::parse::keys::ID;
use crate::limits::{DOCUMENT_BYTES, ID_LENGTH, IDEMPOTENCY_KEY_CHARS, SETTING_KEY_BYTES};
use crate::schema::{self, Document};
use crate::shape::{Key, Shape, Text};

/// Where schemas stand in the document.
const SCHEMAS: &str = "/components/schemas";
const DESCRIPTION: &str = "The agent answers programs on its own machine. Tiers: Public is anyone; Plugin is a process that the \
    agent started, known by its connection, or the holder of an admin certificate; Admin is the holder of an admin certificate. \
    Paths are matched without regard to case. HEAD is taken wherever GET is. Plain HTTP serves /health alone.";

/// What any operation may answer: from the server's own checks of framing, size and time, from the guard against browsers and
/// proxies, and from an agent that is busy or stopping.
const EVERYWHERE: [(u16, &str); 10] = [
    (400, "The request cannot be read: its framing, its path or its body is malformed."),
    (403, "The caller has not the tier that is needed, or the request carries what only a browser or a proxy adds."),
    (408, "The body took too long."),
    (413, "The body has more than 1 MiB."),
    (415, "The body is not declared as application/json."),
    (417, "The expectation is another than 100-continue."),
    (421, "The Host is not this agent's."),
    (431, "The head has more than 16 KiB or 64 fields."),
    (500, "The disk failed, or a defect showed."),
    (503, "The agent is busy or stopping."),
];

/// What stands for the `{names}` of templates, and an example of each.
const PLACEHOLDERS: [(&str, &str, Key); 11] = [
    ("{jobId}", "j", Key::required("jobId", ID, "The job's id.")),
    ("{pluginId}", "p", Key::required("pluginId", ID, "The plugin's id.")),
    ("{requestId}", "E1-1", Key::required("requestId", REQUEST_ID, "The request's id.")),
    ("{control}", "JUSTIFY", Key::required("control", CONTROL, "Which control.")),
    ("{runId}", "1-1", Key::required("runId", RUN_ID, "The run's id.")),
    ("{certificate}", "c", Key::required("certificate", CERTIFICATE, "A name, or the SHA-256 of a certificate.")),
    ("{user}", "u", Key::required("user", USER, "The account.")),
    ("{policyName}", "p", Key::required("policyName", Shape::NAME, "The policy's name.")),
    ("{kind}", "Jobs", Key::required("kind", Shape::Choice(&FOLDERS), "The folder of the definition.")),
    ("{id}", "i", Key::required("id", ID, "The id of the job or plugin.")),
    ("{key}", "k", Key::required("key", SETTING, "The setting's name, with dots for nested ones.")),
];
const FOLDERS: [&str; 2] = [DefinitionKind::Job.folder(), DefinitionKind::Plugin.folder()];
const CERTIFICATE: Shape = Shape::Text(Text { length: (1, ID_LENGTH), ..Text::like("^[A-Za-z0-9._@-]+$") });
/// As `mfa::is_user` has it.
const USER: Shape =
    Shape::Text(Text { length: (1, ID_LENGTH), ..Text::like(r"^[A-Za-z0-9_@\\$+][A-Za-z0-9._@\\$+-]*$") });
const KEY: Key =
    Key::new("Idempotency-Key", IDEMPOTENCY, "A POST with a key that came already is answered as the first one was.");
const IDEMPOTENCY: Shape = Shape::Text(Text { length: (1, IDEMPOTENCY_KEY_CHARS), ..Text::like("^[!-~]+$") });
/// What a POST answers because of its key.
const KEYED: [(u16, &str); 2] = [
    (409, "The first request with this Idempotency-Key is not answered yet."),
    (422, "The Idempotency-Key came already with another request."),
];
const SETTING: Shape =
    Shape::Text(Text { length: (1, SETTING_KEY_BYTES), ..Text::like(r"^[^/\\\u0000-\u001f\u007f]+$") });

/// The whole document.
pub(crate) fn document(version: &str, https: u16) -> Vec<u8> {
    const { assert!(DOCUMENT_BYTES == 1 << 20, "the text of 413 says 1 MiB") };
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = SCHEMAS.into();
        settings.meta_schema = None;
    });
    let mut printer = Printer { generator: settings.for_serialize().into_generator() };
    let paths: Map<String, Value> = paths().map(|path| (path.template.to_string(), printer.path(path))).collect();
    let responses: Map<String, Value> =
        EVERYWHERE.iter().map(|(status, when)| (problem_name(*status), printer.problem(when))).collect();
    let mut schemas = printer.generator.take_definitions(true);
    schemas.extend(schema::components(Document::Job, SCHEMAS));
    let document = json!({
        "openapi": "3.1.0",
        "info": { "title": "Castellan", "version": version, "description": DESCRIPTION, "license": {
            "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" } },
        "servers": [{ "url": format!("https://127.0.0.1:{https}") }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": responses,
            "securitySchemes": { "adminCertificate": {
                "type": "mutualTLS", "description": "A client certificate that the agent's admin CA issued (state/admin)." } },
        },
    });
    document.to_string().into_bytes()
}

/// The name of a response that every operation has.
fn problem_name(status: u16) -> String {
    format!("Problem{status}")
}

/// The tier that the router gives to an operation.
pub(super) fn tier(path: &Path, operation: &Operation) -> Option<Tier> {
    let (resource, method) = route::route(operation.method.as_str(), &example(path.template)).ok()?;
    Some(route::tier(&resource, method))
}

/// A path that the template stands for.
pub(super) fn example(template: &str) -> String {
    PLACEHOLDERS.iter().fold(template.to_string(), |path, (name, example, _)| path.replace(name, example))
}

struct Printer {
    generator: SchemaGenerator,
}

impl Printer {
    fn path(&mut self, path: &Path) -> Value {
        let mut item = Map::new();
        let named = PLACEHOLDERS.iter().filter(|(name, ..)| path.template.contains(name));
        let parameters: Vec<Value> = named.map(|(_, _, key)| parameter(key, "path")).collect();
        if !parameters.is_empty() {
            item.insert("parameters".into(), parameters.into());
        }
        for operation in path.operations {
            item.insert(operation.method.as_str().to_ascii_lowercase(), self.operation(path, operation));
        }
        Value::Object(item)
    }

    fn operation(&mut self, path: &Path, operation: &Operation) -> Value {
        let mut responses: Map<String, Value> = EVERYWHERE
            .iter()
            .map(|(status, _)| {
                (status.to_string(), json!({ "$ref": format!("#/components/responses/{}", problem_name(*status)) }))
            })
            .collect();
        if operation.method == Method::Post {
            responses.extend(KEYED.map(|(status, when)| (status.to_string(), self.problem(when))));
        }
        let own = operation.answers.iter().map(|answer| (answer.status.to_string(), self.answer(answer)));
        responses.extend(own.collect::<Vec<_>>());
        let tier = tier(path, operation).unwrap_or(Tier::Admin);
        let certificate = json!({ "adminCertificate": [] });
        let security = match tier {
            Tier::Public => json!([]),
            // A process that the agent started needs nothing that it would send.
            Tier::Plugin => json!([certificate, {}]),
            Tier::Admin => json!([certificate]),
        };
        let queried = operation.query.iter().map(|key| parameter(key, "query"));
        let heeded = operation.heeds.iter().chain((operation.method == Method::Post).then_some(&KEY));
        let parameters: Vec<Value> = queried.chain(heeded.map(|key| parameter(key, "header"))).collect();
        let mut printed = json!({
            "operationId": operation.id,
            "summary": operation.summary,
            "description": format!("Needs the {tier:?} tier."),
            "x-castellan-tier": tier,
            "security": security,
            "parameters": parameters,
            "responses": responses,
        });
        if let (Some(Body { required, content }), Some(members)) = (&operation.body, printed.as_object_mut()) {
            let body = json!({ "required": required, "content": self.content(&[*content]) });
            members.insert("requestBody".into(), body);
        }
        printed
    }

    fn answer(&mut self, answer: &Answer) -> Value {
        let text = |says| json!({ "description": says, "schema": { "type": "string" } });
        let fields: Map<String, Value> =
            answer.fields.iter().map(|(name, says)| (name.to_string(), text(says))).collect();
        json!({ "description": answer.when, "headers": fields, "content": self.content(answer.content) })
    }

    fn problem(&mut self, when: &'static str) -> Value {
        self.answer(&Answer { status: 0, when, fields: &[], content: &[Content::Problem] })
    }

    /// By media type; several of one type are alternatives.
    fn content(&mut self, contents: &[Content]) -> Value {
        let mut schemas: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for content in contents {
            let (media_type, schema) = match content {
                Content::Json(schema) => ("application/json", Value::from(schema(&mut self.generator))),
                Content::Document(document) => {
                    ("application/json", json!({ "$ref": format!("#{SCHEMAS}/{}", document.as_str()) }))
                }
                // Before OpenAPI 3.2, the schema of a stream is that of each event.
                Content::Events(schema) => (stream::MEDIA_TYPE, Value::from(schema(&mut self.generator))),
                Content::Problem => {
                    ("application/problem+json", Value::from(self.generator.subschema_for::<Problem<'_>>()))
                }
                Content::Text(media_type) => (*media_type, json!({ "type": "string" })),
            };
            schemas.entry(media_type).or_default().push(schema);
        }
        let printed = schemas.into_iter().map(|(media_type, schemas)| {
            let schema = match schemas.as_slice() {
                [one] => one.clone(),
                several => json!({ "anyOf": several }),
            };
            (media_type.to_string(), json!({ "schema": schema }))
        });
        Value::Object(printed.collect())
    }
}

fn parameter(key: &Key, place: &str) -> Value {
    let schema = schema::of_key(key);
    let mut members = vec![("name", key.name.into()), ("in", place.into()), ("required", key.required.into())];
    members.extend([("description", key.doc.into()), ("schema", schema)]);
    members.into_iter().map(|(name, value)| (name.to_string(), value)).collect::<Map<String, Value>>().into()
}
