//! One exact `sock_diag` query: what the kernel says about a TCP socket named by its two addresses (sock_diag(7)).

use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use castellan_core::trust::SocketFacts;
use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

/// The kernel answers at once; this bounds the harm if it does not.
const ANSWER_TIME: Duration = Duration::from_secs(1);
/// Bytes of an answer: one message with all its attributes is below 1 KiB.
const ANSWER_BYTES: usize = 4096;
/// Answers to earlier, timed-out questions that are skipped before giving up.
const STALE_ANSWERS: usize = 16;

// Numbers of linux/netlink.h, linux/sock_diag.h and linux/inet_diag.h.
const HEADER_BYTES: u32 = 16;
const REQUEST_BYTES: u32 = 72;
const NLMSG_ERROR: u16 = 2;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const INET_DIAG_CGROUP_ID: u16 = 21;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const IPPROTO_TCP: u8 = 6;
const TCP_ESTABLISHED: u8 = 1;

/// A kept netlink socket: a new one for each question costs three times as much.
#[derive(Debug)]
pub(crate) struct Diag {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    socket: OwnedFd,
    sequence: u32,
}

impl Diag {
    /// Opens the socket, connected to the kernel so that nobody else can answer.
    ///
    /// # Errors
    /// The kernel lacks `inet_diag`, or a sandbox forbids netlink.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(netlink::SOCK_DIAG),
        )?;
        rustix::net::connect(&socket, &SocketAddrNetlink::new(0, 0))?;
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(ANSWER_TIME))?;
        Ok(Self { kept: Mutex::new(Kept { socket, sequence: 0 }) })
    }

    /// The socket whose own address is `own` and whose peer is `other`; `None` where there is none.
    ///
    /// # Errors
    /// The kernel did not answer, or not in a form that is understood.
    pub(crate) fn exact(&self, own: SocketAddr, other: SocketAddr) -> io::Result<Option<SocketFacts>> {
        let own = canonical(own);
        let other = canonical(other);
        let (IpAddr::V4(source), IpAddr::V4(destination)) = (own.ip(), other.ip()) else {
            return Err(io::Error::other(format!("{own} to {other} is not a connection of IPv4")));
        };
        // Only the socket and a counter are behind the lock; both stay usable if a thread panicked there.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.sequence = kept.sequence.wrapping_add(1);
        let question = question(kept.sequence, (source.octets(), own.port()), (destination.octets(), other.port()));
        rustix::net::send(&kept.socket, &question, SendFlags::empty())?;
        for _ in 0..STALE_ANSWERS {
            let mut answer = [0; ANSWER_BYTES];
            let (bytes, _) = match rustix::net::recv(&kept.socket, &mut answer, RecvFlags::empty()) {
                Ok(received) => received,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let length = bytes;
            let answer = answer.get(..length).unwrap_or_default();
            match parse(answer, kept.sequence)? {
                Answer::Stale => {}
                Answer::Nothing => return Ok(None),
                // Where no connection matches, the kernel offers a listening socket of that port.
                Answer::Socket(found) if found.peer != own || found.local != other => return Ok(None),
                Answer::Socket(found) => return Ok(Some(found)),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "sock_diag answers only earlier questions"))
    }
}

/// A mapped address (`::ffff:127.0.0.1`) as the IPv4 address it means: the kernel files such sockets under IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// `nlmsghdr` and `inet_diag_req_v2`. Always asked as IPv4: that finds IPv6 sockets with mapped addresses too.
fn question(sequence: u32, source: ([u8; 4], u16), destination: ([u8; 4], u16)) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(REQUEST_BYTES.to_ne_bytes());
    bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    bytes.extend(NLM_F_REQUEST.to_ne_bytes());
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend(0_u32.to_ne_bytes());
    // Family, protocol, no extensions (the cgroup id comes unasked), padding, any state.
    bytes.extend([AF_INET, IPPROTO_TCP, 0, 0]);
    bytes.extend(u32::MAX.to_ne_bytes());
    bytes.extend(source.1.to_be_bytes());
    bytes.extend(destination.1.to_be_bytes());
    for address in [source.0, destination.0] {
        bytes.extend(address);
        bytes.extend([0; 12]);
    }
    // Any interface, any cookie.
    bytes.extend(0_u32.to_ne_bytes());
    bytes.extend(u64::MAX.to_ne_bytes());
    bytes
}

