//! Figures as OTLP has them: cumulative from the start of the agent on, as Prometheus reads them.

use castellan_core::api::exposition::{Family, Kind, Sample};
use castellan_core::time::WallTime;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    self as proto, AggregationTemporality, Gauge, Histogram, HistogramDataPoint, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use prost::Message;

use crate::words::{Sender, nanos, text};

/// The label of a histogram's buckets.
const BOUND: &str = "le";

/// What a family measured from `since` on.
pub(crate) fn encoded(family: Family, since: WallTime, at: WallTime) -> proto::Metric {
    let Family { name, kind, help, samples } = family;
    let aggregation_temporality = AggregationTemporality::Cumulative as i32;
    let points = |start| samples.iter().map(move |sample| point(sample, start, nanos(at))).collect();
    let data = match kind {
        Kind::Counter => {
            Data::Sum(Sum { data_points: points(nanos(since)), aggregation_temporality, is_monotonic: true })
        }
        Kind::Gauge => Data::Gauge(Gauge { data_points: points(0) }),
        Kind::Histogram => {
            let data_points = vec![histogram(&samples, nanos(since), nanos(at))];
            Data::Histogram(Histogram { data_points, aggregation_temporality })
        }
    };
    proto::Metric { name, description: help, data: Some(data), ..proto::Metric::default() }
}

fn point(sample: &Sample, start: u64, at: u64) -> NumberDataPoint {
    let whole = sample.value.parse().map(Value::AsInt);
    let value = whole.or_else(|_| sample.value.parse().map(Value::AsDouble)).ok();
    NumberDataPoint {
        attributes: labels(sample),
        start_time_unix_nano: start,
        time_unix_nano: at,
        value,
        ..NumberDataPoint::default()
    }
}

fn labels(sample: &Sample) -> Vec<KeyValue> {
    sample.labels.iter().map(|(name, value)| text(name, value.as_str())).collect()
}

/// Prometheus counts in each bucket what the smaller ones have, too; OTLP does not.
fn histogram(samples: &[Sample], start: u64, at: u64) -> HistogramDataPoint {
    let named = |suffix: &'static str| samples.iter().filter(move |sample| sample.name.ends_with(suffix));
    let (mut bounds, mut counts, mut below) = (Vec::new(), Vec::new(), 0_u64);
    for sample in named("_bucket") {
        let count: u64 = sample.value.parse().unwrap_or(below);
        counts.push(count.saturating_sub(below));
        below = count;
        let bound = sample.labels.iter().find(|(name, _)| name == BOUND).and_then(|(_, bound)| bound.parse().ok());
        bounds.extend(bound.filter(|bound: &f64| bound.is_finite()));
    }
    HistogramDataPoint {
        start_time_unix_nano: start,
        time_unix_nano: at,
        count: below,
        sum: named("_sum").next().and_then(|sample| sample.value.parse().ok()),
        bucket_counts: counts,
        explicit_bounds: bounds,
        ..HistogramDataPoint::default()
    }
}

/// The request with these figures.
pub(crate) fn wrapped(sender: &Sender, metrics: Vec<proto::Metric>) -> Vec<u8> {
    let scope_metrics = vec![ScopeMetrics { scope: sender.scope(), metrics, ..ScopeMetrics::default() }];
    let resource_metrics =
        vec![ResourceMetrics { resource: sender.resource(), scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec()
}
