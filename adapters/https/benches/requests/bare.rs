//! The bare program: hyper, smol and rustls on one thread, and nothing that decides anything.

use std::convert::Infallible;
use std::fs;
use std::net::TcpListener;
use std::process::ExitCode;
use std::rc::Rc;

use castellan_https::tls_config;
use futures_rustls::TlsAcceptor;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use smol::{Async, LocalExecutor};
use smol_hyper::rt::FuturesIo;

/// The first argument that makes the bench this program.
pub(crate) const VERB: &str = "bare";
/// As long as the agent's.
const BODY: &str = r#"{"status":"healthy","timestamp":"2026-11-22T11:00:00.000Z","version":"0.1.0"}"#;

/// Serves for ever; writes port and certificate into this folder.
pub(crate) fn serve(folder: &str) -> ExitCode {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let chain = vec![certificate.der().clone()];
    let tls = tls_config(chain, PrivateKeyDer::try_from(key.serialize_der()).unwrap(), None).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    fs::write(format!("{folder}/bare.pem"), certificate.pem()).unwrap();
    fs::write(format!("{folder}/bare.json"), format!("{{\"https\":{port}}}")).unwrap();
    let (listener, acceptor) = (Async::new(listener).unwrap(), TlsAcceptor::from(tls));
    let executor = Rc::new(LocalExecutor::new());
    smol::block_on(executor.run(async {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            executor
                .spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let ended =
                        http1::Builder::new().serve_connection(FuturesIo::new(stream), service_fn(answer)).await;
                    // A client that left.
                    drop(ended);
                })
                .detach();
        }
    }))
}

async fn answer(_: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, json);
    Ok(response)
}
