//! What people are told of requests for more privileges: their story, their history, what waits, and what is not ready.

use serde_json::{Value, json};

use super::{DAEMON, NOBODY, allow, asked, denied, elevate, ended, id_of, installed, newest, policy, ready, runs};
use crate::support::{Stage, command, eventually, say, spawn};
use crate::users::start;

/// What a command that does well prints.
#[track_caller]
fn told(stage: &Stage, words: &[&str]) -> String {
    let (code, out, err) = say(command(stage, words));
    assert_eq!(code, 0, "{words:?}: {err}");
    out
}

/// These parts, in this order.
#[track_caller]
fn has(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        let at = rest.find(part).unwrap_or_else(|| panic!("no '{part}' (in this order) in:\n{text}"));
        rest = &rest[at + part.len()..];
    }
}

#[test]
fn why_tells_the_story_of_a_request_also_without_an_agent() {
    let Some(stage) = installed() else { return };
    let agent = start(&stage);
    ready(&agent);
    denied(asked(&stage, DAEMON, &[]), "There is no policy about it");
    allow(&stage, &["APPROVAL"]);
    let words = ["--reason", "to see\u{202e} who", "--", "id", "-u", "--", "\u{1b}[2J"];
    let child = spawn(&mut elevate(&stage, NOBODY, &words));
    let request = id_of(&eventually("a request that waits for an approval", || {
        let request = newest(&agent, "AwaitingControls");
        (request["Outstanding"] == json!(["APPROVAL"])).then_some(request)
    }));
    let waits = ["waits for: APPROVAL", "next: castellan requests approve E1-2, or castellan requests deny E1-2"];
    has(&told(&stage, &["why", &request]), &waits);
    told(&stage, &["requests", "approve", &request, "--reason", "ticket 7"]);
    ended(child.wait_with_output().unwrap());
    newest(&agent, "Finished");

    let story = [
        "nobody (user 65534, process ",
        "asks to run 'id -u -- \\u001b[2J'",
        "reason: to see\\u202e who",
        "KeeperPolicy decides PENDING (JUSTIFY, APPROVAL)",
        "nobody-APPROVAL (id.json) decided: enforce, APPROVAL",
        "holds  UserCheck: nobody",
        "JUSTIFY is met: to see\\u202e who",
        "administrator client approves it",
        "reason: ticket 7",
        "APPROVAL is met: client",
        "it is good until ",
        "is launched as root: id -u -- \\u001b[2J",
        "it ended: code ",
    ];
    let shown = told(&stage, &["why", "e1-2"]);
    assert!(!shown.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    has(&shown, &["request E1-2 of nobody: Finished"]);
    has(&shown, &story);
    has(&shown, &["next: castellan grants revoke E1-2 ends"]);
    has(&told(&stage, &["why", "E1-1"]), &["request E1-1 of daemon: Denied", "decides DENY", "next: "]);
    let (code, _, err) = say(command(&stage, &["why", "E1-77"]));
    assert!(code == 3 && err.contains("E1-77"), "{code} {err}");
    let (code, _, err) = say(command(&stage, &["why", "hello"]));
    assert!(code == 2 && err.contains("castellan why denied"), "{code} {err}");
    // What ended without a decision, too.
    denied(say(elevate(&stage, NOBODY, &["--", "no-such-program"])), "is in none of the folders of root's PATH");
    agent.stop();

    let (_, out, _) = say(command(&stage, &["why", "E1-3"]));
    has(&out, &["asks to run 'no-such-program'", "it is over, Denied: The program cannot be run: "]);
    let (code, out, err) = say(command(&stage, &["why", &request]));
    assert!(code == 0 && err.contains("no agent runs here"), "{code} {err}");
    has(&out, &story);
    let document: Value = serde_json::from_str(&told(&stage, &["why", &request, "-o", "json"])).unwrap();
    assert_eq!((&document["request"], &document["entries"][0]["kind"]), (&Value::Null, &json!("request")));
}

#[test]
fn the_history_of_requests_outlives_the_agent() {
    let Some(stage) = installed() else { return };
    let agent = start(&stage);
    ready(&agent);
    allow(&stage, &["ALLOW"]);
    runs(asked(&stage, NOBODY, &[]));
    denied(asked(&stage, DAEMON, &[]), "DENY");
    denied(say(elevate(&stage, NOBODY, &["--", "whoami"])), "DENY");
    agent.stop();
    let agent = start(&stage);
    ready(&agent);
    assert_eq!(told(&stage, &["requests", "list"]), "No requests.\n");
    let ids = |words: &[&str]| told(&stage, &[&["requests", "list", "-o", "name"], words].concat());
    assert_eq!(ids(&["--all"]), "E1-3\nE1-2\nE1-1\n");
    assert_eq!(ids(&["--user", "nobody"]), "E1-3\nE1-1\n");
    assert_eq!(ids(&["--status", "denied", "--since", "1h", "--limit", "1"]), "E1-3\n");
    assert_eq!(ids(&["--all", "--before", "E1-3"]), "E1-2\nE1-1\n");
    assert_eq!(ids(&["--since", "2100-01-01T00:00:00Z"]), "");
    has(&told(&stage, &["requests", "show", "E1-2"]), &["request E1-2 of daemon: Denied", "command   id -u"]);
    let (code, _, err) = say(command(&stage, &["requests", "list", "--status", "gone"]));
    assert!(code == 2 && err.contains("AwaitingControls"), "{code} {err}");
    // New ones go on top of them.
    runs(asked(&stage, NOBODY, &[]));
    newest(&agent, "Finished");
    assert_eq!(ids(&["--all", "--limit", "2"]), "E2-1\nE1-3\n");
    agent.stop();
}

#[test]
fn the_doctor_says_what_of_the_way_to_more_privileges_is_not_ready() {
    let Some(stage) = installed() else { return };
    let agent = start(&stage);
    ready(&agent);
    let outcomes = || {
        let (_, out, err) = say(command(&stage, &["doctor", "-o", "json"]));
        let document: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
        let subjects = document["subjects"].as_array().unwrap().clone();
        let subject = subjects.into_iter().find(|subject| subject["kind"] == "elevation").unwrap();
        let checks = subject["checks"].as_array().unwrap().clone();
        let failed = checks.into_iter().filter(|check| check["status"] == "failed");
        failed.map(|check| (check["name"].clone(), check["fix"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(outcomes(), []);
    let (code, out, _) = say(command(&stage, &["doctor"]));
    assert_eq!(code, 0, "nothing of what comes with the agent fails: {out}");
    stage.file("Policies/code.json", &policy("nobody", "/usr/bin/id", &["MFA"]).to_string());
    assert_eq!(outcomes(), [(json!("authenticators"), json!("castellan mfa enroll nobody"))]);
    told(&stage, &["mfa", "enroll", "nobody", "--no-confirm"]);
    assert_eq!(outcomes(), []);
    told(&stage, &["jobs", "disable", "LaunchPrivilegeElevation"]);
    assert_eq!(outcomes(), [(json!("elevation-jobs"), json!("castellan jobs enable LaunchPrivilegeElevation"))]);
    told(&stage, &["jobs", "enable", "LaunchPrivilegeElevation"]);
    stage.file("Policies/broken.json", r#"{"PolicyType":"PrivilegeElevation","Status":"enforce"#);
    assert_eq!(outcomes()[0].0, "policies");
    std::fs::remove_file(stage.root().join("Policies/broken.json")).unwrap();
    told(&stage, &["plugins", "stop", "KeeperPolicy", "--wait"]);
    assert_eq!(outcomes()[0].0, "keeper-policy");
    agent.stop();
}
