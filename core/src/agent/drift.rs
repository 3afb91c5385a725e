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
use crate::digest::digest;
use crate::effect::{Effects, StoreOrder};
use crate::event::DefinitionFile;
use crate::id::TicketId;
use crate::lkg::brake::Pace;
use crate::lkg::judge::{self, Blessed, Mode, Verdict};
use crate::lkg::{Checked, Difference, Found, Item, Reference, Survey, diff};
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
        if let Some(Pending::Lkg(asked)) = &asked {
            self.verified(asked, &survey, &checked, effects);
        }
        self.on_checked(now, survey.whole, checked, effects);
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
    /// What was found and is told once it is restored.
    found: Found,
    /// Of what was found: the same is told once.
    digest: u64,
}

impl Agent {
    /// Decides about each difference; the names of what is restored.
    fn judge_survey(&mut self, now: Now, survey: Survey, effects: &mut Effects) -> Vec<String> {
        self.note_folders(now, &survey, effects);
        if survey.whole {
            self.lkg.last_sweep = Some(now.wall);
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
        let is_held = self.lkg.is_held;
        let kept = self.lkg.items.entry(item.clone()).or_insert_with(|| Kept { held: is_held, ..Kept::default() });
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
        let digest = digest_of(&found);
        let is_told = kept.drift.as_ref().is_some_and(|drift| drift.digest == digest && drift.done == Done::Left);
        if is_told && !restores {
            // What was told of it, and since when it is so, stays.
            return false;
        }
        let done = if restores { Done::Ordered } else { Done::Left };
        let what = judge::explain(&item, kept.blessed(), &found, judge::Done::Waiting).what;
        kept.drift = Some(Drift { at: now.wall, what, done, found, digest });
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
        let is_over = kept.is_quarantined();
        self.tell_drift(now, item, effects);
        // Whoever makes strays chooses their names, and a whole survey, which forgets them, may be a day away.
        if is_over && self.lkg.items.values().filter(|kept| kept.version == 0).count() > STRAYS {
            self.lkg.items.remove(item);
        }
    }

    /// The one line of a drift: what, who, what was done, how to do it properly, and which keys differ.
    fn tell_drift(&mut self, now: Now, item: &Item, effects: &mut Effects) {
        let Some(kept) = self.lkg.items.get_mut(item) else { return };
        let blessed = kept.blessed();
        let Some(drift) = &kept.drift else { return };
        let (level, done) = match &drift.done {
            Done::Ordered => return,
            Done::Left if kept.held => (Level::Warning, judge::Done::Held),
            Done::Left => (Level::Warning, judge::Done::Reported),
            Done::Restored(name) => (Level::Warning, judge::Done::Restored(name.as_deref())),
            Done::Failed(why) => (Level::Error, judge::Done::Failed(why)),
        };
        let explanation = judge::explain(item, blessed, &drift.found, done);
        let keys = match &drift.found {
            Found::Bytes { content, .. } => diff::lines(kept.document.as_deref(), Some(content)),
            Found::Missing | Found::Rights { .. } | Found::Other { .. } => Vec::new(),
        };
        let shown = if keys.is_empty() { String::new() } else { format!(" Keys: {}.", keys.join("; ")) };
        let mut turn = self.desk.turn(now, effects);
        turn.log(level, "Drift", format!("{explanation}{shown}"));
        let outcome = drift.done.outcome();
        turn.tell(Kind::Drift, &DriftTold::new(drift.at, item, outcome, &explanation, &keys));
        self.meter.drifted(item.kind, outcome);
        if let Some(drift) = &mut kept.drift {
            drift.what = explanation.what;
            // It was told; its bytes are of no more use.
            drift.found = Found::Missing;
        }
    }
}

impl Kept {
    /// Nobody blessed it, and its file was moved away: there is nothing that could be in service.
    pub(super) fn is_quarantined(&self) -> bool {
        let moved = |drift: &Drift| matches!(drift.done, Done::Restored(_));
        self.version == 0 && self.drift.as_ref().is_some_and(moved)
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
