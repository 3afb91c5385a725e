//! What several policies together change, planned one after the other over what is in service.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Action, Configuration, PolicyLayer, Privileges};
use crate::event::DefinitionKind;
use crate::job::JobDefinition;
use crate::job::finding::{Finding, Severity};
use crate::limits::DEFINITIONS;
use crate::lkg::{DefinitionChange, Document, Item};
use crate::plugin::PluginDefinition;
use crate::policy::envelope::Status;

/// How things stand with a definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is none.
    Absent,
    /// There is a file, which is out of service.
    OutOfService,
    /// Somebody is changing it right now.
    Changing,
    /// It is in service.
    InService(Document),
}

/// What a plan rests on.
pub(crate) trait InService {
    /// How things stand with a definition.
    fn standing(&self, item: &Item) -> Standing;
    /// How many jobs are in service.
    fn jobs(&self) -> usize;
    /// Whether this value of a plugin's setting is what stands in place of a secret.
    fn is_masked(&self, plugin: &str, key: &str, value: &str) -> bool;
}

/// A definition in the place that it will have.
#[derive(Debug, Clone)]
pub(crate) enum Planned {
    /// A job that is written.
    Job(JobDefinition),
    /// A plugin whose file is written.
    Plugin(PluginDefinition),
    /// It is removed.
    Removed,
}

/// What several policies change, the later ones over the former.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    /// By item.
    pub(crate) definitions: BTreeMap<Item, Planned>,
    /// Whether all definitions are read again at the end.
    pub(crate) reload: bool,
}

/// What one policy adds to a plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Step {
    /// What it changes, a phrase for each; none where everything is as it wants it already.
    pub(crate) changes: Vec<String>,
    /// The settings that it sets.
    pub(crate) layer: Option<PolicyLayer>,
}

impl Plan {
    /// Takes a policy into the plan.
    ///
    /// # Errors
    /// What the API would refuse, as a finding; the plan is as before then.
    pub(crate) fn add(&mut self, policy: &Configuration, present: &impl InService) -> Result<Step, Finding> {
        match &policy.action {
            Action::AddJob(job) => {
                let item = Item::new(DefinitionKind::Job, job.id.as_str());
                match self.standing(&item, present)? {
                    Standing::InService(document) if document == job.document => return Ok(Step::default()),
                    Standing::Absent if self.jobs(present) >= DEFINITIONS => {
                        let message =
                            format!("{DEFINITIONS} jobs are in service, the most there may be; delete one first.");
                        return Err(refused("/Extension/Action", "too-many-definitions", message));
                    }
                    Standing::Absent => {}
                    Standing::InService(_) | Standing::OutOfService | Standing::Changing => {
                        let message = format!("the job '{}' exists; use \"Action\": \"Update\" to replace it.", job.id);
                        return Err(refused("/Extension/Action", "job-exists", message));
                    }
                }
                Ok(self.put(item, Planned::Job(job.clone()), "added"))
            }
            Action::UpdateJob(job) => {
                let item = Item::new(DefinitionKind::Job, job.id.as_str());
                match self.standing(&item, present)? {
                    Standing::InService(document) if document == job.document => return Ok(Step::default()),
                    Standing::Absent => {
                        let message = format!("there is no job '{}'; use \"Action\": \"Add\" to make it.", job.id);
                        return Err(refused("/Extension/Action", "job-missing", message));
                    }
                    Standing::InService(_) | Standing::OutOfService | Standing::Changing => {}
                }
                Ok(self.put(item, Planned::Job(job.clone()), "replaced"))
            }
            Action::DeleteJob(id) => {
                let item = Item::new(DefinitionKind::Job, id.as_str());
                Ok(match self.standing(&item, present)? {
                    Standing::Absent => Step::default(),
                    Standing::InService(_) | Standing::OutOfService | Standing::Changing => {
                        self.put(item, Planned::Removed, "deleted")
                    }
                })
            }
            Action::ReplacePlugin(plugin) => {
                let item = Item::new(DefinitionKind::Plugin, plugin.id.as_str());
                match self.standing(&item, present)? {
                    Standing::InService(document) if document == plugin.document => return Ok(Step::default()),
                    Standing::Absent => return Err(no_plugin("/Extension/PluginId", plugin.id.as_str())),
                    Standing::InService(_) | Standing::OutOfService | Standing::Changing => {}
                }
                Ok(self.put(item, Planned::Plugin(plugin.clone()), "replaced"))
            }
            Action::SetSettings(plugin, values) => {
                match self.standing(&Item::new(DefinitionKind::Plugin, plugin.as_str()), present)? {
                    Standing::InService(_) => {}
                    Standing::Absent | Standing::OutOfService | Standing::Changing => {
                        return Err(no_plugin("/Extension/PluginId", plugin.as_str()));
                    }
                }
                let masked = values.iter().find(|(key, value)| present.is_masked(plugin.as_str(), key, value));
                if let Some((key, _)) = masked {
                    let message = format!("the value of '{key}' is what stands in place of a secret; give the secret.");
                    return Err(refused("/Extension/Settings", "setting-masked", message));
                }
                let layer = PolicyLayer { plugin: plugin.to_string(), values: values.clone() };
                let changes = values.keys().map(|key| format!("{plugin}:{key} set")).collect();
                Ok(Step { changes, layer: Some(layer) })
            }
            Action::Decide(privileges) => Ok(Step { changes: Vec::from([decides(privileges)]), layer: None }),
            Action::Reload => {
                self.reload = true;
                Ok(Step { changes: Vec::from([String::from("definitions read again")]), layer: None })
            }
        }
    }

