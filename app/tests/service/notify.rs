//! The service manager's side of sd_notify(3): a socket of the test in the place of systemd's.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::process::Signal;
use serde_json::json;

use crate::support::{PATIENCE, Stage};

/// What the agent sent so far, line by line.
struct Heard {
    socket: UnixDatagram,
    lines: Vec<String>,
}

impl Heard {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, lines: Vec::new() }
    }

    /// Waits until so many lines begin like this; they are forgotten then.
    #[track_caller]
    fn expect(&mut self, beginning: &str, times: usize) -> String {
        loop {
            let mut found = self.lines.iter().filter(|line| line.starts_with(beginning));
            if let Some(last) = found.nth(times - 1).cloned() {
                self.lines.retain(|line| !line.starts_with(beginning));
                return last;
            }
            let mut bytes = [0; 4096];
            let length = self.socket.recv(&mut bytes).unwrap_or_else(|error| panic!("no {beginning}: {error}"));
            self.lines.extend(std::str::from_utf8(&bytes[..length]).unwrap().lines().map(str::to_owned));
        }
    }
}

#[test]
fn it_is_told_ready_status_signs_of_life_and_the_stop() {
    let stage = Stage::new();
    stage.script("Surroundings", "env");
    stage.job(&json!({ "id": "look", "tasks": [ { "id": "t", "command": "Surroundings" } ] }));
    stage.job(&json!({ "id": "off", "enabled": false, "tasks": [ { "id": "t", "command": "echo" } ] }));
    let path = stage.folder().join("notify");
    let mut heard = Heard::new(UnixDatagram::bind(&path).unwrap());
    let mut agent = crate::support::Agent::start_with(&stage, |command| {
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "150000").env("WATCHDOG_PID", "")
    });
    heard.expect("READY=1", 1);
    let status = heard.expect("STATUS=", 1);
    assert_eq!(status, "STATUS=Running: 1 of 2 jobs enabled, 0 of 0 plugins running, 0 runs active.");
    heard.expect("WATCHDOG=1", 5);
    let run = agent.run("look");
    let environment = run["tasks"][0]["stdout"].as_str().unwrap();
    assert!(environment.contains("PATH=") && !environment.contains("NOTIFY") && !environment.contains("WATCHDOG"));
    assert!(!heard.lines.iter().any(|line| line == "READY=1" || line == "STOPPING=1"), "{:?}", heard.lines);
    agent.signal(Signal::TERM);
    heard.expect("STOPPING=1", 1);
    assert_eq!(agent.exited().code(), Some(0));
    agent.assert_nothing_left();
}

#[test]
fn it_is_ready_once_the_listeners_answer_and_a_name_in_the_abstract_works_too() {
    let stage = Stage::new();
    let name = format!("castellan-test-{}", stage.folder().file_name().unwrap().to_str().unwrap());
    let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
    let mut heard = Heard::new(socket);
    let agent = crate::support::Agent::start_with(&stage, |command| {
        // A watchdog that is meant for another process is not fed.
        command.env("NOTIFY_SOCKET", format!("@{name}")).env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1")
    });
    heard.expect("READY=1", 1);
    assert_eq!(agent.call("GET", "/api/system/status").send().status, 200);
    assert!(!heard.lines.iter().any(|line| line == "WATCHDOG=1"), "{:?}", heard.lines);
    agent.stop();
}

#[test]
fn an_agent_that_cannot_tell_it_works_all_the_same() {
    let stage = Stage::new();
    let agent = crate::support::Agent::start_with(&stage, |command| {
        command.env("NOTIFY_SOCKET", stage.folder().join("nobody")).env("WATCHDOG_USEC", "nonsense")
    });
    agent.logged_message("Library", "The service manager could not be told 'READY=1");
    agent.stop();
}
