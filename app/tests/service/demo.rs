//! `castellan demo`: the whole story, as root and as an ordinary user, and nothing left of it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::{binary, cgroups_of, deploy, eventually, has_program, is_root, processes_naming, skipped, spawn};

/// A folder that everybody may read, with temporary files of the demo going into one that everybody may write.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("castellan-test-").tempdir().unwrap();
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        for (name, mode) in [("scanned", 0o755), ("empty", 0o755), ("tmp", if is_root() { 0o1777 } else { 0o755 })] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::set_permissions(folder.path().join(name), Permissions::from_mode(mode)).unwrap();
        }
        fs::write(folder.path().join("scanned/settings.ini"), "[db]\nuser=app\npassword=hunter2\n").unwrap();
        fs::write(folder.path().join("scanned/readme"), "nothing here\n").unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Tells the demo of a scan with `program` (and what stands before it), answers with its story.
    #[track_caller]
    fn tell(&self, mut command: Command, scanned: &Path) -> String {
        command.arg("demo").arg(scanned);
        self.story(command)
    }

    /// The story of a demo that leaves nothing behind.
    #[track_caller]
    fn story(&self, mut command: Command) -> String {
        command.env("TMPDIR", self.path("tmp")).current_dir("/").stdin(Stdio::null());
        let child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let pid = child.id();
        let output = child.wait_with_output().unwrap();
        let story = String::from_utf8(output.stdout).unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*complaints), (Some(0), ""), "{story}");
        self.is_clean(pid);
        story
    }

    /// Nothing is left of the demo that was this process.
    #[track_caller]
    fn is_clean(&self, pid: u32) {
        let left: Vec<_> = fs::read_dir(self.path("tmp")).unwrap().flatten().map(|entry| entry.path()).collect();
        assert_eq!(left, Vec::<std::path::PathBuf>::new(), "a temporary root is left");
        assert_eq!(processes_naming(&self.path("tmp").display().to_string()), [], "a process is left");
        assert_eq!(cgroups_of(pid), Vec::<std::path::PathBuf>::new(), "a cgroup is left");
    }
}

/// The lines of the story, in this order.
#[track_caller]
fn assert_told(story: &str, expected: &[&str]) {
    let mut rest = story;
    for part in expected {
        let at = rest.find(part).unwrap_or_else(|| panic!("no '{part}' (in this order) in:\n{story}"));
        rest = &rest[at + part.len()..];
    }
}

const STORY: [&str; 9] = [
    "is ready",
    "event Startup",
    "process",
    "settings",
    "connected",
    "log message",
    "denied",
    "Succeeded",
    "Nothing is left behind",
];

#[test]
fn the_demo_tells_its_story_and_leaves_nothing() {
    let place = Place::new();
    let story = place.tell(Command::new(binary()), &place.path("scanned"));
    assert_told(&story, &STORY);
    assert_told(
        &story,
        &["2 files read, 1 findings", "settings.ini:3", "SecretScanner/undeclared", "allowedPublications"],
    );
    assert!(!story.contains("hunter2"), "a secret is never repeated:\n{story}");
}

#[test]
fn an_empty_folder_is_a_good_story_too() {
    let place = Place::new();
    let story = place.tell(Command::new(binary()), &place.path("empty"));
    assert_told(&story, &["0 findings", "report of run 1-1 is skipped", "Nothing is left behind"]);
}

#[test]
fn kept_it_goes_on_until_it_is_told_to_stop() {
    let place = Place::new();
    let stdout = fs::File::create(place.path("story")).unwrap();
    let mut command = Command::new(binary());
    command.arg("demo").arg("--keep").arg(place.path("scanned")).env("TMPDIR", place.path("tmp"));
    let mut child = Running(spawn(command.stdin(Stdio::null()).stdout(stdout)));
    let story = eventually("the end of the story", || {
        assert_eq!(child.0.try_wait().unwrap(), None, "it must not end by itself");
        Some(fs::read_to_string(place.path("story")).unwrap()).filter(|story| story.contains("ports.json"))
    });
    assert_told(&story, &["Succeeded", "goes on running", "agent.jsonl", "curl --cacert"]);
    let (_, root) = story.split_once("Its root: ").unwrap();
    let root = Path::new(root.lines().next().unwrap());
    assert!(root.join("state/ports.json").is_file(), "{story}");
    kill_process(Pid::from_child(&child.0), Signal::INT).unwrap();
    assert_eq!(child.0.wait().unwrap().code(), Some(0));
    assert!(root.join("state/logs/agent.jsonl").is_file(), "the root is kept");
    assert_eq!(processes_naming(&root.display().to_string()), [], "a process is left");
}

