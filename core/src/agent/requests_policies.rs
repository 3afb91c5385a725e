//! Configuration policies over the API: listed, the folder read again, one policy applied or only judged.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Agent;
use super::answers::Pending;
use super::callers::Caller;
use super::configuration_policies::{Asker, Delivery, Refusal};
use super::requests::{not_found, respond};
use crate::api::route::Target;
use crate::api::{ApiRequest, ApiResponse};
use crate::configuration_policy::record::{PolicyForgotten, PolicyLine};
use crate::configuration_policy::{API, FOLDER, NAME_CHARS, PolicyDocument, PolicyFile, WHOLE_FOLDER, is_name};
use crate::effect::{Effects, StoreOrder};
use crate::id::RequestId;
use crate::job::finding::quote;
use crate::json::Json;
use crate::log_message::Level;
use crate::time::Now;
use crate::why::Explanation;

/// What policies are read for.
#[derive(Debug)]
pub(super) enum PoliciesWanted {
    /// The folder is applied, and who asked for it is told.
    Folder(Asker),
    /// The one that a request brought is applied, or only judged.
    Document { request: RequestId, by: String, is_dry_run: bool },
}

impl PoliciesWanted {
    /// Who waits for it.
    pub(super) const fn request(&self) -> Option<RequestId> {
        match self {
            Self::Folder(Asker::Folder(request) | Asker::Document(request) | Asker::Removal(request))
            | Self::Document { request, .. } => Some(*request),
            Self::Folder(Asker::Nobody | Asker::Bundle) => None,
        }
    }
}

impl Agent {
    pub(super) fn list_policies(&self) -> ApiResponse {
        ApiResponse::json(200, &self.policy_lines().collect::<Vec<_>>())
    }

    /// Reads the folder again and applies what is new in it.
    pub(super) fn reload_policies(
        &mut self,
        now: Now,
        request: &ApiRequest,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let order = |ticket| StoreOrder::ReadPolicies { ticket, document: None };
        let wanted = PoliciesWanted::Folder(Asker::Folder(request.id));
        self.ask_store(now, order, Pending::PoliciesRead(wanted), effects)
    }

