//! The administrator at the command line: what was refused and why, what goes over the broker, and who may not look.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Agent, Stage, binary, command, deploy, eventually, is_root, say, skipped, spawn};

/// A watch that has its subscriptions; it ends by itself, in the worst case after its own limit.
struct Watch(Child);

impl Watch {
    #[track_caller]
    fn start(stage: &Stage, arguments: &[&str]) -> Self {
        let arguments = [&["topics", "watch", "--timeout", "60"], arguments].concat();
        let mut child = spawn(&mut command(stage, &arguments));
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with("castellan: watching "), "{line}");
        Self(child)
    }

    #[track_caller]
    fn lines(mut self) -> Vec<String> {
        let mut text = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut text).unwrap();
        assert!(self.0.wait().unwrap().success(), "{text}");
        text.lines().map(str::to_owned).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn on_record(agent: &Agent<'_>, target: &str) -> Value {
    eventually(&format!("the denial of '{target}'"), || {
        let denials = agent.call("GET", "/api/denials").send().json();
        denials.as_array().unwrap().iter().find(|denial| denial["target"] == target).cloned()
    })
}

#[test]
fn why_denied_tells_who_what_why_and_what_to_declare() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("speaker", &["KeeperLogger"], &[]));
    stage.job(&stage.puppet_job("listener", &[], &["Declared"]));
    let agent = stage.start();
    let (code, _, error) = say(command(&stage, &["why", "denied"]));
    assert_eq!((code, error.as_str()), (3, "castellan: the agent has refused nothing since it was started.\n"));

    agent.trigger("speaker");
    agent.trigger("listener");
    let (mut speaker, mut listener) = (stage.puppet("speaker"), stage.puppet("listener"));
    speaker.connect(agent.mqtt);
    listener.connect(agent.mqtt);
    speaker.publish("Undeclared", "1");
    on_record(&agent, "Undeclared");
    listener.subscribe("Others/#");
    on_record(&agent, "Others/#");

    let (code, story, _) = say(command(&stage, &["why", "denied"]));
    let file = stage.root().join("Jobs/listener.json");
    for part in [
        "job:listener may not subscribe to 'Others/#'.",
        &format!("who:      job:listener, pid {}, client id 'listener_Puppet_{0}'", listener.pid()),
        "why:      No entry of /mqttTopics/allowedSubscriptions in Jobs/listener.json covers it.",
        &format!("in {}\n", file.display()),
        "at /mqttTopics/allowedSubscriptions/-\n",
        "add \"Others/#\"",
    ] {
        assert!(code == 0 && story.contains(part), "{part}: {story}");
    }
    for whose in ["job:speaker", "speaker", &format!("speaker_Puppet_{}", speaker.pid())] {
        let (code, story, _) = say(command(&stage, &["why", "denied", whose]));
        assert!(code == 0 && story.contains("may not publish to 'Undeclared'."), "{story}");
    }
    let (_, listed, _) = say(command(&stage, &["why", "denied", "last", "--count", "9", "--json"]));
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(listed[0]["declaration"]["pointer"], "/mqttTopics/allowedSubscriptions/-");
    let (code, _, error) = say(command(&stage, &["why", "denied", "nobody"]));
    assert!(code == 3 && error.contains("On record: job:listener, job:speaker."), "{error}");
    speaker.exit(0, "");
    listener.exit(0, "");
    agent.stop();
}

