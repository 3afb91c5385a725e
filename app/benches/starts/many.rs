//! The start of an agent with many plugins: from the first one's order to the last one's connection, beside one alone.

use std::fs::OpenOptions;
use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use castellan_core::time::WallTime;

use crate::clients;
use crate::stage::Stage;

/// The first argument that makes the bench such a plugin.
pub(crate) const PLUGIN: &str = "plugin";
/// How many, and how often each measure is taken.
const PLUGINS: usize = 50;
const ROUNDS: usize = 5;
/// What a plugin does before it connects, besides being loaded: nothing, and as long as a runtime of its own takes to begin.
const BEGINNINGS: [Duration; 2] = [Duration::ZERO, Duration::from_millis(300)];

/// Prints what one plugin takes, and what all take together.
pub(crate) fn measure() {
    for beginning in BEGINNINGS {
        let mut alone = Vec::from_iter((0..ROUNDS).map(|_| start(1, beginning)));
        let mut together = Vec::from_iter((0..ROUNDS).map(|_| start(PLUGINS, beginning)));
        let waits = beginning.as_millis();
        let base =
            crate::say(&format!("one plugin that takes {waits} ms to begin, until it is connected"), &mut alone, None);
        crate::say(&format!("{PLUGINS} of them, until all are"), &mut together, Some(base));
    }
}

fn start(plugins: usize, beginning: Duration) -> Duration {
    let mut stage = Stage::with_plugins(plugins, beginning);
    let connected = (0..plugins).map(|_| stage.next_main().began).max().unwrap();
    let ordered = stage.first_of("PluginStarting");
    stage.stop();
    let ordered = WallTime::parse_rfc3339(&ordered).unwrap().as_millis();
    connected - Duration::from_millis(ordered.try_into().unwrap())
}

/// The plugin: begins, connects to the broker of this root, tells when it was, and waits to be ended.
pub(crate) fn plugin(root: &str, told: &str, id: &str, beginning: &str) -> ExitCode {
    std::thread::sleep(Duration::from_millis(beginning.parse().unwrap()));
    let _wire = clients::connected(root, &format!("{id}_{}", std::process::id()));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let mut report = now.as_secs().to_ne_bytes().to_vec();
    report.extend(u64::from(now.subsec_nanos()).to_ne_bytes());
    report.extend(u64::from(std::process::id()).to_ne_bytes());
    OpenOptions::new().write(true).open(told).unwrap().write_all(&report).unwrap();
    loop {
        std::thread::park();
    }
}
