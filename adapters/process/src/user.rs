//! Facts for programs of a user's session: who sits at the machine, what his account is, what his desktop is.
//!
//! Nothing is asked before such a program is to start; where a plugin has one in each session, sessions are followed from then on. Each
//! question has a deadline; whose answer counts, and for what, is decided in
//! `castellan_core::user`.

mod account;
mod desktop;
mod follow;
mod logind;
mod untrusted;

use std::collections::BTreeSet;

use castellan_core::user::desktop::Desktop;
use castellan_core::user::{Account, Choice, RunAs, Sessions, UserFacts, UserQuery, choose};

use account::Whose;
pub(crate) use follow::follow;

/// The account of a user id with the names of its groups, as far as they have any, or why it is not known; and whether that user sits at
/// the machine with a graphical session.
pub async fn look_up(uid: u32) -> (Result<(Account, BTreeSet<String>), String>, bool) {
    let (account, sessions) =
        smol::future::zip(account::find_with_known_groups(Whose::Uid(uid)), logind::sessions()).await;
    let has_desktop = match sessions {
        Sessions::Listed(sessions) => sessions.iter().any(|session| session.uid == uid && session.has_desktop()),
        Sessions::NoLogind(_) | Sessions::Failed(_) => false,
    };
    (account, has_desktop)
}

/// Finds out what a start needs to know.
pub(crate) async fn look(query: &UserQuery) -> UserFacts {
    // Nobody's session matters to who is named.
    let sessions = match query.account {
        Some(_) => Sessions::Listed(Vec::new()),
        None => logind::sessions().await,
    };
    let whose = match choose(query, &sessions) {
        Ok(Choice::Session(session)) => Whose::Uid(session.uid),
        Ok(Choice::Configured(name)) => Whose::Name(name.to_owned()),
        // The core comes to the same end by the same facts, and says why.
        Err(_) => return UserFacts { sessions, account: None, desktop: Desktop::default() },
    };
    let account = account::find(whose).await;
    let desktop = match &account {
        Ok(account) if query.run_as == RunAs::UserDesktop => desktop::look(account).await,
        Ok(_) | Err(_) => Desktop::default(),
    };
    UserFacts { sessions, account: Some(account), desktop }
}

/// The account of a name with the names of all its groups. Waits for the system's user database, for ten seconds at most.
///
/// # Errors
/// A clause without its full stop.
pub fn account(name: &str) -> Result<(Account, BTreeSet<String>), String> {
    smol::block_on(account::find_with_groups(Whose::Name(name.to_owned())))
}
