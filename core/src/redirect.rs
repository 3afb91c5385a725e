//! Redirection: what is run elevated instead of what was asked for (privilege-flow.md section 2, RedirectEvaluator). The rules are settings
//! of the plugin `RedirectEvaluator`; the first one that matches counts. What cannot be read while it is on matches nothing and everything:
//! nothing is launched then.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::job::finding::{Findings, Report, has_errors};
use crate::job::parse::arguments::split;
use crate::json::Json;
use crate::json::read::{Field, ObjectReader};
use crate::limits::REDIRECT_RULES;
use crate::plugin::storage::PluginSettings;
use crate::regular::Regular;
use crate::shape::{Key, Object, Others, Shape};

/// The plugin whose settings the rules are.
pub(crate) const REDIRECT_PLUGIN: &str = "RedirectEvaluator";
/// Whether there is any redirection.
const ENABLED: &str = "metadata.redirect.enabled";
/// The rules, in their order.
const RULES: &str = "metadata.redirect.rules";
/// Patterns of one rule.
const PATTERNS: usize = 2;
/// Findings that a denial tells; the log would be no better with more.
const TOLD: usize = 3;

/// One rule as it is written. Any other key is an error: one misspelled pattern would make a rule match everything.
static RULE: Object = Object {
    name: "redirect",
    doc: "What is run instead of what.",
    keys: &[
        Key::new(
            "sourceExePattern",
            Shape::TEXT,
            "What the path of the program has in it; any path where it is not given.",
        ),
        Key::new("commandLinePattern", Shape::TEXT, "What the command has in it; any command where it is not given."),
        Key::flag("elevationOnly", false, "Whether it is for requests for more privileges alone; all are, here."),
        Key::flag("nonAdminOnly", false, "Whether administrators are left alone."),
        Key::required("targetExe", Shape::TEXT, "The path of what is run instead."),
        Key::new(
            "targetArguments",
            Shape::Any,
            "Its arguments: a text, quoted as for a shell, or a list of texts; else those of the request.",
        ),
    ],
    rules: &[],
    others: Others::Refused,
};

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request<'r> {
    /// The path of the program, without links.
    pub(crate) file: &'r str,
    /// The command as its user wrote it.
    pub(crate) command_line: &'r str,
    /// Whether its user is an administrator of this machine.
    pub(crate) by_administrator: bool,
}

/// What is run instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Substitution {
    /// The place of its rule, from 0.
    pub(crate) rule: usize,
    /// The path of its program.
    pub(crate) program: String,
    /// `None`: those of the request.
    pub(crate) arguments: Option<Vec<String>>,
}

/// One rule.
#[derive(Debug)]
struct Rule {
    file: Option<Regular>,
    command_line: Option<Regular>,
    non_admin_only: bool,
    target: String,
    arguments: Option<Vec<String>>,
}

/// What is run instead of this, if anything is.
///
/// # Errors
/// A sentence, where that cannot be told.
pub(crate) fn decide(settings: &PluginSettings, request: Request<'_>) -> Result<Option<Substitution>, String> {
    let Some(known) = settings.of(REDIRECT_PLUGIN) else {
        let is_on = settings.set_over_file(REDIRECT_PLUGIN, ENABLED).is_some_and(|value| is_true(&value));
        let why = format!("{ENABLED} of the plugin {REDIRECT_PLUGIN} is set, and the plugin is not in service.");
        return if is_on { Err(why) } else { Ok(None) };
    };
    let value = |key: &str| known.get(&key.to_ascii_lowercase()).map(|setting| setting.value.as_str());
    match value(ENABLED).unwrap_or_default() {
        on if is_true(on) => {}
        off if off.is_empty() || off.eq_ignore_ascii_case("false") => return Ok(None),
        _ => return Err(format!("{ENABLED} of the plugin {REDIRECT_PLUGIN} is neither true nor false.")),
    }
    let rules = read(value(RULES).unwrap_or_default()).map_err(|findings| unread(&findings))?;
    for (place, rule) in rules.into_iter().enumerate() {
        let matches = rule.matches(request).map_err(|longest| {
            format!(
                "Rule {place} of {REDIRECT_PLUGIN} is held against at most {longest} bytes, and the command is longer."
            )
        })?;
        if matches {
            return Ok(Some(Substitution { rule: place, program: rule.target, arguments: rule.arguments }));
        }
    }
    Ok(None)
}

