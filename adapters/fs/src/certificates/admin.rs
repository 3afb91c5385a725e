//! The admin CA: `state/admin/{ca.pem,ca.key,client.pem,client.key,issued.json}`.
//!
//! `issued.json` is the list of certificates that count: the core holds it against every request, so taking a line out
//! revokes a certificate. It is written before the certificate it names, so a crash never leaves one that does not count.
//! A client certificate that is not on the list stays as it is: a restart does not undo a revocation.

use std::collections::BTreeMap;

use castellan_core::hexadecimal;
use castellan_core::time::WallTime;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::{Deserialize, Serialize};
use time::Duration;

use super::{authority, instant, leaf, not_made};
use crate::error::RootError;
use crate::files::Privacy;
use crate::root::Root;

const PLACE: &str = "state/admin";
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const CLIENT: &str = "client.pem";
const CLIENT_KEY: &str = "client.key";
const ISSUED: &str = "issued.json";
/// The name of the certificate that the agent itself makes.
const OWN_CLIENT: &str = "client";
/// The CA's subject: what a certificate names as its issuer.
const CA_NAME: &str = "Castellan admin CA";
const CA_LIFE: Duration = Duration::days(3650);
const CLIENT_LIFE: Duration = Duration::days(90);
/// Bytes of one file: some thousand issued certificates, and far more than a certificate or key.
const FILE_BYTES: usize = 1 << 20;
const MODE: u32 = 0o600;

/// A client certificate that counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuedCertificate {
    /// Lower-case hex SHA-256 of the whole DER certificate.
    pub sha256: String,
    /// For whom or what it was made.
    pub name: String,
    /// RFC 3339, UTC.
    pub not_before: String,
    /// RFC 3339, UTC.
    pub not_after: String,
}

impl IssuedCertificate {
    /// Whether it is over. An instant that cannot be read is long over.
    fn is_expired(&self, now: WallTime) -> bool {
        WallTime::parse_rfc3339(&self.not_after).is_none_or(|end| end < now)
    }

    /// Whether two thirds of its life are over.
    fn is_old(&self, now: WallTime) -> bool {
        let ends = WallTime::parse_rfc3339(&self.not_before).zip(WallTime::parse_rfc3339(&self.not_after));
        let Some((start, end)) = ends.map(|(start, end)| (start.as_millis(), end.as_millis())) else { return true };
        let third = end.saturating_sub(start).checked_div(3).unwrap_or(0);
        now.as_millis() >= end.saturating_sub(third)
    }
}

/// The admin CA as it stands on disk.
#[derive(Debug, Clone)]
pub struct AdminAuthority {
    /// What client certificates are verified against.
    pub ca: CertificateDer<'static>,
    /// The certificates that count, those that are over left out.
    pub issued: Vec<IssuedCertificate>,
    /// What an administrator should know, such as a client certificate that cannot be renewed.
    pub notices: Vec<String>,
}

/// What is on disk.
struct Files {
    ca: Option<Vec<u8>>,
    ca_key: Option<KeyPair>,
    client: Option<Vec<u8>>,
    issued: Vec<IssuedCertificate>,
}

impl AdminAuthority {
    /// Reads the CA, makes it at the first start, and renews the agent's own client certificate once two thirds of its life
    /// are over.
    ///
    /// # Errors
    /// [`RootError`] where a file is not the agent's own, may be read by others, or does not fit the others.
    pub fn open(root: &Root, now: WallTime) -> Result<Self, RootError> {
        let mut files = Files::read(root)?;
        let ca = ca_certificate(root, &mut files, now)?;
        let mut notices = Vec::new();
        if let Some(key) = files.ca_key.take() {
            match client_is_due(root, &files, now)? {
                Due::Yes => files.issued.push(issue(root, key, &files.issued, now)?),
                Due::No => {}
                Due::Never(notice) => notices.push(notice),
            }
        } else {
            let folder = root.path().join(PLACE);
            notices
                .push(format!("{} has no {CA_KEY}: no client certificate can be made or renewed.", folder.display()));
        }
        files.issued.retain(|issued| !issued.is_expired(now));
        Ok(Self { ca, issued: files.issued, notices })
    }

    /// The names of the certificates that count, by the lower-case hex SHA-256 of each.
    pub fn names(&self) -> BTreeMap<String, String> {
        self.issued.iter().map(|issued| (issued.sha256.clone(), issued.name.clone())).collect()
    }

    /// Whether the certificate with this lower-case hex SHA-256 counts.
    pub fn is_issued(&self, sha256: &str) -> bool {
        self.issued.iter().any(|issued| issued.sha256 == sha256)
    }
}

impl Files {
    fn read(root: &Root) -> Result<Self, RootError> {
        let read = |name| root.read(PLACE, name, FILE_BYTES, Privacy::Secret);
        let ca_key = match read(CA_KEY)? {
            None => None,
            Some(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| invalid(root, CA_KEY, "is not PEM"))?;
                let key = KeyPair::from_pem(&text).map_err(|_| invalid(root, CA_KEY, "is not a private key in PEM"))?;
                Some(key)
            }
        };
        let issued = match read(ISSUED)? {
            None => Vec::new(),
            Some(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| invalid(root, ISSUED, &format!("is not a list of certificates ({error})")))?,
        };
        Ok(Self { ca: read(CA)?, ca_key, client: read(CLIENT)?, issued })
    }
}

