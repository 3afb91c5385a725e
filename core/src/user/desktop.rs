//! The display variables of a user's session: each is passed only where its value is exactly what it has to be.
//!
//! | variable | passed |
//! | --- | --- |
//! | `XDG_RUNTIME_DIR` | `/run/user/UID`, where that is a folder of his, mode 0700, and no link |
//! | `WAYLAND_DISPLAY` | `wayland-` and a number, below that folder |
//! | `DISPLAY` | `:` and a number, `.` and a number behind it or not |
//! | `DBUS_SESSION_BUS_ADDRESS` | `unix:path=/run/user/UID/bus`, below that folder |
//! | `XAUTHORITY` | a path below his home or that folder, without `..`; dropped later if he cannot open it |
//!
//! A user writes these values himself, and programs believe them: an address like `unixexec:` would be a program to execute.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Account, NO_SESSION};

/// Variables that are asked for and may be passed.
pub const VARIABLES: [&str; 4] = ["WAYLAND_DISPLAY", "DISPLAY", "DBUS_SESSION_BUS_ADDRESS", "XAUTHORITY"];

/// What is known about a user's desktop.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desktop {
    /// `/run/user/UID`, where there is such a thing.
    pub runtime: Option<RuntimeFolder>,
    /// What the user's service manager has in its environment, as he left it; only of [`VARIABLES`].
    pub claims: Vec<(String, String)>,
}

/// A place where a runtime folder should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeFolder {
    /// Whether it is a folder, and not a link to one.
    pub is_folder: bool,
    /// Its owner.
    pub uid: u32,
    /// Its permission bits.
    pub mode: u32,
}

/// Where the runtime folder of a user is.
pub fn runtime_path(uid: u32) -> String {
    format!("/run/user/{uid}")
}

impl Desktop {
    /// Whether the runtime folder is the user's own and closed to others.
    pub fn is_safe(&self, uid: u32) -> bool {
        self.runtime.is_some_and(|folder| folder.is_folder && folder.uid == uid && folder.mode & 0o7777 == 0o700)
    }
}

/// The variables to pass; `displays` are what else may name his display.
///
/// # Errors
/// A sentence: there is no display.
pub(super) fn variables(
    account: &Account,
    desktop: &Desktop,
    displays: &[&str],
) -> Result<Vec<(String, String)>, String> {
    let runtime = runtime_path(account.uid);
    let safe = desktop.is_safe(account.uid);
    let claim = |wanted: &str| desktop.claims.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
    let any = |name| claim(name).into_iter().chain(displays.iter().copied());
    let bus = format!("unix:path={runtime}/bus");
    let found = [
        ("XDG_RUNTIME_DIR", Some(runtime.as_str()).filter(|_| safe)),
        ("WAYLAND_DISPLAY", any("WAYLAND_DISPLAY").find(|value| safe && is_wayland(value))),
        ("DISPLAY", any("DISPLAY").find(|value| is_x11(value))),
        ("DBUS_SESSION_BUS_ADDRESS", claim("DBUS_SESSION_BUS_ADDRESS").filter(|value| safe && *value == bus)),
        (
            "XAUTHORITY",
            claim("XAUTHORITY").filter(|path| is_below(path, &account.home) || (safe && is_below(path, &runtime))),
        ),
    ];
    let is_there = |wanted: &str| found.iter().any(|(name, value)| *name == wanted && value.is_some());
    if !is_there("WAYLAND_DISPLAY") && !is_there("DISPLAY") {
        return Err(format!(
            "{NO_SESSION} the display of user {} is not known. Where there is no logind, set Settings:SessionDisplay to ':0' or 'wayland-0'.",
            account.uid
        ));
    }
    let pairs = found.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?.to_string())));
    Ok(pairs.collect())
}

/// Whether a text can name a display.
pub fn is_display(text: &str) -> bool {
    is_wayland(text) || is_x11(text)
}

fn is_wayland(text: &str) -> bool {
    text.strip_prefix("wayland-").is_some_and(is_number)
}

fn is_x11(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(':') else { return false };
    match rest.split_once('.') {
        Some((display, screen)) => is_number(display) && is_number(screen),
        None => is_number(rest),
    }
}

/// Digits, and not more than any number of displays.
fn is_number(text: &str) -> bool {
    (1..=9).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a path leads below a folder, by its letters; links are the matter of whoever opens it.
fn is_below(path: &str, folder: &str) -> bool {
    let folder = folder.trim_end_matches('/');
    let inside = path.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/'));
    folder.starts_with('/')
        && inside
            .is_some_and(|rest| !rest.contains('\0') && rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
}
