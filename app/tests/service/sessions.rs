//! Whose session it is: logind on a bus of its own, played by this test, and a real display. They need root, dbus-daemon, Xvfb.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::Uid;
use serde_json::{Value, json};
use tempfile::TempDir;
use zbus::{Connection, OwnedObjectPath, connection};

use crate::support::{Agent, Puppet, Stage, accepted, eventually, has_program, skipped, spawn};
use crate::users::{NOBODY, NOBODY_UID, Somebody, has_somebody_else, job, stage_of, task, written};

/// A bus for everybody, in place of the system's.
struct Bus {
    daemon: Child,
    address: String,
    _folder: TempDir,
}

impl Bus {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bus");
        Self::start_as(0, folder, &path)
    }

    /// A user's own.
    fn start_as(uid: u32, folder: TempDir, path: &Path) -> Self {
        let address = format!("unix:path={}", path.display());
        // As session.conf of D-Bus: no other user may connect to a user's bus, root neither.
        let everybody = if uid == 0 { r#"<allow user="*"/>"# } else { "" };
        let everything =
            format!(r#"<allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/>{everybody}"#);
        let config = folder.path().join("bus.conf");
        let text = format!(
            r#"<busconfig><type>session</type><listen>{address}</listen><auth>EXTERNAL</auth><policy context="default">{everything}</policy></busconfig>"#
        );
        fs::write(&config, text).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.uid(uid).current_dir("/");
        command.arg("--config-file").arg(&config).args(["--nofork", "--print-address"]);
        // It says what it may not do as nobody's system bus; nothing of that matters here.
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut daemon = spawn(&mut command);
        let mut line = String::new();
        // It is ready when it says where.
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.starts_with(&address), "dbus-daemon is not ready: {line:?}");
        Self { daemon, address, _folder: folder }
    }

    fn agent<'s>(&self, stage: &'s Stage) -> Agent<'s> {
        Agent::start_with(stage, |command| command.env("DBUS_SYSTEM_BUS_ADDRESS", &self.address))
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        drop(self.daemon.kill());
        drop(self.daemon.wait());
    }
}

/// org.freedesktop.login1, as far as anybody asks.
struct Listing(Vec<Session>);

#[derive(Clone)]
struct Session {
    id: &'static str,
    uid: u32,
    class: &'static str,
    kind: &'static str,
    is_remote: bool,
}

impl Session {
    fn path(&self) -> OwnedObjectPath {
        format!("/org/freedesktop/login1/session/_{}", self.id).try_into().unwrap()
    }

    fn seat(&self) -> String {
        String::from(if self.is_remote { "" } else { "seat0" })
    }
}

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Listing {
    fn list_sessions(&self) -> Vec<(String, u32, String, String, OwnedObjectPath)> {
        let listed = |one: &Session| (one.id.to_owned(), one.uid, format!("u{}", one.uid), one.seat(), one.path());
        self.0.iter().map(listed).collect()
    }
}

#[zbus::interface(name = "org.freedesktop.login1.Session")]
impl Session {
    #[zbus(property)]
    fn class(&self) -> &str {
        self.class
    }

    #[zbus(property, name = "Type")]
    fn kind(&self) -> &str {
        self.kind
    }

    #[zbus(property)]
    fn state(&self) -> &str {
        "active"
    }

    #[zbus(property)]
    fn active(&self) -> bool {
        true
    }

    #[zbus(property)]
    fn remote(&self) -> bool {
        self.is_remote
    }

    #[zbus(property)]
    fn display(&self) -> &str {
        if self.kind == "x11" { ":5" } else { "" }
    }
}

/// One that never answers.
struct Hanging;

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Hanging {
    async fn list_sessions(&self) -> Vec<(String, u32, String, String, OwnedObjectPath)> {
        std::future::pending().await
    }
}

/// One that answers something else.
struct Confused;

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Confused {
    fn list_sessions(&self) -> &str {
        "everybody"
    }
}

/// One that answers with an error.
struct Refusing;

#[zbus::interface(name = "org.freedesktop.login1.Manager")]
impl Refusing {
    fn list_sessions(&self) -> zbus::fdo::Result<()> {
        Err(zbus::fdo::Error::AccessDenied(String::from("not for you")))
    }
}

/// Serves one object under logind's name until it is dropped.
fn serve<I: zbus::object_server::Interface>(bus: &Bus, object: I, sessions: &[Session]) -> Connection {
    smol::block_on(async {
        let builder = connection::Builder::address(bus.address.as_str()).serve_at("/org/freedesktop/login1", object);
        let builder = sessions.iter().fold(builder, |builder, one| builder.serve_at(one.path(), one.clone()));
        builder.name("org.freedesktop.login1").build().await.unwrap()
    })
}

