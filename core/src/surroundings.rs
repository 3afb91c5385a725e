//! What the agent knows about its machine and itself: read once by the shell, passed in as values.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::certificate::AdminCertificate;
use crate::event::Endpoints;
use crate::job::OperatingSystem;
use crate::resources::KeptLimits;
use crate::time::Now;

/// Environment variables of the agent that Service tasks and plugins inherit (contract section 3).
pub const INHERITED_VARIABLES: [&str; 5] = ["PATH", "LANG", "TZ", "HOME", "TMPDIR"];

/// The search path where the agent itself was given none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The machine and the agent's place on it.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The agent root, absolute, without a trailing slash.
    pub agent_root: String,
    /// The plugin folder, absolute, without a trailing slash.
    pub plugin_root: String,
    /// The operating system.
    pub here: OperatingSystem,
    /// Which start of this agent root this is; run ids begin with it.
    pub boot: u64,
    /// When the agent started.
    pub started: Now,
    /// Name of the machine, as policies compare it.
    pub host_name: String,
    /// The agent's version.
    pub version: String,
    /// Values of [`INHERITED_VARIABLES`] that are set.
    pub environment: Vec<(String, String)>,
    /// IANA name of the machine's time zone; schedules without their own are in it.
    pub time_zone: String,
    /// Effective user id of the agent.
    pub uid: u32,
    /// Name of that user, as `{Plugin}_{user}_{pid}` carries it.
    pub user_name: String,
    /// `{hasdesktop}`: whether a desktop session is active.
    pub has_desktop: bool,
    /// Path variables: `rootdir home tmp etc var usr bin userdesktop documents`, by lower-case name.
    pub path_variables: BTreeMap<String, String>,
    /// The admin certificates on disk at the start.
    pub admin_certificates: Vec<AdminCertificate>,
    /// Which `limits` of tasks and plugins the kernel keeps here.
    pub kept_limits: KeptLimits,
    /// The ports in force, once the listeners are open.
    pub endpoints: Option<Endpoints>,
}

impl Surroundings {
    /// `{KeeperApiBaseUrl}`: the base URL of the HTTPS API; empty until the listeners are open.
    pub fn api_base_url(&self) -> String {
        self.endpoints.map_or_else(String::new, |endpoints| format!("https://127.0.0.1:{}", endpoints.https))
    }

    /// `PATH` of the agent.
    pub fn path(&self) -> &str {
        self.environment.iter().find(|(name, _)| name == "PATH").map_or(DEFAULT_PATH, |(_, value)| value)
    }

    /// The environment every child starts from: what is inherited, and a `PATH` in any case.
    pub fn base_environment(&self) -> BTreeMap<String, String> {
        let mut environment = BTreeMap::from([("PATH".to_string(), DEFAULT_PATH.to_string())]);
        environment.extend(self.environment.iter().cloned());
        environment
    }
}

/// The folders of a search path, absolute ones only.
pub(crate) fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.split(':').filter(|folder| folder.starts_with('/'))
}
