//! A small HTTPS and HTTP client: one request on one connection, everything bounded, no redirect followed. [`follow`] reads an
//! event stream.

mod event_stream;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_lite::future::or;
use futures_lite::{AsyncRead, AsyncWrite};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, Response};
use rustls::pki_types::ServerName;
use smol::Timer;
use smol::net::TcpStream;
use smol_hyper::rt::FuturesIo;

pub use event_stream::{EventStream, Followed, StreamEvent, follow};

/// Bytes of a response body; a longer one is an error instead of growing.
pub const RESPONSE_BYTES: usize = 8 << 20;
/// Header fields of a response.
const RESPONSE_HEADERS: usize = 100;

/// One request.
#[derive(Debug, Clone)]
pub struct ClientRequest {
    /// Method, upper case.
    pub method: String,
    /// Where to connect.
    pub address: SocketAddr,
    /// Host name or address without port: the certificate must be for it.
    pub host: String,
    /// Path and query, beginning with `/`.
    pub target: String,
    /// Header fields besides `Host` and those of framing.
    pub headers: Vec<(String, String)>,
    /// Body; none is sent where it is empty and the method has no meaning for one.
    pub body: Vec<u8>,
    /// TLS settings; plain HTTP where absent.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// For the whole exchange.
    pub timeout: Duration,
}

/// One response, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientResponse {
    /// Status code.
    pub status: u16,
    /// Header fields, names in lower case; a value that is not visible ASCII has its other bytes replaced.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Vec<u8>,
}

/// Why there is no response.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// The request cannot be sent as it stands: a bad method, target, host or header.
    Request(String),
    /// No connection.
    Connect(SocketAddr, io::Error),
    /// No TLS session: the certificate is not trusted, or the peer does not want ours.
    Tls(String, io::Error),
    /// The connection broke or the peer does not speak HTTP/1.
    Http(String),
    /// The body is longer than [`RESPONSE_BYTES`].
    TooLarge,
    /// The time is over.
    TimedOut(Duration),
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(what) => write!(formatter, "the request cannot be sent: {what}"),
            Self::Connect(address, error) => write!(formatter, "no connection to {address}: {error}"),
            Self::Tls(host, error) => write!(formatter, "no TLS session with {host}: {error}"),
            Self::Http(what) => write!(formatter, "the exchange failed: {what}"),
            Self::TooLarge => write!(formatter, "the response body is longer than {RESPONSE_BYTES} bytes"),
            Self::TimedOut(limit) => write!(formatter, "no complete response within {} ms", limit.as_millis()),
        }
    }
}

impl std::error::Error for ClientError {}

/// Sends a request and reads the whole response.
///
/// # Errors
/// [`ClientError`]; a response of any status is none.
pub async fn request(request: ClientRequest) -> Result<ClientResponse, ClientError> {
    let timeout = request.timeout;
    let deadline = async {
        Timer::after(timeout).await;
        Err(ClientError::TimedOut(timeout))
    };
    let exchange = async {
        let (response, drive) = send(request).await?;
        while_driven(whole(response), drive).await
    };
    or(exchange, deadline).await
}

/// Sends requests one after the other over one connection, that of the first and within its time, and reads the whole responses: what
/// a handshake costs is paid once.
///
/// # Errors
/// [`ClientError`], also where the server does not keep the connection; responses of any status are none.
pub async fn requests(requests: Vec<ClientRequest>) -> Result<Vec<ClientResponse>, ClientError> {
    let Some(first) = requests.first().cloned() else { return Ok(Vec::new()) };
    let timeout = first.timeout;
    let exchange = async {
        let (mut sender, drive) = open(first).await?;
        let in_turn = async {
            let mut responses = Vec::new();
            for request in &requests {
                let mut encoded = encode(request)?;
                encoded.headers_mut().remove(CONNECTION);
                sender.ready().await.map_err(http)?;
                responses.push(whole(sender.send_request(encoded).await.map_err(http)?).await?);
            }
            Ok(responses)
        };
        while_driven(in_turn, drive).await
    };
    let deadline = async {
        Timer::after(timeout).await;
        Err(ClientError::TimedOut(timeout))
    };
    or(exchange, deadline).await
}

/// Moves the bytes of a connection until it ends.
type Drive = Pin<Box<dyn Future<Output = Result<(), ClientError>> + Send>>;

/// A stream of either kind.
trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Duplex for S {}

/// `part`, or how the connection broke before. Its orderly end shows in the response.
async fn while_driven<T>(
    part: impl Future<Output = Result<T, ClientError>>,
    drive: impl Future<Output = Result<(), ClientError>>,
) -> Result<T, ClientError> {
    let broken = async {
        match drive.await {
            Ok(()) => std::future::pending().await,
            Err(error) => Err(error),
        }
    };
    or(part, broken).await
}

/// Sends a request; its response's head, and what moves the rest.
async fn send(request: ClientRequest) -> Result<(Response<Incoming>, Drive), ClientError> {
    let encoded = encode(&request)?;
    let (mut sender, mut drive) = open(request).await?;
    let head = async { sender.send_request(encoded).await.map_err(http) };
    let response = while_driven(head, drive.as_mut()).await?;
    Ok((response, drive))
}

/// A connection that takes requests, and what moves its bytes.
async fn open(request: ClientRequest) -> Result<(SendRequest<Full<Bytes>>, Drive), ClientError> {
    let stream = dial(request).await?;
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(RESPONSE_HEADERS)
        .handshake(FuturesIo::new(stream))
        .await
        .map_err(http)?;
    Ok((sender, Box::pin(async { connection.await.map_err(http) })))
}

fn http(error: hyper::Error) -> ClientError {
    ClientError::Http(error.to_string())
}

async fn dial(request: ClientRequest) -> Result<Box<dyn Duplex>, ClientError> {
    let stream =
        TcpStream::connect(request.address).await.map_err(|error| ClientError::Connect(request.address, error))?;
    // A request must not wait for the acknowledgement of the handshake's last flight.
    stream.set_nodelay(true).map_err(|error| ClientError::Connect(request.address, error))?;
    let Some(config) = request.tls else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(request.host.trim_matches(['[', ']']).to_owned())
        .map_err(|error| ClientError::Request(format!("host '{}': {error}", request.host)))?;
    let stream = futures_rustls::TlsConnector::from(config)
        .connect(name, stream)
        .await
        .map_err(|error| ClientError::Tls(request.host.clone(), error))?;
    Ok(Box::new(stream))
}

/// The request in hyper's form.
fn encode(request: &ClientRequest) -> Result<Request<Full<Bytes>>, ClientError> {
    let default_port = if request.tls.is_some() { 443 } else { 80 };
    let port = request.address.port();
    let host = if port == default_port { request.host.clone() } else { format!("{}:{port}", request.host) };
    let mut builder = Request::builder()
        .method(request.method.as_str())
        .uri(request.target.as_str())
        .header(HOST, host)
        .header(CONNECTION, "close");
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let body = Full::new(Bytes::from(request.body.clone()));
    builder.body(body).map_err(|error| ClientError::Request(error.to_string()))
}

/// The whole response.
async fn whole(response: Response<Incoming>) -> Result<ClientResponse, ClientError> {
    let (parts, body) = response.into_parts();
    let body = Limited::new(body, RESPONSE_BYTES).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { ClientError::TooLarge } else { ClientError::Http(error.to_string()) }
    })?;
    let text = |value: &hyper::header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = parts.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok(ClientResponse { status: parts.status.as_u16(), headers, body: body.to_bytes().to_vec() })
}
