//! `castellan audit verify`: every line against the one before it, and the whole against the ends that the log has noted.

use std::path::PathBuf;

use castellan_core::log_message::escape;
use clap::Args;

use super::super::output::Globals;
use super::super::table::text;
use super::walk::{Report, Walk};
use crate::failure::Failure;

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

pub(super) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let wanted = options.head.as_ref().map(|head| head.to_ascii_lowercase());
    if wanted.as_ref().is_some_and(|head| head.len() != 64 || !head.bytes().all(|byte| byte.is_ascii_hexdigit())) {
        return Err(Failure::usage("--head takes a SHA-256: 64 hexadecimal digits, as the log has them."));
    }
    let walk = match &options.file {
        Some(file) => Walk::of_file(file)?,
        None => Walk::of_root(&globals.root)?,
    };
    tell(&walk.wanting(wanted).go(|_, _| {})?, globals)
}

fn tell(report: &Report, globals: &Globals) -> Result<(), Failure> {
    let text = || {
        let mut lines = report.told();
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
    report.judged()
}
