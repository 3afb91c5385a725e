//! `Idempotency-Key`: a POST that is sent again under its key is answered as the first time and does nothing again
//! (IETF draft-ietf-httpapi-idempotency-key-header).
//!
//! Kept for a day, for each caller by itself, so that nobody reads what another was answered; a new start of the agent forgets. What a
//! caller could mend or what the agent failed at (403, 5xx) is not kept. Where the table is full, whoever has the most in it loses its
//! oldest answer: nobody can push out what others rely on.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};

use super::Agent;
use super::callers::Caller;
use crate::api::{ApiRequest, ApiResponse, Tier};
use crate::digest::digest;
use crate::effect::{Effect, Effects};
use crate::id::{Component, RequestId};
use crate::limits::{IDEMPOTENCY_KEY_CHARS, KEPT_ANSWER_BYTES, KEPT_ANSWERS};
use crate::time::{Monotonic, Now};
use crate::trust::Identity;
use crate::why::Explanation;

/// How long a key is known.
const KEPT_SECONDS: u64 = 24 * 60 * 60;
/// What an entry takes of the table besides its bytes: a full number of entries weighs as much as a full number of bytes.
const ENTRY_SHARE: usize = KEPT_ANSWER_BYTES / KEPT_ANSWERS;
/// Seconds after which a caller may ask again for an answer that is still awaited (RFC 9110 10.2.3).
const RETRY_AFTER_SECONDS: &str = "1";

/// Requests with a key and what they were answered, oldest first.
#[derive(Debug, Default)]
pub(super) struct Idempotency {
    entries: VecDeque<Entry>,
    /// How many of them are awaited; mostly none, and then no answer is looked at.
    awaited: usize,
}

#[derive(Debug)]
struct Entry {
    caller: String,
    key: String,
    /// Of method, target and body.
    request: u64,
    until: Monotonic,
    answer: Answer,
}

#[derive(Debug)]
enum Answer {
    /// The first request is still under way.
    Awaited(RequestId),
    Given(ApiResponse),
}

impl Entry {
    fn bytes(&self) -> usize {
        let Answer::Given(response) = &self.answer else { return 0 };
        let headers = response.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        headers.sum::<usize>().saturating_add(response.body.len())
    }

    const fn is_given(&self) -> bool {
        matches!(self.answer, Answer::Given(_))
    }
}

impl Idempotency {
    /// What a request is answered without being carried out; `None` where it is the first of its key.
    fn answer(&mut self, now: Monotonic, caller: String, key: &str, request: &ApiRequest) -> Option<ApiResponse> {
        self.entries.retain(|entry| now < entry.until || !entry.is_given());
        let digest = digest(&[request.method.as_bytes(), request.target.as_bytes(), &request.body]);
        let known = self.entries.iter().find(|entry| entry.key == key && entry.caller == caller);
        if let Some(entry) = known {
            return Some(match &entry.answer {
                _ if entry.request != digest => other_request(),
                Answer::Awaited(_) => still_awaited(),
                Answer::Given(response) => {
                    let mut response = response.clone();
                    response.set_header("idempotency-replayed", "true");
                    response
                }
            });
        }
        while self.entries.len() >= KEPT_ANSWERS {
            if !self.forget_one() {
                return Some(too_many());
            }
        }
        let until = now.plus_seconds(KEPT_SECONDS);
        let answer = Answer::Awaited(request.id);
        self.awaited = self.awaited.saturating_add(1);
        self.entries.push_back(Entry { caller, key: key.to_string(), request: digest, until, answer });
        None
    }

