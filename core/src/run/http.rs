//! Http tasks: from the definition to the request, and what becomes of its answer (contract section 3). Tokens go in as they are,
//! without percent-encoding; a request to the agent's own API is answered inside the core, in the name of the run: there is no
//! connection whose authority another process could use. Redirects are not followed, wherever the request goes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use serde_json::Value;

use super::detail::Tokens;
use super::launch::fill;
use super::message::Request;
use super::phase::{Call, Live, Phase};
use super::routing::Next;
use super::{KILL_GRACE_SECONDS, Run, output};
use crate::effect::{HttpCall, HttpOrder};
use crate::event::{Captured, ExitStatus};
use crate::id::{RunId, TicketId};
use crate::job::Lookup;
use crate::job::substitution::substitute;
use crate::job::task::{HttpRequestDefinition, Task};
use crate::job::url::HttpUrl;
use crate::json::Json;
use crate::limits::DOCUMENT_BYTES;
use crate::turn::Turn;

/// What `{LastExitCode}` says where there was no answer: neither success nor a status.
const NO_ANSWER: i32 = -1;

/// A request of an Http task to the agent's own API.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct OwnCall {
    pub(crate) run: RunId,
    pub(crate) ticket: TicketId,
    pub(crate) method: String,
    pub(crate) target: String,
    /// With `host`; names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A request whose tokens are replaced.
struct Prepared {
    /// As it was written, for the record.
    shown: String,
    url: HttpUrl,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    unknown: Vec<String>,
}

fn prepare(definition: &HttpRequestDefinition, version: &str, lookup: Lookup<'_, '_>) -> Result<Prepared, String> {
    let texts: Vec<String> = core::iter::once(&definition.url).chain(definition.headers.values()).cloned().collect();
    let filled = fill(&texts, lookup)?;
    let mut unknown = filled.unknown;
    let mut texts = filled.texts.into_iter();
    let shown = texts.next().unwrap_or_default();
    let url = HttpUrl::parse(&shown).map_err(|why| format!("'{shown}' is not a URL to send a request to: {why}"))?;
    let mut headers = Vec::new();
    for (name, value) in definition.headers.keys().zip(texts) {
        if value.contains(|letter: char| letter.is_control() && letter != '\t') {
            return Err(format!("The header field '{name}' has a line break or control character after substitution."));
        }
        headers.push((name.to_ascii_lowercase(), value));
    }
    let (body, media_type) = body(definition.body.as_ref(), &mut unknown, lookup)?;
    let mut default = |name: &str, value: &str| {
        if !headers.iter().any(|(known, _)| known == name) {
            headers.push((name.to_string(), value.to_string()));
        }
    };
    default("user-agent", &format!("castellan/{version}"));
    if !body.is_empty() {
        default("content-type", media_type);
    }
    Ok(Prepared { shown, url, headers, body, unknown })
}

/// The body and its media type: a text as it is, anything else as JSON whose texts are substituted one by one, so that no value can
/// change its structure.
fn body(
    definition: Option<&Value>,
    unknown: &mut Vec<String>,
    lookup: Lookup<'_, '_>,
) -> Result<(Vec<u8>, &'static str), String> {
    let json = "application/json";
    let (bytes, media_type) = match definition {
        None | Some(Value::Null) => (Vec::new(), json),
        Some(Value::String(text)) => {
            let filled = substitute(text, lookup).map_err(|error| error.to_string())?;
            unknown.extend(filled.unknown);
            let bytes = filled.text.into_bytes();
            let structured = matches!(Json::parse(&bytes), Ok(Json::Object(_) | Json::Array(_)));
            (bytes, if structured { json } else { "text/plain; charset=utf-8" })
        }
        Some(value) => {
            let mut value = value.clone();
            substitute_within(&mut value, unknown, lookup)?;
            (value.to_string().into_bytes(), json)
        }
    };
    if bytes.len() > DOCUMENT_BYTES {
        return Err(format!(
            "The body has {} bytes after substitution; at most {DOCUMENT_BYTES} are sent.",
            bytes.len()
        ));
    }
    Ok((bytes, media_type))
}

fn substitute_within(value: &mut Value, unknown: &mut Vec<String>, lookup: Lookup<'_, '_>) -> Result<(), String> {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(text) => {
            let filled = substitute(text, lookup).map_err(|error| error.to_string())?;
            unknown.extend(filled.unknown);
            *text = filled.text;
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| substitute_within(item, unknown, lookup)),
        Value::Object(members) => {
            members.values_mut().try_for_each(|member| substitute_within(member, unknown, lookup))
        }
    }
}

