//! A disk that is full at each state of a request: nothing runs that is not on record, the answer says what to do, and with room again
//! everything works.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::scene::{LAUNCH, Scene, keeper_policy, told};
use super::{NOBODY, asked, elevate, id_of, newest, runs};
use crate::support::{Agent, command, ended, eventually, say, skipped, spawn};

/// Bytes that are free on a small disk before it is filled: what an agent at rest writes in a minute.
const FREE: u64 = 4 << 20;

/// Bytes that are free on a disk that is never full.
const ROOM: u64 = 64 << 20;

fn shell(script: &str) -> (i32, String, String) {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
    ended(spawn(&mut command).wait_with_output().unwrap())
}

/// A small disk of its own in the place of a folder, with what was there.
struct Disk {
    place: PathBuf,
}

impl Disk {
    /// One that can be filled; `None` where this process may not mount.
    fn at(place: &Path) -> Option<Self> {
        Self::with(place, FREE)
    }

    /// With so many bytes free.
    fn with(place: &Path, free: u64) -> Option<Self> {
        let (_, used, _) = shell(&format!("du -s -B1 {}", place.display()));
        let used: u64 = used.split_whitespace().next().unwrap().parse().unwrap();
        let (code, _, why) = shell(&format!(
            "set -e; mv {place} {was}; mkdir {place}; mount -t tmpfs -o size={size} castellan {place}
             chmod --reference={was} {place}; cp -a {was}/. {place}/",
            place = place.display(),
            was = place.with_extension("was").display(),
            size = used + free,
        ));
        if code != 0 {
            skipped(&format!("full disks: nothing can be mounted: {why}"));
            return None;
        }
        Some(Self { place: place.to_owned() })
    }

    fn filler(&self) -> PathBuf {
        self.place.join("filler")
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut filler = OpenOptions::new().create(true).append(true).open(self.filler()).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let (code, _, why) = shell(&format!("umount -l {}", self.place.display()));
        assert!(code == 0 || std::thread::panicking(), "{why}");
    }
}

/// Entries of the audit about a request.
pub(super) fn audited(scene: &Scene, request: &str) -> Vec<String> {
    let (code, shown, said) = say(command(&scene.stage, &["audit", "show", "-o", "json"]));
    assert_eq!(code, 0, "{said}");
    let entries = shown.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    entries.filter(|entry| entry["request"] == request).map(|entry| entry.to_string()).collect()
}