    /// Keeps the answer of a request that is awaited, unless the caller is meant to try again.
    fn keep(&mut self, request: RequestId, response: &ApiResponse) {
        let awaited = |entry: &Entry| matches!(entry.answer, Answer::Awaited(id) if id == request);
        let Some(place) = self.entries.iter().position(awaited) else { return };
        self.awaited = self.awaited.saturating_sub(1);
        if response.status == 403 || response.status >= 500 {
            self.entries.remove(place);
            return;
        }
        if let Some(entry) = self.entries.get_mut(place) {
            entry.answer = Answer::Given(response.clone());
        }
        while self.entries.iter().map(Entry::bytes).sum::<usize>() > KEPT_ANSWER_BYTES && self.forget_one() {}
    }

    /// Forgets the oldest answer of the caller who has the most; false where none is given yet.
    fn forget_one(&mut self) -> bool {
        let mut shares: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.is_given()) {
            let share = shares.entry(&entry.caller).or_default();
            *share = share.saturating_add(entry.bytes()).saturating_add(ENTRY_SHARE);
        }
        let most = shares.into_iter().max_by_key(|(_, share)| *share).map(|(caller, _)| caller.to_string());
        let oldest = |entry: &Entry| entry.is_given() && most.as_ref() == Some(&entry.caller);
        self.entries.iter().position(oldest).is_some_and(|place| self.entries.remove(place).is_some())
    }
}

impl Agent {
    /// What a POST with a key is answered without being carried out.
    pub(super) fn first_answer(&mut self, now: Now, request: &ApiRequest, caller: &Caller) -> Option<ApiResponse> {
        let mut keys = request.all_headers("idempotency-key");
        let key = keys.next()?;
        let plain = (1..=IDEMPOTENCY_KEY_CHARS).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain || keys.next().is_some() {
            let why =
                format!("A key has 1 to {IDEMPOTENCY_KEY_CHARS} visible ASCII characters, and stands there once.");
            let explanation = Explanation::new("The Idempotency-Key cannot be read.", why, "Send a UUID, for example.");
            return Some(ApiResponse::problem(400, &explanation));
        }
        self.idempotency.answer(now.monotonic, account(request, caller), key, request)
    }

    /// Keeps what requests with a key are answered in this turn.
    pub(super) fn keep_answers(&mut self, effects: &Effects) {
        if self.idempotency.awaited == 0 {
            return;
        }
        for effect in effects {
            if let Effect::Respond { request, response } = effect {
                self.idempotency.keep(*request, response);
            }
        }
    }
}

/// Who has used a key: the holder of a certificate, a plugin, a run of a job, a process of a signed program.
fn account(request: &ApiRequest, caller: &Caller) -> String {
    let component = caller.component();
    // A plugin's own process sees more with the certificate than its other holders do.
    if let Some(certificate) = request.certificate.as_ref().filter(|_| caller.tier == Tier::Admin) {
        return format!("{component} certificate {}", certificate.sha256);
    }
    match &caller.identity {
        Some(Identity { run: Some(run), .. }) => format!("{component} {run}"),
        // Programs of two users may have one name.
        Some(Identity { component: Component::Program(_), pid: Some(pid), .. }) => format!("{component} {pid}"),
        Some(_) | None => component.to_string(),
    }
}

fn other_request() -> ApiResponse {
    let explanation = Explanation::new(
        "The request was not carried out.",
        "Its Idempotency-Key was used for another request: another path, query or body.",
        "Use a new key for each request, and the same one only to send that request again.",
    );
    ApiResponse::problem(422, &explanation)
}

fn still_awaited() -> ApiResponse {
    let explanation = Explanation::new(
        "The request was not carried out again.",
        "The first one with its Idempotency-Key is still under way.",
        "Send it again later; it is answered as the first one then.",
    );
    let mut response = ApiResponse::problem(409, &explanation);
    response.set_header("retry-after", RETRY_AFTER_SECONDS);
    response
}

fn too_many() -> ApiResponse {
    let why = format!("{KEPT_ANSWERS} requests with an Idempotency-Key are under way already.");
    ApiResponse::problem(503, &Explanation::new("The agent has too much to do.", why, "Send the request again later."))
}
