//! User tasks as their user sees them: who he is, what he may, what he gets, whom he can talk to. They need root and an account.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Resource, Rlimit, prlimit, setpriority_process};
use serde_json::{Value, json};

use crate::support::{Agent, PATIENCE, Stage, accepted, eventually, is_root, log_message, skipped, spawn, within};

/// An account of every Linux system that owns nothing: its home folder does not exist.
pub(crate) const NOBODY: &str = "nobody";
pub(crate) const NOBODY_UID: u32 = 65_534;

/// Whether there is somebody else to be; says so where not.
pub(crate) fn has_somebody_else() -> bool {
    if !is_root() {
        skipped("User tasks: only root can become somebody else");
    }
    is_root()
}

/// A stage that everybody may look at, with this user's session and no logind.
pub(crate) fn stage_of(settings: Value) -> Stage {
    let stage = Stage::new();
    fs::set_permissions(stage.folder(), Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(stage.folder().join("control"), Permissions::from_mode(0o777)).unwrap();
    stage.settings(settings);
    stage
}

/// On a machine without logind.
pub(crate) fn start(stage: &Stage) -> Agent<'_> {
    let nowhere = format!("unix:path={}", stage.folder().join("no-bus").display());
    Agent::start_with(stage, |command| command.env("DBUS_SYSTEM_BUS_ADDRESS", nowhere))
}

/// A job with one task that runs a script as somebody of the session.
pub(crate) fn job(stage: &Stage, id: &str, kind: &str, script: &str) {
    stage.script(id, script);
    stage.job(&json!({ "id": id, "name": id, "tasks": [ { "id": "act", "command": id, "executionType": kind } ] }));
}

pub(crate) fn task(run: &Value) -> &Value {
    &run["tasks"][0]
}

/// What the task wrote, once it has succeeded.
#[track_caller]
pub(crate) fn written(run: &Value) -> String {
    assert_eq!(run["outcome"], "Succeeded", "{run}");
    task(run)["stdout"].as_str().unwrap().to_owned()
}

/// Why the task failed, and that its script was not run.
#[track_caller]
fn refused(stage: &Stage, run: &Value) -> String {
    assert_eq!((&run["outcome"], &task(run)["outcome"]), (&json!("Failed"), &json!("Failed")), "{run}");
    assert!(!traces(stage).join("ran").exists(), "it was run all the same");
    task(run)["reason"].as_str().unwrap().to_owned()
}

/// A folder that everybody may write to.
fn traces(stage: &Stage) -> PathBuf {
    stage.folder().join("traces")
}

/// Leaves a trace, whoever runs it.
fn trace(stage: &Stage) -> String {
    fs::create_dir(traces(stage)).unwrap();
    fs::set_permissions(traces(stage), Permissions::from_mode(0o777)).unwrap();
    format!("id > {}/ran", traces(stage).display())
}

/// A process of a user that the agent has nothing to do with.
struct Bystander(Child);

impl Bystander {
    fn of(uid: u32) -> Self {
        Self(spawn(Command::new("sleep").arg("1000").uid(uid).current_dir("/")))
    }
}

impl Drop for Bystander {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_trace_is_left_where_something_runs() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({ "SessionUser": NOBODY }));
    job(&stage, "trace", "User", &trace(&stage));
    let agent = start(&stage);
    written(&agent.run("trace"));
    assert!(traces(&stage).join("ran").exists(), "else no test below could fail by it");
    agent.stop();
}

const LOOK: &str = r#"grep -E '^(Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs|SigBlk|SigIgn):' /proc/self/status | tr '\t' ' '
echo "umask $(umask)"; echo "cwd $(pwd)"; echo "nice $(nice)"
echo "own stderr" > /dev/stderr && echo "stderr opens"
( : < /dev/tty ) 2> /dev/null || echo "no tty""#;