/// It was denied, and says that a disk is full; or it ran, and was in the audit before. Answers whether it was denied.
#[track_caller]
fn is_on_record(scene: &Scene, child: Child, request: &str, before: usize) -> bool {
    let (code, _, said) = told(child);
    let ran = scene.marked() - before;
    if code == 0 {
        assert_eq!(ran, 1);
        let entries = audited(scene, request);
        assert!(entries.iter().any(|entry| entry.contains(r#""kind":"launch""#)), "{entries:?}");
        return false;
    }
    assert_eq!((code, ran), (4, 0), "{said}");
    let is_told = ["full", "No space left"].iter().any(|words| said.contains(words)) && said.contains("room");
    assert!(is_told, "{said}");
    true
}

/// With room again a request runs, and the audit is whole.
#[track_caller]
fn recovers(scene: &Scene, disk: &Disk) {
    disk.make_room();
    scene.requires(&["ALLOW"]);
    runs(asked(&scene.stage, NOBODY, &[]));
    let (code, _, said) = say(command(&scene.stage, &["audit", "verify"]));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn full_before_a_request_and_while_policies_decide() {
    let Some(scene) = Scene::new() else { return };
    let Some(disk) = Disk::at(&scene.stage.root()) else { return };
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    disk.fill();
    let child = scene.ask("true");
    let request = id_of(&eventually("a request", || newest_of(&agent)));
    assert!(is_on_record(&scene, child, &request, 0), "a full disk was not noticed");
    recovers(&scene, &disk);

    let before = scene.marked();
    let policy = keeper_policy(&agent);
    kill_process(policy, Signal::STOP).unwrap();
    let child = scene.ask("true");
    let request = id_of(&newest(&agent, "Evaluating"));
    disk.fill();
    kill_process(policy, Signal::CONT).unwrap();
    is_on_record(&scene, child, &request, before);
    recovers(&scene, &disk);
    agent.stop();
}

fn newest_of(agent: &Agent<'_>) -> Option<Value> {
    agent.call("GET", "/api/elevation").send().json().as_array()?.first().cloned()
}

#[test]
fn full_while_an_approval_is_outstanding() {
    let Some(scene) = Scene::new() else { return };
    let Some(disk) = Disk::at(&scene.stage.root()) else { return };
    let agent = scene.start();
    scene.requires(&["APPROVAL"]);
    let child = scene.ask("true");
    let request = id_of(&eventually("a request that waits for its approval alone", || {
        newest_of(&agent).filter(|request| request["Outstanding"] == json!(["APPROVAL"]))
    }));
    disk.fill();
    let answer = agent.call("POST", &format!("/api/elevation/{request}/approve")).json(&json!({})).send();
    is_on_record(&scene, child, &request, 0);
    assert!(answer.status == 200 || scene.marked() == 0, "{answer:?}");
    recovers(&scene, &disk);
    agent.stop();
}

#[test]
fn full_before_the_launch_and_while_the_program_runs() {
    let Some(scene) = Scene::new() else { return };
    scene.stage.deploy_puppet();
    let Some(disk) = Disk::at(&scene.stage.root()) else { return };
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    let shipped = agent.call("GET", &format!("/api/Jobs/{LAUNCH}")).send().json();
    scene.hold_the_launch(&agent);
    let child = scene.ask("true");
    let mut launcher = scene.stage.puppet(LAUNCH);
    let request = id_of(&newest(&agent, "Authorized"));
    disk.fill();
    let target = format!("/api/elevation/{request}/launch");
    let answer = launcher.order(&json!({ "do": "call", "method": "POST", "target": target, "body": "" }));
    let denied = is_on_record(&scene, child, &request, 0);
    assert_eq!(answer["status"] == 200, !denied, "{answer}");
    launcher.exit(0, "");
    disk.make_room();
    assert_eq!(agent.call("PUT", &format!("/api/Jobs/{LAUNCH}")).json(&shipped).send().status, 200);

    // What runs goes on, and its end is in the audit once there is room.
    let before = scene.marked();
    let words = scene.words("read line; exit 6");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut child = spawn(elevate(&scene.stage, NOBODY, &words).stdin(Stdio::piped()));
    let request = id_of(&newest(&agent, "Running"));
    disk.fill();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let (code, _, said) = told(child);
    assert_eq!((code, scene.marked() - before), (6, 1), "{said}");
    recovers(&scene, &disk);
    eventually("the end in the audit", || {
        audited(&scene, &request).iter().any(|entry| entry.contains("code 6")).then_some(())
    });
    agent.stop();
}

#[test]
fn full_for_the_audit_alone() {
    let Some(scene) = Scene::new() else { return };
    scene.start().stop();
    let Some(disk) = Disk::at(&scene.stage.root().join("state/audit")) else { return };
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    disk.fill();
    let mut denied = 0;
    // What is there of the last page is written first.
    for _ in 0..20 {
        let before = scene.marked();
        let child = scene.ask("true");
        eventually("castellan elevate to end, or its request", || newest_of(&agent));
        let (code, _, said) = told(child);
        let ran = scene.marked() - before;
        match code {
            0 => assert_eq!(ran, 1),
            _ => {
                assert!(code == 4 && ran == 0 && said.contains("audit") && said.contains("Make room"), "{code} {said}");
                denied += 1;
            }
        }
    }
    assert!(denied > 0, "a full audit was not noticed");
    recovers(&scene, &disk);
    agent.stop();
}

/// What is kept of requests says that this one ended so, and nothing else is said of it by the next life of the agent.
#[track_caller]
fn is_kept(agent: &Agent<'_>, request: &str, status: &str) {
    eventually(&format!("a record of {request} that says {status}"), || {
        let records = agent.call("GET", "/api/elevation?limit=100").send().json();
        let record = records.as_array()?.iter().find(|record| record["RequestId"] == request)?;
        (record["Status"] == status).then_some(())
    });
}

/// With room again each is on record as it ended, and whoever comes after a crash tells nothing else of it.
#[track_caller]
fn outlive_a_crash(scene: &Scene, agent: Agent<'_>, ended: &[(&str, &str)]) {
    let all_kept = |agent: &Agent<'_>| ended.iter().for_each(|(request, status)| is_kept(agent, request, status));
    let on_record = || ended.iter().map(|(request, _)| audited(scene, request)).collect::<Vec<_>>();
    all_kept(&agent);
    let before = on_record();
    agent.kill();
    let agent = scene.start();
    all_kept(&agent);
    assert_eq!(on_record(), before);
    for (request, status) in ended {
        scene.is_well(&agent, request, status);
    }
    agent.stop();
}

/// All of state/ but the audit and the log is full: what is on record there of requests, runs and policies.
#[test]
fn full_for_the_databases_alone() {
    let Some(scene) = Scene::new() else { return };
    scene.stage.deploy_puppet();
    scene.start().stop();
    let state = scene.stage.root().join("state");
    let Some(disk) = Disk::at(&state) else { return };
    let _roomy = ["audit", "logs"].map(|name| Disk::with(&state.join(name), ROOM).unwrap());
    let agent = scene.start();

    scene.requires(&["ALLOW"]);
    disk.fill();
    let child = scene.ask("true");
    let unasked = id_of(&eventually("a request", || newest_of(&agent)));
    let mut denied = Vec::from([is_on_record(&scene, child, &unasked, 0)]);
    recovers(&scene, &disk);

    scene.requires(&["APPROVAL"]);
    let child = scene.ask("true");
    let unapproved = id_of(&eventually("a request that waits for its approval alone", || {
        newest_of(&agent).filter(|request| request["Outstanding"] == json!(["APPROVAL"]))
    }));
    let before = scene.marked();
    disk.fill();
    let answer = agent.call("POST", &format!("/api/elevation/{unapproved}/approve")).json(&json!({})).send();
    denied.push(is_on_record(&scene, child, &unapproved, before));
    recovers(&scene, &disk);
    let grants = agent.call("GET", "/api/grants").send().json();
    assert_eq!(grants == json!([]), denied[1], "what is not on record is good for nothing: {grants} {answer:?}");

    scene.requires(&["ALLOW"]);
    let shipped = agent.call("GET", &format!("/api/Jobs/{LAUNCH}")).send().json();
    scene.hold_the_launch(&agent);
    let child = scene.ask("true");
    let mut launcher = scene.stage.puppet(LAUNCH);
    let unlaunched = id_of(&newest(&agent, "Authorized"));
    let before = scene.marked();
    disk.fill();
    let target = format!("/api/elevation/{unlaunched}/launch");
    let answer = launcher.order(&json!({ "do": "call", "method": "POST", "target": target, "body": "" }));
    denied.push(is_on_record(&scene, child, &unlaunched, before));
    assert_eq!(answer["status"] != 200, denied[2], "{answer}");
    // What was written before may be written over, so not each of them needs room.
    assert!(denied.contains(&true), "a full disk was not noticed");
    launcher.exit(0, "");
    disk.make_room();
    assert_eq!(agent.call("PUT", &format!("/api/Jobs/{LAUNCH}")).json(&shipped).send().status, 200);

    let words = scene.words("read line; exit 6");
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut child = spawn(elevate(&scene.stage, NOBODY, &words).stdin(Stdio::piped()));
    let ran = id_of(&newest(&agent, "Running"));
    disk.fill();
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let (code, _, said) = told(child);
    let marked = 1 + denied.iter().filter(|denied| !**denied).count();
    assert_eq!((code, scene.marked()), (6, marked), "{said}");
    recovers(&scene, &disk);

    let became = |index: usize| if denied[index] { "Denied" } else { "Finished" };
    let ended = [(&*unasked, became(0)), (&unapproved, became(1)), (&unlaunched, became(2)), (&ran, "Finished")];
    outlive_a_crash(&scene, agent, &ended);
    assert_eq!(scene.marked(), marked, "nothing was launched twice");
}
