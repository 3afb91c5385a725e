//! What the process port costs: telling who is at the other end of a connection on a machine with 10,000 sockets and 1,000
//! processes, and starting a program, from the order to the first line of its `main()`, beside a bare posix_spawn of the same static program
//! in turns. The figures stand in `docs/performance.md`. Needs a C compiler with a static libc.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::wildcard_enum_match_arm,
    reason = "a bench measures time, starts what it measures, says what it found, and may fail by panicking"
)]

#[path = "process/port.rs"]
mod port;

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use castellan_core::trust::Claim;
use port::Port;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What is the launcher here; the agent does the same with its own verb.
pub(crate) const LAUNCH: &str = "launch-task";

const ROUNDS: usize = 300;
const SOCKETS: usize = 10_000;
const PROCESSES: usize = 1000;
const IDENTIFICATIONS: usize = 10_000;
const SCANS: usize = 100;
/// What a large agent holds, in MB.
const BALLAST: usize = 500;
/// Before each round, so that what the former one left to do is done: the spare launcher, for one.
const PAUSE: Duration = Duration::from_millis(40);

/// Says when its `main()` began, and goes, or waits to be killed.
const PROGRAM: &str = r"
#include <time.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (write(1, &now, sizeof now) != sizeof now) return 1;
    if (argc > 1) pause();
    return 0;
}
";

fn main() -> std::process::ExitCode {
    if std::env::args().nth(1).as_deref() == Some(LAUNCH) {
        return castellan_process::launch_main();
    }
    if std::env::args().nth(1).as_deref() == Some(port::CONNECT) {
        return hold_connection(&std::env::args().nth(2).unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let program = compile(folder.path());
    starts(&program, "");
    let ballast: Vec<u8> = (0..BALLAST << 20).map(|at| at.to_le_bytes()[0]).collect();
    starts(&program, &format!(", {BALLAST} MB in the agent"));
    drop(std::hint::black_box(ballast));
    identifications();
    std::process::ExitCode::SUCCESS
}

fn compile(folder: &Path) -> String {
    let (source, program) = (folder.join("program.c"), folder.join("program"));
    std::fs::write(&source, PROGRAM).unwrap();
    let built = Command::new("cc").args(["-O2", "-static", "-o"]).args([&program, &source]).status().unwrap();
    assert!(built.success(), "the program that is started cannot be compiled");
    program.to_str().unwrap().to_owned()
}

/// Bare and ours in turns, as the machine changes under the bench.
fn starts(program: &str, whose: &str) {
    let mut port = Port::open();
    let (mut bare, mut ours, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        std::thread::sleep(PAUSE);
        bare.push(bare_start(program));
        std::thread::sleep(PAUSE);
        let ordered = monotonic();
        let spawn = port.start(program, &[]);
        port.exited();
        ours.push(main_began(&port.output(spawn)) - ordered);
        port.discard(spawn);
    }
    for _ in 0..ROUNDS / 3 {
        let former = port.start(program, &["wait"]);
        std::thread::sleep(PAUSE);
        let killed = monotonic();
        rustix::process::kill_process(port.pid(former), Signal::KILL).unwrap();
        port.exited();
        port.discard(former);
        let next = port.start(program, &[]);
        port.exited();
        again.push(main_began(&port.output(next)) - killed);
        port.discard(next);
    }
    let base = say(&format!("bare posix_spawn to main(){whose}"), &mut bare, None);
    say(&format!("order to main(){whose}"), &mut ours, Some(base));
    say(&format!("SIGKILL to the replacement's main(){whose}"), &mut again, Some(base));
}

fn bare_start(program: &str) -> Duration {
    let began = monotonic();
    let child = Command::new(program).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    main_began(&child.wait_with_output().unwrap().stdout) - began
}

fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap())
}

/// The `struct timespec` that the program wrote.
fn main_began(output: &[u8]) -> Duration {
    let number = |at: usize| u64::from_ne_bytes(output[at..at + 8].try_into().unwrap());
    Duration::new(number(0), u32::try_from(number(8)).unwrap())
}

/// Prints the median and the 99th percentile, and answers with the median.
fn say(what: &str, times: &mut [Duration], base: Option<Duration>) -> Duration {
    times.sort_unstable();
    let (median, late) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let ratio = base.map_or_else(String::new, |base| format!("  {:.2} x", median.as_secs_f64() / base.as_secs_f64()));
    println!("{what:60} p50 {:>8.1} µs  p99 {:>8.1} µs{ratio}", micros(median), micros(late));
    median
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// A registered peer, looked at and identified as at CONNECT: at accept, and again with the process id that it claims.
fn identifications() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).unwrap();
    let mut port = Port::open();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let spawn = port.start(std::env::current_exe().unwrap().to_str().unwrap(), &[port::CONNECT, &address.to_string()]);
    let (stream, _) = listener.accept().unwrap();
    let mut times = Vec::new();
    let sockets: Vec<(TcpStream, TcpStream)> =
        (0..SOCKETS / 2).map(|_| (TcpStream::connect(address).unwrap(), listener.accept().unwrap().0)).collect();
    let others: Vec<Other> = (0..PROCESSES).map(|_| Other::start()).collect();
    let claim = Claim { pid: Some(port.pid(spawn).as_raw_nonzero().get().unsigned_abs()), certified: false };
    for _ in 0..IDENTIFICATIONS {
        let began = Instant::now();
        let witness = (port.observe)(&stream).unwrap();
        let identity = port.registry.identify(&witness(claim)).unwrap();
        times.push(began.elapsed());
        assert_eq!(identity.spawn, spawn);
    }
    say(&format!("identification, {SOCKETS} sockets, {PROCESSES} processes"), &mut times, None);
    let mut scans: Vec<Duration> = (0..SCANS).map(|_| scan(stream.peer_addr().unwrap().port())).collect();
    say("finding the same socket in /proc/net/tcp, without its process", &mut scans, None);
    drop((sockets, others));
    drop(stream);
    port.exited();
    port.discard(spawn);
}

/// What a program without `sock_diag` does first: it looks for the socket in the list of all.
fn scan(port: u16) -> Duration {
    let began = Instant::now();
    let list = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    assert!(list.lines().any(|line| line.split_ascii_whitespace().nth(1) == Some(local.as_str())));
    began.elapsed()
}

/// The registered peer: connected until the other end closes.
fn hold_connection(address: &str) -> std::process::ExitCode {
    let mut stream = TcpStream::connect(address).unwrap();
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    std::process::ExitCode::SUCCESS
}

/// Some process of the machine.
struct Other(Child);

impl Other {
    fn start() -> Self {
        Self(Command::new("/bin/sleep").arg("1000").spawn().unwrap())
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
