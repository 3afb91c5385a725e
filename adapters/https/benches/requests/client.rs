//! Clients on connections that stay open, one request after the other on each.

use std::cell::Cell;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_lite::{AsyncReadExt, AsyncWriteExt};
use futures_rustls::TlsConnector;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use smol::{Async, LocalExecutor};

/// Whom to ask.
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
}

/// What one round came to.
pub(crate) struct Load {
    took: Duration,
    times: Vec<Duration>,
    pub(crate) refused: usize,
}

impl Load {
    /// Accepted requests in a second.
    pub(crate) fn rate(&self) -> f64 {
        let accepted = self.times.len() - self.refused;
        f64::from(u32::try_from(accepted).unwrap()) / self.took.as_secs_f64()
    }

    pub(crate) fn percentile(&self, part: usize) -> Duration {
        self.times[(self.times.len() * part / 100).min(self.times.len() - 1)]
    }
}

/// Asks over so many connections for so long.
pub(crate) fn load(target: &Target, method: &str, path: &str, connections: usize, long: Duration) -> Load {
    let executor = LocalExecutor::new();
    let request = request(target, method, path);
    let ready = Rc::new(Cell::new(0));
    let one = |request: Vec<u8>, ready: Rc<Cell<usize>>| async move {
        let stream = Async::<TcpStream>::connect(target.address).await.unwrap();
        stream.get_ref().set_nodelay(true).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut stream = TlsConnector::from(Arc::clone(&target.tls)).connect(name, stream).await.unwrap();
        // One before the clock runs: the handshake's last flight is read with it.
        let mut buffer = vec![0; 256 << 10];
        exchange(&mut stream, &request, &mut buffer).await;
        ready.set(ready.get() + 1);
        while ready.get() < connections {
            smol::future::yield_now().await;
        }
        let (mut times, mut refused) = (Vec::new(), 0);
        let end = Instant::now() + long;
        while Instant::now() < end {
            let began = Instant::now();
            refused += usize::from(!exchange(&mut stream, &request, &mut buffer).await);
            times.push(began.elapsed());
        }
        (times, refused)
    };
    let tasks: Vec<_> = (0..connections).map(|_| executor.spawn(one(request.clone(), Rc::clone(&ready)))).collect();
    smol::block_on(executor.run(async {
        let (mut times, mut refused) = (Vec::new(), 0);
        for task in tasks {
            let (own, no) = task.await;
            times.extend(own);
            refused += no;
        }
        times.sort();
        Load { took: long, times, refused }
    }))
}

fn request(target: &Target, method: &str, path: &str) -> Vec<u8> {
    let length = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{length}\r\n", target.address).into_bytes()
}

/// Sends a request and reads its whole answer; whether it was accepted.
async fn exchange<S>(stream: &mut S, request: &[u8], buffer: &mut [u8]) -> bool
where
    S: futures_lite::AsyncRead + futures_lite::AsyncWrite + Unpin,
{
    stream.write_all(request).await.unwrap();
    stream.flush().await.unwrap();
    let (mut filled, mut whole) = (0, None);
    while whole.is_none_or(|whole| filled < whole) {
        let read = stream.read(&mut buffer[filled..]).await.unwrap();
        assert!(read > 0, "the connection was closed after {}", String::from_utf8_lossy(&buffer[..filled]));
        filled += read;
        if whole.is_none() {
            whole = length(&buffer[..filled]);
        }
    }
    let accepted = buffer.starts_with(b"HTTP/1.1 2");
    assert!(
        accepted || buffer.starts_with(b"HTTP/1.1 503") || buffer.starts_with(b"HTTP/1.1 409"),
        "{}",
        String::from_utf8_lossy(&buffer[..filled])
    );
    accepted
}

/// Bytes of head and body, once the head is there.
fn length(answer: &[u8]) -> Option<usize> {
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&answer[..head]).unwrap();
    let field = text.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    Some(head + field.trim().parse::<usize>().unwrap())
}
