//! The port of `Settings:Telemetry`. Agents that were built without the feature `otlp` have none, and say so where one is wanted.

#[cfg(feature = "otlp")]
mod collector;
#[cfg(not(feature = "otlp"))]
mod nobody;

use std::sync::Arc;

use castellan_core::config::Settings;

use crate::clock::Clock;
#[cfg(feature = "otlp")]
pub(crate) use collector::TelemetryPort;
#[cfg(not(feature = "otlp"))]
pub(crate) use nobody::TelemetryPort;

/// What the port is started with.
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "nobody is told"))]
pub(crate) struct TelemetryStart<'a> {
    pub(crate) settings: &'a Settings,
    /// Tells this machine from others.
    pub(crate) machine: String,
    pub(crate) clock: Clock,
    pub(crate) executor: Arc<smol::Executor<'static>>,
}

/// Takes a setting out that this program cannot follow; what the log says of it.
pub(crate) fn heed(settings: &mut Settings) -> Option<String> {
    if cfg!(feature = "otlp") || settings.telemetry.take().is_none() {
        return None;
    }
    Some(String::from(
        "Settings:Telemetry has no effect: this castellan was built without the feature 'otlp'. Build it with 'cargo build --release --features otlp', or take the section out of appsettings.json.",
    ))
}
