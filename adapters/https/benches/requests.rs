//! What a request costs: a whole agent in a process of its own beside a bare program of hyper, smol and rustls in another, in turns
//! in one run, over TLS connections that stay open. The figures stand in `docs/performance.md`.
//!
//! The agent is the binary `castellan` of the same profile, which has to be built before.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time, starts what it measures, says what it found, and may fail by panicking"
)]

#[path = "requests/bare.rs"]
mod bare;
#[path = "requests/client.rs"]
mod client;
#[path = "requests/stage.rs"]
mod stage;

use std::net::TcpStream;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use client::{Load, Target};
use stage::{Agent, Bare};

/// Rounds of each of two that are compared, in turns; the median counts.
const ROUNDS: usize = 7;
/// How long one round takes.
const ROUND: Duration = Duration::from_millis(1500);
/// Jobs in service.
const JOBS: usize = 1000;
/// How often `castellan status` is called.
const STATUS: usize = 51;
/// More than any place there is, where the machine lets one process have so many.
const IDLE: usize = 10_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|verb| verb == bare::VERB) {
        return bare::serve(&arguments[2]);
    }
    let (agent, bare) = (Agent::start(JOBS), Bare::start());
    let (ours, theirs) = (agent.target(), bare.target());
    for connections in [1, 64] {
        let (mut own, mut other) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            other.push(client::load(&theirs, "GET", "/health", connections, ROUND));
            own.push(client::load(&ours, "GET", "/health", connections, ROUND));
        }
        let base = say(&format!("bare GET /health, {connections} open"), other, None);
        say(&format!("agent GET /health, {connections} open"), own, Some(base));
    }
    alone(&ours, "GET", "/api/Jobs", 1);
    alone(&ours, "GET", "/api/Jobs", 8);
    alone(&ours, "GET", "/api/Jobs/job0", 8);
    let mut status: Vec<Duration> = (0..STATUS).map(|_| agent.status()).collect();
    status.sort();
    println!("castellan status, {STATUS} times: p50 {:.1?}, slowest {:.1?}", status[STATUS / 2], status[STATUS - 1]);
    crowd(&ours);
    // Last, as runs go on for a while.
    alone(&ours, "POST", "/api/Jobs/job0/trigger", 1);
    alone(&ours, "POST", "/api/Jobs/job0/trigger", 64);
    ExitCode::SUCCESS
}

fn alone(target: &Target, method: &str, path: &str, connections: usize) {
    let rounds = (0..3).map(|_| client::load(target, method, path, connections, ROUND)).collect();
    say(&format!("agent {method} {path}, {connections} open"), rounds, None);
}

/// A crowd of silent connections beyond every bound, and what a client that works feels of them.
fn crowd(target: &Target) {
    let before = client::load(target, "GET", "/health", 1, ROUND);
    let began = Instant::now();
    let mut crowd = Vec::new();
    while let (true, Ok(stream)) = (crowd.len() < IDLE, TcpStream::connect(target.address)) {
        crowd.push(stream);
    }
    let took = began.elapsed();
    let after = client::load(target, "GET", "/health", 1, ROUND);
    println!("{} silent connections made in {took:.2?}", crowd.len());
    let base = say("  a client before them", vec![before], None);
    say("  a client among them", vec![after], Some(base));
}

/// Prints the median round; its rate.
fn say(what: &str, mut rounds: Vec<Load>, base: Option<f64>) -> f64 {
    rounds.sort_by(|left, right| left.rate().total_cmp(&right.rate()));
    let median = &rounds[rounds.len() / 2];
    let (rate, p50, p99) = (median.rate(), median.percentile(50), median.percentile(99));
    let part = base.map_or_else(String::new, |base| format!(", {:.2} of it", rate / base));
    let refused = if median.refused > 0 { format!(", {} refused", median.refused) } else { String::new() };
    println!("{what:<44} {rate:>8.0}/s  p50 {p50:>9.1?}  p99 {p99:>9.1?}{part}{refused}");
    rate
}
