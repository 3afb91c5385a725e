//! Rules, and the lists that they make count.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::OPERATORS;
use super::lists::{Check, Lists, place};
use crate::job::finding::{Report, quote};
use crate::json::read::{Field, ObjectReader};
use crate::policy::filter::{COMPARISONS, Condition, Expression, Test};
use crate::schema::policy::{APPLICATIONS, EXPRESSION, FILTERS, MACHINES, RULE, USERS};

/// The built-in checks, and the lists that they are about.
const CHECKS: [(&str, &str, Check); 7] = [
    ("CheckUser", "UserCheck", Check::User),
    ("CheckMachine", "MachineCheck", Check::Machine),
    ("CheckFile", "ApplicationCheck", Check::File),
    ("CheckDate", "DateCheck", Check::Date),
    ("CheckTime", "TimeCheck", Check::Time),
    ("CheckDay", "DayCheck", Check::Day),
    ("CheckCertificate", "CertificationCheck", Check::Certificate),
];

/// What counts by rules.
pub(super) fn rules(reader: &ObjectReader<'_>, lists: &Lists<'_>, report: &mut Report) -> Vec<Condition> {
    let mut given: BTreeMap<Check, Condition> = BTreeMap::new();
    for (_, key, check) in CHECKS {
        given.extend(reader.take(key).and_then(|field| lists.read(check, &field, report)).map(|found| (check, found)));
    }
    let mut counting = Vec::new();
    let mut named = Vec::new();
    for field in reader.array("Rules", report) {
        let Some(rule) = field.object(&RULE, report) else { continue };
        let message = rule.text("ErrorMessage", report).unwrap_or_default().to_string();
        rule.text("RuleName", report);
        rule.text("RuleExpressionType", report);
        let check = check(&rule, report);
        let expressions = expressions(&rule, &message, report);
        if let Some((name, key, check)) = check {
            named.push(check);
            match given.get(&check) {
                Some(condition) => counting.push(Condition { message, ..condition.clone() }),
                None => {
                    let told = format!("{name}() does not count, as '{key}' is not given.");
                    report.note(rule.at("Expression"), "rule-without-filter", told);
                }
            }
        }
        counting.extend(expressions);
        rule.finish(report);
    }
    for (name, key, check) in CHECKS {
        let narrows = given.get(&check).is_some_and(|condition| condition.test != Test::Everything);
        if narrows && !named.contains(&check) {
            let told = format!("'{key}' does not count without a rule whose Expression is {name}().");
            report.warning(reader.at(key), "filter-without-rule", told);
        }
    }
    counting
}

/// The check that a rule names, which no rule without expressions can do without.
fn check(rule: &ObjectReader<'_>, report: &mut Report) -> Option<(&'static str, &'static str, Check)> {
    let Some(field) = rule.take("Expression") else {
        if rule.take("Expressions").is_none() {
            let message = "the rule has neither 'Expression' nor 'Expressions'; remove it, or say what it checks.";
            report.error(rule.pointer.clone(), "rule-empty", message);
        }
        return None;
    };
    let text = field.text(report)?.trim();
    let name = text.split_once('(').filter(|(_, rest)| rest.ends_with(')')).map(|(name, _)| name.trim());
    let known = name.and_then(|name| CHECKS.into_iter().find(|(known, ..)| known.eq_ignore_ascii_case(name)));
    if known.is_none() {
        let names: Vec<String> = CHECKS.iter().map(|(name, ..)| format!("{name}()")).collect();
        let message = format!("{} is no check; there are {}.", quote(text), names.join(", "));
        report.error(field.pointer, "rule-unknown", message);
    }
    known
}

/// The comparisons of a rule.
fn expressions(rule: &ObjectReader<'_>, message: &str, report: &mut Report) -> Option<Condition> {
    let joined = rule.choice("Operator", &OPERATORS, report);
    let field = rule.take("Expressions")?;
    let mut expressions = Vec::new();
    let mut entries = Vec::new();
    for item in field.array(report)? {
        let Some(reader) = item.object(&EXPRESSION, report) else { continue };
        let compare = reader.required("Type", report).and_then(|field| field.choice(&COMPARISONS, report));
        let value = reader.required("Value", report).and_then(|field| field.text(report));
        if let Some((compare, value)) = compare.zip(value) {
            entries.push(format!("{compare:?} {}", quote(value)));
            expressions.push(Expression { compare, value: value.to_string() });
        }
        reader.finish(report);
    }
    let test = if expressions.is_empty() { Test::Everything } else { Test::Expressions(joined, expressions) };
    Some(Condition { filter: place(&field.pointer), message: message.to_string(), test, entries })
}

/// What counts by standing in `Filters`.
pub(super) fn nested(reader: &ObjectReader<'_>, lists: &Lists<'_>, report: &mut Report) -> Vec<Condition> {
    let places = [
        ("UserCheck", &USERS, "Users", Check::User),
        ("MachineCheck", &MACHINES, "Machines", Check::Machine),
        ("ApplicationCheck", &APPLICATIONS, "Applications", Check::File),
    ];
    let Some(filters) = reader.take("Filters").and_then(|field| field.object(&FILTERS, report)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, table, list, check) in places {
        let inner = |field: Field<'_>, report: &mut Report| {
            let object = field.object(table, report)?;
            let condition = object.take(list).and_then(|field| lists.read(check, &field, report));
            object.finish(report);
            condition
        };
        found.extend(filters.take(key).and_then(|field| inner(field, report)));
    }
    filters.finish(report);
    found
}
