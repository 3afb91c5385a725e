//! Collectors of every temper behind the port: what arrives, what is tried again, what is lost and told.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by panicking"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use castellan_core::api::exposition::{Family, Kind, Sample};
use castellan_core::effect::TelemetryOrder;
use castellan_core::log_message::{Level, LogRecord};
use castellan_core::time::{Now, WallTime};
use castellan_core::trace::TraceContext;
use castellan_telemetry::{BATCH_RECORDS, Patience, Posted, QUEUE_RECORDS, Reply, Signal, Telemetry, TelemetryConfig};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTracePartialSuccess, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1 as log_proto;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Figure;
use prost::Message;
use smol::channel::{Receiver, bounded, unbounded};

/// Bounds a test that would hang; never a measure.
const LIMIT: Duration = Duration::from_secs(60);

/// A port, and every request that its collector saw.
struct Port {
    telemetry: Telemetry,
    executor: Arc<smol::Executor<'static>>,
    requests: Receiver<Vec<u8>>,
}

/// A port whose collector answers the requests by their number, from 1 on.
fn port(patience: Patience, answer: impl Fn(u32) -> Posted + Send + Sync + 'static) -> Port {
    let executor = Arc::new(smol::Executor::new());
    let (seen, requests) = unbounded();
    let count = Mutex::new(0);
    let telemetry = Telemetry::start(TelemetryConfig {
        signals: vec![Signal::Logs, Signal::Metrics],
        resource: vec![("service.name", String::from("castellan"))],
        version: String::from("1"),
        post: Box::new(move |_, body| {
            seen.try_send(body).unwrap();
            let mut count = count.lock().unwrap();
            *count += 1;
            answer(*count)
        }),
        executor: Arc::clone(&executor),
        clock: Arc::new(Now::default),
        patience,
    });
    Port { telemetry, executor, requests }
}

/// Nobody waits in these tests but for the collector.
fn hasty() -> Patience {
    let instant = Duration::from_millis(1);
    Patience { gather: instant, retry: instant, retry_max: instant, attempts: 3, farewell: LIMIT, tell_seconds: 60 }
}

fn status(status: u16) -> Posted {
    Box::pin(async move { Ok(Reply { status, ..Reply::default() }) })
}

fn line(message: &str) -> LogRecord {
    LogRecord {
        timestamp: String::from("2026-01-01T00:00:01.500Z"),
        source: "Tool".into(),
        client_id: Some(String::from("a_B_1")),
        pid: Some(7),
        component: String::from("job:a"),
        trace: TraceContext::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ..LogRecord::own(Level::Warning, "Phase", message)
    }
}

fn lines(request: &[u8]) -> Vec<log_proto::LogRecord> {
    let request = ExportLogsServiceRequest::decode(request).unwrap();
    request.resource_logs.into_iter().flat_map(|told| told.scope_logs).flat_map(|scope| scope.log_records).collect()
}

#[track_caller]
fn work<T>(executor: &smol::Executor<'static>, what: &str, until: impl Future<Output = T>) -> T {
    let late = async {
        smol::Timer::after(LIMIT).await;
        panic!("waited in vain: {what}")
    };
    smol::block_on(executor.run(smol::future::or(until, late)))
}

impl Port {
    fn log(&self, count: usize) {
        let inlet = self.telemetry.log_inlet();
        (0..count).for_each(|number| inlet.log(&line(&number.to_string())));
    }

    fn lost(&self) -> u64 {
        self.telemetry.lost()[0].1
    }

    #[track_caller]
    fn work<T>(&self, what: &str, until: impl Future<Output = T>) -> T {
        work(&self.executor, what, until)
    }

    #[track_caller]
    fn request(&self) -> Vec<u8> {
        self.work("a request", self.requests.recv()).unwrap()
    }

    /// Closes the port; how many requests came until then beside those that were looked at.
    fn close(self) -> usize {
        let Self { telemetry, executor, requests } = self;
        work(&executor, "the end", telemetry.close());
        requests.len()
    }
}

#[test]
fn a_line_arrives_with_all_that_it_has() {
    let port = port(hasty(), |_| status(200));
    port.log(2);
    let told = lines(&port.request());
    assert_eq!(told.len(), 2, "one request for both");
    let text = |value: &str| Some(Value::StringValue(value.to_owned()));
    assert_eq!(told[1].body.clone().unwrap().value, text("1"));
    assert_eq!(told[0].time_unix_nano, 1_767_225_601_500_000_000);
    assert_eq!((told[0].severity_number, told[0].severity_text.as_str()), (13, "Warning"));
    assert_eq!((told[0].trace_id[0], told[0].span_id[1]), (0x4b, 0xf0));
    let attributes = told[0].attributes.iter().map(|pair| (pair.key.as_str(), pair.value.clone().unwrap().value));
    let expect = [
        ("castellan.component", text("job:a")),
        ("castellan.log.source", text("Tool")),
        ("castellan.log.category", text("Phase")),
        ("messaging.client.id", text("a_B_1")),
        ("process.pid", Some(Value::IntValue(7))),
    ];
    assert_eq!(attributes.collect::<Vec<_>>(), expect);
    assert_eq!((port.lost(), port.close()), (0, 0));
}

