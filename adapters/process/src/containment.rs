//! Decides at start what holds process trees together, by trying it on a launcher that does nothing but connect.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use castellan_core::resources::KeptLimits;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::cgroup::{Cgroup, Hierarchy};
use crate::controllers::{self, Keeping};
use crate::diag::Diag;
use crate::procfs;
use crate::start::{self, Launcher, Started};
use crate::wire::{self, Order, READY};

/// The launcher needs milliseconds; this bounds the harm on a machine that is very busy.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// Distinguishes several process ports in one process.
static PORTS: AtomicU64 = AtomicU64::new(0);

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ContainmentChoice {
    /// A cgroup for each tree where that works, else sessions.
    #[default]
    Auto,
    /// Sessions, even where cgroups would work.
    Session,
}

/// What holds process trees together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Containment {
    /// A cgroup v2 for each tree, below this folder.
    Cgroup {
        /// The agent's own sub-tree.
        path: PathBuf,
        /// Which limits can be kept there.
        keeping: Keeping,
    },
    /// A session for each tree: weaker, as a process can leave it and a socket passed within one user cannot be seen.
    Session {
        /// Why not cgroups, as a sentence.
        why: String,
    },
}

impl fmt::Display for Containment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cgroup { path, keeping } => {
                write!(formatter, "Each process tree has a cgroup of its own below {}.", path.display())?;
                if keeping.kept == KeptLimits::ALL {
                    formatter.write_str(" All limits of tasks and plugins are kept.")?;
                }
                for problem in &keeping.problems {
                    write!(formatter, " {problem}")?;
                }
                let uid = rustix::process::geteuid();
                if uid.is_root() {
                    return Ok(());
                }
                // Whoever owns the sub-tree may move processes into it: for an agent without root, its user is one domain of trust.
                write!(formatter, " It belongs to user {}, whose other programs could join it.", uid.as_raw())
            }
            Self::Session { why } => write!(
                formatter,
                "Each process tree is held together by its session, which a process can leave, and no limits are kept: {why} \
                 Run the agent where it may make cgroups (systemd: Delegate=yes) for the stronger way."
            ),
        }
    }
}

/// The sub-tree to put trees in, where one can be used; else why not.
pub(crate) fn subtree(
    choice: ContainmentChoice,
    launcher: &Launcher,
    diag: &Diag,
) -> Result<(Hierarchy, Cgroup, Keeping), String> {
    if choice == ContainmentChoice::Session {
        return Err("sessions were asked for.".to_owned());
    }
    let hierarchy = Hierarchy::find().map_err(|why| format!("{why}."))?;
    let mut why = String::new();
    let prefix = format!("castellan-{}-", procfs::pid_namespace().unwrap_or_default());
    for place in hierarchy.places() {
        let name = format!("{prefix}{}-{}", std::process::id(), PORTS.fetch_add(1, Ordering::Relaxed));
        remove_abandoned(&place, &prefix, &name);
        let folder = place.join(name);
        match Cgroup::create(folder.clone()) {
            Ok(subtree) => match probe(launcher, Some(folder.join("probe")), diag) {
                Ok(()) => {
                    let keeping = controllers::enable(&place, &subtree);
                    return Ok((hierarchy, subtree, keeping));
                }
                Err(sentence) => {
                    let left =
                        subtree.remove().err().map(|error| format!(" (it is left there: {error})")).unwrap_or_default();
                    why = format!("{why}a trial in {} failed{left}: {sentence} ", folder.display());
                }
            },
            Err(error) => why = format!("{why}{} cannot be made: {error}. ", folder.display()),
        }
    }
    Err(why.trim_end().to_owned())
}

/// Removes the empty sub-trees of agents that were killed and whose root was not started again.
///
/// The number of the process namespace in the name keeps agents of other containers apart, whose process ids mean nothing here.
/// Both numbers may come back, in a container even at each start: what has our own `name` already is a former agent's, too.
fn remove_abandoned(place: &Path, prefix: &str, name: &str) {
    let abandoned = std::fs::read_dir(place).into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let found = entry.file_name();
        let pid: u32 = found.to_str()?.strip_prefix(prefix)?.split_once('-')?.0.parse().ok()?;
        let cgroup = Cgroup::find(entry.path(), entry.metadata().ok()?.ino())?;
        ((found == *name || procfs::stat(pid).is_none()) && cgroup.is_empty().ok()?).then_some(cgroup)
    });
    for cgroup in abandoned {
        if let Err(error) = cgroup.remove() {
            log::warn!("The abandoned cgroup {} cannot be removed: {error}.", cgroup.folder.display());
        }
    }
}

/// Starts a launcher, lets it connect to us, and compares what the kernel tells with what we know.
///
/// # Errors
/// A sentence: what does not work on this machine.
pub(crate) fn probe(launcher: &Launcher, cgroup: Option<PathBuf>, diag: &Diag) -> Result<(), String> {
    let started = start::start(launcher, cgroup)?;
    let found = compare(&started, diag).unwrap_or_else(|error| Err(format!("The trial connection failed: {error}.")));
    let Started { handle, control, cgroup, .. } = started;
    drop(control);
    start::reap(&handle).map_err(|error| format!("The trial process cannot be ended: {error}."))?;
    if let Some(cgroup) = cgroup {
        crate::leftovers::kill_and_remove(&cgroup)
            .map_err(|error| format!("The trial cgroup cannot be removed: {error}."))?;
    }
    found
}

fn compare(started: &Started, diag: &Diag) -> io::Result<Result<(), String>> {
    let mut control = &started.control;
    control.set_read_timeout(Some(PROBE_TIME))?;
    control.set_write_timeout(Some(PROBE_TIME))?;
    let mut ready = [0];
    if let Err(error) = control.read_exact(&mut ready) {
        return Ok(Err(format!("The launcher did not report itself: {error}.")));
    }
    if ready != [READY] {
        return Ok(Err("What was started is not the launcher.".to_owned()));
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let order = wire::encode(&Order::Connect(listener.local_addr()?)).map_err(io::Error::other)?;
    control.write_all(&order)?;
    // Whichever comes first: the connection, or the launcher's complaint or end.
    let mut polled = [PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN), PollFd::new(&control, PollFlags::IN)];
    let limit = Timespec { tv_sec: i64::try_from(PROBE_TIME.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    rustix::io::retry_on_intr(|| poll(&mut polled, Some(&limit)))?;
    if !polled.first().is_some_and(|listener| listener.revents().contains(PollFlags::IN)) {
        return Ok(Err("The launcher did not connect to us over the loopback interface.".to_owned()));
    }
    let (stream, peer) = listener.accept()?;
    let Some(socket) = diag.exact(peer, stream.local_addr()?)? else {
        return Ok(Err("The kernel (sock_diag) does not know the launcher's connection.".to_owned()));
    };
    if !socket.established || !procfs::holds_socket(started.pid, socket.inode) {
        return Ok(Err(format!("The descriptors of process {} cannot be read below /proc.", started.pid)));
    }
    if procfs::stat(started.pid).map(|stat| stat.session) != Some(started.pid) {
        return Ok(Err("The launcher does not lead its own session.".to_owned()));
    }
    match &started.cgroup {
        Some(cgroup) if socket.cgroup != Some(cgroup.id) => {
            let told = socket.cgroup.map_or_else(|| "none".to_owned(), |id| id.to_string());
            Ok(Err(format!("The kernel names cgroup {told} for a connection made in cgroup {}.", cgroup.id)))
        }
        Some(_) | None => Ok(Ok(())),
    }
}
