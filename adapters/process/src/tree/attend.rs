//! A program on a terminal: another process than the launcher, which stays to lead the session, and says when the program is stopped.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use async_io::Async;

use super::{Next, Tree, within};
use crate::CallerFiles;
use crate::wire::{self, ATTENDED, COMPLAINT_BYTES, Order};

/// From the order to the second process, which needs less than a millisecond; a busy machine may need more.
const ATTEND_TIME: Duration = Duration::from_secs(20);

/// The program of a launcher that leads its session.
#[derive(Debug)]
pub(super) struct Attended {
    /// Process id.
    pub(super) pid: u32,
    /// Says by which signal it was stopped.
    stops: Async<File>,
}

impl Tree {
    /// Has the launcher take the terminal, and make the process that becomes the program.
    ///
    /// # Errors
    /// A sentence.
    pub(super) async fn attend(&mut self, files: &CallerFiles) -> Result<(), String> {
        let failed = |error: io::Error| format!("The launcher did not take the terminal: {error}.");
        let (stops, told) = io::pipe().map_err(failed)?;
        let order = wire::encode(&Order::Attend)?;
        let [terminal, ..] = &files.standard;
        let exchange = async {
            self.send(&order, &[terminal.as_fd(), told.as_fd()]).await?;
            let mut answer = Vec::new();
            let mut chunk = [0; COMPLAINT_BYTES];
            let is_whole = |answer: &[u8]| match answer {
                [ATTENDED, pid @ ..] => pid.len() >= size_of::<u32>(),
                sentence => sentence.len() >= COMPLAINT_BYTES,
            };
            while !is_whole(&answer) {
                match self.control.read_with(|mut socket| socket.read(&mut chunk)).await? {
                    0 => break,
                    count => answer.extend_from_slice(chunk.get(..count).unwrap_or_default()),
                }
            }
            Ok(answer)
        };
        let answer = within(ATTEND_TIME, exchange)
            .await
            .unwrap_or_else(|| Err(io::Error::new(io::ErrorKind::TimedOut, "the machine is too busy")))
            .map_err(failed)?;
        let [ATTENDED, pid @ ..] = answer.as_slice() else {
            return Err(String::from_utf8_lossy(&answer).into_owned());
        };
        let pid = pid.try_into().map(u32::from_le_bytes).map_err(|error| failed(io::Error::other(error)))?;
        let stops = Async::new(File::from(OwnedFd::from(stops))).map_err(failed)?;
        self.attended = Some(Attended { pid, stops });
        Ok(())
    }

    /// The next stop of a program that somebody attends to; never one of another.
    pub(super) async fn next_stop(&self) -> Next {
        let mut signal = [0];
        if let Some(Attended { stops, .. }) = &self.attended
            && let Ok(1) = stops.read_with(|mut stops| stops.read(&mut signal)).await
        {
            let [signal] = signal;
            return Next::Stopped(signal.into());
        }
        // The launcher ends, which is told otherwise.
        std::future::pending().await
    }
}
