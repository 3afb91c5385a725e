//! Requests for more privileges: reports of the request socket, of their processes and of the disk, taken to the request they are about.

mod admitting;
mod jobs;
mod own;
mod rate;
mod revoking;
mod unkept;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::elevation_policy::Evaluator;
use crate::audit::{AGENT, Act};
use crate::effect::{Effects, StoreOrder};
use crate::elevation::{CallerId, Elevation, ElevationRecord, Grants, Status, Wanted};
use crate::event::{ElevationReport, ExecutableFacts, ProcessReport};
use crate::id::{ElevationId, RequestId, TicketId};
use crate::limits::ENDED_ELEVATIONS;
use crate::log_message::Level;
use crate::mfa::MfaReport;
use crate::time::{Deadline, Now};
use crate::turn::Turn;
use rate::Rates;
use revoking::{Answered, Revocation};
use unkept::Unkept;

/// All requests, and what they leave behind.
#[derive(Debug, Default)]
pub(super) struct Elevations {
    pub(super) active: BTreeMap<ElevationId, Box<Elevation>>,
    pub(super) grants: Grants,
    /// Those that ended lately, the latest in front.
    pub(super) ended: VecDeque<ElevationRecord>,
    /// Grants that are being revoked, by the number of the write.
    revocations: BTreeMap<TicketId, Revocation>,
    /// What users are giving up, until all of it is written.
    dropping: BTreeMap<CallerId, Vec<ElevationId>>,
    /// Requests of each user in the last minute.
    rates: Rates,
    /// Which of those that ended are not on disk so.
    unkept: Unkept,
}

impl Elevations {
    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        let active = self.active.values().filter_map(|elevation| elevation.next_deadline()).min();
        Deadline::earlier(active, self.unkept.next_deadline())
    }

    fn of_caller(&self, caller: CallerId) -> Option<ElevationId> {
        self.active.values().find(|elevation| elevation.is_of(caller)).map(|elevation| elevation.id.clone())
    }

    fn awaiting(&self, ticket: TicketId) -> Option<ElevationId> {
        self.active.values().find(|elevation| elevation.awaits(ticket)).map(|elevation| elevation.id.clone())
    }
}

impl Agent {
    pub(super) fn on_elevation(&mut self, now: Now, report: ElevationReport, effects: &mut Effects) {
        let caller = match report {
            ElevationReport::Asked { caller, asked } => return self.on_asked(now, caller, *asked, effects),
            ElevationReport::OwnAsked { caller, peer, wish } => {
                return self.on_own_asked(now, caller, &peer, &wish, effects);
            }
            ElevationReport::Replied { caller, .. }
            | ElevationReport::Signaled { caller, .. }
            | ElevationReport::Left { caller } => caller,
        };
        // A caller that was answered may have said something meanwhile; it changes nothing.
        let Some(id) = self.elevations.of_caller(caller) else { return };
        self.with_elevation(now, &id, effects, |elevation, turn| match report {
            ElevationReport::Replied { prompt, reply, .. } => elevation.on_replied(prompt, &reply, turn),
            ElevationReport::Signaled { signal, .. } => elevation.on_signaled(signal, turn),
            ElevationReport::Left { .. } => elevation.on_left(turn),
            ElevationReport::Asked { .. } | ElevationReport::OwnAsked { .. } => {}
        });
    }

