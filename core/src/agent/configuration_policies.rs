//! Configuration policies are applied: one delivery after the other, in it one unit after the other, all of a unit or nothing.
//!
//! ```text
//! step        ordered             then
//! ----------  ------------------  ------------------------------------------------------------
//! (planned)                       refused, unchanged or idle: the next unit
//! Inspecting  Inspect             the programs of its jobs and plugins may be run: planned again, as time has passed
//! Writing     ChangeDefinitions   in service
//! Reloading   ReadDefinitions     in service (UpdateSettings)
//! Keeping     KeepPolicies        on record, its settings in force, published: the next unit
//! ```
//! A policy file is a unit of its own; a bundle is one unit. Where the agent dies between two steps, the policy is not on record, so the
//! next start applies it again; what it had written by then is as it wants it.

mod judging;
mod telling;
mod unit;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use crate::configuration_policy::plan::{InService, Plan, Standing};
use crate::configuration_policy::record::{PolicyLine, Records};
use crate::configuration_policy::{
    AppliedPolicy, Configuration, PolicyChange, PolicyFile, PolicyKey, PolicyLayer, PolicySigner,
};
use crate::effect::{Effects, ProcessOrder};
use crate::event::DefinitionKind;
use crate::fleet::{KeptBundle, Offer};
use crate::id::{JobId, PluginId, RequestId};
use crate::job::finding::Findings;
use crate::limits::POLICY_DELIVERIES;
use crate::lkg::{Document, Item};
use crate::run::secret::MASK;
use crate::time::Now;
use crate::why::Explanation;

/// What is known of policies, and what is being done with them.
#[derive(Debug, Default)]
pub(super) struct Policies {
    records: Records,
    deliveries: VecDeque<Delivery>,
    underway: Option<Underway>,
    /// Whether [`Agent::continue_policies`] runs: a unit that needs no answer goes back to its loop, instead of beginning the next one
    /// within itself, so that a thousand units need no more of the stack than one.
    is_continuing: bool,
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
    /// The administrator that brought it; what is in the folder or in a bundle is nobody's.
    pub(super) by: Option<String>,
    /// What became of its policies so far.
    pub(super) lines: Vec<PolicyLine>,
    /// Why the last unit was refused.
    pub(super) refused: Option<Refusal>,
    /// Who signed it as a whole.
    pub(super) signer: Option<PolicySigner>,
    /// What goes on record together with its policies.
    pub(super) bundle: Option<KeptBundle>,
    /// Policies of any source to be forgotten.
    pub(super) forget: Vec<PolicyKey>,
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
    /// Who wants policies forgotten.
    Removal(RequestId),
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
    step: Step,
    ready: Vec<Ready>,
    idle: Vec<PolicyLine>,
    /// Applied before, and signed by somebody else since.
    signed_anew: Vec<AppliedPolicy>,
    forget: Vec<PolicyKey>,
    bundle: Option<KeptBundle>,
    plan: Plan,
}

#[derive(Debug)]
enum Step {
    /// Whose programs are looked at.
    Inspecting(Vec<(Item, Program)>),
    Writing,
    Reloading,
    Keeping,
}

/// Which program of a definition.
#[derive(Debug, Clone, Copy)]
enum Program {
    /// That of a job's task.
    Task(usize),
    /// The plugin's own.
    Plugin,
}

/// A policy that is sound so far.
#[derive(Debug)]
struct Ready {
    policy: Box<Configuration>,
    line: PolicyLine,
    layer: Option<PolicyLayer>,
    signer: Option<PolicySigner>,
    /// What is kept for KeeperPolicy.
    document: Option<Document>,
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
    /// Applies a bundle: all of its policies or none, in the order of their names, each once per content. They are all that the
    /// source has: what it had before and has not any more is forgotten, and the settings that it set end. A bundle whose signature
    /// was verified as a whole has no signatures in its files. What came of it is told to `on_bundle_settled`, once it is on disk.
    ///
    /// # Errors
    /// Too many deliveries wait; nothing happens then.
    pub fn apply_policies(
        &mut self,
        now: Now,
        source: &str,
        offer: Offer,
        effects: &mut Effects,
    ) -> Result<(), Explanation> {
        let Offer { mut policies, signer, keep: bundle } = offer;
        policies.sort_by(|left, right| left.name.cmp(&right.name));
        let delivery = Delivery::new(source, Vec::from([policies]), Asker::Bundle);
        self.deliver(now, Delivery { signer, bundle, ..delivery }, effects)
    }

