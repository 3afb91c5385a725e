//! A user's runtime folder, and the display variables that his service manager knows.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use async_io::Async;
use castellan_core::user::desktop::{Desktop, RuntimeFolder, VARIABLES, runtime_path};
use rustix::fs::{CWD, FileType, Mode, OFlags, Stat, fstat, openat};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use smol::lock::Semaphore;
use zbus::OwnedVariant;
use zbus::connection::Builder;

use super::untrusted::{Bounded, QUESTIONS, ask};
use crate::tree::within;

/// For each question to his service manager and his folder, which he may have replaced by something that never answers.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of his service manager's answers; an environment has a few thousand.
const ANSWER_BYTES: usize = 1 << 20;
/// Characters of its complaint that are logged.
const COMPLAINT: usize = 200;
/// Bytes of a value: no path is longer (`PATH_MAX`).
const VALUE_BYTES: usize = 4096;

/// What is known about the desktop of a user.
pub(super) async fn look(uid: u32) -> Desktop {
    static FREE: Semaphore = Semaphore::new(QUESTIONS);
    let Some((runtime, bus)) = ask(DEADLINE, &FREE, move || folder(uid)).await else {
        log::warn!("{} did not answer within {} s; nothing of it is used", runtime_path(uid), DEADLINE.as_secs());
        return Desktop::default();
    };
    let mut desktop = Desktop { runtime, claims: Vec::new() };
    let Some(bus) = bus else { return desktop };
    let asked = async { environment(bus?).await };
    match within(DEADLINE, asked).await {
        Some(Ok(claims)) => desktop.claims = claims,
        Some(Err(error)) => {
            let error: String = error.to_string().chars().take(COMPLAINT).collect();
            log::warn!(
                "the service manager of user {uid} does not tell its display: {error}; what logind tells is used"
            );
        }
        None => log::warn!(
            "the service manager of user {uid} did not answer within {} s; what logind tells of the display is used",
            DEADLINE.as_secs()
        ),
    }
    desktop
}

/// A user's runtime folder and a connection to his bus, each where there is one.
fn folder(uid: u32) -> (Option<RuntimeFolder>, Option<io::Result<UnixStream>>) {
    let itself = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = |folder: BorrowedFd<'_>, name: &str| {
        let handle = openat(folder, name, itself, Mode::empty())?;
        fstat(&handle).map(|found| (handle, found))
    };
    let Ok((handle, found)) = open(CWD, &runtime_path(uid)) else { return (None, None) };
    let runtime = RuntimeFolder {
        is_folder: kind(&found) == FileType::Directory,
        uid: found.st_uid,
        mode: found.st_mode & 0o7777,
    };
    let desktop = Desktop { runtime: Some(runtime), claims: Vec::new() };
    if !desktop.is_safe(uid) {
        return (desktop.runtime, None);
    }
    // His own socket and no link: else he could lead the agent to one that only root may talk to.
    let bus =
        open(handle.as_fd(), "bus").ok().filter(|(_, found)| kind(found) == FileType::Socket && found.st_uid == uid);
    (desktop.runtime, bus.map(|(bus, _)| dial(&bus)))
}

fn kind(found: &Stat) -> FileType {
    FileType::from_raw_mode(found.st_mode)
}

/// Connects to a socket that was opened, whatever has its name by now. Never waits: a full queue is an error.
fn dial(bus: &OwnedFd) -> io::Result<UnixStream> {
    let stream =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    connect(&stream, &SocketAddrUnix::new(format!("/proc/self/fd/{}", bus.as_raw_fd()))?)?;
    Ok(stream.into())
}

/// Not by `/proc/PID/environ`, which any program of his can write, and which may be another's by now.
async fn environment(bus: UnixStream) -> zbus::Result<Vec<(String, String)>> {
    let bus = Builder::socket(Bounded::new(Async::new_nonblocking(bus)?, ANSWER_BYTES)).build().await?;
    let wanted = ("org.freedesktop.systemd1.Manager", "Environment");
    let service = "org.freedesktop.systemd1";
    let properties = "org.freedesktop.DBus.Properties";
    let answer = bus.call_method(Some(service), "/org/freedesktop/systemd1", Some(properties), "Get", &wanted).await?;
    let body = answer.body();
    let value: OwnedVariant = body.deserialize()?;
    let lines = Vec::<String>::try_from(value)?;
    let pair = |line: &String| {
        let (name, value) = line.split_once('=')?;
        let wanted = VARIABLES.contains(&name) && value.len() <= VALUE_BYTES;
        wanted.then(|| (name.to_owned(), value.to_owned()))
    };
    Ok(lines.iter().filter_map(pair).collect())
}
