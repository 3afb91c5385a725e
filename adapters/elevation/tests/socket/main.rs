//! The request socket with real sockets, real users and real descriptors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    clippy::explicit_write,
    reason = "a test may fail by panicking, starts what it tests, and says what it skips past the harness"
)]

mod asking;
mod hostile;
mod own;
mod places;
mod rig;
mod standing;
