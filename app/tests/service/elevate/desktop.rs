//! Without a terminal, on a desktop: a real dialog on a real display, answered by its keys.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use super::{NOBODY, agent, elevate, stage, text};
use crate::sessions::Xvfb;
use crate::support::{Stage, eventually, has_program, spawn};

/// A user who starts `castellan elevate` by an icon.
fn elevated(stage: &Stage, server: &Xvfb, words: &[&str]) -> Child {
    let command = elevate(&stage.root(), words);
    let mut away = Command::new("setsid");
    away.arg("--wait").arg(command.get_program()).args(command.get_args()).current_dir("/");
    away.env("DISPLAY", &server.display).env_remove("WAYLAND_DISPLAY").env("HOME", "/").uid(NOBODY).gid(NOBODY);
    spawn(away.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()))
}

/// Presses keys that answer the dialog, once it is shown.
#[track_caller]
fn types(server: &Xvfb, keys: &[&str]) {
    let xdotool = |words: &[&str]| {
        let mut command = Command::new("xdotool");
        command.args(words).env("DISPLAY", &server.display).stdout(Stdio::piped()).stderr(Stdio::piped());
        spawn(&mut command).wait_with_output().unwrap()
    };
    let window = eventually("a dialog", || {
        let found = text(&xdotool(&["search", "--onlyvisible", "--name", "castellan elevate"]).stdout);
        found.lines().next().map(str::to_owned)
    });
    let ended = xdotool(&[&["windowfocus", "--sync", &window, "key"], keys].concat());
    assert!(ended.status.success(), "{ended:?}");
    eventually("a closed dialog", || (!xdotool(&["getwindowname", &window]).status.success()).then_some(()));
}

#[test]
fn who_has_no_terminal_is_asked_on_his_desktop() {
    let Some(stage) = stage() else { return };
    if !has_program("zenity", "questions on the desktop") || !has_program("xdotool", "answers on the desktop") {
        return;
    }
    let Some(server) = Xvfb::start() else { return };
    let agent = agent(&stage);
    let child = elevated(&stage, &server, &["uname"]);
    types(&server, &["t", "i", "c", "k", "e", "t", "Return"]);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), text(&ended.stdout).as_str()), (Some(0), "Linux\n"), "{ended:?}");
    let request = agent.call("GET", "/api/elevation/E1-1").send().json();
    assert_eq!(request["Justification"], "ticket", "{request:#}");
    // Who closes the dialog gives no reason.
    let child = elevated(&stage, &server, &["uname"]);
    types(&server, &["n", "o", "Escape"]);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(4));
    assert!(text(&ended.stderr).contains("No reason was given."), "{ended:?}");
    agent.stop();
}
