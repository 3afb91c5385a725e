//! The service: the real binary on a real root, told as stories of an integrator and an administrator.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::print_stderr,
    reason = "a test may fail by panicking, and says when it leaves something out"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test starts the binary, deploys files as an integrator does, and bounds its waiting"
)]

mod administrators;
mod api;
mod audit;
mod bad_files;
mod bad_starts;
mod binaries;
mod certificates;
mod cli;
mod config;
mod demo;
mod denials;
mod doctor;
mod drift;
mod elevate;
mod elevation;
mod events;
mod fleet;
mod history;
mod hostile;
mod http;
mod job;
mod log;
mod logging;
mod messages;
mod metrics;
mod mfa;
mod notify;
mod plugin;
mod policies;
mod redelivery;
mod redirect;
mod script;
mod sessions;
mod settings;
mod sigkill;
mod sigterm;
mod start;
mod status_page;
mod strangers;
mod support;
mod trust;
mod users;
