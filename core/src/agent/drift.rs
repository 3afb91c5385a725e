//! Files that are not as blessed: what a survey saw, what is done about it, and how it went (contract section 8).

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::answers::Pending;
use super::lkg::{Kept, State};
use super::requests::respond;
use crate::api::ApiResponse;
use crate::api::stream::Kind;
use crate::api::view::LoadReport;
use crate::api::view::lkg::{DriftOutcome, DriftTold};
use crate::audit::Act;
use crate::digest::digest;
use crate::effect::{Effects, StoreOrder};
use crate::event::DefinitionFile;
use crate::id::TicketId;
use crate::lkg::brake::Pace;
use crate::lkg::judge::{self, Blessed, Mode, Observation, Verdict};
use crate::lkg::{Checked, Difference, Former, Found, Item, Reference, Survey};
use crate::log_message::Level;
use crate::time::{Now, WallTime};

/// Files that nobody blessed and that were moved away, which are remembered until the next sweep.
const STRAYS: usize = 1000;

impl Agent {
    /// Compares every file when its time has come.
    pub(super) fn sweep_when_due(&mut self, now: Now, effects: &mut Effects) {
        if self.lkg.next_sweep.is_some_and(|at| at <= now.monotonic) {
            self.survey(now, Pending::Sweep, effects);
        }
    }

    /// Orders a comparison of every file; the next sweep is counted from here.
    pub(super) fn survey(&mut self, now: Now, pending: Pending, effects: &mut Effects) {
        let seconds = self.desk.settings.configuration_lkg.sweep_seconds;
        self.lkg.next_sweep = Some(now.monotonic.plus_seconds(seconds));
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.store(StoreOrder::Survey { ticket, thorough: false });
        self.expect_answer(ticket, pending);
    }

    /// Files were compared, by order or because something was seen to change.
    pub(super) fn on_surveyed(
        &mut self,
        now: Now,
        ticket: Option<TicketId>,
        survey: Survey,
        checked: Checked,
        effects: &mut Effects,
    ) {
        let asked = ticket.and_then(|ticket| self.pending.remove(&ticket));
        let doubt = checked.doubt.clone();
        self.on_checked(now, survey.whole, checked, effects);
        if let Some(Pending::Lkg(asked)) = &asked {
            self.verified(asked, &survey, doubt, effects);
        }
        let restored = self.judge_survey(now, survey, effects);
        match (asked, ticket) {
            (Some(Pending::Reload { request }), _) => {
                let report = LoadReport { restored, ..self.in_service() };
                self.renew_plugins(now, effects);
                respond(request, ApiResponse::json(200, &report), effects);
            }
            (Some(Pending::Policies), _) => self.on_policy_reloaded(now, None, effects),
            (Some(Pending::Sweep | Pending::Lkg(_)), _) | (None, None) => {}
            (other, Some(ticket)) => self.unasked(now, ticket, other, effects),
            (Some(_), None) => {}
        }
    }

    /// References that prove nothing any more put their items out of service, loudly; those that came back bring them back.
    fn on_checked(&mut self, now: Now, whole: bool, checked: Checked, effects: &mut Effects) {
        let is_sound = checked.doubt.is_none();
        if let Some(sealed) = checked.sealed {
            (self.lkg.counter, self.lkg.key_id) = sealed;
        }
        for Reference { item, version, content } in checked.changed {
            let kept = self.lkg.items.entry(item.clone()).or_default();
            kept.version = version;
            kept.fault = content.as_ref().err().cloned();
            if let Ok(document) = &content {
                kept.document.clone_from(document);
            }
            let Some(content) = content.transpose() else { continue };
            // Refused or not, the log has it.
            self.load_one(now, DefinitionFile { kind: item.kind, stem: item.id, content }, effects);
        }
        if let Some(why) = checked.doubt
            && self.lkg.state == State::Kept
        {
            let message = format!(
                "The references of Last Known Good prove nothing any more: {why} What is in memory stays in service; no write is taken."
            );
            self.desk.turn(now, effects).log(Level::Critical, "LkgUnusable", message);
            self.lkg.state = State::Unusable(why);
            self.lkg.is_doubted = true;
        } else if whole && is_sound && core::mem::take(&mut self.lkg.is_doubted) {
            // The manifest is the one that was written last: what is in memory is what it says.
            let message =
                "The references of Last Known Good are there again as they were written last; they count again.";
            self.desk.turn(now, effects).log(Level::Information, "LkgUsable", message);
            self.lkg.state = State::Kept;
        }
    }
}

