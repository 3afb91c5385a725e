//! Logs, traces and metrics on their way to a collector of OpenTelemetry's: OTLP 1.x over HTTP, as Protocol Buffers.
//!
//! ```text
//! log, order            never block: what is told goes into the queue of its signal, or is counted as lost
//! queue                 bounded by count and by bytes; a signal does not wait for another one
//! exporter, one each    gathers a batch, posts it, tries again as OTLP says, gives up after some attempts and counts what was in it
//! ```
//! What is told, and when, is the core's decision; how a request is sent is the owner's ([`Post`]). Losses are counted
//! ([`Telemetry::lost`]) and told in the agent's own log, once a minute at most.

mod exporter;
mod logs;
mod metrics;
mod queue;
mod spans;
mod words;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use castellan_core::effect::TelemetryOrder;
use castellan_core::log_message::LogRecord;
use castellan_core::time::Now;
use opentelemetry_proto::tonic::logs::v1 as log_proto;
use opentelemetry_proto::tonic::metrics::v1 as metric_proto;
use opentelemetry_proto::tonic::trace::v1 as trace_proto;
use smol::future::or;

use exporter::Exporter;
use queue::Queue;
use words::Sender;

/// Bytes of one request at most, before framing; collectors take 20 MiB by default. What cannot fit is lost.
pub const BATCH_BYTES: usize = 1 << 20;
/// Records of one request at most: what SDKs of OpenTelemetry send.
pub const BATCH_RECORDS: usize = 512;
/// Records of one signal that wait at most: a burst, and what comes while a batch is tried again.
pub const QUEUE_RECORDS: usize = 4096;
/// Bytes of them; the largest log message has 64 KiB.
pub const QUEUE_BYTES: usize = 4 << 20;

/// One of the three kinds of telemetry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Lines of the log.
    Logs,
    /// Spans.
    Traces,
    /// Figures.
    Metrics,
}

impl Signal {
    /// As metrics call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logs => "logs",
            Self::Traces => "traces",
            Self::Metrics => "metrics",
        }
    }

    /// What is added to the base URL (OTLP/HTTP, "OTLP/HTTP Request").
    pub const fn path(self) -> &'static str {
        match self {
            Self::Logs => "/v1/logs",
            Self::Traces => "/v1/traces",
            Self::Metrics => "/v1/metrics",
        }
    }
}

/// What a collector answered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The field `Retry-After`, in seconds, where it says so.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Vec<u8>,
}

/// A request under way; an error says why there was no answer, as a sentence without a full stop.
pub type Posted = Pin<Box<dyn Future<Output = Result<Reply, String>> + Send>>;
/// Sends a body of type `application/x-protobuf` to the place of a signal, within a time of its own.
pub type Post = Box<dyn Fn(Signal, Vec<u8>) -> Posted + Send + Sync>;

/// How long what is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// From the first record of a batch to its sending, unless it is full before.
    pub gather: Duration,
    /// Before the second attempt; doubles with each.
    pub retry: Duration,
    /// The longest time between two attempts, also where the collector asks for a longer one.
    pub retry_max: Duration,
    /// Attempts for one batch.
    pub attempts: u32,
    /// For what waits when the agent ends.
    pub farewell: Duration,
    /// Seconds between two lines about losses.
    pub tell_seconds: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            gather: Duration::from_secs(1),
            retry: Duration::from_secs(1),
            retry_max: Duration::from_secs(30),
            attempts: 6,
            farewell: Duration::from_secs(2),
            tell_seconds: 60,
        }
    }
}

/// What the port is started with.
pub struct TelemetryConfig {
    /// Which signals are told.
    pub signals: Vec<Signal>,
    /// Who tells, by OpenTelemetry's names: `service.name`, `host.name`.
    pub resource: Vec<(&'static str, String)>,
    /// The version of the agent.
    pub version: String,
    /// How requests are sent.
    pub post: Post,
    /// Where the exporters run.
    pub executor: Arc<smol::Executor<'static>>,
    /// Tells the time.
    pub clock: Arc<dyn Fn() -> Now + Send + Sync>,
    /// How long what is waited for.
    pub patience: Patience,
}

impl fmt::Debug for TelemetryConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TelemetryConfig").field("signals", &self.signals).finish_non_exhaustive()
    }
}

