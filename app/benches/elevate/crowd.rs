//! Many at once: how long each waits, how many come through in a second, and what the agent takes of memory meanwhile.

use std::process::Command;
use std::sync::Barrier;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::people::Person;
use crate::stage::Stage;
use crate::{NAMES, PAUSE, at, ratio, shown, time};

/// Requests at once, of all people together.
const TOGETHER: usize = 50;
/// How often; a user may ask 100 times a minute.
const WAVES: usize = 12;

/// What was measured of one way to run something.
#[derive(Default)]
struct Crowd {
    /// How long each waited.
    took: Vec<Duration>,
    /// How long all of a wave took.
    whole: Vec<Duration>,
}

pub(crate) fn measure(stage: &Stage, people: &[Person]) {
    let mut crowds: [Crowd; 3] = Default::default();
    let before = stage.memory("VmRSS");
    stage.forget_the_peak();
    for _ in 0..WAVES {
        let asking: Vec<&Person> = people.iter().cycle().take(TOGETHER).collect();
        for (way, crowd) in crowds.iter_mut().enumerate() {
            sleep(PAUSE * 5);
            let commands = asking.iter().filter_map(|person| stage.commands(person).into_iter().nth(way)?).collect();
            crowd.wave(commands);
        }
    }
    println!("{TOGETHER} at once of {} users, {WAVES} times in turns:", people.len());
    for (name, Crowd { took, whole }) in NAMES.iter().zip(&mut crowds) {
        let rate = at(whole, 50).map_or(0.0, |whole| TOGETHER as f64 / whole.as_secs_f64());
        println!("{name:<26} p50 {}, p99 {}, {rate:.0} a second", shown(at(took, 50)), shown(at(took, 99)));
    }
    let [ours, theirs, _] = crowds.each_mut().map(|crowd| at(&mut crowd.whole, 50));
    ratio(ours, theirs);
    println!("the agent's memory: {before} KiB before, {} KiB at most", stage.memory("VmHWM"));
}

impl Crowd {
    fn wave(&mut self, commands: Vec<Command>) {
        if commands.is_empty() {
            return;
        }
        let start = Barrier::new(commands.len() + 1);
        scope(|scope| {
            let wait = |command: Command| {
                start.wait();
                time(command)
            };
            let waiting: Vec<_> = commands.into_iter().map(|command| scope.spawn(move || wait(command))).collect();
            start.wait();
            let began = Instant::now();
            self.took.extend(waiting.into_iter().map(|one| one.join().unwrap()));
            self.whole.push(began.elapsed());
        });
    }
}
