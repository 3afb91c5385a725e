//! What went wrong for somebody, kept for `GET /api/denials` and written to the log.
//!
//! Whoever is refused chooses how often and with which texts, so both the table and the lines in the log are bounded.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};

use schemars::JsonSchema;
use serde::Serialize;

use super::Agent;
use crate::acl::{Action, Denial, Subject};
use crate::api::stream::Kind;
use crate::config::LogRateLimit;
use crate::effect::Effects;
use crate::id::{Component, JobId};
use crate::limits::{DENIAL_CHARS, DENIALS};
use crate::log_message::{Level, escape};
use crate::time::{Deadline, Monotonic, Now};
use crate::trust::Peer;
use crate::why::Explanation;

/// Lines that refusals may write at once, and how long it takes until one more may be written.
const LINES: u64 = 50;
/// See [`LINES`].
const LINE_EVERY_SECONDS: u64 = 1;
/// So long after the first line that was left out one line counts all of them.
const SUMMARY_SECONDS: u64 = 10;

/// A refusal with its time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(crate) struct DenialRecord {
    /// When it was refused first: RFC 3339, UTC.
    #[schemars(extend("format" = "date-time"))]
    timestamp: String,
    #[serde(flatten)]
    pub(crate) denial: Denial,
    /// How often the same was refused.
    pub(crate) count: u64,
    /// How many of them were only counted, since they came too fast.
    suppressed: u64,
    /// When it was refused last.
    #[serde(rename = "lastTimestamp")]
    #[schemars(extend("format" = "date-time"))]
    pub(crate) last_timestamp: String,
}

/// Refusals, newest first, and what the log may still be told of them.
#[derive(Debug, Default)]
pub(super) struct Denials {
    records: VecDeque<DenialRecord>,
    /// Lines written lately; one is forgotten each second.
    written: u64,
    forgotten_at: Monotonic,
    left_out: u64,
    summary_at: Option<Monotonic>,
}

impl Denials {
    pub(super) const fn records(&self) -> &VecDeque<DenialRecord> {
        &self.records
    }

    pub(super) fn next_deadline(&self) -> Option<Deadline> {
        self.summary_at.map(|at| Deadline { at, reason: "the summary of refusals" })
    }

    /// Takes a refusal in, with how many alike came with it; how often it came so far, if that is worth a line. The same one again
    /// only counts, and is worth one where it reaches another power of ten.
    fn add(&mut self, now: Now, denial: &Denial, suppressed: u64) -> Option<u64> {
        let times = suppressed.max(1);
        let timestamp = now.wall.to_rfc3339();
        let known = self.records.iter().position(|record| is_same(&record.denial, denial));
        let Some(mut record) = known.and_then(|place| self.records.remove(place)) else {
            self.records.truncate(DENIALS.saturating_sub(1));
            let last_timestamp = timestamp.clone();
            let denial = denial.clone();
            self.records.push_front(DenialRecord { last_timestamp, timestamp, denial, count: times, suppressed });
            return Some(times);
        };
        let before = record.count;
        record.count = before.saturating_add(times);
        record.suppressed = record.suppressed.saturating_add(suppressed);
        record.last_timestamp = timestamp;
        record.denial = denial.clone();
        let count = record.count;
        self.records.push_front(record);
        (count.checked_ilog10() > before.checked_ilog10()).then_some(count)
    }

    /// Whether one more line may be written now.
    fn has_line(&mut self, now: Monotonic) -> bool {
        let seconds = now.millis_since(self.forgotten_at) / 1000 / LINE_EVERY_SECONDS;
        if seconds > 0 {
            self.written = self.written.saturating_sub(seconds);
            self.forgotten_at = now;
        }
        if self.written < LINES {
            self.written = self.written.saturating_add(1);
            return true;
        }
        self.left_out = self.left_out.saturating_add(1);
        if self.summary_at.is_none() {
            self.summary_at = Some(now.plus_seconds(SUMMARY_SECONDS));
        }
        false
    }
}

/// The same attempt, refused for the same reason; numbers, such as a stranger's port, are part of no reason.
fn is_same(left: &Denial, right: &Denial) -> bool {
    left.action == right.action
        && left.peer == right.peer
        && left.target == right.target
        && left.component == right.component
        && left.client_id == right.client_id
        && words(&left.explanation.why).eq(words(&right.explanation.why))
}

fn words(text: &str) -> impl Iterator<Item = char> {
    text.chars().filter(|letter| !letter.is_ascii_digit())
}

impl Agent {
    /// Puts a refusal on record.
    pub(super) fn record_denial(&mut self, now: Now, denial: Denial, effects: &mut Effects) {
        self.record_denials(now, denial, 0, effects);
    }

    /// The same of one that stands for so many that were only counted.
    pub(super) fn record_denials(&mut self, now: Now, denial: Denial, suppressed: u64, effects: &mut Effects) {
        let denial = cut(self.hidden(denial));
        self.meter.denied(&denial, suppressed.max(1));
        let Some(count) = self.denials.add(now, &denial, suppressed) else { return };
        if self.denials.has_line(now.monotonic) {
            let mut turn = self.desk.turn(now, effects);
            turn.log_denial(&denial, count);
            turn.tell(Kind::Denial, &self.denials.records.front());
        }
    }

