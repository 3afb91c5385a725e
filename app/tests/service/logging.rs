//! The log under load and under failures: many clients, a client that floods, a full disk, journald, a level that changes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use serde_json::{Value, json};

use crate::support::{Agent, PATIENCE, Puppet, Stage, command, eventually, is_root, say, skipped, spawn};

/// Every line of the log, from the oldest file on.
fn lines(stage: &Stage) -> Vec<Value> {
    let name = |number: u32| stage.root().join(format!("state/logs/agent.jsonl.{number}"));
    let former: Vec<PathBuf> = (1..).map(name).take_while(|path| path.exists()).collect();
    let files = former.into_iter().rev().chain([stage.root().join("state/logs/agent.jsonl")]);
    let text: Vec<String> = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.iter().flat_map(|text| text.lines()).map(line).collect()
}

/// The numbers of the messages that a flood logged, by client.
fn floods(lines: &[Value]) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for line in lines.iter().filter(|line| line["category"] == "Flood") {
        let number = line["message"].as_str().unwrap().strip_prefix("flood ").unwrap().parse().unwrap();
        found.entry(line["clientId"].as_str().unwrap().to_owned()).or_default().push(number);
    }
    found
}

#[track_caller]
fn flood(puppet: &mut Puppet, port: u16, messages: u64) {
    let id = format!("{}_Puppet_{}", puppet.label(), puppet.pid());
    let order = json!({ "do": "flood", "port": port, "id": id, "messages": messages });
    assert_eq!(puppet.order(&order), json!({ "sent": messages }));
}

/// A sample of `GET /metrics`.
fn metric(agent: &Agent<'_>, sample: &str) -> u64 {
    let answer = agent.call("GET", "/metrics").send();
    let line = answer.body.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' ')?.parse().ok());
    line.unwrap_or_else(|| panic!("no {sample}: {}", answer.body))
}

/// Of each of the twenty clients.
const MESSAGES: u64 = 5000;

#[test]
fn no_message_of_twenty_clients_is_lost_and_each_clients_are_in_order() {
    let stage = Stage::new();
    stage.settings(json!({ "MaxConcurrentRuns": 20, "system.logging.fileBytes": 2 << 20 }));
    let jobs: Vec<String> = (0..20).map(|number| format!("flood-{number}")).collect();
    jobs.iter().for_each(|id| stage.job(&stage.puppet_job(id, &["KeeperLogger"], &[])));
    let agent = stage.start();
    jobs.iter().for_each(|id| drop(agent.trigger(id)));
    let mut puppets: Vec<Puppet> = jobs.iter().map(|id| stage.puppet(id)).collect();
    let port = agent.mqtt;
    thread::scope(|scope| {
        for puppet in &mut puppets {
            scope.spawn(move || flood(puppet, port, MESSAGES));
        }
    });
    for puppet in puppets {
        puppet.exit(0, "");
    }
    assert_eq!(metric(&agent, "castellan_log_records_lost_total{sink=\"file\"}"), 0);
    assert_eq!(metric(&agent, "castellan_log_messages_dropped_total"), 0);
    // What is written when the agent ends is all there is.
    agent.stop();
    let expected: Vec<u64> = (0..MESSAGES).collect();
    let found = floods(&lines(&stage));
    assert_eq!(found.len(), 20);
    for (client, numbers) in found {
        assert_eq!(numbers, expected, "{client}: each message once and in its order");
    }
}

#[test]
fn a_client_that_floods_is_limited_and_told_so_and_others_are_not() {
    let stage = Stage::new();
    stage.settings(json!({ "system.logging.clientRate": 1, "system.logging.clientBurst": 200 }));
    ["noisy", "quiet"].iter().for_each(|id| stage.job(&stage.puppet_job(id, &["KeeperLogger"], &[])));
    let agent = stage.start();
    ["noisy", "quiet"].iter().for_each(|id| drop(agent.trigger(id)));
    let (mut noisy, mut quiet) = (stage.puppet("noisy"), stage.puppet("quiet"));
    flood(&mut noisy, agent.mqtt, 1000);
    flood(&mut quiet, agent.mqtt, 100);
    let told = agent.logged_message("LogDropped", "log messages of noisy_Puppet_");
    assert!(told["message"].as_str().unwrap().contains("system.logging.clientRate"), "{told}");
    let denial = eventually("the refusals of all of them", || {
        let denials = agent.call("GET", "/api/denials").send().json();
        let denials = denials.as_array().unwrap().clone();
        denials.into_iter().find(|denial| denial["action"] == "log" && denial["count"].as_u64() > Some(700))
    });
    assert_eq!((&denial["component"], &denial["target"]), (&json!("job:noisy"), &json!("KeeperLogger")));
    let dropped = denial["count"].as_u64().unwrap();
    assert_eq!(metric(&agent, "castellan_log_messages_dropped_total"), dropped);
    let (code, out, _) = say(command(&stage, &["doctor"]));
    assert!(code == 1 && out.contains(&format!("{dropped} log messages of clients were dropped")), "{out}");
    noisy.exit(0, "");
    quiet.exit(0, "");
    agent.stop();
    let logged = floods(&lines(&stage)).into_values().map(|numbers| numbers.len() as u64).collect::<Vec<_>>();
    assert_eq!(logged, [1000 - dropped, 100], "what is not in the log is counted");
}

