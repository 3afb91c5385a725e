//! What a user's `castellan` and the request socket say to each other: frames of JSON behind their length (4 bytes, little endian).
//!
//! The first frame is an [`Ask`], with four descriptors beside its first byte (`SCM_RIGHTS`): standard input, output and error, and the
//! working folder. One request a connection; the last frame to the caller is [`ToCaller::Ended`] or [`ToCaller::Denied`]. Who asks about
//! what is his own says so in the first frame ([`AskOwn`], without descriptors), and the answer to it is the only one.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use async_io::{Async, Timer};
use castellan_core::elevation::{Own, OwnWish};
use castellan_core::event::{ExitStatus, RelayedSignal};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};
use smol::future::FutureExt;

/// The version of this language; another one is refused with a sentence.
pub const VERSION: u32 = 1;
/// Bytes of a frame: a command line of 128 KiB, which is what the kernel takes as one argument, escaped.
pub const FRAME_BYTES: usize = 256 << 10;
/// Descriptors beside the first frame.
pub const DESCRIPTORS: usize = 4;
/// From the first byte of a frame to its last: it is sent in one piece.
const FRAME_TIME: Duration = Duration::from_secs(5);

/// The first frame: what is asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// [`VERSION`].
    pub version: u32,
    /// The command and its arguments.
    pub words: Vec<String>,
    /// Whether standard input is a terminal that becomes the program's controlling one.
    pub terminal: bool,
    /// Variables of the caller's environment that the program may get.
    pub environment: Vec<(String, String)>,
    /// A justification in advance.
    pub reason: Option<String>,
    /// A code of a second factor in advance.
    pub code: Option<String>,
}

/// The other first frame: what is asked about the caller's own requests and grants.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskOwn {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked.
    pub own: Wish,
}

/// What a caller may ask about his own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Wish {
    /// To see it.
    List,
    /// To withdraw this request.
    Withdraw(String),
    /// To give up this grant; all, where none is named.
    Drop(Option<String>),
}

/// The version and the kind alone, whatever else a frame of another version holds.
#[derive(Debug, Deserialize)]
pub(crate) struct Spoken {
    pub(crate) version: u32,
    #[serde(default)]
    pub(crate) own: Option<IgnoredAny>,
}

/// Further frames of the caller.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum FromCaller {
    /// Answers a prompt.
    Reply {
        /// Which.
        prompt: u32,
        /// What was typed; `None` where nobody answers.
        text: Option<String>,
    },
    /// For the program that runs.
    Signal(Signal),
}

/// A signal that a caller may pass on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Signal {
    /// SIGHUP.
    Hangup,
    /// SIGINT.
    Interrupt,
    /// SIGQUIT.
    Quit,
    /// SIGTERM.
    Terminate,
    /// SIGUSR1.
    User1,
    /// SIGUSR2.
    User2,
    /// SIGTSTP.
    Suspend,
    /// SIGCONT.
    Continue,
}

/// Frames to the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum ToCaller {
    /// A line for standard error.
    Tell {
        /// Without its end.
        text: String,
    },
    /// A question.
    Prompt {
        /// Its number.
        prompt: u32,
        /// What to show.
        text: String,
        /// Whether what is typed stays hidden.
        secret: bool,
        /// Seconds after which nobody waits for the answer any more.
        seconds: u64,
    },
    /// The program is being started: what is typed belongs to it from here on.
    Launching,
    /// The program was stopped by this signal: the caller stops, too, and says [`Signal::Continue`] once he goes on.
    Stopped(i32),
    /// The program ended.
    Ended(Ended),
    /// What is the caller's own.
    Own(Box<Own>),
    /// The request is withdrawn, or these grants are given up.
    GaveUp(Vec<String>),
    /// There is no such thing of the caller's own.
    NotFound {
        /// What is not there.
        what: String,
        /// Why.
        why: String,
        /// What shows what is there.
        fix: String,
    },
    /// Nothing runs, or what came of it is not known.
    Denied {
        /// The request, where it became one.
        request: Option<String>,
        /// What was decided.
        what: String,
        /// Why.
        why: String,
        /// How to get another outcome.
        fix: String,
    },
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Ended {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
    /// The kernel killed it, as its memory was used up.
    OutOfMemory,
}

