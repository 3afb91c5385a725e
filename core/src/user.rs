//! As whom a program of a user's session runs: sessions and accounts in, a person or a refusal out (contract section 3, `executionType`;
//! section 7, `executionContext`).
//!
//! | | `User` | `UserDesktop`, `Interactive` | `UserElevated` |
//! | --- | --- | --- | --- |
//! | needs | an active, local session of a user | a graphical one, and its display | as `User` |
//! | runs as | its user, with exactly his groups | the same | root, and the user stands in `KEEPER_REQUESTING_UID` |
//! | may gain privileges | no | no | yes |
//! | starts in | his home where he may enter it, else `/` | the same | `/` |
//! | display | none | what proves right ([`desktop`]) | none |
//!
//! Of several sessions one at `seat0` comes first, then a graphical one, then the lowest name. Where the machine has no logind,
//! `Settings:SessionUser` stands for its one session, and `Settings:SessionDisplay` makes that graphical. A plugin has a process in each
//! such session that is not root's ([`sessions`]).
//!
//! Never: root for `User` and `UserDesktop`, whoever sits there; an id that the system calls take for "leave it" (-1, or 65535 where
//! ids have 16 bits); the agent's own account because nobody else was found.

pub mod desktop;
pub mod sessions;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::surroundings::{DEFAULT_PATH, Surroundings};
use desktop::Desktop;
use sessions::SessionKey;

/// How every refusal begins that has no session to run in (seed 004; contract section 3).
const NO_SESSION: &str = "NoActiveSession:";
/// The seat of the machine's own screen and keyboard; sd-login(3).
const FIRST_SEAT: &str = "seat0";
/// Types of sessions that have a display; sd_session_get_type(3).
const GRAPHICAL: [&str; 3] = ["wayland", "x11", "mir"];
/// Groups whose members administer the machine anyway: as sudo has it on Debian and on Fedora. `adm` reads logs, no more.
const ADMINISTRATORS: [&str; 2] = ["sudo", "wheel"];
/// Ids that system calls take for "leave it as it is" (CVE-2019-14287): never a person's.
const NOBODY_AT_ALL: [u32; 2] = [u32::MAX, 65_535];
/// The variable that tells an elevated program on whose behalf it runs.
const REQUESTING_UID: &str = "KEEPER_REQUESTING_UID";
/// Sessions that a refusal tells about.
const TOLD: usize = 4;

/// As whom a program runs that does not run as the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunAs {
    /// The user of the active session.
    User,
    /// The same, with his display.
    UserDesktop,
    /// Root, on behalf of that user.
    UserElevated,
}

/// What to find out before such a program is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserQuery {
    /// As whom.
    pub run_as: RunAs,
    /// `Settings:SessionUser`: the account that counts where the machine has no logind.
    pub session_user: Option<String>,
    /// The very session that it is for; `None` takes the one that [`choose`] prefers.
    pub session: Option<SessionKey>,
    /// The very account that it is for, whoever sits at the machine: `Settings:ElevationAccount`.
    pub account: Option<String>,
}

/// What was found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserFacts {
    /// The sessions of the machine.
    pub sessions: Sessions,
    /// The account that [`choose`] names, or why it is not known; `None` where it names nobody.
    pub account: Option<Result<Account, String>>,
    /// His desktop, for `UserDesktop`.
    pub desktop: Desktop,
}

/// What logind says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sessions {
    /// The machine has none; why that is thought.
    NoLogind(String),
    /// It gave no answer that can be used: this is no time to guess.
    Failed(String),
    /// All its sessions.
    Listed(Vec<Session>),
}

/// One session, in the words of org.freedesktop.login1(5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Session {
    /// Its name.
    pub id: String,
    /// User id.
    pub uid: u32,
    /// Name of the user, for people: what runs is decided by the account of `uid`.
    pub user: String,
    /// `user`, `greeter`, `lock-screen`, …
    pub class: String,
    /// `wayland`, `x11`, `tty`, …
    pub kind: String,
    /// `active`, `online`, `closing`.
    pub state: String,
    /// Whether it is in the foreground of its seat.
    pub active: bool,
    /// Whether its user is somewhere else.
    pub remote: bool,
    /// Its seat, or empty.
    pub seat: String,
    /// Its X11 display, or empty.
    pub display: String,
}

/// An account of the system.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// Its name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// All groups, the primary one among them.
    pub groups: Vec<u32>,
    /// Home folder.
    pub home: String,
    /// Login shell, or empty.
    pub shell: String,
}

