//! What others wrote reaches nobody's terminal as it came, in whatever form it is asked for.

use serde_json::json;

use super::document;
use crate::support::{Stage, command, say};

/// A sequence of ECMA-48 in seven and in eight bits, a line end of its own, an override of direction.
const HOSTILE: &str = "a\u{1b}[2Jb\u{9b}31m\u{85}c\u{202e}d\u{7f}";

const FORMS: [&str; 5] = ["text", "wide", "name", "json", "yaml"];

fn is_raw(letter: char) -> bool {
    (letter.is_control() && letter != '\n') || letter == '\u{202e}'
}

#[test]
fn hostile_texts_are_escaped_in_every_form() {
    let stage = Stage::new();
    stage.script("Shout", "printf '%s\\n' \"$1\"; printf '%s\\n' \"$1\" >&2; exit 3");
    stage.job(&json!({ "id": "shout", "name": HOSTILE, "description": HOSTILE,
        "tasks": [{ "id": "t", "name": HOSTILE, "command": "Shout", "arguments": format!("'{HOSTILE}'") }] }));
    let mut plugin = stage.puppet_plugin("Loud", &[], &[]);
    plugin["name"] = json!(HOSTILE);
    plugin["autoStart"] = json!(false);
    plugin["settings"] = json!({ "greeting": HOSTILE });
    stage.plugin(&plugin);
    let agent = stage.start();
    agent.run("shout");
    let asked: [&[&str]; 17] = [
        &["status"],
        &["jobs", "list"],
        &["jobs", "show", "shout"],
        &["jobs", "run", "shout"],
        &["jobs", "trigger", "shout", "--wait"],
        &["jobs", "history", "shout"],
        &["runs", "list"],
        &["runs", "show", "1-1"],
        &["runs", "logs", "1-1"],
        &["runs", "watch", "1-1"],
        &["plugins", "list"],
        &["plugins", "show", "Loud"],
        &["settings", "get", "Loud"],
        &["settings", "explain", "Loud"],
        &["logs"],
        &["simulate", "shout"],
        &["doctor"],
    ];
    for arguments in asked {
        for form in FORMS {
            let (_, out, error) = say(command(&stage, &[arguments, &["-o", form]].concat()));
            let raw: Vec<char> = out.chars().chain(error.chars()).filter(|letter| is_raw(*letter)).collect();
            assert!(raw.is_empty(), "{arguments:?} -o {form}: {raw:?} in {out}{error}");
        }
    }
    assert_eq!(document(&stage, &["jobs", "show", "shout"])["name"], HOSTILE, "a program reads what was written");
    agent.stop();
}
