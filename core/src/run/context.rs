//! A run's context: what its trigger gave, over parameters and their defaults, plus what tasks merged (contract section 3).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};

use serde_json::{Map, Value};

use crate::job::parameter::{Parameter, ParameterType};
use crate::json::whole;
use crate::limits::CONTEXT_BYTES;

/// Named values, found without regard to case.
///
/// What the agent itself found out about tasks (`LastExitCode`, `LastOutput`, `{taskId}.ExitCode`) is kept apart: neither a
/// trigger nor a task's output can pretend another result.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    values: Map<String, Value>,
    /// By name in lower case, with the name as it is shown: a run of many tasks has many.
    results: BTreeMap<String, (String, Value)>,
}

/// Why a run cannot start with the values it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InvalidParameter {
    pub(crate) name: String,
    pub(crate) message: String,
}

impl Context {
    /// Trigger context over parameter defaults; a required parameter must have a value, and each value its type.
    pub(crate) fn new(trigger: &Map<String, Value>, parameters: &[Parameter]) -> Result<Self, InvalidParameter> {
        let mut context = Self::default();
        for parameter in parameters {
            if let Some(default) = &parameter.default {
                context.set(&parameter.name, default.clone());
            }
        }
        for (name, value) in trigger {
            context.set(name, value.clone());
        }
        for parameter in parameters {
            context.check(parameter)?;
        }
        Ok(context)
    }

    fn check(&self, parameter: &Parameter) -> Result<(), InvalidParameter> {
        let fail = |message: String| Err(InvalidParameter { name: parameter.name.clone(), message });
        match self.lookup(&parameter.name) {
            None | Some(Value::Null) if parameter.required => {
                fail(alloc::format!("the required parameter '{}' has no value; give it in the body.", parameter.name))
            }
            None | Some(Value::Null) => Ok(()),
            Some(value) if has_type(value, parameter.parameter_type) => Ok(()),
            Some(_) => fail(alloc::format!(
                "the parameter '{}' must be of type {:?}.",
                parameter.name,
                parameter.parameter_type
            )),
        }
    }

    /// Sets a value, replacing one whose name differs only in case.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        set(&mut self.values, name, value);
    }

    /// Sets what the agent found out about a task.
    pub(crate) fn set_result(&mut self, name: &str, value: Value) {
        let (_, known) =
            self.results.entry(name.to_ascii_lowercase()).or_insert_with(|| (name.to_string(), Value::Null));
        *known = value;
    }

    /// What the agent found out about a task, by name in lower case.
    pub(crate) fn result(&self, lower: &str) -> Option<&Value> {
        self.results.get(lower).map(|(_, value)| value)
    }

    /// Takes over every member of `values`; refused as a whole where the context would grow beyond its bound.
    pub(crate) fn merge(&mut self, values: &Map<String, Value>) -> Result<(), String> {
        let mut merged = self.values.clone();
        for (name, value) in values {
            set(&mut merged, name, value.clone());
        }
        let bytes = serde_json::to_string(&merged).map_or(usize::MAX, |text| text.len());
        if bytes > CONTEXT_BYTES {
            return Err(alloc::format!(
                "the context would have {bytes} bytes; at most {CONTEXT_BYTES} are kept, so nothing was merged."
            ));
        }
        self.values = merged;
        Ok(())
    }

    /// Finds `Name` or `Outer.Inner`, without regard to case; a name that itself has dots is found first.
    pub(crate) fn lookup(&self, path: &str) -> Option<&Value> {
        if let Some(value) = member(&self.values, path) {
            return Some(value);
        }
        let mut steps = path.split('.');
        let mut found = member(&self.values, steps.next()?)?;
        for step in steps {
            found = member(found.as_object()?, step)?;
        }
        Some(found)
    }

    /// All values that were given or merged.
    pub(crate) const fn values(&self) -> &Map<String, Value> {
        &self.values
    }

    /// All values as tasks see them: results before what else has their name.
    pub(crate) fn all(&self) -> Map<String, Value> {
        if self.results.is_empty() {
            return self.values.clone();
        }
        let result = |name: &String| self.results.get(&name.to_ascii_lowercase()).map(|(_, value)| value);
        let given: BTreeSet<String> = self.values.keys().map(|name| name.to_ascii_lowercase()).collect();
        let values = self.values.iter().map(|(name, value)| (name, result(name).unwrap_or(value)));
        let others = self.results.iter().filter(|(lower, _)| !given.contains(*lower));
        let all = values.chain(others.map(|(_, (name, value))| (name, value)));
        all.map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

fn set(values: &mut Map<String, Value>, name: &str, value: Value) {
    let existing = values.keys().find(|key| key.eq_ignore_ascii_case(name)).cloned();
    values.insert(existing.unwrap_or_else(|| name.to_string()), value);
}

fn member<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value))
}

fn has_type(value: &Value, wanted: ParameterType) -> bool {
    match wanted {
        ParameterType::String => value.is_string() || value.is_number() || value.is_boolean(),
        ParameterType::Number => value.is_number(),
        // 5 and 5.0 are the same, as in the definition's own check.
        ParameterType::Integer => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| whole(number).is_some())
        }
        ParameterType::Boolean => value.is_boolean(),
        ParameterType::Object => value.is_object(),
        ParameterType::Array => value.is_array(),
    }
}