#[test]
fn figures_arrive_as_opentelemetry_counts_them() {
    let port = port(hasty(), |_| status(200));
    let sample = |name: &str, labels: &[(&str, &str)], value: &str| Sample {
        name: name.to_owned(),
        labels: labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        value: value.to_owned(),
    };
    let family = |name: &str, kind, samples| Family { name: name.to_owned(), kind, help: String::from("It."), samples };
    let buckets = vec![
        sample("h_bucket", &[("le", "0.1")], "2"),
        sample("h_bucket", &[("le", "5")], "2"),
        sample("h_bucket", &[("le", "+Inf")], "7"),
        sample("h_sum", &[], "61.500"),
        sample("h_count", &[], "7"),
    ];
    let families = vec![
        family("c_total", Kind::Counter, vec![sample("c_total", &[("of", "x")], "3")]),
        family("g", Kind::Gauge, vec![sample("g", &[], "1.5")]),
        family("h", Kind::Histogram, buckets),
    ];
    let (since, at) = (WallTime::from_millis(1000), WallTime::from_millis(3000));
    port.telemetry.order(TelemetryOrder::Measure { since, at, families });
    let request = ExportMetricsServiceRequest::decode(&*port.request()).unwrap();
    let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
    let [Some(Data::Sum(sum)), Some(Data::Gauge(gauge)), Some(Data::Histogram(histogram))] =
        [0, 1, 2].map(|index| metrics[index].data.as_ref())
    else {
        panic!("{metrics:#?}")
    };
    assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "cumulative");
    let point = &sum.data_points[0];
    assert_eq!((point.start_time_unix_nano, point.time_unix_nano), (1_000_000_000, 3_000_000_000));
    assert_eq!((point.value, point.attributes[0].key.as_str()), (Some(Figure::AsInt(3)), "of"));
    assert_eq!(gauge.data_points[0].value, Some(Figure::AsDouble(1.5)));
    let point = &histogram.data_points[0];
    assert_eq!((point.count, point.sum), (7, Some(61.5)));
    assert_eq!((&*point.bucket_counts, &*point.explicit_bounds), (&[2, 0, 5][..], &[0.1, 5.0][..]));
    port.close();
}

#[test]
fn a_collector_that_is_busy_or_away_is_asked_again_and_nothing_arrives_twice() {
    let port = port(hasty(), |number| match number {
        1 => Box::pin(async { Err(String::from("nobody is there")) }),
        2 => Box::pin(async { Ok(Reply { status: 503, retry_after: Some(3600), ..Reply::default() }) }),
        _ => status(200),
    });
    port.log(1);
    let requests = [port.request(), port.request(), port.request()];
    assert!(requests.iter().all(|request| *request == requests[0]), "the same each time");
    assert_eq!((port.lost(), port.close()), (0, 0));
}

#[test]
fn what_is_never_taken_is_given_up_and_counted() {
    for answer in [503, 400, 301] {
        let port = port(hasty(), move |_| status(answer));
        port.log(2);
        port.request();
        port.log(1);
        let lost = port.telemetry.lost();
        assert_eq!(lost.iter().map(|(signal, _)| *signal).collect::<Vec<_>>(), ["logs", "metrics"]);
        let more = if answer == 503 { 2 } else { 0 };
        for _ in 0..more {
            port.request();
        }
        port.request();
        port.work("three losses", async {
            while port.lost() < 3 {
                smol::future::yield_now().await;
            }
        });
        assert!(port.close() <= more, "{answer}: not asked for ever");
    }
}

#[test]
fn what_a_collector_refuses_of_a_batch_is_counted() {
    let port = port(hasty(), |_| {
        let error_message = String::from("too old");
        let partial_success = Some(ExportTracePartialSuccess { rejected_spans: 2, error_message });
        let body = ExportTraceServiceResponse { partial_success }.encode_to_vec();
        Box::pin(async move { Ok(Reply { status: 200, body, ..Reply::default() }) })
    });
    port.log(5);
    port.request();
    port.work("two losses", async {
        while port.lost() < 2 {
            smol::future::yield_now().await;
        }
    });
    assert_eq!((port.lost(), port.close()), (2, 0));
}

#[test]
fn a_collector_that_hangs_costs_a_queue_and_not_the_agent() {
    let (go, gone) = bounded::<()>(1);
    let port = port(hasty(), move |_| {
        let gone = gone.clone();
        Box::pin(async move {
            assert!(gone.recv().await.is_err());
            Ok(Reply { status: 200, ..Reply::default() })
        })
    });
    port.log(BATCH_RECORDS);
    assert_eq!(lines(&port.request()).len(), BATCH_RECORDS);
    // Whoever tells does not wait: what has no room is counted at once.
    port.log(QUEUE_RECORDS + 10);
    assert_eq!(port.lost(), 10);
    drop(go);
    assert_eq!(lines(&port.request()).len(), BATCH_RECORDS, "one request after the other, each bounded");
    assert_eq!(port.close(), QUEUE_RECORDS / BATCH_RECORDS - 1, "the rest is told at the end");
}

#[test]
fn the_end_does_not_wait_for_a_collector_that_hangs() {
    let patience = Patience { farewell: Duration::from_millis(1), ..hasty() };
    let port = port(patience, |_| Box::pin(std::future::pending()));
    port.log(1);
    port.request();
    port.close();
}

#[test]
fn a_line_that_is_too_large_for_a_request_is_counted() {
    let port = port(hasty(), |_| status(200));
    port.telemetry.log_inlet().log(&line(&"x".repeat(castellan_telemetry::BATCH_BYTES)));
    assert_eq!(port.lost(), 1);
    for _ in 0..5 {
        port.telemetry.log_inlet().log(&line(&"x".repeat(castellan_telemetry::QUEUE_BYTES / 5)));
    }
    assert_eq!(port.lost(), 2, "the queue is bounded by bytes, too");
    assert_eq!(lines(&port.request()).len(), 1, "and so is a request");
    port.close();
}