#[test]
fn a_user_task_is_its_user_and_can_gain_nothing() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({ "SessionUser": NOBODY }));
    job(&stage, "look", "User", LOOK);
    job(&stage, "env", "User", "env");
    job(&stage, "service", "Service", "nice; umask");
    let files = json!({ "id": "ls", "command": "ls", "executablePath": "/bin/ls", "arguments": "/proc/self/fd", "executionType": "User" });
    stage.job(&json!({ "id": "files", "name": "files", "tasks": [files] }));
    let agent = start(&stage);
    // Whatever the agent was given, its threads, too.
    for thread in fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap().flatten() {
        let thread = thread.file_name().to_string_lossy().parse().unwrap();
        setpriority_process(Pid::from_raw(thread), 5).unwrap();
    }

    let nothing = "0000000000000000";
    let expected = format!(
        "Uid: {u} {u} {u} {u}\nGid: {u} {u} {u} {u}\nGroups: {u} \nSigBlk: {nothing}\nSigIgn: {nothing}\n\
         CapInh: {nothing}\nCapPrm: {nothing}\nCapEff: {nothing}\nCapAmb: {nothing}\nNoNewPrivs: 1\n\
         umask 0077\ncwd /\nnice 0\nstderr opens\nno tty\n",
        u = NOBODY_UID
    );
    assert_eq!(written(&agent.run("look")), expected);
    assert_eq!(written(&agent.run("service")), "0\n0027\n");
    assert_eq!(written(&agent.run("files")), "0\n1\n2\n3\n", "the fourth is the folder that ls looks at");
    let environment = written(&agent.run("env"));
    let mut names: Vec<&str> = environment.lines().filter_map(|line| line.split('=').next()).collect();
    // What the shell sets itself, and what the agent may have been given.
    names.retain(|name| !matches!(*name, "PWD" | "OLDPWD" | "_" | "SHLVL" | "LANG" | "TZ"));
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LOGNAME", "PATH", "SHELL", "USER"], "{environment}");
    assert!(environment.contains("USER=nobody\n") && environment.contains("PATH=/usr/local/sbin:"), "{environment}");
    agent.stop();
}

#[test]
fn a_user_task_talks_to_the_agent_as_itself() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({ "SessionUser": NOBODY }));
    let mut puppet = stage.puppet_job("talk", &["KeeperLogger"], &[]);
    let arguments = puppet["tasks"][0]["arguments"].as_str().unwrap().replace("state/ca.pem", "ca.pem");
    puppet["tasks"][0]["arguments"] = json!(arguments);
    puppet["tasks"][0]["executionType"] = json!("User");
    stage.job(&puppet);
    let agent = start(&stage);
    let run = agent.trigger("talk");
    let mut program = stage.puppet("talk");
    assert_eq!(fs::metadata(format!("/proc/{}", program.pid())).map(|found| uid(&found)).unwrap(), NOBODY_UID);
    assert_eq!(program.environment()["KEEPER_JOB_ID"], "talk");
    assert_eq!(program.get("/api/PluginSettings/KeeperPrivilegeManager").0, 200, "the Plugin tier is its job's");
    program.connect(agent.mqtt);
    program.log("as nobody");
    let record = agent.logged_message("Test", "as nobody");
    assert_eq!((&record["component"], &record["pid"]), (&json!("job:talk"), &json!(program.pid())));
    program.exit(0, "");
    assert_eq!(agent.finished(&run)["outcome"], "Succeeded");
    agent.stop();
}

fn uid(found: &fs::Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::uid(found)
}

#[test]
fn without_a_session_nothing_is_run() {
    let stage = stage_of(json!({}));
    let script = trace(&stage);
    for kind in ["User", "UserDesktop", "UserElevated"] {
        job(&stage, &kind.to_lowercase(), kind, &script);
    }
    let agent = start(&stage);
    for id in ["user", "userdesktop", "userelevated"] {
        let why = refused(&stage, &agent.run(id));
        assert!(why.starts_with("NoActiveSession: ") && why.contains("Settings:SessionUser is not set"), "{why}");
    }
    agent.stop();
}

#[test]
fn root_runs_no_user_task_and_an_unknown_account_none_at_all() {
    for (user, word) in [("root", "root runs no User"), ("castellan-no-such-account", "no account of")] {
        let stage = stage_of(json!({ "SessionUser": user }));
        job(&stage, "look", "User", &trace(&stage));
        let agent = start(&stage);
        let why = refused(&stage, &agent.run("look"));
        assert!(why.contains(word), "{why}");
        agent.stop();
    }
}

#[test]
fn an_elevated_task_is_root_and_names_who_asked() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({ "SessionUser": NOBODY }));
    let script =
        "grep -E '^(Uid|Groups|NoNewPrivs):' /proc/self/status | tr '\\t' ' '; pwd; echo $HOME $KEEPER_REQUESTING_UID";
    job(&stage, "elevated", "UserElevated", script);
    let agent = start(&stage);
    let expected = format!("Uid: 0 0 0 0\nGroups: 0 \nNoNewPrivs: 0\n/\n/root {NOBODY_UID}\n");
    assert_eq!(written(&agent.run("elevated")), expected);
    agent.stop();
}

