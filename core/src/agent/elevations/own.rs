//! A user's own requests and grants, over the request socket: seen, withdrawn, given up. What is another's is not there.

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::Answered;
use crate::agent::Agent;
use crate::agent::answers::LOOK_AT_DISK;
use crate::effect::{Effect, Effects, ElevationAnswer, ElevationOrder};
use crate::elevation::{CallerId, Own, OwnWish, Peer, Revoker};
use crate::id::ElevationId;
use crate::limits::ID_LENGTH;
use crate::text::cut;
use crate::time::Now;
use crate::why::Explanation;

impl Agent {
    pub(super) fn on_own_asked(
        &mut self,
        now: Now,
        caller: CallerId,
        peer: &Peer,
        wish: &OwnWish,
        effects: &mut Effects,
    ) {
        if let Err(refusal) = self.admit_own(now, peer) {
            return self.turn_away(now, caller, peer.uid, refusal, effects);
        }
        let answered = match wish {
            OwnWish::List => Some(ElevationAnswer::Own(self.own(now, peer.uid).into())),
            OwnWish::Withdraw(id) => self.withdraw_own(now, caller, peer, id, effects),
            OwnWish::Drop(id) => self.drop_own(now, caller, peer, id.as_deref(), effects),
        };
        if let Some(answer) = answered {
            effects.push(Effect::Elevation(ElevationOrder::Answer { caller, answer }));
        }
    }

    fn own(&self, now: Now, uid: u32) -> Own {
        let active = self.elevations.active.values().rev().map(|elevation| &**elevation);
        let ended = self.elevations.ended.iter().filter(|record| record.user_id == uid);
        let grants = self.elevations.grants.list(now).rev().filter(|grant| grant.record.user_id == uid);
        Own::of(active.filter(|elevation| elevation.record.user_id == uid), ended, grants, now)
    }

    fn withdraw_own(
        &mut self,
        now: Now,
        caller: CallerId,
        peer: &Peer,
        text: &str,
        effects: &mut Effects,
    ) -> Option<ElevationAnswer> {
        let id = ElevationId::from_text(text);
        let active = id.as_ref().and_then(|id| self.elevations.active.get_mut(id));
        if let Some(elevation) = active.filter(|elevation| elevation.record.user_id == peer.uid) {
            let withdrawn = elevation.withdraw(caller, peer.pid, &mut self.desk.turn(now, effects));
            return withdrawn.err().map(|explanation| ElevationAnswer::Denied { request: id, explanation });
        }
        let over = id.as_ref().and_then(|id| self.ended_elevation(id)).filter(|record| record.user_id == peer.uid);
        Some(match over {
            Some(record) => ElevationAnswer::Denied { request: id, explanation: record.over() },
            None => none(&format!("request '{}'", cut(text, ID_LENGTH))),
        })
    }

    /// Answered when it is on disk that they ended.
    fn drop_own(
        &mut self,
        now: Now,
        caller: CallerId,
        peer: &Peer,
        text: Option<&str>,
        effects: &mut Effects,
    ) -> Option<ElevationAnswer> {
        let named = text.map(ElevationId::from_text);
        let counting = self.elevations.grants.list(now).filter(|grant| grant.record.user_id == peer.uid);
        let ids = counting.filter_map(|grant| ElevationId::from_text(&grant.record.request_id));
        let ids: Vec<ElevationId> =
            ids.filter(|id| named.as_ref().is_none_or(|named| named.as_ref() == Some(id))).collect();
        match (text, ids.is_empty()) {
            (Some(text), true) => return Some(none(&format!("grant '{}' that counts", cut(text, ID_LENGTH)))),
            (None, true) => return Some(ElevationAnswer::GaveUp(Vec::new())),
            (_, false) => {}
        }
        for id in &ids {
            if let Some(grant) = self.elevations.grants.revoke(id) {
                let by = Revoker::Owner(grant.record.user_name.clone());
                self.take_back(now, (id, grant.record), &by, false, Answered::Owner(caller), effects);
            }
        }
        self.elevations.dropping.insert(caller, ids);
        None
    }

    /// All that a user gives up is written.
    pub(super) fn on_dropped(&mut self, caller: CallerId, effects: &mut Effects) {
        if let Some(ids) = self.elevations.dropping.remove(&caller) {
            let answer = ElevationAnswer::GaveUp(ids);
            effects.push(Effect::Elevation(ElevationOrder::Answer { caller, answer }));
        }
    }

    /// One of them is not: he is told so at once, and of the others no more.
    pub(super) fn on_not_dropped(&mut self, caller: CallerId, what: &str, why: &str, effects: &mut Effects) {
        if self.elevations.dropping.remove(&caller).is_some() {
            let answer = ElevationAnswer::Denied {
                request: None,
                explanation: Explanation::new(what, why.to_string(), LOOK_AT_DISK),
            };
            effects.push(Effect::Elevation(ElevationOrder::Answer { caller, answer }));
        }
    }
}

/// The same for what is another's and for what is nobody's.
fn none(what: &str) -> ElevationAnswer {
    let fix = "castellan requests mine shows what is yours.";
    ElevationAnswer::NotFound(Explanation::new(format!("You have no {what}."), "It is not among yours.", fix))
}
