//! What `castellan elevate -- true` costs an ordinary user with an ALLOW policy, from its start to its end through the whole chain (socket,
//! KeeperPolicy over MQTT, the launch's job, the process), beside `sudo -n true` of the same user, in turns: one at a time, and 50 at once
//! of ten users. The figures stand in `docs/performance.md`. Needs root. `-- PATH` measures another build of castellan.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time, starts what it measures, says what it found, and may fail by panicking"
)]

#[path = "elevate/crowd.rs"]
mod crowd;
#[path = "elevate/people.rs"]
mod people;
#[path = "elevate/stage.rs"]
mod stage;

use std::process::{Command, ExitCode};
use std::thread::sleep;
use std::time::{Duration, Instant};

use people::{Person, people};
use stage::Stage;

/// A user may ask 100 times a minute.
const ROUNDS: usize = 90;
/// Before each round, so that what the former one left to do is done: records, and the launcher for the next.
const PAUSE: Duration = Duration::from_millis(60);

/// What is measured, for people.
const NAMES: [&str; 3] = ["castellan elevate -- true", "sudo -n true", "true"];

fn main() -> ExitCode {
    if let Some(code) = people::in_a_namespace() {
        return code;
    }
    let people = people();
    let stage = Stage::start(&people);
    let (one, crowd) = people.split_first().unwrap();
    one_at_a_time(&stage, one);
    crowd::measure(&stage, crowd);
    stage.stop();
    ExitCode::SUCCESS
}

fn one_at_a_time(stage: &Stage, person: &Person) {
    let mut took: [Vec<Duration>; 3] = Default::default();
    for _ in 0..ROUNDS {
        for (took, command) in took.iter_mut().zip(stage.commands(person)) {
            sleep(PAUSE);
            took.extend(command.map(time));
        }
    }
    println!("{} asks, medians of {ROUNDS} in turns, from start to end:", person.name);
    for (name, took) in NAMES.iter().zip(&mut took) {
        println!("{name:<26} {}", shown(at(took, 50)));
    }
    let [ours, theirs, _] = took.each_mut().map(|took| at(took, 50));
    ratio(ours, theirs);
}

fn time(mut command: Command) -> Duration {
    let began = Instant::now();
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}: {status}");
    began.elapsed()
}

/// A percentile; `None` where nothing was measured.
fn at(times: &mut [Duration], percent: usize) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() * percent / 100).copied()
}

fn shown(time: Option<Duration>) -> String {
    time.map_or_else(|| String::from("SKIPPED"), |time| format!("{:7.2} ms", time.as_secs_f64() * 1000.0))
}

fn ratio(ours: Option<Duration>, theirs: Option<Duration>) {
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        println!("{:.2} times sudo", ours.as_secs_f64() / theirs.as_secs_f64());
    }
}
