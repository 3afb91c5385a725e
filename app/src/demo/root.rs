//! The temporary agent root of the demo: settings with free ports; and one job, with this very binary as its task program.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

/// The demo's job.
pub(super) const JOB: &str = "secrets-scanner";

/// Removed when dropped, unless it is kept.
pub(super) struct DemoRoot {
    folder: TempDir,
    path: PathBuf,
}

impl DemoRoot {
    /// Makes the root, with nothing but settings.
    pub(super) fn bare() -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("castellan-demo-").tempdir()?;
        let path = folder.path().canonicalize()?;
        let settings = json!({
            "Settings": { "KestrelHttpPort": 0, "KestrelHttpsPort": 0 },
            "MqttBrokerSettings": { "Port": 0 },
        });
        write(&path.join("appsettings.json"), &settings)?;
        Ok(Self { folder, path })
    }

    /// The same with the job that scans `folder`, and its task program.
    pub(super) fn create(folder: &Path) -> io::Result<Self> {
        let root = Self::bare()?;
        let program = root.path.join("Jobs/bin/SecretScanner/SecretScanner");
        if let Some(parent) = program.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(std::env::current_exe()?, &program)?;
        write(&root.path.join(format!("Jobs/{JOB}.json")), &job(folder))?;
        Ok(root)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the root where it is.
    pub(super) fn keep(self) {
        drop(self.folder.keep());
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the demo plays integrators and administrators, who put these files there"
)]
/// Writes a document.
pub(super) fn write(path: &Path, document: &serde_json::Value) -> io::Result<()> {
    fs::write(path, format!("{document:#}\n"))
}

/// The documented job of seed 001, for this machine.
fn job(folder: &Path) -> serde_json::Value {
    json!({
        "id": JOB,
        "name": "Secrets Scanner",
        "description": "Scans a folder for exposed credentials and reports to KeeperLogger.",
        "enabled": true,
        "events": [ { "eventType": "Startup" } ],
        "eventTopic": format!("Jobs/{JOB}/events"),
        "mqttTopics": {
            "allowedPublications": ["KeeperLogger", format!("Jobs/{JOB}/events")],
            "allowedSubscriptions": []
        },
        "parameters": [
            { "name": "ScanPath", "type": "string", "defaultValue": folder.display().to_string() }
        ],
        "tasks": [
            {
                "id": "run-scanner",
                "name": "Run scanner",
                "executionType": "Service",
                "command": "SecretScanner",
                "arguments": "sample-scanner --scan \"{ScanPath}\" --keeper-api-base={KeeperApiBaseUrl}",
                "timeoutSeconds": 60,
                "mergeStdoutJsonIntoContext": true
            },
            {
                "id": "report",
                "name": "Say what was found",
                "executionType": "Service",
                "command": "echo",
                "arguments": "{filesRead} files read, {findings} findings",
                "condition": { "expression": "findings > 0" }
            }
        ]
    })
}
