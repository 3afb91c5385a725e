//! The port of Http tasks: each call on the executor, so many at a time, bounded in size and time, cancelable, answered exactly once.
//!
//! A certificate is trusted where the system's roots say so; they are read when the first https call needs them. Redirects are
//! not followed and no proxy variable of the environment is looked at. [`fetch`] is the same for what the agent itself asks others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use castellan_core::effect::{HttpCall, HttpOrder};
use castellan_core::event::{Captured, Event, HttpReport};
use castellan_core::id::TicketId;
use castellan_core::job::url::HttpUrl;
use futures_lite::future::or;
use rustls::ClientConfig;
use smol::channel::{Receiver, RecvError, Sender, bounded};
use smol::lock::OnceCell;

use crate::client::{ClientError, ClientRequest, ClientResponse, request};
use crate::tls::client_tls;

/// Calls under way at one time: as many as an agent with very many places has runs, times the bound of a body still bearable.
const IN_FLIGHT: usize = 256;

/// Sends what Http tasks ask for and reports the answers.
#[derive(Debug)]
pub struct Calls {
    executor: Arc<smol::Executor<'static>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    events: Sender<Event>,
    /// Dropping the sender cancels the call.
    in_flight: Mutex<BTreeMap<TicketId, Sender<()>>>,
    trust: OnceCell<Arc<ClientConfig>>,
}

/// A call that is not sent because too many are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyCalls;

impl fmt::Display for TooManyCalls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{IN_FLIGHT} requests of Http tasks are under way, which is the most there may be")
    }
}

impl std::error::Error for TooManyCalls {}

impl Calls {
    /// A port that works on this executor and reports to this queue.
    pub fn new(executor: Arc<smol::Executor<'static>>, events: Sender<Event>) -> Self {
        let shared = Shared { events, in_flight: Mutex::default(), trust: OnceCell::new() };
        Self { executor, shared: Arc::new(shared) }
    }

    /// Trusts these roots instead of the system's.
    #[must_use]
    pub fn trusting(mut self, config: Arc<ClientConfig>) -> Self {
        let events = self.shared.events.clone();
        self.shared = Arc::new(Shared { events, in_flight: Mutex::default(), trust: OnceCell::from(config) });
        self
    }

    /// Takes an order; never blocks.
    ///
    /// # Errors
    /// [`TooManyCalls`]: the call is not sent and will not be answered.
    pub fn order(&self, order: HttpOrder) -> Result<(), TooManyCalls> {
        match order {
            HttpOrder::Send(call) => self.send(call),
            HttpOrder::Cancel { ticket } => {
                // Where it is gone already, its report is on its way.
                drop(self.shared.calls().remove(&ticket));
                Ok(())
            }
        }
    }

    fn send(&self, call: HttpCall) -> Result<(), TooManyCalls> {
        let (keep, canceled) = bounded(1);
        {
            let mut calls = self.shared.calls();
            if calls.len() >= IN_FLIGHT {
                return Err(TooManyCalls);
            }
            calls.insert(call.ticket, keep);
        }
        let shared = Arc::clone(&self.shared);
        self.executor.spawn(async move { shared.carry_out(call, canceled).await }).detach();
        Ok(())
    }
}

impl Shared {
    fn calls(&self) -> std::sync::MutexGuard<'_, BTreeMap<TicketId, Sender<()>>> {
        self.in_flight.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn carry_out(&self, call: HttpCall, canceled: Receiver<()>) {
        let ticket = call.ticket;
        let limit = Duration::from_secs(call.give_up_seconds);
        let deadline = async {
            smol::Timer::after(limit).await;
            Err(ClientError::TimedOut(limit).to_string())
        };
        let cancel = async {
            // Nothing is ever sent; the closed channel is the message.
            Err(match canceled.recv().await {
                Ok(()) | Err(RecvError) => String::from("it was canceled"),
            })
        };
        let outcome = or(or(self.ask(call, limit), deadline), cancel).await;
        drop(self.calls().remove(&ticket));
        let report = match outcome {
            Ok(ClientResponse { status, body, .. }) => {
                HttpReport::Answered { ticket, status, body: Captured::of(body) }
            }
            Err(reason) => HttpReport::Failed { ticket, reason },
        };
        if self.events.send(Event::Http(report)).await.is_err() {
            log::debug!("request {ticket} ended after the agent did");
        }
    }

    async fn ask(&self, call: HttpCall, timeout: Duration) -> Result<ClientResponse, String> {
        let tls = if call.url.tls { Some(self.trust().await?) } else { None };
        let HttpCall { method, url, headers, body, .. } = call;
        ask(HttpRequest { method, url, headers, body }, tls, timeout).await
    }

    /// The system's roots, read once.
    async fn trust(&self) -> Result<Arc<ClientConfig>, String> {
        let read = || smol::unblock(|| client_tls(None, None));
        self.trust.get_or_try_init(read).await.cloned()
    }
}

/// Gets what a URL has, unless it still is what the entity tag says (RFC 9110 13.1.2): then the status is 304. Redirects are not
/// followed.
///
/// # Errors
/// There is no response within `timeout`; why, as a sentence without a full stop.
pub async fn fetch(
    url: &HttpUrl,
    etag: Option<String>,
    tls: Arc<ClientConfig>,
    timeout: Duration,
) -> Result<ClientResponse, String> {
    let headers = etag.into_iter().map(|etag| (String::from("if-none-match"), etag)).collect();
    let (method, body) = (String::from("GET"), Vec::new());
    bounded_ask(HttpRequest { method, url: url.clone(), headers, body }, Some(tls), timeout).await
}

/// Posts a body, in the clear where there are no settings for TLS. Redirects are not followed.
///
/// # Errors
/// There is no response within `timeout`; why, as a sentence without a full stop.
pub async fn post(
    url: HttpUrl,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
) -> Result<ClientResponse, String> {
    let method = String::from("POST");
    bounded_ask(HttpRequest { method, url, headers, body }, tls, timeout).await
}

/// What is asked of whom.
struct HttpRequest {
    method: String,
    url: HttpUrl,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// The same as [`ask`], finding the addresses included in its time.
async fn bounded_ask(
    request: HttpRequest,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
) -> Result<ClientResponse, String> {
    let late = async {
        smol::Timer::after(timeout).await;
        Err(ClientError::TimedOut(timeout).to_string())
    };
    or(ask(request, tls, timeout), late).await
}

/// Asks each address of the host until one can be connected to.
async fn ask(asked: HttpRequest, tls: Option<Arc<ClientConfig>>, timeout: Duration) -> Result<ClientResponse, String> {
    let HttpRequest { method, url, headers, body } = asked;
    let name = url.host.trim_matches(['[', ']']).to_owned();
    let addresses = smol::net::resolve((name, url.port)).await;
    let addresses = addresses.map_err(|error| format!("no address of '{}' was found: {error}", url.host))?;
    let mut failure = format!("'{}' has no address", url.host);
    for address in addresses {
        let (method, host, target) = (method.clone(), url.host.clone(), url.target.clone());
        let (headers, body, tls) = (headers.clone(), body.clone(), tls.clone());
        match request(ClientRequest { method, address, host, target, headers, body, tls, timeout }).await {
            Ok(response) => return Ok(response),
            Err(error @ ClientError::Connect(..)) => failure = error.to_string(),
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(failure)
}