/// Whose account to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice<'f> {
    /// The user of this session.
    Session(&'f Session),
    /// The account of this name.
    Configured(&'f str),
}

/// As whom a process shall run. Made by [`decide`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Name of the account.
    pub name: String,
    /// Its user id.
    pub uid: u32,
    /// The ids to take; `None` where the agent's own user is that person.
    pub ids: Option<Ids>,
    /// Whether nothing that it executes may give it more privileges.
    pub confined: bool,
    /// Its variables; those of the order come on top.
    pub environment: Vec<(String, String)>,
    /// Where it starts unless the order says where; `/` where it may not enter that.
    pub folder: String,
}

/// User and groups of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// User id: real, effective and saved.
    pub uid: u32,
    /// Group id: the same.
    pub gid: u32,
    /// Supplementary groups, all of them.
    pub groups: Vec<u32>,
}

/// Whether a user with these groups administers the machine anyway.
pub(crate) fn is_administrator(uid: u32, groups: &BTreeSet<String>) -> bool {
    uid == 0 || ADMINISTRATORS.iter().any(|name| groups.contains(*name))
}

impl Session {
    /// Whether its user sits at the machine before its display.
    pub fn has_desktop(&self) -> bool {
        self.unfit(RunAs::UserDesktop).is_none()
    }

    fn is_graphical(&self) -> bool {
        GRAPHICAL.contains(&self.kind.as_str())
    }

    /// Why nothing may run in it, if so.
    fn unfit(&self, run_as: RunAs) -> Option<&'static str> {
        if self.class != "user" {
            Some("is not a user's")
        } else if self.remote {
            Some("is remote")
        } else if !self.active || self.state != "active" {
            Some("is not active")
        } else if run_as == RunAs::UserDesktop && !self.is_graphical() {
            Some("is not graphical")
        } else {
            None
        }
    }
}

/// Whose session it is to be.
///
/// # Errors
/// A sentence that begins with `NoActiveSession:`, with what would help.
pub fn choose<'f>(query: &'f UserQuery, sessions: &'f Sessions) -> Result<Choice<'f>, String> {
    if let Some(name) = &query.account {
        return Ok(Choice::Configured(name));
    }
    match (&query.session, sessions) {
        (None, _) | (Some(SessionKey::Configured), Sessions::NoLogind(_)) => {}
        (Some(key), _) => return sessions::same(key, query.run_as, sessions).map(Choice::Session),
    }
    let listed = match (sessions, &query.session_user) {
        (Sessions::Listed(listed), _) => listed,
        (Sessions::NoLogind(_), Some(name)) => return Ok(Choice::Configured(name)),
        (Sessions::NoLogind(why), None) => {
            return Err(format!(
                "{NO_SESSION} who sits at this machine is not known, as it has no logind ({why}) and Settings:SessionUser is not set."
            ));
        }
        (Sessions::Failed(why), _) => {
            return Err(format!("{NO_SESSION} logind does not say who sits at this machine: {why}."));
        }
    };
    let mut fit: Vec<&Session> = listed.iter().filter(|session| session.unfit(query.run_as).is_none()).collect();
    fit.sort_by_key(|session| (session.seat != FIRST_SEAT, !session.is_graphical(), &session.id));
    match fit.first() {
        Some(session) => Ok(Choice::Session(session)),
        None => Err(nobody_there(listed, query.run_as)),
    }
}

fn nobody_there(listed: &[Session], run_as: RunAs) -> String {
    let wanted = if run_as == RunAs::UserDesktop { "active, local and graphical" } else { "active and local" };
    let told: Vec<String> = listed
        .iter()
        .take(TOLD)
        .filter_map(|session| {
            let why = session.unfit(run_as)?;
            Some(format!("session {} of user {} {why}", crate::job::finding::quote(&session.id), session.uid))
        })
        .collect();
    let rest = match told.len() {
        0 => String::from("logind lists none"),
        few if few == listed.len() => told.join(", "),
        _ => format!("{}, and more", told.join(", ")),
    };
    format!(
        "{NO_SESSION} no session is {wanted} ({rest}). Somebody has to log in at the machine; nothing runs as the agent instead."
    )
}

/// As whom a process runs. `display` is `Settings:SessionDisplay`.
///
/// # Errors
/// A sentence that says why nobody is found, or why this one is refused, and what would help.
pub fn decide(
    query: &UserQuery,
    facts: &UserFacts,
    display: Option<&str>,
    surroundings: &Surroundings,
) -> Result<Person, String> {
    let choice = choose(query, &facts.sessions)?;
    let account = match &facts.account {
        Some(Ok(account)) => account,
        Some(Err(why)) => return Err(format!("{NO_SESSION} the account of its user is not known: {why}.")),
        None => return Err(format!("{NO_SESSION} the account of its user was not looked for; report this.")),
    };
    // A user database may take names in any spelling; which one is the account's own, it alone knows.
    let (is_his, help) = match choice {
        Choice::Session(session) => (session.uid == account.uid, "not the session's; try again"),
        Choice::Configured(name) => {
            (account.name == name, "under that name alone; write Settings:SessionUser exactly so")
        }
    };
    if !is_his {
        return Err(format!("{NO_SESSION} the account that was found is {}, {help}.", shown(account)));
    }
    if query.run_as == RunAs::UserElevated {
        return elevated_for(account, surroundings);
    }
    check_ids(account, false)?;
    let agent = surroundings.uid;
    if agent != 0 && account.uid != agent {
        return Err(not_root(agent, &shown(account)));
    }
    let display = match choice {
        _ if query.run_as != RunAs::UserDesktop => Vec::new(),
        Choice::Session(session) => desktop::variables(account, &facts.desktop, &[session.display.as_str()])?,
        Choice::Configured(_) => desktop::variables(account, &facts.desktop, display.as_slice())?,
    };
    Ok(as_user(account, agent, display, surroundings))
}

