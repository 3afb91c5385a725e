//! Strangers that hurry or swarm, and an environment that was meant for the agent alone.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

use crate::support::{Agent, Stage, eventually, has_program, is_root, skipped, spawn};

/// More than any aggregation would leave apart by itself.
const SWARM: usize = 300;
/// Log lines that such a swarm may cost.
const LINES: usize = 100;

/// A TLS client with the agent's own certificate as its only trust.
fn tls(stage: &Stage) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(stage.root().join("state/ca.pem")).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A connection of this very process, which the agent did not start, with these bytes sent.
fn sent(agent: &Agent<'_>, tls: &Arc<ClientConfig>, bytes: &[u8]) -> StreamOwned<ClientConnection, TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, agent.mqtt)).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(ClientConnection::new(Arc::clone(tls), name).unwrap(), stream);
    stream.write_all(bytes).unwrap();
    stream.flush().unwrap();
    stream
}

fn field(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn packet(kind: u8, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    [&[kind, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
}

/// CONNECT of MQTT 5.0, clean start.
fn connect(id: &str) -> Vec<u8> {
    packet(0x10, &[b"\0\x04MQTT\x05\x02\0\x3c\0", &field(id.as_bytes())])
}

/// PUBLISH of QoS 0.
fn publish(topic: &str, payload: &str) -> Vec<u8> {
    packet(0x30, &[&field(topic.as_bytes()), b"\0", payload.as_bytes()])
}

fn denials(agent: &Agent<'_>) -> Vec<Value> {
    agent.call("GET", "/api/denials").send().json().as_array().unwrap().clone()
}

/// P04: what is there of the packets when the process is gone already is not delivered.
#[test]
fn a_stranger_that_is_gone_at_once_delivers_nothing() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("speaker", &["News"], &[]));
    stage.job(&stage.puppet_job("listener", &[], &["News"]));
    let agent = stage.start();
    agent.trigger("speaker");
    agent.trigger("listener");
    let (mut speaker, mut listener) = (stage.puppet("speaker"), stage.puppet("listener"));
    speaker.connect(agent.mqtt);
    listener.connect(agent.mqtt);
    listener.subscribe("News");
    let tls = tls(&stage);
    let ids: Vec<String> = (0..20).map(|round| format!("speaker_R{round}_{}", speaker.pid())).collect();
    for id in &ids {
        drop(sent(&agent, &tls, &[connect(id), publish("News", "forged")].concat()));
    }
    eventually("the refusals of all who were gone", || {
        let denials = denials(&agent);
        ids.iter().all(|id| denials.iter().any(|denial| denial["clientId"] == id.as_str())).then_some(())
    });
    speaker.publish("News", "genuine");
    assert_eq!(listener.receive(), (String::from("News"), String::from("genuine")), "the forged ones never arrive");
    speaker.exit(0, "");
    listener.exit(0, "");
    agent.stop();
}

/// M31: a swarm costs counts, not lines, and leaves room for who belongs here.
#[test]
fn a_swarm_of_strangers_is_summed_up() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    let agent = stage.start();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", agent.pid())).unwrap().count();
    let tls = tls(&stage);
    let before = (agent.log().len(), open());
    for number in 0..SWARM {
        let mut stream = sent(&agent, &tls, &connect(&format!("scan_N{number}_{}", std::process::id())));
        let mut answer = Vec::new();
        // A reset instead of an end is as good: the answer counts.
        stream.read_to_end(&mut answer).ok();
        // CONNACK, one or two bytes of length, no session, the reason code.
        assert!(answer.first() == Some(&0x20) && answer[..5].contains(&0x87), "{answer:?}");
    }
    agent.trigger("scan");
    let mut task = stage.puppet("scan");
    task.connect(agent.mqtt);
    task.log("still heard");
    agent.logged_message("Test", "still heard");
    let counted = eventually("all refusals in the record", || {
        let denials = denials(&agent);
        let count = denials.iter().map(|denial| denial["count"].as_u64().unwrap()).sum::<u64>();
        (count >= SWARM as u64).then_some(denials.len())
    });
    let lines = agent.log().len() - before.0;
    assert!(lines <= LINES, "{lines} lines, {counted} records");
    task.exit(0, "");
    eventually("the descriptors of the swarm are closed", || (open() <= before.1 + 8).then_some(()));
    agent.stop();
}

