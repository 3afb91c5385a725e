//! Grants: what was approved once, or asked for with a second factor, holds for the same user, file and arguments until its end.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use schemars::JsonSchema;
use serde::Serialize;

use super::authorization::Program;
use super::record::{ElevationRecord, Granted};
use super::{Elevation, State};
use crate::audit::Act;
use crate::id::ElevationId;
use crate::limits::GRANTS;
use crate::log_message::Level;
use crate::policy::Control;
use crate::time::{Monotonic, Now, WallTime};
use crate::turn::Turn;

/// Seconds for which what was approved is not asked for again (privilege-flow.md section 3).
pub(crate) const APPROVED_SECONDS: u64 = 24 * 60 * 60;
/// The same for a code of an authenticator.
pub(crate) const IDENTIFIED_SECONDS: u64 = 5 * 60;

/// A permission that outlasts its request.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The request that it came from, whole.
    pub(crate) record: ElevationRecord,
    pub(super) term: Term,
}

/// How long a grant counts. It is over at its end by either clock, and before its beginning, where the clock was set back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Term {
    given: WallTime,
    until: WallTime,
    /// The same for a clock that nobody sets; of a grant of a former life its length counts from the start.
    until_monotonic: Monotonic,
}

/// Who takes a grant back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Revoker {
    /// An administrator, by the name of his certificate.
    Administrator(String),
    /// The user whose it is, by name: everybody may give up rights.
    Owner(String),
}

impl Revoker {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Administrator(name) | Self::Owner(name) => name,
        }
    }

    /// As the audit names him.
    pub(crate) fn who(&self) -> String {
        match self {
            Self::Administrator(name) => format!("admin:{name}"),
            Self::Owner(name) => format!("user:{name}"),
        }
    }

    /// What he did, as a sentence.
    fn did(&self) -> String {
        match self {
            Self::Administrator(name) => format!("Administrator '{name}' revoked the grant that it rests on."),
            Self::Owner(_) => String::from("Its user gave up the grant that it rests on."),
        }
    }
}

/// The answer to who has ended grants forgotten.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Cleaned {
    /// Grants that were over and are forgotten.
    pub(crate) removed: usize,
    /// Grants that still count.
    pub(crate) counting: usize,
}

/// All that hold.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    list: BTreeMap<ElevationId, Grant>,
}

impl Grant {
    /// What stands in a record, if it has one that is not revoked.
    fn of(record: &ElevationRecord, now: Now) -> Option<Self> {
        let Granted { given, until, revoked } = record.grant.as_ref()?;
        let (given, until) = (WallTime::parse_rfc3339(given)?, WallTime::parse_rfc3339(until)?);
        if revoked.is_some() {
            return None;
        }
        let left = until.as_millis().saturating_sub(now.wall.as_millis().max(given.as_millis()));
        let until_monotonic = now.monotonic.plus_millis(u64::try_from(left).unwrap_or(0));
        Some(Self { record: record.clone(), term: Term { given, until, until_monotonic } })
    }

    /// Whether what it was given for includes this control, and still does.
    pub(super) fn covers(&self, control: Control, now: Now) -> bool {
        self.record.controls.contains(&control)
            && (control != Control::Mfa || self.term.age_millis(now) < IDENTIFIED_SECONDS.saturating_mul(1000))
    }

    /// Whether it counts.
    pub(crate) fn holds(&self, now: Now) -> bool {
        self.term.holds(now)
    }

    fn is_for(&self, uid: u32, program: &Program, words: &[String]) -> bool {
        let arguments = |words: &[String]| words.get(1..).map(<[String]>::to_vec);
        self.record.user_id == uid
            && self.record.program.as_ref() == Some(program)
            && arguments(&self.record.command) == arguments(words)
    }
}

impl Term {
    /// How old it is, by the clock that says more.
    fn age_millis(&self, now: Now) -> u64 {
        let between =
            |from: WallTime, to: WallTime| u64::try_from(to.as_millis().saturating_sub(from.as_millis())).unwrap_or(0);
        let left = self.until_monotonic.millis_since(now.monotonic);
        between(self.given, self.until).saturating_sub(left).max(between(self.given, now.wall))
    }

    fn holds(&self, now: Now) -> bool {
        now.wall >= self.given && !self.is_over(now)
    }

