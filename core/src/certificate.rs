//! Admin certificates: the list of those that were issued, which of them count, and what may be done to it (contract section 2).
//!
//! | state | means |
//! | --- | --- |
//! | `valid` | its holder is an administrator |
//! | `notYetValid`, `expired` | the clock is outside its life; the handshake refuses it, and an open connection loses what it gave |
//! | `revoked` | taken back; it never counts again |
//!
//! The same rules decide for the running agent and for the command line on the files of one that does not run.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::limits::{ADMIN_CERTIFICATES, ID_LENGTH};
use crate::time::WallTime;
use crate::why::Explanation;

/// How long a certificate may live, days. Some clients refuse more.
pub const DAYS: RangeInclusive<u16> = 1..=825;
/// How long it lives where nobody says so, days.
pub const DEFAULT_DAYS: u16 = 90;
/// The name of those that the agent makes for itself and renews (`state/admin/client.pem`).
pub const OWN_NAME: &str = "client";
/// So long after its end a certificate is still listed, days.
const REMEMBERED_DAYS: i64 = 90;
const DAY_MILLIS: i64 = 24 * 3600 * 1000;
/// Hex digits of a SHA-256.
const DIGITS: usize = 64;

/// A client certificate that the admin CA issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdminCertificate {
    /// Lower-case hex SHA-256 of the whole DER certificate.
    pub sha256: String,
    /// For whom or what it was made.
    pub name: String,
    /// RFC 3339 in files and answers.
    #[serde(with = "rfc3339")]
    pub not_before: WallTime,
    /// RFC 3339 in files and answers.
    #[serde(with = "rfc3339")]
    pub not_after: WallTime,
    /// When and by whom it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<Revocation>,
}

/// That a certificate was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// RFC 3339 in files and answers.
    #[serde(with = "rfc3339")]
    pub at: WallTime,
    /// The administrator's certificate, or whoever changed the files.
    pub by: String,
}

/// What a certificate is worth at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// It makes an administrator.
    Valid,
    /// Its life has not begun by this machine's clock.
    NotYetValid,
    /// Its life is over.
    Expired,
    /// It was taken back.
    Revoked,
}

/// A change of the list that somebody asked for and the rules allow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateChange {
    /// Sign a key that somebody else keeps.
    Issue {
        /// For whom.
        name: String,
        /// How long it lives.
        days: u16,
        /// The certificate signing request (PKCS #10, RFC 2986), PEM.
        request: String,
    },
    /// Take certificates back.
    Revoke {
        /// Which.
        sha256: BTreeSet<String>,
        /// Who says so.
        by: String,
    },
    /// Make the agent's own client certificate anew, where it is due and was not revoked.
    Renew,
}

/// The list after a change that is on disk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CertificatesChanged {
    /// Every certificate that is remembered.
    pub list: Vec<AdminCertificate>,
    /// The one that was made, and itself as PEM.
    pub issued: Option<(AdminCertificate, String)>,
}

/// Why the list on disk is as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotChanged {
    /// The signing request is none, or not one that is signed; says why.
    Request(String),
    /// Files or keys; says why.
    Failed(String),
}

/// One line of the list of certificates.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Shown {
    /// For whom or what it was made.
    pub name: String,
    /// Lower-case hex SHA-256 of the whole DER certificate.
    pub sha256: String,
    /// RFC 3339, UTC.
    pub not_before: String,
    /// RFC 3339, UTC.
    pub not_after: String,
    /// What it is worth now.
    pub state: State,
    /// When it was taken back: RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_by: Option<String>,
    /// The certificate in PEM, right after its issue.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
}

/// Why a change is not made; each with what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// What was asked for cannot be.
    Invalid(Explanation),
    /// There is no such certificate that counts.
    NotFound(Explanation),
    /// It does not fit what is there.
    Conflict(Explanation),
}