/// The way of telemetry out of the agent.
#[derive(Debug)]
pub struct Telemetry {
    logs: Option<Arc<Queue<log_proto::LogRecord>>>,
    traces: Option<Arc<Queue<trace_proto::Span>>>,
    metrics: Option<Arc<Queue<metric_proto::Metric>>>,
    exporters: Vec<smol::Task<()>>,
    farewell: Duration,
}

/// The way in for lines of the log, for whoever does not own the port.
#[derive(Debug, Clone)]
pub struct LogInlet(Option<Arc<Queue<log_proto::LogRecord>>>);

impl LogInlet {
    /// Takes a line; never blocks.
    pub fn log(&self, record: &LogRecord) {
        if let Some(logs) = &self.0 {
            logs.push(logs::encoded(record));
        }
    }
}

impl Telemetry {
    /// Starts an exporter for each signal.
    pub fn start(config: TelemetryConfig) -> Self {
        let TelemetryConfig { signals, resource, version, post, executor, clock, patience } = config;
        let (sender, post) = (Arc::new(Sender::new(resource, version)), Arc::new(post));
        let mut telemetry =
            Self { logs: None, traces: None, metrics: None, exporters: Vec::new(), farewell: patience.farewell };
        for signal in signals {
            let (sender, post, clock) = (Arc::clone(&sender), Arc::clone(&post), Arc::clone(&clock));
            let task = match signal {
                Signal::Logs => {
                    let queue = Arc::clone(telemetry.logs.insert(Arc::default()));
                    let exporter = Exporter { signal, queue, post, clock, patience, wrap: logs::wrapped, sender };
                    executor.spawn(exporter.run())
                }
                Signal::Traces => {
                    let queue = Arc::clone(telemetry.traces.insert(Arc::default()));
                    let exporter = Exporter { signal, queue, post, clock, patience, wrap: spans::wrapped, sender };
                    executor.spawn(exporter.run())
                }
                Signal::Metrics => {
                    let queue = Arc::clone(telemetry.metrics.insert(Arc::default()));
                    let exporter = Exporter { signal, queue, post, clock, patience, wrap: metrics::wrapped, sender };
                    executor.spawn(exporter.run())
                }
            };
            telemetry.exporters.push(task);
        }
        telemetry
    }

    /// Takes an order; never blocks.
    pub fn order(&self, order: TelemetryOrder) {
        match order {
            TelemetryOrder::Span(span) => {
                if let Some(traces) = &self.traces {
                    traces.push(spans::encoded(*span));
                }
            }
            TelemetryOrder::Measure { since, at, families } => {
                if let Some(queue) = &self.metrics {
                    families.into_iter().for_each(|family| queue.push(metrics::encoded(family, since, at)));
                }
            }
        }
    }

    /// The way in for lines of the log.
    pub fn log_inlet(&self) -> LogInlet {
        LogInlet(self.logs.clone())
    }

    /// What the collector did not get since the start, by signal.
    pub fn lost(&self) -> Vec<(&'static str, u64)> {
        let logs = self.logs.iter().map(|queue| (Signal::Logs.as_str(), queue.lost()));
        let traces = self.traces.iter().map(|queue| (Signal::Traces.as_str(), queue.lost()));
        let metrics = self.metrics.iter().map(|queue| (Signal::Metrics.as_str(), queue.lost()));
        logs.chain(traces).chain(metrics).collect()
    }

    /// Sends what waits, once and within the time for it; what that does not bring to the collector is lost, and told.
    pub async fn close(mut self) {
        self.logs.iter().for_each(|queue| queue.close());
        self.traces.iter().for_each(|queue| queue.close());
        self.metrics.iter().for_each(|queue| queue.close());
        let exporters = std::mem::take(&mut self.exporters);
        let farewell = self.farewell;
        let all = async {
            for exporter in exporters {
                exporter.await;
            }
            true
        };
        let late = async {
            smol::Timer::after(farewell).await;
            false
        };
        if !or(all, late).await {
            log::warn!(
                "The collector of telemetry did not take what was left within {} ms; it is lost.",
                farewell.as_millis()
            );
        }
    }
}
