//! The files of a client of TLS, as settings name them.

use std::path::Path;
use std::sync::Arc;

use castellan_core::config::TlsFiles;
use castellan_fs::policy_source::{read_certificates, read_secret};
use castellan_https::client_tls;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Reads them; where they name no authorities, the system's count.
pub(crate) fn client(files: &TlsFiles) -> Result<Arc<rustls::ClientConfig>, String> {
    let TlsFiles { trusted_certificates, client_certificate, client_key } = files;
    let trusted = trusted_certificates.as_deref().map(certificates).transpose()?;
    let identity = match (client_certificate, client_key) {
        (Some(chain), Some(key)) => Some((certificates(chain)?, private_key(key)?)),
        _ => None,
    };
    client_tls(trusted, identity)
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read_certificates(Path::new(file)).map_err(|error| error.to_string())?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    found.map_err(|error| format!("{file} has no certificates in PEM: {error}"))
}

fn private_key(file: &str) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read_secret(Path::new(file)).map_err(|error| error.to_string())?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| format!("{file} has no private key in PEM: {error}"))
}
