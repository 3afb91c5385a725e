//! Who is at the other end of a real connection: the registry's processes in both modes, and nobody else.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use castellan_core::effect::SpawnRequest;
use castellan_core::event::ExitStatus;
use castellan_core::id::{Component, JobId, RunId, SpawnId};
use castellan_core::trust::{Claim, Entry, Identity, Refusal, RefusalKind, Registry, Witness};
use castellan_core::user::{Ids, Person};
use castellan_process::{ContainmentChoice, Observe};

use crate::rig::{Prepared, Rig, modes, request};

pub(crate) const ADDRESS: &str = "CASTELLAN_TEST_ADDRESS";
const CLAIM: &str = "CASTELLAN_TEST_CLAIM";
const PORT: &str = "CASTELLAN_TEST_PORT";
const SOURCE: &str = "CASTELLAN_TEST_SOURCE";
/// The claim of a client that says its own process id.
pub(crate) const OWN: &str = "own";

/// Not a test: the program of the tests below. Without its variables it has nothing to do.
#[test]
#[ignore = "the body of the processes that the other tests of this file start"]
fn client() {
    let (Ok(address), Ok(claim)) = (std::env::var(ADDRESS), std::env::var(CLAIM)) else {
        return;
    };
    let port = std::env::var(PORT).map_or(0, |port| port.parse().unwrap());
    let source = std::env::var(SOURCE).map_or(IpAddr::from([127, 0, 0, 1]), |source| source.parse().unwrap());
    let mut stream = connect_from(SocketAddr::new(source, port), address.parse().unwrap()).unwrap();
    let claim = if claim == OWN { std::process::id().to_string() } else { claim };
    writeln!(stream, "{claim}").unwrap();
    // Until the other end closes or resets the connection; either is the end of this program.
    stream.read_to_end(&mut Vec::new()).ok();
}

/// Connects from this address; from one of IPv6 to the mapped form of the other end's.
fn connect_from(source: SocketAddr, address: SocketAddr) -> std::io::Result<TcpStream> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with, sockopt};
    let (family, address) = match (source, address.ip()) {
        (SocketAddr::V6(_), IpAddr::V4(ip)) => {
            (AddressFamily::INET6, SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()))
        }
        _ => (AddressFamily::INET, address),
    };
    let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    bind(&socket, &source)?;
    connect(&socket, &address)?;
    Ok(TcpStream::from(socket))
}

fn line(stream: &TcpStream) -> u32 {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line.trim().parse().unwrap()
}

pub(crate) struct Desk {
    pub(crate) rig: Rig,
    pub(crate) registry: Registry,
    pub(crate) observe: Observe,
    pub(crate) listener: TcpListener,
}

/// An accepted connection with the process id that it claims.
pub(crate) struct Caller {
    _stream: TcpStream,
    pub(crate) claim: u32,
    pub(crate) witness: Witness,
}

impl Desk {
    pub(crate) fn open(mode: ContainmentChoice) -> Self {
        let rig = Rig::start(mode);
        let observe = rig.port().observer();
        Self { rig, registry: Registry::default(), observe, listener: TcpListener::bind("127.0.0.1:0").unwrap() }
    }

    /// A program that connects with its first instruction, says which process it claims to be, and waits.
    pub(crate) fn client(&self, claim: &str, variables: &[(&str, &str)]) -> SpawnRequest {
        let mut request = self.body("identity::client", variables);
        request.environment.push((CLAIM.to_owned(), claim.to_owned()));
        request
    }