/// Killed with the test, if it still runs.
struct Running(std::process::Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let output = spawn(Command::new(binary()).args(["demo", "/does/not/exist"]).stderr(Stdio::piped()));
    let output = output.wait_with_output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), text.contains("/does/not/exist")), (Some(1), true), "{text}");
}

#[test]
fn an_ordinary_user_sees_the_same_demo() {
    if !is_root() {
        skipped("the demo as another user, which needs root; the other tests ran as an ordinary user already");
        return;
    }
    if !has_program("setpriv", "the demo as an ordinary user") {
        return;
    }
    let place = Place::new();
    let program = place.path("castellan");
    deploy(|| fs::copy(binary(), &program)).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
    let story = place.tell(command, &place.path("scanned"));
    assert_told(&story, &STORY);
}

/// A place for the demo of elevation, which only root can tell.
fn elevated() -> Option<Place> {
    if !is_root() {
        skipped("the demo of elevation, which needs root");
        return None;
    }
    has_program("setsid", "the demo of elevation").then(Place::new)
}

#[test]
fn the_demo_of_elevation_tells_its_story_and_leaves_nothing() {
    let Some(place) = elevated() else { return };
    let mut command = Command::new(binary());
    command.args(["demo", "elevation"]);
    let story = place.story(command);
    assert_told(
        &story,
        &[
            "root# castellan init",
            "nobody$ castellan elevate -- id -u",
            "DENY for 'id -u' of 'nobody'. There is no policy about it.",
            "(exit code 4)",
            "\"Controls\":[\"ALLOW\"]",
            "nobody$ castellan elevate -- id -u\n   0\n",
            "DENY for 'id -u' of 'daemon'",
            "(exit code 4)",
            "\"Controls\":[\"MFA\",\"JUSTIFY\"]",
            "otpauth://totp/Castellan:nobody?secret=",
            "a wrong code]",
            "That code is wrong",
            "what the authenticator shows]",
            "Reason for running 'id -u':  to show how it works\n   0\n",
            "was right before]",
            "was used before",
            "[presses Ctrl-C]",
            "The audit ends with entry",
            "request E1-4 of nobody: Finished",
            "MFA is met",
            "JUSTIFY is met: to show how it works",
            "it ended: code 0",
            "Nothing is left behind",
        ],
    );
}

#[test]
fn an_interrupted_demo_of_elevation_leaves_nothing_either() {
    let Some(place) = elevated() else { return };
    for moment in ["castellan init", "Code of your authenticator"] {
        let told = place.path("told");
        let mut command = Command::new(binary());
        command.args(["demo", "elevation"]).env("TMPDIR", place.path("tmp")).stdin(Stdio::null());
        let child = spawn(command.stdout(fs::File::create(&told).unwrap()).stderr(Stdio::piped()));
        let (pid, handle) = (child.id(), Pid::from_child(&child));
        eventually(moment, || fs::read_to_string(&told).unwrap().contains(moment).then_some(()));
        kill_process(handle, Signal::INT).unwrap();
        let output = child.wait_with_output().unwrap();
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), complaints.contains("was interrupted")), (Some(1), true), "{complaints}");
        place.is_clean(pid);
    }
}

#[test]
fn the_demo_of_elevation_says_who_may_tell_it() {
    let place = Place::new();
    let refused = |mut command: Command| {
        command.env("TMPDIR", place.path("tmp")).stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = spawn(&mut command).wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let demo = |program: &Path, more: &[&str]| {
        let mut command = Command::new(program);
        command.args(["demo", "elevation"]).args(more);
        command
    };
    if is_root() {
        let (code, why) = refused(demo(&binary(), &["--user", "root"]));
        assert!(code == Some(2) && why.contains("ordinary user"), "{code:?} {why}");
        let (code, why) = refused(demo(&binary(), &["--user", "no-such-user"]));
        assert!(code == Some(3) && why.contains("--user"), "{code:?} {why}");
    }
    let program = place.path("castellan");
    deploy(|| fs::copy(binary(), &program)).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let mut command = demo(&program, &[]);
    if is_root() {
        command.uid(65_534).gid(65_534).current_dir("/");
    }
    let (code, why) = refused(command);
    assert!(code == Some(4) && why.contains("sudo castellan demo elevation"), "{code:?} {why}");
}
