//! Making a launcher process. `Command` without `pre_exec` is posix_spawn(3): its cost does not grow with the agent's memory.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use smol::channel::{Receiver, Sender};

use crate::cgroup::Cgroup;
use crate::observer::is_alive;

/// Launchers that wait for the next starts: a plugin that is replaced and one more. Each has 1.4 MiB of memory to itself.
const SPARES: usize = 2;
/// No start for so long, and launchers are made ahead: the task that was started last has its first instructions behind it.
const CALM: Duration = Duration::from_millis(20);
/// From SIGKILL to the end of a launcher.
const END_TIME: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// How the agent's own binary runs [`launch_main`](crate::launch_main).
#[derive(Debug, Clone)]
pub struct Launcher {
    /// Absolute path of the binary.
    pub program: PathBuf,
    /// Leading arguments, for instance the verb.
    pub arguments: Vec<OsString>,
}

/// A launcher that runs. Dropping its control socket ends it.
#[derive(Debug)]
pub(crate) struct Started {
    /// Process id.
    pub(crate) pid: u32,
    /// Handle of the process.
    pub(crate) handle: OwnedFd,
    /// Our end of the control socket.
    pub(crate) control: UnixStream,
    /// Read end of its standard output.
    pub(crate) stdout: OwnedFd,
    /// Read end of its standard error.
    pub(crate) stderr: OwnedFd,
    /// The cgroup made for it.
    pub(crate) cgroup: Option<Cgroup>,
}

/// Starts a launcher, in a new cgroup where one is asked for.
///
/// # Errors
/// A sentence; nothing is left then.
pub(crate) fn start(launcher: &Launcher, cgroup: Option<PathBuf>) -> Result<Started, String> {
    let cgroup = match cgroup {
        Some(folder) => {
            let name = folder.display().to_string();
            Some(Cgroup::create(folder).map_err(|error| format!("The cgroup {name} cannot be made: {error}."))?)
        }
        None => None,
    };
    let result = start_in(launcher, cgroup.as_ref());
    match (result, cgroup) {
        (Ok(started), cgroup) => Ok(Started { cgroup, ..started }),
        (Err(sentence), None) => Err(sentence),
        (Err(sentence), Some(cgroup)) => match cgroup.remove() {
            Ok(()) => Err(sentence),
            Err(error) => Err(format!("{sentence} Its cgroup {} is left: {error}.", cgroup.folder.display())),
        },
    }
}

fn start_in(launcher: &Launcher, cgroup: Option<&Cgroup>) -> Result<Started, String> {
    let program = launcher.program.display();
    let mut child = spawn(launcher).map_err(|error| format!("The launcher {program} cannot be started: {error}."))?;
    match adopt(&mut child, cgroup) {
        Ok(started) => Ok(started),
        Err(error) => {
            let ended = child.child.kill().and_then(|()| child.child.wait());
            let rest = ended.err().map(|error| format!(" It could not be ended either: {error}.")).unwrap_or_default();
            Err(format!("The launcher's process {} cannot be held: {error}.{rest}", child.child.id()))
        }
    }
}

struct Spawned {
    child: Child,
    control: Option<UnixStream>,
}

fn spawn(launcher: &Launcher) -> io::Result<Spawned> {
    let (ours, theirs) = UnixStream::pair()?;
    #[expect(clippy::disallowed_methods, reason = "the one place where processes are started")]
    let mut command = Command::new(&launcher.program);
    command.args(&launcher.arguments).env_clear();
    command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(Spawned { child: command.spawn()?, control: Some(ours) })
}

/// Takes hold of a child that is not reaped: its number cannot be another's.
fn adopt(spawned: &mut Spawned, cgroup: Option<&Cgroup>) -> io::Result<Started> {
    let missing = || io::Error::other("it was started without its pipes");
    let pid = spawned.child.id();
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(missing)?;
    let handle = rustix::process::pidfd_open(number, PidfdFlags::NONBLOCK)?;
    if let Some(cgroup) = cgroup {
        cgroup.admit(pid)?;
    }
    Ok(Started {
        pid,
        handle,
        control: spawned.control.take().ok_or_else(missing)?,
        stdout: spawned.child.stdout.take().ok_or_else(missing)?.into(),
        stderr: spawned.child.stderr.take().ok_or_else(missing)?.into(),
        cgroup: None,
    })
}

/// What the starting thread is asked for.
enum Order {
    /// A launcher; takes the outcome.
    Start(Sender<Result<Started, String>>),
    /// A spare was taken.
    Refill,
    /// Nothing any more.
    Stop,
}

/// Where launchers come from.
#[derive(Debug, Clone)]
pub(crate) struct Starts {
    /// Bounded by its use: one order or one word of a spare for each of at most `REGISTRY_ENTRIES` trees.
    orders: mpsc::Sender<Order>,
    spares: Receiver<Started>,
}

