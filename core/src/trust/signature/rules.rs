//! The rules of trust by signature, each a function from the facts to a sentence or a failure.

use alloc::format;
use alloc::string::{String, ToString};

use super::interpreters::is_interpreter;
use super::{
    AttributeFacts, CertificateFacts, DigestAlgorithm, Evidence, IMAGE_BYTES, PublicKey, Rule, SIGNATURE_BYTES,
    SIGNERS, SignatureAlgorithm, SignatureFacts, SignatureFile, SignaturePolicy, SignedDataFacts, SignerFacts,
};
use crate::time::WallTime;

/// What the rules are asked about.
pub(super) struct Case<'a> {
    pub(super) facts: &'a SignatureFacts,
    pub(super) policy: SignaturePolicy<'a>,
    pub(super) now: WallTime,
    /// Whether the agent executes it.
    pub(super) is_own: bool,
}

/// A rule that is not met: the facts, and what to do.
pub(super) struct Failed {
    pub(super) why: String,
    pub(super) fix: &'static str,
}

type Answer = Result<String, Failed>;
type Ask = fn(&Case<'_>) -> Answer;

/// Every rule, in the order in which they are asked.
pub(super) const ALL: &[(Rule, Ask)] = &[
    (Rule::Image, image),
    (Rule::Interpreter, interpreter),
    (Rule::File, file),
    (Rule::Form, form),
    (Rule::Signer, signer),
    (Rule::Validity, validity),
    (Rule::Usage, usage),
    (Rule::Algorithms, algorithms),
    (Rule::Attributes, attributes),
    (Rule::Signature, signature),
    (Rule::Content, content),
    (Rule::User, user),
];

const SIGN: &str = "Sign it: castellan sign EXE --cert CERT.pem --key KEY.pem.";
const SIGN_AGAIN: &str = "Sign it again: castellan sign EXE --cert CERT.pem --key KEY.pem.";
const OTHER_CERTIFICATE: &str =
    "Sign with another certificate, and put its thumbprint into Settings:AlternativeSignatures.";
const BY_AGENT: &str = "Let the agent start it: as a task of a job (Jobs/) or as a plugin (Plugins/).";
/// What a refusal says where an earlier rule should have failed already.
const NOTHING: &str = "Nothing was found out that this rule could rest on.";

fn failed(why: impl Into<String>, fix: &'static str) -> Failed {
    Failed { why: why.into(), fix }
}

impl<'a> Case<'a> {
    fn base_name(&self) -> &'a str {
        self.facts.image.path.rsplit('/').next().unwrap_or_default()
    }

    fn signed_data(&self) -> Result<&'a SignedDataFacts, Failed> {
        match &self.facts.file {
            SignatureFile::Read(found) => Ok(found),
            SignatureFile::Missing(path) => Err(failed(format!("There is no signature at {path}."), SIGN)),
            SignatureFile::Unreadable(why) => Err(failed(
                format!("Its signature cannot be read: {why}."),
                "Make it a plain file that the agent may read.",
            )),
            SignatureFile::TooLarge(path) => {
                Err(failed(format!("{path} has more than {SIGNATURE_BYTES} bytes."), SIGN_AGAIN))
            }
            SignatureFile::NotDer(why) => Err(failed(
                format!("Its signature is no CMS in DER: {why}."),
                "Sign it with castellan sign, or with openssl cms -sign -binary -outform DER.",
            )),
        }
    }

    /// The signer that is pinned, with its certificate and the pin.
    fn pinned(&self) -> Result<(&'a SignerFacts, &'a CertificateFacts, &'a str), Failed> {
        let found = self.signed_data()?;
        self.policy.pinned(found).ok_or_else(|| match found.signers.iter().find_map(|signer| signer.certificate.as_ref()) {
            None => failed(
                "The signer's certificate is not enclosed.",
                "Sign without -nocerts, so that the certificate is in the file.",
            ),
            Some(found) => failed(
                format!("Its signer '{}' is not one of AlternativeSignatures.", found.subject),
                "castellan trust check names the thumbprint; if you trust that signer, add it to Settings:AlternativeSignatures.",
            ),
        })
    }

    fn attributes(&self) -> Result<&'a AttributeFacts, Failed> {
        let (signer, ..) = self.pinned()?;
        signer
            .attributes
            .as_ref()
            .ok_or_else(|| failed("The signature has no signed attributes.", "Sign without -noattr."))
    }

    fn evidence(&self) -> Result<&'a Evidence, Failed> {
        self.pinned()?.0.evidence.as_ref().ok_or_else(|| failed(NOTHING, SIGN_AGAIN))
    }
}

