//! Reading the members of an object: by name without regard to case, type-checked, with findings that point at the place.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::{Json, pointer_to};
use crate::job::finding::{Report, quote};
use crate::limits::LIST_ENTRIES;
use crate::shape::{Literal, Object};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Field<'a> {
    /// JSON pointer, with the key as the document spells it.
    pub pointer: String,
    /// The value; never null.
    pub value: &'a Json,
}

/// The members of one object, taken one by one by the names of its table; what the table lacks is unknown.
#[derive(Debug)]
pub struct ObjectReader<'a> {
    /// JSON pointer of the object.
    pub pointer: String,
    members: &'a [(String, Json)],
    object: &'static Object,
}

impl<'a> Field<'a> {
    /// The members of an object; else an error finding.
    pub(crate) fn object(&self, object: &'static Object, report: &mut Report) -> Option<ObjectReader<'a>> {
        match self.value {
            Json::Object(members) => Some(ObjectReader::new(self.pointer.clone(), members, object)),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                self.wrong_type("an object", report);
                None
            }
        }
    }

    /// The items of an array of at most [`LIST_ENTRIES`]; else an error finding.
    pub fn array(&self, report: &mut Report) -> Option<Vec<Self>> {
        let Json::Array(items) = self.value else {
            self.wrong_type("an array", report);
            return None;
        };
        if items.len() > LIST_ENTRIES {
            let message = format!("the array has {} entries; at most {LIST_ENTRIES} are allowed.", items.len());
            report.error(self.pointer.clone(), "too-many-entries", message);
            return None;
        }
        let item =
            |(index, value): (usize, &'a Json)| Self { pointer: pointer_to(&self.pointer, &index.to_string()), value };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// A text without NUL, which no argument, variable or path can carry; else an error finding.
    pub fn text(&self, report: &mut Report) -> Option<&'a str> {
        let Some(text) = self.value.as_str() else {
            self.wrong_type("a text", report);
            return None;
        };
        if text.contains('\0') {
            report.error(self.pointer.clone(), "nul-character", "the text holds a NUL character (\\u0000); remove it.");
            return None;
        }
        Some(text)
    }

    /// `true` or `false`; else an error finding.
    pub fn boolean(&self, report: &mut Report) -> Option<bool> {
        match self.value {
            Json::Bool(value) => Some(*value),
            Json::Null | Json::Number(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
                self.wrong_type("true or false", report);
                None
            }
        }
    }

    /// A whole number within `range`; else an error finding.
    pub fn integer(&self, range: RangeInclusive<i64>, report: &mut Report) -> Option<i64> {
        let found = self.value.as_integer().filter(|number| range.contains(number));
        if found.is_none() {
            let (low, high) = (range.start(), range.end());
            let what = match self.value {
                Json::Number(number) => number.to_string(),
                Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => {
                    self.value.kind().to_string()
                }
            };
            let message = format!("this is {what}; it must be a whole number from {low} to {high}.");
            let code = if matches!(self.value, Json::Number(_)) { "out-of-range" } else { "wrong-type" };
            report.error(self.pointer.clone(), code, message);
        }
        found
    }

    /// One of the named values, read without regard to case; else an error finding that lists them.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
        let text = self.text(report)?;
        let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let message = format!("this is {}; it must be one of {}.", quote(text), names.join(", "));
            report.error(self.pointer.clone(), "unknown-value", message);
        }
        found
    }

    /// Records that another type was expected.
    pub fn wrong_type(&self, expected: &str, report: &mut Report) {
        let message = format!("this is {}; it must be {expected}.", self.value.kind());
        report.error(self.pointer.clone(), "wrong-type", message);
    }
}

impl<'a> ObjectReader<'a> {
    /// Reads the members of the object at `pointer` by its table.
    pub(crate) fn new(pointer: impl Into<String>, members: &'a [(String, Json)], object: &'static Object) -> Self {
        Self { pointer: pointer.into(), members, object }
    }

