//! A user whose program leaves a mark where only root may, and what has to hold of his request whatever happened to the agent.

use std::fs;
use std::path::PathBuf;
use std::process::Child;

use rustix::process::Pid;
use serde_json::{Value, json};

use super::{NOBODY, asked, elevate, ended, id_of, installed, policy, ready, runs};
use crate::support::{Agent, Stage, command, eventually, processes_naming, say, spawn};
use crate::users::start;

/// The job that launches, by default one Http task.
pub(super) const LAUNCH: &str = "LaunchPrivilegeElevation";

pub(super) struct Scene {
    pub(super) stage: Stage,
}

impl Scene {
    /// `None` where there is nobody else to be.
    pub(super) fn new() -> Option<Self> {
        let stage = installed()?;
        fs::create_dir(stage.folder().join("only-root")).unwrap();
        Some(Self { stage })
    }

    /// An agent whose KeeperPolicy answers.
    pub(super) fn start(&self) -> Agent<'_> {
        let agent = start(&self.stage);
        ready(&agent);
        agent
    }

    /// What nobody may run needs this.
    pub(super) fn requires(&self, controls: &[&str]) {
        self.stage.file("Policies/all.json", &policy("nobody", "/usr/bin/*", controls).to_string());
    }

    pub(super) fn marks(&self) -> PathBuf {
        self.stage.folder().join("only-root/marks")
    }

    /// How often the program ran.
    pub(super) fn marked(&self) -> usize {
        fs::read_to_string(self.marks()).unwrap_or_default().lines().count()
    }

    /// The words of a command that leaves a mark, and then does this.
    pub(super) fn words(&self, then: &str) -> [String; 4] {
        let script = format!("echo ran >>{}; {then}", self.marks().display());
        [String::from("--"), String::from("sh"), String::from("-c"), script]
    }

    /// nobody asks for it; a reason is given in advance.
    pub(super) fn ask(&self, then: &str) -> Child {
        let words = self.words(then);
        let words: Vec<&str> = ["--reason", "a test"].into_iter().chain(words.iter().map(String::as_str)).collect();
        spawn(&mut elevate(&self.stage, NOBODY, &words))
    }

    /// Lets the job that launches wait for what a puppet of its name is told.
    pub(super) fn hold_the_launch(&self, agent: &Agent<'_>) {
        let mut job = self.stage.puppet_job(LAUNCH, &[], &[]);
        job["events"] = json!([LAUNCH]);
        job["overlap"] = json!("parallel");
        let answer = agent.call("PUT", &format!("/api/Jobs/{LAUNCH}")).json(&job).send();
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Whatever became of requests: they are shown as this, what they ran is gone, the audit is whole, and new ones work.
    #[track_caller]
    pub(super) fn is_well(&self, agent: &Agent<'_>, request: &str, status: &str) {
        let (code, shown, said) = say(command(&self.stage, &["requests", "show", request, "-o", "json"]));
        assert_eq!(code, 0, "{said}");
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["Status"], status, "{shown:#}");
        assert_eq!(self.programs(), [], "what it ran is left");
        let launch = agent.call("POST", &format!("/api/elevation/{request}/launch")).send();
        assert!(launch.status >= 400, "{launch:?}");
        let (code, _, said) = say(command(&self.stage, &["audit", "verify"]));
        assert_eq!(code, 0, "{said}");
        self.requires(&["ALLOW"]);
        runs(asked(&self.stage, NOBODY, &[]));
    }

    /// Processes of elevated programs that have the file of marks among their words.
    pub(super) fn programs(&self) -> Vec<(u32, String)> {
        let named = processes_naming(&self.marks().display().to_string());
        named.into_iter().filter(|(_, line)| !line.contains(" elevate ")).collect()
    }
}

/// How `castellan elevate` ended, within the patience of a test.
#[track_caller]
pub(super) fn told(mut child: Child) -> (i32, String, String) {
    eventually("the end of castellan elevate", || child.try_wait().unwrap());
    ended(child.wait_with_output().unwrap())
}

/// The newest request that the disk has as this: what is under way is shown a moment before it is there.
#[track_caller]
pub(super) fn recorded(agent: &Agent<'_>, status: &str) -> String {
    let path = format!("/api/elevation?status={status}&limit=1");
    eventually(&format!("a request on record as {status}"), || {
        Some(id_of(agent.call("GET", &path).send().json().as_array()?.first()?))
    })
}

/// The process of KeeperPolicy.
pub(super) fn keeper_policy(agent: &Agent<'_>) -> Pid {
    let pid = ready(agent)["processId"].as_u64().unwrap();
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}
