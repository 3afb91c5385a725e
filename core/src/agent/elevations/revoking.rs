//! Grants that are taken back: by an administrator over the API, or by their own user over the request socket.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use crate::agent::Agent;
use crate::agent::answers::not_on_disk;
use crate::agent::callers::Caller;
use crate::agent::requests::{not_found, respond};
use crate::api::route::Target;
use crate::api::{ApiRequest, ApiResponse};
use crate::audit::Act;
use crate::effect::{Effects, StoreOrder};
use crate::elevation::{CallerId, ElevationRecord, Revoker};
use crate::id::{ElevationId, RequestId, TicketId};
use crate::time::Now;
use crate::why::Explanation;

/// A grant that counts no more, while that is being written.
#[derive(Debug)]
pub(super) struct Revocation {
    pub(super) answered: Answered,
    record: Box<ElevationRecord>,
}

/// Who is answered once it is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    /// A request of the API.
    Api(RequestId),
    /// A connection to the request socket.
    Owner(CallerId),
}

impl Revocation {
    /// The request of the API that waits for it.
    pub(super) const fn request(&self) -> Option<RequestId> {
        match self.answered {
            Answered::Api(request) => Some(request),
            Answered::Owner(_) => None,
        }
    }
}

impl Agent {
    /// Ends a grant at once, and what rests on it and has not started; with `kill` also what runs, which may be done later, too. Answered
    /// when it is on disk that the grant ended.
    pub(in crate::agent) fn revoke_grant(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        id: &ElevationId,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let kill = match target.flag("kill") {
            Ok(kill) => kill,
            Err(why) => {
                let explanation = Explanation::new("The query cannot be read.", why, "Leave 'kill' out, or mend it.");
                return Some(ApiResponse::problem(400, &explanation));
            }
        };
        let Some(record) = self.end_grant(id, kill) else {
            return Some(not_found(
                &format!("There is no grant '{id}' that counts."),
                "castellan grants list shows them.",
            ));
        };
        let by = Revoker::Administrator(caller.administrator());
        self.take_back(now, (id, record), &by, kill, Answered::Api(request.id), effects);
        None
    }

    /// A grant was ended: so is what rests on it, grants first, and the audit and the disk are told.
    pub(super) fn take_back(
        &mut self,
        now: Now,
        (id, mut record): (&ElevationId, ElevationRecord),
        by: &Revoker,
        kill: bool,
        answered: Answered,
        effects: &mut Effects,
    ) {
        // What it stood in for is met in none of them without it.
        for (other, grant) in self.elevations.grants.revoke_resting_on(id) {
            self.take_back(now, (&other, grant.record), by, kill, answered, effects);
        }
        record.revoke(by.name());
        for elevation in self.elevations.active.values_mut().filter(|elevation| elevation.rests_on(id)) {
            elevation.on_revoked(id, by, kill, &mut self.desk.turn(now, effects));
        }
        if let Some(elevation) = self.elevations.active.get(id) {
            record = elevation.record.clone();
        }
        if let Some(ended) = self.elevations.ended.iter_mut().find(|ended| ended.request_id == record.request_id) {
            ended.revoke(by.name());
        }
        let mut turn = self.desk.turn(now, effects);
        turn.audit_of(id, by.who(), Act::Revocation { grant: id.to_string(), reason: None });
        let ticket = turn.counters.ticket();
        let record = Box::new(record);
        turn.store(StoreOrder::KeepElevation { ticket, record: record.clone(), durable: true });
        self.elevations.revocations.insert(ticket, Revocation { answered, record });
    }

    /// The request that a grant came from, where it counted until now; with `kill` also where something that runs rests on it yet.
    fn end_grant(&mut self, id: &ElevationId, kill: bool) -> Option<ElevationRecord> {
        if let Some(grant) = self.elevations.grants.revoke(id) {
            return Some(grant.record);
        }
        let active = self.elevations.active.values();
        let is_used = kill && active.clone().any(|elevation| elevation.is_running() && elevation.rests_on(id));
        let own = self.elevations.active.get(id).map(|elevation| &elevation.record);
        own.or_else(|| self.ended_elevation(id)).filter(|record| is_used && record.grant.is_some()).cloned()
    }

    /// Whether a write was that of a revocation.
    pub(super) fn on_revocation_kept(
        &mut self,
        ticket: TicketId,
        result: &Result<(), String>,
        effects: &mut Effects,
    ) -> bool {
        const LEFT: &str = "The grant counts no more, but after a restart of the agent it would again.";
        let revocations = &mut self.elevations.revocations;
        let Some(Revocation { answered, record }) = revocations.remove(&ticket) else { return false };
        // Whoever ended several is answered with the last one, or as soon as one fails; that of the grant he named is written last.
        if result.is_err() {
            revocations.retain(|_, other| other.answered != answered);
        } else if revocations.values().any(|other| other.answered == answered) {
            return true;
        }
        match (answered, result) {
            (Answered::Api(request), Ok(())) => respond(request, ApiResponse::json(200, &record), effects),
            (Answered::Api(request), Err(why)) => respond(request, not_on_disk(LEFT, why), effects),
            (Answered::Owner(caller), Ok(())) => self.on_dropped(caller, effects),
            (Answered::Owner(caller), Err(why)) => self.on_not_dropped(caller, LEFT, why, effects),
        }
        true
    }
}
