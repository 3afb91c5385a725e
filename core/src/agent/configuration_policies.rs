//! Configuration policies are applied: one delivery after the other, in it one unit after the other, all of a unit or nothing.
//!
//! ```text
//! step        ordered             then
//! ----------  ------------------  ------------------------------------------------------------
//! (planned)                       refused, unchanged or idle: the next unit
//! Inspecting  Inspect             the binaries of its jobs may be run: planned again, as time has passed
//! Writing     ChangeDefinitions   in service
//! Reloading   ReadDefinitions     in service (UpdateSettings)
//! Keeping     KeepPolicies        on record, its settings in force, published: the next unit
//! ```
//! A policy file is a unit of its own; a bundle is one unit. Where the agent dies between two steps, the policy is not on record, so the
//! next start applies it again; what it had written by then is as it wants it.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::answers::{Pending, binary_finding};
use crate::configuration_policy::parse::parse;
use crate::configuration_policy::plan::{InService, Plan, Planned, Standing};
use crate::configuration_policy::record::{PolicyLine, PolicyResult, Records};
use crate::configuration_policy::signature::refusal;
use crate::configuration_policy::{AppliedPolicy, Configuration, Policy, PolicyChange, PolicyFile, PolicyKey, PolicyLayer};
use crate::effect::{BrokerOrder, Effects, ProcessOrder, StoreOrder};
use crate::event::{DefinitionFile, DefinitionKind, ExecutableFacts};
use crate::id::{JobId, PluginId, RequestId, TicketId};
use crate::job::finding::{Finding, Findings};
use crate::limits::{POLICIES, POLICY_DELIVERIES};
use crate::lkg::{Item, NotWritten};
use crate::log_message::Level;
use crate::plugin::storage::PolicySettings;
use crate::run::secret::MASK;
use crate::time::Now;
use crate::why::Explanation;

/// Where the agent tells what became of a policy.
const TOPIC: &str = "EventMessages";
/// QoS of that.
const QOS: u8 = 1;

/// What is known of policies, and what is being done with them.
#[derive(Debug, Default)]
pub(super) struct Policies {
    records: Records,
    deliveries: VecDeque<Delivery>,
    underway: Option<Underway>,
}

/// Policies that came together.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) source: String,
    /// Each is applied as a whole.
    pub(super) units: VecDeque<Vec<PolicyFile>>,
    /// Whether it is all that the source has: what it had before is forgotten.
    pub(super) is_complete: bool,
    pub(super) is_dry_run: bool,
    pub(super) asker: Asker,
    /// What became of its policies so far.
    pub(super) lines: Vec<PolicyLine>,
    /// Why the last unit was refused.
    pub(super) refused: Option<Refusal>,
}

/// Who wants to know what became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// Nobody: the agent started, or the folder changed.
    Nobody,
    /// Who sent one policy.
    Document(RequestId),
    /// Who asked for the folder to be read.
    Folder(RequestId),
    /// The source of bundles.
    Bundle,
}

/// Why a policy is not applied.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    /// Of the answer to whoever asked.
    pub(super) status: u16,
    pub(super) explanation: Explanation,
    pub(super) findings: Findings,
}

/// The unit that is being applied.
#[derive(Debug)]
struct Underway {
    ticket: TicketId,
    step: Step,
    ready: Vec<Ready>,
    idle: Vec<PolicyLine>,
    forget: Vec<PolicyKey>,
    plan: Plan,
}

#[derive(Debug)]
enum Step {
    /// Job and task of each binary that is looked at.
    Inspecting(Vec<(JobId, usize)>),
    Writing,
    Reloading,
    Keeping,
}

/// A policy that is sound so far.
#[derive(Debug)]
struct Ready {
    policy: Configuration,
    line: PolicyLine,
    layer: Option<PolicyLayer>,
}

/// What the plan rests on: the agent at this moment.
struct Present<'a>(&'a Agent);