/// What was done about a file that is not as blessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Done {
    /// It is being restored, or its restore waits for its turn.
    Ordered,
    /// It is as blessed again; what was there is in `state/quarantine/` under this name, if anything was.
    Restored(Option<String>),
    /// It was reported and left as it is.
    Left,
    /// It could not be restored, why.
    Failed(String),
}

impl Done {
    /// For programs.
    pub(super) const fn outcome(&self) -> DriftOutcome {
        match self {
            Self::Restored(_) => DriftOutcome::Restored,
            Self::Ordered | Self::Left => DriftOutcome::Reported,
            Self::Failed(_) => DriftOutcome::Failed,
        }
    }
}

/// The last time that a file was not as blessed.
#[derive(Debug, Clone)]
pub(super) struct Drift {
    pub(super) at: WallTime,
    /// What was found, as a sentence.
    pub(super) what: String,
    pub(super) done: Done,
    /// What is to be told of it once it is settled; `None` once it was told.
    untold: Option<Observation>,
    /// Of what was found: the same is told once.
    digest: u64,
    /// Nothing was found.
    is_deletion: bool,
    /// Whether its content was as blessed, and only mode or owner were not.
    is_of_rights: bool,
}

impl Agent {
    /// Decides about each difference; the names of what is restored.
    fn judge_survey(&mut self, now: Now, survey: Survey, effects: &mut Effects) -> Vec<String> {
        self.note_folders(now, &survey, effects);
        if survey.whole {
            self.lkg.last_sweep = Some(now.wall);
            self.tell_deleted(now, effects);
            // Of a folder that cannot be looked at nobody knows whether it differs.
            if survey.folders.is_empty() {
                self.settle_held(now, &survey.differences, effects);
            }
        }
        let mut restored = Vec::new();
        // Seen before it was written: the store reports in the order of its work.
        let under_way = self.lkg.under_way();
        for Difference { item, found } in survey.differences {
            let name = format!("{item}.json");
            if self.lkg.state == State::Kept && !under_way.contains(&item) && self.judge(now, item, found, effects) {
                restored.push(name);
            }
        }
        self.lkg.holds_strays &= !survey.whole;
        restored
    }

    /// Folders that are not the agent's, or not watched, are told once for each reason.
    fn note_folders(&mut self, now: Now, survey: &Survey, effects: &mut Effects) {
        let foreign = survey.folders.iter().map(|(kind, why)| (why, judge::explain_folder(*kind, why).to_string()));
        let unwatched = survey.unwatched.iter().map(|(kind, why)| (why, format!("{}: {why}", kind.folder())));
        let mut troubles = BTreeSet::new();
        for (why, message) in foreign.chain(unwatched) {
            troubles.insert(why.clone());
            if !self.lkg.troubles.contains(why) {
                self.desk.turn(now, effects).log(Level::Critical, "LkgFolder", message);
            }
        }
        if survey.whole {
            self.lkg.troubles = troubles;
        } else {
            self.lkg.troubles.append(&mut troubles);
        }
    }