/// How many records a line says were lost.
fn lost_by(line: &Value) -> Option<u64> {
    line["message"].as_str()?.split_once(" log records were lost in file")?.0.parse().ok()
}

/// A small file system of its own at a folder, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, and loudly, where none can be mounted.
    fn mount(folder: &Path) -> Option<Self> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs"]).arg(folder);
        if !is_root() || !spawn(&mut mount).wait().unwrap().success() {
            skipped("a full disk below the log: no file system can be mounted here");
            return None;
        }
        Some(Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let ended = spawn(Command::new("umount").arg("--lazy").arg(&self.0)).wait();
        assert!(thread::panicking() || ended.unwrap().success(), "{} is still mounted", self.0.display());
    }
}

#[test]
fn the_agent_goes_on_while_the_disk_of_its_log_is_full_and_says_what_was_lost() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    stage.start().stop();
    let logs = stage.root().join("state/logs");
    let Some(disk) = SmallDisk::mount(&logs) else { return };
    let agent = stage.start();
    agent.trigger("scan");
    let mut task = stage.puppet("scan");
    let filler = logs.join("filler");
    assert!(fs::write(&filler, vec![0; 2 << 20]).is_err(), "the disk is full now");
    flood(&mut task, agent.mqtt, 1000);
    let lost = || metric(&agent, "castellan_log_records_lost_total{sink=\"file\"}");
    eventually("records that are lost", || Some(()).filter(|()| lost() > 0));
    assert_eq!(agent.call("GET", "/health").send().status, 200);

    fs::remove_file(&filler).unwrap();
    task.connect(agent.mqtt);
    task.log("there is room again");
    // A small line may have had room in between, and then said what had been lost by then.
    let told = || agent.log().iter().filter_map(lost_by).sum::<u64>();
    let count = eventually("the count of all that was lost", || Some(lost()).filter(|lost| *lost == told()));
    task.exit(0, "");
    assert!(agent.stderr().contains("the log's sink file takes no records"), "{}", agent.stderr());
    agent.stop();
    let lines = lines(&stage);
    let flooded = floods(&lines).into_values().next().unwrap_or_default();
    let of_agent = 1000 - flooded.len() as u64;
    assert!(of_agent <= count && of_agent > 0, "{count} were lost, {of_agent} of them messages of the task");
    assert!(flooded.is_sorted() && lines.iter().any(|line| line["message"] == "there is room again"));
    drop(disk);
}

#[test]
fn journald_gets_what_the_file_gets_once_it_is_there() {
    let stage = Stage::new();
    let path = stage.folder().join("journal");
    stage.settings(json!({ "system.logging.journal": path }));
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    let agent = stage.start();
    let start = agent.logged_message("Start", "The log is in ");
    assert!(start["message"].as_str().unwrap().contains("journald, which is not there now"), "{start}");
    let journal = UnixDatagram::bind(&path).unwrap();
    journal.set_read_timeout(Some(PATIENCE)).unwrap();
    let run = agent.trigger("scan");
    let mut task = stage.puppet("scan");
    task.connect(agent.mqtt);
    task.log("two\nlines");
    let entry = loop {
        let mut bytes = vec![0; 1 << 16];
        let length = journal.recv(&mut bytes).unwrap();
        let entry = String::from_utf8(bytes[..length].to_vec()).unwrap();
        if entry.contains("SOURCE=Puppet") {
            break entry;
        }
    };
    let client = format!("CLIENT_ID=scan_Puppet_{}", task.pid());
    let run = format!("RUN_ID={run}");
    for field in [
        "MESSAGE=two\\nlines",
        "PRIORITY=6",
        "SYSLOG_IDENTIFIER=castellan",
        "KEEPER_JOB_ID=scan",
        "CATEGORY=Test",
        &client,
        &run,
    ] {
        assert!(entry.lines().any(|line| line == field), "{field}: {entry}");
    }
    task.exit(0, "");
    agent.stop();
}

#[test]
fn the_level_changes_at_once_and_stays() {
    let stage = Stage::new();
    stage.settings(json!({ "system.logging.level": "Warning" }));
    stage.job(&json!({ "id": "one", "tasks": [{ "id": "t", "command": "echo", "arguments": "{Nobody}" }] }));
    let agent = stage.start();
    agent.run("one");
    let settings = |words: &[&str]| {
        let (code, out, error) = say(command(&stage, &[&["settings"], words].concat()));
        assert_eq!(code, 0, "{error}");
        out
    };
    settings(&["set", "KeeperPrivilegeManager", "system.logging.level", "Debug"]);
    let of_debug = || agent.log().iter().filter(|line| line["level"] == "Debug").count();
    assert_eq!(of_debug(), 0);
    agent.run("one");
    eventually("lines of a level that nobody had asked for", || Some(()).filter(|()| of_debug() > 0));
    let explained = settings(&["explain", "KeeperPrivilegeManager", "system.logging.level"]);
    assert!(["Debug", "storage", "Warning"].iter().all(|word| explained.contains(word)), "{explained}");
    agent.stop();
    let agent = stage.start();
    let kept = agent.call("GET", "/api/PluginSettings/KeeperPrivilegeManager/system.logging.level").send();
    assert_eq!(kept.json(), json!("Debug"));
    agent.stop();
}
