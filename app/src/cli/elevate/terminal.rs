//! A terminal for the program: a pair made by the caller, whose other end is relayed to his own terminal.
//!
//! His terminal is opened once more (`/dev/tty`): what standard input and output stand for is shared with his shell, and must not stop
//! blocking. Every change of its mode is undone when the guard goes, on every way out.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;

use async_io::Async;
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

/// Bytes that are read at once: what a terminal holds.
const CHUNK_BYTES: usize = 4096;
/// Bytes of an answer.
const ANSWER_BYTES: usize = 4096;

/// The caller's own terminal.
#[derive(Debug)]
pub(super) struct Tty(Async<File>);

/// The caller's terminal, and the end of the program's that stays with him.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) tty: Tty,
    program: Async<File>,
}

/// A mode of a terminal that ends with this.
#[derive(Debug)]
pub(super) struct ModeGuard<'t> {
    tty: &'t Tty,
    before: Termios,
}

impl Tty {
    /// Opens the terminal that controls this process.
    ///
    /// # Errors
    /// As open(2); ENXIO where there is none.
    pub(super) fn open() -> io::Result<Self> {
        let flags = i32::try_from(OFlags::NOCTTY.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/tty")?;
        Ok(Self(Async::new(file)?))
    }

    /// Every key at once and as it is: the program's terminal gives them their meaning.
    pub(super) fn raw(&self) -> io::Result<ModeGuard<'_>> {
        self.mode(Termios::make_raw)
    }

    /// Whether this process may change the terminal: whoever does so in the background is stopped.
    pub(super) fn is_foreground(&self) -> bool {
        rustix::termios::tcgetpgrp(self.0.get_ref()).is_ok_and(|group| group == rustix::process::getpgrp())
    }

    /// Shows a prompt and reads a line; `None` where somebody ends the input instead.
    pub(super) async fn ask(&self, prompt: &str, secret: bool) -> io::Result<Option<String>> {
        let hidden = match secret {
            true => Some(self.mode(|mode| mode.local_modes.remove(LocalModes::ECHO))?),
            false => None,
        };
        self.write_all(prompt.as_bytes()).await?;
        let line = self.line().await;
        drop(hidden);
        if secret {
            self.write_all(b"\n").await?;
        }
        line
    }

    async fn line(&self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let mut chunk = [0; CHUNK_BYTES];
        while !line.ends_with(b"\n") && line.len() < ANSWER_BYTES {
            match self.0.read_with(|mut tty| tty.read(&mut chunk)).await? {
                0 if line.is_empty() => return Ok(None),
                0 => break,
                count => line.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
        }
        Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()))
    }

    async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        write_all(&self.0, bytes).await
    }

    fn mode(&self, change: impl FnOnce(&mut Termios)) -> io::Result<ModeGuard<'_>> {
        let before = tcgetattr(self.0.get_ref())?;
        let mut mode = before.clone();
        change(&mut mode);
        tcsetattr(self.0.get_ref(), OptionalActions::Drain, &mode)?;
        Ok(ModeGuard { tty: self, before })
    }
}

impl Drop for ModeGuard<'_> {
    fn drop(&mut self) {
        // A terminal that hung up meanwhile has no mode to restore, and nobody reads what would be said.
        if tcsetattr(self.tty.0.get_ref(), OptionalActions::Drain, &self.before).is_err() {
            log::debug!("the terminal's mode could not be restored");
        }
    }
}

impl Terminal {
    /// Makes a terminal like the caller's, where standard input and output are one; else there is none. The second end is for the program.
    ///
    /// # Errors
    /// As posix_openpt(3); the terminal has no mode or size.
    pub(super) fn open() -> io::Result<Option<(Self, OwnedFd)>> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(None);
        }
        // Without a controlling terminal there is nothing to relay to: the program gets what there is.
        let Ok(tty) = Tty::open() else { return Ok(None) };
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        tcsetattr(&slave, OptionalActions::Now, &tcgetattr(tty.0.get_ref())?)?;
        let terminal = Self { tty, program: Async::new(File::from(master))? };
        terminal.resize()?;
        Ok(Some((terminal, slave)))
    }

    /// Gives the program's terminal the size of the caller's; the kernel tells the program.
    pub(super) fn resize(&self) -> io::Result<()> {
        Ok(tcsetwinsize(self.program.get_ref(), tcgetwinsize(self.tty.0.get_ref())?)?)
    }

    /// Passes on what is typed until the terminal hangs up.
    pub(super) async fn relay_input(&self) -> io::Result<()> {
        relay(&self.tty.0, &self.program).await
    }

    /// Passes on what is shown until nobody has the program's end open.
    pub(super) async fn relay_output(&self) -> io::Result<()> {
        match relay(&self.program, &self.tty.0).await {
            // What reading the first end says once the second is closed everywhere.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(()),
            result => result,
        }
    }
}

async fn relay(from: &Async<File>, to: &Async<File>) -> io::Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match from.read_with(|mut from| from.read(&mut chunk)).await? {
            0 => return Ok(()),
            count => write_all(to, chunk.get(..count).unwrap_or_default()).await?,
        }
    }
}

async fn write_all(to: &Async<File>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = to.write_with(|mut to| to.write(bytes)).await?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}
