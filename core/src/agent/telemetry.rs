//! What is told to a collector of telemetry (`Settings:Telemetry`): spans of events and publishes, and now and then what is measured.

use alloc::format;

use super::Agent;
use super::answers::Pending;
use crate::acl::Subject;
use crate::effect::{Effect, Effects, TelemetryOrder};
use crate::event::{Counts, Traced};
use crate::run::{Chain, FiredEvent, Publish};
use crate::time::{Deadline, Now};
use crate::trace::Span;

impl Agent {
    /// Tells the span of an event where traces are told; the chain of what it leads to.
    pub(super) fn trace_event(&mut self, now: Now, event: &FiredEvent, chain: &Chain, effects: &mut Effects) -> Chain {
        let mut turn = self.desk.turn(now, effects);
        let Some(tracer) = turn.tracer else { return chain.clone() };
        let subject = format!("event {}", turn.counters.ticket());
        let above = event.trace.or(chain.trace).unwrap_or_else(|| tracer.root(&subject));
        let context = tracer.below(above, &subject);
        let name = format!("event {}", event.name);
        turn.span(Span::at(context, above.span_id, &name, now.wall).text("castellan.event.name", &event.name));
        Chain { trace: Some(context), ..chain.clone() }
    }

    /// What the broker tells of a task's publishes. One of a run that has ended meanwhile hangs nowhere any more.
    pub(super) fn on_traced(&mut self, now: Now, subject: &Subject, traced: &Traced, effects: &mut Effects) {
        let Some(run) = subject.run.as_ref().and_then(|id| self.runs.get_mut(id)) else { return };
        match traced {
            Traced::Publish { topic, qos, bytes } => {
                let publish = Publish { topic, qos: *qos, bytes: *bytes };
                run.on_publish(subject.spawn, &publish, &mut self.desk.turn(now, effects));
            }
            Traced::LeftOut(more) => run.on_publishes_left_out(*more),
        }
    }

    pub(super) fn next_measure(&self) -> Option<Deadline> {
        self.measures_at.map(|at| Deadline { at, reason: "the next telling of metrics" })
    }

    /// Asks the ports for their counts, to tell them with the agent's own.
    pub(super) fn measure_when_due(&mut self, now: Now, effects: &mut Effects) {
        let Some(telemetry) = self.desk.settings.telemetry.as_ref().filter(|telemetry| telemetry.metrics) else {
            return;
        };
        let next = now.monotonic.plus_seconds(telemetry.interval_seconds);
        if *self.measures_at.get_or_insert(next) > now.monotonic || !self.is_running() {
            return;
        }
        self.measures_at = Some(next);
        if !self.pending.values().any(|pending| matches!(pending, Pending::Measure)) {
            let ticket = self.desk.counters.ticket();
            effects.push(Effect::Count(ticket));
            self.expect_answer(ticket, Pending::Measure);
        }
    }

    /// Tells what is measured.
    pub(super) fn tell_measures(&self, now: Now, counts: &Counts, effects: &mut Effects) {
        let families = self.exposition(now, counts).into_families();
        let since = self.desk.surroundings.started.wall;
        effects.push(Effect::Telemetry(TelemetryOrder::Measure { since, at: now.wall, families }));
    }
}
