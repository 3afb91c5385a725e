//! Configuration policies over the API: listed, the folder read again, one policy applied or only judged.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::Agent;
use super::answers::Pending;
use super::configuration_policies::{Asker, Delivery};
use super::requests::respond;
use crate::api::route::Target;
use crate::api::{ApiRequest, ApiResponse};
use crate::configuration_policy::record::PolicyLine;
use crate::configuration_policy::{API, FOLDER, PolicyDocument, PolicyFile};
use crate::effect::{Effects, StoreOrder};
use crate::id::RequestId;
use crate::job::finding::quote;
use crate::json::Json;
use crate::log_message::Level;
use crate::time::Now;
use crate::why::Explanation;

/// Characters of a policy's name: what fits the name of a file.
const NAME_CHARS: usize = 128;

/// What policies are read for.
#[derive(Debug)]
pub(super) enum PoliciesWanted {
    /// The folder is applied, and who asked for it is told.
    Folder(Asker),
    /// The one that a request brought is applied, or only judged.
    Document { request: RequestId, is_dry_run: bool },
}

impl PoliciesWanted {
    /// Who waits for it.
    pub(super) const fn request(&self) -> Option<RequestId> {
        match self {
            Self::Folder(Asker::Folder(request) | Asker::Document(request)) | Self::Document { request, .. } => {
                Some(*request)
            }
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
                "A name has 1 to {NAME_CHARS} letters, digits, blanks and -._ and begins with a letter or digit; this is {}.",
                quote(&name)
            );
            return Some(no_name(why));
        }
        let document = Some(PolicyDocument { name, document: Arc::from(request.body.as_slice()) });
        let order = |ticket| StoreOrder::ReadPolicies { ticket, document };
        let wanted = PoliciesWanted::Document { request: request.id, is_dry_run };
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
            PoliciesWanted::Document { request, is_dry_run } => {
                let units = Vec::from([files]);
                let delivery = Delivery::new(API, units, Asker::Document(request));
                let delivery = Delivery { is_complete: false, is_dry_run, ..delivery };
                self.deliver_or_say(now, delivery, effects);
            }
        }
    }

    /// Applies what is new in the folder, each file for itself.
    pub(super) fn apply_folder(&mut self, now: Now, files: Vec<PolicyFile>, asker: Asker, effects: &mut Effects) {
        // A folder that cannot be read tells nothing of what is gone.
        let is_complete = files.iter().all(|file| file.name != "*");
        // The last unit forgets what is gone, whatever became of the files.
        let units = files.into_iter().map(|file| Vec::from([file])).chain(is_complete.then(Vec::new)).collect();
        self.deliver_or_say(now, Delivery { is_complete, ..Delivery::new(FOLDER, units, asker) }, effects);
    }

    fn deliver_or_say(&mut self, now: Now, delivery: Delivery, effects: &mut Effects) {
        let asker = delivery.asker;
        let Err(explanation) = self.deliver(now, delivery, effects) else { return };
        match asker {
            Asker::Document(request) | Asker::Folder(request) => {
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
            (Asker::Nobody | Asker::Bundle, _) => {}
        }
    }
}

/// What a policy calls itself.
fn name_in(body: &[u8]) -> Option<String> {
    let json = Json::parse(body).ok()?;
    let text = |name: &str| json.lookup(&[name]).and_then(Json::as_str).filter(|text| !text.is_empty());
    text("PolicyId").or_else(|| text("PolicyName")).map(ToString::to_string)
}

fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || " -._".contains(letter);
    name.len() <= NAME_CHARS && name.chars().all(plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

fn no_name(why: String) -> ApiResponse {
    let fix = "Give it a PolicyId, or name it in the query: POST /api/policies?name=NAME.";
    ApiResponse::problem(400, &Explanation::new("The policy has no name; nothing was changed.", why, fix))
}
