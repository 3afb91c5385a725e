//! `GET /api/events`: who follows what happens, and the last events for those who come back (server-sent events, WHATWG HTML 9.2).
//!
//! What parts of the agent tell in a turn is numbered at the end of the turn, kept in a bounded ring, and appended to each stream
//! that asked for its kind. `Last-Event-ID` resumes from the ring; what has left it is told by an event `gap`. A stream ends when
//! its caller is no longer trusted: its certificate left the list, or its process the registry.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;

use super::Agent;
use super::callers::Caller;
use crate::api::route::Target;
use crate::api::stream::{self, EventId, Kind, Told, gap};
use crate::api::view::PluginLine;
use crate::api::{ApiRequest, ApiResponse, Tier};
use crate::effect::{Effect, Effects, StreamOrder};
use crate::event::StreamEnd;
use crate::id::{Component, RequestId, SpawnId};
use crate::limits::{PLUGIN_STREAMS, STREAM_EVENT_BYTES, STREAM_EVENTS, STREAMS, STREAMS_OF_ONE};
use crate::log_message::Level;
use crate::time::{Deadline, Monotonic, Now};
use crate::why::Explanation;

/// Seconds between two signs of life on every stream: a client that is gone is noticed by then, and one that waits knows that the
/// agent is there.
const BEAT_SECONDS: u64 = 15;
/// Milliseconds after which a client shall come back by itself.
const RETRY: &str = "retry: 1000\n";

/// Open streams and the events that can still be had.
#[derive(Default)]
pub(super) struct Streams {
    open: BTreeMap<RequestId, Follower>,
    /// The last events; the last one has the number `last`.
    ring: VecDeque<(Kind, Arc<[u8]>)>,
    bytes: usize,
    last: u64,
    /// While any stream is open.
    beat_at: Option<Monotonic>,
}

/// Who follows and how much is kept; the events themselves are bytes, which say nothing to anybody.
impl fmt::Debug for Streams {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { open, ring, bytes, last, beat_at } = self;
        let ring = ring.len();
        let mut shown = formatter.debug_struct("Streams");
        shown.field("open", open).field("ring", &ring).field("bytes", bytes).field("last", last);
        shown.field("beat_at", beat_at).finish()
    }
}

/// The caller of an open stream.
#[derive(Debug)]
struct Follower {
    kinds: BTreeSet<Kind>,
    tier: Tier,
    component: Component,
    authority: Authority,
}

/// What its trust rests on.
#[derive(Debug)]
enum Authority {
    /// This certificate is on the list.
    Certificate(String),
    /// This tree is in the registry.
    Process(SpawnId),
    /// The socket itself: root by the settings, or a program known by its signature.
    Socket,
}

#[derive(Serialize)]
struct PluginChanged {
    timestamp: String,
    #[serde(flatten)]
    plugin: PluginLine,
}

impl Streams {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        self.beat_at.map(|at| Deadline { at, reason: "a sign of life on event streams" })
    }

    /// Takes an event into the ring; the oldest ones make room.
    fn keep(&mut self, boot: u64, told: &Told) -> Arc<[u8]> {
        self.last = self.last.saturating_add(1);
        let block = EventId { boot, number: self.last }.block(told);
        self.bytes = self.bytes.saturating_add(block.len());
        self.ring.push_back((told.kind, Arc::clone(&block)));
        while self.ring.len() > STREAM_EVENTS || self.bytes > STREAM_EVENT_BYTES {
            let Some((_, oldest)) = self.ring.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.len());
        }
        block
    }

    /// How a stream begins: what came after the event that its client saw last, and where it stands then.
    fn opening(&self, boot: u64, seen: Option<&str>, kinds: &BTreeSet<Kind>) -> Vec<u8> {
        let mut body = String::from(RETRY).into_bytes();
        if let Some(seen) = seen {
            let gone = self.last.saturating_sub(u64::try_from(self.ring.len()).unwrap_or(u64::MAX));
            let known = EventId::parse(seen).filter(|id| id.boot == boot && id.number <= self.last);
            let skip = match known {
                Some(id) if id.number >= gone => id.number.saturating_sub(gone),
                Some(id) => {
                    body.extend(gap(Some(gone.saturating_sub(id.number))).bytes());
                    0
                }
                None => {
                    body.extend(gap(None).bytes());
                    0
                }
            };
            let missed = self.ring.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX));
            missed.filter(|(kind, _)| kinds.contains(kind)).for_each(|(_, block)| body.extend_from_slice(block));
        }
        body.extend(EventId { boot, number: self.last }.mark().bytes());
        body
    }

    /// Whether one more may be opened: what the agent started locks neither administrators out nor each other.
    fn has_room(&self, caller: &Caller) -> bool {
        let of_plugins = || self.open.values().filter(|follower| follower.tier < Tier::Admin);
        let own = of_plugins().filter(|follower| follower.component == caller.component()).count();
        let has_share = own < STREAMS_OF_ONE && of_plugins().count() < PLUGIN_STREAMS;
        self.open.len() < STREAMS && (caller.tier >= Tier::Admin || has_share)
    }
}

