//! What the API takes at each path: one table, by which the router tells methods that are taken from those that are not
//! ([`super::route`]) and from which the description is printed ([`super::openapi`]). A path without a row takes nothing.

mod table;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::route::Method;
use crate::schema::Document;
use crate::shape::Key;
pub(crate) use table::{CONTROL, REQUEST_ID, RUN_ID, WAIT_SECONDS, WAIT_SECONDS_MAX};

/// A path and what can be done there.
#[derive(Debug)]
pub(crate) struct Path {
    /// The path with `{names}` for what stands in its place.
    pub(crate) template: &'static str,
    /// One for each method, in the order of [`Method`].
    pub(crate) operations: &'static [Operation],
}

/// A method at a path.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Its method.
    pub(crate) method: Method,
    /// What generated clients call it; unique.
    pub(crate) id: &'static str,
    /// What it does, for people.
    pub(crate) summary: &'static str,
    /// What the query may have.
    pub(crate) query: &'static [Key],
    /// Header fields that it heeds besides those that every operation does.
    pub(crate) heeds: &'static [Key],
    /// The body it takes.
    pub(crate) body: Option<Body>,
    /// Its answers, besides those that every operation has.
    pub(crate) answers: &'static [Answer],
}

/// A request's body.
#[derive(Debug)]
pub(crate) struct Body {
    /// Whether there must be one.
    pub(crate) required: bool,
    /// What it is.
    pub(crate) content: Content,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) status: u16,
    /// When it is given.
    pub(crate) when: &'static str,
    /// Header fields that it has besides those of its content, with what they say.
    pub(crate) fields: &'static [(&'static str, &'static str)],
    /// Its bodies, one for each media type.
    pub(crate) content: &'static [Content],
}

/// A body: its media type and its shape.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content {
    /// JSON of a type.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// JSON of a document that people write.
    Document(Document),
    /// A problem (RFC 9457).
    Problem,
    /// Server-sent events, each of them of a type.
    Events(fn(&mut SchemaGenerator) -> Schema),
    /// Text of another media type.
    Text(&'static str),
}

/// JSON of a type.
pub(crate) const fn json<T: JsonSchema>() -> Content {
    Content::Json(SchemaGenerator::subschema_for::<T>)
}

impl Answer {
    /// A refusal.
    pub(crate) const fn problem(status: u16, when: &'static str) -> Self {
        Self { status, when, fields: &[], content: &[Content::Problem] }
    }
}

/// Every row.
pub(crate) fn paths() -> impl Iterator<Item = &'static Path> {
    table::PATHS.iter().chain(&table::ADMINISTRATION).chain(&table::LKG).chain(&table::ELEVATION)
}

/// The row of a path.
pub(crate) fn path(template: &str) -> Option<&'static Path> {
    paths().find(|path| path.template == template)
}
