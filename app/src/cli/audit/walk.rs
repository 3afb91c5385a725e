//! Going through an audit: every line against the one before it and the ends that the log has noted, for whoever reads entries on the way.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use castellan_core::audit::chain::{Fault, Head, Verifier};
use castellan_core::log_message::escape;
use castellan_fs::audit::{AuditLine, AuditReader, sha256};
use castellan_fs::log_reader::LogReader;
use castellan_fs::past::is_running;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::inputs;
use super::super::table::text;
use crate::audit_head;
use crate::failure::Failure;

/// Findings that are kept; of a chain that is not one each line has its own.
const FINDINGS: usize = 100;

/// An audit that is to be gone through.
pub(crate) struct Walk {
    root: PathBuf,
    reader: AuditReader,
    verifier: Verifier,
    noted: Noted,
    /// A hash that one of the lines has to have.
    wanted: Option<String>,
    /// Whether an agent may be writing a line now.
    is_written: bool,
    /// Whether it comes out of a pipe, which is not empty.
    is_pipe: bool,
}

impl Walk {
    /// Of an agent root, beside a running agent or without.
    pub(crate) fn of_root(root: &Path) -> Result<Self, Failure> {
        // What the log has noted was there before it is looked for.
        let (noted, is_written) = (noted(root)?, is_running(root));
        let reader = super::open(root)?;
        Ok(Self {
            root: root.to_owned(),
            reader,
            verifier: Verifier::whole(sha256),
            noted,
            wanted: None,
            is_written,
            is_pipe: false,
        })
    }

    /// Of lines that were exported.
    ///
    /// # Errors
    /// It is not there, or neither a file nor a pipe.
    pub(crate) fn of_file(file: &Path) -> Result<Self, Failure> {
        let (opened, is_pipe) = inputs::open(file)?;
        let (reader, verifier) = (AuditReader::of_file(file, opened), Verifier::excerpt(sha256));
        let (root, noted) = (file.to_owned(), Noted::new());
        Ok(Self { root, reader, verifier, noted, wanted: None, is_written: false, is_pipe })
    }

    /// The same; one of the lines has to have this hash.
    pub(super) fn wanting(self, wanted: Option<String>) -> Self {
        Self { wanted, ..self }
    }

    /// Hands on each line, and whether it is as it was written, by itself.
    pub(crate) fn go(self, take: impl FnMut(&AuditLine, bool)) -> Result<Report, Failure> {
        let (root, is_pipe) = (self.root.clone(), self.is_pipe);
        let report = judge(self, take).map_err(|error| super::unreadable(&root, &error))?;
        if is_pipe && report.entries == 0 { Err(inputs::nobody_wrote(&root)) } else { Ok(report) }
    }
}

/// What was found.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(super) entries: u64,
    pub(super) files: u64,
    /// Ends in the log that were compared.
    pub(super) heads: u64,
    /// Of the first and the last entry.
    pub(super) from: Option<String>,
    pub(super) until: Option<String>,
    pub(super) head: Option<Value>,
    pub(crate) findings: Vec<Finding>,
    /// How many there are, those that are not kept included.
    #[serde(rename = "findingCount")]
    pub(crate) count: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Serialize)]
pub(crate) struct Finding {
    pub(super) file: String,
    line: u64,
    message: String,
}

impl Report {
    /// The findings, a line for each.
    pub(crate) fn told(&self) -> Vec<String> {
        let told = |Finding { file, line, message }: &Finding| format!("{}:{line}: {message}.", escape(file));
        self.findings.iter().map(told).collect()
    }

    /// Fails where there are any.
    pub(crate) fn judged(&self) -> Result<(), Failure> {
        if self.count == 0 {
            return Ok(());
        }
        let fix = "Compare with the log and with what was exported, and find out who may write there.";
        Err(Failure::invalid_file(format!("the audit is not as it was written: {} findings. {fix}", self.count)))
    }

    fn find(&mut self, file: &Path, line: u64, message: impl Into<String>) {
        self.count = self.count.saturating_add(1);
        if self.findings.len() < FINDINGS {
            self.findings.push(Finding { file: file.display().to_string(), line, message: message.into() });
        }
    }
}

