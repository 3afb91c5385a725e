//! `castellan sign`: makes the signature by which a program that the agent did not start may be trusted.

use std::path::{Path, PathBuf};

use castellan_core::log_message::escape;
use castellan_core::trust::signature::{SignatureFacts, SignaturePolicy, Verdict};
use castellan_process::Program;
use clap::Args;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde_json::json;

use super::inputs;
use super::output::Globals;
use crate::clock::Clock;
use crate::failure::Failure;

/// Everybody may read a signature; only who made it may change it.
const MODE: u32 = 0o644;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: castellan sign /usr/local/bin/tool --cert signer.pem --key signer-key.pem\nThe same with OpenSSL: openssl cms -sign -binary -in EXE -signer CERT.pem -inkey KEY.pem -outform DER -out EXE.p7s\n\nWith -o json: {\"signature\",\"subject\",\"sha1\",\"sha256\"}"
)]
pub(crate) struct Options {
    /// The program. It is not changed; its signature is written to EXE.p7s.
    #[arg(value_name = "EXE")]
    program: PathBuf,
    /// The signer's certificate (PEM), for code signing: RSA of 2048 bits and more, P-256, P-384 or Ed25519.
    #[arg(long, value_name = "CERT.pem")]
    cert: PathBuf,
    /// Its private key (PEM, PKCS #8, not encrypted).
    #[arg(long, value_name = "KEY.pem")]
    key: PathBuf,
}

/// Signs, judges the signature as the agent will, and writes it if it would be trusted.
pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let program = open(&options.program)?;
    let certificate = CertificateDer::from_pem_slice(&inputs::read(&options.cert)?)
        .map_err(|error| not_pem(&options.cert, "certificate", &error))?;
    let key = PrivatePkcs8KeyDer::from_pem_slice(&inputs::read(&options.key)?).map_err(|error| {
        let message = not_pem(&options.key, "private key in PKCS #8", &error);
        Failure::invalid_file(format!(
            "{message} To make one of an older form: openssl pkcs8 -topk8 -nodes -in OLD -out NEW"
        ))
    })?;
    let (bytes, signer) = program
        .sign(&certificate, key.secret_pkcs8_der())
        .map_err(|error| Failure::failed(escape(&error.to_string())))?;
    let pins = [signer.sha256.clone()];
    let policy = SignaturePolicy { pins: &pins, non_admin: &[] };
    let facts = program.facts_signed_by(&bytes, policy).map_err(Failure::failed)?;
    if let Some(refusal) = judge(&facts, policy).refusal {
        let why = escape(&format!("{} {}", refusal.why, refusal.fix));
        return Err(Failure::failed(format!("Nothing was written, as the agent would not trust it. {why}")));
    }
    let path = program.signature_path();
    castellan_fs::replace_file(&path, &bytes, MODE).map_err(Failure::failed)?;
    let path = path.display().to_string();
    let (subject, sha1, sha256) = (&signer.subject, &signer.sha1, &signer.sha256);
    let document = json!({ "signature": path, "subject": subject, "sha1": sha1, "sha256": sha256 });
    globals.show(&document, &[&path], || {
        Ok(vec![
            format!("{} is signed by '{}'.", escape(&path), escape(subject)),
            format!("Settings:AlternativeSignatures needs \"{sha256}\"."),
        ])
    })
}

/// A script is nobody's image: its signature counts where the agent itself executes it, as a plugin.
pub(super) fn judge(facts: &SignatureFacts, policy: SignaturePolicy<'_>) -> Verdict {
    let now = Clock::start().now().wall;
    let is_script = facts.uid.is_none() && facts.image.is_regular && !facts.image.is_binary;
    if is_script { Verdict::of_own(facts, policy, now) } else { Verdict::decide(facts, policy, now) }
}

/// A program's file that a command line names.
pub(super) fn open(path: &Path) -> Result<Program, Failure> {
    Program::open(path)
        .map_err(|error| Failure::not_found(format!("{}: {error}.", escape(&path.display().to_string()))))
}

fn not_pem(path: &Path, what: &str, error: &rustls::pki_types::pem::Error) -> Failure {
    Failure::invalid_file(format!("{} has no {what} in PEM: {error}.", escape(&path.display().to_string())))
}