fn invalid(root: &Root, name: &str, what: &str) -> RootError {
    let what = format!("{what}. Put back what was there, or move the folder away to begin with a new admin CA.");
    RootError::Invalid { path: root.path().join(PLACE).join(name), what }
}

fn certificate(root: &Root, name: &str, pem: &[u8]) -> Result<CertificateDer<'static>, RootError> {
    CertificateDer::from_pem_slice(pem).map_err(|_| invalid(root, name, "is not a certificate in PEM"))
}

/// The CA's certificate, made from its key where it is missing, and both where neither is there.
fn ca_certificate(root: &Root, files: &mut Files, now: WallTime) -> Result<CertificateDer<'static>, RootError> {
    let path = root.path().join(PLACE).join(CA);
    let failed = |error| not_made(&path, &error);
    if let Some(pem) = &files.ca {
        let ca = certificate(root, CA, pem)?;
        let fits = |key: &KeyPair| {
            let public = key.public_key_raw();
            ca.as_ref().windows(public.len()).any(|window| window == public)
        };
        return match &files.ca_key {
            Some(key) if !fits(key) => Err(invalid(root, CA, "does not belong to ca.key")),
            _ => Ok(ca),
        };
    }
    let key = match files.ca_key.take() {
        Some(key) => key,
        None => {
            let key = KeyPair::generate().map_err(failed)?;
            root.replace(PLACE, CA_KEY, key.serialize_pem().as_bytes(), MODE)?;
            key
        }
    };
    let params = ca_params(now, &path).and_then(|params| params.self_signed(&key).map_err(failed))?;
    root.replace(PLACE, CA, params.pem().as_bytes(), MODE)?;
    files.ca_key = Some(key);
    Ok(params.der().clone())
}

fn ca_params(now: WallTime, path: &std::path::Path) -> Result<CertificateParams, RootError> {
    authority(CA_NAME, instant(now, path)?, CA_LIFE).map_err(|error| not_made(path, &error))
}

enum Due {
    Yes,
    No,
    Never(String),
}

/// Whether the agent's own client certificate is to be made.
fn client_is_due(root: &Root, files: &Files, now: WallTime) -> Result<Due, RootError> {
    let path = root.path().join(PLACE).join(CLIENT);
    let Some(pem) = &files.client else {
        return Ok(Due::Yes);
    };
    let key = root.read(PLACE, CLIENT_KEY, FILE_BYTES, Privacy::Secret)?;
    let sha256 = sha256(&certificate(root, CLIENT, pem)?);
    let issued = files.issued.iter().find(|issued| issued.sha256 == sha256);
    Ok(match issued {
        Some(issued) if key.is_none() || issued.is_old(now) => Due::Yes,
        Some(_) => Due::No,
        None => Due::Never(format!(
            "{} is not in {ISSUED}, so it was revoked or is not the agent's; it counts for nothing. Remove it to have a \
             new one made at the next start.",
            path.display()
        )),
    })
}

/// Makes the agent's own client certificate: the list first, then key and certificate. Others that are over stay on the
/// list for as long again, so that the certificate in `client.pem` is on it until it is replaced.
fn issue(
    root: &Root,
    ca_key: KeyPair,
    others: &[IssuedCertificate],
    now: WallTime,
) -> Result<IssuedCertificate, RootError> {
    let path = root.path().join(PLACE).join(CLIENT);
    let failed = |error| not_made(&path, &error);
    let from = instant(now, &path)?;
    let issuer = Issuer::new(ca_params(now, &path)?, ca_key);
    let key = KeyPair::generate().map_err(failed)?;
    let params =
        leaf("Castellan administrator", ExtendedKeyUsagePurpose::ClientAuth, from, CLIENT_LIFE).map_err(failed)?;
    let made = params.signed_by(&key, &issuer).map_err(failed)?;
    let text = |instant: time::OffsetDateTime| {
        WallTime::from_millis(instant.unix_timestamp().saturating_mul(1000)).to_rfc3339()
    };
    let issued = IssuedCertificate {
        sha256: sha256(made.der()),
        name: String::from(OWN_CLIENT),
        not_before: text(params.not_before),
        not_after: text(params.not_after),
    };
    let life = i64::try_from(CLIENT_LIFE.whole_milliseconds()).unwrap_or(i64::MAX);
    let long_ago = WallTime::from_millis(now.as_millis().saturating_sub(life));
    let kept = others.iter().filter(|other| !other.is_expired(long_ago));
    let list: Vec<&IssuedCertificate> = kept.chain([&issued]).collect();
    let list = serde_json::to_string_pretty(&list).map_err(|error| invalid(root, ISSUED, &error.to_string()))?;
    root.replace(PLACE, ISSUED, format!("{list}\n").as_bytes(), MODE)?;
    root.replace(PLACE, CLIENT_KEY, key.serialize_pem().as_bytes(), MODE)?;
    root.replace(PLACE, CLIENT, made.pem().as_bytes(), MODE)?;
    Ok(issued)
}

fn sha256(certificate: &CertificateDer<'_>) -> String {
    hexadecimal(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref())
}