fn logind(bus: &Bus, sessions: &[Session]) -> Connection {
    serve(bus, Listing(sessions.to_vec()), sessions)
}

/// These are the sessions from now on; a signal of logind says that there is something new.
fn change(logind: &Connection, sessions: &[Session], signal: &str, whose: &Session) {
    const LISTING: &str = "/org/freedesktop/login1";
    smol::block_on(async {
        let server = logind.object_server();
        server.interface::<_, Listing>(LISTING).await.unwrap().get_mut().await.0 = sessions.to_vec();
        for one in sessions {
            server.at(one.path(), one.clone()).await.unwrap();
        }
        let (interface, body) = ("org.freedesktop.login1.Manager", (whose.id, whose.path()));
        logind.emit_signal(None::<&str>, LISTING, interface, signal, &body).await.unwrap();
    });
}

const fn session(id: &'static str, uid: u32, kind: &'static str) -> Session {
    Session { id, uid, class: "user", kind, is_remote: false }
}

fn bus() -> Option<Bus> {
    has_program("dbus-daemon", "the stories about logind").then(Bus::start)
}

/// Why the task of this job fails.
#[track_caller]
fn refused(agent: &Agent<'_>, job: &str) -> String {
    let run = agent.run(job);
    assert_eq!(run["outcome"], "Failed", "{run}");
    task(&run)["reason"].as_str().unwrap().to_owned()
}

#[test]
fn the_user_at_the_screen_is_who_logind_says() {
    if !has_somebody_else() {
        return;
    }
    // Where logind answers, the configured user is not asked for.
    let stage = stage_of(json!({ "SessionUser": "daemon" }));
    job(&stage, "who", "User", "id -un");
    job(&stage, "desktop", "UserDesktop", "echo $(id -un) $DISPLAY");
    let Some(bus) = bus() else { return };
    let greeter = Session { class: "greeter", ..session("c1", 2, "wayland") };
    let remote = Session { is_remote: true, ..session("3", 1, "tty") };
    let agent = bus.agent(&stage);
    for (sessions, who, desktop) in [
        (vec![greeter.clone(), remote.clone(), session("4", NOBODY_UID, "x11")], Ok("nobody\n"), Ok("nobody :5\n")),
        (vec![greeter.clone(), session("5", NOBODY_UID, "tty")], Ok("nobody\n"), Err("is not graphical")),
        (vec![session("6", 0, "x11")], Err("root runs no User"), Err("root runs no User")),
        (vec![greeter, remote], Err("user 1 is remote"), Err("user 1 is remote")),
        (vec![], Err("logind lists none"), Err("logind lists none")),
    ] {
        let connection = logind(&bus, &sessions);
        for (id, expected) in [("who", who), ("desktop", desktop)] {
            match expected {
                Ok(text) => assert_eq!(written(&agent.run(id)), text),
                Err(word) => {
                    let why = refused(&agent, id);
                    assert!(why.contains(word), "{why}");
                }
            }
        }
        smol::block_on(connection.close()).unwrap();
    }
    agent.stop();
}

/// The puppets of a plugin of users, by the name of their user; each is connected.
fn trays<const COUNT: usize>(stage: &Stage, agent: &Agent<'_>) -> [(String, Puppet); COUNT] {
    let mut found = [(); COUNT].map(|()| {
        let mut program = stage.puppet("Tray");
        let user = program.environment()["USER"].as_str().unwrap().to_owned();
        let client_id = format!("Tray_{user}_{}", program.pid());
        assert_eq!(program.connect_as(agent.mqtt, &client_id), accepted());
        (user, program)
    });
    found.sort_by(|one, other| one.0.cmp(&other.0));
    found
}

