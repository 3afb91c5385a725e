//! A terminal for the program: a pair made by the caller, whose other end is relayed to his own terminal.
//!
//! His own is opened once more (`/dev/tty`), as his shell's must not stop blocking, and read and changed only in its foreground: else the
//! kernel stops whoever touches it. Every change of its mode is undone on every way out.

use std::cell::{Cell, RefCell};
use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use async_io::{Async, Timer};
use rustix::fs::OFlags;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use smol::lock::Mutex;

/// Bytes that are read at once: what a terminal holds.
const CHUNK_BYTES: usize = 4096;
/// Bytes of an answer.
const ANSWER_BYTES: usize = 4096;
/// Between two looks whether the terminal is this process's again: a shell that brings a running job to the foreground tells nobody.
const LOOK_TIME: Duration = Duration::from_millis(100);

/// The caller's own terminal.
#[derive(Debug)]
pub(super) struct Tty {
    file: Async<File>,
    wanted: Cell<Mode>,
    /// Its mode before this process changed it.
    before: RefCell<Option<Termios>>,
}

/// What the caller's terminal does with keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// What it did before.
    AsItWas,
    /// Shows none of them.
    Hidden,
    /// Gives each at once and as it is: the program's terminal gives them their meaning.
    Raw,
}

/// The end of the program's terminal that stays with the caller.
#[derive(Debug)]
pub(super) struct Terminal {
    program: Async<File>,
    /// Held from reading what the program shows until it is shown.
    showing: Mutex<()>,
}

/// What came of a look for something to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Some,
    Nothing,
    /// Nobody has the program's end open.
    End,
}

impl Tty {
    /// Opens the terminal that controls this process.
    ///
    /// # Errors
    /// As open(2); ENXIO where there is none.
    pub(super) fn open() -> io::Result<Self> {
        let flags = i32::try_from(OFlags::NOCTTY.bits()).map_err(io::Error::other)?;
        let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open("/dev/tty")?;
        Ok(Self { file: Async::new(file)?, wanted: Cell::new(Mode::AsItWas), before: RefCell::default() })
    }

    /// Whether this process may read and change the terminal: whoever does so in the background is stopped.
    ///
    /// # Errors
    /// It hung up.
    fn is_foreground(&self) -> io::Result<bool> {
        Ok(rustix::termios::tcgetpgrp(self.file.get_ref())? == rustix::process::getpgrp())
    }

    /// The same, where one that hung up is nobody's.
    pub(super) fn is_ours(&self) -> bool {
        self.is_foreground().unwrap_or_default()
    }

    /// Waits until this process is in the foreground: a poll.
    ///
    /// # Errors
    /// It hung up.
    pub(super) async fn foreground(&self) -> io::Result<()> {
        while !self.is_foreground()? {
            Timer::after(LOOK_TIME).await;
        }
        Ok(())
    }

    /// Says which mode is wanted from now on, and gives it to a terminal that is this process's.
    pub(super) fn wants(&self, mode: Mode) -> io::Result<()> {
        self.wanted.set(mode);
        self.take()
    }

    /// Gives the terminal the mode that is wanted, if it is this process's now.
    pub(super) fn take(&self) -> io::Result<()> {
        let change = match self.wanted.get() {
            Mode::AsItWas => return self.leave(),
            Mode::Hidden => |mode: &mut Termios| mode.local_modes.remove(LocalModes::ECHO),
            Mode::Raw => Termios::make_raw,
        };
        if !self.is_ours() {
            return Ok(());
        }
        let known = self.before.take();
        let before = known.map_or_else(|| tcgetattr(self.file.get_ref()), Ok)?;
        let mut mode = before.clone();
        self.before.replace(Some(before));
        change(&mut mode);
        Ok(tcsetattr(self.file.get_ref(), OptionalActions::Drain, &mode)?)
    }

