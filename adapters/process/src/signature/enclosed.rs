//! Documents that are enclosed in their signature: CMS `SignedData` with its content (`.p7m`), as `openssl cms -sign -nodetach` makes it.

use castellan_core::trust::signature::{SIGNATURE_BYTES, SignatureFacts, SignatureFile, SignaturePolicy};
use ring::digest;

use super::{cms, document_facts};

/// How everything in DER begins that has parts; no JSON document does.
const SEQUENCE: u8 = 0x30;

/// The content of a document that may be signed, and the facts about its signature; `name` is what messages call it. One that is no
/// DER is its own content, without a signature.
///
/// # Errors
/// It is DER, but no `SignedData` that encloses a document; why, as a sentence.
pub fn open_document(
    name: &str,
    bytes: &[u8],
    policy: SignaturePolicy<'_>,
) -> Result<(Vec<u8>, Option<SignatureFacts>), String> {
    if bytes.first() != Some(&SEQUENCE) {
        return Ok((bytes.to_vec(), None));
    }
    let (content, detached) = cms::split(bytes).map_err(|why| {
        format!(
            "{name} is no CMS with content in DER: {why}. Sign it: openssl cms -sign -nodetach -binary -outform DER."
        )
    })?;
    let too_large = detached.len() as u64 > SIGNATURE_BYTES;
    let beside = if too_large { Err(SignatureFile::TooLarge(name.to_owned())) } else { Ok(detached) };
    let facts = document_facts(name, &content, beside, policy);
    Ok((content, Some(facts)))
}

/// The SHA-256 of a document in lower-case hex digits.
pub fn document_sha256(document: &[u8]) -> String {
    castellan_core::hexadecimal(digest::digest(&digest::SHA256, document).as_ref())
}
