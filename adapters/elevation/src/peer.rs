//! Who is at the other end of a connection, by the kernel's word alone.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use async_io::Async;
use nix::sys::socket::{getsockopt, sockopt};

/// The process that connected, as it was then.
#[derive(Debug)]
pub(crate) struct Connected {
    /// Process, user and group.
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Tells when it ends, though others may still hold the connection; `None` before Linux 6.5.
    pub(crate) process: Option<Async<OwnedFd>>,
}

impl Connected {
    /// Asks the kernel.
    ///
    /// # Errors
    /// A clause without its full stop.
    pub(crate) fn look(stream: &Async<UnixStream>) -> Result<Self, String> {
        let credentials = getsockopt(stream.get_ref(), sockopt::PeerCredentials)
            .map_err(|error| format!("the kernel does not say who connected: {error}"))?;
        // 0 where the process is in a PID namespace that this one does not see into.
        let pid = credentials.pid().unsigned_abs();
        let process = match getsockopt(stream.get_ref(), sockopt::PeerPidfd) {
            Ok(handle) => Some(
                Async::new_nonblocking(handle).map_err(|error| format!("process {pid} cannot be watched: {error}"))?,
            ),
            // The kernel has no such option.
            Err(nix::errno::Errno::ENOPROTOOPT) => None,
            Err(error) => return Err(format!("the process that connected has ended ({error})")),
        };
        Ok(Self { pid, uid: credentials.uid(), gid: credentials.gid(), process })
    }

    /// Waits until the process has ended; without an end where the kernel does not tell.
    pub(crate) async fn ended(&self) {
        match &self.process {
            Some(process) => {
                if let Err(error) = process.readable().await {
                    log::warn!("Process {} cannot be watched any further: {error}. Its request ends.", self.pid);
                }
            }
            None => std::future::pending().await,
        }
    }
}
