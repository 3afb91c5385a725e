//! A unit's steps after it was planned: each follows from the answer to the order of the one before.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::judging::{not_sound, told};
use super::{PolicyLine, Present, Program, Ready, Refusal, Step, Underway};
use crate::agent::Agent;
use crate::agent::answers::{Pending, unwritten};
use crate::agent::job_writes::binary_finding;
use crate::agent::lkg::State;
use crate::configuration_policy::plan::{Plan, Planned};
use crate::configuration_policy::record::PolicyResult;
use crate::effect::{Effects, ProgramQuery, StoreOrder};
use crate::event::{DefinitionFile, DefinitionKind, ExecutableFacts};
use crate::id::{PluginId, TicketId};
use crate::job::JobDefinition;
use crate::job::finding::{Finding, Findings, Severity};
use crate::job::lint::shared_binary;
use crate::lkg::{Item, NotWritten};
use crate::plugin::PluginDefinition;
use crate::plugin::supervisor;
use crate::plugin::together::conflicts;
use crate::program::{self, Unfit};
use crate::time::Now;
use crate::trust::signature::SignaturePolicy;

impl Agent {
    pub(in crate::agent) fn on_policy_binaries(&mut self, now: Now, facts: &[ExecutableFacts], effects: &mut Effects) {
        let Some(underway) = self.policies.underway.take() else { return self.continue_policies(now, effects) };
        let Step::Inspecting(programs) = &underway.step else {
            self.policies.underway = Some(underway);
            return;
        };
        if facts.len() != programs.len() {
            let why = format!("{} of {} programs were looked at.", facts.len(), programs.len());
            return self.fail_unit(now, underway, 503, "The programs could not be looked at.", &why, effects);
        }
        let looked = programs.iter().zip(facts);
        let wrong: Vec<(Item, Finding)> = looked
            .filter_map(|((item, program), facts)| {
                let planned = underway.plan.definitions.get(item)?;
                Some((item.clone(), self.program_finding(now, planned, *program, facts)?))
            })
            .collect();
        let Some((item, _)) = wrong.first().cloned() else { return self.write_unit(now, underway, effects) };
        let findings = wrong.into_iter().filter(|(other, _)| *other == item).map(|(_, finding)| finding).collect();
        self.refuse_item(now, underway, &item, findings, effects);
    }

    /// Refuses a unit for a definition that it writes; the last policy that does has the findings.
    fn refuse_item(&mut self, now: Now, underway: Underway, item: &Item, findings: Findings, effects: &mut Effects) {
        let change = format!("{item} ");
        let writes = |ready: &Ready| ready.line.changes.iter().any(|done| done.starts_with(&change));
        let Some(place) = underway.ready.iter().rposition(writes) else {
            let what = format!("{item} would not be as it may be.");
            return self.fail_unit(now, underway, 400, &what, &told(&findings), effects);
        };
        let mut lines: Vec<PolicyLine> = underway.ready.into_iter().map(|ready| ready.line).collect();
        let mut line = lines.remove(place);
        line.findings.clone_from(&findings);
        let explanation = not_sound(&line.key(), &findings);
        self.refuse_unit(now, line, lines, Refusal { status: 400, explanation, findings }, effects);
    }

    /// The programs of what is written, looked for as their start would.
    pub(super) fn programs_of(&self, plan: &Plan) -> Vec<((Item, Program), ProgramQuery)> {
        let surroundings = &self.desk.surroundings;
        let of = |(item, planned): (&Item, &Planned)| -> Vec<((Item, Program), ProgramQuery)> {
            match planned {
                Planned::Job(job) => {
                    let task = |(index, query)| ((item.clone(), Program::Task(index)), query);
                    self.binaries(job).into_iter().map(task).collect()
                }
                Planned::Plugin(plugin) if plugin.supported_here && !plugin.built_in => {
                    let signers = &self.desk.settings.alternative_signatures;
                    let query = supervisor::query(plugin, surroundings, signers);
                    Vec::from([((item.clone(), Program::Plugin), query)])
                }
                Planned::Plugin(_) | Planned::Removed => Vec::new(),
            }
        };
        plan.definitions.iter().flat_map(of).collect()
    }

    fn program_finding(
        &self,
        now: Now,
        planned: &Planned,
        program: Program,
        facts: &ExecutableFacts,
    ) -> Option<Finding> {
        match (planned, program) {
            (Planned::Job(job), Program::Task(index)) => {
                let found = binary_finding(job, index, facts)?;
                Some(Finding { path: format!("/Extension/JobJson{}", found.path), ..found })
            }
            (Planned::Plugin(_), Program::Plugin) => {
                let policy = SignaturePolicy::of(&self.desk.settings);
                let Unfit { code, why } = program::of_plugin(facts, policy, now.wall).err()?;
                let path = String::from("/Extension/SettingsJson/executablePath");
                Some(Finding { path, code, message: why, severity: Severity::Error })
            }
            (Planned::Job(_) | Planned::Plugin(_) | Planned::Removed, _) => None,
        }
    }

    /// What would keep definitions out of service once the plan is carried out: a topic or a circle of plugins, a program that a job
    /// shares with one. The item of the plan that brings it about, and how.
    fn conflict_of_plan(&self, plan: &Plan) -> Option<(Item, Finding)> {
        let present = self.plugins.values().filter(|plugin| !plugin.retired).map(|plugin| &**plugin.definition());
        let mut plugins: BTreeMap<&PluginId, &PluginDefinition> = present.map(|plugin| (&plugin.id, plugin)).collect();
        plugins.extend(plan.plugins_written().map(|plugin| (&plugin.id, plugin)));
        let place = |above: &str, found: Finding| Finding { path: format!("{above}{}", found.path), ..found };
        let shared = |job: &JobDefinition| {
            let found = shared_binary(job, plugins.values().copied())?;
            Some((Item::new(DefinitionKind::Job, job.id.as_str()), place("/Extension/JobJson", found)))
        };
        if let Some(shared) = plan.jobs_written().find_map(shared) {
            return Some(shared);
        }
        let mut conflicts = conflicts(plugins.values().copied());
        let item = |plugin: &PluginDefinition| Item::new(DefinitionKind::Plugin, plugin.id.as_str());
        let own = plan.plugins_written().find_map(|plugin| Some((plugin, conflicts.remove(&plugin.id)?)));
        if let Some((plugin, found)) = own {
            return Some((item(plugin), place("/Extension/SettingsJson", found)));
        }
        let (taker, found) = self.kept_out(conflicts, plan.plugins_written())?;
        Some((item(taker), Finding { path: String::from("/Extension/SettingsJson"), ..found }))
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
        if let Some((item, finding)) = self.conflict_of_plan(&plan) {
            return self.refuse_item(now, underway, &item, Vec::from([finding]), effects);
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
            let (status, _) = unwritten(error.cause);
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
        let bundle = underway.bundle.take();
        if changes.is_empty() && bundle.is_none() {
            return self.finish_unit(now, underway, effects);
        }
        underway.step = Step::Keeping;
        let ticket = self.desk.counters.ticket();
        self.desk.turn(now, effects).store(StoreOrder::KeepPolicies { ticket, changes, bundle });
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
