//! How long a file stays changed before it is restored, what a sweep of 1,000 files costs, and what watching costs while nothing changes.
//! The figures stand in `docs/performance.md`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time, starts what it measures, says what it found, and may fail by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::hint::spin_loop;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use castellan_core::event::DefinitionKind;
use castellan_core::lkg::{Document, Item};
use castellan_fs::Root;
use castellan_fs::lkg::survey::{Surveyor, Where};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tempfile::TempDir;

const JOBS: usize = 1000;
/// Of each kind of change; each changes another file, so that none is a fight.
const CHANGES: usize = 200;
/// More than the 60 seconds between two sweeps, so that one is in it.
const IDLE: Duration = Duration::from_secs(65);
const PATIENCE: Duration = Duration::from_secs(60);

fn document(number: usize) -> String {
    let padding = "x".repeat(400);
    json!({"id": format!("job-{number}"), "name": "Job", "description": padding, "tasks": [{"id": "scan", "command": "scanner"}]})
        .to_string()
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("castellan-bench-").tempdir().unwrap()
}

fn until(what: &str, mut look: impl FnMut() -> bool) {
    let started = Instant::now();
    while !look() {
        assert!(started.elapsed() < PATIENCE, "{what} did not come about within {PATIENCE:?}");
        spin_loop();
    }
}

fn tell(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("{what:<40} p50 {:>8.2?}   p99 {:>8.2?}   of {}", at(50), at(99), times.len());
}

/// A look at everything, by itself.
fn sweep() {
    let folder = folder();
    let root = Root::open(folder.path()).unwrap();
    let mut surveyor = Surveyor::new(&root, "Plugins", Arc::default()).unwrap();
    for number in 0..JOBS {
        let text = document(number);
        fs::write(folder.path().join(format!("Jobs/job-{number}.json")), &text).unwrap();
        let item = Item::new(DefinitionKind::Job, format!("job-{number}"));
        surveyor.bless(&item, Some(Document::from(text.as_bytes())));
    }
    let times = (0..100).map(|_| {
        let started = Instant::now();
        let survey = surveyor.look(&Where::Everywhere);
        assert!(survey.differences.is_empty(), "{:?}", survey.differences.first());
        started.elapsed()
    });
    tell("sweep of 1,000 clean files", times.collect());
}

/// Processor time of each thread so far, by its number and name, in nanoseconds.
fn used(agent: &Child) -> BTreeMap<(u32, String), u64> {
    let threads = fs::read_dir(format!("/proc/{}/task", agent.id())).unwrap().flatten();
    let one = |thread: fs::DirEntry| {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap();
        let number = thread.file_name().to_str().unwrap().parse().unwrap();
        let time = read("schedstat").split(' ').next().unwrap().parse().unwrap();
        ((number, read("comm").trim_end().to_owned()), time)
    };
    threads.map(one).collect()
}

/// What the agent uses while nothing changes, and which thread it is, so that a figure that surprises tells its cause.
fn idle(agent: &Child) {
    let before = used(agent);
    sleep(IDLE);
    let share = |time: u64| time as f64 / IDLE.as_nanos() as f64 * 100.0;
    let mut sum = 0.0;
    for (thread, time) in used(agent) {
        // One that began meanwhile used all of its time in it.
        let part = share(time - before.get(&thread).copied().unwrap_or(0));
        sum += part;
        if part > 0.0 {
            println!("  thread {:<15} {part:.4} % of a core", thread.1);
        }
    }
    println!("the whole agent while idle, one sweep in it  {sum:.4} % of a core");
}

fn restore(what: &str, jobs: &Path, numbers: std::ops::Range<usize>, change: impl Fn(&Path)) {
    let times = numbers.map(|number| {
        let path = jobs.join(format!("job-{number}.json"));
        let expect = document(number);
        change(&path);
        let started = Instant::now();
        let is_back = || {
            let is_file = fs::symlink_metadata(&path).is_ok_and(|stat| stat.is_file());
            is_file && fs::read_to_string(&path).is_ok_and(|text| text == expect)
        };
        until("the restored file", is_back);
        let took = started.elapsed();
        // The agent's own events of it, and the watcher's rest.
        sleep(Duration::from_millis(40));
        took
    });
    tell(what, times.collect());
}

fn main() {
    sweep();
    let folder = folder();
    let jobs = folder.path().join("Jobs");
    fs::create_dir_all(&jobs).unwrap();
    let settings =
        json!({"Settings": {"KestrelHttpPort": 0, "KestrelHttpsPort": 0}, "MqttBrokerSettings": {"Port": 0}});
    fs::write(folder.path().join("appsettings.json"), settings.to_string()).unwrap();
    for number in 0..JOBS {
        fs::write(jobs.join(format!("job-{number}.json")), document(number)).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.arg("run").arg("--root").arg(folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut agent = command.spawn().unwrap();
    until("the first references", || folder.path().join("state/lkg/manifest").exists());
    sleep(Duration::from_secs(5));

    restore("restored after an edit", &jobs, 0..CHANGES, |path| fs::write(path, "{}").unwrap());
    restore("restored after a rename over it", &jobs, CHANGES..2 * CHANGES, |path| {
        let other = path.with_extension("tmp");
        fs::write(&other, "{}").unwrap();
        fs::rename(other, path).unwrap();
    });
    restore("restored after a delete", &jobs, 2 * CHANGES..3 * CHANGES, |path| fs::remove_file(path).unwrap());
    restore("restored after a link in its place", &jobs, 3 * CHANGES..4 * CHANGES, |path| {
        let other = path.with_extension("tmp");
        symlink("/etc/passwd", &other).unwrap();
        fs::rename(other, path).unwrap();
    });

    sleep(Duration::from_secs(25));
    idle(&agent);
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    agent.wait().unwrap();
}
