//! Facts about the file that a command resolves to, and about who may change it.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use castellan_core::effect::ProgramQuery;
use castellan_core::event::{ExecutableFacts, Opening};
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags};

/// Links followed on the way to one file, as many as the kernel follows.
const LINKS: usize = 40;
/// How a program of Linux begins (ELF).
const BINARY: &[u8] = b"\x7fELF";
const STICKY: u32 = 0o1000;
const GROUP_WRITE: u32 = 0o020;
const OTHER_WRITE: u32 = 0o002;
/// The attribute that carries an access control list: what the group bits allow is then its mask, not one group's right.
const ACCESS_LIST: &str = "system.posix_acl_access";

/// The program that is asked for, and its interpreter where one is.
pub(crate) fn inspect(query: &ProgramQuery) -> ExecutableFacts {
    let interpreter = (!query.interpreters.is_empty()).then(|| Box::new(first_of(&query.interpreters)));
    ExecutableFacts { interpreter, ..first_of(&query.candidates) }
}

/// The first candidate that exists, looked at; the first of all where none does.
fn first_of(candidates: &[String]) -> ExecutableFacts {
    let found = candidates.iter().find_map(|path| fs::metadata(path).ok().map(|metadata| (path, metadata)));
    let Some((path, metadata)) = found else {
        return ExecutableFacts { path: candidates.first().cloned().unwrap_or_default(), ..ExecutableFacts::default() };
    };
    let executable = metadata.is_file() && rustix::fs::accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok();
    ExecutableFacts {
        path: path.clone(),
        exists: true,
        executable,
        opening: if metadata.is_file() { opening(path) } else { Opening::Unreadable },
        writable_by_others: writable_by_others(Path::new(path)),
        interpreter: None,
    }
}

/// The first bytes of a file; a pipe that took its place meanwhile does not hold us up.
fn opening(path: &str) -> Opening {
    let mut bytes = Vec::with_capacity(BINARY.len());
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let read = rustix::fs::open(path, flags, Mode::empty())
        .map_err(std::io::Error::from)
        .and_then(|file| fs::File::from(file).take(BINARY.len() as u64).read_to_end(&mut bytes));
    match read {
        Err(_) => Opening::Unreadable,
        Ok(_) if bytes == BINARY => Opening::Binary,
        Ok(_) if bytes.starts_with(b"#!") => Opening::HashBang,
        Ok(_) => Opening::Other,
    }
}

/// The first thing on the way to a file, links included, that somebody other than root and us may change.
fn writable_by_others(path: &Path) -> Option<String> {
    if !path.is_absolute() {
        return Some(format!("{} (not an absolute path)", path.display()));
    }
    let mut rest: VecDeque<OsString> = path.components().map(|part| part.as_os_str().to_owned()).collect();
    let mut at = PathBuf::new();
    let mut links: usize = 0;
    while let Some(part) = rest.pop_front() {
        match Path::new(&part).components().next() {
            Some(Component::ParentDir) => {
                at.pop();
                continue;
            }
            Some(Component::RootDir) => at = PathBuf::from("/"),
            Some(Component::Normal(_) | Component::CurDir | Component::Prefix(_)) | None => at.push(&part),
        }
        let metadata = match fs::symlink_metadata(&at) {
            Ok(metadata) => metadata,
            Err(error) => return Some(format!("{} (cannot be looked at: {error})", at.display())),
        };
        if metadata.is_symlink() {
            links = links.saturating_add(1);
            let Some(target) = fs::read_link(&at).ok().filter(|_| links <= LINKS) else {
                return Some(format!("{} (a link that leads nowhere)", at.display()));
            };
            // A link has no mode; its owner may replace it only where the folder lets him, except under a sticky folder.
            if !is_trusted(metadata.uid()) {
                return Some(format!("{} (a link of user {})", at.display(), metadata.uid()));
            }
            at.pop();
            for part in target.components().rev() {
                rest.push_front(part.as_os_str().to_owned());
            }
        } else if let Some(reason) = open_to_others(&at, &metadata) {
            return Some(format!("{} ({reason})", at.display()));
        }
    }
    None
}

/// How somebody else may change this very file or folder.
fn open_to_others(path: &Path, metadata: &Metadata) -> Option<String> {
    let mode = metadata.mode() & 0o7777;
    let described = format!("mode {mode:04o}, user {}, group {}", metadata.uid(), metadata.gid());
    if !is_trusted(metadata.uid()) {
        return Some(described);
    }
    // In a sticky folder everybody may add names, but only its owner, trusted as seen above, may replace those of others.
    if metadata.is_dir() && mode & STICKY != 0 {
        return None;
    }
    let by_group = mode & GROUP_WRITE != 0 && (has_other_members(metadata.gid()) || has_access_list(path));
    (mode & OTHER_WRITE != 0 || by_group).then_some(described)
}

/// Root, or the user the agent runs as.
fn is_trusted(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

fn has_access_list(path: &Path) -> bool {
    rustix::fs::getxattr_query(path, ACCESS_LIST).is_ok()
}

/// Whether a group may have members other than root and us; many systems give each user a group of his own.
fn has_other_members(gid: u32) -> bool {
    let (Ok(groups), Ok(users)) = (fs::read_to_string("/etc/group"), fs::read_to_string("/etc/passwd")) else {
        return true;
    };
    group_has_other_members(gid, &groups, &users)
}

/// By `/etc/group` and `/etc/passwd`; a group that stands in neither is taken to have others.
fn group_has_other_members(gid: u32, groups: &str, users: &str) -> bool {
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

#[cfg(test)]
mod tests;
