//! What policies amount to, read from their documents each time, as the specification says it and as slowly as need be.

use std::collections::BTreeSet;

use castellan_core::policy::{Control, PolicyType, Request, Verdict};
use chrono::{DateTime, Datelike, NaiveDate, Timelike};
use serde_json::Value;

/// Verdict, whether it is audited, whether it is recorded, how many notices.
pub(crate) fn decide(files: &[(String, Value)], request: &Request) -> (Verdict, bool, bool, usize) {
    let mut words: BTreeSet<String> = BTreeSet::new();
    let (mut audit, mut record, mut notices, mut denied) = (false, false, 0, false);
    for (_, policy) in files {
        let status = policy["Status"].as_str().unwrap_or_default().to_lowercase();
        let policy_type = policy["PolicyType"].as_str().map(str::to_lowercase);
        let is_broken = policy["RiskLevel"] == 1000 || status == "perhaps" || policy_type.is_none();
        let concerns = match policy_type.as_deref() {
            None => true,
            Some("privilegeelevation") => request.policy_type == PolicyType::PrivilegeElevation,
            Some("commandline") => request.policy_type != PolicyType::FileAccess,
            Some("fileaccess") => request.policy_type == PolicyType::FileAccess,
            Some(_) => false,
        };
        if !concerns {
            continue;
        }
        if is_broken {
            denied |= ["enforce", "enabled", "perhaps"].contains(&status.as_str());
            continue;
        }
        if ["off", "disabled"].contains(&status.as_str()) || !matches(policy, request) {
            continue;
        }
        let places =
            [&policy["Actions"]["OnSuccess"]["Controls"], &policy["OnSuccess"]["Controls"], &policy["Controls"]];
        let controls = places.into_iter().find(|controls| controls.is_array()).unwrap();
        let controls: Vec<String> =
            controls.as_array().unwrap().iter().map(|word| word.as_str().unwrap().to_uppercase()).collect();
        let has = |word: &str| controls.iter().any(|control| control == word);
        if status.starts_with("monitor") {
            audit = true;
            notices += usize::from(status == "monitor_and_notify");
            continue;
        }
        audit |= has("AUDIT");
        record |= has("RECORD");
        notices += usize::from(has("NOTIFY"));
        words.extend(controls);
    }
    let path = &request.file_path;
    let judged = path.starts_with('/') && path.split('/').skip(1).all(|part| !["", ".", ".."].contains(&part));
    (verdict(&words, denied || !judged), audit, record, notices)
}

fn verdict(words: &BTreeSet<String>, denied: bool) -> Verdict {
    let mut required = BTreeSet::new();
    if words.contains("MFA") {
        required.insert(Control::Mfa);
    }
    if words.contains("JUSTIFY") || words.contains("APPROVAL") {
        required.insert(Control::Justify);
    }
    if words.contains("APPROVAL") {
        required.insert(Control::Approval);
    }
    if denied || words.contains("DENY") {
        Verdict::Deny
    } else if !required.is_empty() {
        Verdict::Pending(required)
    } else if words.contains("ALLOW") {
        Verdict::Allow
    } else {
        Verdict::Deny
    }
}

fn matches(policy: &Value, request: &Request) -> bool {
    let mut rules = Vec::new();
    for rule in policy["Rules"].as_array().unwrap() {
        if let Some(expression) = rule["Expression"].as_str() {
            let name = expression.split('(').next().unwrap().to_lowercase();
            let key = match name.as_str() {
                "checkuser" => "UserCheck",
                "checkmachine" => "MachineCheck",
                "checkfile" => "ApplicationCheck",
                "checkdate" => "DateCheck",
                "checktime" => "TimeCheck",
                "checkday" => "DayCheck",
                _ => "CertificationCheck",
            };
            if policy[key].is_array() {
                rules.push(list(key, &policy[key], request));
            }
        }
        if let Some(expressions) = rule["Expressions"].as_array() {
            let mut each = expressions.iter().map(|one| compare(one, request));
            let is_or = rule["Operator"] == "Or";
            rules.push(expressions.is_empty() || if is_or { each.any(|holds| holds) } else { each.all(|holds| holds) });
        }
    }
    let is_or = policy["Operator"].as_str().is_some_and(|operator| operator.eq_ignore_ascii_case("or"));
    let by_rules = rules.is_empty() || if is_or { rules.contains(&true) } else { !rules.contains(&false) };
    let filters = &policy["Filters"];
    let extension = &policy["Extension"];
    let nested = [("UserCheck", "Users"), ("ApplicationCheck", "Applications")];
    by_rules
        && nested.iter().all(|(key, inner)| !filters[key][inner].is_array() || list(key, &filters[key][inner], request))
        && (!extension["Folders"].is_array() || list("Folders", &extension["Folders"], request))
        && (!extension["AllowCommands"].is_array()
            || policy["PolicyType"] == "FileAccess"
            || list("AllowCommands", &extension["AllowCommands"], request))
}

fn list(key: &str, entries: &Value, request: &Request) -> bool {
    let entries = entries.as_array().unwrap();
    entries.is_empty() || entries.iter().any(|entry| entry == "*" || holds(key, entry, request))
}

