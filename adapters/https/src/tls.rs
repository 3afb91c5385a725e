//! TLS settings of all listeners (security.md section 6, "TLS", "client certificates", "resumption identity") and of clients of others.

use std::sync::Arc;

use castellan_core::hexadecimal;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

/// Settings for TLS 1.2 and 1.3 with ring: no tickets, no session storage, no early data, so that every connection proves
/// anew who it is. With `client_ca` a client may present a certificate; one that the CA did not issue, or that is expired
/// or not for client authentication, fails the handshake. Without it none is asked for.
///
/// # Errors
/// [`rustls::Error`] where certificate and key do not belong together or the CA certificate cannot be read.
pub fn tls_config(
    certificate_chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    client_ca: Option<CertificateDer<'static>>,
) -> Result<Arc<rustls::ServerConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority)?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| rustls::Error::General(format!("the client CA cannot be used: {error}")))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(certificate_chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}

/// Settings of a client for TLS 1.2 and 1.3 with ring: whom it trusts (the system's roots where nothing is given), and what it shows.
///
/// # Errors
/// A sentence: there is no certificate to trust, or certificate and key do not belong together.
pub fn client_tls(
    trusted: Option<Vec<CertificateDer<'static>>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<Arc<rustls::ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    match trusted {
        None => add_system_roots(&mut roots)?,
        Some(trusted) => {
            for certificate in trusted {
                roots.add(certificate).map_err(|error| format!("a certificate to trust cannot be used: {error}"))?;
            }
            if roots.is_empty() {
                return Err(String::from("there is no certificate to trust"));
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| format!("TLS is not available: {error}"))?.with_root_certificates(roots);
    Ok(Arc::new(match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| format!("the client certificate cannot be used: {error}"))?,
    }))
}

fn add_system_roots(roots: &mut RootCertStore) -> Result<(), String> {
    let found = rustls_native_certs::load_native_certs();
    let (added, refused) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let errors: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let errors = if errors.is_empty() { String::from("none was found") } else { errors.join("; ") };
        return Err(format!("the system has no trusted certificates ({errors}); install its package ca-certificates"));
    }
    if refused > 0 || !found.errors.is_empty() {
        log::info!("{refused} of the system's certificates were not understood; errors: {:?}", found.errors);
    }
    Ok(())
}

/// Lower-case hex SHA-256 of a whole DER certificate, as [`castellan_core::api::CertificateFacts`] carries it.
pub fn certificate_sha256(certificate: &[u8]) -> String {
    hexadecimal(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref())
}
