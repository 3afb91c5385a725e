//! Words that all signals share: who tells, attributes, times.

use castellan_core::time::WallTime;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// Who tells.
#[derive(Debug)]
pub(crate) struct Sender {
    resource: Resource,
    version: String,
}

impl Sender {
    pub(crate) fn new(resource: Vec<(&'static str, String)>, version: String) -> Self {
        let attributes = resource.into_iter().map(|(name, value)| text(name, value)).collect();
        Self { resource: Resource { attributes, ..Resource::default() }, version }
    }

    pub(crate) fn resource(&self) -> Option<Resource> {
        Some(self.resource.clone())
    }

    pub(crate) fn scope(&self) -> Option<InstrumentationScope> {
        let (name, version) = (String::from("castellan"), self.version.clone());
        Some(InstrumentationScope { name, version, ..InstrumentationScope::default() })
    }
}

pub(crate) fn text(name: &str, value: impl Into<String>) -> KeyValue {
    attribute(name, Value::StringValue(value.into()))
}

pub(crate) fn number(name: &str, value: i64) -> KeyValue {
    attribute(name, Value::IntValue(value))
}

fn attribute(name: &str, value: Value) -> KeyValue {
    KeyValue { key: String::from(name), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// Nanoseconds since 1970.
pub(crate) fn nanos(at: WallTime) -> u64 {
    u64::try_from(at.as_millis()).unwrap_or_default().saturating_mul(1_000_000)
}
