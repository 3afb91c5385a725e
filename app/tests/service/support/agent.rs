//! The real binary on a stage. Whatever a test did, nothing of it stays.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::{Call, PATIENCE, Stage, cgroups_of, eventually, processes_naming, spawn, within};

/// The binary under test.
pub(crate) fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_castellan"))
}

pub(crate) struct Agent<'s> {
    pub(crate) stage: &'s Stage,
    child: Child,
    ended: bool,
    pub(crate) http: u16,
    pub(crate) https: u16,
    pub(crate) mqtt: u16,
}

impl<'s> Agent<'s> {
    pub(crate) fn start(stage: &'s Stage) -> Self {
        Self::start_with(stage, |command| command)
    }

    /// With something of its surroundings changed.
    pub(crate) fn start_with(stage: &'s Stage, change: impl FnOnce(&mut Command) -> &mut Command) -> Self {
        let stderr = File::create(stage.folder().join("stderr")).unwrap();
        let stdout = File::create(stage.folder().join("stdout")).unwrap();
        let mut command = Command::new(binary());
        command.arg("run").arg("--root").arg(stage.root()).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let child = spawn(change(&mut command));
        let mut agent = Self { stage, child, ended: false, http: 0, https: 0, mqtt: 0 };
        let ports = eventually("state/ports.json of this agent", || {
            if let Some(status) = agent.child.try_wait().unwrap() {
                agent.ended = true;
                panic!("the agent ended: {status}: {}", agent.stderr());
            }
            agent.ports().filter(|ports| ports["pid"] == agent.pid())
        });
        let port = |name: &str| u16::try_from(ports[name].as_u64().unwrap()).unwrap();
        (agent.http, agent.https, agent.mqtt) = (port("http"), port("https"), port("mqtt"));
        let health = agent.call("GET", "/health").send();
        assert_eq!(health.status, 200, "{health:?}");
        agent
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// `state/ports.json` as it stands.
    pub(crate) fn ports(&self) -> Option<Value> {
        serde_json::from_slice(&fs::read(self.stage.root().join("state/ports.json")).ok()?).ok()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.stage.folder().join("stderr")).unwrap()
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.stage.folder().join("stdout")).unwrap()
    }

    /// A call with the admin certificate.
    pub(crate) fn call(&self, method: &str, target: &str) -> Call {
        Call::new(self, method, target)
    }

    /// A call of a stranger.
    pub(crate) fn anonymous(&self, method: &str, target: &str) -> Call {
        Call::new(self, method, target).anonymous()
    }

    /// Triggers a job, answers with the run's id.
    #[track_caller]
    pub(crate) fn trigger(&self, job: &str) -> String {
        let answer = self.call("POST", &format!("/api/Jobs/{job}/trigger")).send();
        assert_eq!(answer.status, 202, "{answer:?}");
        answer.json()["runId"].as_str().unwrap().to_owned()
    }

    /// Triggers a job, answers with the finished run.
    #[track_caller]
    pub(crate) fn run(&self, job: &str) -> Value {
        let answer = self.call("POST", &format!("/api/Jobs/{job}/trigger?wait=true")).send();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Waits until a run has ended.
    #[track_caller]
    pub(crate) fn finished(&self, run: &str) -> Value {
        eventually("the end of the run", || {
            let record = self.call("GET", &format!("/api/runs/{run}")).send().json();
            record["outcome"].is_string().then_some(record)
        })
    }

    /// The runs of a job, newest first.
    pub(crate) fn runs(&self, job: &str) -> Vec<Value> {
        let answer = self.call("GET", &format!("/api/Jobs/{job}/runs")).send();
        answer.json().as_array().unwrap_or_else(|| panic!("no list: {answer:?}")).clone()
    }

    /// Every complete line of the log so far.
    pub(crate) fn log(&self) -> Vec<Value> {
        log_of(self.stage)
    }

    /// Waits for a record.
    #[track_caller]
    pub(crate) fn logged(&self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || self.log().into_iter().find(|record| fits(record)))
    }

    /// Waits for a record of this category whose message has this text.
    #[track_caller]
    pub(crate) fn logged_message(&self, category: &str, text: &str) -> Value {
        self.logged(&format!("{category}: {text}"), |record| {
            record["category"] == category && record["message"].as_str().unwrap().contains(text)
        })
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn exited(&mut self) -> ExitStatus {
        let status = eventually("the agent's exit", || self.child.try_wait().unwrap());
        self.ended = true;
        status
    }

    /// SIGTERM; it must end well and leave nothing.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::TERM);
        let status = self.exited();
        assert_eq!(status.code(), Some(0), "{status}: {}", self.stderr());
        self.assert_nothing_left();
    }

    /// SIGKILL; what it started stays.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        self.stage.killed(self.pid());
        assert_eq!(self.exited().signal(), Some(Signal::KILL.as_raw()));
    }

    /// Neither process nor cgroup nor `state/ports.json`.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let folder = self.stage.folder().display().to_string();
        assert_eq!(processes_naming(&folder), [], "processes are left");
        assert_eq!(cgroups_of(self.pid()), Vec::<PathBuf>::new(), "cgroups are left");
        assert_eq!(self.ports(), None, "state/ports.json is left");
    }
}

/// Every complete line of a stage's log so far.
pub(crate) fn log_of(stage: &Stage) -> Vec<Value> {
    let text = fs::read_to_string(stage.root().join("state/logs/agent.jsonl")).unwrap_or_default();
    let complete = text.rsplit_once('\n').map_or("", |(complete, _)| complete);
    complete.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        let asked = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let ended = asked.ok().and_then(|()| within(PATIENCE / 3, || self.child.try_wait().ok().flatten()));
        if std::thread::panicking() || ended.is_none() {
            eprintln!(
                "log: {}",
                fs::read_to_string(self.stage.root().join("state/logs/agent.jsonl")).unwrap_or_default()
            );
        }
        if ended.is_some() && !std::thread::panicking() {
            return self.assert_nothing_left();
        }
        drop(self.child.kill());
        drop(self.child.wait());
        for (pid, _) in processes_naming(&self.stage.folder().display().to_string()) {
            if let Some(Err(error)) = Pid::from_raw(pid.cast_signed()).map(|pid| kill_process(pid, Signal::KILL)) {
                eprintln!("process {pid} could not be killed: {error}");
            }
        }
        assert!(std::thread::panicking(), "the agent did not stop");
    }
}
