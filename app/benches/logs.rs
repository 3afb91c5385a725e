//! 50,000 log messages a second through the whole agent: twenty MQTT clients over TLS, each at its rate, into lines of JSON; what that
//! takes of a processor and of memory. Beside it the same load through mosquitto, whose subscriber writes a file.
//! The figures stand in `docs/performance.md`.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time, starts what it measures, says what it found, and may fail by panicking"
)]

#[path = "../examples/puppet/flood.rs"]
mod flood;

use std::fs::{self, File, Permissions};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Barrier};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

/// The first argument of this program as the sender.
const SENDER: &str = "send-logs";
const CLIENTS: u64 = 20;
/// Messages of each client in a second, and in all.
const RATE: u64 = 2500;
const MESSAGES: u64 = 10 * RATE;
/// Messages that are sent at once.
const WINDOW: u64 = 50;
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, verb, port, ca, done] = arguments.as_slice()
        && verb == SENDER
    {
        return send(port, ca, Path::new(done));
    }
    let folder = tempfile::Builder::new().prefix("castellan-bench-").tempdir().unwrap();
    through_castellan(folder.path());
    through_mosquitto(folder.path());
}

/// The load: all clients at once, each window at its time or as soon as the one before is acknowledged; then how long it took.
fn send(port: &str, ca: &str, done: &Path) {
    // The agent says its port in a file.
    let port = port.parse().unwrap_or_else(|_| {
        let ports: Value = serde_json::from_slice(&fs::read(port).unwrap()).unwrap();
        u16::try_from(ports["mqtt"].as_u64().unwrap()).unwrap()
    });
    let mut roots = RootCertStore::empty();
    CertificateDer::pem_file_iter(ca).unwrap().for_each(|found| roots.add(found.unwrap()).unwrap());
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()));
    let tls = builder.with_safe_default_protocol_versions().unwrap().with_root_certificates(roots);
    let tls = Arc::new(tls.with_no_client_auth());
    let ready = Arc::new(Barrier::new(usize::try_from(CLIENTS).unwrap()));
    let client = |number: u64| {
        let (tls, ready) = (Arc::clone(&tls), Arc::clone(&ready));
        thread::spawn(move || {
            let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_nodelay(true).unwrap();
            let name = ServerName::try_from("127.0.0.1").unwrap();
            let mut wire = StreamOwned::new(ClientConnection::new(tls, name).unwrap(), stream);
            flood::connect(&mut wire, &format!("sender_C{number}_{}", std::process::id())).unwrap();
            ready.wait();
            let begun = Instant::now();
            for first in (0..MESSAGES).step_by(usize::try_from(WINDOW).unwrap()) {
                let due = Duration::from_micros(first * 1_000_000 / RATE);
                sleep(due.saturating_sub(begun.elapsed()));
                flood::send(&mut wire, "flood", first..first + WINDOW).unwrap();
            }
            begun.elapsed()
        })
    };
    let clients: Vec<_> = (0..CLIENTS).map(client).collect();
    let longest = clients.into_iter().map(|client| client.join().unwrap()).max().unwrap();
    let draft = done.with_extension("draft");
    fs::write(&draft, longest.as_secs_f64().to_string()).unwrap();
    fs::rename(draft, done).unwrap();
}

