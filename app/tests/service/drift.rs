//! Files of jobs and plugins that somebody changes by hand (security.md section 8, L01 to L08, L21): they never run, and are put right.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde_json::{Value, json};

use crate::support::{Agent, Stage, eventually, is_root, skipped};

/// A job that says that it is the blessed one.
fn blessed(id: &str) -> Value {
    json!({ "id": id, "name": "Scan", "tasks": [ { "id": "say", "command": "echo", "arguments": "blessed" } ] })
}

/// The same as somebody would like it to be.
fn edited(id: &str) -> String {
    blessed(id).to_string().replace("blessed", "altered")
}

/// Writes into a file as it stands, in one step, so that nobody sees half of it.
fn write(path: &Path, text: &str) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

fn append(path: &Path, text: &str) {
    fs::OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Puts something else in the place of a file, in one step, before anybody can restore it.
fn instead(path: &Path, make: &dyn Fn(&Path)) {
    let other = path.with_extension("other");
    make(&other);
    renameat_with(CWD, &other, CWD, path, RenameFlags::EXCHANGE).unwrap();
    fs::remove_file(other).unwrap();
}

fn file(stage: &Stage, id: &str) -> PathBuf {
    stage.root().join(format!("Jobs/{id}.json"))
}

/// Starts the agent on these jobs and waits until they are its references.
fn start<'s>(stage: &'s Stage, ids: &[&str]) -> Agent<'s> {
    for id in ids {
        stage.job(&blessed(id));
    }
    let agent = stage.start();
    // The files are written, too, once no draft of them is left.
    let is_draft = |entry: fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "new");
    let drafts = || fs::read_dir(stage.root().join("Jobs")).unwrap().map(Result::unwrap).any(is_draft);
    eventually("the first references", || {
        (stage.root().join("state/lkg/manifest").exists() && !drafts()).then_some(())
    });
    agent
}

