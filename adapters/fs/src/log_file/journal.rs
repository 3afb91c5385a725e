//! journald by its native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL): one datagram a record, larger ones in a sealed memfd.
//!
//! The socket is named anew for each record, so a journald that comes late, or is started again, needs nothing from here.

use std::fs::File;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use castellan_core::log_message::{Level, LogRecord};
use rustix::fs::{FileType, MemfdFlags, SealFlags, fcntl_add_seals, memfd_create, stat};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, sendmsg_addr, sendto, socket_with,
};

use super::sink::Sink;
use crate::error::RootError;
use crate::files::kind;

/// How long journald may take to make room; what comes then is counted as lost until it does.
const PATIENCE: Duration = Duration::from_millis(500);
/// Under which name `journalctl -t` finds the lines.
const IDENTIFIER: &str = "castellan";

/// The way to journald.
#[derive(Debug)]
pub(super) struct Journal {
    address: SocketAddrUnix,
    socket: OwnedFd,
    /// Whether it was ever there; what it did not get before that is not lost.
    is_known: bool,
    /// Whether it did not make room for a record of those in hand; the others are not waited for.
    is_full: bool,
    lost: u64,
    /// Kept from record to record for its room.
    entry: Vec<u8>,
}

impl Journal {
    /// Also where nothing is there yet; but what is there must be a socket.
    pub(super) fn open(path: &Path) -> Result<Self, RootError> {
        if let Ok(found) = stat(path)
            && FileType::from_raw_mode(found.st_mode) != FileType::Socket
        {
            let what = format!(
                "is {}, not the socket of journald. Name that in Settings:system.logging.journal of appsettings.json, or nothing.",
                kind(&found)
            );
            return Err(RootError::Invalid { path: path.to_owned(), what });
        }
        let unusable = || RootError::failed::<Errno>("use as journald's socket", path);
        let address = SocketAddrUnix::new(path).map_err(unusable())?;
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None).map_err(unusable())?;
        set_socket_timeout(&socket, Timeout::Send, Some(PATIENCE)).map_err(unusable())?;
        Ok(Self { address, socket, is_known: false, is_full: false, lost: 0, entry: Vec::new() })
    }

    /// Whether somebody listens there now.
    pub(super) fn is_present(&self) -> bool {
        let probe = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None);
        probe.and_then(|probe| connect(probe, &self.address)).is_ok()
    }

    fn send(&mut self, record: &LogRecord) -> Result<(), Errno> {
        self.entry.clear();
        encode(record, &mut self.entry);
        match sendto(&self.socket, &self.entry, SendFlags::NOSIGNAL, &self.address) {
            Err(Errno::MSGSIZE | Errno::NOBUFS) => self.send_large(),
            result => result.map(drop),
        }
    }

    /// A sealed file in place of the datagram; journald takes no other.
    fn send_large(&self) -> Result<(), Errno> {
        let file = memfd_create("castellan-log", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        let mut file = File::from(file);
        file.write_all(&self.entry).map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
        let descriptors = [file.as_fd()];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(Errno::NOBUFS);
        }
        sendmsg_addr(&self.socket, &self.address, &[IoSlice::new(&[])], &mut ancillary, SendFlags::NOSIGNAL).map(drop)
    }
}

impl Sink for Journal {
    fn write(&mut self, record: &LogRecord) -> io::Result<()> {
        if self.is_full {
            self.lost = self.lost.saturating_add(1);
            return Ok(());
        }
        match self.send(record) {
            Ok(()) => {
                self.is_known = true;
                Ok(())
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::CONNREFUSED) if !self.is_known => Ok(()),
            Err(error) => {
                self.is_full = true;
                self.lost = self.lost.saturating_add(1);
                Err(error.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.is_full = false;
        Ok(())
    }

    fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

/// The record as fields of the journal. Texts that are empty are left out.
fn encode(record: &LogRecord, entry: &mut Vec<u8>) {
    let (job, plugin) = (record.component.strip_prefix("job:"), record.component.strip_prefix("plugin:"));
    let pid = record.pid.map(|pid| pid.to_string());
    let fields = [
        ("MESSAGE", record.message.as_str()),
        ("PRIORITY", priority(record.level)),
        ("SYSLOG_IDENTIFIER", IDENTIFIER),
        ("CATEGORY", &record.category),
        ("SOURCE", &record.source),
        ("COMPONENT", &record.component),
        ("KEEPER_JOB_ID", job.unwrap_or_default()),
        ("RUN_ID", record.run_id.as_deref().unwrap_or_default()),
        ("PLUGIN_ID", plugin.unwrap_or_default()),
        ("CLIENT_ID", record.client_id.as_deref().unwrap_or_default()),
        ("CLIENT_PID", pid.as_deref().unwrap_or_default()),
        ("CORRELATION_ID", &record.correlation_id),
        ("CONTEXT", &record.context),
    ];
    for (name, value) in fields.into_iter().filter(|(_, value)| !value.is_empty()) {
        entry.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            entry.push(b'\n');
            entry.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            entry.push(b'=');
        }
        entry.extend_from_slice(value.as_bytes());
        entry.push(b'\n');
    }
}

/// The level as syslog counts it (RFC 5424 6.2.1).
const fn priority(level: Level) -> &'static str {
    match level {
        Level::Critical => "2",
        Level::Error => "3",
        Level::Warning => "4",
        Level::Information => "6",
        Level::Debug | Level::Trace => "7",
    }
}