fn not_root(agent: u32, whom: &str) -> String {
    format!("The agent runs as user {agent} and cannot start anything as {whom}; run the agent as root.")
}

fn check_ids(account: &Account, elevated: bool) -> Result<(), String> {
    let impossible = NOBODY_AT_ALL.contains(&account.uid) || NOBODY_AT_ALL.contains(&account.gid);
    if impossible || account.groups.contains(&u32::MAX) {
        return Err(format!("{} has an id that means nobody to the system, and nothing runs as it.", shown(account)));
    }
    if !elevated && (account.uid == 0 || account.gid == 0) {
        return Err(format!(
            "The session is that of {}, and root runs no User or UserDesktop task; write \"executionType\": \"Service\" or \"UserElevated\".",
            shown(account)
        ));
    }
    Ok(())
}

fn as_user(account: &Account, agent: u32, display: Vec<(String, String)>, surroundings: &Surroundings) -> Person {
    let mut environment = base(&account.name, &account.home, &account.shell, surroundings);
    environment.extend(display);
    let ids = Ids { uid: account.uid, gid: account.gid, groups: account.groups.clone() };
    Person {
        name: account.name.clone(),
        uid: account.uid,
        ids: (agent != account.uid).then_some(ids),
        confined: true,
        environment,
        folder: account.home.clone(),
    }
}

/// Root, on behalf of an account.
///
/// # Errors
/// A sentence that says why the account is refused, or that the agent cannot do it.
pub(crate) fn elevated_for(account: &Account, surroundings: &Surroundings) -> Result<Person, String> {
    check_ids(account, true)?;
    if surroundings.uid != 0 {
        return Err(not_root(surroundings.uid, "root"));
    }
    let mut environment = base("root", "/root", "/bin/sh", surroundings);
    environment.push((REQUESTING_UID.to_string(), account.uid.to_string()));
    Ok(Person {
        name: "root".to_string(),
        uid: 0,
        ids: Some(Ids { uid: 0, gid: 0, groups: Vec::from([0]) }),
        confined: false,
        environment,
        folder: "/".to_string(),
    })
}

/// The account of `Settings:ElevationAccount`, on behalf of a user; what it executes may gain more privileges.
///
/// # Errors
/// A sentence that says why it is not known, or is refused.
pub(crate) fn elevated_as(
    name: &str,
    facts: Option<&UserFacts>,
    requester: u32,
    surroundings: &Surroundings,
) -> Result<Person, String> {
    let of = format!("the account of Settings:ElevationAccount, '{name}',");
    let account = match facts.and_then(|facts| facts.account.as_ref()) {
        Some(Ok(account)) if account.name == name => account,
        Some(Ok(account)) => return Err(format!("{of} is {}, under that name alone.", shown(account))),
        Some(Err(why)) => return Err(format!("{of} is not known: {why}.")),
        None => return Err(format!("{of} was not looked for; report this.")),
    };
    check_ids(account, true)?;
    let mut person = as_user(account, surroundings.uid, Vec::new(), surroundings);
    person.confined = false;
    person.environment.push((REQUESTING_UID.to_string(), requester.to_string()));
    Ok(person)
}

/// What everybody gets: a search path that no user may write to, and who he is.
fn base(name: &str, home: &str, shell: &str, surroundings: &Surroundings) -> Vec<(String, String)> {
    let shell = if shell.is_empty() { "/bin/sh" } else { shell };
    let own = [("PATH", DEFAULT_PATH), ("HOME", home), ("USER", name), ("LOGNAME", name), ("SHELL", shell)];
    let machine = surroundings.environment.iter().filter(|(name, _)| matches!(name.as_str(), "LANG" | "TZ"));
    own.into_iter().map(|(name, value)| (name.to_string(), value.to_string())).chain(machine.cloned()).collect()
}

fn shown(account: &Account) -> String {
    format!("{} (user {}, group {})", crate::job::finding::quote(&account.name), account.uid, account.gid)
}
