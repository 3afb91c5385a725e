//! TLS settings of all listeners (security.md section 6, "TLS", "client certificates", "resumption identity").

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

/// Lower-case hex SHA-256 of a whole DER certificate, as [`castellan_core::api::CertificateFacts`] carries it.
pub fn certificate_sha256(certificate: &[u8]) -> String {
    hexadecimal(ring::digest::digest(&ring::digest::SHA256, certificate).as_ref())
}