    /// Whether its end is past; it never comes back.
    fn is_over(&self, now: Now) -> bool {
        now.wall >= self.until || now.monotonic >= self.until_monotonic
    }
}

impl Grants {
    /// Takes in the one of a record, where it has one that counts and is not there yet; beyond the bound it is of no use.
    pub(crate) fn take(&mut self, id: &ElevationId, record: &ElevationRecord, now: Now) {
        if self.list.contains_key(id) {
            return;
        }
        let Some(grant) = Grant::of(record, now).filter(|grant| grant.holds(now)) else { return };
        self.forget_ended(now);
        if self.list.len() < GRANTS {
            self.list.insert(id.clone(), grant);
        }
    }

    /// The request of one is over as this record says, which is what stays of it however the grant ends.
    pub(crate) fn settle(&mut self, id: &ElevationId, record: &ElevationRecord) {
        if let Some(grant) = self.list.get_mut(id) {
            grant.record.clone_from(record);
        }
    }

    /// One that counts now for this user, file and command; the latest of several.
    pub(crate) fn find(
        &self,
        uid: u32,
        program: &Program,
        words: &[String],
        now: Now,
    ) -> Option<(&ElevationId, &Grant)> {
        self.list.iter().rev().find(|(_, grant)| grant.holds(now) && grant.is_for(uid, program, words))
    }

    /// Ends one.
    pub(crate) fn revoke(&mut self, id: &ElevationId) -> Option<Grant> {
        self.list.remove(id)
    }

    /// Ends those of requests for which this one stood in.
    pub(crate) fn revoke_resting_on(&mut self, id: &ElevationId) -> BTreeMap<ElevationId, Grant> {
        self.list.extract_if(.., |_, grant| grant.record.grant_id.as_deref() == Some(id.as_str())).collect()
    }

    /// Those that count, oldest first.
    pub(crate) fn list(&self, now: Now) -> impl DoubleEndedIterator<Item = &Grant> {
        self.list.values().filter(move |grant| grant.holds(now))
    }

    /// How many that were.
    pub(crate) fn forget_ended(&mut self, now: Now) -> usize {
        let before = self.list.len();
        self.list.retain(|_, grant| !grant.term.is_over(now));
        before.saturating_sub(self.list.len())
    }
}

impl Elevation {
    /// The grant that it rests on, or led to, counts no more: what has not started does not start. What runs goes on, or is asked to end
    /// where who revoked it wants that, and killed after its grace.
    pub(crate) fn on_revoked(&mut self, grant: &ElevationId, by: &Revoker, kill: bool, turn: &mut Turn<'_>) {
        self.record.revoke(by.name());
        let why = by.did();
        match &self.state {
            State::Ended { .. } => {}
            State::Running { kill_at: None, .. } if kill => {
                let reason = Some(String::from("The program that runs on it is ended."));
                self.audit(by.who(), Act::Revocation { grant: grant.to_string(), reason }, turn);
                turn.log(Level::Warning, "Elevation", format!("The program of request {} is ended. {why}", self.id));
                self.tell(format!("Your program is ended. {why}"), turn);
                self.end_running(turn);
            }
            State::Running { .. } => {}
            State::Requested { .. }
            | State::Evaluating { .. }
            | State::Awaiting { .. }
            | State::Authorized { .. }
            | State::Launching { .. } => self.stop(&why, turn),
        }
    }

    /// Why it is not launched any more, where the grant that stood in for controls ended meanwhile.
    pub(super) fn outlived(&self, now: Now) -> Option<String> {
        let (grant, _) = self.record.grant_id.as_ref().zip(self.term.filter(|term| !term.holds(now)))?;
        Some(format!("Grant {grant}, which it rests on, ended before it was launched."))
    }

    /// Whether its program runs.
    pub(crate) const fn is_running(&self) -> bool {
        matches!(self.state, State::Running { .. })
    }

    /// What it was to be good for afterwards is no more.
    pub(super) fn take_back(&mut self, why: &str, turn: &mut Turn<'_>) {
        if self.record.grant.take().is_some() {
            let what = Act::Revocation { grant: self.id.to_string(), reason: Some(why.to_string()) };
            self.audit(String::from("agent"), what, turn);
        }
    }

    /// Whether it rests on this grant.
    pub(crate) fn rests_on(&self, grant: &ElevationId) -> bool {
        self.id == *grant || self.record.grant_id.as_deref() == Some(grant.as_str())
    }
}
