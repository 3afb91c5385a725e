//! Asks the kernel what changes in the folders of definitions (inotify), and tells the store's thread where to look.
//!
//! An event is a hint and nothing else: the store compares bytes, so its own writes need no exception. While nothing changes the
//! thread sleeps without a timer. However many events come, the store has at most one look waiting, and rests between two.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::mem::{MaybeUninit, take};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use castellan_core::event::DefinitionKind;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::survey::Where;
use super::writers::{Sightings, Writers};
use crate::definitions::{EXTENSION, place};
use crate::root::Root;

/// From the first event to the look: an editor truncates, writes and closes in less, and one edit shall be one finding.
const SETTLE: Duration = Duration::from_millis(1);
/// Between two looks at single files (20 microseconds each), so that whoever writes without end costs at most some hundred looks a second;
/// shorter than anybody takes for the next edit.
const REST: Duration = Duration::from_millis(4);
/// Between two looks at everything (15 ms of a core for 1,000 files).
const LONG_REST: Duration = Duration::from_millis(250);
/// Names that are looked at one by one; beyond them a look at everything costs less.
const NAMES: usize = 256;
/// Bytes of events that are read at one time.
const EVENT_BYTES: usize = 64 << 10;
/// Reads between two looks: what is left makes the kernel's queue overflow, which is one look at everything.
const READS: usize = 16;
/// First and longest wait before a folder that is gone is tried again.
const RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// Where the store has to look next; the watcher adds, the store takes all of it.
#[derive(Debug, Default)]
pub struct Looks {
    pending: Mutex<Pending>,
    /// Who wrote what is looked at.
    pub(super) writers: Writers,
}

#[derive(Debug, Default)]
struct Pending {
    everywhere: bool,
    names: BTreeSet<(DefinitionKind, OsString)>,
    /// The store was told and did not come yet.
    told: bool,
    /// What keeps the kernel from telling, for as long as it does.
    troubles: BTreeMap<DefinitionKind, String>,
}

impl Looks {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Each change of it is whole by itself.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what is to be looked at.
    pub fn take(&self) -> Where {
        let mut pending = self.pending();
        pending.told = false;
        let names = take(&mut pending.names);
        if take(&mut pending.everywhere) { Where::Everywhere } else { Where::At(names) }
    }

    /// The folders of which the kernel does not tell, with a sentence each.
    pub fn unwatched(&self) -> Vec<(DefinitionKind, String)> {
        self.pending().troubles.clone().into_iter().collect()
    }
}

/// The running watcher. Dropping it ends its thread.
#[derive(Debug)]
pub struct Watcher {
    stop: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Watches both folders; `tell` makes the store look, and is false where its queue is full, to be tried again. Where the kernel
    /// has no inotify for us, the looks say so and the sweep has to do.
    ///
    /// # Errors
    /// Where the system gives no thread or no descriptor to stop it by.
    pub fn start(
        root: &Root,
        plugin_path: &str,
        looks: Arc<Looks>,
        tell: impl Fn() -> bool + Send + 'static,
    ) -> io::Result<Self> {
        let stop = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
        let kinds = [DefinitionKind::Job, DefinitionKind::Plugin];
        let watched =
            |kind| Watched { kind, path: root.path().join(place(kind, plugin_path)), watch: None, retry: RETRY };
        let events = match inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK) {
            Ok(events) => events,
            Err(error) => {
                let why = unwatched(&error.to_string());
                looks.pending().troubles = kinds.map(|kind| (kind, why.clone())).into();
                return Ok(Self { stop, thread: None });
            }
        };
        let sightings = Sightings::start();
        let watch = Watch { events, sightings, stop: Arc::clone(&stop), folders: kinds.map(watched), looks, tell };
        let thread = std::thread::Builder::new().name(String::from("watcher")).spawn(move || watch.run())?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        // Without the word it would not end and could not be joined; a panic was printed when it happened.
        if rustix::io::write(&self.stop, &1_u64.to_ne_bytes()).is_ok() {
            drop(thread.join());
        }
    }
}

fn unwatched(reason: &str) -> String {
    format!(
        "The kernel does not tell of changes there ({reason}); they are found by the sweep only. Look at fs.inotify.max_user_watches \
         and max_user_instances (sysctl)."
    )
}

struct Watch<Tell> {
    events: OwnedFd,
    sightings: Option<Sightings>,
    stop: Arc<OwnedFd>,
    folders: [Watched; 2],
    looks: Arc<Looks>,
    tell: Tell,
}

struct Watched {
    kind: DefinitionKind,
    path: PathBuf,
    /// The kernel's number; `None` while the folder is not watched.
    watch: Option<i32>,
    /// How long to wait before it is tried again.
    retry: Duration,
}

/// What ended a wait.
#[derive(PartialEq, Eq)]
enum Woken {
    Stop,
    Events,
    Timeout,
}

