//! The leave to launch a program, as a value: made where nothing is outstanding, used up by the one launch that it allows.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::control::Controls;
use super::{Asked, CallerId, Substitute};
use crate::effect::{Owner, ProgramQuery, SpawnRequest, Stdio};
use crate::event::{ExecutableFacts, FileIdentity};
use crate::id::{ElevationId, SpawnId};
use crate::program;
use crate::resources::ResourceLimits;
use crate::user::{RunAs, UserQuery};
use serde::{Deserialize, Serialize};

/// Nothing is outstanding. There is no other way to a [`Launch`].
#[derive(Debug)]
pub(super) struct Authorization(());

/// The one process that an authorization led to.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) spawn: SpawnId,
    /// The account that it runs as, where that is not root.
    pub(super) account: Option<String>,
    _authorization: Authorization,
}

/// The file that was asked for, as it was when policies judged it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Program {
    /// Its path as it was found.
    pub(crate) path: String,
    /// The same without links.
    pub(crate) resolved: String,
    /// Which file it is, then those that its `#!` line leads to.
    identities: Vec<FileIdentity>,
}

impl Authorization {
    /// Nothing is outstanding, or there is none.
    pub(super) fn of(controls: &Controls) -> Option<Self> {
        controls.outstanding().is_empty().then_some(Self(()))
    }

    /// Used up by a launch.
    pub(super) fn launch(self, spawn: SpawnId, account: Option<&str>) -> Launch {
        Launch { spawn, account: account.map(ToString::to_string), _authorization: self }
    }
}

impl Launch {
    /// The process to make, with what its caller handed over.
    pub(super) fn request(&self, id: &ElevationId, caller: CallerId, program: &Program, asked: &Asked) -> SpawnRequest {
        SpawnRequest {
            environment: kept(&asked.environment),
            stdio: Stdio::Caller { caller, terminal: asked.terminal },
            ..self.of(id, program, asked.words.iter().skip(1).cloned().collect())
        }
    }

    /// The process of what is run instead: nothing in it is its caller's but what the rule leaves to him.
    pub(super) fn of_substitute(&self, id: &ElevationId, substitute: &Substitute) -> SpawnRequest {
        self.of(id, &substitute.program, substitute.arguments.clone())
    }

    /// A process with nothing of anybody's. No other place of the core asks for one of a request.
    fn of(&self, id: &ElevationId, program: &Program, arguments: Vec<String>) -> SpawnRequest {
        SpawnRequest {
            spawn: self.spawn,
            owner: Owner::Elevation(id.clone()),
            program: ProgramQuery { candidates: Vec::from([program.path.clone()]), ..ProgramQuery::default() },
            arguments,
            environment: Vec::new(),
            working_directory: None,
            user: self.user(),
            stdio: Stdio::Captured,
            limits: ResourceLimits::default(),
        }
    }

    /// Whose account to look for.
    fn user(&self) -> Option<UserQuery> {
        let account = Some(self.account.clone()?);
        Some(UserQuery { run_as: RunAs::UserElevated, session_user: None, session: None, account })
    }
}

impl Program {
    /// What was found for a request, where it may be executed.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn fit(facts: &ExecutableFacts) -> Result<Self, String> {
        // Who asks did not deploy it, and is not to change its mode.
        if !facts.exists {
            return Err(format!("'{}' does not exist.", facts.path));
        }
        if !facts.executable {
            return Err(format!("'{}' is no regular file that may be executed.", facts.path));
        }
        program::by_file(facts).map_err(|unfit| unfit.why)?;
        Self::of(facts).ok_or_else(|| format!("'{}' is no regular file.", facts.path))
    }

    /// The file that facts are about; `None` where it is no regular file.
    pub(super) fn of(facts: &ExecutableFacts) -> Option<Self> {
        let mut identities = Vec::new();
        let mut next = Some(facts);
        while let Some(file) = next {
            identities.push(file.identity?);
            next = file.hash_bang.as_deref();
        }
        Some(Self { path: facts.path.clone(), resolved: facts.resolved.clone(), identities })
    }
}

/// The variables of a caller that a program of root's may have: none that names a file or formats a text (as `env_check` of sudo).
fn kept(environment: &[(String, String)]) -> Vec<(String, String)> {
    let is_known = |name: &str| matches!(name, "TERM" | "COLORTERM" | "LANG") || name.starts_with("LC_");
    let is_plain = |value: &str| !value.contains(['/', '%']) && value.chars().all(|letter| letter.is_ascii_graphic());
    let kept = environment.iter().filter(|(name, value)| is_known(name) && is_plain(value));
    kept.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}
