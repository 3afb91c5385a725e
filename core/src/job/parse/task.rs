//! `tasks` of a job.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Map;

use super::keys::{JOB, RETRY, SETTING, TASK};
use super::{arguments, condition, environment, http, limits, os_filter, routes};
use crate::id::PluginId;
use crate::job::OsFilter;
use crate::job::finding::{Report, quote};
use crate::job::task::{ExecutionType, Retry, Route, ScriptType, SettingReference, Task};
use crate::json::read::{Field, ObjectReader};
use crate::json::{Json, pointer_to, to_map};

pub(super) const EXECUTION_TYPES: [(&str, ExecutionType); 5] = [
    ("Service", ExecutionType::Service),
    ("Http", ExecutionType::Http),
    ("User", ExecutionType::User),
    ("UserDesktop", ExecutionType::UserDesktop),
    ("UserElevated", ExecutionType::UserElevated),
];

pub(super) const SCRIPT_TYPES: [(&str, ScriptType); 6] = [
    ("Auto", ScriptType::Auto),
    ("Shell", ScriptType::Shell),
    ("Bash", ScriptType::Bash),
    ("Python", ScriptType::Python),
    ("PowerShell", ScriptType::PowerShell),
    ("None", ScriptType::None),
];

/// Longest time limit of a task, in seconds: a leap year.
pub(super) const LONGEST_TIMEOUT: i64 = 366 * 24 * 3600;
/// Where none is given (contract section 3).
pub(super) const DEFAULT_TIMEOUT: i64 = 3600;
/// Most retries of a task, so that a broken one does not go on for ever.
pub(super) const MOST_ATTEMPTS: i64 = 100;
/// Longest pause between tries, in seconds: a day.
pub(super) const LONGEST_DELAY: i64 = 24 * 3600;
/// Characters of a task id; as for job ids.
pub(super) const TASK_ID_CHARS: usize = 64;
/// Bytes of a command: no file name is longer.
pub(super) const COMMAND_BYTES: usize = 255;

/// All tasks; at least one, ids unique, routes to tasks that exist.
pub(super) fn parse_all(reader: &ObjectReader<'_>, job_filter: Option<OsFilter>, report: &mut Report) -> Vec<Task> {
    let Some(items) = reader.required("tasks", report).and_then(|field| field.array(report)) else { return Vec::new() };
    if items.is_empty() {
        report.error(reader.at("tasks"), "tasks-empty", "a job has at least one task.");
    }
    let mut tasks: Vec<(String, Task)> = Vec::new();
    for item in items {
        let Some(task) = task(&item, job_filter, report) else { continue };
        if tasks.iter().any(|(_, known)| known.id.eq_ignore_ascii_case(&task.id)) {
            let message = format!("there are two tasks {}; ids are read without regard to case.", quote(&task.id));
            report.error(pointer_to(&item.pointer, "id"), "duplicate-task-id", message);
        }
        tasks.push((item.pointer, task));
    }
    routes::resolve(&mut tasks, report);
    tasks.into_iter().map(|(_, task)| task).collect()
}

fn task(field: &Field<'_>, job_filter: Option<OsFilter>, report: &mut Report) -> Option<Task> {
    let reader = field.object(&TASK, report)?;
    let id = reader.required("id", report).and_then(|field| task_id(&field, report));
    let name = reader.text("name", report).map(ToString::to_string);
    reader.text("description", report);
    let execution_type = reader.choice("executionType", &EXECUTION_TYPES, report);
    let is_http = execution_type == ExecutionType::Http;
    let command = command(&reader, is_http, report);
    let own_filter = os_filter(&reader, report);
    let executable_path = absolute_path(&reader, "executablePath", report);
    if let Some(path) = &executable_path {
        warn_foreign_path(&reader.at("executablePath"), path, own_filter.or(job_filter), report);
    }
    let timeout = reader.integer("timeoutSeconds", report);
    let task = Task {
        name: name.or_else(|| id.clone()).unwrap_or_default(),
        execution_type,
        command: command.unwrap_or_default(),
        executable_path,
        arguments: arguments::parse(&reader, report),
        timeout_seconds: u64::try_from(timeout).unwrap_or_default(),
        continue_on_failure: reader.boolean("continueOnFailure", report),
        script_type: reader.choice("scriptType", &SCRIPT_TYPES, report),
        on_success: route(&reader, "onSuccess", report),
        on_failure: route(&reader, "onFailure", report),
        condition: condition(&reader, report),
        os_filter: own_filter,
        merge_stdout: reader.boolean("mergeStdoutJsonIntoContext", report),
        skip_when_false: reader.take("skipWhenPluginSettingFalse").and_then(|field| setting(&field, report)),
        context_when_skipped: context_when_skipped(&reader, report),
        working_directory: absolute_path(&reader, "workingDirectory", report),
        environment: environment::parse(&reader, report),
        limits: limits::parse(&reader, report),
        retry: reader.take("retry").and_then(|field| retry(&field, report)),
        http: http::parse(&reader, is_http, report).map(Box::new),
        id: id.unwrap_or_default(),
    };
    report_unknown(reader, report);
    Some(task)
}

