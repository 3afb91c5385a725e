//! Admin certificates over the API: listed, issued for a key that the caller keeps, revoked (contract section 2).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Value, json};

use super::Agent;
use super::answers::not_on_disk;
use super::callers::Caller;
use super::certificates::Asked;
use crate::api::route::Target;
use crate::api::{ApiRequest, ApiResponse};
use crate::certificate::{
    CertificateChange, CertificatesChanged, DEFAULT_DAYS, NotChanged, Refusal, decide_issue, decide_revoke,
};
use crate::effect::Effects;
use crate::json::Json;
use crate::time::{Now, WallTime};
use crate::why::Explanation;

impl Agent {
    pub(super) fn list_certificates(&self, now: Now) -> ApiResponse {
        let lines = self.certificates.list.iter().map(|one| one.shown(now.wall));
        ApiResponse::json(200, &lines.collect::<Vec<_>>())
    }

    pub(super) fn issue_certificate(
        &mut self,
        now: Now,
        request: &ApiRequest,
        caller: &Caller,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let (name, days, csr) = match wanted(&request.body) {
            Ok(wanted) => wanted,
            Err(why) => return Some(bad_request(&why)),
        };
        let days = match decide_issue(&self.certificates.list, now.wall, &name, days) {
            Ok(days) => days,
            Err(refusal) => return Some(refused(&refusal)),
        };
        if self.issue_under_way(&name) {
            let why = "Another request asked for one of this name and waits for the disk.";
            let explanation =
                Explanation::new(format!("'{name}' has no certificate yet."), why, "Ask again in a moment.");
            return Some(ApiResponse::problem(409, &explanation));
        }
        if let Some(refusal) = self.overloaded() {
            return Some(refusal);
        }
        let by = caller.administrator();
        let asked = Asked::Issue { request: request.id, name: name.clone(), by };
        self.change_certificates(now, CertificateChange::Issue { name, days, request: csr }, asked, effects);
        None
    }

    pub(super) fn revoke_certificate(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        whose: &str,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let force = target.parameter("force").is_some_and(|force| force.eq_ignore_ascii_case("true"));
        let own = request.certificate.as_ref().map(|shown| shown.sha256.as_str());
        let sha256 = match decide_revoke(&self.certificates.list, now.wall, whose, own, force) {
            Ok(sha256) => sha256,
            Err(refusal) => return Some(refused(&refusal)),
        };
        // Taking trust back never waits for others; the store's queue bounds it.
        let by = caller.administrator();
        let asked = Asked::Revoke { request: request.id, sha256: sha256.clone(), by: by.clone() };
        self.change_certificates(now, CertificateChange::Revoke { sha256, by }, asked, effects);
        None
    }
}

/// The answer to whoever asked for a change.
pub(super) fn changed(asked: &Asked, result: &Result<CertificatesChanged, NotChanged>, now: WallTime) -> ApiResponse {
    match (result, asked) {
        (Ok(CertificatesChanged { issued: Some((issued, pem)), .. }), _) => {
            let mut body = issued.shown(now);
            if let Some(members) = body.as_object_mut() {
                members.insert(String::from("certificate"), Value::from(pem.as_str()));
            }
            ApiResponse::json(201, &body)
        }
        (Ok(_), Asked::Revoke { sha256, .. }) => ApiResponse::json(200, &json!({ "revoked": sha256 })),
        (Ok(_), Asked::Issue { .. } | Asked::Renew) => not_on_disk("No certificate was issued.", "none was made"),
        (Err(NotChanged::Request(why)), _) => bad_request(why),
        (Err(NotChanged::Failed(why)), _) => not_on_disk("The list of certificates stays as it was.", why),
    }
}

/// Name, days and signing request of a body.
fn wanted(body: &[u8]) -> Result<(String, i64, String), String> {
    let body = Json::parse(body).map_err(|error| error.to_string())?;
    let text = |name: &str| match body.lookup(&[name]) {
        Some(Json::String(text)) => Ok(text.to_string()),
        Some(other) => Err(format!("'{name}' is {}, not a text.", other.kind())),
        None => Err(format!("There is no '{name}'.")),
    };
    let days = match body.lookup(&["days"]) {
        None | Some(Json::Null) => i64::from(DEFAULT_DAYS),
        Some(Json::Number(days)) => days.as_i64().ok_or("'days' is not a whole number.")?,
        Some(other) => return Err(format!("'days' is {}, not a number.", other.kind())),
    };
    Ok((text("name")?, days, text("certificateRequest")?))
}

fn bad_request(why: &str) -> ApiResponse {
    let fix = "Send {\"name\",\"days\",\"certificateRequest\"}, the last one as: openssl req -new -newkey ec -pkeyopt \
               ec_paramgen_curve:P-256 -nodes -keyout NAME.key -subj /CN=NAME";
    ApiResponse::problem(400, &Explanation::new("No certificate can be made of this.", why, fix))
}

fn refused(refusal: &Refusal) -> ApiResponse {
    let status = match refusal {
        Refusal::Invalid(_) => 400,
        Refusal::NotFound(_) => 404,
        Refusal::Conflict(_) => 409,
    };
    ApiResponse::problem(status, refusal.explanation())
}
