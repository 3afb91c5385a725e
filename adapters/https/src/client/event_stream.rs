//! Reads an event stream (WHATWG HTML 9.2): one event after the other, each wait with a deadline.

use std::time::Duration;

use futures_lite::future::or;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use smol::Timer;

use super::{ClientError, ClientRequest, ClientResponse, Drive, send, while_driven, whole};

/// Bytes of one line and of one event; longer ones are an error instead of growing.
const EVENT_BYTES: usize = 1 << 20;

/// What a request for an event stream led to.
#[derive(Debug)]
pub enum Followed {
    /// The stream.
    Open(EventStream),
    /// Any other response, whatever its status.
    Refused(ClientResponse),
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its kind; `message` where the server names none.
    pub kind: String,
    /// Its data; several lines are joined by a line feed.
    pub data: String,
}

/// An open event stream. Dropping it leaves.
pub struct EventStream {
    body: Incoming,
    drive: Drive,
    parser: Parser,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EventStream").field("parser", &self.parser).finish_non_exhaustive()
    }
}

/// Asks for an event stream; the request's `timeout` is for the head of the response.
///
/// # Errors
/// [`ClientError`]; a response of any status is none.
pub async fn follow(request: ClientRequest) -> Result<Followed, ClientError> {
    let timeout = request.timeout;
    let opened = async {
        let (response, mut drive) = send(request).await?;
        let kind = response.headers().get("content-type").map(hyper::header::HeaderValue::as_bytes);
        if response.status().is_success() && kind.is_some_and(|kind| kind.starts_with(b"text/event-stream")) {
            let body = response.into_body();
            return Ok(Followed::Open(EventStream { body, drive, parser: Parser::default() }));
        }
        while_driven(whole(response), drive.as_mut()).await.map(Followed::Refused)
    };
    or(opened, expired(timeout)).await
}

async fn expired<T>(limit: Duration) -> Result<T, ClientError> {
    Timer::after(limit).await;
    Err(ClientError::TimedOut(limit))
}

impl EventStream {
    /// The next event; `None` where the server ended the stream in order.
    ///
    /// # Errors
    /// [`ClientError`]: it broke, an event is longer than 1 MiB, or nothing came within `wait`, not even a sign of life.
    pub async fn next(&mut self, wait: Duration) -> Result<Option<StreamEvent>, ClientError> {
        loop {
            if let Some(event) = self.parser.next()? {
                return Ok(Some(event));
            }
            let frame = async {
                let frame = self.body.frame().await.transpose();
                frame.map_err(|error| ClientError::Http(error.to_string()))
            };
            let Some(frame) = or(while_driven(frame, self.drive.as_mut()), expired(wait)).await? else {
                return Ok(None);
            };
            self.parser.push(frame.data_ref().map_or(&[], |data| data.as_ref()));
        }
    }

    /// What to send as `Last-Event-ID` to go on where this stream ended.
    pub fn last_event_id(&self) -> Option<&str> {
        self.parser.last_event_id.as_deref()
    }
}

/// Bytes to events. Lines end in LF, as the agent writes them, or CR LF.
#[derive(Debug, Default)]
pub(super) struct Parser {
    bytes: Vec<u8>,
    /// Bytes that are known to have no line end.
    searched: usize,
    kind: String,
    data: String,
    id: Option<String>,
    last_event_id: Option<String>,
}

impl Parser {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete event of what was pushed.
    pub(super) fn next(&mut self) -> Result<Option<StreamEvent>, ClientError> {
        while let Some(line) = self.line()? {
            if line.is_empty() {
                self.last_event_id.clone_from(&self.id);
                let (kind, data) = (std::mem::take(&mut self.kind), std::mem::take(&mut self.data));
                if let Some(data) = data.strip_suffix('\n') {
                    let kind = if kind.is_empty() { String::from("message") } else { kind };
                    return Ok(Some(StreamEvent { kind, data: data.to_owned() }));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut self.kind),
                "data" => {
                    self.data.push_str(value);
                    self.data.push('\n');
                }
                "id" if !value.contains('\0') => self.id = Some(value.to_owned()),
                // A comment, `retry`, or a field that says nothing here.
                _ => {}
            }
            if self.data.len() > EVENT_BYTES {
                return Err(ClientError::TooLarge);
            }
        }
        Ok(None)
    }

    /// The next whole line.
    fn line(&mut self) -> Result<Option<String>, ClientError> {
        let rest = self.bytes.get(self.searched..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.searched = self.bytes.len();
            return if self.searched > EVENT_BYTES { Err(ClientError::TooLarge) } else { Ok(None) };
        };
        let end = self.searched.saturating_add(end);
        let mut line: Vec<u8> = self.bytes.drain(..=end).collect();
        self.searched = 0;
        line.pop();
        line.pop_if(|byte| *byte == b'\r');
        Ok(Some(String::from_utf8_lossy(&line).into_owned()))
    }
}
