//! Rules of the manifests: who may depend on whom, the lints and bans that stand, the project's commands.

use super::{File, Finding, finding};

/// What the core may use: no clock, no randomness, no input or output in any of them.
const PURE: [&str; 13] = [
    "chrono",
    "cron-parser",
    "maud",
    "percent-encoding",
    "regex",
    "schemars",
    "serde",
    "serde_json",
    "shlex",
    "subtle",
    "tz-rs",
    "tzdb_data",
    "unicode-general-category",
];
const CORE: &str = "castellan-core";
const ADAPTERS: [&str; 5] =
    ["castellan-elevation", "castellan-fs", "castellan-https", "castellan-mqtt", "castellan-process"];
const COMMANDS: [&str; 5] = ["demo", "verify", "lint", "docs", "sim"];
/// `cargo` verbs that read the lock file, and what they must be told (`docs/decisions.md`, "The toolchain").
const FLAGS: [&str; 2] = ["--locked", "--ignore-rust-version"];

/// One `key = value` of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'t> {
    /// The table it stands in.
    pub table: &'t str,
    /// Its key; of `name.workspace` all of it.
    pub key: &'t str,
    /// Its value as written.
    pub value: &'t str,
    /// Its line.
    pub line: usize,
}

/// The entries of a manifest, line by line; values over several lines count by their first.
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut table = "";
    let mut entries = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            table = name.trim_matches(['[', ']', ' ']);
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            entries.push(Entry { table, key: key.trim(), value: value.trim(), line: index.saturating_add(1) });
        }
    }
    entries
}

/// The packages that a manifest depends on, in any of its tables of dependencies.
fn dependencies(text: &str) -> Vec<(Entry<'_>, &str)> {
    let mut found = Vec::new();
    for entry in entries(text) {
        if let Some((_, name)) = entry.table.split_once("dependencies.") {
            if !found.iter().any(|(_, known)| *known == name) {
                found.push((entry, name));
            }
        } else if entry.table.ends_with("dependencies") {
            let name = entry.key.split('.').next().unwrap_or(entry.key);
            found.push((entry, name.trim_matches('"')));
        }
    }
    found
}

/// The core depends on pure packages alone; an adapter on the core, never on another adapter; the adapters' only user is the app.
pub fn layering(file: &File) -> Vec<Finding> {
    let Some(folder) = file.path.strip_suffix("/Cargo.toml") else { return Vec::new() };
    let mut findings = Vec::new();
    let mut wrong = |line: usize, message: String| findings.push(finding(file, line, message));
    let dependencies = dependencies(&file.text);
    for (entry, name) in &dependencies {
        if folder == "core" && !PURE.contains(name) {
            wrong(entry.line, format!("the core uses {PURE:?} alone; '{name}' belongs into an adapter."));
        }
        if folder != "app" && ADAPTERS.contains(name) {
            wrong(
                entry.line,
                format!("only app depends on adapters; what '{name}' has for {folder} goes through the core's types."),
            );
        }
        if *name == "castellan" {
            wrong(entry.line, String::from("nothing depends on the app."));
        }
        if !entry.value.contains("workspace = true")
            && !entry.key.ends_with(".workspace")
            && !entry.table.contains("dependencies.")
        {
            wrong(entry.line, format!("take '{name}' from [workspace.dependencies], so that all use one version."));
        }
    }
    let is_adapter = folder.starts_with("adapters/");
    if is_adapter && !dependencies.iter().any(|(entry, name)| entry.table == "dependencies" && *name == CORE) {
        wrong(0, format!("an adapter serves the core: depend on {CORE}."));
    }
    findings
}

/// Every member takes the workspace's lints.
pub fn lints_inherited(file: &File) -> Vec<Finding> {
    if !file.path.ends_with("/Cargo.toml") {
        return Vec::new();
    }
    let inherited = entries(&file.text)
        .iter()
        .any(|entry| entry.table == "lints" && (entry.key, entry.value) == ("workspace", "true"));
    let message = "write [lints] workspace = true, so that the bans hold here too.";
    if inherited { Vec::new() } else { vec![finding(file, 0, message)] }
}

/// Every folder with a manifest is a member, so that no package escapes the lints and tests.
pub fn members(root: &File, manifests: &[&File]) -> Vec<Finding> {
    let listed = entries(&root.text).into_iter().find(|entry| (entry.table, entry.key) == ("workspace", "members"));
    let listed = listed.map_or("", |entry| entry.value);
    let folders = manifests.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml"));
    let missing = folders.filter(|folder| !listed.contains(&format!("\"{folder}\"")));
    missing
        .map(|folder| finding(root, 0, format!("'{folder}' has a manifest but is no member of the workspace.")))
        .collect()
}

/// `core/src/lib.rs` says what the core can never do.
pub fn core_is_pure(file: &File) -> Vec<Finding> {
    let missing = ["#![no_std]", "#![forbid(unsafe_code)]"]
        .into_iter()
        .filter(|wanted| !file.text.lines().any(|line| line == *wanted));
    missing.map(|wanted| finding(file, 0, format!("the core is pure: write {wanted}."))).collect()
}

/// The commands of the README exist, and every alias that builds keeps to the lock file with the compiler at hand.
pub fn aliases(file: &File) -> Vec<Finding> {
    let aliases: Vec<Entry<'_>> = entries(&file.text).into_iter().filter(|entry| entry.table == "alias").collect();
    let mut findings = Vec::new();
    for name in COMMANDS.into_iter().filter(|name| !aliases.iter().any(|alias| alias.key == *name)) {
        findings.push(finding(file, 0, format!("the alias '{name}' is missing from [alias].")));
    }
    for alias in aliases {
        for flag in FLAGS.into_iter().filter(|flag| !alias.value.split([' ', '"', ',']).any(|word| word == *flag)) {
            findings.push(finding(
                file,
                alias.line,
                format!("give the alias '{}' {flag}; docs/decisions.md says why.", alias.key),
            ));
        }
    }
    findings
}

/// Functions stay short because clippy counts them.
pub fn function_sizes(clippy: &File, workspace: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    let threshold = entries(&clippy.text).into_iter().find(|entry| entry.key == "too-many-lines-threshold");
    if threshold.is_none_or(|entry| entry.value != "70") {
        findings.push(finding(clippy, 0, "write too-many-lines-threshold = 70; functions have at most that."));
    }
    let lint = entries(&workspace.text)
        .into_iter()
        .find(|entry| (entry.table, entry.key) == ("workspace.lints.clippy", "too_many_lines"));
    if lint.is_none_or(|entry| entry.value == "\"allow\"") {
        findings.push(finding(
            workspace,
            0,
            "write too_many_lines = \"warn\" under [workspace.lints.clippy], so that clippy counts.",
        ));
    }
    findings
}

/// Nobody switches the counting off.
pub fn function_sizes_hold(file: &File) -> Vec<Finding> {
    let code = super::source::code_of(&file.text);
    let wrong = |line: &str| super::source::has_word(line, "too_many_lines");
    let lines = code.lines().enumerate().filter(|(_, line)| wrong(line));
    lines
        .map(|(index, _)| finding(file, index.saturating_add(1), "cut the function instead of allowing its length."))
        .collect()
}