    /// Gives the terminal back as it was. Where another job has it, that has its own mode already.
    pub(super) fn leave(&self) -> io::Result<()> {
        match self.before.take().filter(|_| self.is_ours()) {
            Some(before) => Ok(tcsetattr(self.file.get_ref(), OptionalActions::Drain, &before)?),
            None => Ok(()),
        }
    }

    /// Reads a line; `None` where somebody ends the input instead.
    pub(super) async fn line(&self) -> io::Result<Option<String>> {
        let mut line = Vec::new();
        let mut chunk = [0; CHUNK_BYTES];
        while !line.ends_with(b"\n") && line.len() < ANSWER_BYTES {
            match self.read(&mut chunk).await? {
                0 if line.is_empty() => return Ok(None),
                0 => break,
                count => line.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
        }
        Ok(Some(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r']).to_owned()))
    }

    /// Reads what is typed for this process; what is typed meanwhile for another job is that one's.
    async fn read(&self, chunk: &mut [u8]) -> io::Result<usize> {
        loop {
            self.file.readable().await?;
            if !self.is_foreground()? {
                Timer::after(LOOK_TIME).await;
                continue;
            }
            match self.file.get_ref().read(chunk) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => return result,
            }
        }
    }

    pub(super) async fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        write_all(&self.file, bytes).await
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        // A terminal that hung up meanwhile has no mode to restore, and nobody reads what would be said.
        if self.leave().is_err() {
            log::debug!("the terminal's mode could not be restored");
        }
    }
}

impl Terminal {
    /// Makes a terminal like the caller's, where standard input and output are one; else there is none. The second end is for the program.
    ///
    /// # Errors
    /// As posix_openpt(3); the terminal has no mode or size.
    pub(super) fn open(tty: &Tty) -> io::Result<Option<(Self, OwnedFd)>> {
        if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
            return Ok(None);
        }
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&master)?;
        rustix::pty::unlockpt(&master)?;
        let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags)?;
        // In the background it has the mode of another job, such as a shell's editor; then the kernel's own is as good as any.
        if tty.is_ours() {
            tcsetattr(&slave, OptionalActions::Now, &tcgetattr(tty.file.get_ref())?)?;
        }
        let terminal = Self { program: Async::new(File::from(master))?, showing: Mutex::new(()) };
        terminal.resize(tty)?;
        Ok(Some((terminal, slave)))
    }

    /// Gives the program's terminal the size of the caller's; the kernel tells the program.
    pub(super) fn resize(&self, tty: &Tty) -> io::Result<()> {
        Ok(tcsetwinsize(self.program.get_ref(), tcgetwinsize(tty.file.get_ref())?)?)
    }

    /// Passes on what is typed until the terminal hangs up.
    pub(super) async fn relay_input(&self, tty: &Tty) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match tty.read(&mut chunk).await? {
                0 => return Ok(()),
                count => write_all(&self.program, chunk.get(..count).unwrap_or_default()).await?,
            }
        }
    }

    /// Passes on what is shown until nobody has the program's end open.
    pub(super) async fn relay_output(&self, tty: &Tty) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.show(tty, &mut chunk).await? != Shown::End {
            self.program.readable().await?;
        }
        Ok(())
    }

    /// Passes on what the program has shown by now.
    pub(super) async fn show_rest(&self, tty: &Tty) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK_BYTES];
        while self.show(tty, &mut chunk).await? == Shown::Some {}
        Ok(())
    }

    async fn show(&self, tty: &Tty, chunk: &mut [u8]) -> io::Result<Shown> {
        let _turn = self.showing.lock().await;
        match self.program.get_ref().read(chunk) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Shown::Nothing),
            // What reading the first end says once the second is closed everywhere.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Ok(Shown::End),
            Ok(0) => Ok(Shown::End),
            count => {
                tty.write_all(chunk.get(..count?).unwrap_or_default()).await?;
                Ok(Shown::Some)
            }
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
