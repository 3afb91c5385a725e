//! A unit's steps after it was planned: each follows from the answer to the order of the one before.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{PolicyLine, PolicyResult, Present, Ready, Refusal, Step, Underway, told};
use crate::agent::Agent;
use crate::agent::answers::Pending;
use crate::agent::job_writes::binary_finding;
use crate::agent::lkg::State;
use crate::configuration_policy::plan::{Plan, Planned};
use crate::effect::{Effects, StoreOrder};
use crate::event::{DefinitionFile, DefinitionKind, ExecutableFacts};
use crate::id::{JobId, TicketId};
use crate::job::finding::{Finding, Findings};
use crate::lkg::{Item, NotWritten};
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    pub(in crate::agent) fn on_policy_binaries(&mut self, now: Now, facts: &[ExecutableFacts], effects: &mut Effects) {
        let Some(underway) = self.policies.underway.take() else { return self.continue_policies(now, effects) };
        let Step::Inspecting(places) = &underway.step else {
            self.policies.underway = Some(underway);
            return;
        };
        let mut wrong: Vec<(JobId, Finding)> = Vec::new();
        if facts.len() != places.len() {
            let why = format!("{} of {} binaries were looked at.", facts.len(), places.len());
            return self.fail_unit(now, underway, 503, "The binaries could not be looked at.", &why, effects);
        }
        for ((id, task), facts) in places.iter().zip(facts) {
            let job = underway.plan.jobs_written().find(|job| job.id == *id);
            let found = job.and_then(|job| binary_finding(job, *task, facts));
            wrong.extend(found.map(|found| (id.clone(), found)));
        }
        let Some((id, _)) = wrong.first().cloned() else { return self.write_unit(now, underway, effects) };
        let findings: Findings = wrong
            .into_iter()
            .filter(|(job, _)| *job == id)
            .map(|(_, found)| Finding { path: format!("/Extension/JobJson{}", found.path), ..found })
            .collect();
        let item = format!("{} ", Item::new(DefinitionKind::Job, id.as_str()));
        let writes = |ready: &Ready| ready.line.changes.iter().any(|change| change.starts_with(&item));
        let Some(place) = underway.ready.iter().rposition(writes) else {
            let what = "A binary of a job is not one that may be run.";
            return self.fail_unit(now, underway, 400, what, &told(&findings), effects);
        };
        let mut lines: Vec<PolicyLine> = underway.ready.into_iter().map(|ready| ready.line).collect();
        let mut line = lines.remove(place);
        line.findings.clone_from(&findings);
        let what = format!("The policy {} was refused; nothing was changed.", line.name);
        let explanation = Explanation::new(what, told(&findings), "Mend what the findings name.");
        self.refuse_unit(now, line, lines, Refusal { status: 400, explanation, findings }, effects);
    }

    /// Plans once more, as others may have changed something since, and orders what the plan changes.
    pub(super) fn write_unit(&mut self, now: Now, mut underway: Underway, effects: &mut Effects) {
        let mut plan = Plan::default();
        for index in 0..underway.ready.len() {
            let Some(ready) = underway.ready.get_mut(index) else { break };
            match plan.add(&ready.policy, &Present(self)) {
                Ok(step) => (ready.line.changes, ready.layer) = (step.changes, step.layer),
                Err(finding) => {
                    let why = told(core::slice::from_ref(&finding));
                    return self.fail_unit(now, underway, 409, "Something changed in between.", &why, effects);
                }
            }
        }
        underway.plan = plan;
        if self.policies.deliveries.front().is_some_and(|delivery| delivery.is_dry_run) {
            for ready in &mut underway.ready {
                ready.line.result = PolicyResult::Valid;
            }
            let lines = underway.ready.into_iter().map(|ready| ready.line).chain(underway.idle);
            for line in lines {
                self.note_policy(now, line, effects);
            }
            return self.continue_policies(now, effects);
        }
        let changes = underway.plan.changes();
        if changes.is_empty() {
            return self.reload_for_unit(now, underway, effects);
        }
        let writer = match underway.ready.as_slice() {
            [one] => format!("policy:{}", one.line.name),
            _ => format!("policy:{}", self.policies.deliveries.front().map_or("", |delivery| &delivery.source)),
        };
        underway.step = Step::Writing;
        self.bless(now, changes, writer, Pending::Policies, effects);
        self.policies.underway = Some(underway);
    }

    pub(in crate::agent) fn on_policy_written(
        &mut self,
        now: Now,
        result: Result<Vec<u64>, NotWritten>,
        effects: &mut Effects,
    ) {
        let Some(underway) = self.policies.underway.take() else { return self.continue_policies(now, effects) };
        if let Err(error) = result {
            let status = if error.full { 507 } else { 500 };
            let what = "What it changes could not be written; what was there before still counts.";
            return self.fail_unit(now, underway, status, what, &error.reason, effects);
        }
        for (item, planned) in &underway.plan.definitions {
            match planned {
                Planned::Job(job) => self.insert_job(now, job.clone(), effects),
                Planned::Removed => self.remove_job(now, &item.id, effects),
                Planned::Plugin(plugin) => {
                    let (stem, content) = (item.id.clone(), Ok(plugin.document.clone()));
                    // What keeps it out of service all the same is in the log, with its findings.
                    self.load_one(now, DefinitionFile { kind: item.kind, stem, content }, effects);
                }
            }
        }
        self.reload_for_unit(now, underway, effects);
    }

    pub(super) fn reload_for_unit(&mut self, now: Now, mut underway: Underway, effects: &mut Effects) {
        if !underway.plan.reload {
            return self.keep_unit(now, underway, effects);
        }
        underway.step = Step::Reloading;
        let ticket = self.desk.counters.ticket();
        let order = match self.lkg.state {
            State::Off => StoreOrder::ReadDefinitions { ticket },
            State::Kept | State::Unusable(_) => StoreOrder::Survey { ticket, thorough: false },
        };
        self.desk.turn(now, effects).store(order);
        self.expect_policy(ticket, underway);
    }

    /// Files were read again, or, where references count, compared.
    pub(in crate::agent) fn on_policy_reloaded(
        &mut self,
        now: Now,
        files: Option<Vec<DefinitionFile>>,
        effects: &mut Effects,
    ) {
        let Some(underway) = self.policies.underway.take() else { return self.continue_policies(now, effects) };
        if let Some(files) = files {
            self.load_hand_edits(now, files, effects);
        }
        self.keep_unit(now, underway, effects);
    }

    pub(super) fn keep_unit(&mut self, now: Now, mut underway: Underway, effects: &mut Effects) {
        let changes = underway.record();
        if changes.is_empty() {
            return self.finish_unit(now, underway, effects);
        }
        underway.step = Step::Keeping;
        let ticket = self.desk.counters.ticket();
        self.desk.turn(now, effects).store(StoreOrder::KeepPolicies { ticket, changes });
        self.expect_policy(ticket, underway);
    }

    pub(in crate::agent) fn on_policies_kept(&mut self, now: Now, result: Result<(), String>, effects: &mut Effects) {
        let Some(underway) = self.policies.underway.take() else { return self.continue_policies(now, effects) };
        match result {
            Ok(()) => self.finish_unit(now, underway, effects),
            Err(why) => {
                let what = "It could not be put on record, so it is applied again at the next start or reload.";
                self.fail_unit(now, underway, 500, what, &why, effects);
            }
        }
    }

    pub(super) fn expect_policy(&mut self, ticket: TicketId, underway: Underway) {
        self.expect_answer(ticket, Pending::Policies);
        self.policies.underway = Some(underway);
    }

    /// The answer that a unit waits for will not come.
    pub(in crate::agent) fn give_up_policy(&mut self, now: Now, why: &str, effects: &mut Effects) {
        let Some(underway) = self.policies.underway.take() else { return };
        self.fail_unit(now, underway, 503, "The agent has too much to do.", why, effects);
    }
}
