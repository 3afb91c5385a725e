//! The agent root on disk: definitions, run history, plugin settings, the broker's state, audit, log files, ports, certificates and keys.
//!
//! Everything here is a fact or an order carried out; what a file means and who may change it is decided by the core.
//! Nothing below the root is opened by a path that somebody else could have bent: folders are held open, names are opened
//! relative to them, links are never followed, and what is written is on disk before it has its name.

pub mod audit;
pub mod certificates;
mod database;
mod definitions;
mod digest;
mod durable;
mod error;
mod files;
pub mod history;
pub mod install;
pub mod lkg;
pub mod log_file;
pub mod log_reader;
pub mod messages;
pub mod mfa;
pub mod past;
pub mod policies;
pub mod policy_source;
mod ports;
mod root;
mod sealing;
pub mod settings;
mod store;

pub use definitions::definitions_of;
pub use durable::replace_file;
pub use error::RootError;
pub use ports::PortsFile;
pub use root::Root;
pub use store::{QueueFull, Store};
