//! The sessions that a plugin has a process in, one for each (contract section 7): what the agent knows of them, and what is one's name.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::{Choice, NO_SESSION, RunAs, Session, Sessions, UserQuery, choose};

/// What tells one session from all others. A name that comes again for another user is another session.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SessionKey {
    /// The one that `Settings:SessionUser` stands for.
    Configured,
    /// One that logind lists.
    Listed {
        /// Its name.
        id: String,
        /// Its user.
        uid: u32,
    },
}

/// A session that a process of a plugin is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub key: SessionKey,
    /// The name of its user, for people.
    pub user: String,
}

impl Place {
    /// The session's name, where logind gave it one.
    pub(crate) fn session(&self) -> Option<String> {
        match &self.key {
            SessionKey::Configured => None,
            SessionKey::Listed { id, .. } => Some(id.clone()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            SessionKey::Configured => write!(formatter, "session of {}", self.user),
            SessionKey::Listed { id, .. } => write!(formatter, "session {id} of {}", self.user),
        }
    }
}

/// What the agent knows of the sessions of the machine. It asks once a plugin needs them, and is told of each change from then on.
#[derive(Debug, Clone, Default)]
pub(crate) enum Watch {
    /// Nobody needs them.
    #[default]
    Unasked,
    /// The answer is on its way.
    Asked,
    /// What was heard last that can be used.
    Heard(Sessions),
}

impl Watch {
    /// Takes what is heard. Silence after that changes nothing: nobody has left because logind is away.
    ///
    /// # Errors
    /// Why the former list still counts.
    pub(crate) fn hear(&mut self, heard: Sessions) -> Result<(), String> {
        match (&*self, heard) {
            (Self::Heard(Sessions::Listed(_)), Sessions::NoLogind(why))
            | (Self::Heard(Sessions::Listed(_) | Sessions::NoLogind(_)), Sessions::Failed(why)) => Err(why),
            (_, heard) => {
                *self = Self::Heard(heard);
                Ok(())
            }
        }
    }
}

impl Session {
    fn key(&self) -> SessionKey {
        SessionKey::Listed { id: self.id.clone(), uid: self.uid }
    }
}

/// Every session in which a plugin has a process: of those that [`choose`] takes one from, all but root's.
///
/// # Errors
/// Why there is none, as [`choose`] says it.
pub(crate) fn places(
    run_as: RunAs,
    session_user: Option<&str>,
    sessions: &Sessions,
) -> Result<BTreeMap<SessionKey, Place>, String> {
    let query = UserQuery { run_as, session_user: session_user.map(ToString::to_string), session: None, account: None };
    let place = |session: &Session| Place { key: session.key(), user: session.user.clone() };
    let found: Vec<Place> = match (choose(&query, sessions)?, sessions) {
        (Choice::Configured(name), _) => Vec::from([Place { key: SessionKey::Configured, user: name.to_string() }]),
        (Choice::Session(_), Sessions::Listed(listed)) => {
            let fit = |session: &&Session| session.unfit(run_as).is_none() && session.uid != 0;
            listed.iter().filter(fit).map(place).collect()
        }
        (Choice::Session(session), Sessions::NoLogind(_) | Sessions::Failed(_)) => Vec::from([place(session)]),
    };
    if found.is_empty() {
        return Err(format!("{NO_SESSION} only root has an active session, and root runs no plugin of a user."));
    }
    Ok(found.into_iter().map(|place| (place.key.clone(), place)).collect())
}

/// Why a process may no longer be in its session, as a clause.
pub(crate) fn over(place: &Place, run_as: RunAs, sessions: &Sessions) -> String {
    let unfit = match sessions {
        Sessions::Listed(listed) => listed.iter().find(|session| session.key() == place.key),
        Sessions::NoLogind(_) | Sessions::Failed(_) => None,
    };
    format!("its {place} {}", unfit.and_then(|session| session.unfit(run_as)).unwrap_or("ended"))
}

/// The very session that a process was made for.
///
/// # Errors
/// A sentence that begins with `NoActiveSession:`.
pub(super) fn same<'f>(key: &SessionKey, run_as: RunAs, sessions: &'f Sessions) -> Result<&'f Session, String> {
    let (SessionKey::Listed { id, uid }, Sessions::Listed(listed)) = (key, sessions) else {
        return Err(format!(
            "{NO_SESSION} the process was made for another kind of session; logind has come or gone meanwhile."
        ));
    };
    let name = crate::job::finding::quote(id);
    match listed.iter().find(|session| session.key() == *key) {
        None => Err(format!("{NO_SESSION} session {name} of user {uid} ended before its process could start.")),
        Some(session) => match session.unfit(run_as) {
            None => Ok(session),
            Some(why) => Err(format!("{NO_SESSION} session {name} of user {uid} {why}.")),
        },
    }
}
