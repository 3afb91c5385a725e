//! `parameters` of a job.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::keys::PARAMETER;
use crate::job::finding::{Report, quote};
use crate::job::parameter::{Parameter, ParameterType};
use crate::job::substitution::is_token_name;
use crate::json::Json;
use crate::json::read::ObjectReader;

pub(super) const TYPES: [(&str, ParameterType); 6] = [
    ("string", ParameterType::String),
    ("number", ParameterType::Number),
    ("integer", ParameterType::Integer),
    ("boolean", ParameterType::Boolean),
    ("object", ParameterType::Object),
    ("array", ParameterType::Array),
];

pub(super) fn parse(reader: &ObjectReader<'_>, report: &mut Report) -> Vec<Parameter> {
    let mut parameters: Vec<Parameter> = Vec::new();
    for field in reader.array("parameters", report) {
        let Some(members) = field.object(&PARAMETER, report) else { continue };
        let Some(parameter) = parameter(&members, report) else { continue };
        members.finish(report);
        if parameters.iter().any(|known| known.name.eq_ignore_ascii_case(&parameter.name)) {
            let message =
                format!("there are two parameters {}; names are read without regard to case.", quote(&parameter.name));
            report.error(field.pointer, "duplicate", message);
        } else {
            parameters.push(parameter);
        }
    }
    parameters
}

fn parameter(members: &ObjectReader<'_>, report: &mut Report) -> Option<Parameter> {
    let name = members.required("name", report).and_then(|field| {
        let text = field.text(report)?;
        if is_token_name(text) && !text.contains('.') {
            return Some(text.to_string());
        }
        let message =
            format!("{} cannot be used as {{name}}; use letters, digits, '_' and '-', with a letter.", quote(text));
        report.error(field.pointer, "parameter-name-invalid", message);
        None
    });
    let kind = members.take("type").map_or(Some(ParameterType::String), |field| field.choice(&TYPES, report));
    let required = members.boolean("required", report);
    let secret = members.boolean("secret", report);
    // Known and kept; nobody needs it here.
    members.text("description", report);
    let (named, alias) = (members.take("defaultValue"), members.take("default"));
    if let (Some(_), Some(alias)) = (&named, &alias) {
        report.error(
            alias.pointer.clone(),
            "conflicting-keys",
            "'default' means the same as 'defaultValue'; keep one.",
        );
    }
    let (name, kind) = (name?, kind?);
    let default = named.or(alias).and_then(|field| {
        if has_type(field.value, kind) {
            return Some(field.value.to_value());
        }
        let type_name = TYPES.iter().find(|(_, known)| *known == kind).map_or("string", |(name, _)| name);
        let message = format!("the default is {}, the parameter's type is {type_name}.", field.value.kind());
        report.error(field.pointer, "default-wrong-type", message);
        None
    });
    Some(Parameter { name, parameter_type: kind, default, required, secret })
}

fn has_type(value: &Json, kind: ParameterType) -> bool {
    match kind {
        ParameterType::String => matches!(value, Json::String(_)),
        ParameterType::Number => matches!(value, Json::Number(_)),
        ParameterType::Integer => match value {
            Json::Number(number) => number.is_u64() || value.as_integer().is_some(),
            Json::Null | Json::Bool(_) | Json::String(_) | Json::Array(_) | Json::Object(_) => false,
        },
        ParameterType::Boolean => matches!(value, Json::Bool(_)),
        ParameterType::Object => matches!(value, Json::Object(_)),
        ParameterType::Array => matches!(value, Json::Array(_)),
    }
}
