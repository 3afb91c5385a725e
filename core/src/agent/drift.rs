//! Files that are not as blessed: what a survey saw, what is done about it, and how it went (contract section 8).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Agent;
use super::answers::Pending;
use super::lkg::{Kept, State};
use super::requests::respond;
use crate::api::ApiResponse;
use crate::api::view::LoadReport;
use crate::effect::{Effects, StoreOrder};
use crate::event::DefinitionFile;
use crate::id::TicketId;
use crate::lkg::{Checked, Difference, Item, Reference, Survey};
use crate::log_message::Level;
use crate::time::{Now, WallTime};

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
        self.on_checked(now, checked, effects);
        let restored = self.judge_survey(now, survey, effects);
        match (asked, ticket) {
            (Some(Pending::Reload { request }), _) => {
                let report = LoadReport { restored, ..self.in_service() };
                respond(request, ApiResponse::json(200, &report), effects);
            }
            (Some(Pending::Sweep | Pending::Lkg(_)), _) | (None, None) => {}
            (other, Some(ticket)) => self.unasked(now, ticket, other, effects),
            (Some(_), None) => {}
        }
    }

    /// References that prove nothing any more put their items out of service, loudly; those that came back bring them back.
    fn on_checked(&mut self, now: Now, checked: Checked, effects: &mut Effects) {
        for Reference { item, version, content } in checked.changed {
            let kept = self.lkg.items.entry(item.clone()).or_default();
            kept.version = version;
            kept.fault = content.as_ref().err().cloned();
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

/// The last time that a file was not as blessed.
#[derive(Debug, Clone)]
pub(super) struct Drift {
    pub(super) at: WallTime,
    /// What was found, as a sentence.
    pub(super) what: String,
    pub(super) done: Done,
}

impl Agent {
    /// Decides about each difference; the names of what is restored.
    fn judge_survey(&mut self, now: Now, survey: Survey, effects: &mut Effects) -> Vec<String> {
        for (_, why) in survey.folders.iter().chain(&survey.unwatched) {
            self.desk.turn(now, effects).log(Level::Error, "LkgTrouble", why.as_str());
        }
        if survey.whole {
            self.lkg.last_sweep = Some(now.wall);
            self.settle_held(now, &survey.differences, effects);
        }
        let mut restored = Vec::new();
        for difference in survey.differences {
            let name = format!("{}.json", difference.item);
            if self.judge(now, difference, effects) {
                restored.push(name);
            }
        }
        restored
    }

    /// Once nothing differs that was held, a later difference is drift as any other.
    fn settle_held(&mut self, now: Now, differences: &[Difference], effects: &mut Effects) {
        let mut any = false;
        for (item, kept) in self.lkg.items.iter_mut().filter(|(_, kept)| kept.held) {
            kept.held = differences.iter().any(|difference| difference.item == *item);
            any |= kept.held;
        }
        if core::mem::replace(&mut self.lkg.is_held, any) && !any {
            self.desk.turn(now, effects).store(StoreOrder::SettleHeld);
        }
    }

    /// Whether the item is restored.
    fn judge(&mut self, now: Now, difference: Difference, effects: &mut Effects) -> bool {
        let audit = self.desk.settings.configuration_lkg.audit_only;
        let may = self.lkg.state == State::Kept && !audit;
        let is_held = self.lkg.is_held;
        let kept =
            self.lkg.items.entry(difference.item.clone()).or_insert_with(|| Kept { held: is_held, ..Kept::default() });
        let restores = may && !kept.held && kept.fault.is_none() && kept.restoring.is_none();
        let what = format!("{}.json is not as blessed: {:?}", difference.item, difference.found);
        kept.drift =
            Some(Drift { at: now.wall, what: what.clone(), done: if restores { Done::Ordered } else { Done::Left } });
        let mut turn = self.desk.turn(now, effects);
        turn.log(Level::Warning, "Drift", what);
        if restores {
            let ticket = turn.counters.ticket();
            kept.restoring = Some(ticket);
            turn.store(StoreOrder::Restore { ticket, item: difference.item, at: now.wall });
        }
        restores
    }

    pub(super) fn on_restored(
        &mut self,
        now: Now,
        ticket: TicketId,
        item: Item,
        result: Result<Option<String>, String>,
        effects: &mut Effects,
    ) {
        let kept = self.lkg.items.get_mut(&item).filter(|kept| kept.restoring == Some(ticket));
        let Some(kept) = kept else { return self.unasked(now, ticket, None, effects) };
        kept.restoring = None;
        let mut turn = self.desk.turn(now, effects);
        match &result {
            Ok(None) => turn.log(Level::Warning, "Restored", format!("{item}.json is as blessed again.")),
            Ok(Some(name)) => turn.log(
                Level::Warning,
                "Restored",
                format!("{item}.json is as blessed again; what was there is in state/quarantine/{name}."),
            ),
            Err(why) => turn.log(Level::Error, "NotRestored", format!("{item}.json is not restored: {why}")),
        }
        if let Some(drift) = &mut kept.drift {
            drift.done = match result {
                Ok(name) => Done::Restored(name),
                Err(why) => Done::Failed(why),
            };
        }
    }

    /// Nobody will answer a survey.
    pub(super) fn on_survey_lost(&mut self, now: Now, ticket: TicketId, why: &str, effects: &mut Effects) {
        match self.pending.remove(&ticket) {
            Some(Pending::Sweep) => {}
            Some(pending) => {
                self.pending.insert(ticket, pending);
                self.give_up(now, ticket, why, effects);
            }
            None => self.unasked(now, ticket, None, effects),
        }
    }
}
