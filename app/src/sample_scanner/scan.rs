//! The scan itself: text that looks like a credential, in files below a folder, within a bound of time and files.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// A demo shows something within seconds; what is not read by then is said to be left out.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// Bytes read of each file.
const BYTES_PER_FILE: u64 = 1 << 20;
/// Places that are named one by one.
const NAMED_PLACES: usize = 5;
/// Folders with other people's or generated files.
const LEFT_OUT: [&str; 3] = [".git", "node_modules", "target"];
/// What exposed credentials look like, in lower case; behind a password there must be a value.
const MARKS: [&str; 3] = ["akia", "private key-----", PASSWORD];
const PASSWORD: &str = "password";
/// A shorter value is a placeholder.
const SHORTEST_PASSWORD: usize = 4;

/// What was found.
#[derive(Debug, Default, Clone)]
pub(super) struct Scan {
    pub(super) files_read: u64,
    pub(super) findings: u64,
    pub(super) unreadable: u64,
    pub(super) places: Vec<String>,
    complete: bool,
}

impl fmt::Display for Scan {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} files read, {} findings, {} unreadable",
            self.files_read, self.findings, self.unreadable
        )?;
        if self.complete { Ok(()) } else { write!(formatter, "; stopped after {} s", TIME_LIMIT.as_secs()) }
    }
}

impl Scan {
    /// Reads the files below `folder` until all are read or the time is over.
    pub(super) fn of(folder: &Path) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (done, result) = mpsc::channel();
        let (path, stop) = (folder.to_owned(), Arc::clone(&over));
        let scanner = thread::spawn(move || {
            let mut scan = Self { complete: true, ..Self::default() };
            scan.folder(&path, &stop);
            // The receiver waits until this arrives or the thread is gone.
            if done.send(()).is_err() {
                scan.complete = false;
            }
            scan
        });
        let finished = result.recv_timeout(TIME_LIMIT).is_ok();
        over.store(true, Ordering::Release);
        let mut scan = scanner.join().unwrap_or_default();
        scan.complete &= finished;
        scan
    }

    fn folder(&mut self, folder: &Path, over: &AtomicBool) {
        let Ok(entries) = folder.read_dir() else { return self.count_unreadable() };
        for entry in entries {
            if over.load(Ordering::Acquire) {
                self.complete = false;
                return;
            }
            let Ok(entry) = entry else {
                self.count_unreadable();
                continue;
            };
            let (path, left_out) = (entry.path(), LEFT_OUT.iter().any(|name| entry.file_name() == *name));
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !left_out => self.folder(&path, over),
                Ok(kind) if kind.is_file() => self.file(&path),
                Ok(_) => {}
                Err(_) => self.count_unreadable(),
            }
        }
    }

    fn file(&mut self, path: &Path) {
        let Ok(bytes) = read(path) else { return self.count_unreadable() };
        self.files_read = self.files_read.saturating_add(1);
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        for mark in MARKS {
            let found = text.match_indices(mark).find(|(at, _)| mark != PASSWORD || is_assigned(&text, *at));
            let Some(before) = found.and_then(|(at, _)| text.get(..at)) else { continue };
            self.findings = self.findings.saturating_add(1);
            if self.places.len() < NAMED_PLACES {
                let line = before.matches('\n').count().saturating_add(1);
                self.places.push(format!("{}:{line}", path.display()));
            }
        }
    }

    fn count_unreadable(&mut self) {
        self.unreadable = self.unreadable.saturating_add(1);
    }
}

/// Whether `= value` or `: value` follows the word at `at`.
fn is_assigned(text: &str, at: usize) -> bool {
    let rest = text.get(at..).and_then(|rest| rest.strip_prefix(PASSWORD)).unwrap_or_default().trim_start();
    let value = rest.strip_prefix(['=', ':']).unwrap_or_default();
    value.split_whitespace().next().is_some_and(|value| value.len() >= SHORTEST_PASSWORD)
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(BYTES_PER_FILE).read_to_end(&mut bytes)?;
    Ok(bytes)
}