impl Agent {
    /// Opens a stream, or answers why not.
    pub(super) fn open_stream(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let kinds = match target.parameter("kinds").map(Kind::list) {
            None => Kind::all_for(caller.tier),
            Some(Ok(kinds)) => kinds,
            Some(Err(why)) => {
                let fix = "Write ?kinds=run,plugin, or leave it out for all that the caller may see.";
                return Some(ApiResponse::problem(400, &Explanation::new("No stream was opened.", why, fix)));
            }
        };
        if kinds.iter().any(|kind| kind.tier() > caller.tier) {
            return Some(self.forbid(now, request, target, caller, Tier::Admin, effects));
        }
        let mut response = ApiResponse { status: 200, headers: Vec::new(), body: Vec::new() };
        response.set_header("content-type", stream::MEDIA_TYPE);
        response.set_header("cache-control", "no-store");
        if request.method == "HEAD" {
            return Some(response);
        }
        if caller.is_http_task() {
            let why = "An Http task waits for the whole answer, and a stream has no end.";
            let fix = "Ask GET /api/runs/{id} or GET /api/plugins/{id} for what is wanted.";
            return Some(ApiResponse::problem(400, &Explanation::new("No stream was opened.", why, fix)));
        }
        if !self.streams.has_room(caller) {
            let why = format!(
                "{STREAMS} streams may be open, {PLUGIN_STREAMS} of them by tasks and plugins, {STREAMS_OF_ONE} by one job or plugin."
            );
            let explanation = Explanation::new("No stream was opened.", why, "Close one, or come back later.");
            let mut response = ApiResponse::problem(503, &explanation);
            response.set_header("retry-after", "10");
            return Some(response);
        }
        // What was told in this turn has no number yet and comes after the opening.
        response.body = self.streams.opening(self.desk.surroundings.boot, request.header("last-event-id"), &kinds);
        let authority = self.authority(now, request, caller);
        let follower = Follower { kinds, tier: caller.tier, component: caller.component(), authority };
        self.streams.open.insert(request.id, follower);
        self.streams.beat_at.get_or_insert(now.monotonic.plus_seconds(BEAT_SECONDS));
        effects.push(Effect::Stream(StreamOrder::Open { request: request.id, response }));
        None
    }

    fn authority(&self, now: Now, request: &ApiRequest, caller: &Caller) -> Authority {
        let listed = |sha256: &String| self.certificates.counting(sha256, now.wall).is_some();
        let certificate = request.certificate.as_ref().map(|certificate| &certificate.sha256).filter(|sha| listed(sha));
        match (certificate, &caller.identity) {
            (Some(sha256), _) => Authority::Certificate(sha256.clone()),
            (None, Some(identity)) if identity.spawn != SpawnId::NONE => Authority::Process(identity.spawn),
            (None, _) => Authority::Socket,
        }
    }

    /// The client of a stream has left, or was left behind. Told again where the server is asked once more for one that is gone.
    pub(super) fn on_stream_ended(&mut self, now: Now, request: RequestId, why: StreamEnd, effects: &mut Effects) {
        if self.streams.open.remove(&request).is_some() && why == StreamEnd::NotRead {
            let message =
                "A client of GET /api/events did not read; its stream was ended. It may come back with Last-Event-ID.";
            self.desk.turn(now, effects).log(Level::Warning, "StreamNotRead", message);
        }
    }

    /// Tells what each plugin has become since the last look.
    pub(super) fn tell_plugins(&mut self, now: Now, effects: &mut Effects) {
        for plugin in self.plugins.values_mut() {
            if plugin.has_news() {
                let plugin = PluginLine::new(plugin, now);
                let changed = PluginChanged { timestamp: now.wall.to_rfc3339(), plugin };
                self.desk.turn(now, effects).tell(Kind::Plugin, &changed);
            }
        }
    }

    /// Ends the streams of those who are no longer trusted, then brings everybody else what was told in this turn.
    pub(super) fn tell_streams(&mut self, now: Now, effects: &mut Effects) {
        self.tell_plugins(now, effects);
        let boot = self.desk.surroundings.boot;
        let (certificates, registry) = (&self.certificates, &self.registry);
        let distrusted = self.streams.open.extract_if(.., |_, follower| match &follower.authority {
            Authority::Certificate(sha256) => certificates.counting(sha256, now.wall).is_none(),
            Authority::Process(spawn) => registry.entry(*spawn).is_none(),
            Authority::Socket => false,
        });
        effects.extend(distrusted.map(|(request, _)| Effect::Stream(StreamOrder::Finish { request })));
        for told in core::mem::take(&mut self.desk.told) {
            let bytes = self.streams.keep(boot, &told);
            let followers = self.streams.open.iter().filter(|(_, follower)| follower.kinds.contains(&told.kind));
            effects.extend(followers.map(|(request, _)| append(*request, &bytes)));
        }
        if self.streams.open.is_empty() {
            self.streams.beat_at = None;
        } else if self.streams.beat_at.take_if(|at| now.monotonic >= *at).is_some() {
            self.streams.beat_at = Some(now.monotonic.plus_seconds(BEAT_SECONDS));
            let beat: Arc<[u8]> =
                format!(":\n{}", EventId { boot, number: self.streams.last }.mark()).into_bytes().into();
            effects.extend(self.streams.open.keys().map(|request| append(*request, &beat)));
        }
    }

    /// The agent exits: every stream ends in order.
    pub(super) fn end_streams(&mut self, effects: &mut Effects) {
        let open = core::mem::take(&mut self.streams.open);
        effects.extend(open.into_keys().map(|request| Effect::Stream(StreamOrder::Finish { request })));
    }
}

fn append(request: RequestId, bytes: &Arc<[u8]>) -> Effect {
    Effect::Stream(StreamOrder::Append { request, bytes: Arc::clone(bytes) })
}