#[test]
fn a_plugin_of_users_has_a_process_in_each_session_for_as_long_as_that_is_there() {
    if !has_somebody_else() || !has_program("useradd", "a plugin in two sessions") {
        return;
    }
    let stage = stage_of(json!({}));
    let somebody = Somebody::new(stage.folder());
    let mut plugin = stage.puppet_plugin("Tray", &["KeeperLogger"], &[]);
    plugin["arguments"] = json!(plugin["arguments"].as_str().unwrap().replace("state/ca.pem", "ca.pem"));
    plugin["executionContext"] = json!("User");
    stage.plugin(&plugin);
    let Some(bus) = bus() else { return };
    let (first, second) = (session("1", somebody.uid, "tty"), session("2", NOBODY_UID, "tty"));
    let both = [first.clone(), second];
    let logind = logind(&bus, &both);
    let agent = bus.agent(&stage);
    let [(name, mut his), (other, mut nobodys)] = trays(&stage, &agent);
    assert_eq!((&*name, &*other), (&*somebody.name, NOBODY), "each as its own user");
    let shown = || agent.call("GET", "/api/plugins/Tray").send().json();
    let of =
        |one: &Value| (one["session"].clone(), one["user"].clone(), one["processId"].clone(), one["status"].clone());
    let instances = || shown()["instances"].as_array().unwrap().iter().map(of).collect::<Vec<_>>();
    let running = |id: &str, uid: u32, pid: u32| (json!(id), json!(format!("u{uid}")), json!(pid), json!("Running"));
    let expected = [running("1", somebody.uid, his.pid()), running("2", NOBODY_UID, nobodys.pid())];
    assert_eq!(instances(), expected);
    let told = crate::cli::ok(&stage, &["plugins", "list"]);
    let line = told.lines().find(|line| line.contains(&format!("  session 1 of u{}", somebody.uid))).unwrap();
    assert!(line.contains("Running  Healthy") && line.contains(&his.pid().to_string()), "{told}");

    change(&logind, &both[1..], "SessionRemoved", &first);
    his.expect_gone();
    agent.logged("why it was stopped", |record| {
        let ended = format!("its session 1 of u{} ended", somebody.uid);
        record["category"] == "PluginStopping" && record["message"].as_str().unwrap().contains(&ended)
    });
    eventually("that it is forgotten", || (instances() == expected[1..]).then_some(()));
    change(&logind, &both, "SessionNew", &first);
    let [(name, his)] = trays(&stage, &agent);
    assert_eq!(name, somebody.name);
    assert_eq!(instances(), [running("1", somebody.uid, his.pid()), expected[1].clone()]);

    // Without logind nobody knows who has left: whoever was there stays.
    drop(bus);
    agent.logged("that logind is away", |record| record["category"] == "SessionsUnknown");
    nobodys.log("still here");
    agent.logged_message("Test", "still here");
    let stop = crate::cli::ok(&stage, &["plugins", "stop", "Tray", "--wait"]);
    assert_eq!(stop, "Tray: Stopped, Unhealthy\n");
    nobodys.expect_gone();
    drop(his);
    agent.stop();
}

#[test]
fn a_logind_that_hangs_or_talks_nonsense_is_an_explained_failure() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({ "SessionUser": NOBODY }));
    job(&stage, "who", "User", "id -un");
    let Some(bus) = bus() else { return };
    let agent = bus.agent(&stage);
    assert_eq!(written(&agent.run("who")), "nobody\n", "a bus without logind: the configured user");
    let hanging = serve(&bus, Hanging, &[]);
    let why = refused(&agent, "who");
    assert!(why.contains("NoActiveSession: logind") && why.contains("did not answer within"), "{why}");
    smol::block_on(hanging.close()).unwrap();
    let confused = serve(&bus, Confused, &[]);
    let why = refused(&agent, "who");
    assert!(why.contains("NoActiveSession: logind") && why.contains("of no use"), "{why}");
    smol::block_on(confused.close()).unwrap();
    let refusing = serve(&bus, Refusing, &[]);
    let why = refused(&agent, "who");
    assert!(why.contains("NoActiveSession: logind") && why.contains("not for you"), "{why}");
    smol::block_on(refusing.close()).unwrap();
    agent.stop();
}

#[test]
fn a_session_without_an_account_runs_nothing() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({}));
    job(&stage, "who", "User", "id -un");
    let Some(bus) = bus() else { return };
    let _connection = logind(&bus, &[session("1", 3_999_999_999, "x11")]);
    let agent = bus.agent(&stage);
    let why = refused(&agent, "who");
    assert!(why.starts_with("NoActiveSession: ") && why.contains("no account of user 3999999999"), "{why}");
    agent.stop();
}

/// org.freedesktop.systemd1 of a user: what his desktop told it, and what he put there himself.
struct UserServices(Vec<String>);

#[zbus::interface(name = "org.freedesktop.systemd1.Manager")]
impl UserServices {
    #[zbus(property)]
    fn environment(&self) -> &[String] {
        &self.0
    }
}

/// A connection that a thread of this user makes.
fn as_user(uid: u32, path: PathBuf) -> UnixStream {
    let dial = move || {
        rustix::thread::set_thread_res_uid(None, Uid::from_raw(uid), None).unwrap();
        UnixStream::connect(path).unwrap()
    };
    std::thread::spawn(dial).join().unwrap()
}

