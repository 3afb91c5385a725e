//! Policies and collections for whoever answers by them while an agent runs: read without its lock, and read again when they changed.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use castellan_core::configuration_policy::{FOLDER, PolicyFile};
use castellan_core::policy::COLLECTIONS;
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use smol::Async;

use super::PolicyReader;
use crate::error::RootError;
use crate::root::folder_below;

/// Bytes of events that are read at one time.
const EVENT_BYTES: usize = 4 << 10;

/// What both folders have.
#[derive(Debug)]
pub struct FoundPolicies {
    /// `Policies/*.json`.
    pub policies: Vec<PolicyFile>,
    /// `Policies/collections/*.json`; none where there is no such folder.
    pub collections: Vec<PolicyFile>,
}

/// Both folders of one root, watched by the kernel (inotify). A change that is complete when somebody asks is never missed: its event
/// waits before the call that made it returns.
#[derive(Debug)]
pub struct PolicyFolders {
    root: PathBuf,
    reader: PolicyReader,
    notices: Async<OwnedFd>,
    /// Whether the kernel tells of every change; else they are read each time.
    is_watched: bool,
}

impl PolicyFolders {
    /// Those of the agent root at this path, read by `reader`.
    ///
    /// # Errors
    /// Where the kernel has no inotify for us.
    pub fn open(root: &Path, reader: PolicyReader) -> io::Result<Self> {
        let notices = Async::new(inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?)?;
        Ok(Self { root: root.to_owned(), reader, notices, is_watched: false })
    }

    /// Returns once something may have changed.
    ///
    /// # Errors
    /// Where that cannot be waited for.
    pub async fn changed(&self) -> io::Result<()> {
        self.notices.readable().await
    }

    /// Whether something may have changed since they were read last.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    pub fn have_changed(&self) -> io::Result<bool> {
        let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
        let mut reader = Reader::new(self.notices.get_ref(), &mut buffer);
        let mut changed = !self.is_watched;
        loop {
            match reader.next() {
                Ok(_) => changed = true,
                Err(Errno::WOULDBLOCK) => return Ok(changed),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Reads both. A file or folder that cannot be read is an entry with the reason. Never blocks.
    pub fn read(&mut self) -> FoundPolicies {
        // Before anything is read, so that what changes meanwhile is told; the same folder is watched once, whatever its path led to.
        let below = format!("{FOLDER}/{COLLECTIONS}");
        let watched = [FOLDER, &below].map(|place| self.watch(place));
        let policies = self.read_folder(FOLDER).unwrap_or_else(|| vec![absent(FOLDER)]);
        let collections = self.read_folder(&below);
        let [policies_watched, collections_watched] = watched;
        self.is_watched = policies_watched && (collections_watched || collections.is_none());
        FoundPolicies { policies, collections: collections.unwrap_or_default() }
    }

    /// The files of one folder; `None` where it is not there.
    fn read_folder(&self, place: &str) -> Option<Vec<PolicyFile>> {
        match open(&self.root, place) {
            Err(RootError::Failed { error, .. }) if error.kind() == io::ErrorKind::NotFound => None,
            folder => Some(self.reader.read_folder(&self.root, place, folder)),
        }
    }

    fn watch(&self, place: &str) -> bool {
        let wanted = WatchFlags::CLOSE_WRITE
            | WatchFlags::CREATE
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::ATTRIB
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        inotify::add_watch(self.notices.get_ref(), self.root.join(place), wanted).is_ok()
    }
}

fn open(root: &Path, place: &str) -> Result<OwnedFd, RootError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(root, flags, Mode::empty()).map_err(RootError::failed("open", root))?;
    folder_below(folder, root, place)
}

fn absent(place: &str) -> PolicyFile {
    PolicyFile { name: format!("{place}/"), content: Err(String::from("the folder is not there; make it")) }
}
