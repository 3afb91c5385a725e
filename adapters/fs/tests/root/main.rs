//! The agent root in temporary folders, with the real file system under it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may fail by panicking, makes the files it needs, and says what it left out"
)]

mod audit;
mod certificates;
mod crash;
mod definitions;
mod drift;
mod elevations;
mod history;
mod journal;
mod log_file;
mod messages;
mod opening;
mod past;
mod policies;
mod references;
mod settings;
mod support;
