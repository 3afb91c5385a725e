//! `Settings:system.logging`: what is logged, where it goes, and how much of it stays.

use alloc::string::String;

use crate::log_message::Level;
use crate::time::WallTime;

/// Where journald listens for its native protocol.
const JOURNAL_SOCKET: &str = "/run/systemd/journal/socket";
/// Former files of the log at most: an old machine that says little has some years in them.
const LOG_FILES: usize = 99;

/// `Settings:system.logging`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Logging {
    /// `level`, `Information`: what is less is not written.
    pub level: Level,
    /// `fileBytes`, `fileHours`, `totalBytes`.
    pub files: LogFileLimits,
    /// `clientRate`, `clientBurst`.
    pub client: LogRateLimit,
    /// `journal`: the socket of journald; `None` where nothing is sent there.
    pub journal: Option<String>,
}

/// How much of the log stays on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFileLimits {
    /// Bytes of one file, 16 MiB.
    pub file_bytes: u64,
    /// Hours from the first to the last line of one file, a week.
    pub file_hours: u32,
    /// Bytes of all files together, 64 MiB.
    pub total_bytes: u64,
}

/// How many log messages one client may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogRateLimit {
    /// In a second, lastingly: 5000.
    pub per_second: u32,
    /// At once, after a pause: 10000.
    pub burst: u32,
}

impl Default for LogFileLimits {
    fn default() -> Self {
        Self { file_bytes: 16 << 20, file_hours: 7 * 24, total_bytes: 64 << 20 }
    }
}

impl Default for LogRateLimit {
    fn default() -> Self {
        Self { per_second: 5000, burst: 10_000 }
    }
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: Level::Information,
            files: LogFileLimits::default(),
            client: LogRateLimit::default(),
            journal: Some(String::from(JOURNAL_SOCKET)),
        }
    }
}

impl LogFileLimits {
    /// Whether a file of so many bytes, whose first record is from `begun`, takes no more: `incoming` bytes that are from `now`.
    pub fn is_full(&self, bytes: u64, incoming: u64, begun: Option<WallTime>, now: Option<WallTime>) -> bool {
        let age = begun.zip(now).map_or(0, |(begun, now)| now.as_millis().saturating_sub(begun.as_millis()));
        let is_old = age >= i64::from(self.file_hours).saturating_mul(3_600_000);
        bytes > 0 && (bytes.saturating_add(incoming) > self.file_bytes || is_old)
    }

    /// How many former files stay beside one that is new, by their sizes from the newest on.
    pub fn kept(&self, former: &[u64]) -> usize {
        let room = self.total_bytes.saturating_sub(self.file_bytes);
        let in_all = former.iter().scan(0_u64, |sum, bytes| {
            *sum = sum.saturating_add(*bytes);
            Some(*sum)
        });
        in_all.take(LOG_FILES).take_while(|sum| *sum <= room).count()
    }
}

#[cfg(test)]
mod tests;