impl InService for Present<'_> {
    fn standing(&self, item: &Item) -> Standing {
        match item.kind {
            DefinitionKind::Job => self.0.standing_of_job(&item.id),
            DefinitionKind::Plugin => self.0.standing_of_plugin(&item.id),
        }
    }

    fn jobs(&self) -> usize {
        self.0.catalog.len()
    }

    fn is_masked(&self, plugin: &str, key: &str, value: &str) -> bool {
        value == MASK && self.0.desk.plugin_settings.is_secret(plugin, key)
    }
}

impl Agent {
    /// Applies a bundle: all of its policies or none, in the order of their names, each once per content. `files` are all that the
    /// source has: what it had before and has not any more is forgotten, and the settings that it set end. A bundle whose signature
    /// was verified as a whole has no signatures in its files. What came of it is told to `on_bundle_settled`.
    ///
    /// # Errors
    /// Too many deliveries wait; nothing happens then.
    pub(super) fn apply_policies(
        &mut self,
        now: Now,
        source: &str,
        mut files: Vec<PolicyFile>,
        effects: &mut Effects,
    ) -> Result<(), Explanation> {
        files.sort_by(|left, right| left.name.cmp(&right.name));
        self.deliver(now, Delivery::new(source, Vec::from([files]), Asker::Bundle), effects)
    }

    /// What became of a bundle.
    fn on_bundle_settled(&mut self, now: Now, source: &str, result: Result<(), &Explanation>, effects: &mut Effects) {
        let mut turn = self.desk.turn(now, effects);
        match result {
            Ok(()) => turn.log(Level::Information, "BundleApplied", format!("The bundle of {source} is in force.")),
            Err(why) => turn.log(Level::Error, "BundleRefused", format!("The bundle of {source} is refused. {why}")),
        }
    }

    /// What was applied in former lives counts from the start.
    pub(super) fn recall_policies(&mut self, applied: Vec<AppliedPolicy>) {
        self.policies.records = Records::new(applied);
        self.put_layers_in_force();
    }

    /// Takes policies to be applied.
    pub(super) fn deliver(&mut self, now: Now, delivery: Delivery, effects: &mut Effects) -> Result<(), Explanation> {
        if self.policies.deliveries.len() >= POLICY_DELIVERIES {
            let why = format!("{POLICY_DELIVERIES} deliveries wait to be applied already.");
            return Err(Explanation::new("The policies were not applied.", why, "Send them again later."));
        }
        self.policies.deliveries.push_back(delivery);
        self.continue_policies(now, effects);
        Ok(())
    }

    /// What became of each policy.
    pub(super) fn policy_lines(&self) -> impl Iterator<Item = &PolicyLine> {
        self.policies.records.lines()
    }

    /// Whether a policy is just changing the job of this id.
    pub(super) fn policy_changes(&self, id: &JobId) -> bool {
        let item = Item::new(DefinitionKind::Job, id.as_str());
        self.policies.underway.as_ref().is_some_and(|underway| underway.plan.definitions.contains_key(&item))
    }

    /// Whoever waits for a delivery, with a word about it; they wait no more.
    pub(super) fn forsake_policies(&mut self) -> Vec<RequestId> {
        let deliveries = core::mem::take(&mut self.policies.deliveries);
        let asker = |delivery: Delivery| match delivery.asker {
            Asker::Document(request) | Asker::Folder(request) => Some(request),
            Asker::Nobody | Asker::Bundle => None,
        };
        deliveries.into_iter().filter_map(asker).collect()
    }

    fn standing_of_job(&self, id: &str) -> Standing {
        let is_changing = JobId::parse(id).is_ok_and(|id| self.is_changing(&id));
        match self.catalog.find(id) {
            _ if is_changing => Standing::Changing,
            Some(job) => Standing::InService(job.document.clone()),
            None if self.catalog.refused().any(|(stem, _)| stem == id) => Standing::OutOfService,
            None => Standing::Absent,
        }
    }