#[test]
fn an_authority_that_its_user_cannot_open_is_not_passed() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({ "SessionUser": NOBODY }));
    stage.script("env", "echo $XAUTHORITY");
    let task = |id: &str, path: &str| json!({ "id": id, "command": "env", "executionType": "User", "environment": { "XAUTHORITY": path } });
    for (id, path) in [("open", "/etc/passwd"), ("closed", "/etc/shadow"), ("link", "/dev/stdin")] {
        stage.job(&json!({ "id": id, "name": id, "tasks": [task(id, path)] }));
    }
    let agent = start(&stage);
    assert_eq!(written(&agent.run("open")), "/etc/passwd\n");
    assert_eq!(written(&agent.run("closed")), "\n");
    assert_eq!(written(&agent.run("link")), "\n");
    agent.stop();
}

/// The same agent as an ordinary user, who has no cgroups.
#[test]
fn an_agent_without_root_runs_tasks_of_its_own_user_alone() {
    if !has_somebody_else() {
        return;
    }
    let program = crate::support::binary();
    let folders = program.ancestors().skip(1);
    if !folders.map(fs::metadata).all(|found| found.is_ok_and(|found| found.permissions().mode() & 0o001 != 0)) {
        return skipped("an agent without root: others may not execute its binary here");
    }
    for (user, expected) in [(NOBODY, Ok("65534 1\n")), ("daemon", Err("run the agent as root"))] {
        let stage = stage_of(json!({ "SessionUser": user }));
        job(&stage, "who", "User", "echo $(id -u) $(grep -c '^NoNewPrivs:.1$' /proc/self/status)");
        job(&stage, "elevated", "UserElevated", "id");
        command("chown", &["-R", NOBODY, stage.folder().to_str().unwrap()]);
        let nowhere = format!("unix:path={}", stage.folder().join("no-bus").display());
        let agent = Agent::start_with(&stage, |command| {
            command.env("DBUS_SYSTEM_BUS_ADDRESS", nowhere).uid(NOBODY_UID).gid(NOBODY_UID)
        });
        match expected {
            Ok(text) => assert_eq!(written(&agent.run("who")), text),
            Err(word) => {
                let run = agent.run("who");
                assert!(task(&run)["reason"].as_str().unwrap().contains(word), "{run}");
            }
        }
        let run = agent.run("elevated");
        assert!(task(&run)["reason"].as_str().unwrap().contains("run the agent as root"), "{run}");
        agent.stop();
    }
}

#[test]
fn what_its_user_may_not_execute_fails_with_what_to_do() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({ "SessionUser": NOBODY }));
    job(&stage, "closed", "User", &trace(&stage));
    let folder = stage.root().join("Jobs/bin/closed");
    let agent = start(&stage);
    for (of_folder, of_script) in [(0o700, 0o755), (0o755, 0o700)] {
        fs::set_permissions(folder.join("closed"), Permissions::from_mode(of_script)).unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(of_folder)).unwrap();
        let why = refused(&stage, &agent.run("closed"));
        assert!(why.contains("nobody (user 65534) may not execute it") && why.contains("chmod 755"), "{why}");
    }
    agent.stop();
}

#[test]
fn a_user_at_his_limit_of_processes_gets_none_and_never_one_of_root() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({ "SessionUser": NOBODY }));
    job(&stage, "more", "User", &trace(&stage));
    let agent = start(&stage);
    // The kernel counts those that are there when one more becomes his.
    let _bystander = Bystander::of(NOBODY_UID);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    prlimit(Pid::from_raw(agent.pid().cast_signed()), Resource::Nproc, none).unwrap();
    let why = refused(&stage, &agent.run("more"));
    assert!(why.contains("nobody (user 65534) is at the limit of processes"), "{why}");
    agent.stop();
}

#[test]
fn a_plugin_of_a_user_runs_as_he_and_has_his_name_in_its_client_id() {
    if !has_somebody_else() {
        return;
    }
    let stage = stage_of(json!({ "SessionUser": NOBODY }));
    let mut plugin = stage.puppet_plugin("Tray", &["KeeperLogger"], &[]);
    plugin["arguments"] = json!(plugin["arguments"].as_str().unwrap().replace("state/ca.pem", "ca.pem"));
    plugin["executionContext"] = json!("User");
    stage.plugin(&plugin);
    let agent = start(&stage);
    let mut program = stage.puppet("Tray");
    assert_eq!(program.environment()["USER"], NOBODY);
    let refused_name = format!("Tray_root_{}", program.pid());
    assert_eq!(program.connect_as(agent.mqtt, &refused_name), accepted(), "connected, but");
    let payload = log_message("under another's name").to_string();
    program.order(&json!({ "do": "publish", "topic": "KeeperLogger", "payload": payload, "qos": 1 }));
    program.order(&json!({ "do": "disconnect" }));
    assert_eq!(program.connect_as(agent.mqtt, &format!("Tray_{NOBODY}_{}", program.pid())), accepted());
    program.log("under the own name");
    agent.logged_message("Test", "under the own name");
    assert!(!agent.log().iter().any(|record| record["message"].as_str().unwrap().contains("another's name")));
    agent.stop();
}

