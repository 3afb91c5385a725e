//! The way to one file, over the handles of the folders on it: what is found is what was opened, whatever the names lead to later.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags};

/// Links followed on the way to one file, as many as the kernel follows.
const LINKS: usize = 40;
const STICKY: u32 = 0o1000;
const GROUP_WRITE: u32 = 0o020;
const OTHER_WRITE: u32 = 0o002;
/// The attribute that carries an access control list: what the group bits allow is then its mask, not one group's right.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// Where a path leads.
#[derive(Debug)]
pub(super) struct Reached {
    /// The file or folder itself (`O_PATH`: can be executed and looked at, not read).
    pub(super) handle: File,
    pub(super) metadata: Metadata,
    /// The path without links.
    pub(super) resolved: PathBuf,
    /// The first thing on the way, links included, that somebody other than root and us may change.
    pub(super) writable_by_others: Option<String>,
}

/// Walks to what an absolute path names, component by component, each opened below the one before.
///
/// # Errors
/// It does not exist, cannot be reached, or is not absolute.
pub(super) fn reach(path: &Path) -> io::Result<Reached> {
    if !path.is_absolute() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not an absolute path"));
    }
    let (root, metadata) = open(CWD, OsStr::new("/"))?;
    let mut resolved = PathBuf::from("/");
    let mut writable_by_others = open_to_others(&resolved, &root, &metadata);
    let mut way = vec![(root, metadata)];
    let mut rest: VecDeque<OsString> = parts(path);
    let mut links: usize = 0;
    while let Some(part) = rest.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::RootDir) => {
                way.truncate(1);
                resolved = PathBuf::from("/");
                continue;
            }
            Some(Component::ParentDir) => {
                way.truncate(way.len().saturating_sub(1).max(1));
                resolved.pop();
                continue;
            }
            Some(Component::Normal(_) | Component::CurDir | Component::Prefix(_)) | None => {}
        }
        let Some((folder, _)) = way.last() else { break };
        let (handle, metadata) = open(folder, &part)?;
        let named = resolved.join(&part);
        if !metadata.is_symlink() {
            writable_by_others = writable_by_others.or_else(|| open_to_others(&named, &handle, &metadata));
            resolved = named;
            way.push((handle, metadata));
            continue;
        }
        links = links.saturating_add(1);
        if links > LINKS {
            return Err(rustix::io::Errno::LOOP.into());
        }
        // A link has no mode; its owner may replace it only where the folder lets him, except under a sticky folder.
        if !is_trusted(metadata.uid()) {
            let reason = || format!("{} (a link of user {})", named.display(), metadata.uid());
            writable_by_others = writable_by_others.or_else(|| Some(reason()));
        }
        let target = rustix::fs::readlinkat(&handle, "", Vec::new())?;
        for part in parts(Path::new(&OsString::from_vec(target.into_bytes()))).into_iter().rev() {
            rest.push_front(part);
        }
    }
    let (handle, metadata) = way.pop().ok_or(rustix::io::Errno::NOENT)?;
    Ok(Reached { handle, metadata, resolved, writable_by_others })
}

/// By which what was reached can be opened for reading, or asked about, where a call takes no handle.
pub(super) fn own_name(handle: &File) -> String {
    format!("/proc/self/fd/{}", handle.as_raw_fd())
}

fn parts(path: &Path) -> VecDeque<OsString> {
    path.components().map(|part| part.as_os_str().to_owned()).collect()
}

fn open(folder: impl std::os::fd::AsFd, name: &OsStr) -> io::Result<(File, Metadata)> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = File::from(rustix::fs::openat(folder, name, flags, Mode::empty())?);
    let metadata = handle.metadata()?;
    Ok((handle, metadata))
}

/// How somebody else may change this very file or folder.
fn open_to_others(path: &Path, handle: &File, metadata: &Metadata) -> Option<String> {
    let mode = metadata.mode() & 0o7777;
    let described =
        || format!("{} (mode {mode:04o}, user {}, group {})", path.display(), metadata.uid(), metadata.gid());
    if !is_trusted(metadata.uid()) {
        return Some(described());
    }
    // In a sticky folder everybody may add names, but only its owner, trusted as seen above, may replace those of others.
    if metadata.is_dir() && mode & STICKY != 0 {
        return None;
    }
    let by_group = mode & GROUP_WRITE != 0 && (has_other_members(metadata.gid()) || has_access_list(handle));
    (mode & OTHER_WRITE != 0 || by_group).then(described)
}

/// Root, or the user the agent runs as.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

fn has_access_list(handle: &File) -> bool {
    rustix::fs::getxattr_query(own_name(handle), ACCESS_LIST).is_ok()
}

/// Whether a group may have members other than root and us; many systems give each user a group of his own.
fn has_other_members(gid: u32) -> bool {
    let (Ok(groups), Ok(users)) = (fs::read_to_string("/etc/group"), fs::read_to_string("/etc/passwd")) else {
        return true;
    };
    group_has_other_members(gid, &groups, &users)
}

/// By `/etc/group` and `/etc/passwd`; a group that stands in neither is taken to have others.
pub(super) fn group_has_other_members(gid: u32, groups: &str, users: &str) -> bool {
    let users: Vec<(&str, u32, u32)> = users.lines().filter_map(user_line).collect();
    let trusted_name = |name: &str| users.iter().any(|(user, uid, _)| *user == name && is_trusted(*uid));
    let Some(members) = groups.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        (fields.next()?.parse() == Ok(gid)).then(|| fields.next().unwrap_or_default())
    }) else {
        return true;
    };
    members.split(',').any(|name| !name.is_empty() && !trusted_name(name))
        || users.iter().any(|(_, uid, primary)| *primary == gid && !is_trusted(*uid))
}

/// Name, user id, primary group.
fn user_line(line: &str) -> Option<(&str, u32, u32)> {
    let mut fields = line.split(':');
    let name = fields.next()?;
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some((name, uid, gid))
}
