//! The end of the audit in the log: noted at the start, once an hour and at the stop, so that a chain that is cut or made anew does not fit
//! the log any more.

use castellan_core::audit::chain::Head;
use castellan_core::log_message::{Level, LogRecord};
use castellan_core::time::WallTime;
use castellan_fs::log_file::LogWriter;

/// The category of these lines.
pub(crate) const CATEGORY: &str = "AuditHead";
const BEFORE: &str = "The audit ends with ";

/// Notes it in the log.
pub(crate) fn note(log: &LogWriter, head: Head, now: WallTime) {
    let record = LogRecord::own(Level::Information, CATEGORY, format!("{BEFORE}{head}."));
    log.log(LogRecord { timestamp: now.to_rfc3339(), ..record });
}

/// The end that such a line tells of.
pub(crate) fn noted(message: &str) -> Option<Head> {
    Head::parse(message.strip_prefix(BEFORE)?.strip_suffix('.')?)
}
