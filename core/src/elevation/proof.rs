//! The proof of a grant: the lines of the audit about its request, from the question to the grant, and those of grants that stood in for
//! controls. Whoever has them comes to the same grant again, by the code that decided; nothing of the agent is needed for that.
//!
//! The lines alone are consistent or not; whether they are what happened, the audit says that they are taken from ([`Comparison`]).

mod extract;
mod read;
#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use super::control::{Approver, Controls, Fact, Justification, SecondFactor};
use super::grant::{APPROVED_SECONDS, IDENTIFIED_SECONDS};
use super::message::POLICY_PLUGIN;
use crate::audit::chain::Sha256;
use crate::audit::{Act, Entry};
use crate::mfa::Verdict as CodeVerdict;
use crate::policy::{Approvers, Control, PolicyType, Verdict, basis};
use crate::time::WallTime;
pub use extract::{Comparison, Extract};
use read::{Decided, Story};

/// Grants that stand in for one another, one behind the other; more than policies that change meanwhile lead to.
pub const DEPTH: usize = 8;

/// What a proof says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Proven {
    /// The grant's id, which is that of the request.
    pub grant: String,
    /// For whom.
    pub user: String,
    /// For which file.
    pub program: String,
    /// For which command and arguments.
    pub command: Vec<String>,
    /// From when: RFC 3339, UTC.
    pub given: String,
    /// Until when: RFC 3339, UTC.
    pub until: String,
    /// Policies that asked for the controls.
    pub policies: Vec<String>,
    /// The digest of all policies that there were.
    pub policy_set: String,
    /// How each control was met.
    pub facts: Vec<Met>,
    /// Why the policies could not be evaluated again, if so.
    pub not_replayed: Option<String>,
    /// What was judged, for who has all policies that there were.
    #[serde(skip)]
    pub input: crate::policy::Request,
    /// What was decided.
    #[serde(skip)]
    pub verdict: Verdict,
}

/// A fact that a control was met by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Met {
    /// `MFA`, `JUSTIFY` or `APPROVAL`.
    pub control: String,
    /// When: RFC 3339, UTC.
    pub time: String,
    /// Who met it, as the audit names them.
    pub who: String,
    /// The reason that was given, or the grant that stood in.
    pub reason: String,
}

/// Comes to the grant of the last line again.
///
/// # Errors
/// What does not hold, in sentences.
pub fn judge(lines: &[impl AsRef<[u8]>], sha256: Sha256) -> Result<Proven, Vec<String>> {
    let entries = read::entries(lines, sha256)?;
    let last = entries.last().map(|entry| &entry.what);
    let Some(Act::Grant { grant, .. }) = last else {
        return Err(Vec::from([String::from("The last line is no grant.")]));
    };
    proven(grant, &entries, DEPTH, sha256).map_err(|why| Vec::from([why]))
}

/// Comes to one grant again.
fn proven(id: &str, entries: &[Entry], depth: usize, sha256: Sha256) -> Result<Proven, String> {
    let depth = depth.checked_sub(1).ok_or_else(|| format!("More than {DEPTH} grants rest on one another."))?;
    let story = Story::of(id, entries)?;
    story.agree()?;
    let Decided { input, verdict, .. } = &story.decided;
    let Verdict::Pending(required) = verdict else {
        return Err(format!("Request {id} was answered {verdict}, and no grant comes of that."));
    };
    let (approvers, not_replayed) = replay(&story, sha256)?;
    let mut proven = Proven {
        grant: id.to_string(),
        user: story.user.to_string(),
        program: story.program.to_string(),
        command: story.command.to_vec(),
        given: story.granted.time.clone(),
        until: story.until.to_string(),
        policies: story.decided.policies.clone(),
        policy_set: story.decided.policy_set.clone(),
        facts: Vec::new(),
        not_replayed,
        input: input.clone(),
        verdict: verdict.clone(),
    };
    let mut outstanding = required.clone();
    // One at the most, so that what somebody made up costs no more than its length.
    let base = story.base()?.map(|base| self::proven(base, entries, depth, sha256)).transpose()?;
    for (control, entry) in story.covered() {
        let Some(base) = &base else { continue };
        covers(base, control, &proven, entry)?;
        outstanding.remove(&control);
        proven.fact(control, entry, format!("grant {}", base.grant));
    }
    let (is_approved, is_identified) = meet(&story, outstanding, approvers, &mut proven)?;
    end(&proven, is_approved, is_identified)?;
    Ok(proven)
}

impl Proven {
    fn fact(&mut self, control: Control, entry: &Entry, reason: String) {
        let (control, time, who) = (control.as_str().to_string(), entry.time.clone(), entry.who.clone());
        self.facts.push(Met { control, time, who, reason });
    }
}