impl Starts {
    /// A launcher that waited, or else a new one.
    ///
    /// # Errors
    /// A sentence; nothing is left then.
    pub(crate) async fn launcher(&self) -> Result<Started, String> {
        while let Ok(spare) = self.spares.try_recv() {
            if !is_alive(&spare.handle) {
                forget(Ok(spare));
                continue;
            }
            if self.orders.send(Order::Refill).is_err() {
                forget(Ok(spare));
                return Err(gone());
            }
            return Ok(spare);
        }
        let (answer, outcome) = smol::channel::bounded(1);
        self.orders.send(Order::Start(answer)).map_err(|_closed| gone())?;
        outcome.recv().await.map_err(|_closed| gone())?
    }
}

fn gone() -> String {
    "The thread that starts processes is gone: restart the agent.".to_owned()
}

/// The thread that starts all launchers.
///
/// One thread for as long as anything runs, because the launchers ask to be killed when the *thread* that made them ends.
#[derive(Debug)]
pub(crate) struct Starter {
    starts: Starts,
    thread: Option<JoinHandle<()>>,
}

impl Starter {
    /// Makes the thread; each launcher gets a cgroup of its own in this folder, where there is one.
    ///
    /// # Errors
    /// The thread cannot be made.
    pub(crate) fn start(launcher: Launcher, subtree: Option<PathBuf>) -> io::Result<Self> {
        let (orders, waiting) = mpsc::channel();
        let (made, spares) = smol::channel::bounded(SPARES);
        let work = Work { launcher, subtree, made: 0, spares: made };
        let thread =
            std::thread::Builder::new().name("castellan-start".to_owned()).spawn(move || work.run(&waiting))?;
        Ok(Self { starts: Starts { orders, spares }, thread: Some(thread) })
    }

    /// Where launchers are asked for.
    pub(crate) fn starts(&self) -> Starts {
        self.starts.clone()
    }

    /// Answers the orders that wait, takes no more, and leaves no launcher. Blocks for some milliseconds.
    pub(crate) fn stop(&mut self) {
        let told = self.starts.orders.send(Order::Stop);
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        if told.is_err() || ended.is_err() {
            log::error!("The thread that starts processes had ended by a panic: report this with the lines before.");
        }
        while let Ok(spare) = self.starts.spares.try_recv() {
            forget(Ok(spare));
        }
    }
}

struct Work {
    launcher: Launcher,
    subtree: Option<PathBuf>,
    made: u64,
    spares: Sender<Started>,
}

impl Work {
    /// Until nobody orders any more.
    ///
    /// To load the launcher takes longer than to become the program. So after the first start [`SPARES`] launchers wait for the
    /// next orders, each in a cgroup of its own: they are nobody yet. Only what comes at once beyond them waits for the loading.
    fn run(mut self, orders: &mpsc::Receiver<Order>) {
        let mut calm = None;
        loop {
            let order = match calm {
                Some(calm) => orders.recv_timeout(calm),
                None => orders.recv().map_err(|_closed| RecvTimeoutError::Disconnected),
            };
            calm = match order {
                Ok(Order::Start(answer)) => {
                    // An answer that nobody takes any more drops the launcher's control socket, which ends it.
                    if let Err(unwanted) = answer.send_blocking(self.make()) {
                        forget(unwanted.into_inner());
                    }
                    Some(CALM)
                }
                Ok(Order::Refill) => Some(CALM),
                Err(RecvTimeoutError::Timeout) => self.add_spare().then_some(Duration::ZERO),
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            };
        }
    }

    /// Makes a launcher ahead; whether there is room for another.
    fn add_spare(&mut self) -> bool {
        if self.spares.is_full() {
            return false;
        }
        match self.make() {
            Ok(spare) => {
                if let Err(unwanted) = self.spares.try_send(spare) {
                    forget(Ok(unwanted.into_inner()));
                }
                !self.spares.is_full()
            }
            Err(sentence) => {
                // The next order makes its own launcher, and its answer says what is wrong then.
                log::warn!("No launcher waits for the next start: {sentence}");
                false
            }
        }
    }

    fn make(&mut self) -> Result<Started, String> {
        self.made = self.made.saturating_add(1);
        let name = format!("tree-{}", self.made);
        start(&self.launcher, self.subtree.as_ref().map(|subtree| subtree.join(name)))
    }
}

/// Cleans up after a start that nobody waits for.
fn forget(unwanted: Result<Started, String>) {
    let outcome = match unwanted {
        Ok(Started { cgroup: Some(cgroup), handle, control, .. }) => {
            drop(control);
            reap(&handle).and_then(|()| cgroup.remove())
        }
        Ok(Started { handle, control, .. }) => {
            drop(control);
            reap(&handle)
        }
        Err(sentence) => Err(io::Error::other(sentence)),
    };
    if let Err(error) = outcome {
        log::warn!("A start that was given up left something behind: {error}. The next start of the agent removes it.");
    }
}

/// Kills a launcher that executed nothing, and reaps it.
///
/// # Errors
/// As waitid(2).
pub(crate) fn reap(handle: &OwnedFd) -> io::Result<()> {
    match pidfd_send_signal(handle, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    let mut polled = [PollFd::new(handle, PollFlags::IN)];
    rustix::io::retry_on_intr(|| poll(&mut polled, Some(&END_TIME)))?;
    match waitid(WaitId::PidFd(handle.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG)? {
        Some(_) => Ok(()),
        None => Err(io::Error::new(io::ErrorKind::TimedOut, "it did not end")),
    }
}
