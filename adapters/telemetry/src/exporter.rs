//! Brings what waits to the collector, batch after batch (OTLP/HTTP, "Failures" and "Throttling").

use std::sync::Arc;
use std::time::Duration;

use castellan_core::time::{Monotonic, Now};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use prost::Message;
use smol::Timer;
use smol::future::or;

use crate::queue::Queue;
use crate::words::Sender;
use crate::{Patience, Post, Reply, Signal};

/// Statuses after which a request is sent again.
const AGAIN: [u16; 4] = [429, 502, 503, 504];
/// Characters of an error that the log shows: the collector chose them.
const ERROR_CHARACTERS: usize = 300;

/// The exporter of one signal.
pub(crate) struct Exporter<M> {
    pub(crate) signal: Signal,
    pub(crate) queue: Arc<Queue<M>>,
    pub(crate) sender: Arc<Sender>,
    pub(crate) wrap: fn(&Sender, Vec<M>) -> Vec<u8>,
    pub(crate) post: Arc<Post>,
    pub(crate) clock: Arc<dyn Fn() -> Now + Send + Sync>,
    pub(crate) patience: Patience,
}

/// Why a batch did not arrive, or not whole.
struct Failure {
    lost: u64,
    why: String,
}

/// What the log was told of losses.
#[derive(Default)]
struct Told {
    lost: u64,
    at: Option<Monotonic>,
    why: String,
}

impl<M: Message> Exporter<M> {
    /// Works until the queue is closed and empty.
    pub(crate) async fn run(self) {
        let mut told = Told::default();
        loop {
            let is_open = self.queue.changed().await;
            if is_open {
                self.gather().await;
            }
            loop {
                let batch = self.queue.take();
                if batch.is_empty() {
                    break;
                }
                self.deliver(batch, &mut told).await;
            }
            self.tell(&mut told);
            if !is_open {
                return;
            }
        }
    }

    /// Gives further records the time to come along.
    async fn gather(&self) {
        let full = async { while !self.queue.is_ready() && self.queue.changed().await {} };
        let late = async {
            Timer::after(self.patience.gather).await;
        };
        or(full, late).await;
    }

    /// Sends a batch until it is taken, refused for good, or was tried often enough; at the end of the agent once.
    async fn deliver(&self, batch: Vec<M>, told: &mut Told) {
        let records = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let body = (self.wrap)(&self.sender, batch);
        let mut pause = self.patience.retry;
        for attempt in 1_u32.. {
            let (why, asked) = match (self.post)(self.signal, body.clone()).await {
                Ok(reply) if AGAIN.contains(&reply.status) => {
                    (format!("it answered with status {}", reply.status), reply.retry_after)
                }
                Ok(reply) => {
                    if let Err(Failure { lost, why }) = judged(&reply, records) {
                        self.queue.lose(lost);
                        told.why = why;
                    }
                    return;
                }
                Err(why) => (why, None),
            };
            if attempt >= self.patience.attempts || self.queue.is_closed() {
                self.queue.lose(records);
                told.why = format!("{why}, {attempt} times");
                return;
            }
            told.why = why;
            self.tell(told);
            let wait = asked.map_or(pause, Duration::from_secs).clamp(pause, self.patience.retry_max.max(pause));
            // The end of the agent is no time to wait.
            or(
                async {
                    Timer::after(wait).await;
                },
                async { while self.queue.changed().await {} },
            )
            .await;
            pause = pause.saturating_mul(2).min(self.patience.retry_max);
        }
    }

    /// One line about what was lost since the last one.
    fn tell(&self, told: &mut Told) {
        let lost = self.queue.lost();
        let now = (self.clock)().monotonic;
        let is_early = told.at.is_some_and(|at| now < at.plus_seconds(self.patience.tell_seconds));
        if lost <= told.lost || (is_early && !self.queue.is_closed()) {
            return;
        }
        let more = lost.saturating_sub(told.lost);
        let why = if told.why.is_empty() {
            String::from("they came faster than they could be sent")
        } else {
            std::mem::take(&mut told.why)
        };
        log::warn!(
            "{more} records of {} did not reach the collector of telemetry ({lost} since the start): {why}. Look at the collector, and at Settings:Telemetry in appsettings.json.",
            self.signal.as_str()
        );
        *told = Told { lost, at: Some(now), why: String::new() };
    }
}

/// Whether an answer that stands means that all records arrived.
fn judged(reply: &Reply, records: u64) -> Result<(), Failure> {
    if !(200..300).contains(&reply.status) {
        let hint = if (300..400).contains(&reply.status) { ", and redirects are not followed" } else { "" };
        return Err(Failure { lost: records, why: format!("it answered with status {}{hint}", reply.status) });
    }
    // The answers to all signals have the same form. A body of another type says nothing about records.
    let partial =
        ExportTraceServiceResponse::decode(reply.body.as_slice()).ok().and_then(|answer| answer.partial_success);
    match partial {
        Some(ExportTracePartialSuccess { rejected_spans, error_message }) if rejected_spans > 0 => {
            let lost = u64::try_from(rejected_spans).unwrap_or_default().min(records);
            let said: String = error_message.chars().take(ERROR_CHARACTERS).collect();
            Err(Failure { lost, why: format!("it refused them: '{}'", said.escape_debug()) })
        }
        Some(_) | None => Ok(()),
    }
}
