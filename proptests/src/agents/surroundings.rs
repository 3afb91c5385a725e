//! The machine of the fake world: its definitions, and what the kernel says about its connections.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use castellan_core::api::{ApiRequest, CertificateFacts, Listener};
use castellan_core::certificate::AdminCertificate;
use castellan_core::event::{DefinitionFile, DefinitionKind};
use castellan_core::id::RequestId;
use castellan_core::job::OperatingSystem;
use castellan_core::resources::KeptLimits;
use castellan_core::surroundings::Surroundings;
use castellan_core::time::Now;
use castellan_core::trust::{PeerFacts, ProcessFacts, SocketFacts};

/// A process task, and a built-in one that depends on what it found.
pub(super) const SCAN: &str = r#"{"id":"scan","name":"Scan","events":[{"eventType":"Startup"},"Go"],"overlap":"parallel",
  "mqttTopics":{"allowedPublications":["KeeperLogger","EventMessages","scan/+"],"allowedSubscriptions":["scan/#"]},
  "tasks":[
    {"id":"run","command":"scanner","arguments":"--run {RunId}","timeoutSeconds":5,"mergeStdoutJsonIntoContext":true,"onFailure":"say"},
    {"id":"more","command":"second","timeoutSeconds":7,"continueOnFailure":true,"condition":"found > 0"},
    {"id":"say","command":"publish-mqtt","arguments":"--topic scan/done --payload {LastExitCode}"}]}"#;

/// A scheduled job that fires an event, calls the agent and somebody else, and has an alternate.
const CHAIN: &str = r#"{"id":"chain","name":"Chain","schedule":{"intervalMinutes":1},"events":["Go"],"condition":"depth < 3","alternateJobId":"scan",
  "parameters":[{"name":"depth","type":"integer","default":1}],
  "tasks":[
    {"id":"fire","command":"fire-event","arguments":"--event Go --context '{\"depth\":9}'"},
    {"id":"tell","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/Jobs/scan/run?wait=true&timeoutSeconds=2",
      "timeoutSeconds":1,"continueOnFailure":true},
    {"id":"ask","executionType":"Http","method":"GET","url":"https://x.example/","timeoutSeconds":4,"continueOnFailure":true},
    {"id":"run","command":"chained","timeoutSeconds":3}]}"#;

fn plugin(id: &str, priority: u8, supervised: bool) -> String {
    format!(
        r#"{{"id":"{id}","name":"{id}","version":"1","pluginType":"Executable","executablePath":"bin/{id}/{id}","supportedPlatforms":["Linux"],
        "Subscription":{{"Topic":"{id}","Qos":1,"CleanSession":true}},
        "metadata":{{"mqttTopics":{{"publish":["KeeperLogger"],"subscribe":["{id}/+"]}},"greeting":"hello"}},
        "startupPriority":{priority},"autoStart":true,"executionContext":"Service","requiresMonitoring":{supervised},"autoRestart":true}}"#
    )
}

pub(super) fn definitions() -> Vec<DefinitionFile> {
    let file = |kind, stem: &str, text: String| DefinitionFile {
        kind,
        stem: stem.to_owned(),
        content: Ok(text.into_bytes().into()),
    };
    vec![
        file(DefinitionKind::Job, "scan", SCAN.to_owned()),
        file(DefinitionKind::Job, "chain", CHAIN.to_owned()),
        file(DefinitionKind::Job, "broken", String::from("{")),
        file(DefinitionKind::Plugin, "Echo", plugin("Echo", 1, true)),
        file(DefinitionKind::Plugin, "Once", plugin("Once", 2, false)),
    ]
}

pub(super) fn surroundings(started: Now) -> Surroundings {
    surroundings_of(1, started)
}

/// The machine at one start of the agent.
pub fn surroundings_of(boot: u64, started: Now) -> Surroundings {
    Surroundings {
        agent_root: String::from("/opt/castellan"),
        plugin_root: String::from("/opt/castellan/Plugins"),
        here: OperatingSystem::Linux,
        boot,
        started,
        host_name: String::from("machine"),
        version: String::from("0.1.0"),
        environment: Vec::new(),
        uid: 0,
        time_zone: String::from("UTC"),
        user_name: String::from("root"),
        has_desktop: false,
        path_variables: BTreeMap::new(),
        admin_certificates: certificates(),
        kept_limits: KeptLimits::ALL,
        endpoints: None,
    }
}

/// The one administrator.
pub(super) fn certificates() -> Vec<AdminCertificate> {
    vec![AdminCertificate::without_end("ad", "client")]
}

/// What the one administrator asks the API: JSON where there is a body.
pub fn request_of_an_administrator(id: u64, method: &str, target: &str, body: &str) -> ApiRequest {
    let host = ("host", "localhost:6889");
    let json = (!body.is_empty()).then_some(("content-type", "application/json"));
    let headers = std::iter::once(host).chain(json).map(|(name, value)| (name.to_owned(), value.to_owned()));
    ApiRequest {
        id: RequestId(id),
        listener: Listener::Https,
        peer: facts_of_a_stranger(),
        certificate: Some(CertificateFacts { sha256: String::from("ad") }),
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.collect(),
        body: body.as_bytes().to_vec(),
    }
}

/// What the kernel says about a connection of a tree's leader.
pub fn facts(pid: u32, cgroup: Option<u64>) -> PeerFacts {
    let socket = socket(cgroup);
    let process = ProcessFacts { pid, session: pid, uid: 0, cgroup, holds_socket: true, alive: true };
    PeerFacts {
        at_accept: Some(socket.clone()),
        claimed_pid: Some(pid),
        claimed: Some(process.clone()),
        holder: Some(process),
        claimed_executable: None,
        at_decision: Some(socket),
        own_end_established: true,
        own_cookie: 78,
    }
}

/// What it says about a connection of a process that the agent never started.
pub fn facts_of_a_stranger() -> PeerFacts {
    facts(4242, None)
}

fn socket(cgroup: Option<u64>) -> SocketFacts {
    let (peer, local) = (SocketAddr::from(([127, 0, 0, 1], 40_000)), SocketAddr::from(([127, 0, 0, 1], 6889)));
    SocketFacts { peer, local, established: true, inode: 9, uid: 0, cookie: 77, cgroup }
}
