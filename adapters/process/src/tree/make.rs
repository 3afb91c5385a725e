//! Making a tree: the file looked at, the launcher started, held, and waited for until it leads its session.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_io::Async;
use castellan_core::effect::{Owner, SpawnRequest, Way};
use castellan_core::user::{Ids, Person};

use super::{Outputs, Stream, Tree, within};
use crate::capture::{Capture, read_all};
use crate::cgroup::Cgroup;
use crate::executable::{self, Command, Inspection};
use crate::place::Place;
use crate::start::{self, Started};
use crate::wire::{self, Order, Program, READY};
use crate::{CallerFiles, Shared};

/// From the start of a launcher to its ready byte; it needs a millisecond, a busy machine may need more.
const READY_TIME: Duration = Duration::from_secs(20);

impl Tree {
    /// A launcher that waits for its order, and facts about the file that it will become.
    ///
    /// # Errors
    /// A sentence; nothing is left then.
    pub(super) async fn prepare(
        shared: Arc<Shared>,
        request: &SpawnRequest,
        files: Option<&CallerFiles>,
    ) -> Result<(Self, Inspection), String> {
        let query = request.program.clone();
        // Begins at once, beside the start.
        let look = smol::unblock(move || executable::inspect(&query));
        let started = shared.starts.launcher().await?;
        let mut tree = Self::adopt(shared, request, started)?;
        let inspection = look.await;
        if !inspection.facts().exists {
            tree.end().await;
            return Err(format!("There is no program at {}.", request.program.candidates.join(" nor at ")));
        }
        if let Err(sentence) = tree.place.limit(&request.limits, tree.shared.kept_limits) {
            tree.end().await;
            return Err(sentence);
        }
        let ready = match (tree.wait_until_ready().await, files.filter(|files| files.terminal)) {
            (Ok(()), Some(files)) => tree.attend(files).await,
            (ready, _) => ready,
        };
        match ready {
            Ok(()) => Ok((tree, inspection)),
            Err(sentence) => {
                tree.end().await;
                Err(sentence)
            }
        }
    }

    /// Takes over a launcher that was started, or ends it again.
    fn adopt(shared: Arc<Shared>, request: &SpawnRequest, started: Started) -> Result<Self, String> {
        let Started { pid, handle, control, stdout, stderr, cgroup } = started;
        let watched = handle.try_clone().and_then(|handle| {
            let control = Async::new(control)?;
            let outputs = Outputs::start(&shared, &request.owner, stdout, stderr)?;
            Ok((Async::new_nonblocking(handle)?, control, outputs))
        });
        let (watch, control, outputs) = match watched {
            Ok(watched) => watched,
            Err(error) => {
                // The dropped control socket alone would end the launcher, but not reap it.
                let ended = start::reap(&handle).and_then(|()| cgroup.as_ref().map_or(Ok(()), Cgroup::remove));
                let rest = ended.err().map(|error| format!(" It could not be ended: {error}.")).unwrap_or_default();
                return Err(format!("Process {pid} cannot be watched: {error}.{rest}"));
            }
        };
        let place = match cgroup {
            Some(cgroup) => Place::Cgroup(cgroup),
            None => {
                shared.leaders.lock().unwrap_or_else(PoisonError::into_inner).insert(pid);
                Place::Session(pid)
            }
        };
        let spawn = request.spawn;
        let outputs = Some(outputs);
        Ok(Self { shared, spawn, pid, handle: watch, control, place, outputs, attended: None, reaped: false })
    }

    /// Waits for the ready byte: from then on the launcher leads its own session.
    async fn wait_until_ready(&mut self) -> Result<(), String> {
        let mut ready = [0];
        let control = &self.control;
        let read = within(READY_TIME, control.read_with(|mut socket| socket.read(&mut ready))).await;
        match read {
            Some(Ok(1)) if ready == [READY] => {}
            Some(Ok(_)) => {
                return Err(
                    "The launcher ended before it was ready: see that the agent's binary was not replaced.".to_owned()
                );
            }
            Some(Err(error)) => return Err(format!("The launcher did not report itself: {error}.")),
            None => {
                return Err(format!(
                    "The launcher was not ready within {} s: the machine is too busy.",
                    READY_TIME.as_secs()
                ));
            }
        }
        match &self.place {
            Place::Cgroup(_) => Ok(()),
            Place::Session(leader) => self
                .shared
                .records
                .add_session(*leader)
                .map_err(|error| format!("The record of process {leader} cannot be written below state/: {error}.")),
        }
    }
}

/// What the launcher is told to become, and the file that this is.
///
/// # Errors
/// A sentence: this is not there or cannot be executed, or arguments and environment are too long.
pub(super) fn order(
    way: Way,
    inspection: Inspection,
    request: SpawnRequest,
    person: Option<Person>,
    for_caller: bool,
    agent_root: &Path,
) -> Result<(Vec<u8>, File), String> {
    let Command { handle, path, mut arguments, scripts } = inspection.command(way)?;
    arguments.extend(request.arguments);
    let anywhere = request.working_directory.is_none();
    let (environment, folder, person) = match person {
        None => (request.environment, agent_root.display().to_string(), None),
        Some(Person { name, uid, ids, confined, environment, folder }) => {
            let own: BTreeMap<String, String> = environment.into_iter().chain(request.environment).collect();
            let ids = ids.map(|Ids { uid, gid, groups }| wire::Ids { uid, gid, groups });
            (own.into_iter().collect(), folder, Some(wire::Person { name, uid, ids, confined, anywhere }))
        }
    };
    let order = wire::encode(&Order::Execute(Program {
        path,
        arguments,
        scripts,
        environment,
        working_directory: request.working_directory.unwrap_or(folder),
        person,
        for_caller,
    }))?;
    Ok((order, handle))
}

impl Outputs {
    fn start(shared: &Shared, owner: &Owner, stdout: OwnedFd, stderr: OwnedFd) -> io::Result<Self> {
        let executor = shared.executor.upgrade().ok_or_else(|| io::Error::other("the agent is stopping"))?;
        let (ended, end) = smol::channel::bounded(1);
        let stream = |pipe: OwnedFd| {
            let kept = Arc::new(Mutex::new(Capture::of(owner)));
            let pipe = Async::new(File::from(pipe))?;
            let reader = executor.spawn(read_all(pipe, end.clone(), Arc::clone(&kept)));
            Ok::<_, io::Error>(Stream { kept, reader })
        };
        Ok(Self { ended, stdout: stream(stdout)?, stderr: stream(stderr)? })
    }
}
