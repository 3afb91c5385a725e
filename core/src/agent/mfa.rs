//! Authenticators over the API: users enrolled, listed and removed; and codes, which the store judges (privilege-flow.md section 3).

use alloc::format;
use alloc::string::{String, ToString};

use super::Agent;
use super::answers::{Pending, not_on_disk};
use super::callers::Caller;
use super::requests::{not_found, respond};
use crate::api::view::mfa::{Checked, Enrolled, Removed};
use crate::api::{ApiRequest, ApiResponse};
use crate::audit::{Act, EnrollmentOutcome};
use crate::effect::{Effects, StoreOrder};
use crate::id::{RequestId, TicketId};
use crate::job::finding::quote;
use crate::json::Json;
use crate::limits::ID_LENGTH;
use crate::log_message::Level;
use crate::mfa::{MfaOrder, MfaReport, Secret, USERS, Verdict, is_user, uri};
use crate::time::Now;
use crate::why::Explanation;

/// A request that waits for the store.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) request: RequestId,
    /// Whom it is about; nobody where all are listed.
    user: String,
    by: String,
}

impl Agent {
    pub(super) fn list_enrolled(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        self.ask_mfa(now, request, caller, "", MfaOrder::List, effects)
    }

    /// Enrolls a user; with a code in the body it judges that instead.
    pub(super) fn enroll_or_check(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        user: &str,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let code = match code_in(&request.body) {
            Ok(code) => code,
            Err(why) => {
                let fix = "Send no body to enroll the user, or {\"code\":\"123456\"} to try a code.";
                return Some(ApiResponse::problem(400, &Explanation::new("Nothing was done.", why, fix)));
            }
        };
        if !is_user(user) {
            let why = format!("A user has 1 to {ID_LENGTH} of A-Z a-z 0-9 and ._-@\\$+; this is {}.", quote(user));
            let fix = "Name the account as the machine does.";
            return Some(ApiResponse::problem(400, &Explanation::new("Nothing was done.", why, fix)));
        }
        let order = match code {
            Some(code) => MfaOrder::Check { user: user.to_string(), code },
            None => MfaOrder::Enroll { user: user.to_string(), by: caller.administrator() },
        };
        self.ask_mfa(now, request, caller, user, order, effects)
    }

    pub(super) fn remove_enrolled(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        user: &str,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        self.ask_mfa(now, request, caller, user, MfaOrder::Remove { user: user.to_string() }, effects)
    }

    fn ask_mfa(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        user: &str,
        order: MfaOrder,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        let asked = Asked { request: request.id, user: user.to_string(), by: caller.administrator() };
        self.order_mfa(now, order, Pending::Mfa(asked), effects);
        None
    }

    /// Asks the store what to do about authenticators; `pending` goes on with the answer. To judge a code, order
    /// [`MfaOrder::Check`]: the verdict is told once what follows from it is on disk.
    pub(super) fn order_mfa(&mut self, now: Now, order: MfaOrder, pending: Pending, effects: &mut Effects) {
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::Mfa { ticket, order, at: now.wall });
        self.expect_answer(ticket, pending);
    }

    pub(super) fn on_mfa(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: Result<MfaReport, String>,
        effects: &mut Effects,
    ) {
        if self.elevation_awaits(ticket) {
            return self.on_code_judged(now, ticket, result, effects);
        }
        let Asked { request, user, by } = match self.pending.remove(&ticket) {
            Some(Pending::Mfa(asked)) => asked,
            other => return self.unasked(now, ticket, other, effects),
        };
        if let Ok(MfaReport::Enrolled(_) | MfaReport::Removed(true)) = &result {
            let change = if matches!(result, Ok(MfaReport::Removed(_))) {
                EnrollmentOutcome::Removed
            } else {
                EnrollmentOutcome::Enrolled
            };
            let mut turn = self.desk.turn(now, effects);
            let done = change.text();
            turn.log(Level::Information, "Mfa", format!("Administrator '{by}' {done} the authenticator of {user}."));
            turn.audit(format!("admin:{by}"), Act::Enrollment { user: user.clone(), change });
        }
        let response = match result {
            Ok(MfaReport::Enrolled(secret)) => {
                let uri = uri(&user, &secret);
                ApiResponse::json(201, &Enrolled { user, secret: secret.expose().to_string(), uri })
            }
            Ok(MfaReport::AlreadyEnrolled) => {
                let (why, fix) = ("The user has an authenticator already.", "Remove it first: castellan mfa remove");
                conflict(why, &format!("{fix} {user}"))
            }
            Ok(MfaReport::Full) => conflict(
                &format!("{USERS} users have an authenticator, the most there may be."),
                "Remove one that is not needed.",
            ),
            Ok(MfaReport::Removed(true)) => ApiResponse::json(200, &Removed { user, removed: true }),
            Ok(MfaReport::Removed(false) | MfaReport::Checked(Verdict::NotEnrolled)) => {
                not_found(&format!("{} has no authenticator.", quote(&user)), "castellan mfa list names who has one.")
            }
            Ok(MfaReport::Checked(verdict)) => ApiResponse::json(200, &Checked::of(verdict)),
            Ok(MfaReport::Listed(users)) => ApiResponse::json(200, &users),
            Err(why) => not_on_disk("Nothing was changed, and no code counts.", &why),
        };
        respond(request, response, effects);
    }
}

fn conflict(why: &str, fix: &str) -> ApiResponse {
    ApiResponse::problem(409, &Explanation::new("Nobody was enrolled.", why, fix))
}

/// The code in a body; `None` where there is neither.
fn code_in(body: &[u8]) -> Result<Option<Secret>, String> {
    if body.is_empty() {
        return Ok(None);
    }
    let body = Json::parse(body).map_err(|error| error.to_string())?;
    match body.lookup(&["code"]) {
        None => Ok(None),
        Some(Json::String(code)) => Ok(Some(Secret::new(String::from(code)))),
        Some(other) => Err(format!("'code' is {}, not a text.", other.kind())),
    }
}