    /// The folder changed: it is read again.
    pub(super) fn look_at_policies(&mut self, now: Now, effects: &mut Effects) {
        if self.is_stopping() {
            return;
        }
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::ReadPolicies { ticket, document: None });
        self.expect_answer(ticket, Pending::PoliciesRead(PoliciesWanted::Folder(Asker::Nobody)));
    }

    /// Applies the policy that a request brings, or only judges it.
    pub(super) fn apply_policy(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let is_dry_run = match target.flag("dryRun") {
            Ok(is_dry_run) => is_dry_run,
            Err(why) => {
                let fix = "Write ?dryRun=true to have it judged only, or leave it out to have it applied.";
                return Some(ApiResponse::problem(400, &Explanation::new("Nothing was changed.", why, fix)));
            }
        };
        let Some(name) = target.parameter("name").map(ToString::to_string).or_else(|| name_in(&request.body)) else {
            let why = "It has neither PolicyId nor PolicyName.";
            return Some(no_name(why.to_string()));
        };
        if !is_name(&name) {
            let why = format!(
                "A name has 1 to {NAME_CHARS} of A-Z a-z 0-9, blanks and -._, first a letter or digit; this is {}.",
                quote(&name)
            );
            return Some(no_name(why));
        }
        let document = Some(PolicyDocument { name, document: Arc::from(request.body.as_slice()) });
        let order = |ticket| StoreOrder::ReadPolicies { ticket, document };
        let wanted = PoliciesWanted::Document { request: request.id, by: caller.administrator(), is_dry_run };
        self.ask_store(now, order, Pending::PoliciesRead(wanted), effects)
    }

    pub(super) fn on_policies_read(
        &mut self,
        now: Now,
        wanted: PoliciesWanted,
        files: Vec<PolicyFile>,
        effects: &mut Effects,
    ) {
        match wanted {
            PoliciesWanted::Folder(asker) => self.apply_folder(now, files, asker, effects),
            PoliciesWanted::Document { request, by, is_dry_run } => {
                let units = Vec::from([files]);
                let delivery = Delivery::new(API, units, Asker::Document(request));
                let delivery = Delivery { is_complete: false, is_dry_run, by: Some(by), ..delivery };
                self.deliver_or_say(now, delivery, effects);
            }
        }
    }

    /// Applies what is new in the folder, each file for itself.
    pub(super) fn apply_folder(&mut self, now: Now, files: Vec<PolicyFile>, asker: Asker, effects: &mut Effects) {
        // A folder that cannot be read tells nothing of what is gone.
        let is_complete = files.iter().all(|file| file.name != WHOLE_FOLDER);
        // The last unit forgets what is gone, whatever became of the files.
        let units = files.into_iter().map(|file| Vec::from([file])).chain(is_complete.then(Vec::new)).collect();
        self.deliver_or_say(now, Delivery { is_complete, ..Delivery::new(FOLDER, units, asker) }, effects);
    }

    /// Forgets the policies of a name: the settings that they set end, and what they wrote stays.
    pub(super) fn remove_policy(
        &mut self,
        now: Now,
        request: &ApiRequest,
        name: &str,
        caller: &Caller,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        let forget = self.policies_named(name);
        if forget.is_empty() {
            let what = format!("There is no policy {} on record.", quote(name));
            return Some(not_found(&what, "castellan policy list names those there are."));
        }
        let delivery = Delivery::new(API, Vec::from([Vec::new()]), Asker::Removal(request.id));
        self.deliver_or_say(
            now,
            Delivery { is_complete: false, forget, by: Some(caller.administrator()), ..delivery },
            effects,
        );
        None
    }

    pub(super) fn answer_about_removal(
        &mut self,
        now: Now,
        request: RequestId,
        delivery: Delivery,
        effects: &mut Effects,
    ) {
        if let Some(Refusal { status, explanation, .. }) = &delivery.refused {
            return respond(request, ApiResponse::problem(*status, explanation), effects);
        }
        let name = delivery.forget.first().map(|key| key.name.clone()).unwrap_or_default();
        let sources: Vec<String> = delivery.forget.into_iter().map(|key| key.source).collect();
        let notes = sources.iter().filter_map(|source| comes_back(source, &name)).collect();
        let message = format!(
            "The policy {name} of {} was forgotten through the API; settings that it set are out of effect, what it wrote stays.",
            sources.join(" and ")
        );
        self.desk.turn(now, effects).log(Level::Information, "PolicyForgotten", message);
        respond(request, ApiResponse::json(200, &PolicyForgotten { name, sources, notes }), effects);
    }

    fn deliver_or_say(&mut self, now: Now, delivery: Delivery, effects: &mut Effects) {
        let asker = delivery.asker;
        let Err(explanation) = self.deliver(now, delivery, effects) else { return };
        match asker {
            Asker::Document(request) | Asker::Folder(request) | Asker::Removal(request) => {
                respond(request, ApiResponse::problem(503, &explanation), effects);
            }
            Asker::Nobody | Asker::Bundle => {
                self.desk.turn(now, effects).log(Level::Error, "PolicyRefused", explanation.to_string());
            }
        }
    }

    /// Answers who asked for a delivery that is over.
    pub(super) fn answer_about_policies(&self, mut delivery: Delivery, effects: &mut Effects) {
        match (delivery.asker, delivery.refused) {
            (Asker::Document(request), Some(refusal)) => {
                let response = ApiResponse::findings(refusal.status, &refusal.explanation, &refusal.findings);
                respond(request, response, effects);
            }
            (Asker::Document(request), None) => {
                if let Some(line) = delivery.lines.pop() {
                    respond(request, ApiResponse::json(200, &line), effects);
                }
            }
            (Asker::Folder(request), _) => {
                let lines: Vec<&PolicyLine> = self.policy_lines().filter(|line| line.source == FOLDER).collect();
                respond(request, ApiResponse::json(200, &lines), effects);
            }
            (Asker::Nobody | Asker::Bundle | Asker::Removal(_), _) => {}
        }
    }
}

/// What a policy calls itself.
fn name_in(body: &[u8]) -> Option<String> {
    let json = Json::parse(body).ok()?;
    let text = |name: &str| json.lookup(&[name]).and_then(Json::as_str).filter(|text| !text.is_empty());
    text("PolicyId").or_else(|| text("PolicyName")).map(ToString::to_string)
}

/// From where a policy that was forgotten is applied again.
fn comes_back(source: &str, name: &str) -> Option<String> {
    match source {
        API => None,
        FOLDER => Some(format!(
            "As long as {FOLDER}/{name}.json is there, what it says about privileges counts, and all else is applied again when something changes in the folder, at a reload, or at the next start. Remove the file, too."
        )),
        _ => Some(format!(
            "It is applied again with the next bundle of {source} that has it, or at the next start. Take it out of the bundle, too."
        )),
    }
}

fn no_name(why: String) -> ApiResponse {
    let fix = "Give it a PolicyId, or name it in the query: POST /api/policies?name=NAME.";
    ApiResponse::problem(400, &Explanation::new("The policy has no name; nothing was changed.", why, fix))
}
