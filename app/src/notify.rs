//! What the service manager is told (sd_notify(3)): ready, status, sign of life, stopping. All of it comes from the main loop, so a
//! loop that hangs is noticed. Without `NOTIFY_SOCKET` nobody is told.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use castellan_core::agent::{Agent, Phase};
use castellan_core::time::{Monotonic, Now};

/// Milliseconds between two texts of the status: people read them.
const STATUS_MILLIS: u64 = 1000;
/// Signs of life within the time that the manager allows between two (sd_watchdog_enabled(3) asks for two).
const PULSES: u64 = 3;

/// The service manager's socket, and what it was told.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Between two signs of life, where the manager wants some.
    pulse_millis: Option<u64>,
    next_pulse: Monotonic,
    next_status: Monotonic,
    /// Something happened since the last status.
    is_stale: bool,
    phase: Option<Phase>,
    status: String,
    /// A failure is said once.
    has_failed: bool,
}

impl Notifier {
    /// As the environment says. Children get an environment of their own, so they do not learn of the socket.
    pub(crate) fn from_environment(now: Now) -> Self {
        let variable = |name: &str| std::env::var_os(name);
        let (socket, has_failed) = match variable("NOTIFY_SOCKET").map(open) {
            None => (None, false),
            Some(Ok(socket)) => (Some(socket), false),
            Some(Err(error)) => {
                log::warn!("The service manager cannot be told anything: NOTIFY_SOCKET cannot be used: {error}.");
                (None, true)
            }
        };
        let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
        let is_own = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let micros = number("WATCHDOG_USEC").filter(|micros| is_own && *micros > 0);
        let pulse_millis = micros.map(|micros| (micros / 1000 / PULSES).max(1));
        let (next_pulse, next_status) = (now.monotonic, now.monotonic);
        let status = String::new();
        Self { socket, pulse_millis, next_pulse, next_status, is_stale: true, phase: None, status, has_failed }
    }

    /// Something happened that may have changed what the status says.
    pub(crate) const fn note_activity(&mut self) {
        self.is_stale = true;
    }

    /// Tells what is new; the loop comes by after each event.
    pub(crate) fn look_after(&mut self, now: Now, agent: &Agent) {
        let phase = agent.phase();
        if self.socket.is_none() || phase == Phase::Loading {
            return;
        }
        let mut lines = Vec::new();
        if self.phase.replace(phase) != Some(phase) {
            lines.push(String::from(if phase == Phase::Running { "READY=1" } else { "STOPPING=1" }));
            self.next_status = now.monotonic;
        }
        if self.is_stale && now.monotonic >= self.next_status {
            self.next_status = now.monotonic.plus_millis(STATUS_MILLIS);
            self.is_stale = false;
            let status = agent.status_text();
            if status != self.status {
                lines.push(format!("STATUS={status}"));
                self.status = status;
            }
        }
        if let Some(millis) = self.pulse_millis
            && now.monotonic >= self.next_pulse
        {
            self.next_pulse = now.monotonic.plus_millis(millis);
            lines.push(String::from("WATCHDOG=1"));
        }
        self.tell(&lines);
    }

    /// When the loop must come by for it.
    pub(crate) fn next_deadline(&self) -> Option<Monotonic> {
        self.socket.as_ref()?;
        let pulse = self.pulse_millis.map(|_| self.next_pulse);
        let status = self.is_stale.then_some(self.next_status);
        pulse.into_iter().chain(status).min()
    }

    fn tell(&mut self, lines: &[String]) {
        let Some((socket, address)) = self.socket.as_ref().filter(|_| !lines.is_empty()) else { return };
        let text = lines.join("\n");
        if let Err(error) = socket.send_to_addr(text.as_bytes(), address)
            && !std::mem::replace(&mut self.has_failed, true)
        {
            log::warn!("The service manager could not be told '{}': {error}.", text.escape_debug());
        }
    }
}

/// A socket that never blocks the loop, and whom to send to: a path, or a name behind `@`.
fn open(name: OsString) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(&name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}