fn through_castellan(folder: &Path) {
    let (root, done) = (folder.join("root"), folder.join("castellan"));
    let program = root.join("Jobs/bin/Sender/Sender");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let settings = json!({ "KestrelHttpPort": 0, "KestrelHttpsPort": 0, "system.logging.journal": "",
        "system.logging.totalBytes": 1_u64 << 32 });
    let document = json!({ "Settings": settings, "MqttBrokerSettings": { "Port": 0 } });
    fs::write(root.join("appsettings.json"), document.to_string()).unwrap();
    let state = root.join("state");
    let [ports, ca, told] =
        [&state.join("ports.json"), &root.join("ca.pem"), &done].map(|path| path.display().to_string());
    let tasks = json!([{ "id": "send", "command": "Sender", "arguments": format!("{SENDER} {ports} {ca} {told}") }]);
    let topics = json!({ "allowedPublications": ["KeeperLogger"], "allowedSubscriptions": [] });
    let job = json!({ "id": "sender", "name": "Sender", "events": ["Startup"], "mqttTopics": topics, "tasks": tasks });
    fs::write(root.join("Jobs/sender.json"), job.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
    command.arg("run").arg("--root").arg(&root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut agent = command.spawn().unwrap();
    let (seconds, used) = measure(&[&agent], &done);
    let memory = peak(&agent);
    kill_process(Pid::from_child(&agent), Signal::TERM).unwrap();
    assert!(agent.wait().unwrap().success());
    let logs =
        fs::read_dir(state.join("logs")).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    let written: usize = logs.map(|text| text.lines().filter(|line| line.contains("\"Flood\"")).count()).sum();
    assert_eq!(written as u64, CLIENTS * MESSAGES, "none is lost");
    say("castellan, lines of JSON", seconds, used, memory, written);
}

fn through_mosquitto(folder: &Path) {
    let made = rcgen::generate_simple_self_signed(vec![String::from("127.0.0.1")]).unwrap();
    let file = |name: &str| folder.join(name).display().to_string();
    fs::write(file("cert.pem"), made.cert.pem()).unwrap();
    fs::write(file("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    let configuration = format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\ncertfile {}\nkeyfile {}\nuser root\nset_tcp_nodelay true\n\
         max_inflight_messages 1000\nmax_queued_messages 0\nlog_dest none\n",
        file("cert.pem"),
        file("key.pem")
    );
    fs::write(file("mosquitto.conf"), configuration).unwrap();
    let start = |program: &str, arguments: &[&str], out: Stdio| {
        Command::new(program).args(arguments).stdin(Stdio::null()).stdout(out).stderr(Stdio::null()).spawn()
    };
    let Ok(mut broker) = start("mosquitto", &["-c", &file("mosquitto.conf")], Stdio::null()) else {
        return println!("mosquitto is not here: apt-get install mosquitto mosquitto-clients");
    };
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port.parse().unwrap())).is_err() {
        assert!(begun.elapsed() < PATIENCE, "mosquitto does not listen");
        sleep(Duration::from_millis(10));
    }
    let lines = folder.join("lines");
    let wanted =
        ["-h", "127.0.0.1", "-p", &port, "--cafile", &file("cert.pem"), "-q", "1", "-t", "KeeperLogger", "-F", "%j"];
    let mut reader =
        start("mosquitto_sub", &wanted, Stdio::from(File::create(&lines).unwrap())).expect("mosquitto_sub");
    sleep(Duration::from_secs(1));
    let done = folder.join("mosquitto");
    let own = std::env::current_exe().unwrap().display().to_string();
    let mut sender =
        start(&own, &[SENDER, &port, &file("cert.pem"), &done.display().to_string()], Stdio::null()).unwrap();
    let (seconds, used) = measure(&[&broker, &reader], &done);
    sender.wait().unwrap();
    let count = || fs::read_to_string(&lines).unwrap().lines().count();
    let begun = Instant::now();
    while count() < usize::try_from(CLIENTS * MESSAGES).unwrap() && begun.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(100));
    }
    let memory = peak(&broker) + peak(&reader);
    say("mosquitto and mosquitto_sub -F %j", seconds, used, memory, count());
    for child in [&mut reader, &mut broker] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

/// Until the load is over: its seconds, and the seconds of processor that these processes used meanwhile.
fn measure(processes: &[&Child], done: &Path) -> (f64, f64) {
    let used = || processes.iter().map(|process| processor(process)).sum::<f64>();
    let (begun, before) = (Instant::now(), used());
    loop {
        if let Ok(seconds) = fs::read_to_string(done) {
            return (seconds.parse().unwrap(), used() - before);
        }
        assert!(begun.elapsed() < PATIENCE, "the load is not over");
        sleep(Duration::from_millis(20));
    }
}

/// Seconds of processor that a process used, in ticks of a hundredth (proc(5)).
fn processor(process: &Child) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let fields: Vec<f64> =
        stat.rsplit_once(')').unwrap().1.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect();
    (fields[11] + fields[12]) / 100.0
}

/// The most memory that a process had, MiB.
fn peak(process: &Child) -> f64 {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<f64>().unwrap() / 1024.0
}

fn say(name: &str, seconds: f64, used: f64, memory: f64, written: usize) {
    let messages = CLIENTS * MESSAGES;
    let rate = f64::from(u32::try_from(messages).unwrap()) / seconds;
    println!(
        "{name}: {messages} messages in {seconds:.1} s ({rate:.0}/s), {:.2} of a processor ({:.1} us a message), peak {memory:.0} MiB, {written} lines",
        used / seconds,
        used * 1_000_000.0 / f64::from(u32::try_from(messages).unwrap()),
    );
}
