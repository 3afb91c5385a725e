//! The way to more privileges: what `castellan init` installs, the plugin KeeperPolicy, and those who ask it.

mod forged;
mod full_disk;
mod hindsight;
mod killed;
mod own;
mod people;
mod revoked;
mod scene;
mod signed;
mod silent;
mod traced;

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::fleet::{in_force, put};
use crate::mfa::code;
use crate::support::{
    Agent, Puppet, Stage, binary, command, command_by, ended, eventually, has_program, say, skipped, spawn,
};
use crate::users::{has_somebody_else, stage_of, start};

/// Items and what became of them.
#[track_caller]
pub(crate) fn init(stage: &Stage, arguments: &[&str]) -> Vec<(String, String)> {
    init_by(&binary(), stage, arguments)
}

/// The same by another copy of the binary, which is what is installed then.
#[track_caller]
fn init_by(program: &Path, stage: &Stage, arguments: &[&str]) -> Vec<(String, String)> {
    let (code, out, err) = say(command_by(program, stage, &[&["init", "-o", "json"], arguments].concat()));
    assert_eq!(code, 0, "{err}");
    let done: Value = serde_json::from_str(&out).unwrap();
    let text = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
    done.as_array().unwrap().iter().map(|line| (text(line, "name"), text(line, "result"))).collect()
}

/// What is installed; jobs that cannot be in service without it come later.
const INSTALLED: [&str; 13] = [
    "Plugins/KeeperPolicy",
    "Plugins/RedirectEvaluator",
    "Jobs/privilege-elevation-policy-controls",
    "Jobs/file-access-policy-controls",
    "Jobs/file-access-policy-controls-headless",
    "Jobs/default-policy-controls",
    "Jobs/LaunchPrivilegeElevation",
    "Jobs/ExecutionGrantStartupCleanup",
    "Jobs/log-version-info",
    "Jobs/bin/KeeperMfa",
    "Jobs/bin/KeeperJustification",
    "Jobs/bin/KeeperApproval",
    "Jobs/bin/RedirectEvaluator",
];

fn all(what: &str) -> Vec<(String, String)> {
    INSTALLED.iter().map(|name| (String::from(*name), String::from(what))).collect()
}

#[test]
fn init_installs_what_is_missing_and_leaves_alone_what_was_edited() {
    let stage = Stage::new();
    assert_eq!(init(&stage, &["--dry-run"]), all("created"));
    assert!(!stage.root().join("Plugins/KeeperPolicy.json").exists(), "nothing was written");
    assert_eq!(init(&stage, &[]), all("created"));
    assert_eq!(init(&stage, &[]), all("unchanged"));

    let agent = stage.start();
    agent.logged_message("VersionInfo", "castellan ");
    agent.logged_message("Grants", "0 grants are over, 0 still count");
    let jobs = agent.call("GET", "/api/Jobs").send().json();
    assert_eq!(jobs.as_array().unwrap().len(), 7, "all of them are in service: {jobs:#}");
    let (code, _, err) = say(command(&stage, &["init"]));
    assert!(code == 1 && err.contains("an agent runs on"), "{code} {err}");
    // As an administrator changes and deletes what was installed.
    let mut edited = agent.call("GET", "/api/Jobs/log-version-info").send().json();
    edited["enabled"] = json!(false);
    assert_eq!(agent.call("PUT", "/api/Jobs/log-version-info").json(&edited).send().status, 200);
    assert_eq!(agent.call("DELETE", "/api/Jobs/LaunchPrivilegeElevation").send().status, 200);
    agent.stop();

    let became = init(&stage, &[]);
    let of = |name: &str| became.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!(of("Jobs/log-version-info"), "left alone: it differs from what is shipped");
    assert_eq!(
        (of("Jobs/LaunchPrivilegeElevation"), of("Plugins/KeeperPolicy")),
        (String::from("created"), String::from("unchanged"))
    );
    // What came back is blessed: it is in service, and not moved to quarantine.
    let agent = stage.start();
    assert_eq!(agent.call("GET", "/api/Jobs/LaunchPrivilegeElevation").send().status, 200);
    assert_eq!(agent.call("GET", "/api/Jobs/log-version-info").send().json()["enabled"], json!(false));
    assert!(fs::read_dir(stage.root().join("state/quarantine")).unwrap().next().is_none());
    agent.stop();
}

