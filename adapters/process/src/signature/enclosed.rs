//! Documents that are enclosed in their signature: CMS `SignedData` with its content (`.p7m`), as `openssl cms -sign -nodetach` makes it.

use std::path::Path;

use castellan_core::event::Opened;
use castellan_core::trust::signature::{ImageFacts, SIGNATURE_BYTES, SignatureFacts, SignatureFile, SignaturePolicy};
use ring::digest;

use super::cms;

/// How everything in DER begins that has parts; no JSON document does.
const SEQUENCE: u8 = 0x30;

/// Opens a document that may be signed; `name` is what messages call it. One that is no DER is its own content, without a signature.
///
/// # Errors
/// It is DER, but no `SignedData` that encloses a document; why, as a sentence.
pub fn open_document(name: &str, bytes: &[u8], policy: SignaturePolicy<'_>) -> Result<Opened, String> {
    if bytes.first() != Some(&SEQUENCE) {
        return Ok(Opened { content: bytes.to_vec(), signature: None });
    }
    let failed = |why: &dyn std::fmt::Display| {
        format!(
            "{name} is no CMS with content in DER: {why}. Sign it: openssl cms -sign -nodetach -binary -outform DER."
        )
    };
    let (content, detached) = cms::split(bytes).map_err(|why| failed(&why))?;
    let file = if detached.len() as u64 > SIGNATURE_BYTES {
        SignatureFile::TooLarge(name.to_owned())
    } else {
        let hash = |algorithm| Ok(digest::digest(algorithm, &content));
        SignatureFile::Read(cms::read(Path::new(name), &detached, policy, hash).map_err(|why| failed(&why))?)
    };
    let image = ImageFacts {
        path: name.to_owned(),
        is_regular: true,
        is_deleted: false,
        is_binary: false,
        bytes: content.len() as u64,
    };
    Ok(Opened { content, signature: Some(SignatureFacts { image, file, uid: None }) })
}
