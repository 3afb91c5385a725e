//! One request and its response.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use castellan_core::api::{ApiRequest, ApiResponse, CertificateFacts, Listener};
use castellan_core::event::Event;
use castellan_core::id::RequestId;
use castellan_core::limits::DOCUMENT_BYTES;
use castellan_core::trust::{Claim, PeerFacts, Witness};
use futures_lite::future::or;
use http_body_util::{BodyExt, Either, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, CONTENT_LENGTH, HeaderName, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, Response, StatusCode};
use smol::Timer;
use smol::channel::{Receiver, TrySendError, bounded};

use super::alarm::Alarm;
use super::head::{Head, SharedSeen, lock};
use super::problem::Problem;
use super::slots::Slot;
use super::stream::{Answer, OpenBody};
use super::{Shared, bump, limits, next_request};

/// What all requests of one connection share.
pub(crate) struct Exchange {
    pub(crate) listener: Listener,
    pub(crate) certificate: Option<CertificateFacts>,
    pub(crate) witness: Witness,
    pub(crate) seen: SharedSeen,
    pub(crate) slot: Arc<Slot>,
    pub(crate) shared: Arc<Shared>,
    /// Whether its last response stays open, so that only its client can end it.
    pub(crate) open: AtomicBool,
    /// For the waits of its task.
    pub(crate) alarm: Alarm,
}

/// The body of a response.
pub(crate) type Payload = Either<Full<Bytes>, OpenBody>;

/// Answers one request; whatever goes wrong becomes a response.
pub(crate) async fn answer(
    exchange: Arc<Exchange>,
    request: Request<Incoming>,
) -> Result<Response<Payload>, Infallible> {
    let busy = exchange.slot.busy();
    let head = lock(&exchange.seen).take_head();
    let (answer, close) = match head {
        Err(problem) => (Answer::Whole(exchange.refuse(problem)), true),
        Ok(head) => {
            let unread = head.chunked || (exchange.listener == Listener::Http && head.has_body());
            match exchange.ask(head, request.into_body()).await {
                Ok(answer) => (answer, unread),
                Err(refusal) => (Answer::Whole(refusal.problem.response()), unread || refusal.close),
            }
        }
    };
    if let Answer::Open(_, body) = &answer {
        exchange.open.store(true, Ordering::Relaxed);
        body.keep_busy(busy);
    }
    Ok(exchange.shared.encode(answer, close))
}

/// A request that did not reach the agent, or got no answer from it.
struct Refusal {
    problem: Problem,
    /// Whether the connection cannot be used any more.
    close: bool,
}

impl Exchange {
    fn refuse(&self, problem: Problem) -> ApiResponse {
        self.shared.count(|counters| bump(&mut counters.refused));
        problem.response()
    }

    /// Hands the request over and waits for the answer.
    async fn ask(&self, head: Head, body: Incoming) -> Result<Answer, Refusal> {
        let body = match self.listener {
            Listener::Http => Vec::new(),
            Listener::Https => read_body(&head, body).await.map_err(|problem| {
                self.shared.count(|counters| bump(&mut counters.refused));
                Refusal { problem, close: true }
            })?,
        };
        let mut request = ApiRequest {
            id: RequestId(0),
            listener: self.listener,
            peer: PeerFacts::default(),
            certificate: self.certificate.clone(),
            method: head.method,
            target: head.target,
            headers: head.headers,
            body,
        };
        if let Some(response) = (self.shared.at_once)(&request) {
            self.shared.count(|counters| bump(&mut counters.answered_at_once));
            return Ok(Answer::Whole(response));
        }
        let (waiter, response) = Waiter::register(Arc::clone(&self.shared));
        request.id = waiter.id;
        // Last, so that the facts are those of the moment in which the core decides.
        request.peer = (self.witness)(Claim::default());
        let event = Event::Api(request);
        match self.shared.events.try_send(event) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => {
                self.shared.count(|counters| bump(&mut counters.overloaded));
                return Err(Refusal {
                    problem: Problem::busy("The agent has too much to do. Try again."),
                    close: false,
                });
            }
            Err(TrySendError::Closed(_)) => {
                return Err(Refusal { problem: Problem::busy("The agent is stopping."), close: true });
            }
        }
        let answer = async { response.recv().await.ok() };
        let deadline = async {
            self.alarm.after(limits::ANSWER).await;
            None
        };
        or(answer, deadline).await.ok_or_else(|| {
            self.shared.count(|counters| bump(&mut counters.unanswered));
            Refusal { problem: Problem::busy("The agent gave no answer in time."), close: true }
        })
    }
}

/// The whole body, within its limits of size and time.
async fn read_body(head: &Head, body: Incoming) -> Result<Vec<u8>, Problem> {
    const TOO_LARGE: Problem = Problem::of(StatusCode::PAYLOAD_TOO_LARGE, "A request body has at most 1 MiB.");
    if head.length.is_some_and(|length| length > DOCUMENT_BYTES as u64) {
        return Err(TOO_LARGE);
    }
    let whole = async {
        match Limited::new(body, DOCUMENT_BYTES).collect().await {
            Ok(collected) => Ok(collected.to_bytes().to_vec()),
            Err(error) if error.is::<LengthLimitError>() => Err(TOO_LARGE),
            Err(_) => Err(Problem::malformed("The request body is incomplete or its chunks are malformed.")),
        }
    };
    let deadline = async {
        Timer::after(limits::BODY).await;
        Err(Problem::of(StatusCode::REQUEST_TIMEOUT, "The request body took longer than 10 seconds."))
    };
    or(whole, deadline).await
}

/// A request in the table of those that wait; leaves it when the client leaves.
struct Waiter {
    id: RequestId,
    shared: Arc<Shared>,
}

impl Waiter {
    fn register(shared: Arc<Shared>) -> (Self, Receiver<Answer>) {
        let (sender, receiver) = bounded(1);
        let id = next_request(&shared);
        shared.waiting().insert(id, sender);
        (Self { id, shared }, receiver)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.shared.waiting().remove(&self.id);
    }
}

impl Shared {
    /// The core's response with its framing. One that is not HTTP is counted and becomes a 500.
    fn encode(&self, answer: Answer, close: bool) -> Response<Payload> {
        let mut encoded = to_http(answer).unwrap_or_else(|| {
            self.count(|counters| bump(&mut counters.unsendable));
            let problem = Problem::of(StatusCode::INTERNAL_SERVER_ERROR, "The agent's answer could not be sent.");
            to_http(Answer::Whole(problem.response())).unwrap_or_else(|| {
                let mut bare = Response::new(Either::Left(Full::default()));
                *bare.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                bare
            })
        });
        if close {
            encoded.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        encoded
    }
}

/// `None` where a status or header is not valid, or a header is one of framing, which belongs to the adapter.
fn to_http(answer: Answer) -> Option<Response<Payload>> {
    let (status, headers, body) = match answer {
        Answer::Whole(ApiResponse { status, headers, body }) => {
            (status, headers, Either::Left(Full::new(Bytes::from(body))))
        }
        Answer::Open(ApiResponse { status, headers, body }, mut open) => {
            open.begin_with(body);
            (status, headers, Either::Right(open))
        }
    };
    let mut encoded = Response::new(body);
    let status = StatusCode::from_u16(status).ok()?;
    if status.is_informational() {
        return None;
    }
    *encoded.status_mut() = status;
    for (name, value) in headers {
        let name = HeaderName::try_from(name).ok()?;
        if [CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            return None;
        }
        encoded.headers_mut().append(name, HeaderValue::try_from(value).ok()?);
    }
    Some(encoded)
}
