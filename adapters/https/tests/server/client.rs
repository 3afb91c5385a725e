//! The client against the server of this crate and against a peer that misbehaves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use castellan_https::client::{ClientError, ClientRequest, RESPONSE_BYTES, request};
use rcgen::ExtendedKeyUsagePurpose;

use super::support::{World, text};

fn plain(address: SocketAddr) -> ClientRequest {
    ClientRequest {
        method: "GET".to_owned(),
        address,
        host: "127.0.0.1".to_owned(),
        target: "/x?y=z".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
        tls: None,
        timeout: Duration::from_secs(20),
    }
}

/// A peer that answers one connection with these bytes and closes it.
fn peer(answer: Vec<u8>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).unwrap() > 0);
        // The client may leave in the middle: that is what some tests are about.
        if stream.write_all(&answer).is_ok() {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
    });
    (address, thread)
}

#[test]
fn a_request_with_client_certificate_body_and_headers() {
    let world = World::echoing();
    let identity = world.admin.issue(ExtendedKeyUsagePurpose::ClientAuth, |_| {});
    let response = smol::block_on(request(ClientRequest {
        method: "PUT".to_owned(),
        headers: vec![("X-Test".to_owned(), "1".to_owned())],
        body: b"{}".to_vec(),
        tls: Some(Arc::new(world.client_config(Some(identity)))),
        ..plain(world.https)
    }))
    .unwrap();
    assert_eq!((response.status, response.body), (200, b"PUT /x?y=z [{}]".to_vec()));
    let seen = world.requests().remove(0);
    assert!(seen.certificate.is_some());
    assert!(seen.headers.contains(&("host".to_owned(), format!("127.0.0.1:{}", world.https.port()))));
    assert!(seen.headers.contains(&("x-test".to_owned(), "1".to_owned())));
}

#[test]
fn a_redirect_is_an_answer_like_any_other() {
    let world = World::new(Some(Box::new(|_| {
        let mut answer = text(308, "");
        answer.headers.push(("location".to_owned(), "/elsewhere".to_owned()));
        Some(answer)
    })));
    let response = smol::block_on(request(plain(world.http))).unwrap();
    assert_eq!(response.status, 308);
    assert_eq!(world.requests().len(), 1);
}

#[test]
fn a_server_of_an_unknown_ca_is_refused() {
    let (world, other) = (World::echoing(), World::echoing());
    let tls = Some(Arc::new(other.client_config(None)));
    let result = smol::block_on(request(ClientRequest { tls, ..plain(world.https) }));
    assert!(matches!(result, Err(ClientError::Tls(..))), "{result:?}");
}

#[test]
fn a_body_too_long_silence_and_nonsense_are_errors() {
    let mut long = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    long.resize(long.len() + RESPONSE_BYTES + 1, b'x');
    let (address, thread) = peer(long);
    let result = smol::block_on(request(plain(address)));
    assert!(matches!(result, Err(ClientError::TooLarge)), "{result:?}");
    thread.join().unwrap();

    let (address, thread) = peer(b"SSH-2.0-x\r\n".to_vec());
    let result = smol::block_on(request(plain(address)));
    assert!(matches!(result, Err(ClientError::Http(_))), "{result:?}");
    thread.join().unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = plain(listener.local_addr().unwrap());
    let result = smol::block_on(request(ClientRequest { timeout: Duration::from_millis(50), ..silent.clone() }));
    assert!(matches!(result, Err(ClientError::TimedOut(_))), "{result:?}");
    drop(listener);

    let result = smol::block_on(request(silent.clone()));
    assert!(matches!(result, Err(ClientError::Connect(..))), "{result:?}");
    let split = ClientRequest { headers: vec![("X".to_owned(), "a\r\nb".to_owned())], ..silent };
    let result = smol::block_on(request(split));
    assert!(matches!(result, Err(ClientError::Request(_))), "{result:?}");
}
