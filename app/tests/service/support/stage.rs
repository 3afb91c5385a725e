//! A temporary agent root as an integrator prepares it, and the control socket of the programs deployed there.

use std::cell::RefCell;
use std::fs::{self, DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Agent, PATIENCE, Puppet, cgroups_of, deploy};

pub(crate) struct Stage {
    folder: TempDir,
    listener: UnixListener,
    early: RefCell<Vec<Puppet>>,
    killed: RefCell<Vec<u32>>,
}

impl Stage {
    /// An empty root with free ports in its settings.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("castellan-test-").tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("control")).unwrap();
        let stage = Self { folder, listener, early: RefCell::default(), killed: RefCell::default() };
        stage.settings(json!({}));
        stage
    }

    /// The stage's own folder, where nothing belongs to the agent.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    /// `appsettings.json` with these members of `Settings` besides the free ports.
    pub(crate) fn settings(&self, members: Value) {
        // Nor is the machine's own journal written to.
        let mut settings = json!({ "KestrelHttpPort": 0, "KestrelHttpsPort": 0, "system.logging.journal": "" });
        settings.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        let document = json!({ "Settings": settings, "MqttBrokerSettings": { "Port": 0 } });
        self.file("appsettings.json", &document.to_string());
    }

    /// A file below the root.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        self.write(name, text, 0o644)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.root().join(name);
        DirBuilder::new().recursive(true).mode(0o755).create(path.parent().unwrap()).unwrap();
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        path
    }

    /// `Jobs/{id}.json`.
    pub(crate) fn job(&self, document: &Value) {
        self.file(&format!("Jobs/{}.json", document["id"].as_str().unwrap()), &document.to_string());
    }

    /// `Plugins/{id}.json`.
    pub(crate) fn plugin(&self, document: &Value) {
        self.file(&format!("Plugins/{}.json", document["id"].as_str().unwrap()), &document.to_string());
    }

    /// A shell script under `Jobs/bin`, to be used as the command of this name.
    pub(crate) fn script(&self, command: &str, text: &str) -> PathBuf {
        deploy(|| self.write(&format!("Jobs/bin/{command}/{command}"), &format!("#!/bin/sh\n{text}\n"), 0o755))
    }

    /// Puts the puppet program where the command `Puppet` is found.
    pub(crate) fn deploy_puppet(&self) -> PathBuf {
        self.deploy_puppet_as("Jobs/bin/Puppet/Puppet")
    }

    fn deploy_puppet_as(&self, name: &str) -> PathBuf {
        let path = self.root().join(name);
        if !path.exists() {
            DirBuilder::new().recursive(true).mode(0o755).create(path.parent().unwrap()).unwrap();
            deploy(|| fs::copy(puppet_program(), &path)).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        path
    }

    /// The arguments of a puppet with this label.
    pub(crate) fn puppet_arguments(&self, label: &str) -> Vec<String> {
        let control = self.folder().join("control").display().to_string();
        let ca = self.root().join("state/ca.pem").display().to_string();
        vec![control, ca, String::from("{KeeperApiBaseUrl}"), label.to_owned()]
    }

    /// A job with one task, a puppet labelled with the job's id. It is started by trigger only.
    pub(crate) fn puppet_job(&self, id: &str, publications: &[&str], subscriptions: &[&str]) -> Value {
        self.deploy_puppet();
        let quoted: Vec<String> = self.puppet_arguments(id).iter().map(|piece| format!("\"{piece}\"")).collect();
        json!({
            "id": id,
            "name": format!("Job {id}"),
            "mqttTopics": { "allowedPublications": publications, "allowedSubscriptions": subscriptions },
            "tasks": [ { "id": "act", "command": "Puppet", "arguments": quoted.join(" ") } ]
        })
    }

    /// A plugin that is a puppet labelled with the plugin's id.
    pub(crate) fn puppet_plugin(&self, id: &str, publish: &[&str], subscribe: &[&str]) -> Value {
        self.deploy_puppet_as(&format!("Plugins/bin/{id}/{id}"));
        let quoted: Vec<String> = self.puppet_arguments(id).iter().map(|piece| format!("\"{piece}\"")).collect();
        json!({
            "id": id,
            "name": format!("Plugin {id}"),
            "description": "Does as it is told.",
            "version": "1.0.0",
            "pluginType": "Executable",
            "executablePath": format!("bin/{id}/{id}"),
            "arguments": quoted.join(" "),
            "supportedPlatforms": ["Linux"],
            "Subscription": { "Topic": id, "Qos": 2, "CleanSession": true },
            "metadata": { "mqttTopics": { "publish": publish, "subscribe": subscribe }, "greeting": "hello" },
            "autoStart": true,
            "executionContext": "Service",
            "requiresMonitoring": true,
            "autoRestart": true
        })
    }

    /// Takes note of an agent that could not tidy up.
    pub(crate) fn killed(&self, agent: u32) {
        self.killed.borrow_mut().push(agent);
    }

    /// Starts the agent and waits until it is ready.
    pub(crate) fn start(&self) -> Agent<'_> {
        Agent::start(self)
    }

    /// Waits for the puppet with this label, whichever way it was started.
    #[track_caller]
    pub(crate) fn puppet(&self, label: &str) -> Puppet {
        loop {
            let mut early = self.early.borrow_mut();
            if let Some(index) = early.iter().position(|puppet| puppet.label() == label) {
                return early.remove(index);
            }
            let puppet = self.next_puppet(label);
            early.push(puppet);
        }
    }

    #[track_caller]
    fn next_puppet(&self, label: &str) -> Puppet {
        let limit = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
        let mut polled = [PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut polled, Some(&limit))).unwrap();
        assert!(ready > 0, "the puppet '{label}' did not report itself");
        Puppet::new(self.listener.accept().unwrap().0)
    }
}

impl Drop for Stage {
    /// What a killed agent left is ended by the next start, or by nobody.
    fn drop(&mut self) {
        let left: Vec<PathBuf> = self.killed.borrow().iter().flat_map(|agent| cgroups_of(*agent)).collect();
        if !std::thread::panicking() {
            assert_eq!(left, Vec::<PathBuf>::new(), "cgroups of killed agents are left");
        }
    }
}

/// `cargo test` builds the example with the tests and puts it beside the binary; `cargo test --test service` alone does not.
fn puppet_program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_castellan")).with_file_name("examples").join("puppet");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/puppet.rs");
    let changed = |path: &Path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    let built = changed(&program).is_some_and(|built| changed(&source).is_none_or(|written| written <= built));
    let advice = "run `cargo test -p castellan`, or add `--examples`";
    assert!(built, "{} is not built from {}: {advice}", program.display(), source.display());
    program
}
