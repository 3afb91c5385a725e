//! Authenticators of a real agent: enrolled at the command line, their codes good once and over restarts, and locked after five wrong ones.
//! The codes are made by an implementation that nobody here wrote: Python's `hmac` and ten lines around it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Agent, Stage, command, has_program, say, spawn};

/// RFC 6238 for the step of now and so many behind it.
const TOTP: &str = "
import base64, hashlib, hmac, struct, sys, time
secret, step = sys.argv[1], int(time.time()) // 30 + int(sys.argv[2])
mac = hmac.new(base64.b32decode(secret), struct.pack('>Q', step), hashlib.sha1).digest()
start = mac[19] & 15
print('%06d' % ((struct.unpack('>I', mac[start:start + 4])[0] & 0x7fffffff) % 1000000))
";

pub(crate) fn code(secret: &str, later: i32) -> String {
    let mut python = Command::new("python3");
    python.args(["-c", TOTP, secret, &later.to_string()]).stdout(Stdio::piped());
    String::from_utf8(spawn(&mut python).wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
}

fn tried(agent: &Agent<'_>, user: &str, code: &str) -> Value {
    let answer = agent.call("POST", &format!("/api/mfa/{user}")).json(&json!({ "code": code })).send();
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.json()
}

/// Enrolls a user as an administrator does: reads the secret, gives a wrong code and then the right one.
fn enroll(stage: &Stage, user: &str) -> (String, String) {
    let mut child = spawn(command(stage, &["mfa", "enroll", user]).stdin(Stdio::piped()));
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("shown this once") {
        assert_ne!(out.read_line(&mut shown).unwrap(), 0, "{shown}");
    }
    let secret = shown.split_once("type the secret: ").unwrap().1.lines().next().unwrap().to_owned();
    assert!(
        shown.contains('█') && shown.contains(&format!("otpauth://totp/Castellan:{user}?secret={secret}&")),
        "{shown}"
    );
    let used = code(&secret, 0);
    let wrong = if used == "000000" { "000001" } else { "000000" };
    write!(child.stdin.take().unwrap(), "{wrong}\n{used}\n").unwrap();
    let (mut rest, mut told) = (String::new(), String::new());
    out.read_to_string(&mut rest).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}{told}");
    assert!(rest.contains(&format!("{user} is enrolled.")) && told.contains("The code is not right"), "{rest}{told}");
    (secret, used)
}

/// Whether some file below holds these bytes.
fn holds(folder: &Path, wanted: &[u8]) -> bool {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).any(|path| {
        if path.is_dir() {
            return holds(&path, wanted);
        }
        fs::read(&path).is_ok_and(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted))
    })
}

#[test]
fn a_code_is_good_once_and_five_wrong_ones_lock_over_kills_of_the_agent() {
    if !has_program("python3", "codes of an authenticator") {
        return;
    }
    let stage = Stage::new();
    let agent = stage.start();
    let (secret, used) = enroll(&stage, "alice");
    let left = |left: u32| json!({ "verified": false, "left": left });
    assert_eq!(tried(&agent, "alice", &used), left(4), "used twice");
    let next = code(&secret, 1);
    assert_eq!(tried(&agent, "alice", &next), json!({ "verified": true }));
    agent.kill();

    let agent = stage.start();
    for (place, code) in [next.as_str(), "", "123", "abcdef"].iter().enumerate() {
        assert_eq!(tried(&agent, "alice", code), left(4 - u32::try_from(place).unwrap()));
    }
    agent.kill();
    let agent = stage.start();
    let locked = tried(&agent, "alice", "");
    assert!(locked["lockedUntil"].is_string() && locked["verified"] == false, "the fifth, over a kill: {locked}");
    agent.kill();
    let agent = stage.start();
    assert_eq!(tried(&agent, "alice", &code(&secret, 1)), locked, "a restart frees nobody");

    let listed = agent.call("GET", "/api/mfa").send();
    let users = listed.json();
    assert_eq!(
        (&users[0]["user"], &users[0]["used"], &users[0]["enrolledBy"]),
        (&json!("alice"), &json!(true), &json!("client"))
    );
    assert_eq!((&users[0]["lockedUntil"], listed.body.contains(&secret)), (&locked["lockedUntil"], false));
    let again = agent.call("POST", "/api/mfa/alice").send();
    assert!(again.status == 409 && again.body.contains("castellan mfa remove alice"), "{}", again.body);
    assert_eq!(agent.anonymous("GET", "/api/mfa").send().status, 403);
    let mut python = Command::new("python3");
    python.args(["-c", "import base64,sys; sys.stdout.buffer.write(base64.b32decode(sys.argv[1]))", &secret]);
    let raw = spawn(python.stdout(Stdio::piped())).wait_with_output().unwrap().stdout;
    assert!(raw.len() == 20 && !holds(&stage.root().join("state"), &raw), "sealed");
    assert!(!holds(&stage.root().join("state"), secret.as_bytes()), "nothing on disk has it, the log included");

    let (code, _, error) = say(command(&stage, &["mfa", "enroll", "bob", "-o", "json"]));
    assert!(code == 2 && error.contains("--no-confirm"), "{error}");
    assert_eq!(say(command(&stage, &["mfa", "enroll", "bob", "--no-confirm", "-o", "json"])).0, 0);
    // Nobody gives a code: the enrollment is taken back.
    let (code, _, error) = say(command(&stage, &["mfa", "enroll", "carol"]));
    assert!(code == 1 && error.contains("taken back"), "{error}");
    assert_eq!(say(command(&stage, &["mfa", "list", "-o", "name"])).1, "alice\nbob\n");
    assert_eq!(say(command(&stage, &["mfa", "remove", "alice"])).0, 2, "it asks");
    assert_eq!(say(command(&stage, &["mfa", "remove", "alice", "--yes"])).0, 0);
    assert_eq!(say(command(&stage, &["mfa", "remove", "alice", "--yes"])).0, 3);
    assert_eq!(agent.call("POST", "/api/mfa/alice").json(&json!({ "code": "123456" })).send().status, 404);
    agent.stop();
    let (_, shown, _) = say(command(&stage, &["audit", "show", "--kind", "enrollment", "-o", "json"]));
    let told = |line: &str| {
        serde_json::from_str::<Value>(line).map(|one| format!("{} {}", one["user"], one["change"])).unwrap()
    };
    let expect = ["alice enrolled", "bob enrolled", "carol enrolled", "carol removed", "alice removed"];
    assert_eq!(shown.lines().map(|line| told(line).replace('"', "")).collect::<Vec<_>>(), expect);
}
