//! What is true of a world's requests: what was decided and met, what is on disk, who was answered.

use std::collections::{BTreeMap, BTreeSet};

use castellan_core::audit::{Act, Entry};
use castellan_core::effect::ElevationAnswer;
use castellan_core::elevation::{CallerId, ElevationRecord, Status};
use castellan_core::id::{SpawnId, TicketId};
use castellan_core::time::{Now, WallTime};
use serde_json::Value;

use super::{DAY, Tally};

/// What is true of one request.
#[derive(Debug, Default)]
struct Truth {
    caller: Option<CallerId>,
    /// What has to be met; `None` until KeeperPolicy decided, and where it denied.
    required: Option<BTreeSet<&'static str>>,
    justified: bool,
    identified: bool,
    approved: bool,
    /// Whether a rule is about it, where redirection is on.
    is_meant: bool,
    is_audited: bool,
    is_launched: bool,
    /// It ended without a launch, for its caller or on disk.
    is_over: bool,
}

/// The truth, and the first law that did not hold.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    truths: BTreeMap<String, Truth>,
    disk: BTreeMap<String, ElevationRecord>,
    /// What of it outlives the machine's end, too.
    durable: BTreeMap<String, ElevationRecord>,
    /// Grants by the request they came from: until when, by either clock.
    grants: BTreeMap<String, (WallTime, u64)>,
    /// Requests that rest on one, by the audit.
    rests: BTreeMap<String, String>,
    callers: BTreeMap<CallerId, String>,
    /// Who asked about what is his own, and whether it is.
    wishes: BTreeMap<CallerId, bool>,
    answered: BTreeSet<CallerId>,
    gone: BTreeSet<CallerId>,
    entries: BTreeMap<TicketId, String>,
    pub(super) running: Vec<SpawnId>,
    pub(super) tally: Tally,
    /// Whether redirection is on in this life.
    pub(super) redirects: bool,
    broken: Option<String>,
}

impl Ledger {
    pub(super) fn broken(&mut self, law: String) {
        self.broken.get_or_insert(law);
    }