#[test]
fn a_desktop_task_gets_of_its_users_own_variables_what_proves_right() {
    let tools = ["dbus-daemon", "useradd"];
    if !has_somebody_else() || !tools.iter().all(|tool| has_program(tool, "a user with a bus of his own")) {
        return;
    }
    let stage = stage_of(json!({}));
    let somebody = Somebody::new(stage.folder());
    stage.settings(json!({ "SessionUser": somebody.name, "SessionDisplay": ":9" }));
    job(&stage, "desktop", "UserDesktop", "env | grep -E '^(DISPLAY|WAYLAND|XAUTH|DBUS|LD_)' | sort");
    let (runtime, authority) = (somebody.runtime(), somebody.home.join("authority"));
    std::os::unix::fs::chown(&runtime, Some(somebody.uid), None).unwrap();
    fs::write(&authority, "").unwrap();
    let bus = Bus::start_as(somebody.uid, tempfile::tempdir().unwrap(), &runtime.join("bus"));
    let (address, authority) = (&bus.address, authority.display());
    let lines = [
        String::from("DISPLAY=:3;id"),
        String::from("WAYLAND_DISPLAY=wayland-1"),
        format!("XAUTHORITY={authority}"),
        format!("DBUS_SESSION_BUS_ADDRESS={address}"),
        String::from("LD_PRELOAD=/tmp/evil.so"),
    ];
    let object = UserServices(lines.to_vec());
    let _services = smol::block_on(async {
        let builder = connection::Builder::unix_stream(as_user(somebody.uid, runtime.join("bus")));
        let builder = builder.user_id(somebody.uid).serve_at("/org/freedesktop/systemd1", object);
        builder.name("org.freedesktop.systemd1").build().await.unwrap()
    });
    let agent = crate::users::start(&stage);
    let expected =
        format!("DBUS_SESSION_BUS_ADDRESS={address}\nDISPLAY=:9\nWAYLAND_DISPLAY=wayland-1\nXAUTHORITY={authority}\n");
    assert_eq!(written(&agent.run("desktop")), expected);
    agent.stop();
}

/// A user with a runtime folder of his, and a desktop task that needs nothing of it.
fn somebody_at_a_display(stage: &Stage) -> (Somebody, PathBuf) {
    let somebody = Somebody::new(stage.folder());
    stage.settings(json!({ "SessionUser": somebody.name, "SessionDisplay": ":9" }));
    job(stage, "desktop", "UserDesktop", "echo $DISPLAY");
    let runtime = somebody.runtime();
    std::os::unix::fs::chown(&runtime, Some(somebody.uid), None).unwrap();
    (somebody, runtime)
}

/// Plays a D-Bus server up to the end of the handshake, then says one message of 100 MiB; answers with how much of it was taken.
fn flood(listener: &UnixListener) -> usize {
    const LENGTH: usize = 100 << 20;
    let (mut peer, _) = listener.accept().unwrap();
    let mut lines = BufReader::new(peer.try_clone().unwrap());
    let mut line = Vec::new();
    while !line.starts_with(b"BEGIN") {
        line.clear();
        assert_ne!(lines.read_until(b'\n', &mut line).unwrap(), 0, "hung up during the handshake");
        let answer: &[u8] = match line.trim_ascii_start().strip_prefix(b"\0").unwrap_or(&line) {
            auth if auth.starts_with(b"AUTH") => b"OK 0123456789abcdef0123456789abcdef\r\n",
            other if other.starts_with(b"NEGOTIATE") => b"AGREE_UNIX_FD\r\n",
            _ => b"",
        };
        peer.write_all(answer).unwrap();
    }
    let mut head = b"l\x02\x00\x01".to_vec();
    for number in [u32::try_from(LENGTH).unwrap(), 1, 0] {
        head.extend(number.to_le_bytes());
    }
    peer.write_all(&head).unwrap();
    let chunk = [b' '; 1 << 16];
    let mut said = 0;
    while said < LENGTH {
        match peer.write(&chunk) {
            Ok(count) => said += count,
            Err(_) => break,
        }
    }
    said
}

#[test]
fn a_users_bus_that_never_stops_talking_is_not_listened_to() {
    if !has_somebody_else() || !has_program("useradd", "a user with a bus of his own") {
        return;
    }
    let stage = stage_of(json!({}));
    let (somebody, runtime) = somebody_at_a_display(&stage);
    let listener = UnixListener::bind(runtime.join("bus")).unwrap();
    std::os::unix::fs::chown(runtime.join("bus"), Some(somebody.uid), None).unwrap();
    let flood = std::thread::spawn(move || flood(&listener));
    let agent = crate::users::start(&stage);
    assert_eq!(written(&agent.run("desktop")), ":9\n");
    let said = flood.join().unwrap();
    assert!(said < 8 << 20, "the agent took {said} bytes");
    agent.stop();
}

