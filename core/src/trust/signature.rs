//! Signatures of programs that the agent did not start: facts about an image and its `.p7s` in, a [`Verdict`] out (contract section 4).
//!
//! A program's signature is a detached CMS `SignedData` (RFC 5652) in `{executable}.p7s`. No chain is built and no authority asked:
//! the signer is pinned by `AlternativeSignatures`, the SHA-1 or SHA-256 of the whole certificate in DER. The rules ([`Rule`])
//! are asked in their order, and the first that fails is the refusal:
//!
//! | rules | what they rest on |
//! | --- | --- |
//! | `Image`, `Interpreter` | the file alone: an interpreter or loader executes what nobody signed |
//! | `File`, `Form` | the `.p7s`: bounded, strict DER, detached |
//! | `Signer` | the pin; before anything that costs time |
//! | `Validity`, `Usage`, `Algorithms`, `Attributes` | the signer's certificate and choices |
//! | `Signature`, `Content` | the signature over the signed attributes; then the digest of the image, which costs most |
//! | `User` | `AllowedNonAdminExecutables`, for processes of other users than root |
//!
//! The bytes of a `.p7s` are nobody's identity: some of its fields are not signed.

mod facts;
#[cfg(test)]
pub(super) mod fixtures;
mod interpreters;
mod rules;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

pub use facts::{
    AttributeFacts, CertificateFacts, DigestAlgorithm, Evidence, ImageFacts, PublicKey, SignatureAlgorithm,
    SignatureFacts, SignatureFile, SignedDataFacts, SignerFacts,
};

use crate::config::Settings;
use crate::time::WallTime;
use crate::why::Explanation;

/// Bytes of an image that are hashed at most.
pub const IMAGE_BYTES: u64 = 1 << 30;
/// Bytes of a `.p7s`; a signature with its certificate has about 2,000.
pub const SIGNATURE_BYTES: u64 = 64 << 10;
/// Signers of one `.p7s`, of which each may cost a verification.
pub const SIGNERS: usize = 4;

/// Whose signatures count, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct SignaturePolicy<'a> {
    /// `AlternativeSignatures`: lower-case hex digits, 40 or 64.
    pub pins: &'a [String],
    /// `AllowedNonAdminExecutables`: base names.
    pub non_admin: &'a [String],
}

impl<'a> SignaturePolicy<'a> {
    /// What the settings say.
    pub fn of(settings: &'a Settings) -> Self {
        Self { pins: &settings.alternative_signatures, non_admin: &settings.allowed_non_admin_executables }
    }

    /// The pin that names this certificate, if one does.
    pub fn pin_of(&self, certificate: &CertificateFacts) -> Option<&'a str> {
        let named = |pin: &&String| **pin == certificate.sha256 || **pin == certificate.sha1;
        self.pins.iter().find(named).map(String::as_str)
    }

    /// The certificate whose signature these facts are judged by: the first that is pinned.
    pub fn signer_of<'f>(&self, facts: &'f SignatureFacts) -> Option<&'f CertificateFacts> {
        let SignatureFile::Read(found) = &facts.file else { return None };
        self.pinned(found).map(|(_, certificate, _)| certificate)
    }

    /// The first signer who is pinned, with the certificate and the pin.
    fn pinned<'f>(&self, found: &'f SignedDataFacts) -> Option<(&'f SignerFacts, &'f CertificateFacts, &'a str)> {
        found.signers.iter().find_map(|signer| {
            let certificate = signer.certificate.as_ref()?;
            Some((signer, certificate, self.pin_of(certificate)?))
        })
    }
}

/// One condition of trust, in the order in which they are asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Rule {
    /// The image is a program in a file that still has its name.
    Image,
    /// The image is no interpreter, loader or debugger.
    Interpreter,
    /// There is a `.p7s` of a bounded size that can be read.
    File,
    /// It is detached `SignedData` as CMS wants it.
    Form,
    /// A signer's certificate is pinned.
    Signer,
    /// That certificate is valid now.
    Validity,
    /// It is for code signing and digital signatures.
    Usage,
    /// Key, digest and signature are of the kinds that are taken, and fit each other.
    Algorithms,
    /// The signed attributes have content type and digest exactly once.
    Attributes,
    /// The signature is right.
    Signature,
    /// The signed digest is the image's.
    Content,
    /// The user may run it as trusted.
    User,
}

/// How far a rule was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It is met.
    Passed,
    /// It is not met.
    Failed,
    /// It was not asked, as an earlier one failed.
    NotReached,
}

/// One rule, how far it was met, and the facts in a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The rule.
    pub rule: Rule,
    /// How far it was met.
    pub outcome: Outcome,
    /// The facts in a sentence; empty where the rule was not reached.
    pub told: String,
}

/// What is to be thought of a program by its signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Every rule in order.
    pub steps: Vec<Step>,
    /// Why it is refused; `None` means that it is trusted.
    pub refusal: Option<Explanation>,
}

impl Verdict {
    /// Holds the facts about somebody else's process, or about a file that anybody may run, against all rules.
    pub fn decide(facts: &SignatureFacts, policy: SignaturePolicy<'_>, now: WallTime) -> Self {
        Self::of(&rules::Case { facts, policy, now, is_own: false })
    }

    /// The same of a file that the agent itself executes: it may be a script, as the agent sees to what interprets it.
    pub fn of_own(facts: &SignatureFacts, policy: SignaturePolicy<'_>, now: WallTime) -> Self {
        Self::of(&rules::Case { facts, policy, now, is_own: true })
    }

    fn of(case: &rules::Case<'_>) -> Self {
        let mut refusal = None;
        let mut steps = Vec::with_capacity(rules::ALL.len());
        for (rule, ask) in rules::ALL {
            let (outcome, told) = if refusal.is_some() {
                (Outcome::NotReached, String::new())
            } else {
                match ask(case) {
                    Ok(told) => (Outcome::Passed, told),
                    Err(rules::Failed { why, fix }) => {
                        let what = format!("The program {} is not trusted by its signature.", case.facts.image.path);
                        refusal = Some(Explanation::new(what, why.clone(), fix));
                        (Outcome::Failed, why)
                    }
                }
            };
            steps.push(Step { rule: *rule, outcome, told });
        }
        Self { steps, refusal }
    }

    /// Whether every rule is met.
    pub fn is_trusted(&self) -> bool {
        self.refusal.is_none()
    }
}