    fn standing_of_plugin(&self, id: &str) -> Standing {
        let plugin = PluginId::parse(id).ok().and_then(|id| self.plugins.get(&id)).filter(|plugin| !plugin.retired);
        match plugin {
            Some(plugin) => Standing::InService(plugin.definition.document.clone()),
            None if self.refused_plugins.contains_key(id) => Standing::OutOfService,
            None => Standing::Absent,
        }
    }

    /// Begins units for as long as none waits for an answer.
    fn continue_policies(&mut self, now: Now, effects: &mut Effects) {
        while self.policies.underway.is_none() && !self.is_stopping() {
            let Some(delivery) = self.policies.deliveries.front_mut() else { return };
            match delivery.units.pop_front() {
                Some(unit) => self.begin_unit(now, unit, effects),
                None => self.settle_delivery(now, effects),
            }
        }
    }

    fn begin_unit(&mut self, now: Now, unit: Vec<PolicyFile>, effects: &mut Effects) {
        let Some(delivery) = self.policies.deliveries.front() else { return };
        let source = delivery.source.clone();
        let forget = if delivery.is_complete && !delivery.is_dry_run { self.gone(&source, &unit) } else { Vec::new() };
        let ticket = TicketId(0);
        let mut underway =
            Underway { ticket, step: Step::Writing, ready: Vec::new(), idle: Vec::new(), forget, plan: Plan::default() };
        for file in unit {
            if let Err((line, refusal)) = self.judge(now, &source, file, &mut underway) {
                let lines = underway.ready.into_iter().map(|ready| ready.line).collect();
                return self.refuse_unit(now, line, lines, refusal, effects);
            }
        }
        let mut queries = Vec::new();
        let mut places = Vec::new();
        for job in underway.plan.jobs_written() {
            for (index, query) in self.binaries(job) {
                places.push((job.id.clone(), index));
                queries.push(query);
            }
        }
        if queries.is_empty() {
            return self.write_unit(now, underway, effects);
        }
        underway.step = Step::Inspecting(places);
        let order = |ticket| ProcessOrder::Inspect { ticket, queries };
        underway.ticket = self.desk.counters.ticket();
        self.desk.turn(now, effects).process(order(underway.ticket));
        self.expect_policy(underway);
    }

    /// The policies that a complete delivery forgets with its last unit.
    fn gone(&self, source: &str, unit: &[PolicyFile]) -> Vec<PolicyKey> {
        let Some(delivery) = self.policies.deliveries.front().filter(|delivery| delivery.units.is_empty()) else {
            return Vec::new();
        };
        let is_here = |name: &str| {
            unit.iter().any(|file| file.name == name) || delivery.lines.iter().any(|line| line.name == name)
        };
        self.policies.records.others(source, is_here)
    }

