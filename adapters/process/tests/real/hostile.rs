//! Connections, descriptors and numbers that are not what they seem, by the real kernel.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use castellan_core::id::{Component, JobId, RunId, SpawnId};
use castellan_core::limits::{DESCRIPTORS, REGISTRY_ENTRIES};
use castellan_core::trust::{Claim, Entry, RefusalKind, Witness};
use castellan_process::{Containment, ContainmentChoice};

use crate::identity::{ADDRESS, Desk, OWN, may};
use crate::passing::{pass, take};
use crate::rig::{Prepared, modes};

const ACT: &str = "CASTELLAN_TEST_ACT";
const CHANNEL: &str = "CASTELLAN_TEST_CHANNEL";
/// Descriptors that make a process expensive to look into, where the limit allows so many.
const MANY: u64 = 20_000;
const NOBODY: u32 = 65_534;

/// Not a test: the programs of the tests below. Without its variables it has nothing to do.
#[test]
#[ignore = "the body of the processes that the other tests of this file start"]
fn actor() {
    let (Ok(address), Ok(act)) = (std::env::var(ADDRESS), std::env::var(ACT)) else {
        return;
    };
    let channel = || UnixStream::connect(std::env::var(CHANNEL).unwrap()).unwrap();
    let connect = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        writeln!(stream, "{}", std::process::id()).unwrap();
        stream
    };
    // Another connection tells that the act is done, and holds the program as long as it is open.
    let stay = |mut last: TcpStream| last.read_to_end(&mut Vec::new()).ok();
    match act.as_str() {
        "connect" => {
            stay(connect());
        }
        "flight" => {
            let (ours, theirs) = UnixStream::pair().unwrap();
            pass(&ours, b"!", connect());
            stay(connect());
            drop((ours, theirs));
        }
        "give" => {
            pass(&channel(), b"!", connect());
            stay(connect());
        }
        "take" => {
            let taken = take(&channel());
            stay(connect());
            drop(taken);
        }
        "many, then connect" => {
            let _many = many();
            stay(connect());
        }
        "connect, then many" => {
            let stream = TcpStream::connect(&address).unwrap();
            let _many = many();
            let mut named = &stream;
            writeln!(named, "{}", std::process::id()).unwrap();
            stay(stream);
        }
        other => panic!("no such act: {other}"),
    }
}

/// As many descriptors as may be, up to [`MANY`].
fn many() -> Vec<std::fs::File> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).unwrap();
    (0..MANY).map_while(|_| std::fs::File::open("/dev/null").ok()).skip(10).collect()
}

impl Desk {
    /// A registered program that does this.
    fn act(&mut self, act: &str, channel: Option<&std::path::Path>) -> Prepared {
        let channel = channel.map(|path| path.to_str().unwrap()).unwrap_or_default();
        self.start(self.body("hostile::actor", &[(ACT, act), (CHANNEL, channel)]))
    }

    /// The same program, started by nobody's order; it connects once it is told to by a line.
    fn stranger(&self) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "read -r _ && exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "hostile::actor", "--ignored"]).stdin(Stdio::piped());
        command.env(ADDRESS, self.listener.local_addr().unwrap().to_string()).env(ACT, "connect");
        command.stdout(Stdio::null());
        command
    }

    fn channel(&self) -> (UnixListener, PathBuf) {
        let path = self.rig.folder.path().join("channel");
        (UnixListener::bind(&path).unwrap(), path)
    }

    /// Why nobody is at the other end; and that something is said about it.
    #[track_caller]
    fn refusal(&self, witness: &Witness, pid: Option<u32>) -> (RefusalKind, String) {
        let refusal = self.registry.identify(&witness(Claim { pid, certified: false })).unwrap_err();
        (refusal.kind, refusal.explanation.to_string())
    }
}

/// Ended with the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.kill().and_then(|()| self.0.wait()).unwrap();
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn skipped(what: &str) {
    // Past the test harness, which hides what a passing test prints.
    writeln!(std::io::stderr(), "SKIPPED: {what}").unwrap();
}