    /// Once nothing differs that was held, a later difference is drift as any other. What nobody blessed and is gone is forgotten.
    fn settle_held(&mut self, now: Now, differences: &[Difference], effects: &mut Effects) {
        let differing: BTreeSet<&Item> = differences.iter().map(|difference| &difference.item).collect();
        self.lkg.items.retain(|item, kept| kept.version > 0 || kept.restoring.is_some() || differing.contains(item));
        let mut any = false;
        for (item, kept) in self.lkg.items.iter_mut().filter(|(_, kept)| kept.held) {
            kept.held = differing.contains(item);
            any |= kept.held;
        }
        any |= differing.iter().any(|item| !self.lkg.items.contains_key(*item));
        if self.lkg.is_held && !any {
            self.lkg.is_held = false;
            self.desk.turn(now, effects).store(StoreOrder::SettleHeld);
        }
    }

    /// Whether the item is restored, now or when its turn comes.
    fn judge(&mut self, now: Now, item: Item, found: Found, effects: &mut Effects) -> bool {
        let held = self.lkg.holds_strays;
        let kept = self.lkg.items.entry(item.clone()).or_insert_with(|| Kept { held, ..Kept::default() });
        if kept.fault.is_some() || kept.restoring.is_some() {
            // Nothing can be put there, and that its reference proves nothing is told already; or it was seen before what is under way.
            return false;
        }
        let leaves = self.desk.settings.configuration_lkg.audit_only || kept.held;
        let mode = if leaves { Mode::Report } else { Mode::Restore };
        let restores = match judge::judge(mode, kept.blessed(), &found) {
            Verdict::Leave => return false,
            Verdict::Report => false,
            Verdict::Restore => true,
        };
        // One that waits for its turn is told as it was seen first: whoever fights writes faster than differences can be explained.
        if !kept.drift.as_ref().is_some_and(|drift| drift.done == Done::Ordered) {
            let digest = digest_of(&found);
            let is_told = kept.drift.as_ref().is_some_and(|drift| drift.digest == digest && drift.done == Done::Left);
            if is_told && !restores {
                // What was told of it, and since when it is so, stays.
                return false;
            }
            let done = if restores { Done::Ordered } else { Done::Left };
            let observed = Observation::of(&item, kept.blessed(), &found);
            let what = observed.told(judge::Done::Waiting).what;
            let is_of_rights = matches!(found, Found::Rights { .. });
            if !is_of_rights {
                kept.former = None;
            }
            kept.drift = Some(Drift {
                at: now.wall,
                what,
                done,
                untold: Some(observed),
                digest,
                is_deletion: found == Found::Missing,
                is_of_rights,
            });
        }
        if !restores {
            self.tell_drift(now, &item, effects);
            return false;
        }
        match self.lkg.brake.drifted(now.monotonic, &item) {
            Pace::AtOnce => self.restore(now, item, effects),
            Pace::Alarm => {
                let message = format!(
                    "Somebody changes {item}.json again and again. It is restored at least once a second from now on, and the agent \
                     runs what is blessed all the time. Find out who writes it (its last writer stands in the line before), and stop that."
                );
                self.desk.turn(now, effects).log(Level::Critical, "LkgFight", message);
                self.restore(now, item, effects);
            }
            Pace::Held => {}
        }
        true
    }

    /// Items that were fought over and whose turn has come, and alarms that are over.
    pub(super) fn restore_when_due(&mut self, now: Now, effects: &mut Effects) {
        let due = self.lkg.brake.due(now.monotonic);
        for item in due.restore {
            self.restore(now, item, effects);
        }
        for item in due.over {
            let message = format!("Nobody changed {item}.json for a minute; the alarm about it is over.");
            self.desk.turn(now, effects).log(Level::Information, "LkgFightOver", message);
        }
    }

    fn restore(&mut self, now: Now, item: Item, effects: &mut Effects) {
        let Some(kept) = self.lkg.items.get_mut(&item).filter(|kept| kept.restoring.is_none()) else { return };
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        kept.restoring = Some(ticket);
        turn.store(StoreOrder::Restore { ticket, item, at: now.wall });
    }

