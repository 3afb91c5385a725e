//! A user's runtime folder, and the display variables that his service manager knows.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use async_io::Async;
use castellan_core::user::Account;
use castellan_core::user::desktop::{Desktop, RuntimeFolder, VARIABLES, runtime_path};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Gid, Uid, geteuid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};
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
pub(super) async fn look(account: &Account) -> Desktop {
    static FREE: Semaphore = Semaphore::new(QUESTIONS);
    let (uid, owned) = (account.uid, account.clone());
    let Some((runtime, bus)) = ask(DEADLINE, &FREE, move || folder(&owned)).await else {
        log::warn!("{} did not answer within {} s; nothing of it is used", runtime_path(uid), DEADLINE.as_secs());
        return Desktop::default();
    };
    let mut desktop = Desktop { runtime, claims: Vec::new() };
    let Some(bus) = bus else { return desktop };
    let asked = async { environment(bus?, uid).await };
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
fn folder(account: &Account) -> (Option<RuntimeFolder>, Option<io::Result<UnixStream>>) {
    let path = runtime_path(account.uid);
    let runtime = fs::symlink_metadata(&path).ok().map(|found| RuntimeFolder {
        is_folder: found.is_dir(),
        uid: found.uid(),
        mode: found.mode() & 0o7777,
    });
    let bus = format!("{path}/bus");
    let is_there = Desktop { runtime, claims: Vec::new() }.is_safe(account.uid) && fs::symlink_metadata(&bus).is_ok();
    (runtime, is_there.then(|| dial(account, &bus)))
}

/// Connects as the user: his bus lets in nobody else, and he can lead the agent to no socket that is closed to him.
///
/// On a thread that ends with it; its real and saved ids stay the agent's, so that he can neither trace nor signal it.
fn dial(account: &Account, bus: &str) -> io::Result<UnixStream> {
    let become_him = || {
        let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
        if uid == geteuid() {
            return Ok(());
        }
        set_thread_groups(&[])?;
        set_thread_res_gid(None, gid, None)?;
        set_thread_res_uid(None, uid, None)
    };
    let connected = || {
        become_him()?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let stream = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Never waits: a full queue is an error.
        connect(&stream, &SocketAddrUnix::new(bus)?)?;
        Ok(stream.into())
    };
    let ended = std::thread::scope(|scope| scope.spawn(connected).join());
    ended.unwrap_or_else(|_panic| Err(io::Error::other("the thread that connects to it panicked")))
}

/// Not by `/proc/PID/environ`, which any program of his can write, and which may be another's by now.
async fn environment(bus: UnixStream, uid: u32) -> zbus::Result<Vec<(String, String)>> {
    let bus = Bounded::new(Async::new_nonblocking(bus)?, ANSWER_BYTES);
    let bus = Builder::socket(bus).user_id(uid).build().await?;
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
