//! `cargo sim`: plays worlds from seeds and says which broke an invariant, with the command that plays it again.
#![expect(clippy::print_stdout, reason = "its output is for people")]

use std::process::ExitCode;

use castellan_proptests::elevations;
use castellan_proptests::sim::{STEPS, play, root};

const USAGE: &str = "cargo sim [--seeds N] [--from SEED] | --seed SEED [--trace]; and --steps N";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((first, count, steps, trace)) = read(&arguments) else {
        println!("usage: {USAGE}");
        return ExitCode::from(2);
    };
    // A panic is told as the invariant `total`, on one line; with --trace in full.
    if !trace {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let (mut runs, mut tasks, mut lives, mut failures) = (0_usize, 0_usize, 0_u64, 0_u64);
    let (mut total, mut elevated) = (root::Tally::default(), elevations::Tally::default());
    for seed in first..first.saturating_add(count) {
        let mut print = |line: &str| {
            if trace {
                println!("{line}");
            }
        };
        match play(seed, steps, &mut print) {
            Ok(summary) => {
                runs = runs.saturating_add(summary.runs);
                tasks = tasks.saturating_add(summary.tasks);
                lives = lives.saturating_add(summary.lives);
            }
            Err(failure) => {
                println!("{failure}");
                failures = failures.saturating_add(1);
            }
        }
        match root::play(seed, steps, &mut print) {
            Ok(tally) => total.add(&tally),
            Err(failure) => {
                println!("{failure}");
                failures = failures.saturating_add(1);
            }
        }
        match elevations::play(seed, steps) {
            Ok(tally) => elevated.add(&tally),
            Err(failure) => {
                println!("{failure}");
                failures = failures.saturating_add(1);
            }
        }
    }
    let elevations::Tally { lives: agents, requests, launches, reused, .. } = elevated;
    println!("{count} seeds from {first}: {lives} lives, {runs} runs ended, {tasks} tasks, {failures} worlds failed");
    let root::Tally { lives, programs, writes, restores, .. } = total;
    println!("their roots: {lives} lives, {programs} programs, {writes} blessed writes, {restores} restores");
    println!("their elevations: {agents} lives, {requests} requests, {launches} launches, {reused} of them on a grant");
    if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// First seed, how many, steps of each, and whether to trace.
fn read(arguments: &[String]) -> Option<(u64, u64, u64, bool)> {
    let (mut first, mut count, mut steps, mut trace) = (1, 500, STEPS, false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--trace" {
            trace = true;
            continue;
        }
        let value = rest.next()?.parse().ok()?;
        match argument.as_str() {
            "--seeds" => count = value,
            "--from" => first = value,
            "--seed" => (first, count) = (value, 1),
            "--steps" => steps = value,
            _ => return None,
        }
    }
    Some((first, count, steps, trace))
}
