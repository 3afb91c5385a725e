//! Object identifiers of CMS and X.509 on one side, the core's names and ring's algorithms on the other.

use castellan_core::trust::signature::{DigestAlgorithm, PublicKey, SignatureAlgorithm};
use const_oid::ObjectIdentifier;
use const_oid::db::{rfc5912, rfc8410};
use der::asn1::UintRef;
use der::{AnyRef, Decode};
use ring::{digest, signature};
use x509_cert::spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoOwned};

pub(super) fn digest_of(oid: &ObjectIdentifier) -> DigestAlgorithm {
    match *oid {
        rfc5912::ID_SHA_256 => DigestAlgorithm::Sha256,
        rfc5912::ID_SHA_384 => DigestAlgorithm::Sha384,
        rfc5912::ID_SHA_512 => DigestAlgorithm::Sha512,
        other => DigestAlgorithm::Other(other.to_string()),
    }
}

/// How ring computes a digest; `None` for those that are not taken.
pub(super) fn hasher(digest: &DigestAlgorithm) -> Option<&'static digest::Algorithm> {
    match digest {
        DigestAlgorithm::Sha256 => Some(&digest::SHA256),
        DigestAlgorithm::Sha384 => Some(&digest::SHA384),
        DigestAlgorithm::Sha512 => Some(&digest::SHA512),
        DigestAlgorithm::Other(_) => None,
    }
}

pub(super) fn signature_of(oid: &ObjectIdentifier) -> SignatureAlgorithm {
    match *oid {
        rfc5912::RSA_ENCRYPTION => SignatureAlgorithm::Rsa(None),
        rfc5912::SHA_256_WITH_RSA_ENCRYPTION => SignatureAlgorithm::Rsa(Some(DigestAlgorithm::Sha256)),
        rfc5912::SHA_384_WITH_RSA_ENCRYPTION => SignatureAlgorithm::Rsa(Some(DigestAlgorithm::Sha384)),
        rfc5912::SHA_512_WITH_RSA_ENCRYPTION => SignatureAlgorithm::Rsa(Some(DigestAlgorithm::Sha512)),
        rfc5912::ECDSA_WITH_SHA_256 => SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha256),
        rfc5912::ECDSA_WITH_SHA_384 => SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha384),
        rfc5912::ECDSA_WITH_SHA_512 => SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha512),
        rfc8410::ID_ED_25519 => SignatureAlgorithm::Ed25519,
        other => SignatureAlgorithm::Other(other.to_string()),
    }
}

pub(super) fn key_of(key: &SubjectPublicKeyInfoOwned) -> PublicKey {
    let curve = || key.algorithm.parameters.as_ref()?.decode_as::<ObjectIdentifier>().ok();
    match key.algorithm.oid {
        rfc5912::RSA_ENCRYPTION => PublicKey::Rsa(modulus_bits(key.subject_public_key.raw_bytes()).unwrap_or(0)),
        rfc5912::ID_EC_PUBLIC_KEY => match curve() {
            Some(rfc5912::SECP_256_R_1) => PublicKey::P256,
            Some(rfc5912::SECP_384_R_1) => PublicKey::P384,
            Some(other) => PublicKey::Other(other.to_string()),
            None => PublicKey::Other(key.algorithm.oid.to_string()),
        },
        rfc8410::ID_ED_25519 => PublicKey::Ed25519,
        other => PublicKey::Other(other.to_string()),
    }
}

/// Of an `RSAPublicKey` (RFC 8017, A.1.1).
fn modulus_bits(key: &[u8]) -> Option<usize> {
    let modulus = AnyRef::from_der(key).ok()?.sequence(|reader| {
        let modulus = UintRef::decode(reader)?;
        UintRef::decode(reader)?;
        Ok(modulus.as_bytes())
    });
    let modulus = modulus.ok()?;
    let unused = modulus.first()?.leading_zeros() as usize;
    modulus.len().checked_mul(8)?.checked_sub(unused)
}

/// How ring verifies; `None` for what is not taken.
pub(super) fn verifier(
    key: &PublicKey,
    digest: &DigestAlgorithm,
) -> Option<&'static dyn signature::VerificationAlgorithm> {
    use DigestAlgorithm::{Sha256, Sha384, Sha512};
    Some(match (key, digest) {
        (PublicKey::Rsa(_), Sha256) => &signature::RSA_PKCS1_2048_8192_SHA256,
        (PublicKey::Rsa(_), Sha384) => &signature::RSA_PKCS1_2048_8192_SHA384,
        (PublicKey::Rsa(_), Sha512) => &signature::RSA_PKCS1_2048_8192_SHA512,
        (PublicKey::P256, Sha256) => &signature::ECDSA_P256_SHA256_ASN1,
        (PublicKey::P256, Sha384) => &signature::ECDSA_P256_SHA384_ASN1,
        (PublicKey::P384, Sha256) => &signature::ECDSA_P384_SHA256_ASN1,
        (PublicKey::P384, Sha384) => &signature::ECDSA_P384_SHA384_ASN1,
        (PublicKey::Ed25519, Sha512) => &signature::ED25519,
        _ => return None,
    })
}

/// What a new signature by such a key says of itself; `None` for keys that are not taken.
pub(super) fn identifiers(key: &PublicKey) -> Option<(AlgorithmIdentifierOwned, AlgorithmIdentifierOwned)> {
    let (digest, signature) = match key {
        PublicKey::Rsa(_) => (rfc5912::ID_SHA_256, rfc5912::RSA_ENCRYPTION),
        PublicKey::P256 => (rfc5912::ID_SHA_256, rfc5912::ECDSA_WITH_SHA_256),
        PublicKey::P384 => (rfc5912::ID_SHA_384, rfc5912::ECDSA_WITH_SHA_384),
        PublicKey::Ed25519 => (rfc5912::ID_SHA_512, rfc8410::ID_ED_25519),
        PublicKey::Other(_) => return None,
    };
    // RFC 3370, 3.2: of these only RSA has parameters.
    let parameters = matches!(key, PublicKey::Rsa(_)).then(der::Any::null);
    Some((
        AlgorithmIdentifierOwned { oid: digest, parameters: None },
        AlgorithmIdentifierOwned { oid: signature, parameters },
    ))
}