    /// A program that is one of the ignored tests here, and is told where to connect to.
    pub(crate) fn body(&self, test: &str, variables: &[(&str, &str)]) -> SpawnRequest {
        let own = std::env::current_exe().unwrap();
        let mut request = request(0, &[own.to_str().unwrap(), "--exact", test, "--ignored", "--nocapture"]);
        let address = self.listener.local_addr().unwrap().to_string();
        request.environment = vec![(ADDRESS.to_owned(), address)];
        request.environment.extend(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        request
    }

    /// The same, started by a shell script that has the program as `"$0" "$@"`.
    pub(crate) fn client_of(&self, script: &str) -> SpawnRequest {
        let mut wanted = self.client(OWN, &[("PATH", "/usr/bin:/bin")]);
        let own = std::mem::replace(&mut wanted.program.candidates, vec!["/bin/sh".to_owned()]);
        let shell = ["-c".to_owned(), script.to_owned()];
        wanted.arguments = shell.into_iter().chain(own).chain(wanted.arguments).collect();
        wanted
    }

    /// Starts and registers what was ordered.
    pub(crate) fn start(&mut self, wanted: SpawnRequest) -> Prepared {
        self.rig.spawn_request(wanted);
        let prepared = self.rig.prepared();
        self.register(&prepared);
        self.rig.release(prepared.spawn);
        prepared
    }

    fn prepare(&self, claim: &str) {
        self.rig.spawn_request(self.client(claim, &[]));
    }

    fn register(&mut self, prepared: &Prepared) {
        self.register_as(prepared, rustix::process::geteuid().as_raw());
    }

    fn register_as(&mut self, prepared: &Prepared, uid: u32) {
        let entry = Entry {
            spawn: prepared.spawn,
            component: Component::Job(JobId::parse("job").unwrap()),
            run: Some(RunId::new(1, prepared.spawn.0)),
            pid: prepared.pid,
            session: prepared.pid,
            cgroup: prepared.cgroup,
            uid,
            user_name: format!("user-{uid}"),
            leader_alive: true,
        };
        self.registry.insert(entry).unwrap();
    }

    /// Starts a registered program that claims this; answers with its process.
    pub(crate) fn call(&mut self, claim: &str) -> Prepared {
        self.call_with(claim, &[])
    }

    fn call_with(&mut self, claim: &str, variables: &[(&str, &str)]) -> Prepared {
        self.start(self.client(claim, variables))
    }

    pub(crate) fn accept(&self) -> Caller {
        let (stream, _) = self.listener.accept().unwrap();
        let witness = (self.observe)(&stream).unwrap();
        Caller { claim: line(&stream), _stream: stream, witness }
    }

    pub(crate) fn identify(&self, caller: &Caller) -> Result<Identity, Refusal> {
        self.registry.identify(&(caller.witness)(Claim { pid: Some(caller.claim), certified: false }))
    }

    pub(crate) fn kind(&self, caller: &Caller) -> RefusalKind {
        self.identify(caller).unwrap_err().kind
    }
}

#[test]
fn a_program_that_connects_at_once_is_known() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let prepared = desk.call(OWN);
        let caller = desk.accept();
        let identity = desk.identify(&caller).unwrap();
        assert_eq!((identity.spawn, identity.pid), (prepared.spawn, Some(prepared.pid)));
        assert_eq!(identity.run, Some(RunId::new(1, prepared.spawn.0)));
        let unclaimed = desk.registry.identify(&(caller.witness)(Claim::default())).unwrap();
        assert_eq!(unclaimed.spawn, prepared.spawn);
        desk.registry.remove(prepared.spawn).unwrap();
        assert_eq!(desk.kind(&caller), RefusalKind::NotTrusted, "no longer in the registry");
    }
}

