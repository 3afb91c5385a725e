//! Client certificates, and that no connection inherits anything from another (security.md section 6, H15 and H17).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use castellan_https::certificate_sha256;
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};
use rustls::{ClientConnection, HandshakeKind, ProtocolVersion, StreamOwned};

use super::support::{Leaf, World, tcp};

const REQUEST: &[u8] = b"GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// The whole answer, or how the connection failed.
fn ask(stream: &mut StreamOwned<ClientConnection, TcpStream>) -> std::io::Result<String> {
    stream.write_all(REQUEST)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn ask_as(world: &World, identity: Leaf) -> std::io::Result<String> {
    ask(&mut world.tls_stream(Arc::new(world.client_config(Some(identity)))))
}

#[test]
fn a_certificate_of_the_admin_ca_reaches_the_agent_as_its_digest() {
    let world = World::echoing();
    let identity = world.admin.issue(ExtendedKeyUsagePurpose::ClientAuth, |_| {});
    let digest = certificate_sha256(&identity.0);
    assert!(ask_as(&world, identity).unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(world.https().ask(REQUEST).status, 200);
    let certificates: Vec<Option<String>> =
        world.requests().into_iter().map(|request| request.certificate.map(|facts| facts.sha256)).collect();
    assert_eq!(certificates, [Some(digest), None]);
}

#[test]
fn any_other_certificate_fails_the_handshake() {
    let world = World::echoing();
    let client = || ExtendedKeyUsagePurpose::ClientAuth;
    let cases = [
        ("foreign", world.authority.issue(client(), |_| {})),
        ("for servers", world.admin.issue(ExtendedKeyUsagePurpose::ServerAuth, |_| {})),
        ("expired", world.admin.issue(client(), |params| params.not_after = date_time_ymd(2020, 1, 1))),
        ("not yet valid", world.admin.issue(client(), |params| params.not_before = date_time_ymd(2999, 1, 1))),
    ];
    for (name, identity) in cases {
        let error = ask_as(&world, identity).expect_err(name);
        assert!(error.to_string().contains("alert"), "{name}: {error}");
    }
    assert!(world.requests().is_empty());
    // The client hears of it before the server has counted it.
    for _ in 0..4 {
        world.left.recv_blocking().unwrap();
    }
    assert_eq!(world.server.counters().handshakes_failed, 4);
}

#[test]
fn every_connection_has_a_full_handshake_in_both_versions() {
    let world = World::echoing();
    for (version, expected) in
        [(&rustls::version::TLS12, ProtocolVersion::TLSv1_2), (&rustls::version::TLS13, ProtocolVersion::TLSv1_3)]
    {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(world.authority.certificate.clone()).unwrap();
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Arc::new(config);
        for _ in 0..2 {
            let mut stream = world.tls_stream(Arc::clone(&config));
            assert!(ask(&mut stream).unwrap().starts_with("HTTP/1.1 200"));
            assert_eq!(stream.conn.protocol_version(), Some(expected));
            assert_eq!(stream.conn.handshake_kind(), Some(HandshakeKind::Full));
            assert_eq!(stream.conn.tls13_tickets_received(), 0);
        }
    }
}

#[test]
fn a_plain_client_on_the_https_port_gets_no_answer_from_the_agent() {
    let world = World::echoing();
    let mut stream = tcp(world.https);
    stream.write_all(REQUEST).unwrap();
    let mut answer = Vec::new();
    // An alert or a reset, both are an end.
    if stream.read_to_end(&mut answer).is_ok() {
        assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    }
    assert!(world.requests().is_empty());
}
