//! Facts about a signature that meets every rule.

use castellan_core::time::WallTime;
use castellan_core::trust::signature::{
    AttributeFacts, CertificateFacts, DigestAlgorithm, Evidence, ImageFacts, PublicKey, SignatureAlgorithm,
    SignatureFacts, SignatureFile, SignedDataFacts, SignerFacts,
};

/// What `AlternativeSignatures` has to hold for it.
pub fn pin() -> String {
    "b".repeat(64)
}

/// A program at this path, run by this user where one runs it; `is_valid` says whether the key fits.
pub fn by_pinned(path: &str, uid: Option<u32>, is_valid: bool) -> SignatureFacts {
    let certificate = CertificateFacts {
        subject: String::from("CN=Signer"),
        sha1: "a".repeat(40),
        sha256: pin(),
        not_before: WallTime::from_millis(0),
        not_after: WallTime::from_millis(i64::MAX),
        signs: true,
        signs_code: true,
        key: PublicKey::P256,
    };
    let signer = SignerFacts {
        version: 1,
        digest: DigestAlgorithm::Sha256,
        signature: SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha256),
        attributes: Some(AttributeFacts { content_types: vec![true], message_digests: vec![vec![7; 32]] }),
        certificate: Some(certificate),
        evidence: Some(Evidence { image: Ok(vec![7; 32]), is_valid }),
    };
    let data = SignedDataFacts {
        path: format!("{path}.p7s"),
        version: 1,
        is_data: true,
        is_detached: true,
        digests: vec![DigestAlgorithm::Sha256],
        signers: vec![signer],
    };
    let path = path.to_owned();
    let image = ImageFacts { path, is_regular: true, is_deleted: false, is_binary: true, bytes: 1 };
    SignatureFacts { image, file: SignatureFile::Read(data), uid }
}
