//! The admin CA: `state/admin/{ca.pem,ca.key,client.pem,client.key,issued.json}`.
//!
//! `issued.json` is the list of what was issued: the core holds it against every request, so a certificate that is marked as
//! revoked there, or whose line is taken out, counts no more. It is written before the certificate it names, so a crash never
//! leaves one that does not count. The agent's own is not made anew once it was revoked: a restart does not undo that.

use castellan_core::certificate::{
    AdminCertificate, CertificateChange, CertificatesChanged, DEFAULT_DAYS, NotChanged, OWN_NAME, Revocation,
};
use castellan_core::time::WallTime;
use rcgen::{
    Certificate, CertificateParams, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, Issuer, KeyPair,
    PublicKeyData,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use time::Duration;

use super::{authority, instant, leaf, not_made};
use crate::digest::sha256;
use crate::error::RootError;
use crate::files::Privacy;
use crate::root::Root;

const PLACE: &str = "state/admin";
const CA: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const CLIENT: &str = "client.pem";
const CLIENT_KEY: &str = "client.key";
const ISSUED: &str = "issued.json";
/// The CA's subject: what a certificate names as its issuer.
const CA_NAME: &str = "Castellan admin CA";
const CA_LIFE: Duration = Duration::days(3650);
/// Bytes of one file: some thousand issued certificates, and far more than a certificate or key.
const FILE_BYTES: usize = 1 << 20;
const MODE: u32 = 0o600;

/// The admin CA as it stands on disk.
#[derive(Debug, Clone)]
pub struct AdminAuthority {
    /// What client certificates are verified against.
    pub ca: CertificateDer<'static>,
    /// Every certificate on the list, also those that count no more.
    pub issued: Vec<AdminCertificate>,
    /// What an administrator should know, such as a client certificate that cannot be renewed.
    pub notices: Vec<String>,
}

/// What is on disk.
struct Files {
    ca: Option<Vec<u8>>,
    ca_key: Option<KeyPair>,
    client: Option<Vec<u8>>,
    issued: Vec<AdminCertificate>,
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
        if files.ca_key.is_some() {
            match client_is_due(root, &files, now)? {
                Due::Yes => {
                    renew(root, &mut files, now)?;
                }
                Due::No => {}
                Due::Never(notice) => notices.push(notice),
            }
        } else {
            notices.push(no_key(root));
        }
        Ok(Self { ca, issued: files.issued, notices })
    }

    /// Changes the list as the core decided, durably, and makes the certificate that belongs to the change. Whoever calls it holds the
    /// root's lock by having it open.
    ///
    /// # Errors
    /// [`NotChanged`]; then the list on disk is as it was.
    pub fn change(root: &Root, change: &CertificateChange, now: WallTime) -> Result<CertificatesChanged, NotChanged> {
        let failed = |error: RootError| NotChanged::Failed(error.to_string());
        let mut files = Files::read(root).map_err(failed)?;
        let issued = match change {
            CertificateChange::Issue { name, days, request } => {
                let request = CertificateSigningRequestParams::from_pem(request).map_err(|error| {
                    NotChanged::Request(format!("The certificate signing request is none: {error}."))
                })?;
                let issued = sign(root, &files, name, *days, &request.public_key, now).map_err(failed)?;
                remember(root, &mut files.issued, issued.0.clone(), now).map_err(failed)?;
                Some((issued.0, issued.1.pem()))
            }
            CertificateChange::Revoke { sha256, by } => {
                for one in files.issued.iter_mut().filter(|one| sha256.contains(&one.sha256)) {
                    one.revoked.get_or_insert_with(|| Revocation { at: now, by: by.clone() });
                }
                write_list(root, &files.issued).map_err(failed)?;
                None
            }
            CertificateChange::Renew => match client_is_due(root, &files, now).map_err(failed)? {
                Due::Yes => Some(renew(root, &mut files, now).map_err(failed)?),
                Due::No => None,
                Due::Never(why) => return Err(NotChanged::Failed(why)),
            },
        };
        Ok(CertificatesChanged { list: files.issued, issued })
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
        Some(issued) if issued.revoked.is_none() && (key.is_none() || now >= issued.renewal()) => Due::Yes,
        Some(issued) if issued.revoked.is_none() => Due::No,
        Some(_) | None => Due::Never(format!(
            "{} is revoked in {ISSUED} or not there at all; it counts for nothing. Remove it to have a new one made at the next \
             start.",
            path.display()
        )),
    })
}

/// Makes the agent's own client certificate: the list first, then key and certificate. The former one counts until its end.
fn renew(root: &Root, files: &mut Files, now: WallTime) -> Result<(AdminCertificate, String), RootError> {
    let path = root.path().join(PLACE).join(CLIENT);
    let key = KeyPair::generate().map_err(|error| not_made(&path, &error))?;
    let (issued, made) = sign(root, files, OWN_NAME, DEFAULT_DAYS, &key, now)?;
    remember(root, &mut files.issued, issued.clone(), now)?;
    root.replace(PLACE, CLIENT_KEY, key.serialize_pem().as_bytes(), MODE)?;
    root.replace(PLACE, CLIENT, made.pem().as_bytes(), MODE)?;
    Ok((issued, made.pem()))
}

/// A client certificate for a key; of a signing request nothing else is taken.
fn sign(
    root: &Root,
    files: &Files,
    name: &str,
    days: u16,
    key: &impl PublicKeyData,
    now: WallTime,
) -> Result<(AdminCertificate, Certificate), RootError> {
    let path = root.path().join(PLACE).join(CA);
    let failed = |error| not_made(&path, &error);
    let ca_key = files.ca_key.as_ref().ok_or_else(|| RootError::Invalid { path: path.clone(), what: no_key(root) })?;
    let issuer = Issuer::new(ca_params(now, &path)?, ca_key);
    let from = instant(now, &path)?;
    let life = Duration::days(i64::from(days));
    let params = leaf(name, ExtendedKeyUsagePurpose::ClientAuth, from, life).map_err(failed)?;
    let made = params.signed_by(key, &issuer).map_err(failed)?;
    let wall = |at: time::OffsetDateTime| WallTime::from_millis(at.unix_timestamp().saturating_mul(1000));
    let issued = AdminCertificate {
        sha256: sha256(made.der()),
        name: name.to_owned(),
        not_before: wall(params.not_before),
        not_after: wall(params.not_after),
        revoked: None,
    };
    Ok((issued, made))
}

/// Adds one to the list and takes out those that are long over. The one in `client.pem` stays for as long, so that it is known
/// until it is replaced.
fn remember(
    root: &Root,
    list: &mut Vec<AdminCertificate>,
    issued: AdminCertificate,
    now: WallTime,
) -> Result<(), RootError> {
    list.retain(|one| !one.is_forgotten(now));
    list.push(issued);
    write_list(root, list)
}

fn write_list(root: &Root, list: &[AdminCertificate]) -> Result<(), RootError> {
    let text = serde_json::to_string_pretty(list).map_err(|error| invalid(root, ISSUED, &error.to_string()))?;
    root.replace(PLACE, ISSUED, format!("{text}\n").as_bytes(), MODE)
}

fn no_key(root: &Root) -> String {
    let folder = root.path().join(PLACE);
    format!("{} has no {CA_KEY}: no client certificate can be made or renewed.", folder.display())
}