/// The lines about an item, of which each drift has one.
fn drifts(agent: &Agent<'_>, name: &str) -> Vec<String> {
    let about = |record: &Value| record["category"] == "Drift" && record["message"].as_str().unwrap().starts_with(name);
    let records = agent.log().into_iter().filter(about);
    records.map(|record| record["message"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn restored(stage: &Stage, id: &str) {
    let expect = blessed(id).to_string();
    eventually(&format!("{id} as it was blessed"), || {
        let stat = fs::symlink_metadata(file(stage, id)).ok()?;
        let own = rustix::process::geteuid().as_raw();
        let right = stat.is_file() && stat.permissions().mode() & 0o7777 == 0o644 && stat.uid() == own;
        (right && stat.nlink() == 1 && fs::read_to_string(file(stage, id)).ok()? == expect).then_some(())
    });
}

/// What the job says when it runs.
fn says(agent: &Agent<'_>, id: &str) -> String {
    agent.run(id)["tasks"][0]["stdout"].as_str().unwrap().trim_end().to_owned()
}

/// Something that is done to a file, and a word of the line that tells it.
type Damage<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);

#[test]
fn whatever_is_done_to_a_file_by_hand_is_undone_and_told_once() {
    let stage = Stage::new();
    let victim = stage.folder().join("victim");
    fs::write(&victim, "victim").unwrap();
    let folder = |path: &Path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("content"), "kept").unwrap();
    };
    let damages: [Damage<'_>; 9] = [
        ("space", &|path| append(path, " "), "written differently"),
        ("edited", &|path| write(path, &edited("edited")), r#"~ /tasks/0/arguments: "blessed" -> "altered""#),
        ("truncated", &|path| fs::write(path, "").unwrap(), "no JSON"),
        ("renamed-over", &|path| instead(path, &|other| fs::write(other, "{}").unwrap()), "- /id"),
        ("deleted", &|path| fs::remove_file(path).unwrap(), "was deleted"),
        ("open-to-all", &|path| fs::set_permissions(path, Permissions::from_mode(0o666)).unwrap(), "mode 0666"),
        ("linked", &|path| instead(path, &|other| symlink(&victim, other).unwrap()), "symbolic link"),
        ("hard-linked", &|path| instead(path, &|other| fs::hard_link(&victim, other).unwrap()), "2 hard links"),
        ("folder", &|path| instead(path, &folder), "is a directory"),
    ];
    let mut ids: Vec<&str> = damages.iter().map(|(id, ..)| *id).collect();
    ids.push("given-away");
    let agent = start(&stage, &ids);
    for (id, damage, words) in &damages {
        damage(&file(&stage, id));
        restored(&stage, id);
        agent.logged_message("Drift", words);
        assert_eq!(says(&agent, id), "blessed");
    }
    if is_root() {
        chown(file(&stage, "given-away"), Some(65534), None).unwrap();
        restored(&stage, "given-away");
        agent.logged_message("Drift", "owner 65534");
    } else {
        skipped("a file that is given away: only root can do that");
    }
    assert_eq!((fs::read_to_string(&victim).unwrap().as_str(), fs::metadata(&victim).unwrap().nlink()), ("victim", 2));
    let line = drifts(&agent, "Jobs/edited.json").concat();
    assert!(line.contains("castellan jobs apply") && line.contains("castellan lkg accept Jobs/edited"), "{line}");
    let quarantine = stage.root().join("state/quarantine");
    let kept: Vec<PathBuf> = fs::read_dir(quarantine).unwrap().map(|entry| entry.unwrap().path()).collect();
    let of = |id: &str| kept.iter().find(|path| path.to_str().unwrap().contains(&format!("-Jobs-{id}-"))).unwrap();
    assert_eq!(fs::read_to_string(of("edited")).unwrap(), edited("edited"));
    assert_eq!(fs::read_link(of("linked")).unwrap(), victim);
    assert_eq!(fs::read_to_string(of("folder").join("content")).unwrap(), "kept");
    agent.stop();
}

#[test]
fn a_job_that_nobody_blessed_never_counts_and_is_moved_away() {
    let stage = Stage::new();
    let agent = start(&stage, &["scan"]);
    stage.job(&blessed("stray"));
    let told = agent.logged_message("Drift", "Jobs/stray.json is there, and nobody blessed it");
    assert!(told["message"].as_str().unwrap().contains("state/quarantine/"), "{told}");
    assert!(!file(&stage, "stray").exists());
    assert_eq!(agent.call("GET", "/api/Jobs/stray").send().status, 404);
    // Nor does one that was removed and is copied back.
    assert_eq!(agent.call("DELETE", "/api/Jobs/scan").send().status, 200);
    stage.job(&blessed("scan"));
    agent.logged_message("Drift", "Jobs/scan.json is there again, although it was removed");
    assert!(!file(&stage, "scan").exists());
    assert_eq!(agent.call("GET", "/api/Jobs/scan").send().status, 404);
    agent.stop();
}

#[test]
fn an_edit_never_runs_not_even_at_once() {
    let stage = Stage::new();
    let agent = start(&stage, &["scan"]);
    for _ in 0..5 {
        write(&file(&stage, "scan"), &edited("scan"));
        assert_eq!(says(&agent, "scan"), "blessed");
        restored(&stage, "scan");
    }
    agent.stop();
}

#[test]
fn a_fight_over_a_file_is_braked_and_never_given_up() {
    let stage = Stage::new();
    let agent = start(&stage, &["scan", "other"]);
    let fights = || agent.log().iter().filter(|record| record["category"] == "LkgFight").count();
    while fights() == 0 {
        write(&file(&stage, "scan"), &edited("scan"));
        restored(&stage, "scan");
    }
    for _ in 0..3 {
        write(&file(&stage, "scan"), &edited("scan"));
        assert_eq!(says(&agent, "scan"), "blessed");
        restored(&stage, "scan");
    }
    // Other files do not wait for it.
    fs::remove_file(file(&stage, "other")).unwrap();
    restored(&stage, "other");
    assert_eq!(agent.call("GET", "/health").send().status, 200);
    assert_eq!(fights(), 1);
    agent.stop();
}

#[test]
fn with_audit_only_a_drift_is_told_and_stays() {
    let stage = Stage::new();
    stage.settings(json!({ "ConfigurationLkg": { "AuditOnly": true, "SweepSeconds": 1 } }));
    let agent = start(&stage, &["scan"]);
    write(&file(&stage, "scan"), &edited("scan"));
    agent.logged_message("Drift", "as AuditOnly is set");
    assert_eq!(says(&agent, "scan"), "blessed");
    // Sweeps find it again, and tell nothing new.
    fs::remove_file(file(&stage, "scan")).unwrap();
    agent.logged_message("Drift", "was deleted");
    assert!(!file(&stage, "scan").exists());
    assert_eq!(drifts(&agent, "Jobs/scan.json").len(), 2);
    agent.stop();
}

#[test]
fn a_folder_that_is_replaced_is_told_and_not_written_through() {
    let stage = Stage::new();
    let agent = start(&stage, &["scan"]);
    let (jobs, kept, elsewhere) =
        (stage.root().join("Jobs"), stage.root().join("Jobs.kept"), stage.folder().join("other"));
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("stray.json"), edited("stray")).unwrap();
    fs::rename(&jobs, &kept).unwrap();
    symlink(&elsewhere, &jobs).unwrap();
    agent.logged_message("LkgFolder", "nothing is written through it");
    let refused = agent.call("POST", "/api/Jobs").json(&blessed("new")).send();
    assert!(refused.status >= 500, "{refused:?}");
    assert_eq!(says(&agent, "scan"), "blessed");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 1);
    fs::remove_file(&jobs).unwrap();
    fs::rename(&kept, &jobs).unwrap();
    write(&file(&stage, "scan"), &edited("scan"));
    restored(&stage, "scan");
    agent.stop();
}

/// Takes a mount away again, whatever the test did.
struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        let ended = std::process::Command::new("umount").arg(&self.0).status();
        assert!(
            ended.is_ok_and(|status| status.success()) || std::thread::panicking(),
            "{} stays mounted",
            self.0.display()
        );
    }
}

#[test]
fn a_folder_that_is_mounted_over_is_told_and_not_written_through() {
    let stage = Stage::new();
    stage.settings(json!({ "ConfigurationLkg": { "SweepSeconds": 1 } }));
    let agent = start(&stage, &["scan"]);
    let (jobs, elsewhere) = (stage.root().join("Jobs"), stage.folder().join("other"));
    fs::create_dir(&elsewhere).unwrap();
    let mut mount = std::process::Command::new("mount");
    let mounted = mount.arg("--bind").arg(&elsewhere).arg(&jobs).stderr(std::process::Stdio::null()).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skipped("a folder that is mounted over: this user may not mount here");
    }
    let mount = Mount(jobs);
    agent.logged_message("LkgFolder", "nothing is written through it");
    let refused = agent.call("POST", "/api/Jobs").json(&blessed("new")).send();
    assert!(refused.status >= 500, "{refused:?}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    drop(mount);
    write(&file(&stage, "scan"), &edited("scan"));
    restored(&stage, "scan");
    agent.stop();
}
