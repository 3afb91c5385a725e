//! A grant that is revoked together with what runs on it.

use std::os::unix::process::ExitStatusExt;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::scene::Scene;
use super::{id_of, newest};
use crate::support::eventually;

#[test]
fn revoking_a_grant_with_kill_ends_its_program_and_tells_its_user() {
    revoke(|_| ());
}

/// It is asked to end, and hears that although it stands still.
#[test]
fn revoking_a_grant_with_kill_ends_a_stopped_program() {
    revoke(|program| {
        let program = Pid::from_raw(i32::try_from(program).unwrap()).unwrap();
        kill_process(program, Signal::STOP).unwrap();
    });
}

/// Revokes the grant of a program that runs, after something was done to it.
fn revoke(before: fn(u64)) {
    let Some(scene) = Scene::new() else { return };
    let agent = scene.start();
    scene.requires(&["APPROVAL"]);
    let mut child = scene.ask("exec sleep 1000");
    let request = id_of(&newest(&agent, "AwaitingControls"));
    let approval = agent.call("POST", &format!("/api/elevation/{request}/approve")).json(&json!({})).send();
    assert_eq!(approval.status, 200, "{approval:?}");
    newest(&agent, "Running");
    eventually("the program", || (scene.marked() == 1).then_some(()));
    before(newest(&agent, "Running")["ProcessId"].as_u64().unwrap());
    let revoked = agent.call("DELETE", &format!("/api/grants/{request}?kill=true")).send();
    assert_eq!(revoked.status, 200, "{revoked:?}");
    eventually("the end of castellan elevate", || child.try_wait().unwrap());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.signal(), Some(Signal::TERM.as_raw()), "{ended:?}");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains("Your program is ended.") && said.contains("revoked the grant"), "{said}");
    newest(&agent, "Finished");
    scene.is_well(&agent, &request, "Finished");
    agent.stop();
}
