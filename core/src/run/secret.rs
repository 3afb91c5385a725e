//! Secret values: a run's, known by parameters with `"secret": true` and hidden wherever it is shown, and a plugin's, known by its
//! `secretSettings`. The one place that masks.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use core::cmp::Reverse;
use core::fmt;

use serde_json::{Map, Value};

use super::context::Context;
use super::record::LAST_OUTPUT_CHARACTERS;
use crate::job::parameter::Parameter;

/// What stands in place of a secret.
pub(crate) const MASK: &str = "***";
/// Stands where a text was cut.
const CUT: char = '…';
/// Characters of one line of a secret, and of a secret that was cut: fewer would hide every other word.
const SHORTEST_PART: usize = 4;

/// Secrets as texts, by their first letter, longest first.
///
/// Hidden are strings and numbers, objects and arrays as JSON with every string inside, each line of a text of several lines,
/// and all of these the way JSON writes them. Booleans are hidden only in the context: `true` says nothing. What a run starts
/// hides its secrets too, and a value that a task replaces stays hidden.
#[derive(Clone, Default)]
pub(crate) struct Secrets {
    texts: BTreeMap<char, BTreeSet<(Reverse<usize>, String)>>,
}

impl fmt::Debug for Secrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Secrets({})", self.all().count())
    }
}

impl Secrets {
    /// Also hides what these parameters are worth now.
    pub(super) fn learn(&mut self, context: &Context, parameters: &[Parameter]) {
        for parameter in parameters.iter().filter(|parameter| parameter.secret) {
            if let Some(value) = context.lookup(&parameter.name) {
                self.learn_value(value);
            }
        }
    }

    /// Those of these settings, each as it is passed on: `true` and `false` say nothing, an array or object is JSON text.
    pub(crate) fn of_settings<'a>(values: impl Iterator<Item = &'a str>) -> Self {
        let mut secrets = Self::default();
        for text in values {
            match serde_json::from_str(text) {
                Ok(value @ (Value::Array(_) | Value::Object(_) | Value::Bool(_))) => secrets.learn_value(&value),
                Ok(Value::Null | Value::Number(_) | Value::String(_)) | Err(_) => secrets.learn_string(text),
            }
        }
        secrets
    }

    fn learn_value(&mut self, value: &Value) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => self.learn_text(&number.to_string()),
            Value::String(text) => self.learn_string(text),
            Value::Array(items) => {
                self.learn_text(&value.to_string());
                items.iter().filter(|item| !item.is_number()).for_each(|item| self.learn_value(item));
            }
            Value::Object(members) => {
                self.learn_text(&value.to_string());
                members.values().filter(|item| !item.is_number()).for_each(|item| self.learn_value(item));
            }
        }
    }

    /// Also hides this text, however it is written.
    pub(crate) fn learn_string(&mut self, text: &str) {
        self.learn_text(text);
        let lines = text.lines().map(str::trim).filter(|line| line.chars().count() >= SHORTEST_PART);
        lines.for_each(|line| self.learn_text(line));
        for written in [Value::from(text).to_string(), format!("{text:?}")] {
            self.learn_text(written.trim_start_matches('"').strip_suffix('"').unwrap_or_default());
        }
    }

    fn learn_text(&mut self, text: &str) {
        if let Some(first) = text.chars().next() {
            self.texts.entry(first).or_default().insert((Reverse(text.len()), text.to_string()));
        }
    }

    /// The text as it may be seen.
    pub(crate) fn mask(&self, text: String) -> String {
        if self.texts.is_empty() {
            return text;
        }
        let mut shown = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while let Some(first) = rest.chars().next() {
            let known = self.texts.get(&first).into_iter().flatten();
            let length = known.map(|(_, secret)| secret).find(|secret| rest.starts_with(*secret)).map(String::len);
            match length {
                Some(_) => shown.push_str(MASK),
                None => shown.push(first),
            }
            rest = rest.get(length.unwrap_or(first.len_utf8())..).unwrap_or_default();
        }
        if !shown.contains(CUT) {
            return shown;
        }
        let parts = shown.split_inclusive(CUT).map(|part| match part.strip_suffix(CUT) {
            Some(cut) => format!("{}{CUT}", self.mask_end(cut, SHORTEST_PART)),
            None => part.to_string(),
        });
        parts.collect()
    }

    /// The same for the first part of a text that was cut in two: its end may be the beginning of a secret.
    pub(super) fn mask_head(&self, text: String) -> String {
        self.mask_end(&self.mask(text), 1)
    }

    /// The same for the last part: its beginning may be the end of a secret.
    pub(crate) fn mask_tail(&self, text: String) -> String {
        let ends = self.all().flat_map(|secret| secret.char_indices().skip(1).filter_map(|(at, _)| secret.get(at..)));
        let found = ends.filter(|end| text.starts_with(end)).map(str::len).max().unwrap_or_default();
        let rest = self.mask(text.get(found..).unwrap_or_default().to_string());
        if found == 0 { rest } else { format!("{MASK}{rest}") }
    }

    /// Hides the beginning of a secret at the very end of a text, where it has so many characters.
    fn mask_end(&self, text: &str, least: usize) -> String {
        let beginnings =
            self.all().flat_map(|secret| secret.char_indices().skip(least).filter_map(|(at, _)| secret.get(..at)));
        let found = beginnings.filter(|beginning| text.ends_with(beginning)).map(str::len).max();
        match found {
            Some(length) => format!("{}{MASK}", text.get(..text.len().saturating_sub(length)).unwrap_or_default()),
            None => text.to_string(),
        }
    }

    fn all(&self) -> impl Iterator<Item = &str> {
        self.texts.values().flatten().map(|(_, secret)| secret.as_str())
    }

    /// The context as it may be seen: what secret parameters are worth, and every text that repeats it.
    pub(super) fn shown(&self, context: &Context, parameters: &[Parameter]) -> Map<String, Value> {
        let is_secret = |name: &str| {
            parameters.iter().any(|parameter| parameter.secret && parameter.name.eq_ignore_ascii_case(name))
        };
        let shown = |(name, value): (String, Value)| {
            let was_cut = value.as_str().is_some_and(|text| text.chars().count() >= LAST_OUTPUT_CHARACTERS);
            let shown = match value {
                _ if is_secret(&name) => Value::from(MASK),
                Value::String(text) if was_cut => self.mask_head(text).into(),
                value @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_)) => self.mask_value(value),
            };
            (name, shown)
        };
        if self.texts.is_empty() && !parameters.iter().any(|parameter| parameter.secret) {
            return context.all();
        }
        context.all().into_iter().map(shown).collect()
    }

    fn mask_value(&self, value: Value) -> Value {
        match value {
            Value::Null | Value::Bool(_) => value,
            Value::Number(ref number) => {
                if self.mask(number.to_string()) == MASK {
                    Value::from(MASK)
                } else {
                    value
                }
            }
            Value::String(text) => Value::String(self.mask(text)),
            Value::Array(items) => items.into_iter().map(|item| self.mask_value(item)).collect(),
            Value::Object(members) => {
                members.into_iter().map(|(name, item)| (name, self.mask_value(item))).collect::<Map<_, _>>().into()
            }
        }
    }
}
