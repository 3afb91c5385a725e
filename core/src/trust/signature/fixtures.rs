//! Facts that meet every rule.

use alloc::borrow::ToOwned;
use alloc::vec;

use super::*;

/// The only instant at which the certificate is valid, milliseconds.
pub(in crate::trust) const NOW: i64 = 1_000_000;

pub(in crate::trust) fn good() -> SignatureFacts {
    let certificate = CertificateFacts {
        subject: "CN=Signer".to_owned(),
        sha1: "a".repeat(40),
        sha256: "b".repeat(64),
        not_before: WallTime::from_millis(NOW),
        not_after: WallTime::from_millis(NOW),
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
        evidence: Some(Evidence { image: Ok(vec![7; 32]), is_valid: true }),
    };
    SignatureFacts {
        image: ImageFacts {
            path: "/usr/bin/tool".to_owned(),
            is_regular: true,
            is_deleted: false,
            is_binary: true,
            bytes: IMAGE_BYTES,
        },
        file: SignatureFile::Read(SignedDataFacts {
            path: "/usr/bin/tool.p7s".to_owned(),
            version: 1,
            is_data: true,
            is_detached: true,
            digests: vec![DigestAlgorithm::Sha256],
            signers: vec![signer],
        }),
        uid: Some(0),
    }
}