    /// Takes one policy into the unit; else what is told of it, and why.
    fn judge(
        &mut self,
        now: Now,
        source: &str,
        file: PolicyFile,
        underway: &mut Underway,
    ) -> Result<(), (PolicyLine, Refusal)> {
        let key = PolicyKey { name: file.name, source: source.to_string() };
        let mut line = PolicyLine::new(&key, now.wall.to_rfc3339());
        let refused = |line: &PolicyLine, why: String, fix: &str, findings: Findings| {
            let what = format!("The policy {} was refused; nothing was changed.", line.name);
            (line.clone(), Refusal { status: 400, explanation: Explanation::new(what, why, fix), findings })
        };
        let content = match file.content {
            Ok(content) => content,
            Err(why) => return Err(refused(&line, why, "Make it a file that the agent may read.", Findings::new())),
        };
        line.sha256.clone_from(&content.sha256);
        if let Some(applied) = self.policies.records.applied(&key).filter(|applied| applied.sha256 == content.sha256) {
            line.policy_type.clone_from(&applied.policy_type);
            line.time.clone_from(&applied.time);
            line.result = PolicyResult::Unchanged;
            underway.idle.push(line);
            return Ok(());
        }
        if !self.policies.records.has_room(&key) {
            let why = format!("{POLICIES} policies are known, which is the most there may be.");
            return Err(refused(&line, why, "Take some away.", Findings::new()));
        }
        if let Some(explanation) = refusal(&key.name, &content, &self.desk.settings, now.wall) {
            return Err((line, Refusal { status: 403, explanation, findings: Findings::new() }));
        }
        let (policy, findings) = match parse(&content.document, self.desk.surroundings.here) {
            Ok(parsed) => parsed,
            Err(findings) => {
                line.findings.clone_from(&findings);
                return Err(refused(&line, told(&findings), "Mend what the findings name.", findings));
            }
        };
        line.findings = findings;
        match policy {
            Policy::Idle { policy_type, why } => {
                (line.policy_type, line.why, line.result) = (policy_type, Some(why), PolicyResult::Idle);
                underway.forget.extend(self.policies.records.applied(&key).map(|applied| applied.key.clone()));
                underway.idle.push(line);
            }
            Policy::Configuration(policy) => {
                line.policy_type = policy.policy_type.to_string();
                match underway.plan.add(&policy, &Present(self)) {
                    Ok(step) => {
                        line.changes = step.changes;
                        underway.ready.push(Ready { policy, line, layer: step.layer });
                    }
                    Err(finding) => {
                        line.findings.push(finding.clone());
                        let findings = Vec::from([finding]);
                        return Err(refused(&line, told(&findings), "Mend what the findings name.", findings));
                    }
                }
            }
        }
        Ok(())
    }

    pub(super) fn on_policy_binaries(&mut self, now: Now, facts: &[ExecutableFacts], effects: &mut Effects) {
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
        let mut lines: Vec<PolicyLine> = underway.ready.into_iter().map(|ready| ready.line).collect();
        let item = Item::new(DefinitionKind::Job, id.as_str()).to_string();
        let place = lines.iter().rposition(|line| line.changes.iter().any(|change| change.starts_with(&item)));
        let mut line = lines.remove(place.unwrap_or_default());
        line.findings.clone_from(&findings);
        let what = format!("The policy {} was refused; nothing was changed.", line.name);
        let explanation = Explanation::new(what, told(&findings), "Mend what the findings name.");
        self.refuse_unit(now, line, lines, Refusal { status: 400, explanation, findings }, effects);
    }

    /// Plans once more, as others may have changed something since, and orders what the plan changes.
    fn write_unit(&mut self, now: Now, mut underway: Underway, effects: &mut Effects) {
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
            self.policies.deliveries.front_mut().map_or((), |delivery| delivery.lines.extend(lines));
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
        underway.ticket = self.desk.counters.ticket();
        let order = StoreOrder::ChangeDefinitions { ticket: underway.ticket, changes, writer, at: now.wall };
        self.desk.turn(now, effects).store(order);
        self.expect_policy(underway);
    }

