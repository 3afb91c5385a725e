//! Cgroup v2: where it is mounted, and one folder in it that holds a process tree.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use crate::controllers::aside;
use crate::procfs;
use crate::signal;

/// Cgroups inside a tree's own cgroup that are looked into; a tree that makes more is still killed by its top folder.
const NESTED_CGROUPS: usize = 1000;

/// Where cgroup v2 is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// The mount point.
    mount: PathBuf,
    /// The part of the hierarchy that is mounted there; `/` outside of containers.
    root: String,
}

impl Hierarchy {
    /// Finds it.
    ///
    /// # Errors
    /// A sentence, where there is none.
    pub(crate) fn find() -> Result<Self, String> {
        let text = fs::read_to_string("/proc/self/mountinfo")
            .map_err(|error| format!("/proc/self/mountinfo cannot be read: {error}"))?;
        Self::parse(&text).ok_or_else(|| "cgroup v2 is not mounted".to_owned())
    }

    /// The first line of type `cgroup2`; proc_pid_mountinfo(5).
    fn parse(text: &str) -> Option<Self> {
        text.lines().find_map(|line| {
            let (mount, system) = line.split_once(" - ")?;
            if system.split(' ').next()? != "cgroup2" {
                return None;
            }
            let mut fields = mount.split(' ').skip(3);
            let root = unescape(fields.next()?);
            Some(Self { mount: PathBuf::from(unescape(fields.next()?)), root })
        })
    }

    /// The folder of a cgroup that `/proc/PID/cgroup` names, if it lies in the mounted part.
    pub(crate) fn folder(&self, path: &str) -> Option<PathBuf> {
        let below = if self.root == "/" { path } else { path.strip_prefix(&self.root)? };
        if !below.is_empty() && !below.starts_with('/') {
            return None;
        }
        Some(self.mount.join(below.trim_start_matches('/')))
    }

    /// Where a sub-tree of our own may be made: below the agent's own cgroup, else at the top.
    pub(crate) fn places(&self) -> Vec<PathBuf> {
        let own = procfs::Folder::open(std::process::id()).and_then(|own| self.folder(&own.cgroup_path()?));
        // An agent that has stepped aside already was started in the cgroup above.
        let started_in =
            own.map(|own| if own.ends_with(aside()) { own.parent().map_or(own.clone(), Path::to_owned) } else { own });
        let mut places: Vec<PathBuf> = started_in.into_iter().collect();
        if !places.contains(&self.mount) {
            places.push(self.mount.clone());
        }
        places
    }
}

/// Octal escapes of mountinfo: blank, tab, line feed, backslash.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}

/// One cgroup that we made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroup {
    /// Its folder.
    pub(crate) folder: PathBuf,
    /// Its id: the folder's inode, never used again while the machine runs.
    pub(crate) id: u64,
}

impl Cgroup {
    /// Makes it.
    ///
    /// # Errors
    /// As mkdir(2).
    pub(crate) fn create(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir(&folder)?;
        let id = fs::metadata(&folder)?.ino();
        Ok(Self { folder, id })
    }

    /// The cgroup of this id, if that is what stands there.
    pub(crate) fn find(folder: PathBuf, id: u64) -> Option<Self> {
        let found = fs::metadata(&folder).ok()?;
        (found.is_dir() && found.ino() == id).then_some(Self { folder, id })
    }

    /// Moves a process into it.
    ///
    /// # Errors
    /// As for a write to `cgroup.procs`; cgroups(7).
    pub(crate) fn admit(&self, pid: u32) -> io::Result<()> {
        set(&self.folder.join("cgroup.procs"), &pid.to_string())
    }

    /// Kills everything in it and below, without a race against forks where the kernel can (5.14 and later).
    ///
    /// # Errors
    /// The folder is gone, or a process may not be signalled by us.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match set(&self.folder.join("cgroup.kill"), "1") {
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.folder.exists() => self.signal(Signal::KILL),
            result => result,
        }
    }

    /// Signals every process in it and below.
    ///
    /// # Errors
    /// The first that failed; all are tried.
    pub(crate) fn signal(&self, wanted: Signal) -> io::Result<()> {
        let mut result = Ok(());
        for folder in self.folders() {
            for pid in procs(&folder)? {
                let still_there = || procs(&folder).is_ok_and(|pids| pids.contains(&pid));
                result = result.and(signal::send_if(pid, wanted, still_there));
            }
        }
        result
    }

    /// Whether no living process is in it or below.
    ///
    /// # Errors
    /// `cgroup.events` cannot be read though the folder is there.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        match fs::read_to_string(self.folder.join("cgroup.events")) {
            Ok(text) => Ok(text.lines().any(|line| line == "populated 0")),
            Err(_) if !self.folder.exists() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// Removes it with what was made below it; it must be empty.
    ///
    /// # Errors
    /// As rmdir(2); a folder that is gone already is none.
    pub(crate) fn remove(&self) -> io::Result<()> {
        // Nearly always nothing was made below it, and to see that takes longer than to remove it.
        if fs::remove_dir(&self.folder).is_ok() {
            return Ok(());
        }
        let mut folders = self.folders();
        while let Some(folder) = folders.pop() {
            match fs::remove_dir(&folder) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// This folder and those below, each before its own.
    fn folders(&self) -> Vec<PathBuf> {
        let mut found = vec![self.folder.clone()];
        let mut next = 0;
        while let Some(folder) = found.get(next).filter(|_| next < NESTED_CGROUPS) {
            // A folder that vanishes meanwhile has nothing below it.
            let below: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().filter_map(folder_path).collect();
            found.extend(below);
            next = next.saturating_add(1);
        }
        found
    }
}

fn folder_path(entry: io::Result<fs::DirEntry>) -> Option<PathBuf> {
    let entry = entry.ok()?;
    entry.file_type().ok()?.is_dir().then(|| entry.path())
}

/// The processes in the cgroup of this id directly below a folder; none where there is no such cgroup any more.
pub(crate) fn members(folder: &Path, id: u64) -> Vec<u32> {
    // The listing has the ids, so that nothing needs to be looked at one by one; it is as long as the registry at most.
    let mut entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let found = entries.find(|entry| entry.ino() == id);
    found.and_then(|entry| procs(&entry.path()).ok()).unwrap_or_default()
}

/// Writes to a file of a cgroup; each write is an order to the kernel.
pub(crate) fn set(file: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(file)?;
    file.write_all(text.as_bytes())
}

pub(crate) fn procs(folder: &Path) -> io::Result<Vec<u32>> {
    match fs::read_to_string(folder.join("cgroup.procs")) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        Err(_) if !folder.exists() => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