#[test]
fn a_plugin_without_a_session_says_why_it_is_not_started() {
    let stage = stage_of(json!({}));
    let mut plugin = stage.puppet_plugin("Tray", &[], &[]);
    plugin["executionContext"] = json!("Interactive");
    stage.plugin(&plugin);
    let agent = start(&stage);
    agent.logged("why the plugin does not run", |record| {
        let message = record["message"].as_str().unwrap();
        message.contains("Tray") && message.contains("NoActiveSession: ")
    });
    agent.stop();
}

/// An account of its own with a home folder and a second group, gone with the test.
pub(crate) struct Somebody {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) home: PathBuf,
}

impl Somebody {
    pub(crate) fn new(folder: &Path) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("cst{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let home = folder.join("home");
        command("groupadd", &[&format!("{name}g")]);
        let group = format!("{name}g");
        command("useradd", &["--create-home", "--home-dir", home.to_str().unwrap(), "--groups", &group, &name]);
        let uid = uid(&fs::metadata(&home).unwrap());
        Self { name, uid, home }
    }
}

impl Somebody {
    /// His runtime folder, as logind would make it.
    pub(crate) fn runtime(&self) -> PathBuf {
        let runtime = PathBuf::from(format!("/run/user/{}", self.uid));
        fs::create_dir_all(&runtime).unwrap();
        fs::set_permissions(&runtime, Permissions::from_mode(0o700)).unwrap();
        runtime
    }
}

impl Drop for Somebody {
    fn drop(&mut self) {
        command("userdel", &[&self.name]);
        command("groupdel", &[&format!("{}g", self.name)]);
        let runtime = format!("/run/user/{}", self.uid);
        if Path::new(&runtime).exists() {
            fs::remove_dir_all(runtime).unwrap();
        }
    }
}

/// The tools that change /etc/passwd hold a lock and give up where another holds it.
fn command(program: &str, arguments: &[&str]) {
    let done = within(PATIENCE, || {
        let mut child = spawn(Command::new(program).args(arguments));
        child.wait().unwrap().success().then_some(())
    });
    assert!(done.is_some() || std::thread::panicking(), "{program} {arguments:?}");
}

#[test]
fn a_user_with_a_home_starts_there_with_all_his_groups_and_with_his_runtime_folder_alone() {
    if !has_somebody_else() || !crate::support::has_program("useradd", "an account with a home folder") {
        return;
    }
    let stage = stage_of(json!({}));
    let somebody = Somebody::new(stage.folder());
    stage.settings(json!({ "SessionUser": somebody.name, "SessionDisplay": ":7" }));
    job(&stage, "look", "UserDesktop", "pwd; id -Gn; echo $DISPLAY $XDG_RUNTIME_DIR");
    let agent = start(&stage);
    let (name, home) = (&somebody.name, somebody.home.display().to_string());
    let look = |cwd: &str, runtime: &str| {
        let expected = format!("{cwd}\n{name} {name}g\n:7 {runtime}");
        assert_eq!(written(&agent.run("look")).trim_end(), expected.trim_end());
    };
    look(&home, "");
    let runtime = somebody.runtime();
    look(&home, "");
    std::os::unix::fs::chown(&runtime, Some(somebody.uid), None).unwrap();
    look(&home, runtime.to_str().unwrap());
    fs::set_permissions(&runtime, Permissions::from_mode(0o777)).unwrap();
    look(&home, "");
    std::os::unix::fs::chown(&somebody.home, Some(0), Some(0)).unwrap();
    fs::set_permissions(&somebody.home, Permissions::from_mode(0o700)).unwrap();
    look("/", "");
    agent.stop();
    eventually("that no process of his is left", || {
        let of_his = |entry: fs::DirEntry| entry.metadata().is_ok_and(|found| uid(&found) == somebody.uid);
        (!fs::read_dir("/proc").unwrap().flatten().any(of_his)).then_some(())
    });
}
