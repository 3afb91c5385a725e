//! Requests for more privileges and grants over the API: shown, met by tasks, approved and denied by administrators.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::answers::{Pending, not_on_disk};
use super::callers::Caller;
use super::requests::{not_found, respond};
use super::requests_jobs::bad_body;
use super::requests_runs::limit;
use crate::api::route::Target;
use crate::api::route::elevation::Elevation as Asked;
use crate::api::{ApiRequest, ApiResponse, Tier};
use crate::effect::{Effects, StoreOrder};
use crate::elevation::{Approver, Cleaned, Elevation, ElevationQuery, ElevationRecord, Status};
use crate::id::{Component, ElevationId, TicketId};
use crate::json::Json;
use crate::limits::{ELEVATIONS_PER_PAGE, JUSTIFICATION_CHARS};
use crate::time::{Now, WallTime};
use crate::turn::Turn;
use crate::why::Explanation;

/// What a request wants of the history.
#[derive(Debug)]
pub(super) enum WantedElevations {
    /// A page.
    Page,
    /// One to show.
    One(ElevationId),
}

impl Agent {
    pub(super) fn answer_elevation(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        asked: Asked,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let id = match &asked {
            Asked::List if !target.has_query() => return Some(ApiResponse::json(200, &self.shown_elevations())),
            Asked::List => return self.page_of_elevations(now, request, target, effects),
            Asked::One(id) => return self.show_elevation(now, request, id, effects),
            Asked::Control(id, _)
            | Asked::Redirect(id)
            | Asked::Launch(id, _)
            | Asked::Approve(id)
            | Asked::Deny(id) => id.clone(),
        };
        if !self.elevations.active.contains_key(&id) {
            return Some(match self.ended_elevation(&id) {
                Some(record) => over(record),
                None => no_elevation(&id),
            });
        }
        match asked {
            Asked::List | Asked::One(_) => None,
            Asked::Control(_, control) => self.as_task(now, request, target, caller, &id, effects, |one, turn| {
                one.on_control(control, request.id, turn)
            }),
            Asked::Redirect(_) => {
                let elevation = self.elevations.active.get(&id)?;
                Some(elevation.show_redirection(&self.desk.turn(now, effects)))
            }
            Asked::Launch(_, what) => self
                .as_task(now, request, target, caller, &id, effects, |one, turn| one.on_launch(what, request.id, turn)),
            Asked::Approve(_) => self.vote(now, request, target, caller, &id, true, effects),
            Asked::Deny(_) => self.vote(now, request, target, caller, &id, false, effects),
        }
    }

    /// Those under way, then those that ended lately, the latest in front.
    fn shown_elevations(&self) -> Vec<&ElevationRecord> {
        let active = self.elevations.active.values().rev().map(|elevation| &elevation.record);
        active.chain(&self.elevations.ended).collect()
    }

    /// Those that wait for somebody, the oldest in front.
    pub(super) fn waiting_elevations(&self) -> impl Iterator<Item = &ElevationRecord> {
        self.elevations.active.values().map(|elevation| &elevation.record).filter(|record| record.is_waiting())
    }

    pub(super) fn ended_elevation(&self, id: &ElevationId) -> Option<&ElevationRecord> {
        self.elevations.ended.iter().find(|record| record.request_id == id.as_str())
    }

    fn show_elevation(
        &mut self,
        now: Now,
        request: &ApiRequest,
        id: &ElevationId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let active = self.elevations.active.get(id).map(|elevation| &elevation.record);
        match active.or_else(|| self.ended_elevation(id)) {
            Some(record) => Some(ApiResponse::json(200, record)),
            None => self.read_elevations(now, request, one(id), WantedElevations::One(id.clone()), effects),
        }
    }

    /// `GET /api/elevation?status=&user=&since=&before=&limit=`.
    fn page_of_elevations(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        match page(target) {
            Ok(query) => self.read_elevations(now, request, query, WantedElevations::Page, effects),
            Err(why) => {
                let fix = "GET /api/elevation?user=NAME&status=Denied&limit=20, and before=REQUEST for the page that follows.";
                Some(ApiResponse::problem(400, &Explanation::new("The page of requests cannot be read.", why, fix)))
            }
        }
    }

    fn read_elevations(
        &mut self,
        now: Now,
        request: &ApiRequest,
        query: ElevationQuery,
        wanted: WantedElevations,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let order = |ticket| StoreOrder::ReadElevations { ticket, query };
        self.ask_store(now, order, Pending::Elevations { request: request.id, wanted }, effects)
    }

    pub(super) fn on_elevations_read(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: Result<Vec<ElevationRecord>, String>,
        effects: &mut Effects,
    ) {
        match self.pending.remove(&ticket) {
            Some(Pending::Elevations { request, wanted }) => {
                respond(request, self.elevations_response(result, &wanted), effects);
            }
            other => self.unasked(now, ticket, other, effects),
        }
    }

    /// Requests of the history; one under way is shown as it stands now.
    fn elevations_response(
        &self,
        result: Result<Vec<ElevationRecord>, String>,
        wanted: &WantedElevations,
    ) -> ApiResponse {
        let mut records = match result {
            Ok(records) => records,
            Err(error) => return not_on_disk("The history cannot be read.", &error),
        };
        for record in &mut records {
            let active = ElevationId::from_text(&record.request_id).and_then(|id| self.elevations.active.get(&id));
            if let Some(active) = active {
                record.clone_from(&active.record);
            }
        }
        match wanted {
            WantedElevations::Page => ApiResponse::json(200, &records),
            WantedElevations::One(id) => {
                records.pop().map_or_else(|| no_elevation(id), |record| ApiResponse::json(200, &record))
            }
        }
    }

