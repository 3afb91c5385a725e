//! Shared secrets of authenticators, sealed (`state/settings.db`), with the key that is for them alone (`state/keys/mfa.key`).
//!
//! What a code is worth is decided by [`castellan_core::mfa`]; here it is brought to disk before it is told. A secret is bound to its user:
//! a row that somebody copies to another user opens nothing.

#[cfg(test)]
mod tests;

use std::path::PathBuf;

use castellan_core::mfa::{EnrolledUser, MfaOrder, MfaReport, SECRET_BYTES, Secret, Standing, USERS, Verdict, judge};
use castellan_core::time::WallTime;
use data_encoding::BASE32_NOPAD;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hmac::{HMAC_SHA1_FOR_LEGACY_USE_ONLY, Key, sign};
use ring::rand::{SecureRandom, SystemRandom};
use rusqlite::{Row, params};

use crate::error::RootError;
use crate::files::Privacy;
use crate::root::Root;
use crate::sealing;
use crate::settings::SettingStore;

const PLACE: &str = "state/keys";
const FILE: &str = "mfa.key";
const KEY_BYTES: usize = 32;
const MODE: u32 = 0o600;
/// What a secret is bound to, before its user.
const BOUND_TO: &[u8] = b"castellan mfa secret 1\0";

/// A user's row.
struct Kept {
    sealed: Vec<u8>,
    standing: Standing,
}

/// Carries out an order; what it changes is on disk when this returns.
///
/// # Errors
/// A sentence with the reason; nothing is changed then, and no code counts.
pub(crate) fn perform(
    root: &Root,
    storage: &SettingStore,
    order: &MfaOrder,
    now: WallTime,
) -> Result<MfaReport, String> {
    match order {
        MfaOrder::Enroll { user, by } => enroll(root, storage, user, by, now),
        MfaOrder::Remove { user } => {
            let is_there = kept(storage, user)?.is_some();
            storage.transact(|transaction| {
                transaction.execute("DELETE FROM mfa WHERE user = ?1", params![user]).map(|_| ())
            })?;
            Ok(MfaReport::Removed(is_there))
        }
        MfaOrder::Check { user, code } => check(root, storage, user, code, now).map(MfaReport::Checked),
        MfaOrder::List => {
            let query = "SELECT user, time, by, locked_until, last_step FROM mfa ORDER BY user";
            let read = |row: &Row<'_>| {
                let locked: Option<i64> = row.get(3)?;
                let until = locked.map(WallTime::from_millis).filter(|until| *until > now);
                Ok(EnrolledUser {
                    user: row.get(0)?,
                    enrolled_at: row.get(1)?,
                    enrolled_by: row.get(2)?,
                    locked_until: until.map(WallTime::to_rfc3339),
                    used: row.get::<_, Option<i64>>(4)?.is_some(),
                })
            };
            storage.rows(query, read).map(MfaReport::Listed).map_err(|error| error.to_string())
        }
    }
}

fn enroll(root: &Root, storage: &SettingStore, user: &str, by: &str, now: WallTime) -> Result<MfaReport, String> {
    if kept(storage, user)?.is_some() {
        return Ok(MfaReport::AlreadyEnrolled);
    }
    let count =
        storage.rows("SELECT count(*) FROM mfa", |row| row.get::<_, i64>(0)).map_err(|error| error.to_string())?;
    if count.first().is_some_and(|count| usize::try_from(*count).is_ok_and(|count| count >= USERS)) {
        return Ok(MfaReport::Full);
    }
    let (random, mut secret) = (SystemRandom::new(), [0; SECRET_BYTES]);
    random.fill(&mut secret).map_err(|_| String::from("The system gives no random numbers."))?;
    let key = match read_key(root)? {
        Some(key) => key,
        None => make_key(root, &random)?,
    };
    let sealed = sealing::seal(&key, &random, &bound_to(user), &secret)?;
    storage.transact(|transaction| {
        let insert = "INSERT INTO mfa (user, sealed, wrong, time, by) VALUES (?1, ?2, 0, ?3, ?4)";
        transaction.execute(insert, params![user, sealed, now.to_rfc3339(), by]).map(|_| ())
    })?;
    Ok(MfaReport::Enrolled(Secret::new(BASE32_NOPAD.encode(&secret))))
}