    pub(super) fn verdict(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// The agent dies, perhaps with the machine: its callers are gone with their connections, and everything that ran.
    pub(super) fn crash(&mut self, with_machine: bool) {
        if with_machine {
            self.disk.clone_from(&self.durable);
        }
        self.gone.extend(self.callers.keys().copied());
        self.running.clear();
        self.entries.clear();
    }

    pub(super) fn on_disk(&self) -> Vec<ElevationRecord> {
        self.disk.values().cloned().collect()
    }

    /// Requests under way that are still decided.
    pub(super) fn undecided(&self) -> impl Iterator<Item = &String> {
        self.truths.iter().filter(|(_, truth)| !truth.is_over && !truth.is_launched).map(|(id, _)| id)
    }

    pub(super) fn on_asked(&mut self, id: &str, caller: CallerId, is_meant: bool) {
        self.tally.requests = self.tally.requests.saturating_add(1);
        self.callers.insert(caller, id.to_owned());
        self.truths.insert(id.to_owned(), Truth { caller: Some(caller), is_meant, ..Truth::default() });
    }

    pub(super) fn on_own_asked(&mut self, caller: CallerId, is_owner: bool) {
        self.callers.insert(caller, String::new());
        self.wishes.insert(caller, is_owner);
    }

    /// What another user is answered has nothing in it; what its user withdrew is over.
    pub(super) fn on_own_answer(&mut self, caller: CallerId, answer: &ElevationAnswer) {
        let Some(is_owner) = self.wishes.get(&caller).copied() else { return };
        let is_nothing = match answer {
            ElevationAnswer::Own(own) => own.requests.is_empty() && own.grants.is_empty(),
            ElevationAnswer::GaveUp(ids) => ids.is_empty(),
            ElevationAnswer::NotFound(_) => true,
            ElevationAnswer::Denied { request, .. } => request.is_none(),
            ElevationAnswer::Ended(_) => false,
        };
        if !is_owner && !is_nothing {
            self.broken(format!("own: {caller}, who is another user, is answered {answer:?}"));
        }
        let ElevationAnswer::GaveUp(ids) = answer else { return };
        for id in ids {
            let is_withdrawn = self.disk.get(id.as_str()).is_some_and(|record| record.status == Status::Withdrawn);
            if let Some(truth) = self.truths.get_mut(id.as_str()).filter(|_| is_withdrawn) {
                truth.is_over = true;
                self.tally.withdrawn = self.tally.withdrawn.saturating_add(1);
            }
        }
    }

    /// The first decision of the present KeeperPolicy counts.
    pub(super) fn on_decision(&mut self, id: &str, required: Option<BTreeSet<&'static str>>) {
        if let Some(truth) = self.truths.get_mut(id).filter(|truth| truth.required.is_none() && !truth.is_over) {
            truth.is_over = required.is_none();
            truth.required = required;
        }
    }

    pub(super) fn on_justified(&mut self, caller: CallerId) {
        if let Some(truth) = self.callers.get(&caller).and_then(|id| self.truths.get_mut(id)) {
            truth.justified = true;
        }
    }

    pub(super) fn on_identified(&mut self, caller: CallerId) {
        if let Some(truth) = self.callers.get(&caller).and_then(|id| self.truths.get_mut(id)) {
            truth.identified = true;
        }
    }

    pub(super) fn on_approved(&mut self, id: &str) {
        if let Some(truth) = self.truths.get_mut(id) {
            truth.approved = true;
        }
    }

    pub(super) fn on_left(&mut self, caller: CallerId) {
        self.gone.insert(caller);
    }

    pub(super) fn is_there(&self, caller: CallerId) -> bool {
        !self.gone.contains(&caller) && !self.answered.contains(&caller)
    }

    pub(super) fn on_entry(&mut self, ticket: Option<TicketId>, entry: &Entry, now: Now) {
        let Some(request) = &entry.request else { return };
        if let (Some(ticket), Act::Launch { .. }) = (ticket, &entry.what) {
            self.entries.insert(ticket, request.clone());
            self.on_launching(request, now);
        }
        if let Act::Control { grant: Some(grant), .. } = &entry.what {
            self.rests.insert(request.clone(), grant.clone());
        }
    }

    /// It is decided that its program starts now: what it rests on counts now.
    fn on_launching(&mut self, id: &str, now: Now) {
        let Some(grant) = self.rests.get(id) else { return };
        self.tally.reused = self.tally.reused.saturating_add(1);
        let held = self.grants.get(grant).copied();
        if held.is_none_or(|(until, longest)| now.wall >= until || now.monotonic.as_millis() > longest) {
            self.broken(format!("grant-end: {id} rests on {grant}, which is over"));
        }
    }

    pub(super) fn on_audited(&mut self, ticket: TicketId) {
        let request = self.entries.get(&ticket).cloned();
        if let Some(truth) = request.and_then(|request| self.truths.get_mut(&request)) {
            truth.is_audited = true;
        }
    }

    /// A record is written; one that is durable takes those before it to the disk.
    pub(super) fn on_kept(&mut self, record: ElevationRecord, durable: bool, now: Now) {
        if let Some(truth) = self.truths.get_mut(&record.request_id) {
            truth.is_over |= record.status.is_final();
            if truth.is_launched && record.status == Status::Expired {
                self.broken(format!(
                    "durable-first: {} was launched, and is on record as one that was not",
                    record.request_id
                ));
            }
        }
        if let Some(grant) = &record.grant {
            let until = WallTime::parse_rfc3339(&grant.until).unwrap_or_default();
            let longest = now.monotonic.as_millis().saturating_add(DAY);
            self.grants.entry(record.request_id.clone()).or_insert((until, longest));
            if grant.revoked.is_some() {
                self.grants.insert(record.request_id.clone(), (WallTime::from_millis(0), 0));
            }
        }
        self.disk.insert(record.request_id.clone(), record);
        if durable {
            self.durable.clone_from(&self.disk);
        }
    }

    pub(super) fn on_launch(&mut self, id: &str, is_substitute: bool) {
        self.tally.launches = self.tally.launches.saturating_add(1);
        self.tally.substituted = self.tally.substituted.saturating_add(usize::from(is_substitute));
        let is_meant = self.redirects && self.truths.get(id).is_some_and(|truth| truth.is_meant);
        if is_meant != is_substitute {
            self.broken(format!(
                "redirected: {id} launches as a substitute: {is_substitute}, by the rules: {is_meant}"
            ));
        }
        let record = self.disk.get(id);
        let status = record.map(|record| record.status);
        let grant = record.and_then(|record| record.grant_id.clone());
        let Some(truth) = self.truths.get_mut(id) else {
            return self.broken(format!("authorized: nobody asked for {id}"));
        };
        let is_met = truth.required.as_ref().is_some_and(|required| {
            required.iter().all(|control| match *control {
                "JUSTIFY" => truth.justified || grant.is_some(),
                "MFA" => truth.identified || grant.is_some(),
                _ => truth.approved || grant.is_some(),
            })
        });
        let is_identified = truth.identified && truth.required.iter().flatten().any(|control| *control == "MFA");
        let caller_left = truth.caller.is_some_and(|caller| self.gone.contains(&caller));
        let (was_launched, was_over) = (core::mem::replace(&mut truth.is_launched, true), truth.is_over);
        let is_audited = truth.is_audited;
        if is_identified {
            self.tally.identified = self.tally.identified.saturating_add(1);
        }
        if !is_met {
            let law = format!("authorized: {id} is launched, and of {:?} not everything is met", truth.required);
            self.broken(law);
        }
        if was_launched || was_over || caller_left {
            self.broken(format!(
                "once: {id} is launched (before: {was_launched}, over: {was_over}, left: {caller_left})"
            ));
        }
        if status != Some(Status::Launching) || !is_audited {
            self.broken(format!("durable-first: {id} is {status:?} on disk, in the audit: {is_audited}"));
        }
    }

    pub(super) fn on_answer(&mut self, caller: CallerId, is_denied: bool) {
        if !self.answered.insert(caller) {
            self.broken(format!("answered-once: {caller} is answered again"));
        }
        if is_denied {
            self.tally.denied = self.tally.denied.saturating_add(1);
            if let Some(truth) = self.callers.get(&caller).and_then(|id| self.truths.get_mut(id)) {
                truth.is_over = true;
            }
        }
    }

    /// A list of grants: none of them is over.
    pub(super) fn on_grants(&mut self, now: Now, listed: &Value) {
        for grant in listed.as_array().into_iter().flatten() {
            let Some(until) = instant(grant, "/Grant/Until") else { continue };
            let given = instant(grant, "/Grant/Given").unwrap_or_default();
            let is_revoked = grant.pointer("/Grant/Revoked").is_some_and(|revoked| !revoked.is_null());
            if is_revoked || now.wall >= until || now.wall < given {
                self.broken(format!("grant-end: {grant} is listed at {:?}", now.wall.to_rfc3339()));
            }
        }
    }

    /// Whoever stayed was answered.
    pub(super) fn close(&mut self) {
        let forgotten = self.callers.keys().find(|caller| self.is_there(**caller)).copied();
        if let Some(caller) = forgotten {
            self.broken(format!("answered-once: {caller} waits for ever"));
        }
    }
}

fn instant(grant: &Value, place: &str) -> Option<WallTime> {
    grant.pointer(place).and_then(Value::as_str).and_then(WallTime::parse_rfc3339)
}
