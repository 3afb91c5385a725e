//! Every decision Castellan takes, as deterministic state machines: what runs when, who may connect, publish, subscribe and call.
//!
//! There are two machines, [`agent::Agent`] (orchestration) and [`broker::Broker`] (messaging). Both are driven by
//! `handle(now, event, effects)` alone: an event says what happened, an effect asks the shell to do something, and
//! `next_deadline` says when to come back. The same pairs of `(now, event)` always give the same effects.
//!
//! What this crate never does: read a clock, draw a random number, open a file or a socket, block, panic.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod acl;
pub mod agent;
pub mod api;
pub mod audit;
pub mod broker;
pub mod certificate;
pub mod config;
pub mod configuration_policy;
mod digest;
pub mod doctor;
pub mod effect;
pub mod elevation;
pub mod event;
pub mod fleet;
mod hexadecimal;
pub mod id;
pub mod job;
pub mod json;
pub mod limits;
pub mod lkg;
pub mod log_message;
pub mod mfa;
pub mod plugin;
pub mod policy;
mod program;
mod redirect;
mod regular;
pub mod resources;
pub mod run;
pub mod schedule;
pub mod schema;
mod shape;
pub mod simulation;
pub mod surroundings;
mod text;
pub mod time;
pub mod trace;
pub mod trust;
mod turn;
pub mod user;
pub mod why;

pub use hexadecimal::hexadecimal;