#[derive(Debug, PartialEq)]
enum Answer {
    Stale,
    Nothing,
    Socket(SocketFacts),
}

/// Takes fixed-size fields off the front of a message.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (field, rest) =
            self.0.split_first_chunk().ok_or_else(|| io::Error::other("the answer of sock_diag is cut short"))?;
        self.0 = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> io::Result<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    fn u16(&mut self) -> io::Result<u16> {
        self.take().map(u16::from_ne_bytes)
    }
}

/// `nlmsghdr`, then `nlmsgerr` or `inet_diag_msg` with its attributes.
fn parse(message: &[u8], sequence: u32) -> io::Result<Answer> {
    let mut fields = Fields(message);
    let length = fields.u32()?;
    let kind = fields.u16()?;
    let _flags = fields.u16()?;
    let answered = fields.u32()?;
    let _port = fields.u32()?;
    if answered != sequence {
        return Ok(Answer::Stale);
    }
    if kind == NLMSG_ERROR {
        let error = i32::from_ne_bytes(fields.take()?).saturating_neg();
        return if error == libc::ENOENT { Ok(Answer::Nothing) } else { Err(io::Error::from_raw_os_error(error)) };
    }
    if kind != SOCK_DIAG_BY_FAMILY {
        return Err(io::Error::other(format!("sock_diag answers with message type {kind}")));
    }
    let body = usize::try_from(length.saturating_sub(HEADER_BYTES)).unwrap_or(usize::MAX).min(fields.0.len());
    let mut fields = Fields(fields.0.get(..body).unwrap_or_default());
    let [family, state, _timer, _retransmits] = fields.take()?;
    let source_port = u16::from_be_bytes(fields.take()?);
    let destination_port = u16::from_be_bytes(fields.take()?);
    let source = address(family, fields.take()?)?;
    let destination = address(family, fields.take()?)?;
    let _interface = fields.u32()?;
    let cookie_low = fields.u32()?;
    let cookie_high = fields.u32()?;
    let [_expires, _receive_queue, _send_queue] = [fields.u32()?, fields.u32()?, fields.u32()?];
    let uid = fields.u32()?;
    let inode = fields.u32()?;
    Ok(Answer::Socket(SocketFacts {
        peer: SocketAddr::new(source, source_port),
        local: SocketAddr::new(destination, destination_port),
        established: state == TCP_ESTABLISHED,
        inode: inode.into(),
        uid,
        cookie: u64::from(cookie_high) << 32 | u64::from(cookie_low),
        cgroup: cgroup_attribute(fields)?,
    }))
}

fn address(family: u8, bytes: [u8; 16]) -> io::Result<IpAddr> {
    match family {
        AF_INET => {
            let [a, b, c, d, ..] = bytes;
            Ok(IpAddr::from([a, b, c, d]))
        }
        AF_INET6 => Ok(Ipv6Addr::from(bytes).to_canonical()),
        other => Err(io::Error::other(format!("sock_diag answers with address family {other}"))),
    }
}

/// The cgroup that the socket was created in, among the attributes (`nlattr`: length, type, value, padded to 4).
fn cgroup_attribute(mut fields: Fields<'_>) -> io::Result<Option<u64>> {
    while !fields.0.is_empty() {
        let length = usize::from(fields.u16()?);
        let kind = fields.u16()?;
        let Some(value_length) = length.checked_sub(4) else {
            return Err(io::Error::other("sock_diag answers with an attribute shorter than its head"));
        };
        if kind == INET_DIAG_CGROUP_ID && value_length == 8 {
            return fields.take().map(u64::from_ne_bytes).map(Some);
        }
        fields.0 = fields.0.get(value_length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
