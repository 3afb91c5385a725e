//! From a plugin definition to the process that carries it out.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Supervisor;
use crate::effect::{Owner, ProgramQuery, SpawnRequest, Stdio};
use crate::id::{Component, SpawnId};
use crate::job::substitution::substitute;
use crate::plugin::PluginDefinition;
use crate::surroundings::Surroundings;
use crate::turn::Turn;

impl Supervisor {
    /// The process to make.
    pub(super) fn request(&self, spawn: SpawnId, turn: &Turn<'_>) -> Result<SpawnRequest, String> {
        let surroundings = turn.surroundings;
        let lookup = |name: &str| match name.to_ascii_lowercase().as_str() {
            "keeperapibaseurl" => Some(surroundings.api_base_url()),
            "pluginroot" => Some(surroundings.plugin_root.clone()),
            lower => surroundings.path_variables.get(lower).cloned(),
        };
        let lookup = |name: &str| lookup(name).map(|text| Cow::Owned(text.into()));
        let mut arguments = Vec::with_capacity(self.definition.arguments.len());
        for argument in &self.definition.arguments {
            arguments.push(substitute(argument, &lookup).map_err(|error| error.to_string())?.text);
        }
        let run_as = self.run_as();
        Ok(SpawnRequest {
            spawn,
            owner: Owner::Component(Component::Plugin(self.definition.id.clone())),
            program: query(&self.definition, surroundings, turn.signers),
            arguments,
            // A user's program gets its variables when it is known who that is.
            environment: run_as
                .map_or_else(|| surroundings.base_environment(), |_| BTreeMap::new())
                .into_iter()
                .collect(),
            working_directory: None,
            user: run_as.map(|run_as| turn.user_query(run_as, self.place.as_ref().map(|place| place.key.clone()))),
            stdio: Stdio::Captured,
            limits: self.definition.limits,
        })
    }
}

/// What to look for to carry out a plugin, signed by one of these where there are any.
pub(crate) fn query(plugin: &PluginDefinition, surroundings: &Surroundings, signers: &[String]) -> ProgramQuery {
    let path = &plugin.executable_path;
    let candidates = if path.starts_with('/') {
        Vec::from([path.clone()])
    } else {
        roots(surroundings).iter().map(|root| format!("{root}/{path}")).collect()
    };
    ProgramQuery { candidates, roots: roots(surroundings), interpreters: Vec::new(), signers: signers.to_vec() }
}

/// What a plugin's file may be below of; no link leads out of the one that it is in.
fn roots(surroundings: &Surroundings) -> Vec<String> {
    Vec::from([surroundings.agent_root.clone(), surroundings.plugin_root.clone()])
}