    pub(super) fn on_policy_written(
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
                    self.load_file(now, &DefinitionFile { kind: item.kind, stem, content }, effects);
                }
            }
        }
        self.reload_for_unit(now, underway, effects);
    }

    fn reload_for_unit(&mut self, now: Now, mut underway: Underway, effects: &mut Effects) {
        if !underway.plan.reload {
            return self.keep_unit(now, underway, effects);
        }
        underway.step = Step::Reloading;
        underway.ticket = self.desk.counters.ticket();
        self.desk.turn(now, effects).store(StoreOrder::ReadDefinitions { ticket: underway.ticket });
        self.expect_policy(underway);
    }

    pub(super) fn on_policy_reloaded(&mut self, now: Now, files: Vec<DefinitionFile>, effects: &mut Effects) {
        let Some(underway) = self.policies.underway.take() else { return self.continue_policies(now, effects) };
        self.load(now, files, effects);
        self.keep_unit(now, underway, effects);
    }

    fn keep_unit(&mut self, now: Now, mut underway: Underway, effects: &mut Effects) {
        let changes = underway.record();
        if changes.is_empty() {
            return self.finish_unit(now, underway, effects);
        }
        underway.step = Step::Keeping;
        underway.ticket = self.desk.counters.ticket();
        self.desk.turn(now, effects).store(StoreOrder::KeepPolicies { ticket: underway.ticket, changes });
        self.expect_policy(underway);
    }

    pub(super) fn on_policies_kept(&mut self, now: Now, result: Result<(), String>, effects: &mut Effects) {
        let Some(underway) = self.policies.underway.take() else { return self.continue_policies(now, effects) };
        match result {
            Ok(()) => self.finish_unit(now, underway, effects),
            Err(why) => {
                let what = "It could not be put on record, so it is applied again at the next start or reload.";
                self.fail_unit(now, underway, 500, what, &why, effects);
            }
        }
    }

    fn finish_unit(&mut self, now: Now, underway: Underway, effects: &mut Effects) {
        self.policies.records.apply(underway.record());
        self.put_layers_in_force();
        let lines = underway.ready.into_iter().map(|ready| ready.line).chain(underway.idle);
        for line in lines {
            self.note_policy(now, line, effects);
        }
        self.continue_policies(now, effects);
    }

    /// A unit that came as far as an order, which failed.
    fn fail_unit(
        &mut self,
        now: Now,
        underway: Underway,
        status: u16,
        what: &str,
        why: &str,
        effects: &mut Effects,
    ) {
        let mut lines: Vec<PolicyLine> = underway.ready.into_iter().map(|ready| ready.line).collect();
        lines.extend(underway.idle);
        let explanation = Explanation::new(what, why, "POST /api/policies/reload, or apply it again.");
        let refusal = Refusal { status, explanation, findings: Findings::new() };
        if lines.is_empty() {
            let message = format!("Policies that are gone could not be forgotten. {}", refusal.explanation);
            self.desk.turn(now, effects).log(Level::Error, "PolicyRefused", message);
            return self.continue_policies(now, effects);
        }
        let line = lines.remove(0);
        self.refuse_unit(now, line, lines, refusal, effects);
    }

    /// One policy is refused, and with it the others of its unit.
    fn refuse_unit(
        &mut self,
        now: Now,
        line: PolicyLine,
        others: Vec<PolicyLine>,
        refusal: Refusal,
        effects: &mut Effects,
    ) {
        let why = format!("{} {} {}", refusal.explanation.what, refusal.explanation.why, refusal.explanation.fix);
        for other in others.into_iter().filter(|other| other.result == PolicyResult::Applied) {
            let why = Some(format!("The policy {} of the same delivery was refused.", line.name));
            self.note_policy(now, PolicyLine { result: PolicyResult::Refused, changes: Vec::new(), why, ..other }, effects);
        }
        let line = PolicyLine { result: PolicyResult::Refused, changes: Vec::new(), why: Some(why), ..line };
        self.note_policy(now, line, effects);
        if let Some(delivery) = self.policies.deliveries.front_mut() {
            delivery.refused = Some(refusal);
        }
        self.continue_policies(now, effects);
    }

    /// Says what became of a policy: to the log, on the broker, in the list; and to whoever asked.
    fn note_policy(&mut self, now: Now, line: PolicyLine, effects: &mut Effects) {
        let is_dry_run = self.policies.deliveries.front().is_some_and(|delivery| delivery.is_dry_run);
        if let Some(delivery) = self.policies.deliveries.front_mut() {
            delivery.lines.push(line.clone());
        }
        if is_dry_run {
            return;
        }
        let mut turn = self.desk.turn(now, effects);
        match line.result {
            PolicyResult::Applied => {
                let done = if line.changes.is_empty() { String::from("nothing to change") } else { line.changes.join(", ") };
                let message = format!("The policy {} of {} was applied: {done}.", line.name, line.source);
                turn.log(Level::Information, "PolicyApplied", message);
            }
            PolicyResult::Refused => {
                let why = line.why.as_deref().unwrap_or_default();
                turn.log(Level::Error, "PolicyRefused", format!("The policy {} of {}: {why}", line.name, line.source));
            }
            PolicyResult::Idle => {
                let why = line.why.as_deref().unwrap_or_default();
                turn.log(Level::Debug, "PolicyIdle", format!("The policy {} of {}: {why}", line.name, line.source));
            }
            PolicyResult::Unchanged | PolicyResult::Valid => {
                return self.policies.records.note_unchanged(&line.key());
            }
        }
        if line.result != PolicyResult::Idle {
            let event = serde_json::json!({ "eventName": format!("ConfigurationPolicy{:?}", line.result), "context": line });
            let (topic, payload) = (TOPIC.to_string(), event.to_string().into_bytes());
            turn.broker(BrokerOrder::Publish { topic, payload, qos: QOS, retain: false });
        }
        self.policies.records.note(line);
    }

    fn settle_delivery(&mut self, now: Now, effects: &mut Effects) {
        let Some(delivery) = self.policies.deliveries.pop_front() else { return };
        match delivery.asker {
            Asker::Nobody => {}
            Asker::Bundle => {
                let result = delivery.refused.as_ref().map_or(Ok(()), |refusal| Err(&refusal.explanation));
                self.on_bundle_settled(now, &delivery.source, result, effects);
            }
            Asker::Document(_) | Asker::Folder(_) => self.answer_about_policies(delivery, effects),
        }
    }

    fn put_layers_in_force(&mut self) {
        let layers = self.policies.records.layers().map(|(policy, layer)| PolicySettings {
            plugin: layer.plugin.clone(),
            values: layer.values.clone(),
            writer: format!("policy:{}", policy.key.name),
            time: policy.time.clone(),
        });
        self.desk.plugin_settings.set_policies(layers.collect());
    }

    fn expect_policy(&mut self, underway: Underway) {
        self.expect_answer(underway.ticket, Pending::Policies);
        self.policies.underway = Some(underway);
    }

    /// The answer that a unit waits for will not come.
    pub(super) fn give_up_policy(&mut self, now: Now, why: &str, effects: &mut Effects) {
        let Some(underway) = self.policies.underway.take() else { return };
        self.fail_unit(now, underway, 503, "The agent has too much to do.", why, effects);
    }
}

