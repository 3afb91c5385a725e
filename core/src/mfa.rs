//! Codes of an authenticator: who has one, which code counts, and who has tried too often (TOTP, RFC 6238; privilege-flow.md section 3).
//!
//! A code counts in its own step of 30 seconds and in the one before and behind it, once: what was used, and all before it, never counts
//! again. Five wrong codes in a row lock the user for five minutes, in which no code is looked at. Whoever keeps users writes down
//! what follows from a code before anybody is told that it was right, so that a restart makes nobody's code good again and frees nobody.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Serialize;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::limits::ID_LENGTH;
use crate::time::WallTime;

/// Seconds of a step (RFC 6238 section 4.1).
const STEP_SECONDS: i64 = 30;
/// Digits of a code, and one more than the largest.
const DIGITS: usize = 6;
const CODES: u32 = 1_000_000;
/// Wrong codes in a row that lock a user.
const TRIES: u32 = 5;
/// How long, milliseconds.
const LOCK_MILLIS: i64 = 5 * 60 * 1000;
/// Bytes of a shared secret: as many as its HMAC has (RFC 4226 section 4, R6).
pub const SECRET_BYTES: usize = 20;
/// Users that may be enrolled.
pub const USERS: usize = 10_000;
/// Who is named as the issuer of a secret.
const ISSUER: &str = "Castellan";

/// What makes HMAC-SHA1 of a key and a message; the core has no cryptography of its own.
pub type HmacSha1 = fn(&[u8], &[u8]) -> [u8; SECRET_BYTES];

/// A text that no log, no trace and no record shows: a code, a shared secret, what is typed at a prompt.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for whoever has to compare or keep it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// What is kept of a user besides the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// The step of the last code that counted.
    pub last_step: Option<u64>,
    /// Wrong codes since.
    pub wrong: u32,
    /// Until when no code is looked at.
    pub locked_until: Option<WallTime>,
}

/// What a code is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is right, and used now.
    Verified,
    /// It is not right, or was used before; so many more tries until the user is locked.
    Wrong {
        /// At least one.
        left: u32,
    },
    /// It was not looked at, or was the last wrong one.
    Locked {
        /// Until when.
        until: WallTime,
    },
    /// The user has no authenticator.
    NotEnrolled,
}

/// Judges a code of a user who stands so; how they stand from then on.
pub fn judge(before: Standing, secret: &[u8], code: &Secret, now: WallTime, hmac: HmacSha1) -> (Standing, Verdict) {
    // A clock that was set back locks nobody for longer.
    let longest = WallTime::from_millis(now.as_millis().saturating_add(LOCK_MILLIS));
    if let Some(until) = before.locked_until.map(|until| until.min(longest)).filter(|until| *until > now) {
        return (Standing { locked_until: Some(until), ..before }, Verdict::Locked { until });
    }
    if let Some(step) = step_of(before.last_step, secret, code, now, hmac) {
        return (Standing { last_step: Some(step), ..Standing::default() }, Verdict::Verified);
    }
    let wrong = before.wrong.saturating_add(1);
    match TRIES.checked_sub(wrong).filter(|left| *left > 0) {
        Some(left) => (Standing { wrong, locked_until: None, ..before }, Verdict::Wrong { left }),
        None => (Standing { wrong: 0, locked_until: Some(longest), ..before }, Verdict::Locked { until: longest }),
    }
}

/// The step whose code it is, where that counts now. Every step is computed and compared, whatever the others are.
fn step_of(last: Option<u64>, secret: &[u8], code: &Secret, now: WallTime, hmac: HmacSha1) -> Option<u64> {
    let given = number(code.expose());
    let step = step_at(now);
    let (mut found, mut is_found) = (0_u64, Choice::from(0));
    for candidate in [step.saturating_sub(1), step, step.saturating_add(1)] {
        let is_new = Choice::from(u8::from(last.is_none_or(|last| candidate > last)));
        let is_it = at(secret, candidate, hmac).ct_eq(&given.unwrap_or(CODES)) & is_new;
        found.conditional_assign(&candidate, is_it);
        is_found |= is_it;
    }
    bool::from(is_found).then_some(found)
}

/// The digits of a code; blanks between them are how authenticators show it.
fn number(code: &str) -> Option<u32> {
    let digits: String = code.chars().filter(|letter| *letter != ' ').take(DIGITS.saturating_add(1)).collect();
    let is_code = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| is_code)
}

/// The code of a step (RFC 4226 section 5.3).
fn at(secret: &[u8], step: u64, hmac: HmacSha1) -> u32 {
    let hash = hmac(secret, &step.to_be_bytes());
    let offset = usize::from(hash.last().copied().unwrap_or_default() & 0x0F);
    let four = hash.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied().unwrap_or_default();
    (u32::from_be_bytes(four) & 0x7FFF_FFFF) % CODES
}

/// What an authenticator with this secret shows at an instant.
pub fn shown(secret: &[u8], now: WallTime, hmac: HmacSha1) -> String {
    format!("{:0DIGITS$}", at(secret, step_at(now), hmac))
}

/// The step of an instant.
fn step_at(now: WallTime) -> u64 {
    u64::try_from(now.as_millis().div_euclid(STEP_SECONDS.saturating_mul(1000))).unwrap_or(0)
}

/// The URI by which an authenticator takes a secret (the Key Uri Format of Google Authenticator).
pub fn uri(user: &str, secret: &Secret) -> String {
    let user = utf8_percent_encode(user, NON_ALPHANUMERIC);
    let secret = secret.expose();
    format!("otpauth://totp/{ISSUER}:{user}?secret={secret}&issuer={ISSUER}&algorithm=SHA1&digits=6&period=30")
}

/// Whether an account may have such a name: what is written into a path, and no control character.
pub fn is_user(name: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "._-@\\$+".contains(letter);
    !name.is_empty() && name.len() <= ID_LENGTH && name.chars().all(fits) && !name.starts_with(['-', '.'])
}

/// What is to be done with users and their codes, durably.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MfaOrder {
    /// Make a secret for a user who has none.
    Enroll {
        /// Who.
        user: String,
        /// The administrator that wants it.
        by: String,
    },
    /// Forget a user's secret.
    Remove {
        /// Who.
        user: String,
    },
    /// Judge a code.
    Check {
        /// Whose.
        user: String,
        /// As it was given.
        code: Secret,
    },
    /// Name the users.
    List,
}

/// What came of it; it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MfaReport {
    /// The new secret in base32 (RFC 4648), which is told once.
    Enrolled(Secret),
    /// The user has one already; it stays.
    AlreadyEnrolled,
    /// There are as many users as there may be.
    Full,
    /// Whether the user had one.
    Removed(bool),
    /// What the code is worth.
    Checked(Verdict),
    /// The users, by name.
    Listed(Vec<EnrolledUser>),
}

/// A user as the API shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnrolledUser {
    /// The account.
    pub user: String,
    /// When: RFC 3339, UTC.
    #[schemars(extend("format" = "date-time"))]
    pub enrolled_at: String,
    /// The administrator that did it.
    pub enrolled_by: String,
    /// Until when no code of theirs is looked at; absent where codes are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locked_until: Option<String>,
    /// Whether a code of theirs ever counted.
    pub used: bool,
}