fn is_true(value: &str) -> bool {
    value.eq_ignore_ascii_case("true")
}

impl Rule {
    /// Whether it is about this; the bytes that a text may have, where one has more.
    fn matches(&self, request: Request<'_>) -> Result<bool, usize> {
        if self.non_admin_only && request.by_administrator {
            return Ok(false);
        }
        let is_in = |pattern: &Option<Regular>, text: &str| pattern.as_ref().map_or(Ok(true), |one| one.is_in(text));
        Ok(is_in(&self.file, request.file)? && is_in(&self.command_line, request.command_line)?)
    }
}

/// Reads the list of rules: all, or what is wrong with them.
fn read(text: &str) -> Result<Vec<Rule>, Findings> {
    let mut report = Report::default();
    let document = match Json::parse(if text.is_empty() { b"[]" } else { text.as_bytes() }) {
        Ok(document) => document,
        Err(error) => {
            report.error("", "syntax", format!("this is no JSON: {error}"));
            return Err(report.into_findings());
        }
    };
    let items = Field { pointer: String::new(), value: &document }.array(&mut report).unwrap_or_default();
    if items.len() > REDIRECT_RULES {
        let message = format!("there are {} rules; at most {REDIRECT_RULES} are allowed.", items.len());
        report.error("", "too-many-entries", message);
        return Err(report.into_findings());
    }
    let patterns = items.len().saturating_mul(PATTERNS);
    let rules = items.iter().filter_map(|item| rule(item, patterns, &mut report)).collect();
    let findings = report.into_findings();
    if has_errors(&findings) { Err(findings) } else { Ok(rules) }
}

fn rule(item: &Field<'_>, patterns: usize, report: &mut Report) -> Option<Rule> {
    let reader = item.object(&RULE, report)?;
    let file = pattern(&reader, "sourceExePattern", patterns, report);
    let command_line = pattern(&reader, "commandLinePattern", patterns, report);
    // All that is asked here is asked for elevation.
    reader.boolean("elevationOnly", report);
    let non_admin_only = reader.boolean("nonAdminOnly", report);
    let arguments = reader.take("targetArguments").and_then(|field| arguments(&field, report));
    let target = reader.required("targetExe", report).and_then(|field| target(&field, report));
    for (key, _) in reader.unknown() {
        report.error(reader.at(key), "unknown-key", "this is no key of a rule; take it out or mend it.");
    }
    Some(Rule { file, command_line, non_admin_only, target: target?, arguments })
}

fn pattern(reader: &ObjectReader<'_>, name: &'static str, count: usize, report: &mut Report) -> Option<Regular> {
    let source = reader.text(name, report)?;
    Regular::compile(source)
        .map(|compiled| compiled.of_many(count))
        .map_err(|why| report.error(reader.at(name), "invalid-pattern", why))
        .ok()
}

fn target(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let path = field.text(report)?;
    let is_whole =
        path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")));
    if !is_whole {
        let message = "it must be a whole path without empty segments, . and .., such as /usr/bin/less.";
        report.error(field.pointer.clone(), "not-a-path", message);
    }
    is_whole.then(|| path.to_string())
}

/// A text, quoted as for a shell, or one argument after the other.
fn arguments(field: &Field<'_>, report: &mut Report) -> Option<Vec<String>> {
    if let Json::Array(_) = field.value {
        let items = field.array(report)?;
        return items.iter().map(|item| item.text(report).map(ToString::to_string)).collect();
    }
    let text = field.text(report)?;
    split(text)
        .map_err(|mark| report.error(field.pointer.clone(), "unclosed-quote", format!("a {mark} is not closed.")))
        .ok()
}

/// What is wrong, where, and how to mend it; the first findings.
fn unread(findings: &Findings) -> String {
    let told = findings.iter().take(TOLD).map(|finding| format!("{}: {}", finding.path, finding.message));
    let told: Vec<String> = told.collect();
    let rest = match findings.len().saturating_sub(TOLD) {
        0 => String::new(),
        rest => format!(" ({rest} more)"),
    };
    format!("{RULES} of the plugin {REDIRECT_PLUGIN} cannot be read: {}{rest}", told.join(" "))
}
