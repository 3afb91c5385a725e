//! What the agent's thread need not be asked: how it is, for anyone, while it is seen to work.
//!
//! The same guard, route and answer as on the agent's thread. Whatever is refused goes there, where refusals are recorded.

#[cfg(test)]
mod tests;

use alloc::string::String;

use super::route::{self, Method, Resource, Target};
use super::view::Health;
use super::{ApiRequest, ApiResponse, refuse};
use crate::event::Endpoints;
use crate::time::{Monotonic, Now, WallTime};

/// The longest turn of an agent that is healthy, in milliseconds. One that takes longer has to answer for itself.
const LONGEST_TURN: u64 = 1000;

/// What the agent's thread does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulse {
    /// It has not come to wait for its first event yet, or has exited.
    None,
    /// It waits for an event.
    Waiting,
    /// It has been at an event since then.
    Busy(Monotonic),
}

/// Answers at once.
#[derive(Debug, Clone)]
pub struct AtOnce {
    version: String,
    endpoints: Endpoints,
}

impl AtOnce {
    /// Of an agent of this version that listens there.
    pub const fn new(version: String, endpoints: Endpoints) -> Self {
        Self { version, endpoints }
    }

    /// The answer, or `None` where the agent's thread has to give it. Nothing that is known of the peer counts.
    pub fn answer(&self, now: Now, pulse: Pulse, request: &ApiRequest) -> Option<ApiResponse> {
        let is_at_work = match pulse {
            Pulse::None => false,
            Pulse::Waiting => true,
            Pulse::Busy(since) => now.monotonic.millis_since(since) < LONGEST_TURN,
        };
        let target = Target::parse(&request.target);
        let asked = route::route(&request.method, &target.path);
        let is_health = asked == Ok((Resource::Health, Method::Get));
        if !is_at_work || !is_health || refuse(request, &target, self.endpoints).is_some() {
            return None;
        }
        Some(health(now.wall, &self.version))
    }
}

/// `GET /health`.
pub(crate) fn health(now: WallTime, version: &str) -> ApiResponse {
    ApiResponse::json(200, &Health { status: "healthy", timestamp: now.to_rfc3339(), version })
}
