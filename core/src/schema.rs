//! JSON Schemas (draft 2020-12) of the documents that people write, printed from the tables that the parsers read by.
//!
//! A schema accepts what its parser accepts without error, except for what JSON Schema cannot say simply: keys that are required, or
//! keys of conditions, in another case than the documented one; and members of Http tasks in other tasks, which the agent only warns
//! about. It refuses wrong types, bounds, spellings and missing keys. What takes more than one place of a document to see (routes,
//! duplicate ids) or a grammar (expressions, cron, quoting) only the parser refuses: `castellan jobs lint`.

pub(crate) mod policy;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde_json::Value;

use crate::config::parse::keys::FILE;
use crate::job::parse::keys::JOB;
use crate::json::Json;
use crate::plugin::parse::keys::PLUGIN;
use crate::shape::{Key, Literal, Names, Object, Others, Rule, Shape, Text};
use crate::simulation::case::keys::CASE;
use policy::POLICY;

/// A kind of document with a published schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Document {
    /// `Jobs/*.json`.
    Job,
    /// `Plugins/*.json`.
    Plugin,
    /// `appsettings.json`.
    Settings,
    /// `Policies/*.json`: configuration policies, and those about privileges.
    Policy,
    /// `*.test.json`, the cases of `castellan jobs test`.
    Test,
}

/// The members of a JSON object, in order.
type Members = Vec<(String, Json)>;

impl Document {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Job, Self::Plugin, Self::Settings, Self::Policy, Self::Test];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Job => "job",
            Self::Plugin => "plugin",
            Self::Settings => "settings",
            Self::Policy => "policy",
            Self::Test => "test",
        }
    }

    const fn table(self) -> (&'static str, &'static Object) {
        match self {
            Self::Job => ("Castellan job", &JOB),
            Self::Plugin => ("Castellan plugin", &PLUGIN),
            Self::Settings => ("Castellan appsettings.json", &FILE),
            Self::Policy => ("Castellan policy", &POLICY),
            Self::Test => ("Castellan test case", &CASE),
        }
    }

    /// The JSON Schema of such documents.
    pub fn schema(self) -> Json {
        let (title, table) = self.table();
        let mut schema = vec![
            member("$schema", text("https://json-schema.org/draft/2020-12/schema")),
            member("$id", Json::String(format!("urn:castellan:schema:{}", self.as_str()))),
            member("title", text(title)),
        ];
        let (members, mut definitions) = printed_at("/$defs", table);
        schema.extend(members);
        definitions.sort_by(|(left, _), (right, _)| left.cmp(right));
        if !definitions.is_empty() {
            schema.push(member("$defs", Json::Object(definitions)));
        }
        Json::Object(schema)
    }
}

/// The schemas of such documents and of what they refer to, by name, for a place of a larger document.
pub(crate) fn components(document: Document, place: &'static str) -> Vec<(String, Value)> {
    let (members, mut definitions) = printed_at(place, document.table().1);
    definitions.push(member(document.as_str(), Json::Object(members)));
    definitions.into_iter().map(|(name, schema)| (name, schema.to_value())).collect()
}

/// The schema of what may stand at a key.
pub(crate) fn of_key(key: &Key) -> Value {
    let mut schema = Printer::default().shape(key.shape);
    schema.extend(key.default.map(|default| member("default", literal(default))));
    Json::Object(schema).to_value()
}

/// A table and what it refers to.
fn printed_at(place: &'static str, table: &'static Object) -> (Members, Members) {
    let mut printer = Printer { place, ..Printer::default() };
    (printer.object(table), printer.definitions)
}

/// Prints tables, and once each what they refer to.
#[derive(Debug, Default)]
struct Printer {
    /// Where in the document that is.
    place: &'static str,
    /// What the schemas refer to.
    definitions: Members,
    /// The names of those, also of those that are being printed: conditions hold conditions.
    names: Vec<&'static str>,
}

impl Printer {
    fn object(&mut self, table: &'static Object) -> Members {
        let mut properties = Members::new();
        for key in table.keys {
            properties.push(member(key.name, Json::Object(self.property(key))));
            for other in key.also {
                properties.push(member(other, Json::Object(self.alias(key, other))));
            }
        }
        let mut members = described(table.doc, vec![member("type", text("object"))]);
        members.push(member("properties", Json::Object(properties)));
        let required = table.keys.iter().filter(|key| key.required).map(|key| key.name);
        members.extend(require(&required.collect::<Vec<_>>()));
        match table.others {
            Others::Kept => {}
            Others::RefusedExactly => members.push(member("additionalProperties", Json::Bool(false))),
            Others::Refused => {
                let pattern = member("pattern", any_case(&table.names()));
                members.push(member("propertyNames", Json::Object(vec![pattern])));
            }
        }
        if !table.rules.is_empty() {
            members.push(member("allOf", Json::Array(table.rules.iter().map(|rule| printed(*rule, table)).collect())));
        }
        members
    }