impl Underway {
    /// What is kept of it.
    fn record(&self) -> Vec<PolicyChange> {
        let forget = self.forget.iter().cloned().map(PolicyChange::Forget);
        let keep = self.ready.iter().map(|Ready { line, layer, .. }| {
            PolicyChange::Keep(AppliedPolicy {
                key: line.key(),
                policy_type: line.policy_type.clone(),
                sha256: line.sha256.clone(),
                time: line.time.clone(),
                layer: layer.clone(),
            })
        });
        forget.chain(keep).collect()
    }
}

impl Delivery {
    /// Units of a source that are all that it has.
    pub(super) fn new(source: &str, units: Vec<Vec<PolicyFile>>, asker: Asker) -> Self {
        Self {
            source: source.to_string(),
            units: units.into(),
            is_complete: true,
            is_dry_run: false,
            asker,
            lines: Vec::new(),
            refused: None,
        }
    }
}

/// The errors in a sentence.
fn told(findings: &[Finding]) -> String {
    let errors = findings.iter().filter(|found| found.severity == crate::job::finding::Severity::Error);
    let errors: Vec<String> = errors.map(|found| format!("at {}: {}", found.path, found.message)).collect();
    let more = errors.len().saturating_sub(1);
    let first = errors.into_iter().next().unwrap_or_default();
    if more == 0 { first } else { format!("{first} ({more} more)") }
}
