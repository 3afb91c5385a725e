//! The descriptor of the program to execute, beside the first bytes of its order (`SCM_RIGHTS`, unix(7)).

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// Sends the beginning of these bytes together with a descriptor; answers with how many bytes it were.
///
/// # Errors
/// As sendmsg(2).
pub(crate) fn send(socket: &UnixStream, bytes: &[u8], descriptor: impl AsFd) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor.as_fd()];
    if !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("there is no room for a descriptor"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
}

/// Reads a socket and keeps the descriptor that came with what was read, the last one where several came.
#[derive(Debug)]
pub(crate) struct Receiver<'socket> {
    socket: &'socket UnixStream,
    /// What came.
    pub(crate) descriptor: Option<OwnedFd>,
}

impl<'socket> Receiver<'socket> {
    pub(crate) fn new(socket: &'socket UnixStream) -> Self {
        Self { socket, descriptor: None }
    }
}

impl Read for Receiver<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(self.socket, &mut [IoSliceMut::new(bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptor = descriptors.last().or(self.descriptor.take());
            }
        }
        Ok(received.bytes)
    }
}

#[cfg(test)]
mod tests;
