//! The audit's part in the agent: what is put on record of certificates, files and policies, and the answers to who waits for an entry.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::certificates::Asked;
use crate::audit::{AGENT, Act, CertificateOutcome, PolicyOutcome};
use crate::certificate::CertificatesChanged;
use crate::configuration_policy::PolicyKey;
use crate::configuration_policy::record::{PolicyLine, PolicyResult};
use crate::effect::Effects;
use crate::id::TicketId;
use crate::log_message::Level;
use crate::time::Now;

impl Agent {
    /// An entry that somebody waits for is on disk, or could not be written.
    pub(super) fn on_audited(&mut self, now: Now, ticket: TicketId, result: Result<(), String>, effects: &mut Effects) {
        if let Err(why) = &result {
            let message = format!("An entry of the audit was not written: {why}");
            self.desk.turn(now, effects).log(Level::Error, "NotAudited", message);
        }
        if self.on_elevation_audited(now, ticket, &result, effects) {
            return;
        }
        let pending = self.pending.remove(&ticket);
        self.unasked(now, ticket, pending, effects);
    }

    /// The list of admin certificates changed.
    pub(super) fn audit_certificates(
        &mut self,
        now: Now,
        asked: &Asked,
        changed: &CertificatesChanged,
        effects: &mut Effects,
    ) {
        let issued = changed.issued.as_ref().map(|(issued, _)| issued);
        let (by, what) = match (asked, issued) {
            (Asked::Issue { by, .. }, Some(issued)) => (admin(by), Act::issued(CertificateOutcome::Issued, issued)),
            (Asked::Revoke { by, sha256, .. }, _) => (admin(by), Act::revoked(&self.certificates.list, sha256)),
            (Asked::Renew, Some(issued)) => (AGENT.to_string(), Act::issued(CertificateOutcome::Renewed, issued)),
            (Asked::Issue { .. } | Asked::Renew, None) => return,
        };
        self.desk.turn(now, effects).audit(by, what);
    }

    /// A policy was applied or refused; what changes nothing is not put on record.
    pub(super) fn audit_policy(&mut self, now: Now, line: &PolicyLine, effects: &mut Effects) {
        let change = match line.result {
            PolicyResult::Applied => PolicyOutcome::Applied,
            PolicyResult::Refused => PolicyOutcome::Refused,
            PolicyResult::Unchanged | PolicyResult::Idle | PolicyResult::Valid => return,
        };
        let what = Act::Policy {
            name: line.name.clone(),
            source: line.source.clone(),
            policy_type: line.policy_type.clone(),
            sha256: line.sha256.clone(),
            change,
            changes: line.changes.clone(),
            why: line.why.clone(),
        };
        let who = self.policy_writer(line.owner);
        self.desk.turn(now, effects).audit(who, what);
    }

    /// A policy was forgotten: its source has it no more, or somebody wants that.
    pub(super) fn audit_forgotten(&mut self, now: Now, key: &PolicyKey, effects: &mut Effects) {
        let what = Act::Policy {
            name: key.name.clone(),
            source: key.source.clone(),
            policy_type: String::new(),
            sha256: String::new(),
            change: PolicyOutcome::Forgotten,
            changes: Vec::new(),
            why: None,
        };
        let who = self.policy_writer(None);
        self.desk.turn(now, effects).audit(who, what);
    }

    /// Who brought a policy: an administrator, or whose file it is; of what is gone, and of bundles, nobody is known.
    fn policy_writer(&self, owner: Option<u32>) -> String {
        match (self.deliverer(), owner) {
            (Some(name), _) => admin(name),
            (None, Some(0)) => String::from("root"),
            (None, Some(uid)) => format!("uid:{uid}"),
            (None, None) => AGENT.to_string(),
        }
    }
}

fn admin(name: &str) -> String {
    format!("admin:{name}")
}
