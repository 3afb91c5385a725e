//! What a caller hands over for the program: taken as it comes, and looked at before anybody relies on it.
//!
//! To look at a descriptor, or to close it, may wait for whoever made it (FUSE): neither is done on the executor's thread.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use async_io::Async;
use rustix::fs::{FileType, Stat};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};

use crate::wire::{self, DESCRIPTORS, invalid};

/// The descriptors of one request.
#[derive(Debug)]
pub struct Lent {
    /// Standard input, output and error.
    pub standard: [OwnedFd; 3],
    /// Working folder.
    pub folder: OwnedFd,
}

/// Sends the first frame with the descriptors beside its first byte.
///
/// # Errors
/// As sendmsg(2).
pub(crate) async fn send(
    stream: &Async<UnixStream>,
    frame: &[u8],
    lent: [BorrowedFd<'_>; DESCRIPTORS],
) -> io::Result<()> {
    let begun = stream
        .write_with(|stream| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            if !beside.push(SendAncillaryMessage::ScmRights(&lent)) {
                return Err(io::Error::other("there is no room for the descriptors"));
            }
            Ok(rustix::net::sendmsg(stream, &[IoSlice::new(frame)], &mut beside, SendFlags::NOSIGNAL)?)
        })
        .await?;
    wire::write_all(stream, frame.get(begun..).unwrap_or_default()).await
}

/// Reads the first frame. The descriptors beside its first bytes come into `taken` whatever becomes of the rest.
///
/// # Errors
/// As recvmsg(2); it is too long, cut short, or has more descriptors than any.
pub(crate) async fn receive(stream: &Async<UnixStream>, taken: &mut Vec<OwnedFd>) -> io::Result<Vec<u8>> {
    let mut head = [0; 4];
    let (begun, cut) = stream
        .read_with(|stream| {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
            let mut beside = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC;
            let received = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut head)], &mut beside, flags)?;
            for message in beside.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    taken.extend(descriptors);
                }
            }
            Ok((received.bytes, received.flags.contains(ReturnFlags::CTRUNC)))
        })
        .await?;
    if cut {
        let more = format!("more than {} descriptors came with the request instead of {DESCRIPTORS}", taken.len());
        return Err(invalid(more));
    }
    // What is attached further on is read without room for it: the kernel closes it.
    wire::fill(stream, head.get_mut(begun..).unwrap_or_default()).await?;
    let mut json = vec![0; wire::length(head)?];
    wire::fill(stream, &mut json).await?;
    Ok(json)
}

impl Lent {
    /// Looks whether these are what they have to be; answers with the folder's path, where it has one. Blocks for as long as whoever
    /// made them likes.
    ///
    /// # Errors
    /// A clause without its full stop.
    pub(crate) fn check(taken: Vec<OwnedFd>, terminal: bool) -> Result<(Self, Option<String>), String> {
        let [stdin, stdout, stderr, folder]: [OwnedFd; DESCRIPTORS] =
            taken.try_into().map_err(|_| String::from("descriptors are missing"))?;
        let found = rustix::fs::fstat(&folder).map_err(|error| format!("the folder cannot be looked at: {error}"))?;
        if FileType::from_raw_mode(found.st_mode) != FileType::Directory {
            return Err(String::from("the descriptor of the working folder is not that of a folder"));
        }
        if terminal && !rustix::termios::isatty(&stdin) {
            return Err(String::from("standard input is called a terminal and is none"));
        }
        let path = path(folder.as_fd(), &found);
        Ok((Self { standard: [stdin, stdout, stderr], folder }, path))
    }
}

/// The path that leads to a folder; `None` where none does any more, or where it is no text.
fn path(folder: BorrowedFd<'_>, found: &Stat) -> Option<String> {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", folder.as_raw_fd())).ok()?;
    let there = rustix::fs::stat(&path).ok()?;
    let same = (there.st_dev, there.st_ino) == (found.st_dev, found.st_ino);
    path.into_os_string().into_string().ok().filter(|path| same && path.starts_with('/'))
}
