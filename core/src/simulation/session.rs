//! The session of a simulation: somebody sits at the machine's screen, whatever User tasks ask for.

use alloc::string::ToString;
use alloc::vec::Vec;

use crate::user::desktop::{Desktop, RuntimeFolder};
use crate::user::{Account, Session, Sessions, UserFacts};

/// The user id that most systems give first.
const UID: u32 = 1000;

/// All sessions of a machine where user 1000 has logged in at a graphical one.
pub(super) fn sessions() -> Sessions {
    Sessions::Listed(Vec::from([Session {
        id: "1".to_string(),
        uid: UID,
        user: "user".to_string(),
        class: "user".to_string(),
        kind: "wayland".to_string(),
        state: "active".to_string(),
        active: true,
        remote: false,
        seat: "seat0".to_string(),
        display: ":0".to_string(),
    }]))
}

/// What is found out there about its user.
pub(super) fn facts() -> UserFacts {
    let account = Account {
        name: "user".to_string(),
        uid: UID,
        gid: UID,
        groups: Vec::from([UID]),
        home: "/srv/home/user".to_string(),
        shell: "/bin/sh".to_string(),
    };
    let runtime = Some(RuntimeFolder { is_folder: true, uid: UID, mode: 0o700 });
    UserFacts { sessions: sessions(), account: Some(Ok(account)), desktop: Desktop { runtime, claims: Vec::new() } }
}
