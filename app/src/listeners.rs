//! The three loopback listeners, and a clear word about who holds a port that is taken.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};

use castellan_core::config::Settings;
use castellan_core::event::Endpoints;

use crate::failure::Failure;

/// The bound listeners.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) http: TcpListener,
    pub(crate) https: TcpListener,
    pub(crate) mqtt: TcpListener,
}

impl Listeners {
    /// Binds all three on loopback; port 0 takes any free one.
    pub(crate) fn bind(settings: &Settings) -> Result<Self, Failure> {
        Ok(Self {
            http: bind(Ipv4Addr::LOCALHOST, settings.http_port, "Settings:KestrelHttpPort")?,
            https: bind(Ipv4Addr::LOCALHOST, settings.https_port, "Settings:KestrelHttpsPort")?,
            mqtt: bind(settings.mqtt_address, settings.mqtt_port, "MqttBrokerSettings:Port")?,
        })
    }

    /// The ports in force.
    pub(crate) fn endpoints(&self) -> io::Result<Endpoints> {
        Ok(Endpoints {
            http: self.http.local_addr()?.port(),
            https: self.https.local_addr()?.port(),
            mqtt: self.mqtt.local_addr()?.port(),
        })
    }
}

fn bind(address: Ipv4Addr, port: u16, key: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind((address, port)).map_err(|error| {
        if error.kind() != ErrorKind::AddrInUse {
            return Failure::cannot_start(format!("port {port} ({key}) cannot be opened on {address}: {error}."));
        }
        let holder = match castellan_process::port_holder(port) {
            Some(holder) => format!("process {} ({}) holds it", holder.pid, holder.name),
            None => String::from("a process that this user may not look at holds it"),
        };
        Failure::cannot_start(format!(
            "port {port} is in use on {address}: {holder}. Stop that process, or choose another port in {key} of \
             appsettings.json (0 takes any free one)."
        ))
    })
}
