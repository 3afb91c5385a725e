//! The broker beside mosquitto, in the same run and by the same clients: throughput, latency, connections, memory. Each broker is a
//! process of its own; the clients are plain sockets in this one. The figures stand in `docs/performance.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a bench measures time, starts its peers, and may fail by panicking"
)]

mod brokers;
mod client;
mod load;

use std::time::Duration;

use brokers::Peer;
use load::{Exchange, burst, connects, exchange, idle, latency};

/// How often each figure is taken; the median is told.
const ROUNDS: usize = 3;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == brokers::SERVE) {
        brokers::serve(&arguments[1..]);
        return;
    }
    // `cargo test --benches` runs this program too, and then nothing is to be measured.
    if !arguments.iter().any(|argument| argument == "--bench") {
        println!("nothing is measured without --bench");
        return;
    }
    let wanted = arguments.iter().find(|argument| !argument.starts_with('-')).cloned().unwrap_or_default();
    println!("{:<44} {:>12} {:>12} {:>7}", "", "castellan", "mosquitto", "ratio");
    for (name, exchange_of) in exchanges() {
        compare(&wanted, name, |peer| exchange(peer, &exchange_of));
    }
    compare(&wanted, "connections with TLS and CONNECT, a second", connects);
    for (name, which) in [("latency at 1,000 a second, p50, us", 0), ("latency at 1,000 a second, p99, us", 1)] {
        compare(&wanted, name, |peer| latency(peer)[which]);
    }
    compare(&wanted, "memory of a broker without clients, MiB", |peer| idle(peer, 0));
    compare(&wanted, "memory of an idle connection, KiB", |peer| {
        let empty = idle(peer, 0);
        (idle(peer, 500) - empty) * 1024.0 / 500.0
    });
    compare(&wanted, "memory a minute after 60,000 x 1 KiB past a stuck subscriber, MiB", |peer| {
        burst(peer, Duration::from_secs(60))
    });
}

fn exchanges() -> Vec<(&'static str, Exchange)> {
    let one = Exchange { pairs: 1, subscribers: 1, qos: 0, window: 1000, messages: 200_000 };
    vec![
        ("QoS 0, 1 to 1, messages a second", one),
        ("QoS 1, 1 to 1, messages a second", Exchange { qos: 1, window: 100, messages: 100_000, ..one }),
        ("QoS 2, 1 to 1, messages a second", Exchange { qos: 2, window: 100, messages: 50_000, ..one }),
        ("QoS 1, 1 to 1, unbatched", Exchange { qos: 1, window: 1, messages: 20_000, ..one }),
        ("QoS 0, 1 to 10, deliveries a second", Exchange { subscribers: 10, messages: 50_000, ..one }),
        ("QoS 1, 10 pairs, messages a second", Exchange { pairs: 10, qos: 1, window: 100, messages: 10_000, ..one }),
    ]
}

/// One line: the median of several rounds for each broker, in turns, and their ratio.
fn compare(wanted: &str, name: &str, measure: impl Fn(&Peer) -> f64) {
    if !name.contains(wanted) {
        return;
    }
    let mut rounds: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..ROUNDS {
        for (which, figures) in rounds.iter_mut().enumerate() {
            let peer = if which == 0 { Peer::castellan() } else { Peer::mosquitto() };
            match peer {
                Ok(peer) => figures.push(measure(&peer)),
                Err(why) => eprintln!("{why}"),
            }
        }
    }
    let median = |figures: &mut Vec<f64>| {
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    };
    let [ours, theirs] = [median(&mut rounds[0]), median(&mut rounds[1])];
    println!("{name:<44} {ours:>12.1} {theirs:>12.1} {:>7.2}", ours / theirs);
}