fn image(case: &Case<'_>) -> Answer {
    let image = &case.facts.image;
    if image.is_deleted {
        return Err(failed("Its file was deleted or replaced, or never had a name.", "Start it again from its file."));
    }
    if !image.is_regular || !(image.is_binary || case.is_own) {
        return Err(failed("It is no binary program (ELF).", BY_AGENT));
    }
    if image.bytes > IMAGE_BYTES {
        return Err(failed(format!("It has {} bytes, and at most {IMAGE_BYTES} are read.", image.bytes), BY_AGENT));
    }
    let what = if image.is_binary { "binary program" } else { "script" };
    Ok(format!("It is a {what} of {} bytes.", image.bytes))
}

fn interpreter(case: &Case<'_>) -> Answer {
    let name = case.base_name();
    if case.is_own {
        return Ok("The agent says what it executes.".to_string());
    }
    if is_interpreter(name) {
        let why = format!(
            "'{name}' is an interpreter, loader or debugger: its signature says nothing about what it executes."
        );
        return Err(failed(why, BY_AGENT));
    }
    Ok(format!("'{name}' is no known interpreter or loader."))
}

fn file(case: &Case<'_>) -> Answer {
    case.signed_data().map(|found| format!("{} was read.", found.path))
}

fn form(case: &Case<'_>) -> Answer {
    let found = case.signed_data()?;
    let wrong = |why: &str| Err(failed(why, SIGN_AGAIN));
    if !found.is_detached {
        return wrong("The signature has content of its own; it must be detached.");
    }
    if !found.is_data {
        return wrong("What is signed is not plain data (id-data).");
    }
    if !matches!(found.version, 1 | 3) || found.signers.iter().any(|signer| !matches!(signer.version, 1 | 3)) {
        return wrong("It is of a version other than 1 and 3.");
    }
    let signers = found.signers.len();
    if !(1..=SIGNERS).contains(&signers) {
        return Err(failed(format!("It has {signers} signers; 1 to {SIGNERS} are taken."), SIGN_AGAIN));
    }
    if found.digests.len() != 1 {
        return wrong("It names several digest algorithms, or none.");
    }
    Ok(String::from("It is detached SignedData."))
}

fn signer(case: &Case<'_>) -> Answer {
    let (_, certificate, pin) = case.pinned()?;
    Ok(format!("'{}' is pinned as {pin}.", certificate.subject))
}

fn validity(case: &Case<'_>) -> Answer {
    let (_, certificate, _) = case.pinned()?;
    let (from, until) = (certificate.not_before.to_rfc3339(), certificate.not_after.to_rfc3339());
    if case.now < certificate.not_before || case.now > certificate.not_after {
        let why = format!(
            "Its signer's certificate is valid from {from} until {until}, and now is {}.",
            case.now.to_rfc3339()
        );
        return Err(failed(why, OTHER_CERTIFICATE));
    }
    Ok(format!("The certificate is valid from {from} until {until}."))
}

fn usage(case: &Case<'_>) -> Answer {
    let (_, certificate, _) = case.pinned()?;
    if !certificate.signs_code {
        return Err(failed(
            "Its signer's certificate is not for code signing (extended key usage).",
            OTHER_CERTIFICATE,
        ));
    }
    if !certificate.signs {
        return Err(failed("Its signer's certificate is not for digital signatures (key usage).", OTHER_CERTIFICATE));
    }
    Ok(String::from("The certificate is for code signing."))
}