    /// The table of the object.
    pub(crate) const fn table(&self) -> &'static Object {
        self.object
    }

    /// The pointer that a member has, or would have.
    pub fn at(&self, name: &str) -> String {
        let spelled = self.members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        pointer_to(&self.pointer, spelled.map_or(name, |(key, _)| key))
    }

    /// A member by name, `null` included.
    fn find(&self, name: &'static str) -> Option<Field<'a>> {
        debug_assert!(self.object.key(name).is_some(), "'{name}' is not in the table of {}", self.object.name);
        let (key, value) = self.members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        Some(Field { pointer: pointer_to(&self.pointer, key), value })
    }

    /// A member by name; `null` means it is not given, as documents written by other programs have it.
    pub fn take(&self, name: &'static str) -> Option<Field<'a>> {
        self.find(name).filter(|field| *field.value != Json::Null)
    }

    /// A member that must be given; else an error finding.
    pub fn required(&self, name: &'static str, report: &mut Report) -> Option<Field<'a>> {
        let field = self.take(name);
        if field.is_none() {
            report.error(self.at(name), "required", format!("'{name}' is required and not given."));
        }
        field
    }

    /// A text; `None` where it is not given or empty.
    pub fn text(&self, name: &'static str, report: &mut Report) -> Option<&'a str> {
        self.take(name)?.text(report).filter(|text| !text.is_empty())
    }

    /// A boolean, or the default of the table.
    pub fn boolean(&self, name: &'static str, report: &mut Report) -> bool {
        let default = self.object.default_of(name) == Some(Literal::Boolean(true));
        self.take(name).and_then(|field| field.boolean(report)).unwrap_or(default)
    }

    /// A whole number within the bounds of the table, or its default.
    pub fn integer(&self, name: &'static str, report: &mut Report) -> i64 {
        let default = match self.object.default_of(name) {
            Some(Literal::Integer(default)) => default,
            Some(Literal::Boolean(_) | Literal::Text(_)) | None => 0,
        };
        self.take(name).and_then(|field| field.integer(self.object.range(name), report)).unwrap_or(default)
    }

    /// One of the named values, or the default.
    pub fn choice<T: Copy + Default>(&self, name: &'static str, choices: &[(&str, T)], report: &mut Report) -> T {
        self.take(name).and_then(|field| field.choice(choices, report)).unwrap_or_default()
    }

    /// The items of an array; none where it is not given.
    pub fn array(&self, name: &'static str, report: &mut Report) -> Vec<Field<'a>> {
        self.take(name).and_then(|field| field.array(report)).unwrap_or_default()
    }

    /// The members that the table does not have.
    pub fn unknown(&self) -> impl Iterator<Item = (&'a str, &'a Json)> {
        let members = self.members.iter().map(|(key, value)| (key.as_str(), value));
        members.filter(|(key, _)| self.object.key(key).is_none())
    }

    /// Notes every member that the table does not have, with the nearest name that it has.
    pub fn finish(self, report: &mut Report) {
        for (key, _) in self.unknown() {
            if report.is_full() {
                // A document of a hundred thousand unknown keys must not cost as many searches for the nearest name.
                report.note("", "unknown-key", "");
                continue;
            }
            let message =
                format!("{} is not a known key here{}; it is kept.", quote(key), hint(key, &self.object.names()));
            report.note(pointer_to(&self.pointer, key), "unknown-key", message);
        }
    }
}

/// `; did you mean 'x'?`-like words for a key that is nearly a known one, or nothing.
pub fn hint(key: &str, known: &[&str]) -> String {
    nearest(key, known).map(|name| format!(" (did you mean '{name}'?)")).unwrap_or_default()
}

/// Longest key for which a nearest name is looked for; longer ones are no slips of the pen.
const HINTED_KEY_BYTES: usize = 48;

/// The known name that differs least from `key`, where at most a third of its letters differ.
pub fn nearest<'n>(key: &str, known: &[&'n str]) -> Option<&'n str> {
    if key.len() > HINTED_KEY_BYTES {
        return None;
    }
    let near = |name: &&&'n str| distance(key, name) <= name.len().div_ceil(3);
    known.iter().filter(near).min_by_key(|name| distance(key, name)).copied()
}

/// Edit distance (Levenshtein) of two texts, letters compared without regard to ASCII case.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (above, letter) in left.chars().enumerate() {
        let mut diagonal = above;
        let mut before = above.saturating_add(1);
        let mut next = Vec::with_capacity(row.len());
        next.push(before);
        for (other, up) in right.iter().zip(row.iter().skip(1)) {
            let kept = if letter.eq_ignore_ascii_case(other) { diagonal } else { diagonal.saturating_add(1) };
            before = kept.min(up.saturating_add(1)).min(before.saturating_add(1));
            next.push(before);
            diagonal = *up;
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
