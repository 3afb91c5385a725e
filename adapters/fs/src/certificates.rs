//! Certificates: the listeners' own, made in memory at each start, and the admin CA with its client certificates
//! (contract sections 1 and 2, security.md section 6, "TLS" and "client certificates").

mod admin;
mod request;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use castellan_core::time::WallTime;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use time::{Duration, OffsetDateTime};

use crate::error::RootError;
use crate::root::Root;

pub use admin::AdminAuthority;
pub use request::SigningRequest;

/// Certificates begin to be valid so long before they are made, since a clock may be set back a little.
const BACKDATED: Duration = Duration::days(1);
/// The listeners' certificate is made at each start, so this bounds how long the agent may run without one. More than 825
/// days are refused by some clients.
const SERVER_LIFE: Duration = Duration::days(800);
/// `state/ca.pem`, for clients of the listeners, and `ca.pem` in the root, for those that may not look into `state/`.
const PLACE: &str = "state";
const PUBLIC_PLACE: &str = "";
const PUBLIC_PART: &str = "ca.pem";

/// Certificate and key of the listeners.
#[derive(Debug)]
pub struct ServerIdentity {
    /// What a client is shown.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key, which is never on disk.
    pub key: PrivateKeyDer<'static>,
}

impl ServerIdentity {
    /// Makes a certificate for `127.0.0.1`, `::1` and `localhost`, signed by a CA whose key is forgotten at once, and writes
    /// the CA's certificate to `state/ca.pem` and `ca.pem`.
    ///
    /// # Errors
    /// [`RootError`] where the certificate cannot be made or one of these files cannot be written.
    pub fn create(root: &Root, now: WallTime) -> Result<Self, RootError> {
        let path = root.path().join(PLACE).join(PUBLIC_PART);
        let from = instant(now, &path)?;
        let failed = |error| not_made(&path, &error);
        let authority_key = KeyPair::generate().map_err(failed)?;
        let authority = authority("Castellan endpoint CA", from, SERVER_LIFE).map_err(failed)?;
        let public_part = authority.self_signed(&authority_key).map_err(failed)?.pem();
        let issuer = Issuer::new(authority, authority_key);

        let key = KeyPair::generate().map_err(failed)?;
        let mut params =
            leaf("Castellan endpoint", ExtendedKeyUsagePurpose::ServerAuth, from, SERVER_LIFE).map_err(failed)?;
        params.subject_alt_names = vec![
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
            SanType::DnsName("localhost".try_into().map_err(failed)?),
        ];
        let certificate = params.signed_by(&key, &issuer).map_err(failed)?;
        for place in [PLACE, PUBLIC_PLACE] {
            root.replace(place, PUBLIC_PART, public_part.as_bytes(), 0o644)?;
        }
        let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
        Ok(Self { chain: vec![certificate.der().clone()], key })
    }
}

fn not_made(path: &Path, error: &rcgen::Error) -> RootError {
    RootError::Invalid {
        path: path.to_owned(),
        what: format!("has no certificate, because none could be made: {error}."),
    }
}

/// `now` in rcgen's terms.
fn instant(now: WallTime, path: &Path) -> Result<OffsetDateTime, RootError> {
    OffsetDateTime::from_unix_timestamp(now.as_millis().div_euclid(1000)).map_err(|error| RootError::Invalid {
        path: PathBuf::from(path),
        what: format!("has no certificate, because the clock is off: {error}. Set the system's time."),
    })
}

fn params(name: &str, from: OffsetDateTime, life: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = from.saturating_sub(BACKDATED);
    params.not_after = from.saturating_add(life);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// A CA that issues leaves only.
fn authority(name: &str, from: OffsetDateTime, life: Duration) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(name, from, life)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn leaf(
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    from: OffsetDateTime,
    life: Duration,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = params(name, from, life)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}
