//! One policy of a unit is judged: its name, its signature, its form, and what it would change.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{PolicyLine, Present, Ready, Refusal, Underway};
use crate::agent::Agent;
use crate::configuration_policy::parse::{parse, privileges_of};
use crate::configuration_policy::record::PolicyResult;
use crate::configuration_policy::{
    Action, AppliedPolicy, FOLDER, NAME_CHARS, Policy, PolicyContent, PolicyFile, PolicyKey, PolicySigner, is_name,
    signature,
};
use crate::job::finding::{Finding, Findings, Severity, quote};
use crate::limits::POLICIES;
use crate::policy::denies_unread;
use crate::time::Now;
use crate::why::{Explanation, sentence};

/// What is told of a policy that is refused, and why.
type Refused = Box<(PolicyLine, Refusal)>;

impl Agent {
    /// The policies that a complete delivery forgets with its last unit.
    pub(super) fn gone(&self, source: &str, unit: &[PolicyFile]) -> Vec<PolicyKey> {
        let Some(delivery) = self.policies.deliveries.front().filter(|delivery| delivery.units.is_empty()) else {
            return Vec::new();
        };
        let is_here = |name: &str| {
            unit.iter().any(|file| file.name == name) || delivery.lines.iter().any(|line| line.name == name)
        };
        self.policies.records.others(source, is_here)
    }

    /// Takes one policy into the unit. `signer` is who signed the delivery as a whole.
    pub(super) fn judge_policy(
        &mut self,
        now: Now,
        source: &str,
        signer: Option<PolicySigner>,
        file: PolicyFile,
        underway: &mut Underway,
    ) -> Result<(), Refused> {
        let key = PolicyKey { name: file.name, source: source.to_string() };
        let mut line = PolicyLine::new(&key, now.wall.to_rfc3339());
        let denies = |document: Option<&[u8]>| source == FOLDER && denies_unread(document);
        let content = match file.content {
            Ok(content) => content,
            Err(why) => {
                let why = and_denies(sentence(&why), denies(None));
                return Err(refused(line, why, "Make it a file that the agent may read."));
            }
        };
        line.sha256.clone_from(&content.sha256);
        line.owner = content.owner;
        if !is_name(&key.name) {
            let why = format!(
                "Its name, without .json, is {}; it must be 1 to {NAME_CHARS} of A-Z a-z 0-9, blanks and -._, first a letter or digit.",
                quote(&key.name)
            );
            return Err(refused(line, why, "Rename it."));
        }
        // First of all: what was applied before is not the same if nobody who counts signed it.
        let signer = match signature::signer(&key, &content, &self.desk.settings, now.wall) {
            Ok(own) => own.or(signer),
            Err(mut explanation) => {
                explanation.why = and_denies(explanation.why, denies(Some(&content.document)));
                return Err(Box::new((line, Refusal { status: 403, explanation, findings: Findings::new() })));
            }
        };
        if let Some(applied) = self.policies.records.applied(&key).filter(|applied| applied.sha256 == content.sha256) {
            let unchanged = PolicyLine { result: PolicyResult::Unchanged, ..PolicyLine::of(applied) };
            line = unchanged.with(privileges_of(&content.document, self.desk.surroundings.here));
            if applied.signer != signer {
                underway.signed_anew.push(AppliedPolicy { signer, ..applied.clone() });
            }
            underway.idle.push(line);
            return Ok(());
        }
        self.plan_policy(line, &content, signer, underway)
    }

    /// Plans what its content wants.
    fn plan_policy(
        &mut self,
        mut line: PolicyLine,
        content: &PolicyContent,
        signer: Option<PolicySigner>,
        underway: &mut Underway,
    ) -> Result<(), Refused> {
        let (policy, findings) = match parse(&content.document, self.desk.surroundings.here) {
            Ok(parsed) => parsed,
            Err(findings) => {
                let is_denying = line.source == FOLDER && denies_unread(Some(&content.document));
                let mut refused = with_findings(line, findings);
                refused.1.explanation.why = and_denies(refused.1.explanation.why, is_denying);
                return Err(refused);
            }
        };
        line.findings = findings;
        let (key, records) = (line.key(), &self.policies.records);
        match policy {
            Policy::Idle { policy_type, why } => {
                (line.policy_type, line.why, line.result) = (policy_type, Some(why), PolicyResult::Idle);
                underway.forget.extend(records.applied(&key).map(|applied| applied.key.clone()));
                underway.idle.push(line);
            }
            Policy::Configuration(policy) => {
                line.policy_type = policy.policy_type.to_string();
                let new = underway.ready.iter().filter(|ready| records.applied(&ready.line.key()).is_none());
                let is_file = matches!(policy.action, Action::Decide(_)) && key.source == FOLDER;
                // As many files as are read are evaluated, on record or not.
                if !is_file && !records.has_room(&key, new.count()) {
                    let why = format!("{POLICIES} policies are on record, which is the most there may be.");
                    return Err(refused(line, why, "Have some forgotten: castellan policy remove NAME."));
                }
                match underway.plan.add(&policy, &Present(self)) {
                    Ok(step) => {
                        line.changes = step.changes;
                        let mut document = None;
                        if let Action::Decide(privileges) = &policy.action {
                            document = (!is_file).then(|| content.document.clone());
                            line = line.with(Some(privileges.clone()));
                        }
                        underway.ready.push(Ready { policy, line, layer: step.layer, signer, document });
                    }
                    Err(finding) => return Err(with_findings(line, Vec::from([finding]))),
                }
            }
        }
        Ok(())
    }
}

/// A reason, with what follows from it where KeeperPolicy reads the same file.
fn and_denies(why: String, is_denying: bool) -> String {
    if is_denying { format!("{why} What it may be about is denied until that is mended.") } else { why }
}

fn refused(line: PolicyLine, why: String, fix: &str) -> Refused {
    let explanation = Explanation::new(what(&line.key()), why, fix);
    Box::new((line, Refusal { status: 400, explanation, findings: Findings::new() }))
}

fn with_findings(mut line: PolicyLine, findings: Findings) -> Refused {
    line.findings.extend(findings.iter().cloned());
    let explanation = not_sound(&line.key(), &findings);
    Box::new((line, Refusal { status: 400, explanation, findings }))
}

/// What is wrong with a policy, by its findings.
pub(super) fn not_sound(key: &PolicyKey, findings: &[Finding]) -> Explanation {
    Explanation::new(what(key), told(findings), "Mend what the findings name.")
}

fn what(key: &PolicyKey) -> String {
    format!("The policy {} of {} was refused; nothing was changed.", key.name, key.source)
}

/// The errors in a sentence.
pub(super) fn told(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|found| found.severity == Severity::Error);
    let one = |found: &Finding| match found.path.as_str() {
        "" => found.message.clone(),
        path => format!("At {path}: {}", found.message),
    };
    let errors: Vec<String> = errors.map(one).collect();
    let more = errors.len().saturating_sub(1);
    let first = errors.into_iter().next().unwrap_or_default();
    if more == 0 { first } else { format!("{first} ({more} more)") }
}
