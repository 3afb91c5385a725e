//! `state/ports.json`: the ports in force, for tests and for several agents on one machine (contract section 1).

use castellan_core::event::Endpoints;
use serde_json::json;

use crate::error::RootError;
use crate::root::Root;

const PLACE: &str = "state";
const NAME: &str = "ports.json";

/// The file while it stands; there is one exactly while the agent is ready.
#[derive(Debug)]
pub struct PortsFile(Root);

impl PortsFile {
    /// Removes what an agent left behind that did not stop in order. To be called before the listeners open.
    ///
    /// # Errors
    /// [`RootError`] where it cannot be removed.
    pub fn remove_stale(root: &Root) -> Result<(), RootError> {
        root.remove(PLACE, NAME)
    }

    /// Writes `{"http","https","mqtt","pid"}` in one step.
    ///
    /// # Errors
    /// [`RootError`] where it cannot be written.
    pub fn write(root: &Root, ports: Endpoints, pid: u32) -> Result<Self, RootError> {
        let text = json!({"http": ports.http, "https": ports.https, "mqtt": ports.mqtt, "pid": pid}).to_string();
        root.replace(PLACE, NAME, format!("{text}\n").as_bytes(), 0o644)?;
        Ok(Self(root.clone()))
    }

    /// Removes it at a stop in order.
    ///
    /// # Errors
    /// [`RootError`] where it cannot be removed.
    pub fn remove(self) -> Result<(), RootError> {
        self.0.remove(PLACE, NAME)
    }
}