/// P09: its own program cannot say that it holds it, and nobody else can.
#[test]
fn a_socket_that_is_only_in_flight_has_no_holder() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let task = desk.act("flight", None);
        let in_flight = desk.accept();
        let control = desk.accept();
        assert_eq!(desk.identify(&control).unwrap().pid, Some(task.pid));
        let kind = match mode {
            ContainmentChoice::Auto => RefusalKind::ClaimedPidNotOwn,
            ContainmentChoice::Session => RefusalKind::NotTrusted,
        };
        for claim in [task.pid, std::process::id(), 1] {
            assert_eq!(desk.refusal(&in_flight.witness, Some(claim)).0, kind, "claims {claim}");
        }
    }
}

/// The creator of a socket counts, whoever holds it by now.
#[test]
fn a_strangers_socket_in_a_registered_process_stays_the_strangers() {
    for mode in modes() {
        // By the session alone it cannot be seen who of one user made a socket; docs/security.md says so.
        if mode == ContainmentChoice::Session && !is_root() {
            skipped("a stranger of another user needs root");
            continue;
        }
        let mut desk = Desk::open(mode);
        let address = desk.listener.local_addr().unwrap();
        let other_user = mode == ContainmentChoice::Session;
        // The user of a socket is that of the thread which makes it.
        let maker = std::thread::spawn(move || {
            if other_user {
                let nobody = Some(rustix::process::Uid::from_raw(NOBODY));
                rustix::thread::set_thread_res_uid(None, nobody, None).unwrap();
            }
            TcpStream::connect(address).unwrap()
        });
        let strangers = maker.join().unwrap();
        let (stream, _) = desk.listener.accept().unwrap();
        let witness = (desk.observe)(&stream).unwrap();
        let (listener, path) = desk.channel();
        let task = desk.act("take", Some(&path));
        pass(&listener.accept().unwrap().0, b"!", &strangers);
        drop(strangers);
        let control = desk.accept();
        assert_eq!(desk.identify(&control).unwrap().pid, Some(task.pid));
        for claim in [Some(task.pid), Some(std::process::id()), None] {
            assert_eq!(desk.refusal(&witness, claim).0, RefusalKind::NotTrusted, "claims {claim:?}");
        }
    }
}

#[test]
fn a_registered_process_that_gave_its_socket_away_does_not_hold_it() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let (listener, path) = desk.channel();
        let task = desk.act("give", Some(&path));
        let given = take(&listener.accept().unwrap().0);
        let (callers, control) = (desk.accept(), desk.accept());
        assert!(desk.identify(&control).is_ok());
        for claim in [task.pid, std::process::id()] {
            assert!(desk.registry.identify(&(callers.witness)(Claim { pid: Some(claim), certified: false })).is_err());
        }
        drop(given);
    }
}

/// P15: so many descriptors are looked at and no more, and whoever is refused for that is told.
#[test]
fn twenty_thousand_descriptors_cost_no_more_than_the_first_of_them() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    if limit.is_some_and(|limit| limit < 2 * DESCRIPTORS as u64) {
        return skipped("a process may not have so many descriptors here");
    }
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let early = desk.act("connect, then many", None);
        let caller = desk.accept();
        assert_eq!(desk.identify(&caller).unwrap().pid, Some(early.pid), "{MANY} others do not matter");
        let late = desk.act("many, then connect", None);
        let caller = desk.accept();
        assert!(!(caller.witness)(Claim { pid: Some(late.pid), certified: false }).claimed.unwrap().holds_socket);
        match mode {
            ContainmentChoice::Auto => {
                let (kind, why) = desk.refusal(&caller.witness, Some(late.pid));
                assert_eq!(kind, RefusalKind::ClaimedPidNotOwn);
                assert!(why.contains(&format!("first {DESCRIPTORS} descriptors")), "{why}");
            }
            ContainmentChoice::Session => {
                assert_eq!(desk.refusal(&caller.witness, Some(late.pid)).0, RefusalKind::NotTrusted);
            }
        }
    }
}