impl Refusal {
    /// What, why, and what to do.
    pub const fn explanation(&self) -> &Explanation {
        match self {
            Self::Invalid(explanation) | Self::NotFound(explanation) | Self::Conflict(explanation) => explanation,
        }
    }
}

impl AdminCertificate {
    /// One that counts whenever it is asked; for simulations.
    pub fn without_end(sha256: &str, name: &str) -> Self {
        let (not_before, not_after) = (WallTime::from_millis(0), WallTime::from_millis(i64::MAX));
        Self { sha256: sha256.to_string(), name: name.to_string(), not_before, not_after, revoked: None }
    }

    /// What it is worth at this instant.
    pub fn state(&self, now: WallTime) -> State {
        if self.revoked.is_some() {
            State::Revoked
        } else if now > self.not_after {
            State::Expired
        } else if now < self.not_before {
            State::NotYetValid
        } else {
            State::Valid
        }
    }

    /// Whether its holder is an administrator at this instant.
    pub fn counts(&self, now: WallTime) -> bool {
        self.state(now) == State::Valid
    }

    /// When two thirds of its life are over: the agent makes its own anew then.
    pub fn renewal(&self) -> WallTime {
        let (start, end) = (self.not_before.as_millis(), self.not_after.as_millis());
        let third = end.saturating_sub(start).checked_div(3).unwrap_or(0);
        WallTime::from_millis(end.saturating_sub(third))
    }

    /// As it is listed.
    pub fn shown(&self, now: WallTime) -> Shown {
        Shown {
            name: self.name.clone(),
            sha256: self.sha256.clone(),
            not_before: self.not_before.to_rfc3339(),
            not_after: self.not_after.to_rfc3339(),
            state: self.state(now),
            revoked_at: self.revoked.as_ref().map(|revoked| revoked.at.to_rfc3339()),
            revoked_by: self.revoked.as_ref().map(|revoked| revoked.by.clone()),
            certificate: None,
        }
    }

    /// Whether it is so long over that nobody asks for it any more.
    pub fn is_forgotten(&self, now: WallTime) -> bool {
        let end = self.not_after.as_millis().saturating_add(REMEMBERED_DAYS.saturating_mul(DAY_MILLIS));
        now.as_millis() > end
    }
}

/// Whether a certificate of this name may be issued for so many days.
///
/// # Errors
/// [`Refusal::Invalid`] for a name or a number of days that cannot be, [`Refusal::Conflict`] for a name that a certificate has which
/// counts, and where the list is full.
pub fn decide_issue(list: &[AdminCertificate], now: WallTime, name: &str, days: i64) -> Result<u16, Refusal> {
    if let Err(why) = check_name(name) {
        let what = format!("{} is no name of a certificate.", crate::job::finding::quote(name));
        return Err(Refusal::Invalid(Explanation::new(what, why, "Name the person or machine that is to hold it.")));
    }
    let Some(days) = u16::try_from(days).ok().filter(|days| DAYS.contains(days)) else {
        let what = format!("A certificate cannot live for {days} days.");
        let fix = format!("Ask for {} to {} days; {DEFAULT_DAYS} are usual.", DAYS.start(), DAYS.end());
        return Err(Refusal::Invalid(Explanation::new(what, "Its life is bounded, so that none is forgotten.", fix)));
    };
    if let Some(other) = list.iter().find(|other| other.name.eq_ignore_ascii_case(name) && other.counts(now)) {
        let what = format!("'{}' has a certificate.", other.name);
        let why = format!(
            "It counts until {}. Two of one name, in whatever case, could not be told apart in the log.",
            other.not_after.to_rfc3339()
        );
        let fix = format!("Use another name, or revoke that one first: castellan admin revoke {}", other.name);
        return Err(Refusal::Conflict(Explanation::new(what, why, fix)));
    }
    if list.len() >= ADMIN_CERTIFICATES {
        let why = format!("{ADMIN_CERTIFICATES} certificates are remembered, which is the most there may be.");
        let fix = format!("Wait until older ones are forgotten, {REMEMBERED_DAYS} days after their end.");
        return Err(Refusal::Conflict(Explanation::new("No certificate was issued.", why, fix)));
    }
    Ok(days)
}