    /// What is to be written.
    pub(crate) fn changes(&self) -> Vec<DefinitionChange> {
        let change = |(item, planned): (&Item, &Planned)| DefinitionChange {
            item: item.clone(),
            document: match planned {
                Planned::Job(job) => Some(job.document.clone()),
                Planned::Plugin(plugin) => Some(plugin.document.clone()),
                Planned::Removed => None,
            },
        };
        self.definitions.iter().map(change).collect()
    }

    /// The jobs that are written.
    pub(crate) fn jobs_written(&self) -> impl Iterator<Item = &JobDefinition> {
        self.definitions.values().filter_map(|planned| match planned {
            Planned::Job(job) => Some(job),
            Planned::Plugin(_) | Planned::Removed => None,
        })
    }

    /// The plugins whose files are written.
    pub(crate) fn plugins_written(&self) -> impl Iterator<Item = &PluginDefinition> + Clone {
        self.definitions.values().filter_map(|planned| match planned {
            Planned::Plugin(plugin) => Some(plugin),
            Planned::Job(_) | Planned::Removed => None,
        })
    }

    /// How things will stand once the plan so far is carried out.
    fn standing(&self, item: &Item, present: &impl InService) -> Result<Standing, Finding> {
        Ok(match self.definitions.get(item) {
            Some(Planned::Job(job)) => Standing::InService(job.document.clone()),
            Some(Planned::Plugin(plugin)) => Standing::InService(plugin.document.clone()),
            Some(Planned::Removed) => Standing::Absent,
            None => match present.standing(item) {
                Standing::Changing => {
                    let message =
                        format!("{item} is being changed by somebody else right now; apply the policy again.");
                    return Err(refused("/Extension", "busy", message));
                }
                standing @ (Standing::Absent | Standing::OutOfService | Standing::InService(_)) => standing,
            },
        })
    }

    fn jobs(&self, present: &impl InService) -> usize {
        present.jobs().saturating_add(self.jobs_written().count())
    }

    fn put(&mut self, item: Item, planned: Planned, done: &str) -> Step {
        let changes = Vec::from([format!("{item} {done}")]);
        self.definitions.insert(item, planned);
        Step { changes, layer: None }
    }
}

fn no_plugin(path: &str, id: &str) -> Finding {
    let message =
        format!("no plugin '{id}' is in service; install it first: a policy changes plugins, and makes none.");
    refused(path, "plugin-missing", message)
}

/// What a policy about privileges does, as a phrase.
fn decides(Privileges { status, controls }: &Privileges) -> String {
    match status {
        Status::Off => String::from("decides nothing: its Status is off"),
        Status::Monitor | Status::MonitorAndNotify => {
            format!("audits, and decides nothing: its Status is {}", status.as_str())
        }
        Status::Enforce if controls.is_empty() => String::from("decides nothing: it has no controls"),
        Status::Enforce => format!("decides: {}", controls.join(" ")),
    }
}

fn refused(path: &str, code: &'static str, message: String) -> Finding {
    Finding { path: String::from(path), code, message, severity: Severity::Error }
}