/// S20, and preloading: neither words nor libraries of the agent's own environment reach what it starts.
#[test]
fn the_agents_own_environment_reaches_no_task() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &["KeeperLogger"], &[]));
    let libraries =
        std::fs::read_dir("/lib/x86_64-linux-gnu").into_iter().flatten().flatten().map(|entry| entry.path());
    let library = libraries.into_iter().find(|path| path.ends_with("libBrokenLocale.so.1"));
    let secret = "SECRET-OF-THE-AGENT";
    let agent = Agent::start_with(&stage, |command| {
        let script = stage.file("profile", "echo injected\n");
        command.env("AGENT_SECRET", secret).env("BASH_ENV", &script).env("ENV", script).env("PYTHONPATH", "/nowhere");
        command.envs(library.iter().map(|library| ("LD_PRELOAD", library)))
    });
    agent.trigger("scan");
    let task = stage.puppet("scan");
    let read = |pid: u32, name: &str| {
        String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/{name}")).unwrap()).into_owned()
    };
    assert!(read(agent.pid(), "environ").contains(secret), "control");
    let names: Vec<&String> = task.environment().keys().collect();
    for name in &names {
        let fine =
            matches!(name.as_str(), "PATH" | "LANG" | "TZ" | "HOME" | "TMPDIR" | "KEEPER_JOB_ID" | "KEEPER_JOB_NAME");
        assert!(fine, "{names:?}");
    }
    let key = std::fs::read_to_string(stage.root().join("state/admin/client.key")).unwrap();
    let key = key.lines().nth(1).unwrap();
    for file in ["environ", "cmdline"] {
        let text = read(task.pid(), file);
        assert!(!text.contains(secret) && !text.contains(key), "{file}: {text}");
    }
    match library {
        Some(_) => {
            assert!(read(agent.pid(), "maps").contains("libBrokenLocale"), "control");
            assert!(!read(task.pid(), "maps").contains("libBrokenLocale"));
        }
        None => skipped("the half of this test that preloads a library: there is none to preload"),
    }
    task.exit(0, "");
    agent.stop();
}

/// Opens connections without a word until its standard input ends; says when there were a thousand, and how many at the end.
const CROWD: &str = r"
import resource, select, socket, sys
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
held, count = [], 0
while not select.select([sys.stdin], [], [], 0)[0]:
    if len(held) < min(10000, hard - 50):
        held.append(socket.create_connection(('127.0.0.1', int(sys.argv[1]))))
        count += 1
        if count == 1000:
            print('crowded', flush=True)
    else:
        held[:1000] = []
print(count)
";

/// M30, another user's crowd: it makes room for itself, and a task and an administrator get every answer.
#[test]
fn a_crowd_of_another_user_locks_nobody_out() {
    if !is_root()
        || !has_program("python3", "a crowd of another user")
        || !has_program("curl", "a crowd of another user")
    {
        return skipped("a crowd of another user, which needs root to become one");
    }
    let stage = Stage::new();
    let ca = stage.root().join("ca.pem");
    let ask = format!("curl --silent --fail --output /dev/null --cacert '{}' \"$1\"", ca.display());
    stage.script("Asker", &format!("for n in 1 2 3 4 5 6 7 8 9 10; do {ask} || exit 1; done"));
    let asked = "{KeeperApiBaseUrl}/api/PluginSettings/KeeperPrivilegeManager";
    stage.job(&json!({ "id": "asker", "tasks": [ { "id": "ask", "command": "Asker", "arguments": asked } ] }));
    let agent = stage.start();
    let mut command = Command::new("python3");
    command.args(["-c", CROWD, &agent.https.to_string()]).uid(65534).gid(65534);
    let mut crowd = spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()).current_dir("/"));
    let mut told = BufReader::new(crowd.stdout.take().unwrap());
    let mut line = String::new();
    told.read_line(&mut line).unwrap();
    assert_eq!(line, "crowded\n");
    let run = agent.run("asker");
    assert_eq!(run["outcome"], "Succeeded", "{run}");
    assert_eq!(agent.call("GET", "/api/plugins").send().status, 200);
    drop(crowd.stdin.take());
    let mut rest = String::new();
    told.read_to_string(&mut rest).unwrap();
    assert!(crowd.wait().unwrap().success(), "{rest}");
    agent.stop();
}