fn holds(key: &str, entry: &Value, request: &Request) -> bool {
    let at = DateTime::parse_from_rfc3339(&request.at.to_string()).unwrap();
    let text = entry.as_str().unwrap_or_default();
    match key {
        "UserCheck" => user(text, request),
        "MachineCheck" => text.to_lowercase() == request.machine.to_lowercase(),
        "ApplicationCheck" => file(text, request),
        "DateCheck" => {
            let local = at.date_naive();
            let day = |value: &Value| value.as_str().map(|day| day.parse::<NaiveDate>().unwrap());
            let start = &entry["StartDate"];
            start.as_i64().is_none_or(|start| at.timestamp() >= start)
                && day(start).is_none_or(|start| local >= start)
                && day(&entry["EndDate"]).is_none_or(|end| local <= end)
        }
        "TimeCheck" => {
            let seconds = |value: &Value, open: u32| match value {
                Value::Number(hours) => u32::try_from(hours.as_u64().unwrap()).unwrap() * 3600,
                Value::String(text) => {
                    let parts: Vec<u32> = text.split(':').map(|part| part.parse().unwrap()).collect();
                    parts[0] * 3600 + parts.get(1).unwrap_or(&0) * 60 + parts.get(2).unwrap_or(&0)
                }
                Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => open,
            };
            let (start, end) = (seconds(&entry["StartTime"], 0), seconds(&entry["EndTime"], 86_400));
            let now = at.num_seconds_from_midnight();
            if start <= end { (start..end).contains(&now) } else { !(end..start).contains(&now) }
        }
        "DayCheck" => entry.as_u64() == Some(u64::from(at.weekday().num_days_from_sunday())),
        "CertificationCheck" => {
            request.signer.as_ref().is_some_and(|signer| signer.sha1 == text || signer.sha256 == text)
        }
        "Folders" => variable(text, request).is_some_and(|(value, rest)| {
            let beyond = request.file_path.strip_prefix(&value);
            beyond.is_some_and(|beyond| {
                beyond.starts_with(rest) && (value.is_empty() || beyond.is_empty() || beyond.starts_with('/'))
            })
        }),
        _ => command(text, request),
    }
}

fn user(entry: &str, request: &Request) -> bool {
    let name = &request.user.name;
    if let Some(group) = entry.strip_prefix('@') {
        return request.user.groups.contains(group);
    }
    let domain = |text: &str| text.split_once('\\').map(|(domain, name)| (domain.to_lowercase(), name.to_owned()));
    match (domain(entry), domain(name)) {
        (None, None) => entry == name,
        (Some(wanted), Some(found)) => wanted == found,
        (Some((wanted, account)), None) => {
            account == *name && (wanted == "." || wanted == request.machine.to_lowercase())
        }
        (None, Some(_)) => false,
    }
}

/// The value of the variable that a text begins with, and the rest; nothing where there is no value.
fn variable<'a>(text: &'a str, request: &Request) -> Option<(String, &'a str)> {
    match text.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
        None => Some((String::new(), text)),
        Some((name, rest)) => Some((request.variables.get(&name.to_lowercase())?.clone(), rest)),
    }
}

fn file(entry: &str, request: &Request) -> bool {
    if entry.contains('\\') {
        return false;
    }
    if !entry.contains('/') && !entry.starts_with('{') {
        return glob(entry, request.file_path.rsplit('/').next().unwrap());
    }
    let Some((value, rest)) = variable(entry, request) else { return false };
    request.file_path.strip_prefix(&value).is_some_and(|beyond| glob(rest, beyond))
}

fn command(entry: &str, request: &Request) -> bool {
    // No entry has more than one quoted word, which then is all of it.
    let words: Vec<&str> =
        if entry.starts_with('\'') { vec![entry.trim_matches('\'')] } else { entry.split(' ').collect() };
    if !file(words[0], request) {
        return false;
    }
    let (wanted, given) = (&words[1..], &request.arguments);
    match wanted.split_last() {
        None => true,
        Some((&"*", before)) => {
            given.len() >= before.len()
                && before.iter().zip(given).all(|(wanted, given)| *wanted == "*" || glob(wanted, given))
        }
        Some(_) => {
            given.len() == wanted.len()
                && wanted.iter().zip(given).all(|(wanted, given)| *wanted == "*" || glob(wanted, given))
        }
    }
}

fn compare(expression: &Value, request: &Request) -> bool {
    let value = expression["Value"].as_str().unwrap();
    [&request.command_line, &request.file_path].into_iter().any(|text| {
        match expression["Type"].as_str().unwrap().to_lowercase().as_str() {
            "contains" => text.contains(value),
            "equals" => text == value,
            "startswith" => text.starts_with(value),
            _ => text.ends_with(value),
        }
    })
}

fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((before, behind)) => text.strip_prefix(before).is_some_and(|rest| {
            let segment = rest.find('/').unwrap_or(rest.len());
            (0..=segment).any(|taken| rest.is_char_boundary(taken) && glob(behind, &rest[taken..]))
        }),
    }
}
