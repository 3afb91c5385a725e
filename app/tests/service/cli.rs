//! The operator at the command line: one story file for each noun, and what all commands have in common.

mod frame;
mod hostile;
mod jobs;
mod lkg;
mod logs;
mod plugins;
mod policy;
mod reference;
mod requests;
mod runs;
mod writes;

use std::process::Command;

use serde_json::Value;

use crate::support::{Stage, command, say};

/// A command that must end well; what it printed.
#[track_caller]
fn ok(stage: &Stage, arguments: &[&str]) -> String {
    let (code, out, error) = say(command(stage, arguments));
    assert_eq!(code, 0, "{arguments:?}: {error}");
    out
}

/// The document of a command that must end well.
#[track_caller]
fn document(stage: &Stage, arguments: &[&str]) -> Value {
    let text = ok(stage, &[arguments, &["-o", "json"]].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A command that must fail; its standard error.
#[track_caller]
fn fails(command: Command, expect: i32) -> String {
    let told = format!("{command:?}");
    let (code, out, error) = say(command);
    assert_eq!(code, expect, "{told}: {out}{error}");
    assert!(error.starts_with("castellan: "), "{error}");
    error
}
