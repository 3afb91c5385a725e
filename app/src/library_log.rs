//! What libraries (and the adapters, about themselves) say through the `log` crate goes into the agent's own log.

use std::sync::OnceLock;

use castellan_core::log_message::{Level, LogRecord, escape};
use castellan_fs::log_file::LogQueue;
use log::{LevelFilter, Log, Metadata, Record};

use crate::clock::Clock;

/// Libraries are heard from warnings on; ntex would tell of every connection otherwise.
const LIBRARY_LEVEL: LevelFilter = LevelFilter::Warn;

static BRIDGE: OnceLock<Bridge> = OnceLock::new();

struct Bridge {
    queue: LogQueue,
    clock: Clock,
}

/// Takes over the `log` crate for the rest of the process; the first call counts.
pub(crate) fn install(queue: LogQueue, clock: Clock) {
    let bridge = BRIDGE.get_or_init(|| Bridge { queue, clock });
    if log::set_logger(bridge).is_ok() {
        log::set_max_level(LIBRARY_LEVEL);
    }
}

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= LIBRARY_LEVEL
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            log::Level::Error => Level::Error,
            log::Level::Warn => Level::Warning,
            log::Level::Info => Level::Information,
            log::Level::Debug => Level::Debug,
            log::Level::Trace => Level::Trace,
        };
        self.queue.log(LogRecord {
            timestamp: self.clock.now().wall.to_rfc3339(),
            level,
            source: escape(record.target()).into(),
            category: "Library".into(),
            message: escape(&record.args().to_string()),
            correlation_id: String::new(),
            context: String::new(),
            client_id: None,
            pid: None,
            component: String::from("agent"),
            trace: None,
        });
    }

    fn flush(&self) {}
}