    fn property(&mut self, key: &Key) -> Members {
        let mut members = described(key.doc, Members::new());
        if let Some(default) = key.default {
            members.push(member("default", literal(default)));
        }
        let shape = self.shape(key.shape);
        members.extend(if key.nullable { or_null(shape) } else { shape });
        members
    }

    /// Another spelling: valid, but an editor suggests the first one.
    fn alias(&mut self, key: &Key, other: &str) -> Members {
        let mut members = self.property(key);
        if !other.eq_ignore_ascii_case(key.name) {
            members.retain(|(name, _)| name != "description");
            members.insert(0, member("description", Json::String(format!("The same as {}.", key.name))));
        }
        members.push(member("doNotSuggest", Json::Bool(true)));
        members
    }

    fn shape(&mut self, shape: Shape) -> Members {
        match shape {
            Shape::Any => Members::new(),
            Shape::Null => vec![member("type", text("null"))],
            Shape::Boolean => vec![member("type", text("boolean"))],
            Shape::Integer(low, high) => integer(low, high),
            Shape::Scalar => vec![member("type", Json::Array(["string", "number", "boolean"].map(text).into()))],
            Shape::Text(shape) => string(shape),
            Shape::Choice(choices) => choice(choices),
            Shape::Exactly(choices) => vec![member("enum", texts(&choices.names()))],
            Shape::List(item, (least, most)) => {
                let mut members = vec![member("type", text("array"))];
                members.push(member("items", Json::Object(self.shape(*item))));
                members.extend((least > 0).then(|| member("minItems", count(least))));
                members.extend((most < usize::MAX).then(|| member("maxItems", count(most))));
                members
            }
            Shape::Map(names, values) => {
                let mut members = vec![member("type", text("object"))];
                if !names.is_empty() {
                    members.push(member("propertyNames", Json::Object(vec![member("pattern", text(names))])));
                }
                let values = self.shape(*values);
                members.extend((!values.is_empty()).then(|| member("additionalProperties", Json::Object(values))));
                members
            }
            Shape::AnyOf(shapes) => {
                let branches = shapes.iter().map(|shape| Json::Object(self.shape(*shape)));
                vec![member("anyOf", Json::Array(branches.collect()))]
            }
            Shape::Object(table) => self.refer(table.name, |printer| printer.object(table)),
            Shape::Named(named) => self.refer(named.name, |printer| described(named.doc, printer.shape(named.shape))),
        }
    }

    fn refer(&mut self, name: &'static str, print: impl FnOnce(&mut Self) -> Members) -> Members {
        if !self.names.contains(&name) {
            self.names.push(name);
            let definition = print(self);
            self.definitions.push(member(name, Json::Object(definition)));
        }
        vec![member("$ref", Json::String(format!("#{}/{name}", self.place)))]
    }
}

fn member(name: &str, value: Json) -> (String, Json) {
    (name.to_string(), value)
}

fn text(text: &str) -> Json {
    Json::String(text.to_string())
}

fn texts(all: &[&str]) -> Json {
    Json::Array(all.iter().map(|one| text(one)).collect())
}

fn count(number: usize) -> Json {
    Json::Number(number.into())
}

fn literal(literal: Literal) -> Json {
    match literal {
        Literal::Boolean(value) => Json::Bool(value),
        Literal::Integer(value) => Json::Number(value.into()),
        Literal::Text(value) => text(value),
    }
}

fn described(doc: &str, mut members: Members) -> Members {
    members.insert(0, member("description", text(doc)));
    members
}

fn require(keys: &[&str]) -> Option<(String, Json)> {
    (!keys.is_empty()).then(|| member("required", texts(keys)))
}

fn integer(low: i64, high: i64) -> Members {
    let bound = |number: i64| Json::Number(number.into());
    vec![member("type", text("integer")), member("minimum", bound(low)), member("maximum", bound(high))]
}

