//! The lists of filters, each to what it compares.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::parse::thumbprint;
use crate::job::finding::{Report, brief, quote};
use crate::json::Json;
use crate::json::read::{Field, ObjectReader};
use crate::limits::COLLECTION_MEMBERS;
use crate::policy::collection::Collections;
use crate::policy::filter::{Condition, Files, Test, Users};
use crate::policy::moment::{Bound, Dates, Times, shown, time_of_day};
use crate::policy::pattern::{Command, Pattern, is_of_windows};
use crate::schema::policy::{DATES, TIMES};

/// Entries of a filter that decisions and findings show.
const SHOWN: usize = 8;

/// What a list is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Check {
    User,
    Machine,
    File,
    Date,
    Time,
    Day,
    Certificate,
}

/// Reads lists, with collections at hand.
#[derive(Debug)]
pub(super) struct Lists<'a> {
    pub(super) collections: &'a Collections,
}

impl Lists<'_> {
    /// The list of a check.
    pub(super) fn read(&self, check: Check, field: &Field<'_>, report: &mut Report) -> Option<Condition> {
        match check {
            Check::User => self.texts(field, report, &users),
            Check::Machine => self.texts(field, report, &machines),
            Check::File => self.texts(field, report, &files),
            Check::Certificate => self.texts(field, report, &signers),
            Check::Date => listed(field, report, dates, |dates, _| Test::Dates(dates)),
            Check::Time => listed(field, report, times, |times, _| Test::Times(times)),
            Check::Day => listed(field, report, day, |days, _| Test::Days(days.into_iter().collect())),
        }
    }

    /// `Extension.Folders`.
    pub(super) fn folders(&self, extension: &ObjectReader<'_>, report: &mut Report) -> Option<Condition> {
        let each = |entries: BTreeSet<String>, at: &str, report: &mut Report| {
            Test::Folders(understood(entries, at, report, Pattern::folder))
        };
        self.texts(&extension.take("Folders")?, report, &each)
    }

    /// `Extension.AllowCommands`.
    pub(super) fn commands(&self, extension: &ObjectReader<'_>, report: &mut Report) -> Option<Condition> {
        let each = |entries: BTreeSet<String>, at: &str, report: &mut Report| {
            Test::Commands(understood(entries, at, report, Command::parse))
        };
        self.texts(&extension.take("AllowCommands")?, report, &each)
    }

    fn texts(
        &self,
        field: &Field<'_>,
        report: &mut Report,
        test: &dyn Fn(BTreeSet<String>, &str, &mut Report) -> Test,
    ) -> Option<Condition> {
        let written: Vec<String> =
            field.array(report)?.iter().filter_map(|item| item.text(report)).map(String::from).collect();
        let Some(entries) = self.collections.expand(written.iter().cloned()) else {
            let message = format!("with its collections it has more than {COLLECTION_MEMBERS} entries.");
            report.error(field.pointer.clone(), "too-many-entries", message);
            return None;
        };
        let everything = written.is_empty() || entries.contains("*");
        let test = if everything { Test::Everything } else { test(entries, &field.pointer, report) };
        Some(condition(field, test, written))
    }
}

/// A filter with the name of its place; its rule adds what it says where it does not hold.
fn condition(field: &Field<'_>, test: Test, mut entries: Vec<String>) -> Condition {
    if entries.len() > SHOWN {
        let more = entries.len().saturating_sub(SHOWN);
        entries.truncate(SHOWN);
        entries.push(format!("and {more} more"));
    }
    let entries = entries.iter().map(|entry| brief(entry)).collect();
    Condition { filter: place(&field.pointer), message: String::new(), test, entries }
}

/// A pointer with dots, as people read it.
pub(super) fn place(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".")
}

