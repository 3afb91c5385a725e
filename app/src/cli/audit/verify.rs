//! `castellan audit verify`: every line against the one before it, and the whole against the ends that the log has noted.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use castellan_core::audit::chain::{Head, Verifier};
use castellan_core::log_message::escape;
use castellan_fs::audit::{AuditLine, AuditReader, sha256};
use castellan_fs::log_reader::LogReader;
use castellan_fs::past::is_running;
use clap::Args;
use serde::Serialize;
use serde_json::{Value, json};

use super::super::output::Globals;
use super::super::table::text;
use crate::audit_head;
use crate::failure::Failure;

/// Findings that are kept; of a chain that is not one each line has its own.
const FINDINGS: usize = 100;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo castellan audit verify
  sudo castellan audit verify --head 5f2a...
  castellan audit verify march.jsonl

Whoever is root can make the whole chain anew. Against that stands the hash of its end, which goes to the log at the start, once an hour and
at the stop (category AuditHead), from there to wherever the log is collected, and can be given with --head.

Exit codes: 0 as it was written, 6 not.")]
pub(crate) struct Options {
    /// Lines that `castellan audit export` printed; the audit of the root where none is named.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// A SHA-256 that was noted: one of the lines has to have it.
    #[arg(long, value_name = "SHA256")]
    head: Option<String>,
}

/// What was found.
#[derive(Debug, Default, Serialize)]
struct Report {
    entries: u64,
    files: u64,
    /// Ends in the log that were compared.
    heads: u64,
    /// Of the first and the last entry.
    from: Option<String>,
    until: Option<String>,
    head: Option<Value>,
    findings: Vec<Finding>,
    /// How many there are, those that are not kept included.
    #[serde(rename = "findingCount")]
    count: u64,
}

/// Something that is not as it was written.
#[derive(Debug, Serialize)]
struct Finding {
    file: String,
    line: u64,
    message: String,
}

impl Report {
    fn find(&mut self, file: &Path, line: u64, message: impl Into<String>) {
        self.count = self.count.saturating_add(1);
        if self.findings.len() < FINDINGS {
            self.findings.push(Finding { file: file.display().to_string(), line, message: message.into() });
        }
    }
}

/// Ends that were noted: sequence, hash, and where.
type Noted = BTreeMap<u64, Vec<(Head, String)>>;

pub(super) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let wanted = options.head.as_ref().map(|head| head.to_ascii_lowercase());
    if wanted.as_ref().is_some_and(|head| head.len() != 64 || !head.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Err(Failure::usage("--head takes a SHA-256: 64 hexadecimal digits, as the log has them."));
    }
    let (reader, noted, is_written) = match &options.file {
        Some(file) => (AuditReader::of_file(file), Noted::new(), false),
        // What the log has noted was there before it is looked for.
        None => {
            let (noted, is_written) = (noted(&globals.root)?, is_running(&globals.root));
            (super::open(&globals.root)?, noted, is_written)
        }
    };
    let verifier = if options.file.is_some() { Verifier::excerpt(sha256) } else { Verifier::whole(sha256) };
    let judged = judge(reader, verifier, &noted, wanted.as_deref(), is_written);
    let report = judged.map_err(|error| super::unreadable(&globals.root, &error))?;
    tell(&report, globals)
}

fn judge(
    mut reader: AuditReader,
    mut verifier: Verifier,
    noted: &Noted,
    wanted: Option<&str>,
    is_written: bool,
) -> std::io::Result<Report> {
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
        match verifier.take(&line.bytes) {
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
    let unreadable = |error: std::io::Error| Failure::failed(format!("the log cannot be read: {error}."));
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

fn tell(report: &Report, globals: &Globals) -> Result<(), Failure> {
    let text = || {
        let mut lines: Vec<String> = Vec::new();
        for Finding { file, line, message } in &report.findings {
            lines.push(format!("{}:{line}: {message}.", escape(file)));
        }
        let (from, until) = (report.from.as_deref().unwrap_or("-"), report.until.as_deref().unwrap_or("-"));
        let Report { entries, files, heads, .. } = report;
        lines.push(format!("{entries} entries in {files} files, from {} to {}.", escape(from), escape(until)));
        lines.push(format!("{heads} ends that the log noted were compared."));
        if let Some(head) = &report.head {
            let (sequence, sha256) = (&head["sequence"], text(head, "sha256").unwrap_or_default());
            lines.push(format!("The audit ends with entry {sequence}, SHA-256 {sha256}."));
        }
        Ok(lines)
    };
    let names: Vec<&str> = report.findings.iter().map(|finding| finding.file.as_str()).collect();
    globals.show(report, &names, text)?;
    if report.count == 0 {
        return Ok(());
    }
    let fix = "Compare with the log and with what was exported, and find out who may write there.";
    Err(Failure::invalid_file(format!("the audit is not as it was written: {} findings. {fix}", report.count)))
}