fn algorithms(case: &Case<'_>) -> Answer {
    let (signer, certificate, _) = case.pinned()?;
    let digest = &signer.digest;
    if matches!(digest, DigestAlgorithm::Other(_)) {
        let why = format!("It was signed with {digest}; SHA-256, SHA-384 and SHA-512 are taken.");
        return Err(failed(why, SIGN_AGAIN));
    }
    if !case.signed_data()?.digests.contains(digest) {
        return Err(failed("The digest of the signer is not the one that the signature announces.", SIGN_AGAIN));
    }
    let key = &certificate.key;
    let fits = match (key, &signer.signature) {
        (PublicKey::Rsa(bits), SignatureAlgorithm::Rsa(named)) => {
            if !(2048..=8192).contains(bits) {
                return Err(failed(format!("Its signer has an {key}; 2048 to 8192 are taken."), OTHER_CERTIFICATE));
            }
            named.as_ref().is_none_or(|named| named == digest)
        }
        (PublicKey::P256 | PublicKey::P384, SignatureAlgorithm::Ecdsa(named)) => {
            named == digest && *digest != DigestAlgorithm::Sha512
        }
        // RFC 8419, 3.1: with signed attributes the digest is SHA-512.
        (PublicKey::Ed25519, SignatureAlgorithm::Ed25519) => *digest == DigestAlgorithm::Sha512,
        _ => false,
    };
    let shown = format!("{}, {digest}, {key}", signer.signature);
    if !fits {
        let why = format!("These are not taken together: {shown}.");
        return Err(failed(
            why,
            "Sign with RSA (PKCS #1 v1.5), with ECDSA on P-256 or P-384 and SHA-256 or SHA-384, or with Ed25519 and SHA-512.",
        ));
    }
    Ok(format!("{shown}."))
}

fn attributes(case: &Case<'_>) -> Answer {
    let found = case.attributes()?;
    if found.content_types != [true] {
        return Err(failed("The signed attributes do not have the content type id-data exactly once.", SIGN_AGAIN));
    }
    if found.message_digests.len() != 1 {
        return Err(failed("The signed attributes do not have the message digest exactly once.", SIGN_AGAIN));
    }
    Ok(String::from("Content type and message digest are signed, once each."))
}

fn content(case: &Case<'_>) -> Answer {
    let image = match &case.evidence()?.image {
        Ok(image) => image,
        Err(why) => {
            return Err(failed(format!("The image cannot be read: {why}."), "Repair the file, or start it again."));
        }
    };
    if case.attributes()?.message_digests.first() != Some(image) {
        return Err(failed(
            "The program was changed after it had been signed, or the signature is another file's.",
            SIGN_AGAIN,
        ));
    }
    Ok(format!("The signed {} is the image's.", case.pinned()?.0.digest))
}

fn signature(case: &Case<'_>) -> Answer {
    if !case.evidence()?.is_valid {
        return Err(failed("The signature is not one of the key in the pinned certificate.", SIGN_AGAIN));
    }
    Ok(String::from("The signature is one of the pinned certificate's key."))
}

fn user(case: &Case<'_>) -> Answer {
    let name = case.base_name();
    let allowed = case.policy.non_admin.iter().any(|listed| listed == name);
    let listed = if allowed { "is" } else { "is not" };
    match case.facts.uid {
        _ if case.is_own => Ok("The agent runs it.".to_string()),
        None => Ok(format!("'{name}' {listed} one of AllowedNonAdminExecutables, which users other than root need.")),
        Some(0) => Ok("It runs as root.".to_string()),
        Some(uid) if allowed => {
            Ok(format!("It runs as user {uid}, and '{name}' is one of AllowedNonAdminExecutables."))
        }
        Some(uid) => Err(failed(
            format!("It runs as user {uid}, and '{name}' is not one of AllowedNonAdminExecutables."),
            "Add its base name to Settings:AllowedNonAdminExecutables, or run it as root.",
        )),
    }
}