impl<Tell: Fn() -> bool> Watch<Tell> {
    fn run(mut self) {
        self.watch_folders(false);
        let mut buffer = vec![MaybeUninit::uninit(); EVENT_BYTES];
        loop {
            let untold = self.untold();
            let retry = self.folders.iter().filter(|folder| folder.watch.is_none()).map(|folder| folder.retry).min();
            let limit = if untold { Some(REST) } else { retry };
            match self.wait(limit, true) {
                Woken::Stop => return,
                Woken::Timeout => self.watch_folders(true),
                Woken::Events => {
                    if self.wait(Some(SETTLE), false) == Woken::Stop {
                        return;
                    }
                    if let Some(sightings) = &self.sightings {
                        sightings.read(&self.looks.writers);
                    }
                    self.read(&mut buffer);
                    self.watch_folders(false);
                }
            }
            let Some(rest) = self.hand_over() else { continue };
            if self.wait(Some(rest), false) == Woken::Stop {
                return;
            }
        }
    }

    /// Waits for the end, and for events where they are wanted.
    fn wait(&self, limit: Option<Duration>, events: bool) -> Woken {
        let mut waits = vec![PollFd::new(&self.stop, PollFlags::IN)];
        if events {
            waits.push(PollFd::new(&self.events, PollFlags::IN));
            waits
                .extend(self.sightings.iter().map(|sightings| PollFd::from_borrowed_fd(sightings.fd(), PollFlags::IN)));
        }
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        match poll(&mut waits, limit.as_ref()) {
            Ok(0) | Err(_) => Woken::Timeout,
            Ok(_) if waits.first().is_some_and(|stop| !stop.revents().is_empty()) => Woken::Stop,
            Ok(_) => Woken::Events,
        }
    }

    fn untold(&self) -> bool {
        let pending = self.looks.pending();
        !pending.told && (pending.everywhere || !pending.names.is_empty())
    }

    /// Tells the store, if there is something to look at; how long to rest then.
    fn hand_over(&self) -> Option<Duration> {
        if !self.untold() {
            return None;
        }
        let mut pending = self.looks.pending();
        let rest = if pending.everywhere { LONG_REST } else { REST };
        pending.told = true;
        drop(pending);
        let told = (self.tell)();
        if !told {
            // Its queue is full; the next turn tries again.
            self.looks.pending().told = false;
        }
        Some(rest)
    }

    /// Reads what the kernel has to tell.
    fn read(&mut self, buffer: &mut [MaybeUninit<u8>]) {
        let mut gone = Vec::new();
        let mut pending = self.looks.pending();
        let mut reader = Reader::new(&self.events, buffer);
        let mut reads = 0_usize;
        while reads < READS || !reader.is_buffer_empty() {
            if reader.is_buffer_empty() {
                reads = reads.saturating_add(1);
            }
            let event = match reader.next() {
                Ok(event) => event,
                Err(Errno::INTR) => continue,
                // Nothing more, or something that the next look at everything makes up for.
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    pending.everywhere = true;
                    break;
                }
            };
            let flags = event.events();
            let ended = ReadFlags::IGNORED | ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
            if flags.intersects(ended) {
                gone.push(event.wd());
            } else if flags.contains(ReadFlags::QUEUE_OVERFLOW) {
                pending.everywhere = true;
            } else if let Some(name) = event.file_name().filter(|name| name.to_bytes().ends_with(EXTENSION.as_bytes()))
                && let Some(folder) = self.folders.iter().find(|folder| folder.watch == Some(event.wd()))
                && !pending.everywhere
            {
                pending.names.insert((folder.kind, OsString::from_vec(name.to_bytes().to_vec())));
            }
            if pending.names.len() > NAMES {
                pending.everywhere = true;
            }
        }
        drop(pending);
        for folder in &mut self.folders {
            if let Some(watch) = folder.watch.filter(|watch| gone.contains(watch)) {
                // The kernel has forgotten it already, unless the folder was moved.
                drop(inotify::remove_watch(&self.events, watch).map_err(io::Error::from));
                *folder = Watched { watch: None, retry: RETRY, kind: folder.kind, path: take(&mut folder.path) };
                self.looks.pending().everywhere = true;
            }
        }
    }

    /// Watches every folder that is not watched; `again` where that was tried before.
    fn watch_folders(&mut self, again: bool) {
        for folder in self.folders.iter_mut().filter(|folder| folder.watch.is_none()) {
            let kind = folder.kind;
            let watched = inotify::add_watch(&self.events, &*folder.path, flags());
            let mut pending = self.looks.pending();
            pending.troubles.remove(&kind);
            match watched {
                Ok(watch) => {
                    folder.watch = Some(watch);
                    // What happened before it was watched.
                    pending.everywhere = true;
                    let unmarked = self.sightings.as_ref().and_then(|sightings| sightings.mark(&folder.path).err());
                    if unmarked.is_some() {
                        // A file system without it: writers stay unknown, which every line that could name one says.
                        self.sightings = None;
                    }
                }
                Err(error) => {
                    // A folder that is missing or none is the survey's to tell.
                    if !matches!(error, Errno::NOENT | Errno::NOTDIR | Errno::LOOP) {
                        let why = unwatched(&format!("{}: {error}", folder.path.display()));
                        pending.troubles.insert(kind, why);
                        pending.everywhere |= !again;
                    }
                    folder.retry = if again { folder.retry.saturating_mul(2).min(LONGEST_RETRY) } else { RETRY };
                }
            }
        }
    }
}

/// What is asked for: everything that can make a file another one. Not `OPEN` and `ACCESS`, which are ours as well, by the thousand.
fn flags() -> WatchFlags {
    WatchFlags::MODIFY
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ATTRIB
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
        | WatchFlags::DONT_FOLLOW
}