/// The policies on record lead to what was decided: who may approve, or why they cannot be evaluated.
fn replay(story: &Story<'_>, sha256: Sha256) -> Result<(Vec<Approvers>, Option<String>), String> {
    let Decided { input, verdict, policies, documents, .. } = &story.decided;
    if documents.iter().any(|document| document.content.is_none()) || documents.is_empty() {
        let why = "The policies were too long to be kept; their hashes are on record.";
        return Ok((Vec::new(), Some(why.to_string())));
    }
    let set = basis::compile(documents, sha256)?;
    let again = set.evaluate(input).decision();
    let names: Vec<String> = again.policies.iter().map(ToString::to_string).collect();
    if again.verdict != *verdict || names != *policies {
        let (id, now) = (story.id, &again.verdict);
        return Err(format!("Request {id} was answered {verdict}, and the policies on record answer {now}."));
    }
    Ok((again.approvers, None))
}

/// Every control that is left was met by facts on record; whether somebody approved, and whether a code was given.
fn meet(
    story: &Story<'_>,
    outstanding: BTreeSet<Control>,
    approvers: Vec<Approvers>,
    proven: &mut Proven,
) -> Result<(bool, bool), String> {
    let mut controls = Controls::required(outstanding, approvers);
    let (mut is_approved, mut is_identified) = (false, false);
    for entry in story.between() {
        if let Act::Approval { approved, reason } = &entry.what {
            let name = entry.who.strip_prefix("admin:").unwrap_or_default();
            if !approved {
                return Err(format!("Administrator '{name}' denied request {}.", story.id));
            }
            let approver = Approver::of(name, story.user)?;
            if name.is_empty() {
                return Err(format!("Entry of {}: {} is no administrator.", entry.time, entry.who));
            }
            if let Some(why) = controls.stranger(&approver) {
                return Err(why);
            }
            is_approved = true;
            controls.meet(&Fact::Approved(&approver));
            proven.fact(Control::Approval, entry, reason.clone().unwrap_or_default());
        } else if let Act::Control { control, satisfied: true, reason, grant: None } = &entry.what {
            if control == Control::Mfa.as_str() {
                let factor = SecondFactor::of(CodeVerdict::Verified);
                is_identified |= factor.is_some_and(|factor| controls.meet(&Fact::Identified(&factor)));
                proven.fact(Control::Mfa, entry, reason.clone());
            } else if control == Control::Justify.as_str() {
                let justification = Justification::parse(reason)?;
                controls.meet(&Fact::Justified(&justification));
                proven.fact(Control::Justify, entry, reason.clone());
            }
        }
    }
    let left: Vec<&str> = controls.outstanding().iter().map(|control| control.as_str()).collect();
    if left.is_empty() {
        return Ok((is_approved, is_identified));
    }
    Err(format!("Request {} led to a grant, and nothing on record meets {}.", story.id, left.join(", ")))
}

/// A grant stood in for a control: it was one for the same, asked for this control, and counted then.
fn covers(base: &Proven, control: Control, proven: &Proven, entry: &Entry) -> Result<(), String> {
    let is_same = base.user == proven.user
        && base.program == proven.program
        && base.command.get(1..) == proven.command.get(1..)
        && matches!(&base.verdict, Verdict::Pending(controls) if controls.contains(&control));
    let millis = |text: &str| WallTime::parse_rfc3339(text).map(WallTime::as_millis);
    let (at, given, until) = (millis(&entry.time), millis(&base.given), millis(&base.until));
    let seconds = if control == Control::Mfa { IDENTIFIED_SECONDS } else { APPROVED_SECONDS };
    let last = given.map(|given| given.saturating_add_unsigned(seconds.saturating_mul(1000)));
    if is_same && at >= given && at < until && at < last {
        return Ok(());
    }
    let (id, name) = (&base.grant, control.as_str());
    Err(format!("Grant {id} does not cover {name} of request {} at {}.", proven.grant, entry.time))
}

/// Its end is that of a grant that came about so.
fn end(proven: &Proven, is_approved: bool, is_identified: bool) -> Result<(), String> {
    let Proven { grant, given, until, .. } = proven;
    let seconds = match (is_approved, is_identified) {
        (true, _) => APPROVED_SECONDS,
        (false, true) => IDENTIFIED_SECONDS,
        (false, false) => {
            return Err(format!("Nobody approved request {grant} or gave a code, so it led to no grant."));
        }
    };
    let from = WallTime::parse_rfc3339(given).ok_or_else(|| format!("'{given}' is no instant."))?;
    let end = from.as_millis().saturating_add_unsigned(seconds.saturating_mul(1000));
    let end = WallTime::from_millis(end).to_rfc3339();
    if end == *until { Ok(()) } else { Err(format!("Grant {grant} ends at {end}, and not at {until}.")) }
}

/// What has to be so for KeeperPolicy to have decided: who is on record as having done it.
fn is_by_policies(entry: &Entry) -> bool {
    entry.who.strip_prefix("plugin:") == Some(POLICY_PLUGIN)
}

/// Whether a question is one about privileges.
fn is_elevation(policy_type: PolicyType) -> bool {
    policy_type == PolicyType::PrivilegeElevation
}