#[test]
fn a_user_leads_the_agent_to_no_socket_but_his_own() {
    if !has_somebody_else() || !has_program("useradd", "a user with a bus of his own") {
        return;
    }
    let stage = stage_of(json!({}));
    let (_somebody, runtime) = somebody_at_a_display(&stage);
    let (elsewhere, bus) = (stage.folder().join("roots"), runtime.join("bus"));
    let agent = crate::users::start(&stage);
    let is_left_alone = |path: &Path| {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        assert_eq!(written(&agent.run("desktop")), ":9\n");
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "the agent was led to it");
    };
    std::os::unix::fs::symlink(&elsewhere, &bus).unwrap();
    is_left_alone(&elsewhere);
    fs::remove_file(&bus).unwrap();
    is_left_alone(&bus);
    agent.stop();
}

/// A file system in user space whose daemon never answers; gone with the test.
struct Silence(Child, PathBuf);

impl Silence {
    fn at(folder: &Path) -> Option<Self> {
        let script = "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other silence \"$0\" \
            && echo mounted && exec sleep 1000 > /dev/null";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(folder).stdout(Stdio::piped());
        let mut daemon = spawn(&mut command);
        let mut line = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let silence = Self(daemon, folder.to_owned());
        (line == "mounted\n").then_some(silence)
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Whoever waits for it gets an error then.
        drop(self.0.kill());
        drop(self.0.wait());
        drop(spawn(Command::new("umount").arg("-l").arg(&self.1).stderr(Stdio::null())).wait());
    }
}

#[test]
fn a_runtime_folder_that_never_answers_holds_up_its_users_tasks_alone() {
    if !has_somebody_else() || !has_program("useradd", "a runtime folder that hangs") {
        return;
    }
    let stage = stage_of(json!({}));
    let (_somebody, runtime) = somebody_at_a_display(&stage);
    job(&stage, "other", "Service", "echo other");
    let agent = crate::users::start(&stage);
    let Some(silence) = Silence::at(&runtime) else {
        return skipped("a runtime folder that hangs: no file systems in user space here");
    };
    let run = agent.trigger("desktop");
    assert_eq!(written(&agent.run("other")), "other\n");
    assert_eq!(written(&agent.finished(&run)), ":9\n");
    drop(silence);
    agent.stop();
}

/// An X server without a screen.
pub(crate) struct Xvfb {
    server: Child,
    pub(crate) display: String,
}

impl Xvfb {
    pub(crate) fn start() -> Option<Self> {
        if !has_program("Xvfb", "a real display") || !has_program("xdpyinfo", "a program that opens a display") {
            return None;
        }
        let mut command = Command::new("Xvfb");
        // It chooses a free number, and says so when it is ready; `-ac`: its clients are other users; `-noreset`: it does not begin anew
        // whenever the last of them leaves.
        command
            .args(["-displayfd", "1", "-ac", "-noreset", "-nolisten", "tcp"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut server = spawn(&mut command);
        let mut number = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut number).unwrap();
        assert!(!number.trim().is_empty(), "Xvfb did not start");
        Some(Self { server, display: format!(":{}", number.trim()) })
    }
}

impl Drop for Xvfb {
    fn drop(&mut self) {
        // SIGTERM: it removes its socket and its lock.
        let pid = rustix::process::Pid::from_child(&self.server);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        drop(self.server.wait());
    }
}

#[test]
fn a_desktop_task_opens_the_display_of_its_user() {
    if !has_somebody_else() {
        return;
    }
    let Some(server) = Xvfb::start() else { return };
    let stage = stage_of(json!({ "SessionUser": NOBODY, "SessionDisplay": server.display }));
    job(&stage, "desktop", "UserDesktop", "id -un; exec xdpyinfo");
    job(&stage, "user", "User", "exec xdpyinfo");
    job(&stage, "elevated", "UserElevated", "exec xdpyinfo");
    let agent = crate::users::start(&stage);
    let shown = written(&agent.run("desktop"));
    assert!(shown.starts_with(&format!("nobody\nname of display:    {}", server.display)), "{shown}");
    for id in ["user", "elevated"] {
        let run: Value = agent.run(id);
        let stderr = task(&run)["stderr"].as_str().unwrap();
        assert!(stderr.contains("unable to open display \"\""), "only UserDesktop is told of the display: {run}");
    }
    agent.stop();
}