/// Their sockets are not those of the agent's user, and without cgroups the process has to be found all the same.
#[test]
fn a_process_of_another_user_is_known_and_his_other_processes_are_not() {
    const NOBODY: u32 = 65_534;
    if !rustix::process::geteuid().is_root() {
        return writeln!(std::io::stderr(), "SKIPPED: only root can start a process of another user").unwrap();
    }
    let own = std::env::current_exe().unwrap();
    let passable = |folder: &Path| folder.metadata().is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    if !own.ancestors().all(passable) {
        return writeln!(std::io::stderr(), "SKIPPED: others may not execute {}", own.display()).unwrap();
    }
    for mode in modes() {
        let mut desk = Desk::open(mode);
        desk.rig.spawn_request(desk.client(OWN, &[]));
        let prepared = desk.rig.prepared();
        desk.register_as(&prepared, NOBODY);
        let person = Person {
            name: String::from("nobody"),
            uid: NOBODY,
            ids: Some(Ids { uid: NOBODY, gid: NOBODY, groups: vec![NOBODY] }),
            confined: true,
            environment: Vec::new(),
            folder: String::from("/"),
        };
        desk.rig.release_as(prepared.spawn, Some(Box::new(person)));
        let caller = desk.accept();
        assert_eq!(desk.identify(&caller).unwrap().pid, Some(prepared.pid));
        let unclaimed = desk.registry.identify(&(caller.witness)(Claim::default())).unwrap();
        assert_eq!((unclaimed.spawn, unclaimed.pid.unwrap_or(prepared.pid)), (prepared.spawn, prepared.pid));

        let mut command = Command::new(&own);
        command.args(["--exact", "identity::client", "--ignored", "--nocapture"]).stdout(Stdio::null());
        command.env(ADDRESS, desk.listener.local_addr().unwrap().to_string()).env(CLAIM, prepared.pid.to_string());
        let mut stranger = command.uid(NOBODY).current_dir("/").spawn().unwrap();
        let caller = desk.accept();
        assert!(desk.identify(&caller).is_err(), "the same user, and even the right number");
        drop(caller);
        stranger.wait().unwrap();
    }
}

#[test]
fn fifty_at_once_are_each_themselves() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        for _ in 0..50 {
            desk.prepare(OWN);
        }
        let mut processes = BTreeMap::new();
        for _ in 0..50 {
            let prepared = desk.rig.prepared();
            desk.register(&prepared);
            processes.insert(prepared.pid, prepared.spawn);
        }
        for spawn in processes.values() {
            desk.rig.release(*spawn);
        }
        let callers: Vec<Caller> = (0..50).map(|_| desk.accept()).collect();
        for caller in &callers {
            let identity = desk.identify(caller).unwrap();
            assert_eq!(identity.pid, Some(caller.claim));
            assert_eq!(processes.remove(&caller.claim), Some(identity.spawn));
        }
        assert!(processes.is_empty());
    }
}

/// "Spawn, then register" lost 7 to 10 of them.
#[test]
fn a_thousand_that_connect_with_their_first_instruction_are_all_known() {
    const AT_ONCE: usize = 20;
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let mut known = 0;
        while known < 1000 {
            for _ in 0..AT_ONCE {
                desk.prepare(OWN);
            }
            let mut processes = BTreeMap::new();
            for _ in 0..AT_ONCE {
                let prepared = desk.rig.prepared();
                desk.register(&prepared);
                processes.insert(prepared.pid, prepared.spawn);
            }
            for spawn in processes.values() {
                desk.rig.release(*spawn);
            }
            for _ in 0..AT_ONCE {
                let caller = desk.accept();
                let identity = desk.identify(&caller).unwrap();
                assert_eq!(processes.get(&caller.claim), Some(&identity.spawn));
                known += 1;
                drop(caller);
                assert_eq!(desk.rig.exited(identity.spawn), ExitStatus::Code(0));
                desk.registry.remove(identity.spawn).unwrap();
                desk.rig.discard(identity.spawn);
            }
        }
    }
}

#[test]
fn a_descendant_is_its_tree_with_its_own_number() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let prepared = desk.start(desk.client_of("\"$0\" \"$@\"; true"));
        let caller = desk.accept();
        assert_ne!(caller.claim, prepared.pid);
        let identity = desk.identify(&caller).unwrap();
        assert_eq!((identity.spawn, identity.pid), (prepared.spawn, Some(caller.claim)));
    }
}