/// Which certificates go where somebody takes back those of a name, or the one with a SHA-256. `own` is the certificate of who asks.
///
/// # Errors
/// [`Refusal::NotFound`] where none of them counts, [`Refusal::Conflict`] where who asks would have none left, or nobody would, and
/// that was not forced.
pub fn decide_revoke(
    list: &[AdminCertificate],
    now: WallTime,
    whose: &str,
    own: Option<&str>,
    force: bool,
) -> Result<BTreeSet<String>, Refusal> {
    let is_meant = |one: &&AdminCertificate| one.name == whose || one.sha256.eq_ignore_ascii_case(whose);
    let counting = || list.iter().filter(|one| one.counts(now));
    let gone: BTreeSet<String> = counting().filter(is_meant).map(|one| one.sha256.clone()).collect();
    if gone.is_empty() {
        let what = format!("There is no valid certificate of {}.", crate::job::finding::quote(whose));
        let why = match list.iter().find(is_meant).map(|one| one.state(now)) {
            Some(State::Revoked) => "It was revoked before.",
            Some(State::Expired) => "It has expired, and counts for nothing.",
            Some(State::Valid | State::NotYetValid) | None => "No certificate that counts has this name or SHA-256.",
        };
        return Err(Refusal::NotFound(Explanation::new(what, why, "castellan admin list shows them.")));
    }
    let mine = own.and_then(|own| list.iter().find(|one| one.sha256 == own));
    let mine = mine.filter(|mine| gone.contains(&mine.sha256));
    let stays = |one: &AdminCertificate| !gone.contains(&one.sha256);
    let why = match mine {
        Some(mine) if !counting().any(|one| stays(one) && one.name == mine.name) => {
            format!("It is the last one of '{}', which asks: its next request would be refused.", mine.name)
        }
        _ if !counting().any(stays) => String::from("No other certificate counts: nobody would be an administrator."),
        _ => return Ok(gone),
    };
    if force {
        return Ok(gone);
    }
    let fix = "Issue another one first, or force it: --force (API: ?force=true). New ones can be issued while the agent is stopped.";
    Err(Refusal::Conflict(Explanation::new(
        format!("{} was not revoked.", crate::job::finding::quote(whose)),
        why,
        fix,
    )))
}

/// Names stand in the log, in file names and on command lines.
fn check_name(name: &str) -> Result<(), String> {
    if name.eq_ignore_ascii_case(OWN_NAME) {
        return Err(format!("'{OWN_NAME}' is the agent's own, which it makes and renews by itself."));
    }
    if name.eq_ignore_ascii_case("root") {
        return Err(String::from("So is called who comes as root without a certificate."));
    }
    if name.is_empty() || name.len() > ID_LENGTH {
        return Err(format!("A name has 1 to {ID_LENGTH} characters."));
    }
    if name.len() == DIGITS && name.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(String::from("It looks like a SHA-256, by which certificates are named too."));
    }
    let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | '@');
    if !name.chars().all(plain) || !name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return Err(String::from("A name has letters, digits and . - _ @, and begins with a letter or digit."));
    }
    Ok(())
}

/// Instants as people write them.
mod rfc3339 {
    use alloc::string::String;

    use serde::de::{Deserialize, Deserializer, Error};
    use serde::ser::Serializer;

    use crate::time::WallTime;

    pub(super) fn serialize<S: Serializer>(at: &WallTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&at.to_rfc3339())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<WallTime, D::Error> {
        let text = String::deserialize(deserializer)?;
        WallTime::parse_rfc3339(&text)
            .ok_or_else(|| D::Error::custom(alloc::format!("'{text}' is no RFC 3339 instant")))
    }
}