/// A list of values that are no texts.
fn listed<T>(
    field: &Field<'_>,
    report: &mut Report,
    read: fn(&Field<'_>, &mut Report) -> Option<(T, String)>,
    test: fn(Vec<T>, &mut Report) -> Test,
) -> Option<Condition> {
    let items = field.array(report)?;
    let (values, entries): (Vec<T>, Vec<String>) = items.iter().filter_map(|item| read(item, report)).unzip();
    let test = if items.is_empty() { Test::Everything } else { test(values, report) };
    Some(condition(field, test, entries))
}

/// The entries that can be understood; the others are findings, but for paths of Windows, which name nothing here.
fn understood<T>(
    entries: BTreeSet<String>,
    at: &str,
    report: &mut Report,
    read: fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut understood = Vec::new();
    for entry in entries {
        if is_of_windows(&entry) {
            let message = format!("{} is a path of Windows and names nothing here.", quote(&entry));
            report.warning(at, "windows-path", message);
            continue;
        }
        match read(&entry) {
            Ok(value) => understood.push(value),
            Err(why) => report.error(at, "entry-invalid", format!("{why}.")),
        }
    }
    understood
}

fn users(entries: BTreeSet<String>, at: &str, report: &mut Report) -> Test {
    let mut users = Users::default();
    for entry in entries {
        match (entry.strip_prefix('@'), entry.split_once('\\')) {
            (Some(group), _) if !group.is_empty() => _ = users.groups.insert(group.to_string()),
            (None, Some((domain, account))) if !domain.is_empty() && !account.is_empty() => {
                users.of_domains.insert((domain.to_ascii_lowercase(), account.to_string()));
            }
            (None, None) if !entry.is_empty() => _ = users.names.insert(entry),
            _ => {
                let message = format!("{} is none of name, DOMAIN\\name, @group and *.", quote(&entry));
                report.error(at, "entry-invalid", message);
            }
        }
    }
    Test::Users(users)
}

fn machines(entries: BTreeSet<String>, at: &str, report: &mut Report) -> Test {
    if entries.contains("") {
        report.error(at, "entry-invalid", "a host name is empty; write a name or *.");
    }
    Test::Machines(entries.iter().map(|name| name.to_ascii_lowercase()).collect())
}

fn files(entries: BTreeSet<String>, at: &str, report: &mut Report) -> Test {
    let pattern = |entry: &str| {
        if entry.ends_with('/') {
            return Err(format!(
                "{} is a folder; write {} for the files in it",
                quote(entry),
                quote(&format!("{entry}*"))
            ));
        }
        Pattern::parse(entry)
    };
    let mut files = Files::default();
    for pattern in understood(entries, at, report, pattern) {
        match pattern.literal() {
            Some(literal) => _ = files.literal.insert(literal.to_string()),
            None => files.patterns.push(pattern),
        }
    }
    Test::Files(files)
}

fn signers(entries: BTreeSet<String>, at: &str, report: &mut Report) -> Test {
    let mut pins = BTreeSet::new();
    for entry in entries {
        match thumbprint(&entry) {
            Some(thumbprint) => _ = pins.insert(thumbprint),
            None => {
                let message =
                    format!("{} is no thumbprint; write 40 (SHA-1) or 64 (SHA-256) hexadecimal digits.", quote(&entry));
                report.error(at, "entry-invalid", message);
            }
        }
    }
    Test::Signers(pins)
}

fn day(field: &Field<'_>, report: &mut Report) -> Option<(u32, String)> {
    let day = u32::try_from(field.integer(0..=6, report)?).ok()?;
    Some((day, day.to_string()))
}

fn dates(field: &Field<'_>, report: &mut Report) -> Option<(Dates, String)> {
    let reader = field.object(&DATES, report)?;
    let mut bound = |name| {
        let field = reader.take(name);
        let bound = field.as_ref().and_then(|field| Bound::parse(field.value));
        if let Some(field) = field.filter(|_| bound.is_none()) {
            match field.value {
                Json::String(text) => {
                    let message = format!("{} is no date; write it as in 2026-12-24.", quote(text));
                    report.error(field.pointer, "date-invalid", message);
                }
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
                    field.wrong_type("an ISO date, or a whole number of seconds since 1970", report)
                }
            }
        }
        bound
    };
    let dates = Dates { start: bound("StartDate"), end: bound("EndDate") };
    let shown =
        |name| reader.take(name).map_or(String::from("open"), |field| crate::plugin::settings::text(field.value));
    let shown = format!("{} to {}", shown("StartDate"), shown("EndDate"));
    reader.finish(report);
    if dates.is_empty() {
        report.warning(
            field.pointer.clone(),
            "never-matches",
            "the span ends before it starts, so no moment is in it.",
        );
    }
    Some((dates, shown))
}

fn times(field: &Field<'_>, report: &mut Report) -> Option<(Times, String)> {
    let reader = field.object(&TIMES, report)?;
    let mut time = |name, open| {
        let Some(field) = reader.take(name) else { return open };
        time_of_day(field.value).unwrap_or_else(|| {
            match field.value {
                Json::String(text) => {
                    let message = format!("{} is no time of day; write 9, 09:30 or 09:30:00, at most 24.", quote(text));
                    report.error(field.pointer, "time-invalid", message);
                }
                Json::Number(_) => _ = field.integer(0..=24, report),
                Json::Null | Json::Bool(_) | Json::Array(_) | Json::Object(_) => {
                    field.wrong_type("a time of day, such as 9 or 09:30:00", report)
                }
            }
            open
        })
    };
    let times = Times { start: time("StartTime", Times::WHOLE.start), end: time("EndTime", Times::WHOLE.end) };
    reader.finish(report);
    if times.is_empty() {
        let message = "it ends when it starts, so no time is in it; for a whole day write 0 and 24.";
        report.warning(field.pointer.clone(), "never-matches", message);
    }
    Some((times, shown(times)))
}
