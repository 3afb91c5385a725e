//! What a user sees and ends of his own from another terminal, and that another user's hands reach none of it.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::scene::{Scene, told};
use super::{DAEMON, NOBODY, as_user, denied, elevate, id_of, newest};
use crate::support::{Stage, binary, command, eventually, say, spawn};

/// What `castellan` says to this user: exit code, standard output, standard error.
#[track_caller]
fn says(stage: &Stage, user: (&str, u32), words: &[&str]) -> (i32, String, String) {
    say(as_user(user, Command::new(binary()).arg("--root").arg(stage.root()).args(words)))
}

/// The document of `requests mine`.
#[track_caller]
fn mine(stage: &Stage, user: (&str, u32)) -> Value {
    let (code, out, err) = says(stage, user, &["requests", "mine", "--json"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn a_user_withdraws_his_request_from_another_terminal_and_another_user_does_not() {
    let Some(scene) = Scene::new() else { return };
    let (stage, agent) = (&scene.stage, scene.start());
    scene.requires(&["APPROVAL"]);
    let words = ["--reason", "to see", "--", "echo", "\u{1b}[2J\u{202e}"];
    let child = spawn(&mut elevate(stage, NOBODY, &words));
    let request = eventually("a request that waits for an approval", || {
        let request = newest(&agent, "AwaitingControls");
        (request["Outstanding"] == json!(["APPROVAL"])).then(|| id_of(&request))
    });

    let (code, shown, err) = says(stage, NOBODY, &["requests", "mine"]);
    assert_eq!(code, 0, "{err}");
    assert!(shown.contains("echo \\u001b[2J\\u202e") && !shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    let seen = mine(stage, NOBODY);
    let one = &seen["Requests"][0];
    assert_eq!((&one["RequestId"], &one["Status"]), (&json!(request), &json!("AwaitingControls")));
    assert_eq!((&one["WaitsFor"], one["Until"].is_string()), (&json!(["APPROVAL"]), true));
    let nothing = json!({ "Requests": [], "RequestsLeftOut": 0, "Grants": [], "GrantsLeftOut": 0 });
    assert_eq!(mine(stage, DAEMON), nothing, "another's is not there");
    let (_, root, _) = say(command(stage, &["requests", "mine"]));
    assert_eq!(root, "No requests.\n\nNo grants.\n", "root's own are none of it");

    // Another's is as one that is not there.
    let (code, out, known) = says(stage, DAEMON, &["requests", "withdraw", &request]);
    assert_eq!((code, out.as_str()), (3, ""), "{known}");
    let (code, _, unknown) = says(stage, DAEMON, &["requests", "withdraw", "E1-77"]);
    assert_eq!((code, known.replace(&request, "E1-77")), (3, unknown));
    assert_eq!(id_of(&newest(&agent, "AwaitingControls")), request, "and it waits on");

    let withdrawn = says(stage, NOBODY, &["requests", "withdraw", &request]);
    assert_eq!(withdrawn, (0, format!("request {request} withdrawn\n"), String::new()));
    denied(told(child), "Its user withdrew it from another connection");
    let (_, story, _) = say(command(stage, &["why", &request]));
    assert!(story.contains("Withdrawn") && story.contains("from another connection (process "), "{story}");
    let (code, _, err) = says(stage, NOBODY, &["requests", "withdraw", &request]);
    assert!(code == 4 && err.contains("It is over: Withdrawn."), "{code} {err}");
    let (_, shown, _) = says(stage, NOBODY, &["requests", "mine"]);
    assert!(
        shown.contains(&format!("\nRequest {request} was withdrawn. Its user withdrew it from another connection")),
        "{shown}"
    );
    scene.is_well(&agent, &request, "Withdrawn");
    agent.stop();
    let (code, _, err) = says(stage, NOBODY, &["requests", "mine"]);
    assert!(code == 5 && err.contains("run/request.sock"), "{code} {err}");
}

#[test]
fn a_user_gives_up_his_grant_and_is_asked_again() {
    let Some(scene) = Scene::new() else { return };
    let (stage, agent) = (&scene.stage, scene.start());
    scene.requires(&["APPROVAL"]);
    let waits = || {
        eventually("a request that waits for an approval", || {
            let request = newest(&agent, "AwaitingControls");
            (request["Outstanding"] == json!(["APPROVAL"])).then(|| id_of(&request))
        })
    };
    let mut child = scene.ask("exec sleep 1000");
    let request = waits();
    let approval = agent.call("POST", &format!("/api/elevation/{request}/approve")).json(&json!({})).send();
    assert_eq!(approval.status, 200, "{approval:?}");
    newest(&agent, "Running");
    eventually("the program", || (scene.marked() == 1).then_some(()));

    // What runs is not withdrawn; what ends it is said.
    let (code, _, err) = says(stage, NOBODY, &["requests", "withdraw", &request]);
    let hint = format!("kill {}", child.id());
    assert!(code == 4 && err.contains("Its program runs already.") && err.contains(&hint), "{code} {err}");
    let (code, _, err) = says(stage, DAEMON, &["grants", "drop", &request]);
    assert!(code == 3 && err.contains("You have no grant"), "{code} {err}");
    assert_eq!(mine(stage, NOBODY)["Grants"][0]["RequestId"], json!(request));
    let dropped = says(stage, NOBODY, &["grants", "drop", &request, "--json"]);
    assert_eq!(dropped.0, 0, "{}", dropped.2);
    let done: Value = serde_json::from_str(&dropped.1).unwrap();
    assert_eq!(done, json!([{ "name": request, "result": "dropped", "dryRun": false }]));
    assert_eq!(agent.call("GET", "/api/grants").send().json(), json!([]));
    assert_eq!(mine(stage, NOBODY)["Requests"][0]["Status"], "Running", "what runs goes on");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let by = eventually("the end of castellan elevate", || child.try_wait().unwrap());
    assert_eq!(by.signal(), Some(Signal::TERM.as_raw()));
    newest(&agent, "Finished");
    let (_, shown, _) = says(stage, NOBODY, &["requests", "mine"]);
    assert!(
        shown.contains("Finished: signal 15") && shown.matches(&request).count() == 1,
        "one line is enough: {shown}"
    );
    let (_, entries, _) = say(command(stage, &["audit", "show", "--kind", "revocation", "-o", "json"]));
    assert!(entries.contains("user:nobody"), "{entries}");
    let (_, story, _) = say(command(stage, &["why", &request]));
    assert!(story.contains(&format!("nobody gives up grant {request}")), "{story}");
    assert!(story.contains("its grant was ended by nobody") && !story.contains("administrator nobody"), "{story}");

    // The same again asks again.
    let child = scene.ask("exec sleep 1000");
    let again = waits();
    assert_ne!(again, request);
    assert_eq!(says(stage, NOBODY, &["requests", "withdraw", &again]).0, 0);
    denied(told(child), "withdrew it");
    let none = says(stage, NOBODY, &["grants", "drop", "--all"]);
    assert_eq!(none, (0, String::new(), String::from("castellan: You have no grants that count.\n")));
    let (code, _, err) = says(stage, NOBODY, &["grants", "drop"]);
    assert!(code == 2 && err.contains("<GRANT|--all>"), "all of them only where that is said: {code} {err}");
    scene.is_well(&agent, &again, "Withdrawn");
    agent.stop();
}