#[test]
fn no_address_of_the_loopback_makes_a_difference() {
    for mode in modes() {
        for source in ["127.0.0.1", "127.0.0.2", "::ffff:127.0.0.1"] {
            let mut desk = Desk::open(mode);
            let task = desk.call_with(OWN, &[(SOURCE, source)]);
            let caller = desk.accept();
            assert_eq!(desk.identify(&caller).unwrap().spawn, task.spawn, "a task from {source}");
            let from = SocketAddr::new(source.parse().unwrap(), 0);
            let _stranger = connect_from(from, desk.listener.local_addr().unwrap()).unwrap();
            let (stream, _) = desk.listener.accept().unwrap();
            let witness = (desk.observe)(&stream).unwrap();
            for claim in [Some(task.pid), None] {
                let refusal = desk.registry.identify(&witness(Claim { pid: claim, certified: false })).unwrap_err();
                assert_eq!(refusal.kind, RefusalKind::NotTrusted, "a stranger from {source}");
            }
        }
    }
}

/// Whether this user may do this here, with a program behind it; says so where not.
pub(crate) fn may(way: &str) -> bool {
    let script = format!("{way} true");
    let may = Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success();
    if !may {
        // Past the test harness, which hides what a passing test prints.
        writeln!(std::io::stderr(), "SKIPPED: this user may not {way} here").unwrap();
    }
    may
}

/// What a process can do to its own image, name and namespaces makes it nobody else.
#[test]
fn another_image_name_or_namespace_is_no_other_identity() {
    for mode in modes() {
        for (way, inner) in
            [("exec", None), ("unshare --user --map-root-user", None), ("unshare --pid --fork", Some(1))]
        {
            if way != "exec" && !may(way) {
                continue;
            }
            let mut desk = Desk::open(mode);
            let prepared = desk.start(desk.client_of(&format!("{way} \"$0\" \"$@\"")));
            let caller = desk.accept();
            assert!(inner.is_none_or(|inner| caller.claim == inner), "{way}: claims {}", caller.claim);
            let identity = desk.identify(&caller).unwrap();
            assert_eq!((identity.spawn, identity.pid), (prepared.spawn, Some(caller.claim)), "{way}");
        }
        let mut desk = Desk::open(mode);
        let name = desk.rig.folder.path().join("x) R 1 1 1");
        let mut copy = Command::new("/bin/cp");
        assert!(copy.arg(std::env::current_exe().unwrap()).arg(&name).status().unwrap().success());
        let mut wanted = desk.client(OWN, &[]);
        wanted.program.candidates = vec![name.to_str().unwrap().to_owned()];
        let prepared = desk.start(wanted);
        let caller = desk.accept();
        assert_eq!(std::fs::read_to_string(format!("/proc/{}/comm", prepared.pid)).unwrap(), "x) R 1 1 1\n");
        assert_eq!(desk.identify(&caller).unwrap().pid, Some(prepared.pid));
    }
}

#[test]
fn a_descendant_in_a_session_of_its_own_is_known_by_its_cgroup_alone() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let prepared = desk.start(desk.client_of("setsid \"$0\" \"$@\"; true"));
        let caller = desk.accept();
        match mode {
            ContainmentChoice::Auto => assert_eq!(desk.identify(&caller).unwrap().spawn, prepared.spawn),
            ContainmentChoice::Session => assert_eq!(desk.kind(&caller), RefusalKind::NotTrusted),
        }
    }
}

#[test]
fn a_descendant_outlives_its_leader_in_trust_only_with_a_cgroup() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let prepared = desk.start(desk.client_of("\"$0\" \"$@\" & exit 0"));
        let caller = desk.accept();
        desk.rig.exited(prepared.spawn);
        let gone = desk.registry.leader_exited(prepared.spawn);
        match mode {
            ContainmentChoice::Auto => {
                assert_eq!(gone, None);
                assert_eq!(desk.identify(&caller).unwrap().pid, Some(caller.claim));
                desk.registry.remove(prepared.spawn).unwrap();
            }
            ContainmentChoice::Session => assert!(gone.is_some()),
        }
        assert_eq!(desk.kind(&caller), RefusalKind::NotTrusted);
        desk.rig.discard(prepared.spawn);
    }
}