impl Run {
    /// Sends the request of a task, or asks the agent itself; `None` where the answer has to be waited for.
    pub(super) fn call(
        &mut self,
        live: Live,
        task: &Task,
        definition: &HttpRequestDefinition,
        turn: &mut Turn<'_>,
    ) -> Option<Next> {
        let tokens = Tokens::of(turn);
        let prepared = prepare(definition, &turn.surroundings.version, &tokens.noting(&self.lookup(turn)));
        self.tell_tokens(task, tokens, turn);
        let Prepared { shown, url, mut headers, body, unknown } = match prepared {
            Ok(prepared) => prepared,
            Err(reason) => return Some(self.without_answer(&live, reason, turn)),
        };
        self.warn_unknown(&task.id, &unknown);
        Arc::make_mut(&mut self.record).set_command_line(
            &definition.method,
            [self.secrets.mask(shown)].into(),
            &mut self.room,
        );
        let (ticket, method) = (turn.counters.ticket(), definition.method.clone());
        if let Some(parent) = self.task_context().and_then(|place| place.to_traceparent())
            && !headers.iter().any(|(name, _)| name == "traceparent")
        {
            headers.push(("traceparent".to_string(), parent));
        }
        let own = url.is_own(turn.surroundings.endpoints);
        if own {
            headers.push(("host".to_string(), format!("{}:{}", url.host, url.port)));
            let (run, target) = (self.id.clone(), url.target);
            self.requests.push(Request::Call(OwnCall { run, ticket, method, target, headers, body }));
        } else {
            let give_up_seconds = task.timeout_seconds.saturating_add(KILL_GRACE_SECONDS);
            turn.http(HttpOrder::Send(HttpCall { ticket, method, url, headers, body, give_up_seconds }));
        }
        self.phase = Phase::Calling(live, Call { ticket, own });
        None
    }

    /// Whether it waits for the answer to this request.
    pub(crate) fn calls(&self, ticket: TicketId) -> bool {
        self.called(ticket).is_some()
    }

    fn called(&self, ticket: TicketId) -> Option<&Live> {
        let Phase::Calling(live, call) = &self.phase else { return None };
        (call.ticket == ticket).then_some(live)
    }

    /// The request was answered, with whatever status.
    pub(crate) fn on_answered(&mut self, ticket: TicketId, status: u16, body: &Captured, turn: &mut Turn<'_>) {
        let Some(live) = self.called(ticket).cloned() else { return self.anomaly("an answer", turn) };
        let request = self.job.tasks.get(live.index).and_then(|task| task.http.as_ref());
        let expected = request.map_or(&[][..], |request| &request.expect_status);
        let good = if expected.is_empty() { (200..300).contains(&status) } else { expected.contains(&status) };
        let failure = (!good).then(|| unexpected(status, expected));
        let code = ExitStatus::Code(if good { 0 } else { i32::from(status) });
        let (end, reason) = live.unless_stopped(failure);
        // An answer to HEAD has no body (RFC 9110 9.3.2), also where the agent itself made one.
        let empty = Captured::default();
        let body = if request.is_some_and(|request| request.method == "HEAD") { &empty } else { body };
        Arc::make_mut(&mut self.record).set_result(
            code,
            output::masked(body, &self.secrets),
            String::new(),
            &mut self.room,
        );
        self.record_mut().set_http_status(status);
        self.remember(live.index, code, &output::text(body), turn);
        let next = self.task_ended(live.index, end, reason, &live, turn);
        self.advance(next, turn);
    }

    /// There is no answer.
    pub(crate) fn on_call_failed(&mut self, ticket: TicketId, reason: &str, turn: &mut Turn<'_>) {
        let Some(live) = self.called(ticket).cloned() else { return self.anomaly("a failed request", turn) };
        let next = self.without_answer(&live, format!("There was no answer: {reason}."), turn);
        self.advance(next, turn);
    }

    /// The client was told to stop; what the agent was asked itself is not waited for.
    pub(super) fn stop_call(&mut self, call: Call, turn: &mut Turn<'_>) {
        if call.own {
            return self.give_up_call(turn);
        }
        turn.http(HttpOrder::Cancel { ticket: call.ticket });
    }

    /// Nobody reports the end of the request, so it ends here.
    pub(super) fn give_up_call(&mut self, turn: &mut Turn<'_>) {
        let Phase::Calling(live, _) = &self.phase else { return };
        let live = live.clone();
        let next = self.without_answer(&live, "There was no answer.".to_string(), turn);
        self.advance(next, turn);
    }

    fn without_answer(&mut self, live: &Live, reason: String, turn: &mut Turn<'_>) -> Next {
        self.remember_code(live.index, NO_ANSWER);
        let (end, reason) = live.unless_stopped(Some(reason));
        let reason = reason.map(|reason| self.secrets.mask(reason));
        self.task_ended(live.index, end, reason, live, turn)
    }

    /// The result of a request that brought nothing.
    fn remember_code(&mut self, index: usize, code: i32) {
        let Some(task) = self.job.tasks.get(index) else { return };
        self.context.set_result(&format!("{}.ExitCode", task.id), Value::from(code));
        self.context.set_result("LastExitCode", Value::from(code));
        self.context.set_result("LastOutput", Value::String(String::new()));
    }
}

fn unexpected(status: u16, expected: &[u16]) -> String {
    let hint = if (300..400).contains(&status) { " Redirects are not followed; ask the place itself." } else { "" };
    if expected.is_empty() {
        return format!("The answer has status {status}, which is not one of 200 to 299.{hint}");
    }
    let listed: Vec<String> = expected.iter().map(ToString::to_string).collect();
    format!("The answer has status {status}; expectStatus says {}.{hint}", listed.join(", "))
}