fn check(root: &Root, storage: &SettingStore, user: &str, code: &Secret, now: WallTime) -> Result<Verdict, String> {
    let Some(Kept { sealed, standing }) = kept(storage, user)? else { return Ok(Verdict::NotEnrolled) };
    let path = key_path(root);
    let key = read_key(root)?.ok_or_else(|| {
        format!(
            "{} is gone, with which secrets of authenticators are sealed. Put it back, or enroll users anew.",
            path.display()
        )
    })?;
    let secret = sealing::open(&key, &bound_to(user), &sealed).ok_or_else(|| {
        format!(
            "The secret of {user} is not one that {} sealed for them: it was changed. Enroll them anew: castellan mfa remove {user}",
            path.display()
        )
    })?;
    let (after, verdict) = judge(standing, &secret, code, now, hmac_sha1);
    if after != standing {
        let step = after.last_step.and_then(|step| i64::try_from(step).ok());
        let until = after.locked_until.map(WallTime::as_millis);
        storage.transact(|transaction| {
            let update = "UPDATE mfa SET last_step = ?2, wrong = ?3, locked_until = ?4 WHERE user = ?1";
            transaction.execute(update, params![user, step, after.wrong, until]).map(|_| ())
        })?;
    }
    Ok(verdict)
}

/// What an authenticator with this secret, in the form that people type, shows at an instant; for who plays one.
///
/// # Errors
/// A sentence: it is no secret.
pub fn shown(secret: &str, now: WallTime) -> Result<String, String> {
    let secret = BASE32_NOPAD.decode(secret.as_bytes()).map_err(|error| format!("That is no secret: {error}."))?;
    Ok(castellan_core::mfa::shown(&secret, now, hmac_sha1))
}

/// As RFC 6238 wants it by default, and what authenticators know.
fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; SECRET_BYTES] {
    let mut code = [0; SECRET_BYTES];
    code.copy_from_slice(sign(&Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, key), message).as_ref());
    code
}

fn kept(storage: &SettingStore, user: &str) -> Result<Option<Kept>, String> {
    let query = "SELECT sealed, last_step, wrong, locked_until FROM mfa WHERE user = ?1";
    let read = |row: &Row<'_>| {
        let (step, until): (Option<i64>, Option<i64>) = (row.get(1)?, row.get(3)?);
        let last_step = step.and_then(|step| u64::try_from(step).ok());
        let standing = Standing { last_step, wrong: row.get(2)?, locked_until: until.map(WallTime::from_millis) };
        Ok(Kept { sealed: row.get(0)?, standing })
    };
    storage.row(query, params![user], read).map_err(|error| error.to_string())
}

fn bound_to(user: &str) -> Vec<u8> {
    [BOUND_TO, user.as_bytes()].concat()
}

fn key_path(root: &Root) -> PathBuf {
    root.path().join(PLACE).join(FILE)
}

fn read_key(root: &Root) -> Result<Option<LessSafeKey>, String> {
    let bytes = root.read(PLACE, FILE, KEY_BYTES, Privacy::Secret).map_err(|error| error.to_string())?;
    bytes.map(|bytes| key(root, &bytes)).transpose()
}

fn make_key(root: &Root, random: &SystemRandom) -> Result<LessSafeKey, String> {
    let mut bytes = [0; KEY_BYTES];
    random.fill(&mut bytes).map_err(|_| String::from("The system gives no random numbers."))?;
    root.replace(PLACE, FILE, &bytes, MODE).map_err(|error: RootError| error.to_string())?;
    key(root, &bytes)
}

fn key(root: &Root, bytes: &[u8]) -> Result<LessSafeKey, String> {
    UnboundKey::new(&AES_256_GCM, bytes).map(LessSafeKey::new).map_err(|_| {
        let path = key_path(root);
        format!(
            "{} has {} bytes; the key of secrets has {KEY_BYTES}. Put the right one back.",
            path.display(),
            bytes.len()
        )
    })
}
