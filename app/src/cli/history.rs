//! What a root's history tells about a job, for commands that look back; works beside a running agent.

use std::path::Path;

use castellan_core::config::Settings;
use castellan_core::job::JobDefinition;
use castellan_core::schedule::past::Past;
use castellan_core::time::WallTime;
use castellan_fs::past::{PastReader, is_running};

use super::inputs;
use crate::clock::Clock;
use crate::failure::Failure;

/// The job's past, with what stood in the queue at `at`; `None` where no agent ever ran on the root.
pub(crate) fn past(root: &Path, job: &JobDefinition, at: WallTime) -> Result<Option<Past>, Failure> {
    let reader = PastReader::open(root).map_err(|error| match std::fs::metadata(root.join("state/history.db")) {
        Err(denied) if denied.kind() == std::io::ErrorKind::PermissionDenied => {
            Failure::denied(format!("{error} Say it again as that user, for example with sudo."))
        }
        Ok(_) | Err(_) => Failure::failed(error),
    })?;
    let Some(reader) = reader else { return Ok(None) };
    let (settings, _) = Settings::parse(inputs::settings(root)?.as_deref()).map_err(Failure::invalid_file)?;
    let id = job.id.as_str();
    // Before the lives are read: an agent that stops in between has then left its note.
    let is_running = is_running(root);
    Ok(Some(Past {
        runs: reader.runs(id).map_err(Failure::failed)?,
        notes: reader.notes(id).map_err(Failure::failed)?,
        lives: reader.lives().map_err(Failure::failed)?,
        is_running,
        defined: written(&root.join("Jobs").join(format!("{id}.json"))),
        kept_days: settings.run_history_days,
        waiting: reader.waiting(at).map_err(Failure::failed)?,
        now: Clock::start().now().wall,
    }))
}

/// When a file was last written; `None` where it is not there.
fn written(path: &Path) -> Option<WallTime> {
    let modified = path.metadata().and_then(|metadata| metadata.modified()).ok()?;
    let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(WallTime::from_millis)
}
