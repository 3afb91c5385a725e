//! The descriptors of an order, beside its first bytes (`SCM_RIGHTS`, unix(7)): of the program to execute, then of what its caller gave it.

use std::io::{self, IoSlice, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// The most that an order has: the program, three standard streams, a folder.
const LARGEST_ORDER: usize = 5;

/// Sends the beginning of these bytes together with the descriptors; answers with how many bytes it were.
///
/// # Errors
/// As sendmsg(2), or these are more descriptors than an order has.
pub(crate) fn send(socket: &UnixStream, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LARGEST_ORDER))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    if descriptors.len() > LARGEST_ORDER || !beside.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other(format!("there is no room for {} descriptors", descriptors.len())));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut beside, SendFlags::NOSIGNAL)?)
}

/// Reads a socket and keeps the descriptors that came with what was read.
#[derive(Debug)]
pub(crate) struct Receiver<'socket> {
    socket: &'socket UnixStream,
    /// What came, in its order.
    pub(crate) descriptors: Vec<OwnedFd>,
}

impl<'socket> Receiver<'socket> {
    pub(crate) fn new(socket: &'socket UnixStream) -> Self {
        Self { socket, descriptors: Vec::new() }
    }
}

impl Read for Receiver<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(LARGEST_ORDER))];
        let mut beside = RecvAncillaryBuffer::new(&mut space);
        let received = recvmsg(self.socket, &mut [IoSliceMut::new(bytes)], &mut beside, RecvFlags::CMSG_CLOEXEC)?;
        for message in beside.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        Ok(received.bytes)
    }
}

#[cfg(test)]
mod tests;
