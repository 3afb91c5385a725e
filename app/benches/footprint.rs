//! What 10,000 scheduled jobs cost the running agent: its memory beside that of an empty root, the time until it is ready, and the
//! processor time it takes while nothing is due. The figures stand in `docs/performance.md`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time, starts what it measures, says what it found, and may fail by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

const JOBS: usize = 10_000;
const IDLE: Duration = Duration::from_secs(10);
/// How long an agent may take to be ready or to end.
const PATIENCE: Duration = Duration::from_secs(120);

/// Due on New Year's Day only, so that nothing is due while it is measured.
fn schedule(number: usize) -> Value {
    json!({"cronExpression": format!("{} {} 1 1 *", number % 60, number % 24)})
}

/// A command by schedule.
fn plain(number: usize) -> Value {
    json!({"id": format!("job-{number}"), "name": format!("Job {number}"), "schedule": schedule(number),
           "tasks": [{"id": "scan", "command": "scanner", "arguments": "--depth 3"}]})
}

/// With nearly everything that a job can have.
fn full(number: usize) -> Value {
    let id = format!("job-{number}");
    json!({
        "id": id, "name": format!("Job {number}"), "description": "Scans a folder and reports what it found.", "enabled": true,
        "priority": 5, "events": [{"eventType": "Custom", "customEvent": format!("Event{number}")}],
        "schedule": schedule(number),
        "parameters": [{"name": "Folder", "type": "string", "defaultValue": "/srv"}, {"name": "Depth", "type": "integer", "default": 3}],
        "condition": "Depth > 5 && Folder startsWith \"/srv\"",
        "mqttTopics": {"allowedPublications": ["KeeperLogger"], "allowedSubscriptions": [format!("{id}/#")]},
        "tasks": [
            {"id": "scan", "name": "Scan", "command": "scanner", "arguments": "--folder {Folder} --depth {Depth}",
             "timeoutSeconds": 600, "mergeStdoutJsonIntoContext": true, "onFailure": "report"},
            {"id": "report", "name": "Report", "command": "publish-mqtt", "arguments": "--topic KeeperLogger --payload {LastExitCode}"},
        ],
    })
}

fn root(jobs: usize, document: fn(usize) -> Value) -> TempDir {
    let folder = tempfile::Builder::new().prefix("castellan-bench-").tempdir().unwrap();
    fs::create_dir_all(folder.path().join("Jobs")).unwrap();
    let settings =
        json!({"Settings": {"KestrelHttpPort": 0, "KestrelHttpsPort": 0}, "MqttBrokerSettings": {"Port": 0}});
    fs::write(folder.path().join("appsettings.json"), settings.to_string()).unwrap();
    for number in 0..jobs {
        fs::write(folder.path().join(format!("Jobs/job-{number}.json")), document(number).to_string()).unwrap();
    }
    folder
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    while started.elapsed() < PATIENCE {
        if let Some(found) = look() {
            return found;
        }
        sleep(Duration::from_millis(5));
    }
    panic!("{what} did not come about within {PATIENCE:?}");
}

/// Kilobytes of a line of `/proc/PID/status`.
fn memory(agent: &Child, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap()
}

/// Clock ticks (hundredths of a second) of user and system time so far.
fn ticks(agent: &Child) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.id())).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

struct Footprint {
    ready: Duration,
    resident: u64,
    anonymous: u64,
    peak: u64,
    idle_ticks: u64,
}

fn measure(root: &Path) -> Footprint {
    let started = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.arg("run").arg("--root").arg(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut agent = command.spawn().unwrap();
    until("state/ports.json", || {
        assert_eq!(agent.try_wait().unwrap(), None, "the agent ended; start it by hand to see why");
        root.join("state/ports.json").exists().then_some(())
    });
    let ready = started.elapsed();
    // What follows the start (the first look at the history, log lines) is over when the processor rests for a second.
    let mut before = ticks(&agent);
    until("rest", || {
        sleep(Duration::from_secs(1));
        let now = ticks(&agent);
        (std::mem::replace(&mut before, now) == now).then_some(())
    });
    let (resident, anonymous, peak) = (memory(&agent, "VmRSS:"), memory(&agent, "RssAnon:"), memory(&agent, "VmHWM:"));
    sleep(IDLE);
    let idle_ticks = ticks(&agent) - before;
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    until("its end", || agent.try_wait().unwrap());
    Footprint { ready, resident, anonymous, peak, idle_ticks }
}

fn main() {
    println!(
        "root                ready after    VmRSS        RssAnon      VmHWM        processor time while idle for {IDLE:?}"
    );
    let found = [
        ("empty", 0, plain as fn(usize) -> Value),
        ("10,000 plain jobs", JOBS, plain),
        ("10,000 full jobs", JOBS, full),
    ];
    let found = found.map(|(name, jobs, document)| {
        let root = root(jobs, document);
        let it = measure(root.path());
        println!(
            "{name:<19} {:<14.2?} {:<8} KiB {:<8} KiB {:<8} KiB {} ms",
            it.ready,
            it.resident,
            it.anonymous,
            it.peak,
            it.idle_ticks * 10
        );
        it.resident
    });
    let [empty, plain, full] = found;
    let more = |jobs: u64| (jobs - empty) as f64 / 1024.0;
    println!("added: {:.1} MiB by plain jobs, {:.1} MiB by full ones", more(plain), more(full));
}
