//! Who says nothing: KeeperPolicy, and the file system of a program. Whoever waits is denied in time, and told why. The one test that waits
//! for that time.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Signal, kill_process};

use super::scene::{Scene, keeper_policy, told};
use super::{NOBODY, asked, denied, elevate, newest, runs};
use crate::support::{skipped, spawn};

/// A file system of which nobody answers anything: whoever looks for a file there waits.
pub(super) struct SilentDisk {
    place: PathBuf,
    /// Whoever waits is let go when it ends.
    holder: Child,
}

impl SilentDisk {
    /// `None` where this process may not mount.
    pub(super) fn at(place: PathBuf) -> Option<Self> {
        fs::create_dir(&place).unwrap();
        let script = "exec 3<>/dev/fuse && mount -i -t fuse -o fd=3,rootmode=40000,user_id=0,group_id=0,allow_other silent \"$PLACE\" \
             && echo mounted && read line";
        let mut holder = Command::new("sh");
        // Not among its words: what names the stage is taken for what an agent left.
        holder.args(["-c", script]).env("PLACE", &place).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut disk = Self { place, holder: spawn(&mut holder) };
        let mut said = String::new();
        BufReader::new(disk.holder.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
        if said.is_empty() {
            skipped("programs on a file system that does not answer: nothing can be mounted");
            return None;
        }
        Some(disk)
    }

    /// Asks for a program there.
    pub(super) fn ask(&self, scene: &Scene) -> Child {
        let program = self.place.join("program");
        spawn(&mut elevate(&scene.stage, NOBODY, &["--", program.to_str().unwrap()]))
    }
}

impl Drop for SilentDisk {
    fn drop(&mut self) {
        drop(self.holder.kill());
        drop(self.holder.wait());
        drop(unmount(&self.place));
    }
}

fn unmount(place: &Path) -> std::io::Result<std::process::ExitStatus> {
    Command::new("umount").arg("-l").arg(place).stderr(Stdio::null()).status()
}

#[test]
fn a_stopped_keeper_policy_and_a_silent_disk_are_waited_for_within_bounds() {
    let Some(scene) = Scene::new() else { return };
    let disk = SilentDisk::at(scene.stage.folder().join("silent"));
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    let on_disk = disk.as_ref().map(|disk| {
        let child = disk.ask(&scene);
        newest(&agent, "Requested");
        child
    });
    let pid = keeper_policy(&agent);
    kill_process(pid, Signal::STOP).unwrap();
    let child = scene.ask("true");
    newest(&agent, "Evaluating");
    if let Some(child) = on_disk {
        denied(told(child), "Its program could not be looked at within 30 seconds");
    }
    denied(told(child), "No policy decided within 30 seconds: KeeperPolicy did not answer.");
    assert_eq!(scene.marked(), 0);
    kill_process(pid, Signal::CONT).unwrap();
    runs(asked(&scene.stage, NOBODY, &[]));
    assert_eq!(scene.marked(), 0, "an answer that comes late counts no more");
    drop(disk);
    runs(asked(&scene.stage, NOBODY, &[]));
    agent.stop();
}
