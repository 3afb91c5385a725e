//! From the bytes of a `.p7s` to facts: CMS `SignedData` (RFC 5652) in strict DER.

use std::path::Path;

use castellan_core::hexadecimal;
use castellan_core::time::WallTime;
use castellan_core::trust::signature::{
    AttributeFacts, CertificateFacts, DigestAlgorithm, Evidence, SIGNERS, SignaturePolicy, SignedDataFacts, SignerFacts,
};
use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedAttributes, SignedData, SignerIdentifier, SignerInfo};
use const_oid::ObjectIdentifier;
use const_oid::db::rfc5280::ID_KP_CODE_SIGNING;
use const_oid::db::rfc5911::{ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST, ID_SIGNED_DATA};
use der::asn1::OctetString;
use der::{Any, AnyRef, Decode, Encode, Reader, SliceReader, Tagged};
use ring::digest;
use ring::signature::UnparsedPublicKey;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier};
use x509_cert::time::Time;

use super::algorithms;

/// Elements of a signature. One with a chain of four certificates has about 600; the crates sort the elements of a SET in time that
/// grows with the square of their number, and a stranger chooses it.
const ELEMENTS: usize = 2000;
/// Levels of nested elements; a certificate in a signature has about 12.
const DEPTH: usize = 32;