    /// What only a task of a job does: the jobs of elevation bring a request on, by their tasks.
    #[expect(clippy::too_many_arguments, reason = "every fact of a refusal goes on record")]
    fn as_task(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        id: &ElevationId,
        effects: &mut Effects,
        act: impl FnOnce(&mut Elevation, &mut Turn<'_>) -> Option<ApiResponse>,
    ) -> Option<ApiResponse> {
        if !matches!(&caller.identity, Some(identity) if matches!(identity.component, Component::Job(_))) {
            let what = format!("Request {id} is brought on by tasks of jobs alone.");
            let why = format!("The caller is {}.", caller.component());
            let fix = "Call from a task of the job that the event of the request starts.";
            let explanation = Explanation::new(what, why, fix);
            return Some(self.deny_call(now, request, target, caller, &explanation, Tier::Plugin, effects));
        }
        let elevation = self.elevations.active.get_mut(id)?;
        act(elevation, &mut self.desk.turn(now, effects))
    }

    /// An administrator approves or denies, in the name of a certificate.
    #[expect(clippy::too_many_arguments, reason = "every fact of a refusal goes on record")]
    fn vote(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        id: &ElevationId,
        approved: bool,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let reason = match reason(&request.body) {
            Ok(reason) => reason,
            Err(why) => return Some(bad_body(&why)),
        };
        let shown = request.certificate.as_ref();
        let name =
            shown.and_then(|shown| self.certificates.counting(&shown.sha256, now.wall)).map(|one| one.name.clone());
        let elevation = self.elevations.active.get_mut(id)?;
        let approver = match name {
            Some(name) => Approver::of(&name, &elevation.record.user_name),
            None => Err(String::from("Who approves is known by an admin certificate alone, and none was presented.")),
        };
        let approver = match approver {
            Ok(approver) => approver,
            Err(why) => {
                let what = format!("Request {id} stays as it is.");
                let fix = "Another administrator may approve it: castellan admin issue NAME makes certificates.";
                let explanation = Explanation::new(what, why, fix);
                return Some(self.deny_call(now, request, target, caller, &explanation, Tier::Admin, effects));
            }
        };
        elevation.on_vote(&approver, approved, reason, request.id, &mut self.desk.turn(now, effects))
    }

    /// Forgets the grants that are over, and says how many those are and how many still count. On disk they are history, which goes with the
    /// rest of it.
    pub(super) fn clean_grants(&mut self, now: Now) -> ApiResponse {
        let removed = self.elevations.grants.forget_ended(now);
        ApiResponse::json(200, &Cleaned { removed, counting: self.elevations.grants.list(now).count() })
    }

    pub(super) fn list_grants(&self, now: Now) -> ApiResponse {
        ApiResponse::json(200, &self.elevations.grants.list(now).map(|grant| &grant.record).collect::<Vec<_>>())
    }
}

fn one(id: &ElevationId) -> ElevationQuery {
    ElevationQuery { request: Some(id.clone()), limit: 1, ..ElevationQuery::default() }
}

/// The page that a query asks for; why it cannot be.
fn page(target: &Target) -> Result<ElevationQuery, String> {
    let status = |text: &str| {
        let known = Status::ALL.into_iter().find(|status| status.as_str().eq_ignore_ascii_case(text));
        known.ok_or_else(|| format!("'status' is one of: {}.", Status::ALL.map(Status::as_str).join(", ")))
    };
    let since = |text: &str| {
        WallTime::parse_rfc3339(text).ok_or_else(|| String::from("'since' is an instant as in 2026-12-24T10:00:00Z."))
    };
    let before = |text: &str| {
        ElevationId::from_text(text).ok_or_else(|| String::from("'before' is not the id of a request, as in E7-12."))
    };
    Ok(ElevationQuery {
        request: None,
        user: target.parameter("user").map(String::from),
        status: target.parameter("status").map(status).transpose()?,
        since: target.parameter("since").map(since).transpose()?,
        before: target.parameter("before").map(before).transpose()?,
        limit: limit(target, ELEVATIONS_PER_PAGE)?,
    })
}

/// `{"Reason":…}`, or nothing.
fn reason(body: &[u8]) -> Result<Option<String>, String> {
    if body.is_empty() {
        return Ok(None);
    }
    let body = Json::parse(body).map_err(|error| error.to_string())?;
    match body.lookup(&["reason"]) {
        None | Some(Json::Null) => Ok(None),
        Some(Json::String(text)) if text.chars().count() <= JUSTIFICATION_CHARS => Ok(Some(text.to_string())),
        Some(_) => Err(format!("'Reason' is a text of at most {JUSTIFICATION_CHARS} characters.")),
    }
}

fn no_elevation(id: &ElevationId) -> ApiResponse {
    not_found(
        &format!("There is no request '{id}'."),
        "castellan requests list shows those of late, with --all those that are kept.",
    )
}

fn over(record: &ElevationRecord) -> ApiResponse {
    ApiResponse::problem(409, &record.over())
}
