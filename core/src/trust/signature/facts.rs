//! What an adapter finds out about an image and its signature; nothing here is judged yet.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::time::WallTime;

/// Everything about one program for one verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureFacts {
    /// The program's file.
    pub image: ImageFacts,
    /// Its signature's file.
    pub file: SignatureFile,
    /// Effective user id of the process; `None` where a file is asked about and no process.
    pub uid: Option<u32>,
}

/// The file that a process runs, read through one descriptor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFacts {
    /// Its path as the kernel shows it.
    pub path: String,
    /// Whether it is a regular file.
    pub is_regular: bool,
    /// Whether it has no name any more, or never had one (`memfd_create`).
    pub is_deleted: bool,
    /// Whether it is a binary program (ELF).
    pub is_binary: bool,
    /// Its size.
    pub bytes: u64,
}

/// The `.p7s` beside an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureFile {
    /// There is none at this path.
    Missing(String),
    /// It cannot be read, with path and reason.
    Unreadable(String),
    /// It has more bytes than [`SIGNATURE_BYTES`](super::SIGNATURE_BYTES); its path.
    TooLarge(String),
    /// It is no CMS in strict DER, with path and reason.
    NotDer(String),
    /// It was read.
    Read(SignedDataFacts),
}

/// CMS `SignedData` (RFC 5652, 5.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedDataFacts {
    /// Its path.
    pub path: String,
    /// `version`.
    pub version: u8,
    /// Whether `eContentType` is id-data.
    pub is_data: bool,
    /// Whether `eContent` is absent.
    pub is_detached: bool,
    /// `digestAlgorithms`.
    pub digests: Vec<DigestAlgorithm>,
    /// `signerInfos`.
    pub signers: Vec<SignerFacts>,
}

/// CMS `SignerInfo` (RFC 5652, 5.3) with the certificate that it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignerFacts {
    /// `version`.
    pub version: u8,
    /// `digestAlgorithm`.
    pub digest: DigestAlgorithm,
    /// `signatureAlgorithm`.
    pub signature: SignatureAlgorithm,
    /// `signedAttrs`, where there are any.
    pub attributes: Option<AttributeFacts>,
    /// The enclosed certificate that the signer names.
    pub certificate: Option<CertificateFacts>,
    /// What costs time to find out; only for a pinned signer.
    pub evidence: Option<Evidence>,
}

/// The signed attributes that matter, each value of each occurrence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeFacts {
    /// `contentType`: whether it is id-data.
    pub content_types: Vec<bool>,
    /// `messageDigest`; empty where the value is no octet string.
    pub message_digests: Vec<Vec<u8>>,
}

/// What was computed for a pinned signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The image's digest by the signer's algorithm, or why it was not read.
    pub image: Result<Vec<u8>, String>,
    /// Whether the signature over the signed attributes is that of the certificate's key.
    pub is_valid: bool,
}

/// A signer's certificate (RFC 5280).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Subject, RFC 4514.
    pub subject: String,
    /// SHA-1 of the whole DER, 40 lower-case hex digits.
    pub sha1: String,
    /// SHA-256 of the whole DER, 64 lower-case hex digits.
    pub sha256: String,
    /// `notBefore`.
    pub not_before: WallTime,
    /// `notAfter`.
    pub not_after: WallTime,
    /// Whether the key usage has digitalSignature.
    pub signs: bool,
    /// Whether the extended key usage has codeSigning.
    pub signs_code: bool,
    /// The public key.
    pub key: PublicKey,
}

/// A digest algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
    /// Any other, by its object identifier.
    Other(String),
}

/// A signature algorithm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SignatureAlgorithm {
    /// RSA with PKCS #1 v1.5 padding; the digest, where the identifier names one.
    Rsa(Option<DigestAlgorithm>),
    /// ECDSA with this digest.
    Ecdsa(DigestAlgorithm),
    /// Ed25519.
    Ed25519,
    /// Any other, by its object identifier.
    Other(String),
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKey {
    /// RSA with a modulus of so many bits.
    Rsa(usize),
    /// NIST P-256.
    P256,
    /// NIST P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// Any other, by its object identifier.
    Other(String),
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256 => formatter.write_str("SHA-256"),
            Self::Sha384 => formatter.write_str("SHA-384"),
            Self::Sha512 => formatter.write_str("SHA-512"),
            Self::Other(oid) => write!(formatter, "digest {oid}"),
        }
    }
}

impl fmt::Display for SignatureAlgorithm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(None) => formatter.write_str("RSA"),
            Self::Rsa(Some(digest)) => write!(formatter, "RSA with {digest}"),
            Self::Ecdsa(digest) => write!(formatter, "ECDSA with {digest}"),
            Self::Ed25519 => formatter.write_str("Ed25519"),
            Self::Other(oid) => write!(formatter, "signature {oid}"),
        }
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rsa(bits) => write!(formatter, "RSA key of {bits} bits"),
            Self::P256 => formatter.write_str("P-256 key"),
            Self::P384 => formatter.write_str("P-384 key"),
            Self::Ed25519 => formatter.write_str("Ed25519 key"),
            Self::Other(oid) => write!(formatter, "key {oid}"),
        }
    }
}
