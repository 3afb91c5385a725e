//! API requests: guard, route, caller, tier; then the part that answers (contract section 2).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Agent;
use super::callers::Caller;
use crate::api::route::elevation::Elevation;
use crate::api::route::lkg::Lkg;
use crate::api::route::{self, Method, PluginAction, Resource, RouteError, Target};
use crate::api::view::PluginLine;
use crate::api::{self, ApiRequest, ApiResponse};
use crate::effect::{Effect, Effects};
use crate::event::Endpoints;
use crate::id::{PluginId, RequestId};
use crate::plugin::instances::Plugin;
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    pub(super) fn on_request(&mut self, now: Now, request: &ApiRequest, effects: &mut Effects) {
        let caller = self.caller(now, request);
        if let Some(response) = self.answer(now, request, &caller, effects) {
            respond(request.id, response, effects);
        }
    }

    /// The answer to this caller, or `None` where it comes later.
    pub(super) fn answer(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let target = Target::parse(&request.target);
        let endpoints = self.desk.surroundings.endpoints.unwrap_or(Endpoints { http: 0, https: 0, mqtt: 0 });
        if let Some(refused) = api::refuse(request, &target, endpoints) {
            return Some(self.refused_unheard(now, request, &target, caller, refused, effects));
        }
        let (resource, method) = match route::route(&request.method, &target.path) {
            Ok(found) => found,
            Err(error) => return Some(no_route(request, &target, error)),
        };
        self.meter.routed(request.id, resource.template());
        let needed = route::tier(&resource, method);
        if caller.tier < needed {
            return self.examine_or_forbid(now, request, &target, caller, needed, effects);
        }
        if self.is_stopping() && !self.is_answered_at_once(&resource, method) {
            let explanation = Explanation::new(
                "The agent is stopping.",
                "It takes no more work and answers only what it knows.",
                "Send the request again when the agent is back.",
            );
            return Some(ApiResponse::problem(503, &explanation));
        }
        if method == Method::Post
            && let Some(known) = self.first_answer(now, request, caller)
        {
            return Some(known);
        }
        self.dispatch(now, request, &target, caller, resource, method, effects)
    }

    /// Whether an answer needs neither a port nor a change.
    fn is_answered_at_once(&self, resource: &Resource, method: Method) -> bool {
        match resource {
            Resource::Run(id) => self.runs.contains_key(id),
            Resource::Validate
            | Resource::Reload
            | Resource::Trigger(_)
            | Resource::JobRuns(_)
            | Resource::Runs
            | Resource::CancelRun(_)
            | Resource::PluginOutput(_)
            | Resource::Events
            | Resource::Revert(_)
            | Resource::RevertAll
            | Resource::PoliciesReload
            | Resource::Policy(_)
            | Resource::Mfa
            | Resource::Enrolled(_) => false,
            Resource::Lkg(asked) => *asked == Lkg::Status,
            Resource::Elevation(asked) => matches!(asked, Elevation::List | Elevation::One(_) | Elevation::Redirect(_)),
            Resource::Grants => true,
            Resource::Grant(_) | Resource::GrantsCleanup => false,
            Resource::Health
            | Resource::Root
            | Resource::SystemStatus
            | Resource::Jobs
            | Resource::Job(_)
            | Resource::Plugins
            | Resource::Plugin(_)
            | Resource::PluginAction(..)
            | Resource::Settings(_)
            | Resource::Setting(..)
            | Resource::Description
            | Resource::Metrics
            | Resource::Policies
            | Resource::Denials
            | Resource::Certificates
            | Resource::Certificate(_) => method == Method::Get,
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one table from resource to handler; each argument is one fact of the request"
    )]
    fn dispatch(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        resource: Resource,
        method: Method,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        match resource {
            Resource::Health => Some(self.health(now)),
            Resource::Root => self.service(now, request, caller, effects),
            Resource::SystemStatus => Some(self.system_status(now, caller.tier)),
            Resource::Jobs if method == Method::Post => self.create_job(now, request, caller, effects),
            Resource::Jobs => Some(self.list_jobs(now, request)),
            Resource::Job(id) => match method {
                Method::Put => self.replace_job(now, request, caller, &id, effects),
                Method::Delete => self.delete_job(now, request, caller, &id, effects),
                Method::Get | Method::Post => Some(api::tagged(request, self.show_job(&id))),
            },
            Resource::Validate => self.validate_job(now, request, effects),
            Resource::Reload => self.reload(now, request, effects),
            Resource::Trigger(id) => self.trigger_job(now, request, target, caller, &id, effects),
            Resource::JobRuns(id) => self.show_runs_of(now, request, &id, effects),
            Resource::Runs => self.list_runs(now, request, target, effects),
            Resource::Run(id) => self.show_run(now, request, &id, effects),
            Resource::CancelRun(id) => self.cancel_run(now, request, caller, &id, effects),
            Resource::Events if method == Method::Post => self.fire_event(now, request, caller, effects),
            Resource::Events => self.open_stream(now, request, target, caller, effects),
            Resource::Plugins => Some(self.list_plugins(now)),
            Resource::Plugin(id) => Some(self.show_plugin(now, &id)),
            Resource::PluginOutput(id) => self.show_plugin_output(now, request, &id, effects),
            Resource::PluginAction(id, action) => Some(self.act_on_plugin(now, &id, action, effects)),
            Resource::Settings(id) => Some(self.show_settings(now, request, target, caller, &id, effects)),
            Resource::Setting(id, key) if method == Method::Put => {
                self.put_setting(now, request, target, caller, &id, &key, effects)
            }
            Resource::Setting(id, key) => Some(self.show_setting(now, request, target, caller, &id, &key, effects)),
            Resource::Revert(id) => self.revert_settings(now, request, target, caller, Some(&id), effects),
            Resource::RevertAll => self.revert_settings(now, request, target, caller, None, effects),
            Resource::Policies if method == Method::Post => self.apply_policy(now, request, target, caller, effects),
            Resource::Policies => Some(self.list_policies()),
            Resource::PoliciesReload => self.reload_policies(now, request, effects),
            Resource::Policy(name) => self.remove_policy(now, request, &name, caller, effects),
            Resource::Description => Some(self.description()),
            Resource::Metrics => self.metrics(now, request, effects),
            Resource::Denials => Some(ApiResponse::json(200, self.denials.records())),
            Resource::Mfa => self.list_enrolled(now, request, caller, effects),
            Resource::Enrolled(user) if method == Method::Post => {
                self.enroll_or_check(now, request, caller, &user, effects)
            }
            Resource::Enrolled(user) => self.remove_enrolled(now, request, caller, &user, effects),
            Resource::Certificates if method == Method::Post => self.issue_certificate(now, request, caller, effects),
            Resource::Certificates => Some(self.list_certificates(now)),
            Resource::Lkg(asked) => self.answer_lkg(now, request, target, caller, asked, effects),
            Resource::Elevation(asked) => self.answer_elevation(now, request, target, caller, asked, effects),
            Resource::Grants => Some(self.list_grants(now)),
            Resource::GrantsCleanup => Some(self.clean_grants(now)),
            Resource::Grant(id) => self.revoke_grant(now, request, target, caller, &id, effects),
            Resource::Certificate(whose) => self.revoke_certificate(now, request, target, caller, &whose, effects),
        }
    }

    fn list_plugins(&self, now: Now) -> ApiResponse {
        let lines = self.plugins.values().map(|plugin| PluginLine::new(plugin, now));
        ApiResponse::json(200, &lines.collect::<Vec<_>>())
    }

    fn show_plugin(&self, now: Now, id: &PluginId) -> ApiResponse {
        match self.plugins.get(id) {
            Some(plugin) => ApiResponse::json(200, &PluginLine::new(plugin, now)),
            None => self.no_plugin(id),
        }
    }

    pub(super) fn no_plugin(&self, id: &PluginId) -> ApiResponse {
        match self.refused_plugins.get(id.as_str()) {
            Some(findings) => ApiResponse::findings(404, &out_of_service(&format!("Plugins/{id}.json")), findings),
            None => not_found(&format!("There is no plugin '{id}'."), "GET /api/plugins lists them."),
        }
    }

    fn act_on_plugin(&mut self, now: Now, id: &PluginId, action: PluginAction, effects: &mut Effects) -> ApiResponse {
        let Some(plugin) = self.plugins.get(id).filter(|plugin| !plugin.retired) else { return self.no_plugin(id) };
        if let Some(why) = plugin.obstacle().filter(|_| action != PluginAction::Stop || plugin.definition().built_in) {
            let explanation =
                Explanation::new(format!("Plugin {id} stays as it is."), why, "Change its definition and reload.");
            return ApiResponse::problem(409, &explanation);
        }
        self.start_queue.forget(id);
        match action {
            PluginAction::Start => self.start_with_required(now, id, effects, Plugin::start),
            PluginAction::Stop => self.with_plugin(now, id, effects, Plugin::stop),
            PluginAction::Restart => self.start_with_required(now, id, effects, Plugin::restart),
        }
        self.show_plugin(now, id)
    }
}

