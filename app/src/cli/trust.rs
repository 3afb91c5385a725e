//! `castellan trust check`: whether a program would be trusted by its signature, told rule by rule.

use std::io::ErrorKind;

use castellan_core::config::Settings;
use castellan_core::log_message::escape;
use castellan_core::trust::signature::{
    CertificateFacts, Outcome, SignatureFacts, SignatureFile, SignaturePolicy, Step, Verdict,
};
use castellan_process::Program;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::output::Globals;
use super::{inputs, sign};
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Hold a program's signature against AlternativeSignatures and tell rule by rule what comes of it.
    Check(Options),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: castellan trust check /usr/local/bin/tool\nExit codes: 0 trusted, 3 no such program or process, 4 not trusted. What the agent starts itself needs no signature.\n\nWith -o json: {\"program\",\"uid\",\"trusted\",\"signers\",\"steps\",\"refusal\"}"
)]
pub(crate) struct Options {
    /// The program's file, or the id of a process: then the file that it runs and its user are judged.
    #[arg(value_name = "EXE|PID")]
    target: String,
}

/// Judges and tells.
pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let Command::Check(options) = command;
    let settings = globals.root.join("appsettings.json");
    let settings = if settings.is_file() { Some(inputs::read(&settings)?) } else { None };
    let (settings, _) = Settings::parse(settings.as_deref()).map_err(Failure::invalid_file)?;
    let policy = SignaturePolicy::of(&settings);
    let facts = program(&options.target)?.facts(policy).map_err(Failure::not_found)?;
    let verdict = sign::judge(&facts, policy);
    globals.show(&document(&facts, &verdict), &[&facts.image.path], || Ok(story(&facts, &verdict)))?;
    match verdict.refusal {
        None => Ok(()),
        Some(refusal) => Err(Failure::denied(escape(&refusal.to_string()))),
    }
}

/// A number is a process; a file of such a name is reached as `./NUMBER`.
fn program(target: &str) -> Result<Program, Failure> {
    match target.parse() {
        Ok(pid) => Program::of_process(pid).map_err(|error| {
            if error.kind() == ErrorKind::PermissionDenied {
                let fix = "Ask as root, on the machine itself, or about the program's file.";
                return Failure::failed(format!("process {pid} may not be looked at: {error}. {fix}"));
            }
            Failure::not_found(format!("process {pid}: {error}."))
        }),
        Err(_) => sign::open(target.as_ref()),
    }
}

/// The certificates whose keys signed, pinned or not.
fn signers(facts: &SignatureFacts) -> Vec<&CertificateFacts> {
    match &facts.file {
        SignatureFile::Read(found) => found.signers.iter().filter_map(|signer| signer.certificate.as_ref()).collect(),
        SignatureFile::Missing(_)
        | SignatureFile::Unreadable(_)
        | SignatureFile::TooLarge(_)
        | SignatureFile::NotDer(_) => Vec::new(),
    }
}

fn document(facts: &SignatureFacts, verdict: &Verdict) -> Value {
    let signer =
        |found: &CertificateFacts| json!({ "subject": found.subject, "sha1": found.sha1, "sha256": found.sha256 });
    json!({
        "program": facts.image.path,
        "uid": facts.uid,
        "trusted": verdict.is_trusted(),
        "signers": signers(facts).into_iter().map(signer).collect::<Vec<_>>(),
        "steps": verdict.steps,
        "refusal": verdict.refusal,
    })
}

fn story(facts: &SignatureFacts, verdict: &Verdict) -> Vec<String> {
    let trusted = if verdict.is_trusted() { "trusted" } else { "not trusted" };
    let mut lines = vec![format!("{}: {trusted} by its signature", escape(&facts.image.path))];
    for found in signers(facts) {
        lines.push(format!("  signer '{}'", escape(&found.subject)));
        lines.push(format!("    SHA-256 {}", found.sha256));
        lines.push(format!("    SHA-1   {}", found.sha1));
    }
    lines.extend(verdict.steps.iter().map(line));
    lines
}

fn line(step: &Step) -> String {
    let rule = format!("{:?}", step.rule).to_lowercase();
    match step.outcome {
        Outcome::Passed => format!("  passed       {rule:<12} {}", escape(&step.told)),
        Outcome::Failed => format!("  FAILED       {rule:<12} {}", escape(&step.told)),
        Outcome::NotReached => format!("  not reached  {rule}"),
    }
}
