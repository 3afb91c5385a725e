//! From method and path to what is asked, with the tier it needs (contract section 2).

pub(crate) mod elevation;
pub(crate) mod lkg;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use percent_encoding::percent_decode_str;

use super::{Tier, operation};
use crate::id::{ElevationId, JobId, PluginId, RunId};
use crate::job::finding::quote;
use crate::plugin::settings::is_key;

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Resource {
    Health,
    Root,
    SystemStatus,
    Jobs,
    Validate,
    Reload,
    Job(JobId),
    Trigger(JobId),
    JobRuns(JobId),
    Runs,
    Run(RunId),
    CancelRun(RunId),
    Events,
    Plugins,
    Plugin(PluginId),
    PluginOutput(PluginId),
    PluginAction(PluginId, PluginAction),
    Settings(PluginId),
    Setting(PluginId, String),
    Revert(PluginId),
    RevertAll,
    Policies,
    PoliciesReload,
    /// By name.
    Policy(String),
    Denials,
    Certificates,
    /// One by its name, or by its SHA-256.
    Certificate(String),
    /// Users with an authenticator.
    Mfa,
    /// One by name.
    Enrolled(String),
    Lkg(lkg::Lkg),
    Elevation(elevation::Elevation),
    Grants,
    Grant(ElevationId),
    GrantsCleanup,
    Description,
    Metrics,
}

/// What can be done to a plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PluginAction {
    Start,
    Stop,
    Restart,
}

/// The methods the API knows; HEAD is GET without a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// As it is sent.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// Why there is no such thing to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RouteError {
    /// The path names nothing.
    NotFound,
    /// The path has an id that cannot be one.
    BadRequest(String),
    /// The path takes only these methods.
    MethodNotAllowed(String),
}

/// A target in its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    /// The authority of an absolute-form target (RFC 9112 3.2.2).
    pub(crate) authority: Option<String>,
}

impl Target {
    pub(crate) fn parse(text: &str) -> Self {
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let scheme = ["https://", "http://"].into_iter().find(|scheme| lower.starts_with(scheme));
        let rest = scheme.and_then(|scheme| text.get(scheme.len()..));
        let (authority, origin_form) = match rest {
            Some(rest) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
                (Some(authority.to_owned()), if path.is_empty() { "/" } else { path })
            }
            None => (None, text),
        };
        let (path, query) = origin_form.split_once('?').unwrap_or((origin_form, ""));
        let path = if path.is_empty() && authority.is_some() { "/" } else { path };
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self { path: path.to_owned(), query: query.collect(), authority }
    }

    /// The first value of a query parameter; its name is compared without regard to case.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether there is a query.
    pub(crate) const fn has_query(&self) -> bool {
        !self.query.is_empty()
    }

    /// A query parameter that is `true` or `false`, in any case; false where there is none.
    ///
    /// # Errors
    /// A sentence about any other value.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, String> {
        match self.parameter(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) => Err(format!("{name} is true or false; found {}.", quote(text))),
        }
    }
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Reads method and path.
pub(crate) fn route(method: &str, path: &str) -> Result<(Resource, Method), RouteError> {
    let resource = resource(path, method)?;
    let allowed = methods(&resource);
    let method = match method {
        "GET" | "HEAD" => Some(Method::Get),
        "POST" => Some(Method::Post),
        "PUT" => Some(Method::Put),
        "DELETE" => Some(Method::Delete),
        _ => None,
    };
    match method {
        Some(method) if allowed.contains(&method) => Ok((resource, method)),
        Some(_) | None => Err(RouteError::MethodNotAllowed(allow(&resource, &allowed))),
    }
}