    pub(super) fn on_restored(
        &mut self,
        now: Now,
        ticket: TicketId,
        item: &Item,
        result: Result<Option<String>, String>,
        effects: &mut Effects,
    ) {
        let kept = self.lkg.items.get_mut(item).filter(|kept| kept.restoring == Some(ticket));
        let Some(kept) = kept else { return self.unasked(now, ticket, None, effects) };
        kept.restoring = None;
        if let Some(drift) = &mut kept.drift {
            drift.done = match result {
                Ok(name) => Done::Restored(name),
                Err(why) => Done::Failed(why),
            };
        }
        kept.note_former();
        let is_over = kept.is_quarantined();
        let is_gone = kept.version == 0 && kept.drift.as_ref().is_some_and(|drift| drift.done == Done::Restored(None));
        self.tell_drift(now, item, effects);
        // Whoever makes strays chooses their names, and a whole survey, which forgets them, may be a day away.
        // Of what was gone before it could be moved there is nothing that anybody could accept.
        if is_gone || is_over && self.lkg.items.values().filter(|kept| kept.version == 0).count() > STRAYS {
            self.lkg.items.remove(item);
        }
    }

    /// The one line of a drift: what, who, what was done, how to do it properly, and which keys differ.
    fn tell_drift(&mut self, now: Now, item: &Item, effects: &mut Effects) {
        let Some(kept) = self.lkg.items.get_mut(item) else { return };
        let Some(drift) = &mut kept.drift else { return };
        let (level, done) = match &drift.done {
            Done::Ordered => return,
            Done::Left if kept.held => (Level::Warning, judge::Done::Held),
            Done::Left => (Level::Warning, judge::Done::Reported),
            Done::Restored(name) => (Level::Warning, judge::Done::Restored(name.as_deref())),
            Done::Failed(why) => (Level::Error, judge::Done::Failed(why)),
        };
        let Some(observed) = drift.untold.take() else { return };
        let (explanation, keys) = (observed.told(done), observed.keys);
        let shown = if keys.is_empty() { String::new() } else { format!(" Keys: {}.", keys.join("; ")) };
        let mut turn = self.desk.turn(now, effects);
        turn.log(level, "Drift", format!("{explanation}{shown}"));
        let outcome = drift.done.outcome();
        turn.tell(Kind::Drift, &DriftTold::new(drift.at, item, outcome, &explanation, &keys));
        if let Done::Restored(_) | Done::Failed(_) = &drift.done {
            let what = Act::Restore {
                file: format!("{item}.json"),
                restored: outcome == DriftOutcome::Restored,
                explanation: explanation.clone(),
                keys: keys.clone(),
            };
            self.desk.turn(now, effects).audit("agent".to_string(), what);
        }
        self.meter.drifted(item.kind, outcome);
        drift.what = explanation.what;
    }
}

impl Kept {
    /// Nobody blessed it, and its file was moved away: there is nothing that could be in service.
    pub(super) fn is_quarantined(&self) -> bool {
        let moved = |drift: &Drift| matches!(drift.done, Done::Restored(Some(_)));
        self.version == 0 && self.drift.as_ref().is_some_and(moved)
    }

    /// Notes what stood in its place, now that it is restored. Of rights that were wrong there is nothing to accept, so what stood there
    /// before may still be.
    fn note_former(&mut self) {
        let Some(drift) = self.drift.as_ref().filter(|drift| !drift.is_of_rights) else { return };
        self.former = match &drift.done {
            Done::Restored(Some(copy)) => Some(Former::Copy(copy.clone())),
            Done::Restored(None) => drift.is_deletion.then_some(Former::Nothing),
            Done::Ordered | Done::Left | Done::Failed(_) => None,
        };
    }

    fn blessed(&self) -> Blessed<'_> {
        match &self.document {
            Some(document) => Blessed::Document(document),
            None if self.version > 0 => Blessed::Removed,
            None => Blessed::Never,
        }
    }
}

fn digest_of(found: &Found) -> u64 {
    match found {
        Found::Missing => 0,
        Found::Bytes { content, .. } => digest(&[content]),
        Found::Rights { what, .. } | Found::Other { what, .. } => digest(&[what.as_bytes()]),
    }
}
