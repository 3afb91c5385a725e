//! The agent under measurement, with a policy that allows everybody everything, and what is asked of it and beside it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

use crate::people::{Person, let_by_sudo};

/// How long the agent may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it does: few, as a user may ask 100 times a minute.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Stage {
    folder: TempDir,
    castellan: PathBuf,
    agent: Child,
    has_sudo: bool,
}

impl Stage {
    /// An agent that answers, and a sudo that lets these people.
    pub(crate) fn start(people: &[Person]) -> Self {
        let folder = tempfile::Builder::new().prefix("castellan-bench-").tempdir().unwrap();
        // People pass it, and run the program that is in it.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).unwrap();
        let castellan = folder.path().join("castellan");
        let build = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
        fs::copy(build.as_deref().unwrap_or(env!("CARGO_BIN_EXE_castellan")), &castellan).unwrap();
        let root = folder.path().join("root");
        assert!(quiet(&castellan, &["init", "--quiet", "--root", text(&root)]).status().unwrap().success());
        let settings = json!({
            "Settings": { "KestrelHttpPort": 0, "KestrelHttpsPort": 0, "system.logging.journal": "" },
            "MqttBrokerSettings": { "Port": 0 }
        });
        fs::write(root.join("appsettings.json"), settings.to_string()).unwrap();
        let policy = json!({
            "PolicyId": "all", "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": ["ALLOW"],
            "Rules": [{ "Expression": "CheckUser()" }], "UserCheck": ["*"]
        });
        fs::write(root.join("Policies/all.json"), policy.to_string()).unwrap();
        fs::set_permissions(&root, Permissions::from_mode(0o711)).unwrap();
        let agent = quiet(&castellan, &["run", "--root", text(&root)]).spawn().unwrap();
        let has_sudo = let_by_sudo(people, folder.path());
        let stage = Self { folder, castellan, agent, has_sudo };
        for person in people {
            stage.wait_for(person);
        }
        stage
    }

    fn wait_for(&self, person: &Person) {
        let began = Instant::now();
        let [ours, ..] = self.commands(person);
        let mut ours = ours.unwrap();
        while !ours.status().unwrap().success() {
            assert!(began.elapsed() < PATIENCE, "{} is not allowed; say it by hand to see why: {ours:?}", person.name);
            sleep(LOOK);
        }
    }

    /// By `castellan elevate`, by sudo where there is one, and without more privileges: what this person runs.
    pub(crate) fn commands(&self, person: &Person) -> [Option<Command>; 3] {
        let root = self.folder.path().join("root");
        let elevate = quiet(&self.castellan, &["--root", text(&root), "elevate", "--", "true"]);
        let sudo = self.has_sudo.then(|| quiet(Path::new("sudo"), &["-n", "true"]));
        [Some(elevate), sudo, Some(quiet(Path::new("true"), &[]))].map(|command| {
            let mut command = command?;
            command.uid(person.uid).gid(person.gid).current_dir("/");
            Some(command)
        })
    }

    /// What `/proc` says of the agent's memory under this name, in KiB.
    pub(crate) fn memory(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.agent.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The agent's peak of memory counts from here on.
    pub(crate) fn forget_the_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.agent.id()), "5").unwrap();
    }

    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.agent), Signal::TERM).unwrap();
        assert!(self.agent.wait().unwrap().success());
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn quiet(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
