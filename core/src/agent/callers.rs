//! Who calls the API, how far that goes, and the record of a call that was refused (contract section 2).

use alloc::format;
use alloc::string::{String, ToString};

use serde_json::json;

use super::Agent;
use crate::acl::{Action, Denial};
use crate::api::route::Target;
use crate::api::{ApiRequest, ApiResponse, Refused, Tier};
use crate::effect::Effects;
use crate::id::{Component, PluginId, RunId, SpawnId};
use crate::time::Now;
use crate::trust::{Identity, Peer, Refusal};
use crate::why::Explanation;

/// Who asks, and how far that goes.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    pub(super) tier: Tier,
    pub(super) identity: Option<Identity>,
    /// Why it is nobody that the agent knows, where it is nobody.
    pub(super) refusal: Option<Refusal>,
    /// The administrator's name, where it is one.
    administrator: Option<String>,
    /// Whether the agent itself asks, for an Http task of a job.
    pub(super) is_http_task: bool,
    /// Why it is no more than that.
    why: Explanation,
    peer: Peer,
}

/// How an administrator without a certificate is called (`Settings:AllowElevatedWithoutCertificate`).
const ROOT: &str = "root";
const CERTIFICATE: &str = "Use the client certificate of state/admin: curl --cert client.pem --key client.key.";

impl Caller {
    /// By its process and by the administrator's name, where it is one.
    pub(super) fn new(
        identified: Result<Identity, Refusal>,
        administrator: Option<String>,
        request: &ApiRequest,
    ) -> Self {
        let no_certificate = if request.certificate.is_some() {
            "Its client certificate is not on the list of admin certificates; it may have been revoked, or have expired."
        } else {
            "It presented no admin certificate."
        };
        match identified {
            Ok(identity) => {
                let what = format!("The caller is a process of {}.", identity.component);
                let why = Explanation::new(what, no_certificate, CERTIFICATE);
                let peer = Peer { pid: identity.pid, ..Peer::of(&request.peer) };
                let tier = if administrator.is_some() { Tier::Admin } else { Tier::Plugin };
                Self { tier, identity: Some(identity), refusal: None, administrator, is_http_task: false, why, peer }
            }
            Err(refusal) => {
                let Explanation { what, why, fix } = refusal.explanation.clone();
                let why = Explanation::new(what, format!("{why} {no_certificate}"), fix);
                let tier = if administrator.is_some() { Tier::Admin } else { Tier::Public };
                let peer = refusal.peer.clone();
                let refusal = Some(refusal);
                Self { tier, identity: None, refusal, administrator, is_http_task: false, why, peer }
            }
        }
    }

    /// The Http task of a run: never more than the Plugin tier, whatever the settings say of the agent's own user.
    pub(super) fn http_task(component: &Component, run: RunId) -> Self {
        let identity = Identity { spawn: SpawnId::NONE, component: component.clone(), run: Some(run), pid: None };
        let why = Explanation::new(
            format!("The caller is an Http task of {component}."),
            "It acts in the name of its job, never as an administrator.",
            CERTIFICATE,
        );
        let (tier, identity, peer) = (Tier::Plugin, Some(identity), Peer::default());
        Self { tier, identity, refusal: None, administrator: None, is_http_task: true, why, peer }
    }

    /// The plugin it is a process of.
    pub(super) fn plugin(&self) -> Option<&PluginId> {
        match &self.identity.as_ref()?.component {
            Component::Plugin(own) => Some(own),
            Component::Job(_) | Component::Administrator(_) | Component::Program(_) => None,
        }
    }

    /// Whether it is a process of this very plugin.
    pub(super) fn is_plugin(&self, plugin: &PluginId) -> bool {
        self.plugin().is_some_and(|own| own.as_str().eq_ignore_ascii_case(plugin.as_str()))
    }

    /// The administrator's name, for records of what only administrators do.
    pub(super) fn administrator(&self) -> String {
        self.administrator.clone().unwrap_or_default()
    }

    /// Who it is, for records: its job or plugin, or the administrator by the name of the certificate.
    pub(super) fn component(&self) -> Component {
        match (&self.identity, &self.administrator) {
            (Some(identity), _) => identity.component.clone(),
            (None, Some(name)) => Component::Administrator(name.clone()),
            (None, None) => Component::Program(String::from("unknown")),
        }
    }

    /// Whether it is the Http task of a run, which has no process and no connection.
    pub(super) fn is_http_task(&self) -> bool {
        self.identity.as_ref().is_some_and(|identity| identity.run.is_some() && identity.spawn == SpawnId::NONE)
    }
}

impl Agent {
    /// A certificate on the list makes an Admin, and so does root where that was looked into; a process of ours is Plugin, even as root,
    /// and so is one that is known by its signature; everybody else is Public.
    pub(super) fn caller(&self, now: Now, request: &ApiRequest) -> Caller {
        let registered = self.registry.identify(&request.peer);
        let certificate = request.certificate.as_ref();
        let known = certificate.and_then(|shown| self.certificates.counting(&shown.sha256, now.wall));
        let administrator = known.map(|known| known.name.clone());
        let elevated = registered.is_err() && self.strangers.is_root(now, &request.peer);
        let identified = registered.or_else(|refusal| self.strangers.program(now, &request.peer).ok_or(refusal));
        Caller::new(identified, administrator.or_else(|| elevated.then(|| String::from(ROOT))), request)
    }

    /// 403: the tier needed, the tier held and why; on record.
    pub(super) fn forbid(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        needed: Tier,
        effects: &mut Effects,
    ) -> ApiResponse {
        let fix = match needed {
            Tier::Admin => {
                "Use an admin client certificate: curl --cert state/admin/client.pem --key state/admin/client.key."
                    .to_string()
            }
            Tier::Plugin | Tier::Public => format!("{} Or use an admin client certificate.", caller.why.fix),
        };
        let what = format!("{} {} needs the {needed:?} tier.", request.method, target.path);
        let why = format!("The caller has the {:?} tier. {} {}", caller.tier, caller.why.what, caller.why.why);
        self.deny_call(now, request, target, caller, &Explanation::new(what, why, fix), needed, effects)
    }

    #[expect(clippy::too_many_arguments, reason = "every fact of a refusal goes on record")]
    pub(super) fn deny_call(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        explanation: &Explanation,
        needed: Tier,
        effects: &mut Effects,
    ) -> ApiResponse {
        self.record_call(now, request, target, caller, explanation.clone(), effects);
        let tiers = json!({ "tierNeeded": format!("{needed:?}"), "tierHeld": format!("{:?}", caller.tier) });
        ApiResponse::problem_with(403, explanation, &tiers)
    }

    fn record_call(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        explanation: Explanation,
        effects: &mut Effects,
    ) {
        let denial = Denial {
            action: Action::Call,
            target: format!("{} {}", request.method, target.path),
            component: caller.identity.as_ref().map(|identity| identity.component.to_string()),
            client_id: None,
            peer: caller.peer.clone(),
            explanation,
            declaration: None,
        };
        self.record_denial(now, denial, effects);
    }

    /// A wrong host, a browser or a proxy: on record like every refusal, except for what only has a wrong form.
    pub(super) fn refused_unheard(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        refused: Refused,
        effects: &mut Effects,
    ) -> ApiResponse {
        if let Some(explanation) = refused.explanation {
            self.record_call(now, request, target, caller, explanation, effects);
        }
        refused.response
    }
}