pub(super) fn respond(request: RequestId, response: ApiResponse, effects: &mut Effects) {
    effects.push(Effect::Respond { request, response });
}

pub(super) fn not_found(what: &str, fix: &str) -> ApiResponse {
    ApiResponse::problem(404, &Explanation::new(what, "Nothing of that name is in service.", fix))
}

pub(super) fn out_of_service(file: &str) -> Explanation {
    Explanation::new(
        format!("{file} is out of service."),
        "It was refused when it was loaded; the findings say why.",
        "Mend it and say castellan jobs apply FILE, or castellan lkg accept ITEM; where Last Known Good is off, POST /api/Jobs/reload.",
    )
}

fn no_route(request: &ApiRequest, target: &Target, error: RouteError) -> ApiResponse {
    match error {
        RouteError::NotFound => {
            let what = format!("There is nothing at {}.", target.path);
            let explanation =
                Explanation::new(what, "The path is not one of the API's.", "docs/integrators.md lists the paths.");
            ApiResponse::problem(404, &explanation)
        }
        RouteError::BadRequest(why) => {
            let explanation = Explanation::new(
                "The path cannot be read.",
                why,
                String::from("Write the id as it stands in the file name."),
            );
            ApiResponse::problem(400, &explanation)
        }
        RouteError::MethodNotAllowed(allow) => {
            let what = format!("{} is not taken at {}.", request.method, target.path);
            let explanation = Explanation::new(what, "The resource has no such method.", format!("It takes {allow}."));
            let mut response = ApiResponse::problem(405, &explanation);
            response.set_header("allow", &allow);
            response
        }
    }
}
