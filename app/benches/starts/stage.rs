//! The agent under measurement: its root, the program that says when it began, and the agent itself.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::clients::SENDER;
use crate::many::PLUGIN;

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Says when its `main()` began and who it is, and goes, or waits to be killed.
const PROGRAM: &str = r"
#include <fcntl.h>
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct { struct timespec began; long pid; } told;
    clock_gettime(CLOCK_MONOTONIC, &told.began);
    told.pid = getpid();
    int teller = open(argv[1], O_WRONLY);
    if (write(teller, &told, sizeof told) != sizeof told) return 1;
    if (argc > 2) pause();
    return 0;
}
";

/// What the program told.
pub(crate) struct Main {
    /// On the monotonic clock.
    pub(crate) began: Duration,
    pub(crate) pid: i32,
}

pub(crate) struct Stage {
    folder: TempDir,
    told: File,
    control: UnixListener,
    agent: Child,
}

impl Stage {
    /// An agent with the jobs `probe` (the program) and `sender` (this bench as a client) and the plugin `plugin` (the program).
    pub(crate) fn start() -> Self {
        Self::with_plugins(0, Duration::ZERO)
    }

    /// The same with so many plugins besides that start with the agent; each takes so long before it connects.
    pub(crate) fn with_plugins(plugins: usize, beginning: Duration) -> Self {
        let folder = tempfile::Builder::new().prefix("castellan-bench-").tempdir().unwrap();
        mknodat(CWD, folder.path().join("main"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let told = OpenOptions::new().read(true).write(true).open(folder.path().join("main")).unwrap();
        let control = UnixListener::bind(folder.path().join("control")).unwrap();
        compile(folder.path());
        let root = prepare_root(folder.path());
        for number in 0..plugins {
            add_plugin(&root, &folder.path().join("main"), &format!("p{number}"), beginning);
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
        command.arg("run").arg("--root").arg(&root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let agent = command.spawn().unwrap();
        let mut stage = Self { folder, told, control, agent };
        let began = Instant::now();
        while !root.join("state/ports.json").exists() {
            assert_eq!(stage.agent.try_wait().unwrap(), None, "the agent ended; start it by hand to see why");
            assert!(began.elapsed() < PATIENCE, "the agent is not ready");
            std::thread::sleep(Duration::from_millis(5));
        }
        stage
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// The program, outside of the agent root.
    pub(crate) fn program(&self) -> PathBuf {
        self.folder.path().join("program")
    }

    /// Where the program tells.
    pub(crate) fn main_begins(&self) -> PathBuf {
        self.folder.path().join("main")
    }

    /// The sender, once it is connected to the broker.
    pub(crate) fn sender(&self) -> UnixStream {
        self.await_input(&self.control, "no sender came");
        self.control.accept().unwrap().0
    }

    /// The next program that began.
    pub(crate) fn next_main(&mut self) -> Main {
        self.await_input(&self.told, "no program began");
        let mut told = [0; 24];
        self.told.read_exact(&mut told).unwrap();
        let number = |at: usize| u64::from_ne_bytes(told[at..at + 8].try_into().unwrap());
        let began = Duration::new(number(0), u32::try_from(number(8)).unwrap());
        Main { began, pid: i32::try_from(number(16)).unwrap() }
    }

    fn await_input(&self, from: &impl AsFd, otherwise: &str) {
        let limit = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let mut polled = [PollFd::from_borrowed_fd(from.as_fd(), PollFlags::IN)];
        assert!(poll(&mut polled, Some(&limit)).unwrap() > 0, "{otherwise}; see {}", self.log());
    }

    /// When the first record of this category was written.
    pub(crate) fn first_of(&self, category: &str) -> String {
        let log = self.log();
        let records = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let found = records.into_iter().find(|record| record["category"] == category);
        found.unwrap()["timestamp"].as_str().unwrap().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.root().join("state/logs/agent.jsonl")).unwrap_or_default()
    }

    /// Ends the agent as an administrator does.
    pub(crate) fn stop(&mut self) {
        kill_process(Pid::from_child(&self.agent), Signal::TERM).unwrap();
        assert!(self.agent.wait().unwrap().success(), "{}", self.log());
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // A failed bench: the agent takes what it started with it.
        if self.agent.try_wait().unwrap().is_none() {
            self.agent.kill().unwrap();
            self.agent.wait().unwrap();
        }
    }
}

fn compile(folder: &Path) {
    let (source, program) = (folder.join("program.c"), folder.join("program"));
    fs::write(&source, PROGRAM).unwrap();
    let built = Command::new("cc").args(["-O2", "-static", "-o"]).args([&program, &source]).status().unwrap();
    assert!(built.success(), "the program that is started cannot be compiled");
}

fn prepare_root(folder: &Path) -> PathBuf {
    let root = folder.join("root");
    let deploy = |from: &Path, to: &str| {
        let to = root.join(to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, &to).unwrap();
        fs::set_permissions(&to, Permissions::from_mode(0o755)).unwrap();
    };
    deploy(&folder.join("program"), "Jobs/bin/Probe/Probe");
    deploy(&folder.join("program"), "Plugins/bin/plugin/plugin");
    deploy(&std::env::current_exe().unwrap(), "Jobs/bin/Sender/Sender");
    let write = |name: &str, document: Value| fs::write(root.join(name), document.to_string()).unwrap();
    let (main, control) = (folder.join("main"), folder.join("control"));
    write(
        "appsettings.json",
        json!({ "Settings": { "KestrelHttpPort": 0, "KestrelHttpsPort": 0, "PluginMonitoring": { "RestartDelaySeconds": 0 } },
                "MqttBrokerSettings": { "Port": 0 } }),
    );
    write(
        "Jobs/probe.json",
        json!({ "id": "probe", "name": "Probe", "tasks": [{ "id": "probe", "command": "Probe", "arguments": main.display().to_string() }] }),
    );
    let arguments = format!("{SENDER} {} {}", root.display(), control.display());
    write(
        "Jobs/sender.json",
        json!({ "id": "sender", "name": "Sender", "mqttTopics": { "allowedPublications": ["JobService"] },
                "tasks": [{ "id": "send", "command": "Sender", "arguments": arguments }] }),
    );
    write(
        "Plugins/plugin.json",
        json!({ "id": "plugin", "name": "Plugin", "description": "Waits to be killed.", "version": "1.0.0", "pluginType": "Executable",
                "executablePath": "bin/plugin/plugin", "arguments": format!("{} wait", main.display()),
                "supportedPlatforms": ["Linux"], "Subscription": { "Topic": "plugin", "Qos": 0, "CleanSession": true },
                "metadata": { "mqttTopics": { "publish": [], "subscribe": [] } }, "autoStart": false,
                "executionContext": "Service", "requiresMonitoring": true, "autoRestart": true }),
    );
    root
}

/// This bench as a plugin of this id.
fn add_plugin(root: &Path, told: &Path, id: &str, beginning: Duration) {
    let program = root.join("Plugins/bin/many/many");
    if !program.exists() {
        fs::create_dir_all(program.parent().unwrap()).unwrap();
        fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
        fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    }
    let arguments = format!("{PLUGIN} {} {} {id} {}", root.display(), told.display(), beginning.as_millis());
    let document = json!({ "id": id, "pluginType": "Executable", "executablePath": "bin/many/many", "arguments": arguments,
        "supportedPlatforms": ["Linux"], "Subscription": { "Topic": id }, "autoStart": true,
        "metadata": { "mqttTopics": { "publish": [], "subscribe": [] } } });
    fs::write(root.join(format!("Plugins/{id}.json")), document.to_string()).unwrap();
}
