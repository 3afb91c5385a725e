//! The servers and the client over real sockets; the test plays the agent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    reason = "a test may fail by panicking"
)]

mod calls;
mod client;
mod endurance;
mod exchange;
mod framing;
mod streams;
mod support;
mod tls;