    pub(super) fn with_elevation(
        &mut self,
        now: Now,
        id: &ElevationId,
        effects: &mut Effects,
        act: impl FnOnce(&mut Elevation, &mut Turn<'_>),
    ) {
        if let Some(elevation) = self.elevations.active.get_mut(id) {
            act(elevation, &mut self.desk.turn(now, effects));
        }
    }

    pub(super) fn elevation_awaits(&self, ticket: TicketId) -> bool {
        self.elevations.awaiting(ticket).is_some()
    }

    /// The program of a request was looked at, or will not be.
    pub(super) fn on_program_found(
        &mut self,
        now: Now,
        ticket: TicketId,
        found: Result<&ExecutableFacts, &str>,
        effects: &mut Effects,
    ) {
        if let Some(id) = self.elevations.awaiting(ticket) {
            self.with_elevation(now, &id, effects, |elevation, turn| elevation.on_inspected(found, turn));
        }
    }

    /// A code that a requester gave was judged, or could not be.
    pub(super) fn on_code_judged(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: Result<MfaReport, String>,
        effects: &mut Effects,
    ) {
        let verdict = match result {
            Ok(MfaReport::Checked(verdict)) => Ok(verdict),
            Ok(other) => Err(format!("the store answered {other:?}; report this.")),
            Err(reason) => Err(reason),
        };
        if let Some(id) = self.elevations.awaiting(ticket) {
            self.with_elevation(now, &id, effects, |elevation, turn| elevation.on_code(ticket, verdict, turn));
        }
    }

    pub(super) fn on_elevation_kept(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: Result<(), String>,
        effects: &mut Effects,
    ) {
        if self.on_revocation_kept(ticket, &result, effects) {
            return;
        }
        if self.elevations.unkept.on_kept(now, ticket, result.is_ok()) {
            return;
        }
        if result.is_ok() {
            self.elevations.unkept.hasten(now);
        }
        // Of an older write nobody waits for the answer.
        if let Some(id) = self.elevations.awaiting(ticket) {
            self.with_elevation(now, &id, effects, |elevation, turn| elevation.on_kept(ticket, result, turn));
        }
    }

    /// Whether an entry of the audit was one that a request waited for.
    pub(super) fn on_elevation_audited(
        &mut self,
        now: Now,
        ticket: TicketId,
        result: &Result<(), String>,
        effects: &mut Effects,
    ) -> bool {
        let Some(id) = self.elevations.awaiting(ticket) else { return false };
        self.with_elevation(now, &id, effects, |elevation, turn| elevation.on_audited(ticket, result.clone(), turn));
        true
    }

    /// Takes a report about the process of a request; gives back one about another process.
    pub(super) fn on_elevated_process(
        &mut self,
        now: Now,
        report: ProcessReport,
        effects: &mut Effects,
    ) -> Option<ProcessReport> {
        let spawn = match &report {
            ProcessReport::Prepared { spawn, .. }
            | ProcessReport::Started { spawn }
            | ProcessReport::SpawnFailed { spawn, .. }
            | ProcessReport::Stopped { spawn, .. }
            | ProcessReport::Exited { spawn, .. }
            | ProcessReport::Collected { spawn, .. }
            | ProcessReport::Discarded { spawn } => *spawn,
            ProcessReport::Peeked { .. }
            | ProcessReport::Inspected { .. }
            | ProcessReport::Examined { .. }
            | ProcessReport::SessionsChanged(_) => return Some(report),
        };
        let owner = self.elevations.active.values().find(|elevation| elevation.owns(spawn));
        let Some(id) = owner.map(|elevation| elevation.id.clone()) else { return Some(report) };
        self.with_elevation(now, &id, effects, |elevation, turn| match report {
            ProcessReport::Prepared { pid, executable, user, .. } => {
                elevation.on_prepared(pid, &executable, user.as_deref(), turn);
            }
            ProcessReport::Started { .. } => elevation.on_started(turn),
            ProcessReport::Stopped { signal, .. } => elevation.on_stopped(signal, turn),
            ProcessReport::SpawnFailed { reason, .. } => elevation.on_spawn_failed(&reason, turn),
            ProcessReport::Exited { status, .. } => elevation.on_exited(status, turn),
            ProcessReport::Collected { stdout, stderr, .. } => elevation.on_collected(&stdout, &stderr, turn),
            ProcessReport::Discarded { .. } => elevation.on_discarded(),
            ProcessReport::Peeked { .. }
            | ProcessReport::Inspected { .. }
            | ProcessReport::Examined { .. }
            | ProcessReport::SessionsChanged(_) => {}
        });
        None
    }

    /// Times that are over, questions that can be asked, jobs that are to be run, and what has ended.
    pub(super) fn settle_elevations(&mut self, now: Now, effects: &mut Effects) {
        self.keep_again(now, effects);
        if self.elevations.active.is_empty() {
            return;
        }
        let evaluator = self.evaluator();
        let silence = match &evaluator {
            Evaluator::Ready(_) => "KeeperPolicy did not answer.",
            Evaluator::Away(why) | Evaluator::Missing(why) => why,
        };
        for elevation in self.elevations.active.values_mut() {
            let mut turn = self.desk.turn(now, effects);
            if elevation.next_deadline().is_some_and(|deadline| deadline.at <= now.monotonic) {
                elevation.on_deadline(silence, &mut turn);
            }
            match &evaluator {
                Evaluator::Ready(spawn) => elevation.ask(*spawn, &mut turn),
                Evaluator::Missing(why) => elevation.on_no_policy(why, &mut turn),
                Evaluator::Away(_) => {}
            }
        }
        let wanted: Vec<(ElevationId, Wanted)> = self
            .elevations
            .active
            .values_mut()
            .filter_map(|elevation| Some((elevation.id.clone(), elevation.take_wanted()?)))
            .collect();
        for (id, wanted) in wanted {
            self.want_job(now, &id, wanted, effects);
        }
        self.end_elevations(now);
    }

    /// What is over goes where it can be looked at.
    fn end_elevations(&mut self, now: Now) {
        let Elevations { active, grants, ended, unkept, .. } = &mut self.elevations;
        for elevation in active.values() {
            self.meter.elevations.stands(&elevation.id, &elevation.record, now);
            if elevation.record.status == Status::Denied {
                grants.revoke(&elevation.id);
            } else if elevation.is_on_disk() {
                grants.take(&elevation.id, &elevation.record, now);
            }
        }
        let done: BTreeSet<ElevationId> =
            active.values().filter(|elevation| elevation.is_done()).map(|elevation| elevation.id.clone()).collect();
        for id in &done {
            if let Some(elevation) = active.remove(id) {
                self.meter.elevations.ended(elevation.record.status);
                grants.settle(id, &elevation.record);
                if elevation.is_unkept {
                    unkept.add(elevation.id.clone(), now);
                }
                ended.truncate(ENDED_ELEVATIONS.saturating_sub(1));
                ended.push_front(elevation.record);
            }
        }
    }

    /// What a former life of the agent left: nothing of it is launched, and grants hold until their end.
    pub(super) fn recall_elevations(&mut self, now: Now, records: Vec<ElevationRecord>, effects: &mut Effects) {
        for mut record in records {
            if let Some(id) = ElevationId::from_text(&record.request_id) {
                if !record.status.is_final() {
                    self.lose_elevation(now, &id, &mut record, effects);
                }
                self.elevations.grants.take(&id, &record, now);
            }
            self.elevations.ended.truncate(ENDED_ELEVATIONS.saturating_sub(1));
            self.elevations.ended.push_front(record);
        }
    }

    /// It was under way when the former life ended: it is over, and the log, the audit and the disk are told.
    fn lose_elevation(&mut self, now: Now, id: &ElevationId, record: &mut ElevationRecord, effects: &mut Effects) {
        record.lose(now.wall);
        let mut turn = self.desk.turn(now, effects);
        if let Some(explanation) = &record.explanation {
            turn.log(Level::Warning, "ElevationLost", explanation.to_string());
            turn.audit_of(id, AGENT.to_string(), Act::end(record.status, explanation));
        }
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::KeepElevation { ticket, record: Box::new(record.clone()), durable: true });
    }

    /// Calls that wait for a request or the end of a grant, as the agent exits.
    pub(super) fn forsake_elevations(&mut self) -> Vec<RequestId> {
        // Who gives up a grant of his own loses his connection with the agent.
        let revoking = core::mem::take(&mut self.elevations.revocations).into_values();
        let revoking: BTreeSet<RequestId> = revoking.filter_map(|one| one.request()).collect();
        revoking
            .into_iter()
            .chain(self.elevations.active.values_mut().flat_map(|elevation| elevation.forsake()))
            .collect()
    }

    /// The agent stops.
    pub(super) fn stop_elevations(&mut self, now: Now, effects: &mut Effects) {
        for elevation in self.elevations.active.values_mut() {
            elevation.stop("The agent is stopping.", &mut self.desk.turn(now, effects));
        }
        self.keep_at_last(now, effects);
    }
}
