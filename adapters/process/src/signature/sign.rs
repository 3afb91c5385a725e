//! New signatures: detached CMS `SignedData` as [`super::cms`] reads it, and as `openssl cms -verify` does.

use castellan_core::trust::signature::{CertificateFacts, PublicKey};
use cms::cert::{CertificateChoices, IssuerAndSerialNumber};
use cms::content_info::{CmsVersion, ContentInfo};
use cms::signed_data::{
    CertificateSet, EncapsulatedContentInfo, SignedAttributes, SignedData, SignerIdentifier, SignerInfo, SignerInfos,
};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use der::asn1::{OctetString, SetOfVec};
use der::{Any, Decode, Encode, Tagged};
use ring::rand::SystemRandom;
use ring::rsa::KeyPair as RsaKeyPair;
use ring::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair};
use x509_cert::Certificate;
use x509_cert::attr::Attribute;

use super::{Program, SignError, algorithms, cms as reading};

impl Program {
    /// The program's signature in DER, and the facts about its signer, whose thumbprint is the pin that will name it.
    ///
    /// `certificate` is X.509 in DER, `key` its private key in PKCS #8.
    ///
    /// # Errors
    /// The image cannot be read, or certificate or key are not of the kinds that are taken.
    pub fn sign(&self, certificate: &[u8], key: &[u8]) -> Result<(Vec<u8>, CertificateFacts), SignError> {
        let certificate = Certificate::from_der(certificate)
            .map_err(|error| SignError(format!("The certificate is no X.509 in DER: {error}.")))?;
        let facts = reading::facts_of(&certificate).map_err(SignError)?;
        let (digest, algorithm) = algorithms::identifiers(&facts.key).ok_or_else(|| {
            SignError(format!("Nothing is signed with a {}; take RSA, P-256, P-384 or Ed25519.", facts.key))
        })?;
        let hasher = algorithms::hasher(&algorithms::digest_of(&digest.oid))
            .ok_or_else(|| SignError(format!("There is no digest {}.", digest.oid)))?;
        let image = self.digest(hasher).map_err(|error| SignError(format!("The program cannot be read: {error}.")))?;
        let encoded = || -> der::Result<(SignedAttributes, Vec<u8>)> {
            let mut attributes = SignedAttributes::new();
            attributes.insert(attribute(ID_CONTENT_TYPE, &ID_DATA)?)?;
            attributes.insert(attribute(ID_MESSAGE_DIGEST, &OctetString::new(image.as_ref())?)?)?;
            let signed = attributes.to_der()?;
            Ok((attributes, signed))
        };
        let (attributes, signed) = encoded().map_err(unencodable)?;
        let tbs = &certificate.tbs_certificate;
        let signer = SignerInfo {
            version: CmsVersion::V1,
            sid: SignerIdentifier::IssuerAndSerialNumber(IssuerAndSerialNumber {
                issuer: tbs.issuer.clone(),
                serial_number: tbs.serial_number.clone(),
            }),
            digest_alg: digest.clone(),
            signed_attrs: Some(attributes),
            signature_algorithm: algorithm,
            signature: OctetString::new(signature(&facts.key, key, &signed)?).map_err(unencodable)?,
            unsigned_attrs: None,
        };
        let whole = || -> der::Result<Vec<u8>> {
            let data = SignedData {
                version: CmsVersion::V1,
                digest_algorithms: one(digest)?,
                encap_content_info: EncapsulatedContentInfo { econtent_type: ID_DATA, econtent: None },
                certificates: Some(CertificateSet(one(CertificateChoices::Certificate(certificate.clone()))?)),
                crls: None,
                signer_infos: SignerInfos(one(signer)?),
            };
            ContentInfo { content_type: ID_SIGNED_DATA, content: Any::encode_from(&data)? }.to_der()
        };
        Ok((whole().map_err(unencodable)?, facts))
    }
}

fn unencodable(error: der::Error) -> SignError {
    SignError(format!("The signature cannot be encoded: {error}."))
}

fn one<T: der::DerOrd>(value: T) -> der::Result<SetOfVec<T>> {
    let mut set = SetOfVec::new();
    set.insert(value)?;
    Ok(set)
}

fn attribute<T: Tagged + der::EncodeValue>(oid: ObjectIdentifier, value: &T) -> der::Result<Attribute> {
    Ok(Attribute { oid, values: one(Any::encode_from(value)?)? })
}

fn signature(public: &PublicKey, key: &[u8], signed: &[u8]) -> Result<Vec<u8>, SignError> {
    let random = SystemRandom::new();
    let rejected = |why: ring::error::KeyRejected| {
        SignError(format!("The private key is not that of the certificate, ({public}): {why}."))
    };
    let failed = |_| SignError(format!("Signing with the {public} failed."));
    let ecdsa = |algorithm: &'static EcdsaSigningAlgorithm| {
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, key, &random).map_err(rejected)?;
        Ok(pair.sign(&random, signed).map_err(failed)?.as_ref().to_vec())
    };
    match public {
        PublicKey::Rsa(_) => {
            let pair = RsaKeyPair::from_pkcs8(key).map_err(rejected)?;
            let mut signature = vec![0; pair.public().modulus_len()];
            pair.sign(&signature::RSA_PKCS1_SHA256, &random, signed, &mut signature).map_err(failed)?;
            Ok(signature)
        }
        PublicKey::P256 => ecdsa(&signature::ECDSA_P256_SHA256_ASN1_SIGNING),
        PublicKey::P384 => ecdsa(&signature::ECDSA_P384_SHA384_ASN1_SIGNING),
        PublicKey::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key).map_err(rejected)?;
            Ok(pair.sign(signed).as_ref().to_vec())
        }
        PublicKey::Other(_) => Err(SignError(format!("Nothing is signed with a {public}."))),
    }
}
