//! A run as spans of a trace: one for itself, one for each task that was considered, one for each publish of a task. Each is told when
//! it is over; ids follow from what the span is about, so that children can be told before their parents.

use alloc::format;
use alloc::string::String;

use super::Run;
use super::history::Outcome;
use super::message::{FiredEvent, JobRequest, Request};
use super::origin::Chain;
use super::phase::Live;
use crate::broker::message::QoS;
use crate::id::{RunId, SpawnId};
use crate::limits::TRACED_PUBLISHES;
use crate::time::WallTime;
use crate::trace::{Span, SpanId, SpanKind, TraceContext};
use crate::turn::Turn;

/// Where a run stands in its trace.
#[derive(Debug)]
pub(super) struct Tracing {
    /// Its own span.
    pub(super) run: TraceContext,
    parent: Option<SpanId>,
    since: WallTime,
    publishes: u32,
    /// Publishes without a span.
    left_out: u64,
    /// The publish that the agent reads next.
    published: Option<TraceContext>,
}

/// A message that a task published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish<'m> {
    pub(crate) topic: &'m str,
    pub(crate) qos: QoS,
    pub(crate) bytes: usize,
}

impl Tracing {
    /// A run that hangs where its chain says, or begins a trace; `None` where traces are not told.
    pub(super) fn begin(id: &RunId, chain: &Chain, turn: &Turn<'_>) -> Option<Self> {
        let tracer = turn.tracer?;
        let above = chain.trace.unwrap_or_else(|| tracer.root(id.as_str()));
        let run = tracer.below(above, &format!("run {id}"));
        Some(Self { run, parent: above.span_id, since: turn.now.wall, publishes: 0, left_out: 0, published: None })
    }
}

impl Request {
    /// The same, asked for at this place; what its sender said itself stands.
    pub(super) fn within(mut self, place: Option<TraceContext>) -> Self {
        match &mut self {
            Self::Event(FiredEvent { trace, .. }) | Self::Job(JobRequest { trace, .. }) => *trace = trace.or(place),
            // Its header fields say it.
            Self::Call(_) => {}
        }
        self
    }
}

impl Run {
    /// The place of what the run led to as a whole: its alternate, lines of the log about it.
    pub(crate) fn run_context(&self) -> Option<TraceContext> {
        self.tracing.as_ref().map(|tracing| tracing.run)
    }

    /// The place of what the task in hand does, or did last.
    pub(super) fn task_context(&self) -> Option<TraceContext> {
        self.task_context_of(self.phase.live().map_or(SpawnId::NONE, |live| live.spawn))
    }

    /// The place of what this tree does; tasks without one are told apart by their place in the record.
    pub(crate) fn task_context_of(&self, spawn: SpawnId) -> Option<TraceContext> {
        let run = self.run_context()?;
        Some(run.below(&if spawn == SpawnId::NONE {
            format!("task {}", self.record.tasks.len())
        } else {
            format!("spawn {spawn}")
        }))
    }

    /// Tells the span of the task that ended now.
    pub(super) fn trace_task(&self, live: Option<&Live>, turn: &mut Turn<'_>) {
        let spawn = live.map_or(SpawnId::NONE, |live| live.spawn);
        let (Some(tracing), Some(context)) = (&self.tracing, self.task_context_of(spawn)) else { return };
        let Some(task) = self.record.tasks.last() else { return };
        let millis = i64::try_from(task.duration_ms.unwrap_or_default()).unwrap_or_default();
        let name = format!("task {}", task.task_id);
        let mut span = Span::at(context, tracing.run.span_id, &name, turn.now.wall)
            .text("castellan.task.id", &task.task_id)
            .text("castellan.task.outcome", &task.outcome)
            .number("process.pid", task.pid)
            .number("process.exit.code", task.exit_code)
            .number("http.response.status_code", task.http_status);
        span.start = WallTime::from_millis(turn.now.wall.as_millis().saturating_sub(millis));
        let is_good = matches!(&*task.outcome, "Succeeded" | "Skipped");
        turn.span(if is_good { span } else { span.failed(task.reason.as_deref().unwrap_or_default()) });
    }

    /// Tells the span of the run, which ended now.
    pub(super) fn trace_run(&self, turn: &mut Turn<'_>) {
        let Some(tracing) = &self.tracing else { return };
        let name = format!("run {}", self.job.id);
        let begun = self.record.begun_at.as_deref().and_then(WallTime::parse_rfc3339);
        let waited = begun.map(|begun| begun.as_millis().saturating_sub(tracing.since.as_millis()));
        let mut span = Span::at(tracing.run, tracing.parent, &name, turn.now.wall)
            .text("castellan.run.id", self.id.as_str())
            .text("castellan.job.id", self.job.id.as_str())
            .text("castellan.run.trigger", &self.record.trigger)
            .text("castellan.run.outcome", self.record.outcome.map_or("", Outcome::as_str))
            .number("castellan.run.waited_ms", waited)
            .number("castellan.run.publishes_left_out", Some(tracing.left_out).filter(|left_out| *left_out > 0));
        span.start = tracing.since;
        let is_good = self.record.is_good();
        turn.span(if is_good { span } else { span.failed(self.record.reason.as_deref().unwrap_or_default()) });
    }

    /// A task's tree published, or the task itself without one: told as a span while there is room for it.
    pub(crate) fn on_publish(&mut self, spawn: SpawnId, publish: &Publish<'_>, turn: &mut Turn<'_>) {
        let topic = self.mask(String::from(publish.topic));
        let above = self.task_context_of(spawn);
        let (Some(tracing), Some(above)) = (&mut self.tracing, above) else { return };
        if tracing.publishes >= TRACED_PUBLISHES {
            tracing.left_out = tracing.left_out.saturating_add(1);
            tracing.published = None;
            return;
        }
        tracing.publishes = tracing.publishes.saturating_add(1);
        let context = above.below(&format!("publish {}", tracing.publishes));
        tracing.published = Some(context);
        let mut span = Span::at(context, above.span_id, &format!("publish {topic}"), turn.now.wall)
            .text("messaging.system", "mqtt")
            .text("messaging.destination.name", &topic)
            .number("messaging.message.body.size", Some(publish.bytes))
            .number("messaging.mqtt.qos", Some(publish.qos as u8));
        span.kind = SpanKind::Producer;
        turn.span(span);
    }

    /// What a built-in command published; the place of what it asks for.
    pub(super) fn trace_built_in(
        &mut self,
        published: Option<(String, QoS, usize)>,
        turn: &mut Turn<'_>,
    ) -> Option<TraceContext> {
        if let Some((topic, qos, bytes)) = &published {
            self.on_publish(SpawnId::NONE, &Publish { topic, qos: *qos, bytes: *bytes }, turn);
        }
        self.take_published(SpawnId::NONE)
    }

    /// Publishes that the broker only counted.
    pub(crate) fn on_publishes_left_out(&mut self, more: u64) {
        if let Some(tracing) = &mut self.tracing {
            tracing.left_out = tracing.left_out.saturating_add(more);
        }
    }

    /// The place of the publish that is read now, once; else that of the tree that sent it.
    pub(crate) fn take_published(&mut self, spawn: SpawnId) -> Option<TraceContext> {
        let published = self.tracing.as_mut().and_then(|tracing| tracing.published.take());
        published.or_else(|| self.task_context_of(spawn))
    }
}
