//! A person at a terminal of their own, who types `castellan elevate`; what is shown there is shown here, too.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command};

use async_io::Async;
use castellan_core::surroundings::DEFAULT_PATH;
use rustix::io::Errno;
use rustix::pty::OpenptFlags;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::demo::write;

/// Bytes that are read at once.
const CHUNK_BYTES: usize = 1024;
/// The size of the terminal: lines are broken by the one that shows them.
const SIZE: Winsize = Winsize { ws_row: 24, ws_col: 200, ws_xpixel: 0, ws_ypixel: 0 };
/// Before each line of what is shown.
const MARGIN: &str = "   ";
/// Added to the number of the signal that ended a program, as shells show it.
const BY_SIGNAL: i32 = 128;

/// An account.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) name: String,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Their terminal, with the command in it; the command ends with this.
#[derive(Debug)]
pub(super) struct Terminal {
    ours: Async<File>,
    child: Child,
    shown: String,
    is_line_begun: bool,
}

impl Terminal {
    /// Types the command.
    pub(super) fn open(person: &Person, program: &Path, root: &Path, words: &[&str]) -> io::Result<Self> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = rustix::pty::openpt(flags)?;
        rustix::pty::grantpt(&ours)?;
        rustix::pty::unlockpt(&ours)?;
        let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags)?;
        tcsetwinsize(&theirs, SIZE)?;
        let stream = || theirs.as_fd().try_clone_to_owned();
        // It becomes the command itself, in a session whose terminal this is.
        #[expect(
            clippy::disallowed_methods,
            reason = "the demo plays the user, who types this; the agent launches none of it"
        )]
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(program).arg("elevate").arg("--root").arg(root).arg("--").args(words);
        // Nothing of root's environment is theirs.
        command
            .env_clear()
            .env("PATH", DEFAULT_PATH)
            .env("TERM", "dumb")
            .current_dir("/")
            .uid(person.uid)
            .gid(person.gid);
        command.stdin(stream()?).stdout(stream()?).stderr(stream()?);
        let child = command.spawn()?;
        let ours = Async::new(File::from(ours))?;
        Ok(Self { ours, child, shown: String::new(), is_line_begun: false })
    }

    /// Reads on until this is shown.
    ///
    /// # Errors
    /// The command ended without it.
    pub(super) async fn sees(&mut self, text: &str) -> io::Result<()> {
        while !self.shown.contains(text) {
            if !self.read().await? {
                return Err(io::Error::other(format!("'{text}' was not shown")));
            }
        }
        self.shown = self.shown.split_off(self.shown.find(text).unwrap_or(0).saturating_add(text.len()));
        Ok(())
    }

    /// Types a line.
    pub(super) async fn types(&mut self, line: &str) -> io::Result<()> {
        self.press(&format!("{line}\n")).await
    }

    /// Types a line that the terminal does not show; told here all the same, with what it is.
    pub(super) async fn types_hidden(&mut self, line: &str, meaning: &str) -> io::Result<()> {
        write(&format!("[types {line}: {meaning}]"))?;
        self.types(line).await
    }

    /// Presses Ctrl-C.
    pub(super) async fn interrupts(&mut self) -> io::Result<()> {
        write("[presses Ctrl-C]\n")?;
        self.is_line_begun = false;
        self.press("\u{3}").await
    }

    /// Reads to the end; the exit code as a shell has it, and what was shown since it was last looked at.
    pub(super) async fn ends(mut self) -> io::Result<(i32, String)> {
        while self.read().await? {}
        let status = self.child.wait()?;
        let by_signal = status.signal().map_or(-1, |signal| signal.saturating_add(BY_SIGNAL));
        if self.is_line_begun {
            write("\n")?;
        }
        Ok((status.code().unwrap_or(by_signal), std::mem::take(&mut self.shown)))
    }

    async fn press(&mut self, keys: &str) -> io::Result<()> {
        let mut rest = keys.as_bytes();
        while !rest.is_empty() {
            let count = self.ours.write_with(|mut ours| ours.write(rest)).await?;
            rest = rest.get(count..).unwrap_or_default();
        }
        Ok(())
    }

    /// Whether there was more.
    async fn read(&mut self) -> io::Result<bool> {
        let mut chunk = [0; CHUNK_BYTES];
        let count = match self.ours.read_with(|mut ours| ours.read(&mut chunk)).await {
            Ok(count) => count,
            // What reading says once the other end is closed everywhere.
            Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => 0,
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(chunk.get(..count).unwrap_or_default()).replace('\r', "");
        for part in text.split_inclusive('\n') {
            let margin = if self.is_line_begun { "" } else { MARGIN };
            write(&format!("{margin}{part}"))?;
            self.is_line_begun = !part.ends_with('\n');
        }
        self.shown.push_str(&text);
        Ok(count > 0)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Who ended already is not killed by that.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            log::warn!("the demo's command could not be ended: {error}");
        }
    }
}
