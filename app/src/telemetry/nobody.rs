//! Nobody is told anything.

use castellan_core::effect::TelemetryOrder;
use castellan_fs::log_file::LogOutput;

use super::TelemetryStart;

/// A port that leads nowhere: the core gives it no orders, as there is no setting for it any more.
#[derive(Debug)]
pub(crate) struct TelemetryPort;

impl TelemetryPort {
    pub(crate) fn start(_: TelemetryStart<'_>) -> Self {
        Self
    }

    pub(crate) fn listen(&self, output: LogOutput) -> LogOutput {
        output
    }

    pub(crate) fn order(&self, order: TelemetryOrder) {
        log::error!("an order of telemetry came although nobody is told: {order:?}");
    }

    pub(crate) const fn lost(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    pub(crate) async fn close(self) {}
}
