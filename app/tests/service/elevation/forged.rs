//! Who speaks in the name of another's request, and who puts another file in the place of a judged one, gets nowhere and is told.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::scene::{LAUNCH, Scene, told};
use super::{DAEMON, NOBODY, as_user, denied, elevate, id_of, newest, policy};
use crate::support::{command, has_program, say, spawn};

/// A frame with these bytes, and no descriptors: sent to the socket by another user; answers with what came back.
const SPEAK: &str = r#"
import json, os, socket, struct, sys
def frame(text): return struct.pack("<I", len(text)) + text.encode()
def receive(s):
    head = b""
    while len(head) < 4:
        more = s.recv(4 - len(head))
        if not more: return None
        head += more
    body = b""
    while len(body) < struct.unpack("<I", head)[0]:
        body += s.recv(65536)
    return body.decode()
os.chdir(sys.argv[1])
for text in sys.argv[2:]:
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.settimeout(30)
    s.connect("request.sock")
    null = os.open("/dev/null", os.O_RDWR)
    folder = os.open("/", os.O_PATH | os.O_DIRECTORY)
    socket.send_fds(s, [frame(text)], [null, null, null, folder])
    print(receive(s))
"#;

#[test]
fn another_users_request_is_out_of_reach_on_every_way() {
    if !has_program("python3", "a caller who speaks the raw language of the request socket")
        || !has_program("curl", "a user without a certificate at the API")
    {
        return;
    }
    let Some(scene) = Scene::new() else { return };
    let agent = scene.start();
    scene.requires(&["APPROVAL"]);
    let child = scene.ask("true");
    let request = id_of(&newest(&agent, "AwaitingControls"));

    // No word of the socket's language reaches somebody else's request; who invents one is told.
    let mut named =
        json!({ "version": 1, "words": ["true"], "terminal": false, "environment": [], "reason": null, "code": null });
    named["request"] = json!(request);
    let reply = json!({ "Reply": { "prompt": 1, "text": "mine" } });
    let approve = json!({ "Approve": { "request": request } });
    let words = [named.to_string(), reply.to_string(), approve.to_string()];
    let mut python = Command::new("python3");
    python.arg("-c").arg(SPEAK).arg(scene.stage.root().join("run")).args(&words);
    let (code, said, error) = say(as_user(DAEMON, &mut python));
    assert_eq!(code, 0, "{error}");
    assert_eq!(said.lines().count(), words.len(), "{said}");
    assert!(said.lines().all(|line| line.contains("Denied")), "{said}");
    assert!(said.contains("unknown field `request`"), "{said}");

    // At the API a user is nobody without a certificate.
    for (method, what) in
        [("POST", "approve"), ("POST", "deny"), ("POST", "launch"), ("POST", "controls/APPROVAL"), ("GET", "")]
    {
        let target = format!("https://localhost:{}/api/elevation/{request}/{what}", agent.https);
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-X", method, "-d", "{}", "-H", "Content-Type: application/json", "-w", " %{http_code}"]);
        curl.arg("--cacert").arg(scene.stage.root().join("ca.pem")).arg(target.trim_end_matches('/'));
        let (code, said, error) = say(as_user(DAEMON, &mut curl));
        assert!(code == 0 && said.ends_with(" 403") && said.contains("tierNeeded"), "{method} {what}: {said} {error}");
    }

    // To the broker his processes are strangers, whatever they call themselves.
    let puppet = scene.stage.deploy_puppet();
    let mut stranger = Command::new(puppet);
    let mut arguments = scene.stage.puppet_arguments("stranger");
    arguments[1] = scene.stage.root().join("ca.pem").display().to_string();
    stranger.args(arguments).uid(DAEMON.1).gid(DAEMON.1);
    let mut process = spawn(&mut stranger);
    let mut stranger = scene.stage.puppet("stranger");
    for id in [format!("KeeperPolicy_{}", stranger.pid()), format!("{LAUNCH}_Puppet_{}", stranger.pid())] {
        let answer = stranger.connect_as(agent.mqtt, &id);
        assert_eq!(answer["code"], "NotAuthorized", "{answer}");
    }
    stranger.exit(0, "");
    process.wait().unwrap();

    assert_eq!(id_of(&newest(&agent, "AwaitingControls")), request, "and it waits on");
    let (code, _, said) = say(command(&scene.stage, &["requests", "deny", &request, "--reason", "the test is over"]));
    assert_eq!(code, 0, "{said}");
    denied(told(child), "den");
    assert_eq!(scene.marked(), 0);
    agent.stop();
}

/// Ways to have something else run than what was judged. The file was there before, and its folder is root's: who does that has the
/// right to, or has found a hole elsewhere.
const SWAPS: [(&str, &str); 4] = [
    ("another file under its name", "cp other new && mv new program"),
    ("written into", "cat other > program"),
    ("a link in its place", "ln -sf other program"),
    ("a link on its way", "mv folder was && mkdir folder && cp other folder/program"),
];

#[test]
fn a_program_that_is_swapped_after_the_decision_is_not_run() {
    let Some(scene) = Scene::new() else { return };
    let agent = scene.start();
    scene.hold_the_launch(&agent);
    let place = scene.marks().parent().unwrap().to_owned();
    for (number, (what, swap)) in SWAPS.into_iter().enumerate() {
        let folder = place.join(number.to_string());
        fs::create_dir_all(folder.join("folder")).unwrap();
        let put = |name: &Path, text: &str| {
            crate::support::deploy(|| fs::write(name, format!("#!/bin/sh\n{text}\n")).unwrap());
            fs::set_permissions(name, Permissions::from_mode(0o755)).unwrap();
        };
        let (program, at) = match what {
            "a link on its way" => (folder.join("folder/program"), "folder/program"),
            _ => (folder.join("program"), "program"),
        };
        put(&program, "echo judged");
        put(&folder.join("other"), &format!("echo swapped; echo ran >>{}", scene.marks().display()));
        scene.stage.file(
            "Policies/all.json",
            &policy("nobody", &format!("{}/*", program.parent().unwrap().display()), &["ALLOW"]).to_string(),
        );
        let child = spawn(elevate(&scene.stage, NOBODY, &["--", &format!("./{at}")]).current_dir(&folder));
        let mut launcher = scene.stage.puppet(LAUNCH);
        let request = id_of(&newest(&agent, "Authorized"));
        let swapped = spawn(Command::new("sh").args(["-c", swap]).current_dir(&folder)).wait().unwrap();
        assert!(swapped.success(), "{what}");
        let target = format!("/api/elevation/{request}/launch");
        let answer = launcher.order(&json!({ "do": "call", "method": "POST", "target": target, "body": "" }));
        assert_eq!(answer["status"], 409, "{what}: {answer}");
        launcher.exit(0, "");
        denied(told(child), "was changed or replaced after it had been judged");
        assert_eq!(scene.marked(), 0, "{what}");
    }
    agent.stop();
}
