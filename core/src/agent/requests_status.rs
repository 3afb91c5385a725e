//! What tells about the agent as a whole: health, figures, its description for programs, and its page for people.

use super::Agent;
use super::callers::Caller;
use super::requests_runs::WantedRuns;
use crate::api::page::{Inside, Page};
use crate::api::view::{PluginLine, RunLine, Service, SystemStatus};
use crate::api::{self, ApiRequest, ApiResponse, Tier};
use crate::effect::Effects;
use crate::run::history::{RunQuery, RunRecord};
use crate::time::Now;

/// Runs that the page shows.
const RUNS_SHOWN: usize = 20;

impl Agent {
    pub(super) fn health(&self, now: Now) -> ApiResponse {
        api::health(now.wall, &self.desk.surroundings.version)
    }

    /// JSON for programs; the page for whom that is better.
    pub(super) fn service(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let mut response = if !api::prefers_html(request) {
            let version = &self.desk.surroundings.version;
            ApiResponse::json(200, &Service { service: "Castellan", status: self.status(), version })
        } else if caller.tier == Tier::Public || self.is_stopping() {
            self.page(now, caller.tier, &[])
        } else {
            let query = RunQuery { brief: true, limit: RUNS_SHOWN, ..RunQuery::default() };
            self.read_runs(now, request, query, WantedRuns::StatusPage(caller.tier), effects)?
        };
        response.set_header("vary", "Accept");
        Some(response)
    }

    /// The page with the latest runs of the history.
    pub(super) fn page(&self, now: Now, tier: Tier, runs: &[RunRecord]) -> ApiResponse {
        let denials = || self.denials.records().iter().collect();
        let inside = (tier != Tier::Public).then(|| Inside {
            jobs: self.job_lines(now).collect(),
            runs: runs.iter().map(RunLine::new).collect(),
            plugins: self.plugins.values().map(|plugin| PluginLine::new(plugin, now)).collect(),
            waiting: (tier == Tier::Admin).then(|| self.waiting_elevations().collect()),
            lkg: (tier == Tier::Admin).then(|| self.lkg_line()),
            denials: (tier == Tier::Admin).then(denials),
        });
        let page = Page {
            version: &self.desk.surroundings.version,
            status: self.status(),
            now: now.wall.to_rfc3339(),
            uptime_seconds: self.uptime_seconds(now),
            tier,
            inside,
        };
        let mut response = page.response();
        response.set_header("vary", "Accept");
        response
    }

    pub(super) fn system_status(&self, now: Now, tier: Tier) -> ApiResponse {
        ApiResponse::json(
            200,
            &SystemStatus {
                status: self.status(),
                uptime_seconds: self.uptime_seconds(now),
                plugin_count: self.plugins.len(),
                plugins_running: self.plugins.values().filter(|plugin| plugin.is_running()).count(),
                job_count: self.catalog.iter().count(),
                enabled_job_count: self.catalog.iter().filter(|job| job.enabled).count(),
                runs_active: self.runs.values().filter(|run| run.is_active()).count(),
                policy_source: (tier != Tier::Public).then(|| self.fleet.standing()).flatten(),
            },
        )
    }

    /// Made once and kept: anybody may ask for it as often as it likes.
    pub(super) fn description(&mut self) -> ApiResponse {
        let surroundings = &self.desk.surroundings;
        let https = surroundings.endpoints.map_or(0, |endpoints| endpoints.https);
        let document = self.description.get_or_insert_with(|| api::openapi(&surroundings.version, https));
        ApiResponse::document(200, document.clone())
    }

    fn status(&self) -> &'static str {
        if self.is_stopping() { "stopping" } else { "running" }
    }

    fn uptime_seconds(&self, now: Now) -> u64 {
        now.monotonic.millis_since(self.desk.surroundings.started.monotonic) / 1000
    }
}
