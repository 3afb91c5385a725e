//! The HTTP and HTTPS servers of the local API, a small HTTPS client, and the port of Http tasks on top of it.
//!
//! Bytes become [`castellan_core::api::ApiRequest`] and [`castellan_core::api::ApiResponse`] becomes bytes. What is decided
//! here is framing and endurance alone (sizes, times, counts, malformed heads); who may do what is decided by the core.

pub mod calls;
pub mod client;
mod server;
mod tls;

pub use server::{AnswerAtOnce, Counters, Failure, Observe, Server, ServerConfig, start};
pub use tls::{certificate_sha256, client_tls, tls_config};
