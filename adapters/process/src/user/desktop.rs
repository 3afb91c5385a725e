//! A user's runtime folder, and the display variables that his service manager knows.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use castellan_core::user::desktop::{Desktop, RuntimeFolder, VARIABLES, runtime_path};
use zbus::OwnedVariant;
use zbus::connection::Builder;

use crate::tree::within;

/// For his service manager, which he may have replaced by something that never answers.
const DEADLINE: Duration = Duration::from_secs(5);
/// Bytes of a value: no path is longer (`PATH_MAX`).
const VALUE_BYTES: usize = 4096;

/// What is known about the desktop of a user.
pub(super) async fn look(uid: u32) -> Desktop {
    let path = runtime_path(uid);
    let runtime = fs::symlink_metadata(&path).ok().map(|found| RuntimeFolder {
        is_folder: found.is_dir(),
        uid: found.uid(),
        mode: found.mode() & 0o7777,
    });
    let mut desktop = Desktop { runtime, claims: Vec::new() };
    let bus = format!("{path}/bus");
    if !desktop.is_safe(uid) || fs::symlink_metadata(&bus).is_err() {
        return desktop;
    }
    match within(DEADLINE, environment(&bus)).await {
        Some(Ok(claims)) => desktop.claims = claims,
        Some(Err(error)) => {
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

/// Not by `/proc/PID/environ`, which any program of his can write, and which may be another's by now.
async fn environment(bus: &str) -> zbus::Result<Vec<(String, String)>> {
    let bus = Builder::address(format!("unix:path={bus}").as_str()).build().await?;
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