/// P14: the number that a process has in a process namespace of its own counts for its own connection, and no other does.
#[test]
fn an_inner_number_is_its_holders_alone() {
    if !may("unshare --pid --fork") {
        return;
    }
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let inner = desk.start(desk.client_of("unshare --pid --fork \"$0\" \"$@\""));
        let caller = desk.accept();
        assert_eq!((caller.claim, desk.identify(&caller).unwrap().spawn), (1, inner.spawn));
        for claim in [2, inner.pid, std::process::id()] {
            let refused = desk.refusal(&caller.witness, Some(claim)).0;
            assert_eq!(refused, RefusalKind::ClaimedPidNotOwn, "claims {claim}");
        }
        // Another task claims the number that the first one has for itself.
        desk.call("1");
        let forger = desk.accept();
        assert_eq!(desk.kind(&forger), RefusalKind::ClaimedPidNotOwn);
        let _stranger = TcpStream::connect(desk.listener.local_addr().unwrap()).unwrap();
        let (stream, _) = desk.listener.accept().unwrap();
        let witness = (desk.observe)(&stream).unwrap();
        assert_eq!(desk.refusal(&witness, Some(1)).0, RefusalKind::NotTrusted);
    }
}

/// P26: the kernel keeps others out of the cgroup, and who is not in it is nobody.
#[test]
fn another_user_cannot_join_a_tree() {
    if !is_root() {
        return skipped("a process of another user needs root");
    }
    let mut desk = Desk::open(ContainmentChoice::Auto);
    let Containment::Cgroup { path, .. } = desk.rig.port().containment().clone() else {
        return skipped("there are no cgroups");
    };
    let task = desk.call(OWN);
    let _task = desk.accept();
    let folders = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
    let folder = folders.into_iter().find(|path| Some(path.metadata().unwrap().ino()) == task.cgroup).unwrap();
    let join = |user: u32| {
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", "echo $$ > \"$0\"", folder.join("cgroup.procs").to_str().unwrap()]);
        shell.uid(user).stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(!join(NOBODY));
    assert!(join(0), "control: root can");
    let address = desk.listener.local_addr().unwrap();
    let script = format!("exec 3<>/dev/tcp/{}/{}; echo $$ >&3; read -r _ <&3", address.ip(), address.port());
    let _stranger = Started(Command::new("/bin/bash").args(["-c", &script]).uid(NOBODY).spawn().unwrap());
    let caller = desk.accept();
    assert_eq!(desk.kind(&caller), RefusalKind::NotTrusted);
}

/// P27: a full registry knows its processes, and takes no more.
#[test]
fn a_full_registry_still_knows_everybody() {
    for mode in modes() {
        let mut desk = Desk::open(mode);
        let task = desk.call(OWN);
        let entry = |number: u32| Entry {
            spawn: SpawnId(u64::from(number)),
            component: Component::Job(JobId::parse("other").unwrap()),
            run: Some(RunId::new(2, u64::from(number))),
            pid: number,
            session: number,
            cgroup: task.cgroup.map(|_| u64::from(number) << 32),
            uid: 0,
            user_name: String::from("root"),
            leader_alive: true,
        };
        let numbers = (5_000_000..).take(REGISTRY_ENTRIES - 1);
        assert!(numbers.map(entry).all(|entry| desk.registry.insert(entry).is_ok()));
        assert!(desk.registry.insert(entry(6_000_000)).is_err());
        let caller = desk.accept();
        assert_eq!(desk.identify(&caller).unwrap().spawn, task.spawn);
    }
}

