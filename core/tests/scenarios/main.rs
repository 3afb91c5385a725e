//! Whole-agent stories through the public API alone: events in, the transcript of effects compared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a test may fail by panicking"
)]

mod administrators;
mod api;
mod broker;
mod bundles;
mod certificates;
mod documented;
mod elevation;
mod endurance;
mod http;
mod idempotency;
mod jobs;
mod limits;
mod lkg;
mod logs;
mod plugins;
mod policies;
mod random;
mod redelivery;
mod redirect;
mod restart;
mod runs;
mod sessions;
mod settings;
// The laws use the same facts; they cannot lend them, as their crate needs this one.
#[path = "../../../proptests/src/signed.rs"]
mod signed;
mod starts;
mod stop;
mod strangers;
mod streams;
mod telemetry;
mod tiers;
mod world;