fn resource(path: &str, method: &str) -> Result<Resource, RouteError> {
    let mut segments = Vec::new();
    for segment in path.strip_prefix('/').ok_or(RouteError::NotFound)?.split('/') {
        let decoded = percent_decode_str(segment).decode_utf8();
        let decoded = decoded.map_err(|_| RouteError::BadRequest(String::from("The path is not UTF-8.")))?;
        segments.push(decoded.into_owned());
    }
    let lower: Vec<String> = segments.iter().map(|segment| segment.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let raw = |index: usize| segments.get(index).map_or("", String::as_str);
    Ok(match lower.as_slice() {
        [""] => Resource::Root,
        ["health"] => Resource::Health,
        ["metrics"] => Resource::Metrics,
        ["openapi.json"] => Resource::Description,
        ["api", "system", "status"] => Resource::SystemStatus,
        ["api", "denials"] => Resource::Denials,
        ["api", "admin", "certificates"] => Resource::Certificates,
        ["api", "admin", "certificates", _] => Resource::Certificate(raw(3).to_string()),
        ["api", "mfa"] => Resource::Mfa,
        ["api", "mfa", _] => Resource::Enrolled(raw(2).to_string()),
        ["api", "lkg", rest @ ..] => Resource::Lkg(lkg::Lkg::parse(rest, raw(3))?),
        ["api", "elevation", rest @ ..] => Resource::Elevation(elevation::Elevation::parse(rest)?),
        ["api", "grants"] => Resource::Grants,
        ["api", "grants", "cleanup"] => Resource::GrantsCleanup,
        ["api", "grants", one] => Resource::Grant(elevation::id(one)?),
        ["api", "jobs"] => Resource::Jobs,
        ["api", "jobs", "validate"] if method == "POST" => Resource::Validate,
        ["api", "jobs", "reload"] if method == "POST" => Resource::Reload,
        ["api", "jobs", _] => Resource::Job(job(raw(2))?),
        ["api", "jobs", _, "trigger" | "run"] => Resource::Trigger(job(raw(2))?),
        ["api", "jobs", _, "runs"] => Resource::JobRuns(job(raw(2))?),
        ["api", "runs"] => Resource::Runs,
        ["api", "runs", _] => Resource::Run(run(raw(2))?),
        ["api", "runs", _, "cancel"] => Resource::CancelRun(run(raw(2))?),
        ["api", "events"] => Resource::Events,
        ["api", "plugins"] => Resource::Plugins,
        ["api", "plugins", _] => Resource::Plugin(plugin(raw(2))?),
        ["api", "plugins", _, "output"] => Resource::PluginOutput(plugin(raw(2))?),
        ["api", "plugins", _, "start"] => Resource::PluginAction(plugin(raw(2))?, PluginAction::Start),
        ["api", "plugins", _, "stop"] => Resource::PluginAction(plugin(raw(2))?, PluginAction::Stop),
        ["api", "plugins", _, "restart"] => Resource::PluginAction(plugin(raw(2))?, PluginAction::Restart),
        ["api", "policies"] => Resource::Policies,
        ["api", "policies", "reload"] if method == "POST" => Resource::PoliciesReload,
        ["api", "policies", _] => Resource::Policy(raw(2).to_string()),
        ["api", "pluginsettings", "revert-all"] if method == "POST" => Resource::RevertAll,
        ["api", "pluginsettings", _, "revert"] if method == "POST" => Resource::Revert(plugin(raw(2))?),
        ["api", "pluginsettings", _] => Resource::Settings(plugin(raw(2))?),
        ["api", "pluginsettings", _, _] => Resource::Setting(plugin(raw(2))?, setting(raw(3))?),
        _ => return Err(RouteError::NotFound),
    })
}

fn job(text: &str) -> Result<JobId, RouteError> {
    JobId::parse(text).map_err(|invalid| RouteError::BadRequest(format!("The job id in the path: {}", invalid.message)))
}

fn run(text: &str) -> Result<RunId, RouteError> {
    RunId::from_text(text).ok_or(RouteError::NotFound)
}

fn plugin(text: &str) -> Result<PluginId, RouteError> {
    PluginId::parse(text)
        .map_err(|invalid| RouteError::BadRequest(format!("The plugin id in the path: {}", invalid.message)))
}

fn setting(text: &str) -> Result<String, RouteError> {
    if is_key(text) {
        Ok(text.to_string())
    } else {
        Err(RouteError::BadRequest(String::from("The setting's name is not one.")))
    }
}

impl Resource {
    /// The template of its path, by which the table of operations has it.
    pub(crate) const fn template(&self) -> &'static str {
        match self {
            Self::Health => "/health",
            Self::Root => "/",
            Self::Description => "/openapi.json",
            Self::Metrics => "/metrics",
            Self::SystemStatus => "/api/system/status",
            Self::Jobs => "/api/Jobs",
            Self::Validate => "/api/Jobs/validate",
            Self::Reload => "/api/Jobs/reload",
            Self::Job(_) => "/api/Jobs/{jobId}",
            Self::Trigger(_) => "/api/Jobs/{jobId}/trigger",
            Self::JobRuns(_) => "/api/Jobs/{jobId}/runs",
            Self::Runs => "/api/runs",
            Self::Run(_) => "/api/runs/{runId}",
            Self::CancelRun(_) => "/api/runs/{runId}/cancel",
            Self::Events => "/api/events",
            Self::Plugins => "/api/plugins",
            Self::Plugin(_) => "/api/plugins/{pluginId}",
            Self::PluginOutput(_) => "/api/plugins/{pluginId}/output",
            Self::PluginAction(_, PluginAction::Start) => "/api/plugins/{pluginId}/start",
            Self::PluginAction(_, PluginAction::Stop) => "/api/plugins/{pluginId}/stop",
            Self::PluginAction(_, PluginAction::Restart) => "/api/plugins/{pluginId}/restart",
            Self::Settings(_) => "/api/PluginSettings/{pluginId}",
            Self::Setting(..) => "/api/PluginSettings/{pluginId}/{key}",
            Self::Revert(_) => "/api/PluginSettings/{pluginId}/revert",
            Self::RevertAll => "/api/PluginSettings/revert-all",
            Self::Policies => "/api/policies",
            Self::PoliciesReload => "/api/policies/reload",
            Self::Policy(_) => "/api/policies/{policyName}",
            Self::Denials => "/api/denials",
            Self::Certificates => "/api/admin/certificates",
            Self::Certificate(_) => "/api/admin/certificates/{certificate}",
            Self::Mfa => "/api/mfa",
            Self::Enrolled(_) => "/api/mfa/{user}",
            Self::Lkg(lkg) => lkg.template(),
            Self::Elevation(asked) => asked.template(),
            Self::Grants => "/api/grants",
            Self::Grant(_) => "/api/grants/{requestId}",
            Self::GrantsCleanup => "/api/grants/cleanup",
        }
    }
}