/// Ends that were noted: sequence, hash, and where.
type Noted = BTreeMap<u64, Vec<(Head, String)>>;

fn judge(walk: Walk, mut take: impl FnMut(&AuditLine, bool)) -> io::Result<Report> {
    let Walk { mut reader, mut verifier, noted, wanted, is_written, .. } = walk;
    let (noted, wanted) = (&noted, wanted.as_deref());
    let mut report = Report { files: reader.files_left() as u64, ..Report::default() };
    let (mut is_wanted, mut last) = (wanted.is_none(), None);
    while let Some(line) = reader.next_line()? {
        if !line.is_whole && is_written && reader.files_left() == 0 {
            // It is just being written.
            continue;
        }
        report.entries = report.entries.saturating_add(1);
        if !line.is_whole {
            report.find(&line.file, line.number, "the line has no end: it was cut, or a crash tore it");
        }
        let judged = verifier.take(&line.bytes);
        take(&line, line.is_whole && judged != Err(Fault::Edited));
        match judged {
            Ok(head) => {
                is_wanted = is_wanted || wanted.is_some_and(|wanted| wanted == head.hash());
                compare(head, noted, &line, &mut report);
            }
            Err(fault) => report.find(&line.file, line.number, fault.to_string()),
        }
        report.from = report.from.or_else(|| time(&line));
        last = Some(line);
    }
    report.until = last.as_ref().and_then(time);
    let (file, number) = last.map_or_else(|| (PathBuf::from("state/audit"), 0), |line| (line.file, line.number));
    let head = verifier.head().unwrap_or(Head::START);
    for (sequence, ends) in noted.range(head.sequence.saturating_add(1)..) {
        for (_, at) in ends {
            report.find(
                &file,
                number,
                format!("the end is cut: entry {sequence}, which the log noted at {at}, is not there"),
            );
        }
    }
    if !is_wanted {
        let why = "no line has the hash that was given: the chain was cut before it, or made anew";
        report.find(&file, number, why);
    }
    if head != Head::START {
        report.head = Some(json!({ "sequence": head.sequence, "sha256": head.hash() }));
    }
    Ok(report)
}

/// A line against what the log has noted of it.
fn compare(head: Head, noted: &Noted, line: &AuditLine, report: &mut Report) {
    for (end, at) in noted.get(&head.sequence).into_iter().flatten() {
        report.heads = report.heads.saturating_add(1);
        if *end != head {
            let message = format!(
                "entry {} is not the one that the log noted at {at}: the chain was made anew from there or before",
                head.sequence
            );
            report.find(&line.file, line.number, message);
        }
    }
}

fn time(line: &AuditLine) -> Option<String> {
    let entry: Value = serde_json::from_slice(&line.bytes).ok()?;
    text(&entry, "time").map(str::to_owned)
}

/// The ends that the log of a root has noted.
fn noted(root: &Path) -> Result<Noted, Failure> {
    let unreadable = |error: io::Error| Failure::failed(format!("the log cannot be read: {error}."));
    let mut noted = Noted::new();
    let mut log = match LogReader::open(root) {
        Ok(log) => log,
        // Without a log there is nothing to compare with.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => return Ok(noted),
        Err(error) => return Err(unreadable(error)),
    };
    while let Some(line) = log.next_line().map_err(unreadable)? {
        // Most lines are others; what is none is not parsed.
        if !String::from_utf8_lossy(&line).contains(audit_head::CATEGORY) {
            continue;
        }
        let Ok(record) = serde_json::from_slice::<Value>(&line) else { continue };
        let head = text(&record, "message").and_then(audit_head::noted);
        let is_own =
            text(&record, "category") == Some(audit_head::CATEGORY) && text(&record, "component") == Some("agent");
        if let Some(head) = head.filter(|head| is_own && *head != Head::START) {
            let at = text(&record, "timestamp").unwrap_or_default().to_owned();
            noted.entry(head.sequence).or_default().push((head, at));
        }
    }
    Ok(noted)
}
