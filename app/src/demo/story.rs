//! The demo's story: the agent's own log records, as a person would tell them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

use castellan_core::event::Endpoints;
use castellan_core::log_message::{Level, LogRecord};

use super::print;
use super::root::JOB;
use crate::failure::Failure;

/// Whether the story goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scene {
    /// There is more to come.
    More,
    /// The job's run has ended.
    Last,
}

/// Tells records, remembers how the run ended.
#[derive(Debug)]
pub(super) struct Story {
    root: PathBuf,
    keep: bool,
    ended: AtomicBool,
    good: AtomicBool,
    broken: Mutex<Option<String>>,
    https: OnceLock<u16>,
}

impl Story {
    pub(super) const fn new(root: PathBuf, keep: bool) -> Self {
        Self {
            root,
            keep,
            ended: AtomicBool::new(false),
            good: AtomicBool::new(false),
            broken: Mutex::new(None),
            https: OnceLock::new(),
        }
    }

    /// What is going to happen.
    pub(super) fn opening(&self, folder: &Path) -> Result<(), Failure> {
        let line = format!("Castellan demo: a job scans {} for exposed credentials.\n", folder.display());
        print(&line)
    }

    /// The agent's listeners are open; the HTTPS port counts from the first call.
    pub(super) fn opened(&self, endpoints: Endpoints) {
        self.https.get_or_init(|| endpoints.https);
    }

    /// Tells one record, if it belongs to the story.
    pub(super) fn tell(&self, record: &LogRecord) -> Scene {
        let Some(headline) = headline(record) else { return Scene::More };
        if let Err(error) = super::write_line(&format!("  {headline:<18}{}", record.message)) {
            let mut broken = self.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            *broken = Some(error.to_string());
        }
        if record.category != "RunFinished" || self.ended.swap(true, Ordering::AcqRel) {
            return Scene::More;
        }
        self.good.store(record.level == Level::Information, Ordering::Release);
        if self.keep {
            self.where_to_look();
        }
        Scene::Last
    }

    /// How it ended, and what to do next.
    pub(super) fn closing(&self) -> Result<(), Failure> {
        let broken = self.broken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(error) = broken {
            return Err(Failure::failed(format!("the story could not be printed: {error}")));
        }
        if !self.ended.load(Ordering::Acquire) {
            return Err(Failure::failed("the agent stopped before the job's run had ended"));
        }
        if !self.good.load(Ordering::Acquire) {
            return Err(Failure::failed(
                "the job's run did not succeed; run again with --keep and look at state/logs/agent.jsonl",
            ));
        }
        if !self.keep {
            self.where_to_look();
        }
        Ok(())
    }

    fn where_to_look(&self) {
        let text = if self.keep {
            let root = self.root.display();
            let port = self.https.get().copied().unwrap_or_default();
            format!(
                "\nThe agent goes on running; Ctrl-C stops it. Its root: {root}\n  log      {root}/state/logs/agent.jsonl\n  \
                 ports    {root}/state/ports.json\n  admin    curl --cacert {root}/state/ca.pem --cert {root}/state/admin/client.pem \
                 --key {root}/state/admin/client.key https://127.0.0.1:{port}/api/Jobs/{JOB}/runs\n"
            )
        } else {
            String::from(
                "\nNothing is left behind. Next: `cargo demo --keep` keeps the root and goes on running; README.md shows a first job of \
                 your own in five minutes.\n",
            )
        };
        if let Err(error) = super::write_line(&text) {
            log::warn!("the end of the story could not be printed: {error}");
        }
    }
}

/// The left column: what kind of thing happened. Records without one are not part of the story.
fn headline(record: &LogRecord) -> Option<&'static str> {
    if record.client_id.is_some() && record.category != "Denied" {
        return Some("log message");
    }
    Some(match &*record.category {
        "Ready" => "agent",
        "RunTriggered" => "trigger",
        "ProcessRegistered" => "process",
        "SettingsRead" => "settings",
        "Connected" => "connected",
        "Denied" => "denied",
        "TaskFinished" | "TaskSkipped" => "task",
        "RunFinished" => "outcome",
        "Containment" => "containment",
        _ if record.level >= Level::Warning => "warning",
        _ => return None,
    })
}