/// Notes unknown keys; a key of the job's root inside a task has no effect, which is worth a warning.
fn report_unknown(reader: ObjectReader<'_>, report: &mut Report) {
    for (key, _) in reader.unknown().filter(|(key, _)| JOB.key(key).is_some()) {
        let message = format!("{} belongs at the root of the job; inside a task it has no effect.", quote(key));
        report.warning(pointer_to(&reader.pointer, key), "misplaced-key", message);
    }
    reader.finish(report);
}

fn task_id(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report)?;
    let problem = if text.is_empty() || text.chars().count() > TASK_ID_CHARS {
        format!("a task id has 1 to {TASK_ID_CHARS} characters.")
    } else if text.contains(|letter: char| letter.is_control() || letter == '{' || letter == '}') {
        String::from("a task id has no control characters and no braces.")
    } else if is_stop(text) {
        format!("{} as a route ends the run; choose another id.", quote(text))
    } else {
        return Some(text.to_string());
    };
    report.error(field.pointer.clone(), "task-id-invalid", problem);
    None
}

fn is_stop(text: &str) -> bool {
    text.eq_ignore_ascii_case("stop") || text.eq_ignore_ascii_case("end")
}

/// `command`: required, also where `executablePath` decides (seed 001, step 1); not for Http tasks, which run nothing.
fn command(reader: &ObjectReader<'_>, is_http: bool, report: &mut Report) -> Option<String> {
    let field = if is_http { reader.take("command") } else { reader.required("command", report) }?;
    let text = field.text(report)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+');
    let bare = text.bytes().all(plain) && !text.starts_with(['-', '.']) && text.len() <= COMMAND_BYTES;
    if bare && (is_http || !text.is_empty()) {
        return Some(text.to_string());
    }
    let message = format!(
        "{} is not a bare name of letters, digits and . _ - +; put a path into 'executablePath' and arguments into 'arguments'.",
        quote(text)
    );
    report.error(field.pointer, "command-not-bare", message);
    None
}

/// Whether a path is absolute the way Windows writes it.
fn is_windows_path(path: &str) -> bool {
    let drive = path.split_once(':').is_some_and(|(drive, rest)| {
        drive.len() == 1 && drive.bytes().all(|letter| letter.is_ascii_alphabetic()) && rest.starts_with(['\\', '/'])
    });
    drive || path.starts_with("\\\\")
}

/// An absolute path of any system: a job for Windows may be registered on Linux.
fn absolute_path(reader: &ObjectReader<'_>, name: &'static str, report: &mut Report) -> Option<String> {
    let text = reader.text(name, report)?;
    if text.starts_with('/') || is_windows_path(text) {
        return Some(text.to_string());
    }
    let message = format!("{} is not an absolute path.", quote(text));
    report.error(reader.at(name), "path-not-absolute", message);
    None
}

fn warn_foreign_path(pointer: &str, path: &str, filter: Option<OsFilter>, report: &mut Report) {
    let filter = filter.unwrap_or(OsFilter { linux: true, windows: false, mac_os: true });
    let windows = is_windows_path(path);
    if (windows && (filter.linux || filter.mac_os)) || (!windows && filter.windows) {
        let message = format!(
            "{} exists only on {}, but 'osFilter' lets the task run elsewhere too.",
            quote(path),
            if windows { "Windows" } else { "Linux or macOS" }
        );
        report.note(pointer, "path-of-one-system", message);
    }
}

fn route(reader: &ObjectReader<'_>, name: &'static str, report: &mut Report) -> Option<Route> {
    let text = reader.text(name, report)?;
    Some(if is_stop(text) { Route::Stop } else { Route::Task(text.to_string()) })
}

/// `"Plugin:key"` or `{"plugin":…,"setting":…}`.
fn setting(field: &Field<'_>, report: &mut Report) -> Option<SettingReference> {
    let (plugin, setting) = match field.value {
        Json::Object(_) => {
            let members = field.object(&SETTING, report)?;
            let plugin = members.required("plugin", report).and_then(|field| field.text(report));
            let setting = members.required("setting", report).and_then(|field| field.text(report));
            members.finish(report);
            (plugin?, setting?)
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            field.text(report)?.split_once(':').unwrap_or_default()
        }
    };
    if setting.is_empty() || PluginId::parse(plugin).is_err() {
        let message =
            "this names no setting of a plugin; write \"Plugin:key\" or {\"plugin\":\"Plugin\",\"setting\":\"key\"}.";
        report.error(field.pointer.clone(), "setting-reference-invalid", message);
        return None;
    }
    Some(SettingReference { plugin: plugin.to_string(), setting: setting.to_string() })
}

fn context_when_skipped(reader: &ObjectReader<'_>, report: &mut Report) -> Map<String, serde_json::Value> {
    let Some(field) = reader.take("contextWhenSkipped") else { return Map::new() };
    match field.value {
        Json::Object(members) => to_map(members),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            field.wrong_type("an object", report);
            Map::new()
        }
    }
}

fn retry(field: &Field<'_>, report: &mut Report) -> Option<Retry> {
    let members = field.object(&RETRY, report)?;
    let attempts =
        members.required("attempts", report).and_then(|field| field.integer(RETRY.range("attempts"), report));
    let delay = members.integer("delaySeconds", report);
    members.finish(report);
    Some(Retry { attempts: u32::try_from(attempts?).ok()?, delay_seconds: u64::try_from(delay).ok()? })
}
