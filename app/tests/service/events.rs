//! `GET /api/events`, followed by a client that nobody here wrote: what happens arrives, a client that was killed goes on where it
//! was, its place is free again, and the agent's stop ends a stream in order.

use std::io::{BufRead, BufReader, Lines};
use std::process::{Child, ChildStdout, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Agent, Stage, eventually, has_program, spawn};

/// `curl` on the event stream, with what it wrote so far.
struct Watch {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    status: u16,
    last_id: String,
}

impl Watch {
    #[track_caller]
    fn start(agent: &Agent<'_>, target: &str, last_id: Option<&str>) -> Self {
        let call = agent.call("GET", target);
        let call = if let Some(id) = last_id { call.header("Last-Event-ID", id) } else { call };
        let mut command = call.curl();
        let command = command.arg("--no-buffer").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = spawn(command);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let status = lines.next().unwrap().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        Self { child, lines, status, last_id: String::new() }
    }

    /// A stream that is open: its first id has come.
    #[track_caller]
    fn open(agent: &Agent<'_>, target: &str) -> Self {
        let mut watch = Self::start(agent, target, None);
        assert_eq!(watch.status, 200);
        while watch.last_id.is_empty() {
            assert!(watch.line().is_some(), "the stream ended");
        }
        watch
    }

    fn line(&mut self) -> Option<String> {
        let line = self.lines.next()?.unwrap();
        if let Some(id) = line.strip_prefix("id: ") {
            id.clone_into(&mut self.last_id);
        }
        Some(line)
    }

    /// The next event's kind and data; `None` at the end.
    fn event(&mut self) -> Option<(String, Value)> {
        let mut kind = String::new();
        loop {
            let line = self.line()?;
            if let Some(name) = line.strip_prefix("event: ") {
                name.clone_into(&mut kind);
            } else if let Some(data) = line.strip_prefix("data: ") {
                return Some((kind, serde_json::from_str(data).unwrap()));
            }
        }
    }

    /// What runs did until the first has finished, each as `job event`.
    fn until_finished(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        while let Some((kind, data)) = self.event() {
            assert_eq!(kind, "run", "{data}");
            told.push(format!("{} {}", data["jobId"].as_str().unwrap(), data["event"].as_str().unwrap()));
            if data["event"] == "finished" {
                return told;
            }
        }
        panic!("the stream ended after {told:?}")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn echo(id: &str) -> Value {
    json!({ "id": id, "tasks": [ { "id": "say", "command": "echo", "arguments": "hello" } ] })
}

#[test]
fn a_client_that_is_killed_goes_on_where_it_was() {
    if !has_program("curl", "event streams read by a client nobody here wrote") {
        return;
    }
    let stage = Stage::new();
    stage.job(&echo("one"));
    stage.job(&echo("two"));
    let agent = stage.start();
    let mut watch = Watch::open(&agent, "/api/events?kinds=run");
    agent.run("one");
    assert_eq!(watch.until_finished(), ["one triggered", "one started", "one taskFinished", "one finished"]);
    let last = watch.last_id.clone();
    // SIGKILL: nobody says goodbye.
    drop(watch);
    agent.run("two");
    agent.anonymous("GET", "/api/Jobs").send();
    let mut watch = Watch::start(&agent, "/api/events?kinds=run", Some(&last));
    assert_eq!(watch.until_finished(), ["two triggered", "two started", "two taskFinished", "two finished"]);
    let mut denials = Watch::start(&agent, "/api/events?kinds=denial", Some(&last));
    let (kind, denial) = denials.event().unwrap();
    assert_eq!((kind.as_str(), denial["target"].as_str()), ("denial", Some("GET /api/Jobs")), "{denial}");
    agent.stop();
}

#[test]
fn a_plugin_is_followed_through_its_life_and_the_stop_of_the_agent_ends_the_stream_in_order() {
    if !has_program("curl", "event streams read by a client nobody here wrote") {
        return;
    }
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &[]));
    let mut agent = stage.start();
    let mut first = stage.puppet("Bridge");
    first.connect_plugin(agent.mqtt);
    eventually("a healthy plugin", || {
        (agent.call("GET", "/api/plugins/Bridge").send().json()["health"] == "Healthy").then_some(())
    });
    let mut watch = Watch::open(&agent, "/api/events?kinds=plugin");
    assert_eq!(agent.call("POST", "/api/plugins/Bridge/restart").send().status, 200);
    let mut second = stage.puppet("Bridge");
    second.connect_plugin(agent.mqtt);
    let (mut told, mut health) = (Vec::new(), String::new());
    while health != "Healthy" {
        let (_, data) = watch.event().unwrap();
        assert_eq!(data["id"], "Bridge");
        told.push(data["status"].as_str().unwrap().to_owned());
        data["health"].as_str().unwrap().clone_into(&mut health);
    }
    told.dedup();
    assert_eq!(told, ["Stopping", "Starting", "Running"]);
    agent.signal(Signal::TERM);
    let mut rest = Vec::new();
    while let Some((_, data)) = watch.event() {
        rest.push(data["status"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        (rest.first().map(String::as_str), rest.last().map(String::as_str)),
        (Some("Stopping"), Some("Stopped"))
    );
    assert_eq!(watch.child.wait().unwrap().code(), Some(0), "curl read the body to its end");
    assert_eq!(agent.exited().code(), Some(0));
    agent.assert_nothing_left();
}

#[test]
fn places_of_clients_that_were_killed_are_free_again() {
    if !has_program("curl", "event streams read by a client nobody here wrote") {
        return;
    }
    let stage = Stage::new();
    let agent = stage.start();
    let watches: Vec<Watch> = (0..32).map(|_| Watch::open(&agent, "/api/events")).collect();
    assert_eq!(Watch::start(&agent, "/api/events", None).status, 503);
    drop(watches);
    eventually("a free place", || (Watch::start(&agent, "/api/events", None).status == 200).then_some(()));
    agent.stop();
}
