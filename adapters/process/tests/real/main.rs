//! The process port with real processes, in a cgroup of their own and held together by their session.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::explicit_write,
    reason = "a test may fail by panicking, starts what it tests, and says what it skips past the harness"
)]

mod caller;
mod hostile;
mod identity;
mod leftovers;
mod lifetime;
mod limited;
mod passing;
mod replaced;
mod rig;
mod scale;
mod starting;
mod stopped;