/// A policy about privileges for this user and file.
pub(crate) fn policy(user: &str, file: &str, controls: &[&str]) -> Value {
    json!({
        "PolicyId": format!("{user}-{}", controls.join("-")), "PolicyName": "test", "PolicyType": "PrivilegeElevation",
        "Status": "enforce", "Actions": { "OnSuccess": { "Controls": controls } },
        "Rules": [
            { "RuleName": "user", "RuleExpressionType": "BuiltInAction", "Expression": "CheckUser()" },
            { "RuleName": "file", "RuleExpressionType": "BuiltInAction", "Expression": "CheckFile(false)" }
        ],
        "UserCheck": [user], "ApplicationCheck": [file]
    })
}

/// A question of an integrator's plugin, as this user.
fn question(id: &str, (user, uid): (&str, u32)) -> Value {
    json!({
        "Id": id, "Version": 1, "RespondToTopic": "KeeperPolicy/asker",
        "MetaData": {
            "MessageType": "PolicyEvaluation", "PolicyType": "PrivilegeElevation", "UserName": user, "UserId": uid,
            "MachineName": "here", "FilePath": "/usr/bin/id", "CommandLine": "id -u", "Arguments": ["-u"],
            "HasDesktop": false, "RequestId": "", "SessionId": ""
        }
    })
}

/// What KeeperPolicy answers to a question.
#[track_caller]
fn ask(asker: &mut Puppet, question: &Value) -> Value {
    asker.publish("KeeperPolicy", &question.to_string());
    let (topic, answer) = asker.receive();
    assert_eq!(topic, "KeeperPolicy/asker");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["Id"], question["Id"]);
    answer
}

#[track_caller]
pub(crate) fn ready(agent: &Agent<'_>) -> Value {
    eventually("KeeperPolicy is ready", || {
        let plugin = agent.call("GET", "/api/plugins/KeeperPolicy").send().json();
        (plugin["health"] == "Healthy").then_some(plugin)
    })
}

const ROOT: (&str, u32) = ("root", 0);
pub(crate) const NOBODY: (&str, u32) = ("nobody", 65_534);

