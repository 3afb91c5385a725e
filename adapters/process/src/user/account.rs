//! An account as the C library knows it: files, LDAP, whatever nsswitch.conf(5) names.

use std::collections::BTreeSet;
use std::ffi::CString;
use std::path::PathBuf;
use std::time::Duration;

use castellan_core::user::Account;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use smol::lock::Semaphore;

use super::untrusted::{QUESTIONS, ask};

/// For a user database that may be at the other end of a network.
const DEADLINE: Duration = Duration::from_secs(10);

/// Which account.
#[derive(Debug)]
pub(super) enum Whose {
    /// That of this user id.
    Uid(u32),
    /// That of this name.
    Name(String),
}

/// Finds an account with its groups.
///
/// # Errors
/// A clause without its full stop.
pub(super) async fn find(whose: Whose) -> Result<Account, String> {
    static FREE: Semaphore = Semaphore::new(QUESTIONS);
    ask(DEADLINE, &FREE, move || read(&whose)).await.unwrap_or_else(|| Err(no_answer()))
}

/// The same with the names of its groups; a group without a name goes by its number.
///
/// # Errors
/// A clause without its full stop.
pub(super) async fn find_with_groups(whose: Whose) -> Result<(Account, BTreeSet<String>), String> {
    static FREE: Semaphore = Semaphore::new(QUESTIONS);
    ask(DEADLINE, &FREE, move || read(&whose).and_then(with_groups)).await.unwrap_or_else(|| Err(no_answer()))
}

/// The same where a name that cannot be found out is left out.
///
/// # Errors
/// A clause without its full stop.
pub(super) async fn find_with_known_groups(whose: Whose) -> Result<(Account, BTreeSet<String>), String> {
    static FREE: Semaphore = Semaphore::new(QUESTIONS);
    let look = move || {
        let account = read(&whose)?;
        let names = account.groups.iter().filter_map(|gid| name(*gid).ok()).collect();
        Ok((account, names))
    };
    ask(DEADLINE, &FREE, look).await.unwrap_or_else(|| Err(no_answer()))
}

fn no_answer() -> String {
    format!("the system's user database (nsswitch.conf) did not answer within {} s", DEADLINE.as_secs())
}

fn with_groups(account: Account) -> Result<(Account, BTreeSet<String>), String> {
    let names = account.groups.iter().map(|gid| name(*gid)).collect::<Result<_, _>>()?;
    Ok((account, names))
}

/// The name of a group, or its number where it has none.
fn name(gid: u32) -> Result<String, String> {
    match Group::from_gid(Gid::from_raw(gid)) {
        Ok(group) => Ok(group.map_or_else(|| gid.to_string(), |group| group.name)),
        Err(error) => Err(format!("the system's user database says nothing about group {gid}: {error}")),
    }
}

fn read(whose: &Whose) -> Result<Account, String> {
    let (name, found) = match whose {
        Whose::Uid(uid) => (format!("user {uid}"), User::from_uid(Uid::from_raw(*uid))),
        Whose::Name(name) => (format!("'{name}'"), User::from_name(name)),
    };
    let user = match found {
        Ok(Some(user)) => user,
        Ok(None) => return Err(format!("the system has no account of {name}")),
        Err(error) => return Err(format!("the system's user database says nothing about {name}: {error}")),
    };
    let c_name = CString::new(user.name.clone()).map_err(|_| format!("the name of {name} has a NUL byte"))?;
    let groups = getgrouplist(&c_name, user.gid)
        .map_err(|error| format!("the system's user database does not tell the groups of {name}: {error}"))?;
    Ok(Account {
        uid: user.uid.as_raw(),
        gid: user.gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
        home: text("home folder", &name, user.dir)?,
        shell: text("shell", &name, user.shell)?,
        name: user.name,
    })
}

fn text(what: &str, name: &str, path: PathBuf) -> Result<String, String> {
    path.into_os_string().into_string().map_err(|path| format!("the {what} of {name} is no UTF-8: {}", path.display()))
}