#[test]
fn a_number_that_is_used_again_is_nobodys() {
    let way = "unshare --pid --fork --kill-child --mount-proc";
    if !may(way) {
        return;
    }
    // In a process namespace of its own, so that nobody else takes the numbers.
    let mut command = Command::new("unshare");
    command.args(&way.split(' ').collect::<Vec<_>>()[1..]).arg(std::env::current_exe().unwrap());
    let output = command.args(["--exact", "hostile::reuse", "--ignored", "--nocapture"]).output().unwrap();
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    said.lines()
        .filter(|line| line.starts_with("SKIPPED"))
        .for_each(|line| skipped(line.trim_start_matches("SKIPPED: ")));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

/// P25: an agent without root, where `/proc` hides other users' processes and no cgroup can be made.
#[test]
fn where_proc_hides_processes_strangers_stay_strangers_and_tasks_are_known() {
    let way = "unshare --mount --pid --fork --kill-child";
    if !is_root() || !may(way) {
        return skipped("hiding processes needs root");
    }
    // As an ordinary user, which the options of the mount do not spare.
    let hidden = |program: &std::path::Path, arguments: &[&str]| {
        let script = "mount -t proc -o hidepid=2 proc /proc && ! ls /proc/1 2> /dev/null && exec \"$0\" \"$@\"";
        let user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
        let script = script.replace("! ls", &format!("! {} ls", user.join(" ")));
        let mut command = Command::new("unshare");
        command.args(&way.split(' ').collect::<Vec<_>>()[1..]).args(["/bin/sh", "-c", &script]);
        command.args(user).arg(program).args(arguments).env("TMPDIR", "/tmp").output().unwrap()
    };
    let own = std::env::current_exe().unwrap();
    if !hidden("/usr/bin/test".as_ref(), &["-x", own.to_str().unwrap()]).status.success() {
        return skipped("an ordinary user may not execute this test here, or /proc cannot be mounted");
    }
    let names = ["a_program_that_connects_at_once_is_known", "a_stranger_is_refused_whatever_it_claims"];
    let names = names.map(|name| format!("identity::{name}"));
    let output = hidden(&own, &["--exact", &names[0], &names[1]]);
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && said.contains("2 passed"), "{said}");
}

/// Makes the next process be this one, if the number is free, and lets it go on; `None` where it is not.
fn take_number(pid: u32, command: &mut Command) -> Option<Started> {
    for _ in 0..20 {
        std::fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).unwrap();
        let mut started = Started(command.spawn().unwrap());
        if started.0.id() == pid {
            started.0.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
            return Some(started);
        }
    }
    None
}

/// Not a test by itself: runs in a process namespace of its own.
#[test]
#[ignore = "the body of the process that a_number_that_is_used_again_is_nobodys starts"]
fn reuse() {
    if let Err(error) = std::fs::OpenOptions::new().write(true).open("/proc/sys/kernel/ns_last_pid") {
        return skipped(&format!("numbers of processes cannot be chosen here: {error}"));
    }
    for mode in modes() {
        // The launcher that waits for the next start may take the number first; then another number is tried.
        let had = (0..5).any(|_| stranger_with_a_used_number(mode));
        assert!(had, "control: a number that is free can be had");
    }
}

/// Whether the number of an ended task could be had; if so, whoever has it is nobody.
fn stranger_with_a_used_number(mode: ContainmentChoice) -> bool {
    let mut desk = Desk::open(mode);
    let task = desk.call(OWN);
    let caller = desk.accept();
    assert_eq!(desk.identify(&caller).unwrap().pid, Some(task.pid));
    drop(caller);
    desk.rig.exited(task.spawn);
    assert!(take_number(task.pid, &mut desk.stranger()).is_none(), "not reaped, so its number is taken");
    match mode {
        // With a cgroup the number names nothing, and goes when the output is collected: the task is registered still.
        ContainmentChoice::Auto => drop(desk.rig.collect(task.spawn)),
        ContainmentChoice::Session => {
            desk.registry.remove(task.spawn).unwrap();
            desk.rig.discard(task.spawn);
        }
    }
    let Some(_heir) = take_number(task.pid, &mut desk.stranger()) else {
        return false;
    };
    let stranger = desk.accept();
    assert_eq!(stranger.claim, task.pid);
    assert_eq!(desk.kind(&stranger), RefusalKind::NotTrusted, "{mode:?}");
    assert_eq!(desk.refusal(&stranger.witness, None).0, RefusalKind::NotTrusted, "{mode:?}");
    if mode == ContainmentChoice::Auto {
        desk.rig.discard(task.spawn);
    }
    true
}