#[test]
fn an_integrators_plugin_asks_keeper_policy_and_a_changed_policy_counts_from_the_next_question_on() {
    let stage = Stage::new();
    init(&stage, &[]);
    stage.plugin(&stage.puppet_plugin("Asker", &["KeeperPolicy"], &["KeeperPolicy/asker"]));
    let agent = stage.start();
    ready(&agent);
    let mut asker = stage.puppet("Asker");
    asker.connect_plugin(agent.mqtt);
    asker.subscribe("KeeperPolicy/asker");

    let answer = ask(&mut asker, &question("1", NOBODY));
    assert_eq!(answer["Decision"], "DENY", "{answer:#}");
    assert!(answer["Explanation"]["What"].is_string(), "{answer:#}");
    let allow = policy("nobody", "/usr/bin/id", &["ALLOW"]);
    stage.file("Policies/allow.json", &allow.to_string());
    let answer = ask(&mut asker, &question("2", NOBODY));
    assert_eq!(
        (&answer["Decision"], &answer["PolicyIds"]),
        (&json!("ALLOW"), &json!([allow["PolicyId"]])),
        "{answer:#}"
    );
    assert_eq!(ask(&mut asker, &question("3", ROOT))["Decision"], "DENY", "another user");
    stage.file("Policies/allow.json", &policy("nobody", "/usr/bin/id", &["JUSTIFY", "MFA"]).to_string());
    let answer = ask(&mut asker, &question("4", NOBODY));
    assert_eq!(
        (&answer["Decision"], &answer["Controls"]),
        (&json!("PENDING"), &json!(["MFA", "JUSTIFY"])),
        "{answer:#}"
    );

    // A collection that comes into being, and one that changes.
    stage.file("Policies/allow.json", &policy("team", "/usr/bin/id", &["ALLOW"]).to_string());
    assert_eq!(ask(&mut asker, &question("5", NOBODY))["Decision"], "DENY");
    stage.file("Policies/collections/team.json", r#"{"team":["nobody"]}"#);
    assert_eq!(ask(&mut asker, &question("6", NOBODY))["Decision"], "ALLOW");
    stage.file("Policies/collections/team.json", r#"{"team":["somebody"]}"#);
    assert_eq!(ask(&mut asker, &question("7", NOBODY))["Decision"], "DENY");

    // What cannot be read denies, and the log says so.
    stage.file("Policies/collections/team.json", r#"{"team":["nobody"]}"#);
    stage.file("Policies/broken.json", r#"{"PolicyType":"PrivilegeElevation","Status":"enforce""#);
    let answer = ask(&mut asker, &question("8", NOBODY));
    assert_eq!((&answer["Decision"], &answer["PolicyIds"]), (&json!("DENY"), &json!(["broken"])), "{answer:#}");
    let record = agent.logged_message("PoliciesRead", "elevation is denied until it is mended");
    assert_eq!((&record["level"], &record["component"]), (&json!("Error"), &json!("plugin:KeeperPolicy")));
    fs::remove_file(stage.root().join("Policies/broken.json")).unwrap();
    assert_eq!(ask(&mut asker, &question("9", NOBODY))["Decision"], "ALLOW");

    // Nobody is believed in who he is.
    let answer = ask(&mut asker, &question("10", ("nobody", 0)));
    assert_eq!(answer["Decision"], "DENY");
    assert!(answer["Explanation"]["Why"].as_str().unwrap().contains("not 0"), "{answer:#}");
    let mut wrong = question("11", NOBODY);
    wrong["Version"] = json!(2);
    let answer = ask(&mut asker, &wrong);
    assert!(answer["Explanation"]["Why"].as_str().unwrap().contains("Version"), "{answer:#}");
    asker.publish("KeeperPolicy", "hello");
    agent.logged_message("NotUnderstood", "hello");
    let mut elsewhere = question("12", NOBODY);
    elsewhere["RespondToTopic"] = json!("EventMessages");
    asker.publish("KeeperPolicy", &elsewhere.to_string());
    agent.logged_message("NotUnderstood", "'EventMessages' gets no answers");

    // Killed, it is back with the policies as they are.
    let pid = ready(&agent)["processId"].as_u64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
    eventually("another process of KeeperPolicy", || (ready(&agent)["processId"] != pid).then_some(()));
    assert_eq!(ask(&mut asker, &question("13", NOBODY))["Decision"], "ALLOW");
    agent.stop();
}

#[test]
fn what_is_delivered_counts_from_the_next_question_on_until_it_is_taken_back_whoever_dies() {
    let stage = Stage::new();
    init(&stage, &[]);
    let folder = stage.folder().join("bundles");
    fs::create_dir(&folder).unwrap();
    stage.settings(json!({ "PolicySource": { "Folder": folder, "PollSeconds": 1 } }));
    stage.plugin(&stage.puppet_plugin("Asker", &["KeeperPolicy"], &["KeeperPolicy/asker"]));
    let (allow, deny) = (policy("nobody", "/usr/bin/id", &["ALLOW"]), policy("nobody", "/usr/bin/id", &["DENY"]));
    let deliver = |agent: &Agent<'_>, sequence: u64, policies: Value| {
        let bundle = json!({ "bundle": "office", "sequence": sequence, "policies": policies });
        put(&folder.join("bundle.json"), bundle.to_string().as_bytes(), 0o644);
        in_force(agent, "office", sequence);
    };
    let agent = stage.start();
    ready(&agent);
    let mut asker = stage.puppet("Asker");
    asker.connect_plugin(agent.mqtt);
    asker.subscribe("KeeperPolicy/asker");
    deliver(&agent, 1, json!({ "id": allow }));
    assert_eq!(ask(&mut asker, &question("1", NOBODY))["Decision"], "ALLOW");
    let listed = agent.call("GET", "/api/policies").send().json();
    assert_eq!(
        (&listed[0]["source"], &listed[0]["status"], &listed[0]["controls"]),
        (&json!("PolicySource"), &json!("enforce"), &json!(["ALLOW"]))
    );
    let policies = stage.root().join("Policies");
    let (_, linted, _) = say(command(&stage, &["policy", "lint", policies.to_str().unwrap()]));
    assert!(linted.ends_with("1 files, 0 findings, 0 files with errors.\n"), "{linted}");
    drop(asker);
    agent.kill();
    // Nobody has to run for it to be known.
    let (_, told, _) =
        say(command(&stage, &["policy", "test", "--user", "nobody", "--command", "/usr/bin/id", "-o", "name"]));
    assert_eq!(told, "ALLOW\n");

    let agent = stage.start();
    ready(&agent);
    let mut asker = stage.puppet("Asker");
    asker.connect_plugin(agent.mqtt);
    asker.subscribe("KeeperPolicy/asker");
    assert_eq!(ask(&mut asker, &question("2", NOBODY))["Decision"], "ALLOW");
    deliver(&agent, 2, json!({ "id": allow, "stop": deny }));
    assert_eq!(ask(&mut asker, &question("3", NOBODY))["PolicyIds"], json!(["nobody-DENY"]));
    deliver(&agent, 3, json!({}));
    let answer = ask(&mut asker, &question("4", NOBODY));
    assert!(answer["Explanation"]["Why"].as_str().unwrap().contains("There is no policy"), "{answer:#}");
    // An administrator brings one, and takes it back.
    assert_eq!(agent.call("POST", "/api/policies?name=mine").json(&allow).send().status, 200);
    assert_eq!(ask(&mut asker, &question("5", NOBODY))["Decision"], "ALLOW");
    assert_eq!(agent.call("DELETE", "/api/policies/mine").send().status, 200);
    assert_eq!(ask(&mut asker, &question("6", NOBODY))["Decision"], "DENY");
    agent.stop();
}

/// Where everybody may pass, what is installed is there, and KeeperPolicy answers; `None` where there is nobody else to be.
pub(crate) fn installed() -> Option<Stage> {
    let stage = passable()?;
    init(&stage, &[]);
    Some(stage)
}

/// A stage where everybody may pass; `None` where there is nobody else to be.
fn passable() -> Option<Stage> {
    let stage = stage_of(json!({}));
    let reaches = || say(as_user(NOBODY, Command::new(binary()).arg("--version"))).0 == 0;
    if has_somebody_else() && reaches() {
        return Some(stage);
    }
    skipped("castellan elevate with the whole chain: only root can become somebody else, who has to reach the binary");
    None
}

fn as_user((_, uid): (&str, u32), command: &mut Command) -> Command {
    let mut same = Command::new(command.get_program());
    same.args(command.get_args()).uid(uid).gid(uid).current_dir("/");
    same.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    same
}

/// `castellan elevate` of this user; `words` begin with its options.
pub(crate) fn elevate(stage: &Stage, user: (&str, u32), words: &[&str]) -> Command {
    as_user(user, Command::new(binary()).args(["elevate", "--root"]).arg(stage.root()).args(words))
}

const ID: [&str; 3] = ["--", "id", "-u"];

/// Exit code, standard output, standard error of `id -u`.
#[track_caller]
pub(crate) fn asked(stage: &Stage, user: (&str, u32), options: &[&str]) -> (i32, String, String) {
    say(elevate(stage, user, &[options, &ID].concat()))
}

fn ran() -> (i32, String) {
    (0, String::from("0\n"))
}

#[track_caller]
pub(crate) fn runs(ended: (i32, String, String)) {
    assert_eq!((ended.0, ended.1), ran(), "{}", ended.2);
}

#[track_caller]
pub(crate) fn denied(ended: (i32, String, String), because: &str) {
    assert!(ended.0 == 4 && ended.1.is_empty() && ended.2.contains(because), "{ended:?}");
}

pub(crate) fn allow(stage: &Stage, controls: &[&str]) {
    stage.file("Policies/id.json", &policy("nobody", "/usr/bin/id", controls).to_string());
}

/// The newest request, once it has this status.
#[track_caller]
pub(crate) fn newest(agent: &Agent<'_>, status: &str) -> Value {
    eventually(&format!("a request that is {status}"), || {
        let newest = agent.call("GET", "/api/elevation").send().json().as_array()?.first()?.clone();
        (newest["Status"] == status).then_some(newest)
    })
}

fn id_of(request: &Value) -> String {
    request["RequestId"].as_str().unwrap().to_owned()
}

const DAEMON: (&str, u32) = ("daemon", 1);

#[test]
fn without_a_policy_nobody_is_elevated_and_with_one_its_user_is() {
    let Some(stage) = installed() else { return };
    let agent = start(&stage);
    ready(&agent);
    denied(asked(&stage, NOBODY, &[]), "There is no policy about it. An administrator may");
    allow(&stage, &["ALLOW"]);
    runs(asked(&stage, NOBODY, &[]));
    denied(asked(&stage, DAEMON, &[]), "DENY for 'id -u' of 'daemon'");
    denied(say(elevate(&stage, NOBODY, &["--", "cat", "/etc/shadow"])), "DENY");

    let mut shell = policy("nobody", "/usr/bin/*", &["ALLOW"]);
    shell["PolicyId"] = json!("all");
    stage.file("Policies/all.json", &shell.to_string());
    let mut tee = elevate(&stage, NOBODY, &["--", "tee", "file"]);
    let folder = stage.folder().join("only-root");
    fs::create_dir(&folder).unwrap();
    let mut tee = spawn(tee.current_dir(&folder).stdin(Stdio::piped()));
    tee.stdin.take().unwrap().write_all(b"piped").unwrap();
    assert_eq!(ended(tee.wait_with_output().unwrap()).1, "piped");
    let written = folder.join("file");
    assert_eq!(fs::metadata(&written).unwrap().uid(), 0, "as root");
    assert_eq!(fs::read_to_string(&written).unwrap(), "piped");
    agent.stop();
    // Every step is on record: asked, decided, launched, ended.
    let (code, _, err) = say(command(&stage, &["audit", "verify"]));
    assert_eq!(code, 0, "{err}");
    let (_, shown, _) = say(command(&stage, &["audit", "show", "-o", "json"]));
    for kind in ["request", "decision", "launch", "exit"] {
        assert!(shown.to_lowercase().contains(kind), "{kind}: {shown}");
    }
}

#[test]
fn a_reason_and_an_approval_are_asked_for_and_a_grant_lasts_until_it_is_revoked() {
    let Some(stage) = installed() else { return };
    let agent = start(&stage);
    ready(&agent);
    allow(&stage, &["JUSTIFY"]);
    runs(asked(&stage, NOBODY, &["--reason", "to see who I am"]));
    assert_eq!(asked(&stage, NOBODY, &[]).0, 4, "nobody is there to be asked for a reason");

    allow(&stage, &["APPROVAL"]);
    let ask = || spawn(&mut elevate(&stage, NOBODY, &[&["--reason", "to see who I am"], &ID[..]].concat()));
    let waiting = |outstanding: Value| {
        eventually("a request that waits for an approval", || {
            let request = newest(&agent, "AwaitingControls");
            (request["Outstanding"] == outstanding).then_some(id_of(&request))
        })
    };
    let vote = |request: &str, what: &str| {
        let answer = agent.call("POST", &format!("/api/elevation/{request}/{what}")).json(&json!({})).send();
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let child = ask();
    vote(&waiting(json!(["APPROVAL"])), "deny");
    denied(ended(child.wait_with_output().unwrap()), "den");
    let child = ask();
    vote(&waiting(json!(["APPROVAL"])), "approve");
    runs(ended(child.wait_with_output().unwrap()));
    // What was approved is good for a while, and no longer once it is revoked.
    runs(asked(&stage, NOBODY, &["--reason", "once more"]));
    let grants = agent.call("GET", "/api/grants").send().json();
    let grant = id_of(&grants[0]);
    assert_eq!(agent.call("DELETE", &format!("/api/grants/{grant}")).send().status, 200);
    let child = ask();
    waiting(json!(["APPROVAL"]));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(!child.wait_with_output().unwrap().status.success());
    newest(&agent, "Withdrawn");
    agent.stop();
}

#[test]
fn a_second_factor_is_a_code_that_counts_once() {
    if !has_program("python3", "codes of an authenticator") {
        return;
    }
    let Some(stage) = installed() else { return };
    let agent = start(&stage);
    ready(&agent);
    allow(&stage, &["MFA", "JUSTIFY"]);
    let with = |code: &str, words: &[&str]| {
        say(elevate(&stage, NOBODY, &[&["--reason", "to see who I am", "--code", code], words].concat()))
    };
    denied(with("000000", &ID), "castellan mfa enroll nobody");
    let enrolled = agent.call("POST", "/api/mfa/nobody").send().json();
    let right = code(enrolled["secret"].as_str().unwrap(), 0);
    let wrong = if right == "000000" { "000001" } else { "000000" };
    denied(with(wrong, &ID), "That code is wrong");
    runs(with(&right, &ID));
    // For a while it is good for the same; anything else needs a code, and this one was used.
    runs(asked(&stage, NOBODY, &[]));
    denied(with(&right, &["--", "id", "-g"]), "was used before");
    agent.stop();
    let (_, shown, _) = say(command(&stage, &["audit", "show", "-o", "json"]));
    assert!(shown.contains("MFA") && !shown.contains(&right), "{shown}");
}

#[test]
fn what_lies_launches_nothing() {
    let Some(stage) = installed() else { return };
    stage.script("KeeperApproval", r#"echo '{"APPROVAL":{"Satisfied":true}}'"#);
    stage.job(&stage.puppet_job("liar", &["KeeperPolicy"], &[]));
    let agent = start(&stage);
    let pid = ready(&agent)["processId"].as_u64().unwrap();
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    agent.trigger("liar");
    let mut liar = stage.puppet("liar");
    liar.connect(agent.mqtt);
    // A program that says that its control is met, and a job that goes on to the launch.
    allow(&stage, &["APPROVAL"]);
    let (code, out, err) = asked(&stage, NOBODY, &["--reason", "to see who I am"]);
    assert_eq!((code, out.as_str()), (4, ""), "{err}");
    assert_eq!(agent.runs("LaunchPrivilegeElevation").len(), 1, "the launch was tried, and refused");
    // A task that calls the launch of a request that is not authorized, of one that is over, and of none.
    for request in ["E1-1", "E1-77"] {
        let call =
            json!({ "do": "call", "method": "POST", "target": format!("/api/elevation/{request}/launch"), "body": "" });
        let answer = liar.order(&call);
        assert!(answer["status"] == 409 || answer["status"] == 404, "{answer}");
    }
    // A question in the name of a request, about what is allowed: its answer is not one to the request.
    allow(&stage, &["ALLOW"]);
    kill_process(pid, Signal::STOP).unwrap();
    let mut forged = question("E1-2", NOBODY);
    forged["RespondToTopic"] = json!("KeeperPolicy/answers");
    liar.publish("KeeperPolicy", &forged.to_string());
    let cat = spawn(&mut elevate(&stage, NOBODY, &["--", "cat", "/etc/shadow"]));
    newest(&agent, "Evaluating");
    kill_process(pid, Signal::CONT).unwrap();
    denied(ended(cat.wait_with_output().unwrap()), "DENY for 'cat /etc/shadow'");
    // KeeperPolicy is killed while a request waits for it: another process answers.
    kill_process(pid, Signal::STOP).unwrap();
    let id = spawn(&mut elevate(&stage, NOBODY, &ID));
    newest(&agent, "Evaluating");
    kill_process(pid, Signal::KILL).unwrap();
    runs(ended(id.wait_with_output().unwrap()));
    liar.exit(0, "");
    agent.stop();
}

#[test]
fn programs_run_as_the_account_that_the_settings_name() {
    let Some(stage) = installed() else { return };
    stage.settings(json!({ "ElevationAccount": "daemon" }));
    stage.file("Policies/all.json", &policy("nobody", "*", &["ALLOW"]).to_string());
    let agent = start(&stage);
    ready(&agent);
    let script = "id -un; id -u; id -G; echo $HOME $USER $KEEPER_REQUESTING_UID";
    let (code, said, error) = say(elevate(&stage, NOBODY, &["--", "sh", "-c", script]));
    assert_eq!((code, said.as_str()), (0, "daemon\n1\n1\n/usr/sbin daemon 65534\n"), "{error}");
    agent.stop();
    let (_, audit, error) = say(command(&stage, &["audit", "export"]));
    assert!(audit.contains(r#""runAs":"daemon""#), "{error}{audit}");

    // An account that is not there lets nothing run.
    stage.settings(json!({ "ElevationAccount": "no-such-account" }));
    let agent = start(&stage);
    ready(&agent);
    let (code, said, error) = say(elevate(&stage, NOBODY, &["--", "id"]));
    assert_eq!((code, said.as_str()), (4, ""), "{error}");
    assert!(error.contains("Settings:ElevationAccount, 'no-such-account'"), "{error}");
    agent.stop();
}