#[test]
fn a_forged_number_is_refused_as_such() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let other = desk.call(OWN);
        let honest = desk.accept();
        let mut forgers = Vec::new();
        for claim in [other.pid, std::process::id(), 1, 4_194_305, 0, u32::MAX] {
            desk.call(&claim.to_string());
            let forger = desk.accept();
            assert_eq!(desk.kind(&forger), RefusalKind::ClaimedPidNotOwn, "claims {claim}");
            forgers.push(forger);
        }
        assert!(desk.identify(&honest).is_ok());
    }
}

#[test]
fn a_stranger_is_refused_whatever_it_claims() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let task = desk.call(OWN);
        let known = desk.accept();
        let address = desk.listener.local_addr().unwrap();
        for claim in [task.pid, std::process::id(), 1] {
            let _client = TcpStream::connect(address).unwrap();
            let (stream, _) = desk.listener.accept().unwrap();
            let witness = (desk.observe)(&stream).unwrap();
            let facts = witness(Claim { pid: Some(claim), certified: false });
            let refusal = desk.registry.identify(&facts).unwrap_err();
            assert_eq!(refusal.kind, RefusalKind::NotTrusted, "claims {claim}");
            assert!(refusal.explanation.fix.contains("Let the agent start the program"), "{}", refusal.explanation);
            let looked_into = facts.claimed.is_some_and(|process| process.pid != task.pid && process.holds_socket);
            assert!(!looked_into, "a stranger's descriptors are not read");
        }
        // An unregistered process of the port is a stranger as well.
        desk.registry.remove(task.spawn).unwrap();
        assert_eq!(desk.kind(&known), RefusalKind::NotTrusted);
    }
}

#[test]
fn a_connection_that_is_gone_is_nobodys() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let task = desk.call(OWN);
        let caller = desk.accept();
        assert!(desk.identify(&caller).is_ok());
        let spawn: SpawnId = task.spawn;
        desk.rig.order(castellan_core::effect::ProcessOrder::Signal {
            spawn,
            signal: castellan_core::effect::TreeSignal::Kill,
        });
        desk.rig.exited(spawn);
        assert_eq!(desk.kind(&caller), RefusalKind::NotTrusted);
        desk.rig.discard(spawn);
    }
}

/// A stranger connects, resets its connection, and a trusted process gets its port: the addresses are the trusted process's now,
/// but what the stranger wrote is still in our socket.
#[test]
fn a_port_that_changed_hands_lends_no_identity() {
    for mode in modes() {
        for observed_before_reset in [true, false] {
            let mut desk = Desk::open(mode);
            let stranger =
                connect_from(SocketAddr::from(([127, 0, 0, 1], 0)), desk.listener.local_addr().unwrap()).unwrap();
            let port = stranger.local_addr().unwrap().port().to_string();
            let (stream, _) = desk.listener.accept().unwrap();
            let early = observed_before_reset.then(|| (desk.observe)(&stream).unwrap());
            rustix::net::sockopt::set_socket_linger(&stranger, Some(std::time::Duration::ZERO)).unwrap();
            drop(stranger);
            let task = desk.call_with(OWN, &[(PORT, &port)]);
            let heir = desk.accept();
            match early {
                Some(witness) => {
                    for claim in [Some(task.pid), Some(std::process::id()), None] {
                        let refusal =
                            desk.registry.identify(&witness(Claim { pid: claim, certified: false })).unwrap_err();
                        assert_eq!(refusal.kind, RefusalKind::NotTrusted);
                        assert!(refusal.explanation.why.contains("changed hands"), "{}", refusal.explanation);
                    }
                }
                None => assert!((desk.observe)(&stream).is_err(), "a connection that was reset has no peer"),
            }
            assert_eq!(desk.identify(&heir).unwrap().spawn, task.spawn, "the heir itself is who it is");
        }
    }
}