impl From<ExitStatus> for Ended {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Code(code) => Self::Code(code),
            ExitStatus::Signal(signal) => Self::Signal(signal),
            ExitStatus::OutOfMemory => Self::OutOfMemory,
        }
    }
}

impl From<Wish> for OwnWish {
    fn from(wish: Wish) -> Self {
        match wish {
            Wish::List => Self::List,
            Wish::Withdraw(request) => Self::Withdraw(request),
            Wish::Drop(grant) => Self::Drop(grant),
        }
    }
}

impl From<Signal> for RelayedSignal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Hangup => Self::Hangup,
            Signal::Interrupt => Self::Interrupt,
            Signal::Quit => Self::Quit,
            Signal::Terminate => Self::Terminate,
            Signal::User1 => Self::User1,
            Signal::User2 => Self::User2,
            Signal::Suspend => Self::Suspend,
            Signal::Continue => Self::Continue,
        }
    }
}

/// The bytes of a frame.
///
/// # Errors
/// It is longer than [`FRAME_BYTES`].
pub(crate) fn encode(frame: &impl Serialize) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(frame)?;
    let length = u32::try_from(json.len()).ok().filter(|_| json.len() <= FRAME_BYTES).ok_or_else(|| {
        invalid(format!("{} bytes are more than the {FRAME_BYTES} that a request may have", json.len()))
    })?;
    let mut bytes = length.to_le_bytes().to_vec();
    bytes.extend(json);
    Ok(bytes)
}

/// How many bytes follow these four.
///
/// # Errors
/// More than [`FRAME_BYTES`].
pub(crate) fn length(head: [u8; 4]) -> io::Result<usize> {
    let length = usize::try_from(u32::from_le_bytes(head)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES {
        return Err(invalid(format!("a frame of {length} bytes was announced; at most {FRAME_BYTES} are read")));
    }
    Ok(length)
}

/// Reads the next frame; `None` where the other end closed in between. Waits without end for its first byte and not long for the rest.
///
/// # Errors
/// It does not come whole in time, is too long, or is not what is spoken here.
pub(crate) async fn read<T: DeserializeOwned>(stream: &Async<UnixStream>) -> io::Result<Option<T>> {
    let mut head = [0; 4];
    let begun = stream.read_with(|mut stream| stream.read(&mut head)).await?;
    if begun == 0 {
        return Ok(None);
    }
    let rest = async {
        fill(stream, head.get_mut(begun..).unwrap_or_default()).await?;
        let mut json = vec![0; length(head)?];
        fill(stream, &mut json).await?;
        Ok(json)
    };
    let json = in_time(FRAME_TIME, rest).await?;
    serde_json::from_slice(&json).map(Some).map_err(|error| invalid(format!("a frame is not understood: {error}")))
}

/// Reads until there is no room any more.
///
/// # Errors
/// As read(2), or the other end closed.
pub(crate) async fn fill(stream: &Async<UnixStream>, mut room: &mut [u8]) -> io::Result<()> {
    while !room.is_empty() {
        match stream.read_with(|mut stream| stream.read(room)).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => room = room.get_mut(count..).unwrap_or_default(),
        }
    }
    Ok(())
}

/// Writes a frame.
///
/// # Errors
/// As write(2), or it is too long.
pub(crate) async fn write(stream: &Async<UnixStream>, frame: &impl Serialize) -> io::Result<()> {
    write_all(stream, &encode(frame)?).await
}

/// Writes these bytes.
///
/// # Errors
/// As write(2).
pub(crate) async fn write_all(stream: &Async<UnixStream>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = stream.write_with(|mut stream| stream.write(bytes)).await?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// What a future gives, if it gives it in time.
///
/// # Errors
/// Its own, or that it took too long.
pub(crate) async fn in_time<T>(limit: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = async {
        Timer::after(limit).await;
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("it took longer than {} s", limit.as_secs())))
    };
    future.or(late).await
}

/// An error about what was said.
pub(crate) fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

#[cfg(test)]
mod tests;