/// The facts in a signature; `hash` is asked for the image's digest only where the policy pins a signer.
///
/// # Errors
/// The bytes are no `SignedData` in DER.
pub(super) fn read(
    path: &Path,
    bytes: &[u8],
    policy: SignaturePolicy<'_>,
    mut hash: impl FnMut(&'static digest::Algorithm) -> Result<digest::Digest, String>,
) -> Result<SignedDataFacts, String> {
    let data = parse(bytes)?;
    let certificates: Vec<&Certificate> =
        data.certificates.iter().flat_map(|set| set.0.iter()).filter_map(plain).collect();
    let mut signers = Vec::new();
    let mut is_proved = data.signer_infos.0.len() > SIGNERS;
    for info in data.signer_infos.0.iter() {
        let certificate = certificates.iter().find(|certificate| is_named(&info.sid, certificate)).copied();
        let facts = certificate.map(facts_of).transpose()?;
        let digest = algorithms::digest_of(&info.digest_alg.oid);
        let mut evidence = None;
        // The first pinned one is the one that the core looks at.
        if let (Some(facts), Some(certificate), false) = (&facts, certificate, is_proved)
            && policy.pin_of(facts).is_some()
        {
            is_proved = true;
            evidence = prove(info, certificate, facts, &digest, &mut hash)?;
        }
        signers.push(SignerFacts {
            version: info.version as u8,
            signature: algorithms::signature_of(&info.signature_algorithm.oid),
            attributes: info.signed_attrs.as_ref().map(attributes),
            certificate: facts,
            digest,
            evidence,
        });
    }
    Ok(SignedDataFacts {
        path: path.display().to_string(),
        version: data.version as u8,
        is_data: data.encap_content_info.econtent_type == ID_DATA,
        is_detached: data.encap_content_info.econtent.is_none(),
        digests: data.digest_algorithms.iter().map(|found| algorithms::digest_of(&found.oid)).collect(),
        signers,
    })
}

/// The content of a signature that encloses it, and that signature without it, detached.
///
/// # Errors
/// The bytes are no `SignedData` in DER, or enclose nothing.
pub(super) fn split(bytes: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let invalid = |error: der::Error| error.to_string();
    let mut data = parse(bytes)?;
    let enclosed = data.encap_content_info.econtent.take();
    let enclosed = enclosed.ok_or("it encloses no content; sign with -nodetach")?;
    let content = enclosed.decode_as::<OctetString>().map_err(invalid)?.into_bytes();
    let data = Any::encode_from(&data).map_err(invalid)?;
    let detached = ContentInfo { content_type: ID_SIGNED_DATA, content: data }.to_der().map_err(invalid)?;
    Ok((content, detached))
}

/// The crates sort the elements of a SET while they read; so that nothing but DER is taken, the same bytes must come back.
fn parse(bytes: &[u8]) -> Result<SignedData, String> {
    let invalid = |error: der::Error| error.to_string();
    count(bytes, DEPTH, ELEMENTS)?;
    let outer = ContentInfo::from_der(bytes).map_err(invalid)?;
    if outer.content_type != ID_SIGNED_DATA {
        return Err(format!("its content is {}, not SignedData", outer.content_type));
    }
    let data: SignedData = outer.content.decode_as().map_err(invalid)?;
    let content = Any::encode_from(&data).map_err(invalid)?;
    let again = ContentInfo { content_type: ID_SIGNED_DATA, content }.to_der().map_err(invalid)?;
    if again == bytes { Ok(data) } else { Err(String::from("it is encoded in BER, not in DER")) }
}

/// Counts the elements at any depth down from what may still come; `Err` where there are more, or deeper ones.
fn count(bytes: &[u8], depth: usize, left: usize) -> Result<usize, String> {
    let invalid = |error: der::Error| error.to_string();
    let too_many = || format!("it has more than {ELEMENTS} elements or {DEPTH} levels");
    let deeper = depth.checked_sub(1).ok_or_else(too_many)?;
    let mut reader = SliceReader::new(bytes).map_err(invalid)?;
    let mut left = left;
    while !reader.is_finished() {
        let element = AnyRef::decode(&mut reader).map_err(invalid)?;
        left = left.checked_sub(1).ok_or_else(too_many)?;
        if element.tag().is_constructed() && !element.value().is_empty() {
            left = count(element.value(), deeper, left)?;
        }
    }
    Ok(left)
}

fn plain(choice: &CertificateChoices) -> Option<&Certificate> {
    match choice {
        CertificateChoices::Certificate(certificate) => Some(certificate),
        CertificateChoices::Other(_) => None,
    }
}

fn is_named(signer: &SignerIdentifier, certificate: &Certificate) -> bool {
    let tbs = &certificate.tbs_certificate;
    match signer {
        SignerIdentifier::IssuerAndSerialNumber(named) => {
            named.issuer == tbs.issuer && named.serial_number == tbs.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(named) => {
            matches!(tbs.get::<SubjectKeyIdentifier>(), Ok(Some((_, found))) if found == *named)
        }
    }
}

/// What matters of a certificate.
pub(super) fn facts_of(certificate: &Certificate) -> Result<CertificateFacts, String> {
    let tbs = &certificate.tbs_certificate;
    let der = certificate.to_der().map_err(|error| error.to_string())?;
    let hex = |algorithm| hexadecimal(digest::digest(algorithm, &der).as_ref());
    // An extension that stands there twice, or is malformed, allows nothing.
    let key_usage = tbs.get::<KeyUsage>();
    let purposes = tbs.get::<ExtendedKeyUsage>();
    Ok(CertificateFacts {
        subject: tbs.subject.to_string(),
        sha1: hex(&digest::SHA1_FOR_LEGACY_USE_ONLY),
        sha256: hex(&digest::SHA256),
        not_before: instant(tbs.validity.not_before),
        not_after: instant(tbs.validity.not_after),
        // RFC 5280, 4.2.1.3: without the extension a key is not restricted.
        signs: match key_usage {
            Ok(found) => found.is_none_or(|(_, usage)| usage.digital_signature()),
            Err(_) => false,
        },
        signs_code: matches!(purposes, Ok(Some((_, ExtendedKeyUsage(all)))) if all.contains(&ID_KP_CODE_SIGNING)),
        key: algorithms::key_of(&tbs.subject_public_key_info),
    })
}

fn instant(time: Time) -> WallTime {
    let millis = i64::try_from(time.to_unix_duration().as_millis());
    WallTime::from_millis(millis.unwrap_or(i64::MAX))
}

fn attributes(found: &SignedAttributes) -> AttributeFacts {
    // An occurrence without a value counts too: nothing may stand beside the one that is asked for.
    let values = |oid: ObjectIdentifier| {
        let all = found.iter().filter(move |attribute| attribute.oid == oid);
        all.flat_map(|attribute| {
            let none = attribute.values.is_empty().then_some(None);
            attribute.values.iter().map(Some).chain(none)
        })
    };
    AttributeFacts {
        content_types: values(ID_CONTENT_TYPE)
            .map(|value| value.and_then(|value| value.decode_as::<ObjectIdentifier>().ok()) == Some(ID_DATA))
            .collect(),
        message_digests: values(ID_MESSAGE_DIGEST)
            .map(|value| value.and_then(|value| value.decode_as::<OctetString>().ok()))
            .map(|value| value.map(OctetString::into_bytes).unwrap_or_default())
            .collect(),
    }
}

/// Checks the signature, and hashes the image where it is right: certificates are public, and whoever encloses a pinned one must not
/// make us read a gigabyte. `None` where the algorithms are none that are taken.
fn prove(
    info: &SignerInfo,
    certificate: &Certificate,
    facts: &CertificateFacts,
    digest: &DigestAlgorithm,
    hash: &mut impl FnMut(&'static digest::Algorithm) -> Result<digest::Digest, String>,
) -> Result<Option<Evidence>, String> {
    let (Some(hasher), Some(verifier), Some(signed)) =
        (algorithms::hasher(digest), algorithms::verifier(&facts.key, digest), &info.signed_attrs)
    else {
        return Ok(None);
    };
    // RFC 5652, 5.4: signed is the DER of the SET OF, not of the implicit tag.
    let signed = signed.to_der().map_err(|error| error.to_string())?;
    let key = certificate.tbs_certificate.subject_public_key_info.subject_public_key.raw_bytes();
    let is_valid = UnparsedPublicKey::new(verifier, key).verify(&signed, info.signature.as_bytes()).is_ok();
    let image = if is_valid {
        hash(hasher).map(|digest| digest.as_ref().to_vec())
    } else {
        Err(String::from("the signature is wrong, so it was not read"))
    };
    Ok(Some(Evidence { image, is_valid }))
}