/// The methods a resource takes: those that the table has for its path.
fn methods(resource: &Resource) -> Vec<Method> {
    let row = operation::path(resource.template());
    row.into_iter().flat_map(|path| path.operations).map(|operation| operation.method).collect()
}

/// The `Allow` field of these methods; POST at some names is not for what is called so but for what is above it.
fn allow(resource: &Resource, methods: &[Method]) -> String {
    let mut methods = methods.to_vec();
    let is = |text: &str, names: &[&str]| names.iter().any(|name| text.eq_ignore_ascii_case(name));
    if matches!(resource, Resource::Job(id) if is(id.as_str(), &["validate", "reload"]))
        || matches!(resource, Resource::Policy(name) if is(name, &["reload"]))
        || matches!(resource, Resource::Settings(id) if is(id.as_str(), &["revert-all"]))
        || matches!(resource, Resource::Setting(_, key) if is(key, &["revert"]))
    {
        methods.push(Method::Post);
    }
    methods.sort_unstable();
    let names = methods.iter().map(|method| if *method == Method::Get { "GET, HEAD" } else { method.as_str() });
    names.collect::<Vec<_>>().join(", ")
}

/// The tier that a request needs at least; settings are looked at more closely by the route itself.
pub(crate) const fn tier(resource: &Resource, method: Method) -> Tier {
    match (resource, method) {
        (Resource::Health | Resource::Root | Resource::SystemStatus | Resource::Description, _) => Tier::Public,
        (Resource::Jobs | Resource::Job(_) | Resource::Events, Method::Post | Method::Put | Method::Delete)
        | (
            Resource::Reload
            | Resource::CancelRun(_)
            | Resource::PluginAction(..)
            | Resource::PluginOutput(_)
            | Resource::Policies
            | Resource::PoliciesReload
            | Resource::Policy(_)
            | Resource::Denials
            | Resource::Certificates
            | Resource::Certificate(_)
            | Resource::Mfa
            | Resource::Enrolled(_)
            | Resource::Lkg(_)
            | Resource::Grants
            | Resource::Grant(_)
            | Resource::Elevation(elevation::Elevation::Approve(_) | elevation::Elevation::Deny(_)),
            _,
        ) => Tier::Admin,
        (
            Resource::Jobs
            | Resource::Job(_)
            | Resource::Validate
            | Resource::Trigger(_)
            | Resource::JobRuns(_)
            | Resource::Runs
            | Resource::Run(_)
            | Resource::Plugins
            | Resource::Plugin(_)
            | Resource::Settings(_)
            | Resource::Setting(..)
            | Resource::Metrics
            | Resource::Elevation(_)
            | Resource::GrantsCleanup
            | Resource::Revert(_)
            | Resource::RevertAll
            | Resource::Events,
            _,
        ) => Tier::Plugin,
    }
}
