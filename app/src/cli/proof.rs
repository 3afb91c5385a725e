//! `castellan grants proof` and `castellan grants verify`: how a grant came about, as lines of the audit, and the same decided again from
//! them alone. No agent is needed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use castellan_core::elevation::proof::{Comparison, DEPTH, Extract, Met, Proven, judge};
use castellan_core::id::ElevationId;
use castellan_core::log_message::escape;
use castellan_fs::audit::sha256;
use clap::Args;
use serde_json::json;

use super::audit::Walk;
use super::inputs;
use super::output::{self, Globals};
use crate::failure::Failure;
use crate::policy_files::PolicyFiles;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: sudo castellan grants proof E7-12 > E7-12.jsonl && castellan grants verify E7-12.jsonl

Read from the audit, so that it is there as long as that is, for grants that are over, too. It has the command, the policies that asked for
controls, and the reasons that were given."
)]
pub(crate) struct Proof {
    /// The grant's id, as in E7-12.
    request: String,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan grants verify E7-12.jsonl
  castellan grants verify E7-12.jsonl --audit march.jsonl --policies Policies.march/
  sudo castellan grants verify E7-12.jsonl --audit

Without --audit it is looked at whether its lines agree and lead to the grant: whoever made all of them up is not found. With it, whether
they are what happened. The policies on record are those that asked for controls; that no other one denied it is seen with --policies.

Exit codes: 0 it holds, 6 it does not.")]
pub(crate) struct Verify {
    /// What castellan grants proof printed.
    file: PathBuf,
    /// Lines that castellan audit export printed, which have to have those of the proof; the audit of the root where no FILE is named.
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    audit: Option<Option<PathBuf>>,
    /// A copy of the folder Policies as it was then: it has to have the digest on record, and to lead to the same decision.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
}

/// Prints the lines.
pub(crate) fn prove(Proof { request }: &Proof, globals: &Globals) -> Result<(), Failure> {
    let id = ElevationId::from_text(request).ok_or_else(|| {
        let shown = escape(request);
        Failure::usage(format!(
            "'{shown}' is not the id of a grant, as in E7-12. castellan grants list shows those that count."
        ))
    })?;
    let request = id.as_str();
    let mut wanted = BTreeSet::from([request.to_owned()]);
    for _ in 0..DEPTH {
        let mut extract = Extract::of(wanted);
        let report = Walk::of_root(&globals.root)?.go(|line, is_sound| {
            if is_sound {
                extract.take(&line.bytes);
            }
        })?;
        if report.count > 0 {
            output::errors(&report.told())?;
            return report.judged();
        }
        if !extract.has_grant(request) {
            return Err(Failure::not_found(format!(
                "the audit has no grant '{request}'. castellan audit show --kind grant lists them."
            )));
        }
        match extract.finish() {
            Ok(lines) => {
                let lines: Vec<String> = lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect();
                return output::lines(&lines);
            }
            Err(more) => wanted = more,
        }
    }
    Err(Failure::failed(format!("more than {DEPTH} grants rest on one another; report this.")))
}

/// Comes to the grant again.
pub(crate) fn verify(options: &Verify, globals: &Globals) -> Result<(), Failure> {
    let bytes = inputs::read(&options.file)?;
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
    let (mut faults, mut told) = (Vec::new(), Vec::new());
    let proven = judge(&lines, sha256).map_err(|found| faults.extend(found)).ok();
    if let Some(proven) = &proven {
        told.extend(shown(proven));
        told.extend(policies(proven, options.policies.as_deref(), &mut faults)?);
        told.push(match &options.audit {
            Some(file) => audit(&lines, proven, file.as_deref(), globals, &mut faults)?,
            None => {
                String::from("Only that it agrees with itself was looked at: --audit says whether it is what happened.")
            }
        });
    }
    let document =
        json!({ "holds": faults.is_empty(), "faults": faults, "grant": proven, "inAudit": options.audit.is_some() });
    let id = proven.as_ref().map(|proven| proven.grant.clone()).unwrap_or_default();
    globals.show(&document, &[&id], || {
        let faults = faults.iter().map(|fault| escape(fault));
        Ok(if faults.len() == 0 { told } else { faults.collect() })
    })?;
    if faults.is_empty() {
        return Ok(());
    }
    let file = escape(&options.file.display().to_string());
    let fix = "It has to be as castellan grants proof printed it; have it printed again where the audit is.";
    Err(Failure::invalid_file(format!("{file} does not prove a grant. {fix}")))
}

/// The policies on record, and all that there were where somebody has them.
fn policies(proven: &Proven, folder: Option<&Path>, faults: &mut Vec<String>) -> Result<Vec<String>, Failure> {
    let mut told = match &proven.not_replayed {
        None => vec![String::from("The policies on record lead to the same decision.")],
        Some(why) => vec![format!("{} They are not evaluated without --policies.", escape(why))],
    };
    if let Some(folder) = folder {
        if !folder.is_dir() {
            let folder = escape(&folder.display().to_string());
            return Err(Failure::not_found(format!(
                "{folder} is no folder. --policies names a copy of Policies as it was."
            )));
        }
        let files = PolicyFiles::of_folder(folder)?;
        let (digest, set) = (files.digest(), files.compile());
        let verdict = set.evaluate(&proven.input).verdict();
        if digest != proven.policy_set {
            let folder = escape(&folder.display().to_string());
            faults.push(format!("The files of {folder} have the digest {digest}, and not {}.", proven.policy_set));
        } else if verdict != proven.verdict {
            faults.push(format!("All policies together answer {verdict}, and not {}.", proven.verdict));
        } else {
            told.push(String::from("All policies that there were lead to the same decision."));
        }
    }
    Ok(told)
}

/// The lines held against an audit.
fn audit(
    lines: &[&[u8]],
    proven: &Proven,
    file: Option<&Path>,
    globals: &Globals,
    faults: &mut Vec<String>,
) -> Result<String, Failure> {
    let walk = match file {
        Some(file) => Walk::of_file(file)?,
        None => Walk::of_root(&globals.root)?,
    };
    let mut comparison = Comparison::of(lines, &proven.grant, sha256);
    let report = walk.go(|line, is_sound| {
        if is_sound {
            comparison.take(&line.bytes);
        }
    })?;
    faults.extend(report.told());
    Ok(match comparison.finish() {
        Ok(revoked) => {
            let revoked = revoked.map(|revoked| format!(" {}", escape(&revoked))).unwrap_or_default();
            format!("The audit has it, line by line.{revoked}")
        }
        Err(found) => {
            faults.extend(found);
            String::new()
        }
    })
}

/// A grant for people.
fn shown(proven: &Proven) -> Vec<String> {
    let Proven { grant, user, program, command, given, until, policies, policy_set, facts, .. } = proven;
    let mut lines = vec![
        format!("grant {grant} of {user}: '{}' ({program}), {given} to {until}", command.join(" ")),
        format!("  asked for by {} (all policies: {policy_set})", policies.join(", ")),
    ];
    lines.extend(facts.iter().map(|Met { control, time, who, reason }| {
        let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
        format!("  {control} by {who} at {time}{reason}")
    }));
    lines.iter().map(|line| escape(line)).collect()
}