#[test]
fn topics_watch_shows_what_nobody_declared_to_it() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("speaker", &["News/#", "KeeperLogger"], &[]));
    let agent = stage.start();
    agent.trigger("speaker");
    let mut speaker = stage.puppet("speaker");
    speaker.connect(agent.mqtt);

    let people = Watch::start(&stage, &["News/#", "$SYS/#", "--count", "2"]);
    let programs = Watch::start(&stage, &["#", "--count", "2", "--json"]);
    speaker.publish("News/a", "one\u{1b}[2J\ntwo");
    let quiet = json!({ "do": "publish", "topic": "News/b", "payload": "zero", "qos": 0 });
    speaker.order(&quiet);
    let lines = people.lines();
    assert!(lines[0].ends_with(" QoS 1 News/a: one\\u001b[2J\\ntwo"), "{lines:?}");
    assert!(lines[1].ends_with(" QoS 0 News/b: zero"), "{lines:?}");
    let objects = programs.lines();
    let first: Value = serde_json::from_str(&objects[0]).unwrap();
    assert_eq!((&first["topic"], &first["payload"]), (&json!("News/a"), &json!("one\u{1b}[2J\ntwo")));
    assert_eq!((&first["qos"], &first["retain"]), (&json!(1), &json!(false)));

    let line = agent.logged_message("Connected", "Administrator 'client' as @admin_");
    assert_eq!(line["component"], "admin:client");
    let (code, _, error) = say(command(&stage, &["topics", "watch", "$share/a/News/#"]));
    assert!(code == 4 && error.contains("no $share"), "{error}");
    assert_eq!(on_record(&agent, "News/#")["component"], "admin:client");
    assert_eq!(say(command(&stage, &["topics", "watch", "News/#/x"])).0, 2);
    let (code, _, error) = say(command(&stage, &["topics", "watch", "News/#", "--count", "1", "--timeout", "1"]));
    assert!(code == 1 && error.ends_with("0 of 1 messages came in time.\n"), "{error}");
    speaker.exit(0, "");
    agent.stop();
}

#[test]
fn who_has_no_agent_or_no_right_is_told_what_to_do() {
    let stage = Stage::new();
    let commands: [&[&str]; 2] = [&["why", "denied"], &["topics", "watch", "#"]];
    for arguments in commands {
        let (code, _, error) = say(command(&stage, arguments));
        assert!(code == 5 && error.contains("castellan run --root"), "{error}");
    }
    let mut agent = stage.start();
    agent.signal(rustix::process::Signal::KILL);
    agent.exited();
    stage.killed(agent.pid());
    assert!(stage.root().join("state/ports.json").exists(), "it could not tidy up");
    for arguments in commands {
        assert_eq!(say(command(&stage, arguments)).0, 5, "the ports of a dead agent are nobody's");
    }
    if !is_root() {
        return skipped("what an ordinary user is told: the tests do not run as root");
    }
    let agent = stage.start();
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("castellan");
    deploy(|| fs::copy(binary(), &program)).unwrap();
    let open = |path: &std::path::Path| {
        fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    };
    open(place.path());
    open(stage.folder());
    for arguments in commands {
        let mut command = Command::new(&program);
        command.args(arguments).arg("--root").arg(stage.root()).uid(65534).gid(65534);
        let (code, _, error) = say({
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        });
        assert!(code == 4 && error.contains("sudo"), "{code}: {error}");
    }
    agent.stop();
}

#[test]
fn a_certificate_of_another_authority_or_one_taken_back_is_none() {
    let (stage, other) = (Stage::new(), Stage::new());
    let commands: [&[&str]; 2] = [&["why", "denied"], &["topics", "watch", "#", "--timeout", "5"]];
    let agent = stage.start();
    other.start().stop();
    let own = stage.root().join("state/admin");
    let foreign = other.root().join("state/admin");
    let mine: Vec<Vec<u8>> =
        ["client.pem", "client.key"].iter().map(|name| fs::read(own.join(name)).unwrap()).collect();
    for name in ["client.pem", "client.key"] {
        fs::copy(foreign.join(name), own.join(name)).unwrap();
    }
    for arguments in commands {
        let (code, _, error) = say(command(&stage, arguments));
        assert!(code == 5 && error.contains("client.pem is on the list"), "{code}: {error}");
    }
    for (name, bytes) in ["client.pem", "client.key"].iter().zip(mine) {
        fs::write(own.join(name), bytes).unwrap();
    }
    agent.stop();

    fs::write(own.join("issued.json"), "[]").unwrap();
    let agent = stage.start();
    for arguments in commands {
        let (code, _, error) = say(command(&stage, arguments));
        assert!(code == 4 && error.contains("it may have been revoked"), "{code}: {error}");
    }
    agent.stop();
}
