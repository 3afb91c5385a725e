//! A limit on how often one client's refusals are reported, for each topic by itself: the first is reported, those that follow within
//! the window are counted and told as one number. So a broken client buries neither the others' record nor its own.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Broker;
use super::effect::{BrokerEffect, BrokerEffects};
use super::session::SessionId;
use super::timers::Timer;
use crate::acl::{Action, Denial, Grant, Subject};
use crate::event::BrokerReport;
use crate::time::Monotonic;
use crate::why::Explanation;

/// Topics and filters of one client that are told apart within one window; enough to see every one of a wrong definition. The
/// others are counted together.
const TOPICS: usize = 20;
/// Bytes of a topic that is told apart, so that what is remembered of a client stays small whatever it asks for.
const TOPIC_BYTES: usize = 256;
/// Length of the window, ms.
const WINDOW_MILLIS: u64 = 1000;

/// One client's refusals within one window.
#[derive(Debug, Default)]
pub(super) struct DenialGate {
    window_ends: Option<Monotonic>,
    tallies: Vec<Tally>,
}

/// Refusals on one topic.
#[derive(Debug)]
pub(super) struct Tally {
    action: Action,
    /// `None`: all topics that are not told apart.
    topic: Option<String>,
    /// How many came after the one that was reported.
    more: u64,
    /// The first of them, which stands for all; none where each would be another.
    denial: Option<Box<Denial>>,
}

impl DenialGate {
    /// This refusal, where it is reported singly; else it is counted. It is made only if it is reported or has to stand for those
    /// that follow, so that a flood costs a count.
    pub(super) fn admit(
        &mut self,
        now: Monotonic,
        action: Action,
        topic: &str,
        denial: impl FnOnce() -> Denial,
    ) -> Option<Denial> {
        if self.window_ends.is_none_or(|end| end <= now) && self.due().is_none() {
            *self = Self { window_ends: Some(now.plus_millis(WINDOW_MILLIS)), tallies: Vec::new() };
        }
        let has_room = topic.len() <= TOPIC_BYTES && self.tallies.len() < TOPICS;
        let known = self.place(action, Some(topic)).or_else(|| if has_room { None } else { self.place(action, None) });
        let Some(tally) = known.and_then(|place| self.tallies.get_mut(place)) else {
            let topic = has_room.then(|| topic.to_string());
            self.tallies.push(Tally { action, topic, more: 0, denial: None });
            return Some(denial());
        };
        if tally.more == 0 && tally.topic.is_some() {
            tally.denial = Some(Box::new(denial()));
        }
        tally.more = tally.more.saturating_add(1);
        None
    }

    fn place(&self, action: Action, topic: Option<&str>) -> Option<usize> {
        self.tallies.iter().position(|tally| tally.action == action && tally.topic.as_deref() == topic)
    }

    /// When [`DenialGate::take_sums`] has something to say.
    fn due(&self) -> Option<Monotonic> {
        self.window_ends.filter(|_| self.tallies.iter().any(|tally| tally.more > 0))
    }

    /// What was only counted, once the window is over; nothing before that.
    fn take_sums(&mut self, now: Monotonic) -> Vec<Tally> {
        if self.due().is_some_and(|due| due <= now) { self.take_rest() } else { Vec::new() }
    }

    /// The same at the end of a connection, whatever the time.
    pub(super) fn take_rest(&mut self) -> Vec<Tally> {
        core::mem::take(self).tallies.into_iter().filter(|tally| tally.more > 0).collect()
    }
}

impl Broker {
    /// Reports a refusal, unless this client has many alike.
    pub(super) fn report_denial(&mut self, now: Monotonic, id: SessionId, denial: Denial, effects: &mut BrokerEffects) {
        let (action, topic) = (denial.action, denial.target.clone());
        let reported = self.admit_denial(now, id, action, &topic, |_| denial);
        effects.extend(reported.map(|denial| BrokerEffect::from(BrokerReport::Denied(denial))));
    }

    /// A refusal that is to be reported now, made only where it is needed.
    pub(super) fn admit_denial(
        &mut self,
        now: Monotonic,
        id: SessionId,
        action: Action,
        topic: &str,
        denial: impl FnOnce(&Grant) -> Denial,
    ) -> Option<Denial> {
        let session = self.sessions.get_mut(&id)?;
        let grant = &session.grant;
        let reported = session.denials.admit(now, action, topic, || denial(grant));
        if reported.is_none()
            && let Some(due) = session.denials.due()
        {
            self.timers.set_first(Timer::Denials(id), due);
        }
        reported
    }

    /// Reports how many refusals of a client were not reported singly, once their window is over.
    pub(super) fn sum_up_denials(&mut self, now: Monotonic, id: SessionId, effects: &mut BrokerEffects) {
        if let Some(session) = self.sessions.get_mut(&id) {
            let sums = session.denials.take_sums(now);
            effects.extend(sums_of_denials(&session.grant.subject, sums));
        }
    }
}

/// The reports of refusals that were not reported singly.
pub(super) fn sums_of_denials(subject: &Subject, sums: Vec<Tally>) -> impl Iterator<Item = BrokerEffect> + use<'_> {
    sums.into_iter().map(|Tally { action, more, denial, .. }| {
        let denial = denial.map_or_else(|| of_others(subject, action), |denial| *denial);
        BrokerEffect::from(BrokerReport::DeniedAgain { denial, more })
    })
}

fn of_others(subject: &Subject, action: Action) -> Denial {
    let explanation = Explanation::new(
        format!("{} was refused on other topics too.", subject.component),
        format!(
            "It tried more than {TOPICS} within a second, or some of over {TOPIC_BYTES} bytes; these are counted together."
        ),
        "Correct what the refusals before this one name.",
    );
    subject.denial(action, "other topics", explanation, None)
}