    /// What was applied in former lives counts from the start, unless its signer counts no more.
    pub(super) fn recall_policies(&mut self, now: Now, applied: Vec<AppliedPolicy>, effects: &mut Effects) {
        self.policies.records = Records::new(applied);
        self.put_layers_in_force();
        self.tell_distrust(now, effects);
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

    /// The policies of this name, from whatever source.
    pub(super) fn policies_named(&self, name: &str) -> Vec<PolicyKey> {
        self.policies.records.lines().map(PolicyLine::key).filter(|key| key.name == name).collect()
    }

    /// The administrator that brought what is being applied, where one did.
    pub(super) fn deliverer(&self) -> Option<&str> {
        self.policies.deliveries.front()?.by.as_deref()
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
            Asker::Document(request) | Asker::Folder(request) | Asker::Removal(request) => Some(request),
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
            Some(plugin) => Standing::InService(plugin.definition().document.clone()),
            None if self.refused_plugins.contains_key(id) => Standing::OutOfService,
            None => Standing::Absent,
        }
    }

    /// Begins units for as long as none waits for an answer.
    fn continue_policies(&mut self, now: Now, effects: &mut Effects) {
        if core::mem::replace(&mut self.policies.is_continuing, true) {
            return;
        }
        while self.policies.underway.is_none() && !self.is_stopping() {
            let Some(delivery) = self.policies.deliveries.front_mut() else { break };
            match delivery.units.pop_front() {
                Some(unit) => self.begin_unit(now, unit, effects),
                None => self.settle_delivery(now, effects),
            }
        }
        self.policies.is_continuing = false;
    }

    fn begin_unit(&mut self, now: Now, unit: Vec<PolicyFile>, effects: &mut Effects) {
        let Some(delivery) = self.policies.deliveries.front_mut() else { return };
        let (source, signer, bundle) = (delivery.source.clone(), delivery.signer.clone(), delivery.bundle.take());
        let mut forget = delivery.forget.clone();
        if delivery.is_complete && !delivery.is_dry_run {
            forget.extend(self.gone(&source, &unit));
        }
        let mut underway = Underway {
            step: Step::Writing,
            ready: Vec::new(),
            idle: Vec::new(),
            signed_anew: Vec::new(),
            forget,
            bundle,
            plan: Plan::default(),
        };
        for file in unit {
            if let Err(refused) = self.judge_policy(now, &source, signer.clone(), file, &mut underway) {
                let (line, refusal) = *refused;
                let lines = underway.ready.into_iter().map(|ready| ready.line).collect();
                return self.refuse_unit(now, line, lines, refusal, effects);
            }
        }
        let programs = self.programs_of(&underway.plan);
        if programs.is_empty() {
            return self.write_unit(now, underway, effects);
        }
        let (programs, queries) = programs.into_iter().unzip();
        underway.step = Step::Inspecting(programs);
        let ticket = self.desk.counters.ticket();
        self.desk.turn(now, effects).process(ProcessOrder::Inspect { ticket, queries });
        self.expect_policy(ticket, underway);
    }
}

impl Underway {
    /// What is kept of it.
    fn record(&self) -> Vec<PolicyChange> {
        let forget = self.forget.iter().cloned().map(PolicyChange::Forget);
        let anew = self.signed_anew.iter().cloned().map(PolicyChange::Keep);
        let keep = self.ready.iter().map(|Ready { line, layer, signer, document, .. }| {
            PolicyChange::Keep(AppliedPolicy {
                key: line.key(),
                policy_type: line.policy_type.clone(),
                sha256: line.sha256.clone(),
                time: line.time.clone(),
                layer: layer.clone(),
                signer: signer.clone(),
                document: document.clone(),
            })
        });
        forget.chain(anew).chain(keep).collect()
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
            by: None,
            lines: Vec::new(),
            refused: None,
            signer: None,
            bundle: None,
            forget: Vec::new(),
        }
    }
}
