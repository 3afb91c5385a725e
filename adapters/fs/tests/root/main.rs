//! The agent root in temporary folders, with the real file system under it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking, and makes the files it needs"
)]

mod certificates;
mod definitions;
mod history;
mod log_file;
mod messages;
mod opening;
mod past;
mod policies;
mod settings;
mod support;
