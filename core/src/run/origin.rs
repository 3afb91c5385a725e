//! How runs come about: what triggered them, what led to them, and the values they were given.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::{Map, Value};

use super::context::Context;
use super::secret::Secrets;
use crate::id::{ElevationId, JobId};
use crate::job::JobDefinition;
use crate::time::WallTime;
use crate::trace::TraceContext;

/// A run that may start: its job and the values it was given.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) job: Arc<JobDefinition>,
    pub(crate) origin: Origin,
    pub(super) given: Map<String, Value>,
    pub(super) context: Context,
}

/// How a run came about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Origin {
    /// What started it, for people: `event Startup`, `schedule`, `api`.
    pub(crate) trigger: String,
    /// The instant of its schedule that it is for.
    pub(crate) due: Option<WallTime>,
    /// Which runs led to it.
    pub(crate) chain: Chain,
    /// The jobs whose conditions were false and that named this one as their alternate.
    pub(crate) lineage: Vec<JobId>,
}

/// What a run hands down to those that it starts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chain {
    /// How many events led from one run to the next before this one.
    pub(crate) depth: u32,
    /// What the former ones had to hide.
    pub(crate) secrets: Secrets,
    /// Where it hangs in a trace; `None` where it begins one, or where traces are not told.
    pub(crate) trace: Option<TraceContext>,
    /// The request for more privileges that they are there for. The agent alone says so, where it fires the first event.
    pub(crate) elevation: Option<ElevationId>,
}

impl Admitted {
    /// Checks the values against the job's parameters.
    pub(crate) fn new(job: Arc<JobDefinition>, origin: Origin, values: &Map<String, Value>) -> Result<Self, String> {
        let context = Context::new(values, &job.parameters).map_err(|invalid| invalid.message)?;
        Ok(Self { job, origin, given: values.clone(), context })
    }
}