fn string(shape: Text) -> Members {
    let Text { pattern, format, length: (least, most), example } = shape;
    let mut members = vec![member("type", text("string"))];
    members.extend((least > 0).then(|| member("minLength", count(least))));
    members.extend((most < usize::MAX).then(|| member("maxLength", count(most))));
    members.extend((!pattern.is_empty()).then(|| member("pattern", text(pattern))));
    members.extend((!format.is_empty()).then(|| member("format", text(format))));
    members.extend((!example.is_empty()).then(|| member("examples", texts(&[example]))));
    members
}

/// The documented spellings, for editors, and the same in any case, as the parser takes them.
fn choice(choices: &dyn Names) -> Members {
    let names = choices.names();
    let spelled = Json::Object(vec![member("enum", texts(&names))]);
    let in_any_case = Json::Object(vec![member("type", text("string")), member("pattern", any_case(&names))]);
    vec![member("anyOf", Json::Array(vec![spelled, in_any_case]))]
}

/// A pattern for any of some names in any case; ECMA 262 has no flag for that inside a pattern.
fn any_case(names: &[&str]) -> Json {
    let letter = |letter: char| match letter {
        letter if letter.is_ascii_alphabetic() => {
            format!("[{}{}]", letter.to_ascii_uppercase(), letter.to_ascii_lowercase())
        }
        '.' => String::from("\\."),
        other => other.to_string(),
    };
    let patterns: Vec<String> = names.iter().map(|name| name.chars().map(letter).collect()).collect();
    Json::String(format!("^({})$", patterns.join("|")))
}

/// The same, or `null`, which means "not given".
fn or_null(mut members: Members) -> Members {
    if members.iter().any(|(name, _)| name == "$ref") {
        members = vec![member("anyOf", Json::Array(vec![Json::Object(members)]))];
    }
    for (name, value) in &mut members {
        match (name.as_str(), value) {
            ("type", Json::Array(types)) => types.push(text("null")),
            ("type", kind) => *kind = Json::Array(vec![kind.clone(), text("null")]),
            ("enum", Json::Array(values)) => values.push(Json::Null),
            ("anyOf", Json::Array(branches)) => branches.push(Json::Object(vec![member("type", text("null"))])),
            _ => {}
        }
    }
    members
}

/// A rule between the keys of an object.
fn printed(rule: Rule, table: &Object) -> Json {
    Json::Object(match rule {
        Rule::ExactlyOne(keys) => {
            vec![member("oneOf", Json::Array(keys.iter().map(|key| given(&[key], table, &[Json::Null])).collect()))]
        }
        Rule::Where(key, value, then, otherwise) => {
            let spellings = table.key(key).into_iter().flat_map(Key::names);
            let is_so = |key| {
                let value = vec![member("type", text("string")), member("pattern", any_case(&[value]))];
                let properties = Json::Object(vec![member(key, Json::Object(value))]);
                Json::Object(vec![member("required", texts(&[key])), member("properties", properties)])
            };
            let condition = Json::Object(vec![member("anyOf", Json::Array(spellings.map(is_so).collect()))]);
            let branch = |name, keys: &[&str]| {
                (!keys.is_empty()).then(|| member(name, given(keys, table, &[Json::Null, text("")])))
            };
            let branches = [branch("then", then), branch("else", otherwise)].into_iter().flatten();
            core::iter::once(member("if", condition)).chain(branches).collect()
        }
        Rule::RequiredBeyond(key, excerpt) => {
            let is_excerpt = vec![member("required", texts(excerpt)), member("maxProperties", count(excerpt.len()))];
            let needed = Json::Object(vec![member("required", texts(&[key]))]);
            vec![
                member("$comment", text("The documentation shows excerpts; everything else is a whole document.")),
                member("if", Json::Object(is_excerpt)),
                member("else", needed),
            ]
        }
    })
}

/// The keys are there, and are none of the values that stand for nothing, where `null` does.
fn given(keys: &[&str], table: &Object, nothing: &[Json]) -> Json {
    let something =
        || Json::Object(vec![member("not", Json::Object(vec![member("enum", Json::Array(nothing.to_vec()))]))]);
    let nullable = keys.iter().filter(|key| table.key(key).is_some_and(|known| known.nullable));
    let properties: Members = nullable.map(|key| member(key, something())).collect();
    let mut members = vec![member("required", texts(keys))];
    members.extend((!properties.is_empty()).then(|| member("properties", Json::Object(properties))));
    Json::Object(members)
}
