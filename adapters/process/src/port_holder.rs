//! Who listens on a port: for the message to a person whose agent cannot start, never for trust.

use std::fs;

/// A process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortHolder {
    /// Process id.
    pub pid: u32,
    /// Its short name (`/proc/PID/comm`), which it chose itself.
    pub name: String,
}

/// State `LISTEN` as `/proc/net/tcp` writes it.
const LISTEN: &str = "0A";

/// The process that listens on this TCP port; `None` where there is none or this user may not look at it.
pub fn port_holder(port: u16) -> Option<PortHolder> {
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| listening_inode(table, port))?;
    let wanted = format!("socket:[{inode}]");
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else { continue };
        let holds = descriptors
            .flatten()
            .any(|descriptor| fs::read_link(descriptor.path()).is_ok_and(|link| link.to_str() == Some(&wanted)));
        if holds {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(PortHolder { pid, name: name.trim().escape_debug().to_string() });
        }
    }
    None
}

/// The socket's inode from lines like `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode …`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    let text = fs::read_to_string(table).ok()?;
    let ending = format!(":{port:04X}");
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let listens = fields.get(1)?.ends_with(&ending) && *fields.get(3)? == LISTEN;
        listens.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}
