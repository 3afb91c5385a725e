//! Every bound of the servers, each with its reason (contract section 2, security.md section 6).

use std::time::Duration;

/// Open connections of one listener; one more makes room by closing the oldest that has no request in progress.
pub(crate) const CONNECTIONS: usize = 256;
/// Of these, connections of one user other than root; one more makes room by closing that user's own, so that nobody else's is closed
/// for it (security.md section 6).
pub(crate) const CONNECTIONS_PER_USER: usize = 32;
/// For the TLS handshake.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(5);
/// For a whole request head; as it also runs while a kept-alive connection is idle, it bounds that as well.
pub(crate) const HEAD: Duration = Duration::from_secs(5);
/// For a whole body.
pub(crate) const BODY: Duration = Duration::from_secs(10);
/// Chunks that wait for the client of an open response; one more ends it. Some seconds of a busy agent.
pub(crate) const STREAM_QUEUE: usize = 256;
/// Without progress in writing: a client that does not read its response must not keep it.
pub(crate) const STALL: Duration = Duration::from_secs(10);
/// The API lets a caller wait 3600 s for a run (`timeoutSeconds`); a little more, so that the core's own answer comes first.
pub(crate) const ANSWER: Duration = Duration::from_secs(3600 + 30);
/// How long running responses may take to finish once the server closes.
pub(crate) const CLOSE: Duration = Duration::from_secs(3);
/// How long a closed connection is still read and discarded, so that a client which is still sending can read the answer
/// before the kernel resets the connection (RFC 9112 section 9.6).
pub(crate) const LINGER: Duration = Duration::from_secs(1);
/// How many bytes are discarded that way: many times the largest body, since most clients read no answer before they have sent it all.
pub(crate) const LINGER_BYTES: usize = 32 << 20;
/// After a failed `accept` (descriptors used up): long enough not to spin, short enough not to be noticed.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Header fields of a request.
pub(crate) const HEADERS: usize = 64;
/// Bytes of a request head.
pub(crate) const HEAD_BYTES: usize = 16 << 10;
/// Bytes seen but not yet accounted for on one connection: one head and what hyper reads ahead of it.
pub(crate) const SEEN_BYTES: usize = 4 * HEAD_BYTES;
