//! What a user sees of his own requests and grants, from whichever terminal, and what he may ask to have done to them.
//!
//! All of it fits into one frame of the request socket: lists and texts are cut, and what was left out is counted.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::record::{ElevationRecord, Status};
use super::{Elevation, Grant};
use crate::limits::{OWN_COMMAND_CHARS, OWN_ENDED, OWN_EXPLANATION_CHARS, OWN_GRANTS};
use crate::policy::Control;
use crate::text::cut;
use crate::time::{Monotonic, Now, WallTime};
use crate::why::Explanation;

/// What a user asks about what is his own. Ids are as he typed them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnWish {
    /// To see his requests and grants.
    List,
    /// To end a request that waits.
    Withdraw(String),
    /// To give up a grant; all of them, where none is named.
    Drop(Option<String>),
}

/// A user's own requests and grants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Own {
    /// All that are under way, then those that ended lately, the latest in front.
    pub requests: Vec<OwnRequest>,
    /// How many that ended lately are left out.
    pub requests_left_out: usize,
    /// What counts, the latest in front.
    pub grants: Vec<OwnGrant>,
    /// How many grants are left out.
    pub grants_left_out: usize,
}

/// A request, for who made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OwnRequest {
    /// Its id.
    pub request_id: String,
    /// Where it stands.
    pub status: Status,
    /// What was asked for, cut where it is long.
    pub command: String,
    /// When it was made: RFC 3339, UTC.
    pub asked_at: String,
    /// When it came to stand there: RFC 3339, UTC.
    pub changed_at: String,
    /// What has to be met yet; empty for what is over.
    pub waits_for: Vec<Control>,
    /// Until when that is waited for: RFC 3339, UTC. Four hours are added once where nobody approved.
    pub until: Option<String>,
    /// How its program ended.
    pub exit: Option<String>,
    /// Why it is over, where no program ran to its end; each sentence cut where it is long.
    pub explanation: Option<Explanation>,
}

/// A grant, for whose it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct OwnGrant {
    /// The request that it came from, which is its name.
    pub request_id: String,
    /// What runs without asking again, cut where it is long.
    pub command: String,
    /// What does not have to be met again.
    pub controls: Vec<Control>,
    /// Until when: RFC 3339, UTC.
    pub until: String,
}

impl OwnRequest {
    /// One that is over.
    fn ended(record: &ElevationRecord) -> Self {
        let explanation = record.explanation.as_ref().map(|said| {
            let [what, why, fix] = [&said.what, &said.why, &said.fix].map(|text| cut(text, OWN_EXPLANATION_CHARS));
            Explanation { what, why, fix }
        });
        Self { explanation, ..Self::of(record) }
    }

    /// One that is under way. Why it stands where it does is the administrators' until it is over.
    fn under_way(elevation: &Elevation, now: Now) -> Self {
        let until = elevation.waits_until().map(|until| {
            let left = i64::try_from(until.millis_since(now.monotonic)).unwrap_or(i64::MAX);
            WallTime::from_millis(now.wall.as_millis().saturating_add(left)).to_rfc3339()
        });
        Self { waits_for: elevation.record.outstanding.clone(), until, ..Self::of(&elevation.record) }
    }

    fn of(record: &ElevationRecord) -> Self {
        Self {
            request_id: record.request_id.clone(),
            status: record.status,
            command: command(record),
            asked_at: record.asked_at.clone(),
            changed_at: record.changed_at.clone(),
            waits_for: Vec::new(),
            until: None,
            exit: record.exit.clone(),
            explanation: None,
        }
    }
}

impl Own {
    /// Those of one user, from all that are his; each list has the latest in front.
    pub(crate) fn of<'all>(
        active: impl Iterator<Item = &'all Elevation>,
        ended: impl Iterator<Item = &'all ElevationRecord>,
        grants: impl Iterator<Item = &'all Grant>,
        now: Now,
    ) -> Self {
        let mut ended: Vec<_> = ended.collect();
        let requests_left_out = ended.len().saturating_sub(OWN_ENDED);
        ended.truncate(OWN_ENDED);
        let mut grants: Vec<_> = grants.collect();
        let grants_left_out = grants.len().saturating_sub(OWN_GRANTS);
        grants.truncate(OWN_GRANTS);
        let active = active.map(|elevation| OwnRequest::under_way(elevation, now));
        Self {
            requests: active.chain(ended.into_iter().map(OwnRequest::ended)).collect(),
            requests_left_out,
            grants: grants.into_iter().filter_map(|grant| OwnGrant::of(&grant.record)).collect(),
            grants_left_out,
        }
    }
}

impl OwnGrant {
    fn of(record: &ElevationRecord) -> Option<Self> {
        Some(Self {
            request_id: record.request_id.clone(),
            command: command(record),
            controls: record.controls.clone(),
            until: record.grant.as_ref()?.until.clone(),
        })
    }
}

impl Elevation {
    /// When it is over by itself, unless something happens; `None` where it runs, or is over.
    fn waits_until(&self) -> Option<Monotonic> {
        self.is_unlaunched().then(|| self.next_deadline()).flatten().map(|deadline| deadline.at)
    }
}

fn command(record: &ElevationRecord) -> String {
    cut(&record.command_line(), OWN_COMMAND_CHARS)
}
