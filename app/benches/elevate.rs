//! What `castellan elevate -- true` costs with an ALLOW policy, from its start to its end through the whole chain (socket, KeeperPolicy
//! over MQTT, the launch's job, the process), beside `sudo -n true`, or `su -c true` where there is no sudo, in turns.
//! The figures stand in `docs/performance.md`. Needs root.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time, starts what it measures, says what it found, and may fail by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

/// A user may ask 100 times a minute.
const ROUNDS: usize = 90;
/// Before each round, so that what the former one left to do is done: records, and the launcher for the next.
const PAUSE: Duration = Duration::from_millis(60);
/// How long the agent may take until it answers.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    let folder = tempfile::Builder::new().prefix("castellan-bench-").tempdir().unwrap();
    let root = folder.path().join("root");
    assert!(castellan(&root, &["init", "--quiet"]).status().unwrap().success());
    let settings = json!({
        "Settings": { "KestrelHttpPort": 0, "KestrelHttpsPort": 0, "system.logging.journal": "" },
        "MqttBrokerSettings": { "Port": 0 }
    });
    fs::write(root.join("appsettings.json"), settings.to_string()).unwrap();
    let policy = json!({
        "PolicyId": "all", "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": ["ALLOW"],
        "Rules": [{ "Expression": "CheckUser()" }], "UserCheck": ["*"]
    });
    fs::write(root.join("Policies/all.json"), policy.to_string()).unwrap();
    let mut agent = castellan(&root, &["run"]).spawn().unwrap();
    measure(&root);
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    assert!(agent.wait().unwrap().success());
    ExitCode::SUCCESS
}

fn castellan(root: &Path, arguments: &[&str]) -> Command {
    quiet(env!("CARGO_BIN_EXE_castellan"), &[&["--root", root.to_str().unwrap()], arguments].concat())
}

fn quiet(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn measure(root: &Path) {
    let elevate = || castellan(root, &["elevate", "--", "true"]);
    let began = Instant::now();
    while !elevate().status().unwrap().success() {
        assert!(began.elapsed() < PATIENCE, "it is not allowed; say it by hand to see why");
        sleep(PAUSE);
    }
    let sudo = || quiet("sudo", &["-n", "true"]);
    let (peer, name): (&dyn Fn() -> Command, _) =
        if sudo().spawn().as_mut().is_ok_and(|child: &mut Child| child.wait().unwrap().success()) {
            (&sudo, "sudo -n true")
        } else {
            (&|| quiet("su", &["-c", "true"]), "su -c true")
        };
    let (mut ours, mut theirs, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(time(elevate()));
        theirs.push(time(peer()));
        bare.push(time(quiet("true", &[])));
    }
    let (ours, theirs, bare) = (median(ours), median(theirs), median(bare));
    println!("medians of {ROUNDS} in turns, from start to end:");
    for (name, took) in [("castellan elevate -- true", ours), (name, theirs), ("true", bare)] {
        println!("{name:<26} {:6.2} ms", took.as_secs_f64() * 1000.0);
    }
    println!("{:.2} times {name}", ours.as_secs_f64() / theirs.as_secs_f64());
}

fn time(mut command: Command) -> Duration {
    sleep(PAUSE);
    let began = Instant::now();
    assert!(command.status().unwrap().success(), "{command:?}");
    began.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