    /// Puts on record that a client sent more log messages than it may.
    pub(super) fn record_dropped_logs(
        &mut self,
        now: Now,
        subject: &Subject,
        messages: u64,
        millis: u64,
        effects: &mut Effects,
    ) {
        self.meter.dropped_logs(messages);
        let LogRateLimit { per_second, burst } = self.desk.settings.logging.client;
        let explanation = Explanation::new(
            format!(
                "{messages} log messages of {} were dropped in {}.{:03} s.",
                subject.client_id,
                millis / 1000,
                millis % 1000
            ),
            format!("A client may send {per_second} a second, and {burst} at once."),
            "Log less, or raise system.logging.clientRate and clientBurst.",
        );
        let denial = cut(self.hidden(subject.denial(Action::Log, "KeeperLogger", explanation, None)));
        self.meter.denied(&denial, messages);
        self.denials.add(now, &denial, messages);
        if self.denials.has_line(now.monotonic) {
            let message = denial.explanation.to_string();
            let mut turn = self.desk.turn(now, effects);
            turn.log_about(Level::Warning, "LogDropped", message, Some(&subject.component));
            turn.tell(Kind::Denial, &self.denials.records.front());
        }
    }

    /// A refusal without the secrets of the plugin, or of the runs of the job, whose it is: whoever is refused chooses the texts.
    fn hidden(&self, mut denial: Denial) -> Denial {
        let Some(component) = denial.component.clone() else { return denial };
        let runs = || self.runs.values().filter(|run| component.strip_prefix("job:") == Some(run.job.id.as_str()));
        let hide = |text: &mut String| {
            let shown = self.desk.plugin_settings.hide(&component, core::mem::take(text));
            *text = runs().fold(shown, |text, run| run.mask(text));
        };
        let Explanation { what, why, fix } = &mut denial.explanation;
        [&mut denial.target, what, why, fix].into_iter().for_each(hide);
        denial.declaration.iter_mut().for_each(|declaration| hide(&mut declaration.value));
        denial
    }

    /// Puts on record what parts of the agent refused in this turn.
    pub(super) fn record_denied(&mut self, now: Now, effects: &mut Effects) {
        for denial in core::mem::take(&mut self.desk.denied) {
            self.record_denial(now, denial, effects);
        }
    }

    /// Puts on record that a limit kept a job from being run on nobody's request; in the log it stands with all that did not run.
    pub(super) fn record_start_denial(
        &mut self,
        now: Now,
        job: &JobId,
        explanation: Explanation,
        is_due: bool,
        effects: &mut Effects,
    ) {
        let component = Component::Job(job.clone());
        let denial = cut(Denial {
            action: Action::Start,
            target: job.to_string(),
            component: Some(component.to_string()),
            client_id: None,
            peer: Peer::default(),
            explanation,
            declaration: None,
        });
        self.meter.denied(&denial, 1);
        // A due instant that is not run for has its line always: schedules are no faster than that.
        let is_worth_a_line = self.denials.add(now, &denial, 0).is_some();
        if (is_worth_a_line && self.denials.has_line(now.monotonic)) || is_due {
            let message = denial.explanation.to_string();
            let mut turn = self.desk.turn(now, effects);
            turn.log_about(Level::Warning, "NotRun", message, Some(&component));
            turn.tell(Kind::Denial, &self.denials.records.front());
        }
    }

    /// Counts what the log was not told one by one.
    pub(super) fn summarize_denials(&mut self, now: Now, effects: &mut Effects) {
        if self.denials.summary_at.take_if(|at| now.monotonic >= *at).is_none() {
            return;
        }
        let left_out = core::mem::take(&mut self.denials.left_out);
        let message =
            format!("{left_out} more refusals were not written here; GET /api/denials shows the last {DENIALS}.");
        let mut turn = self.desk.turn(now, effects);
        turn.log(Level::Warning, "Denied", message);
        turn.tell(Kind::Denial, &serde_json::json!({ "suppressed": left_out }));
    }
}

/// A refusal as it is kept.
fn cut(mut denial: Denial) -> Denial {
    for text in [&mut denial.target, &mut denial.explanation.what, &mut denial.explanation.why] {
        *text = shown(text);
    }
    denial.client_id = denial.client_id.map(|text| shown(&text));
    denial.peer.executable = denial.peer.executable.map(|text| shown(&text));
    denial.explanation.fix = shown(&denial.explanation.fix);
    if let Some(declaration) = &mut denial.declaration {
        declaration.value = shown(&declaration.value);
    }
    denial
}

/// Foreign text as it is kept: one line, cut after [`DENIAL_CHARS`].
fn shown(text: &str) -> String {
    let mut shown: String = escape(text).chars().take(DENIAL_CHARS).collect();
    if text.chars().nth(DENIAL_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
