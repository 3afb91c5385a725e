//! What a start costs through the whole agent: from a trigger on an open connection (HTTPS, MQTT) to the first line of a static
//! program's `main()`, and from a plugin's SIGKILL to that of its replacement, beside a bare posix_spawn of the same program in turns;
//! and the start of an agent with many plugins (alone with `-- plugins`).
//! The figures stand in `docs/performance.md`. Needs a C compiler with a static libc.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time, starts what it measures, says what it found, and may fail by panicking"
)]

#[path = "starts/clients.rs"]
mod clients;
#[path = "starts/many.rs"]
mod many;
#[path = "starts/stage.rs"]
mod stage;

use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::Duration;

use clients::{Https, Sender};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};
use stage::Stage;

const ROUNDS: usize = 300;
/// Before each round, so that what the former one left to do is done: its record, and the launcher for the next.
const PAUSE: Duration = Duration::from_millis(60);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|verb| verb == clients::SENDER) {
        return clients::send_when_told(&arguments[2], &arguments[3]);
    }
    if arguments.get(1).is_some_and(|verb| verb == many::PLUGIN) {
        return many::plugin(&arguments[2], &arguments[3], &arguments[4], &arguments[5]);
    }
    if !arguments.iter().any(|argument| argument == "plugins") {
        single_starts();
    }
    many::measure();
    ExitCode::SUCCESS
}

/// One start at a time.
fn single_starts() {
    let mut stage = Stage::start();
    let mut https = Https::connect(&stage);
    let (mut bare, mut by_https, mut by_mqtt, mut again) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    https.post("/api/Jobs/sender/trigger");
    let mut sender = Sender::accept(&stage);
    for _ in 0..ROUNDS {
        sleep(PAUSE);
        bare.push(bare_start(&mut stage));
        sleep(PAUSE);
        let ordered = monotonic();
        https.post("/api/Jobs/probe/trigger");
        by_https.push(stage.next_main().began - ordered);
        sleep(PAUSE);
        let ordered = sender.send();
        by_mqtt.push(stage.next_main().began - ordered);
    }
    // Started and restarted by hand, which forgets earlier ends: five within a minute would make it Failed.
    https.post("/api/plugins/plugin/start");
    for _ in 0..ROUNDS / 3 {
        let by_hand = stage.next_main().pid;
        sleep(PAUSE);
        let killed = monotonic();
        kill_process(Pid::from_raw(by_hand).unwrap(), Signal::KILL).unwrap();
        again.push(stage.next_main().began - killed);
        sleep(PAUSE);
        https.post("/api/plugins/plugin/restart");
    }
    stage.next_main();
    stage.stop();
    let base = say("bare posix_spawn to main()", &mut bare, None);
    say("POST over an open HTTPS connection to main()", &mut by_https, Some(base));
    say("PUBLISH on an open MQTT connection to main()", &mut by_mqtt, Some(base));
    say("a plugin's SIGKILL to its replacement's main()", &mut again, Some(base));
}

fn bare_start(stage: &mut Stage) -> Duration {
    let mut command = Command::new(stage.program());
    command.arg(stage.main_begins()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let began = monotonic();
    let mut child = command.spawn().unwrap();
    let took = stage.next_main().began - began;
    child.wait().unwrap();
    took
}

pub(crate) fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// Prints the median and the 99th percentile, and answers with the median.
fn say(what: &str, times: &mut [Duration], base: Option<Duration>) -> Duration {
    times.sort_unstable();
    let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let ratio = base.map_or_else(String::new, |base| format!("  {:.2} x", median.as_secs_f64() / base.as_secs_f64()));
    println!("{what:60} p50 {:>7} µs  p99 {:>7} µs{ratio}", median.as_micros(), late.as_micros());
    median
}
