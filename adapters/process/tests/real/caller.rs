//! Programs that run for a caller: with his streams, in his folder, on his terminal, and with nothing of his left anywhere else.

use std::fs::File;
use std::io::{PipeWriter, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use castellan_core::effect::{ProcessOrder, Way};
use castellan_core::event::{ExitStatus, ProcessReport};
use castellan_core::id::SpawnId;
use castellan_process::CallerFiles;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::OpenptFlags;
use rustix::termios::{Winsize, tcsetwinsize};

use crate::rig::{PATIENCE, Rig, modes, request, shell};

pub(crate) fn folder(path: &Path) -> OwnedFd {
    File::open(path).unwrap().into()
}

pub(crate) fn null() -> OwnedFd {
    File::options().read(true).write(true).open("/dev/null").unwrap().into()
}

/// Starts a program for a caller; it runs when this returns.
fn start(rig: &Rig, spawn: u64, script: &str, files: CallerFiles) -> SpawnId {
    rig.port().spawn_for_caller(request(spawn, &shell(script)), files).unwrap();
    let prepared = rig.prepared();
    rig.release(prepared.spawn);
    prepared.spawn
}

/// Waits for its end, and that nothing was kept of what it wrote.
#[track_caller]
fn end(rig: &Rig, spawn: SpawnId) -> ExitStatus {
    let outcome = rig.finish(spawn);
    assert_eq!((outcome.stdout.head, outcome.stderr.head), (Vec::new(), Vec::new()));
    outcome.status
}

/// A terminal: the end that stays here, and the program's.
pub(crate) fn terminal() -> (File, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = rustix::pty::openpt(flags).unwrap();
    rustix::pty::grantpt(&ours).unwrap();
    rustix::pty::unlockpt(&ours).unwrap();
    let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags).unwrap();
    let size = Winsize { ws_row: 33, ws_col: 77, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&theirs, size).unwrap();
    (File::from(ours), theirs)
}

pub(crate) fn on_terminal(theirs: &OwnedFd) -> CallerFiles {
    let stream = || theirs.try_clone().unwrap();
    CallerFiles { standard: [stream(), stream(), stream()], folder: folder(Path::new("/")), terminal: true }
}

/// What is shown until this text is.
#[track_caller]
pub(crate) fn shown_until(terminal: &mut File, text: &str) -> String {
    let mut shown = Vec::new();
    let mut chunk = [0; 512];
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    while !String::from_utf8_lossy(&shown).contains(text) {
        let mut polled = [PollFd::new(&*terminal, PollFlags::IN)];
        let ready = rustix::io::retry_on_intr(|| poll(&mut polled, Some(&patience))).unwrap();
        assert!(ready > 0, "'{text}' is not shown, but {:?}", String::from_utf8_lossy(&shown));
        let count = terminal.read(&mut chunk).unwrap();
        shown.extend_from_slice(&chunk[..count]);
    }
    String::from_utf8(shown).unwrap()
}

#[test]
fn streams_and_folder_are_the_callers() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let (input, mut to_program) = std::io::pipe().unwrap();
        let (mut from_program, output) = std::io::pipe().unwrap();
        let (mut errors, stderr) = std::io::pipe().unwrap();
        let place = rig.folder.path().join("the caller's folder");
        std::fs::create_dir(&place).unwrap();
        let files = CallerFiles {
            standard: [input.into(), output.into(), stderr.into()],
            folder: folder(&place),
            terminal: false,
        };
        let script = "cat; exec >&2; pwd -P; ls /proc/$$/fd; exit 7";
        let spawn = start(&rig, 1000, script, files);
        // A second program lives while the first one's ends are waited for: nothing of them is in it.
        let other = rig.prepare(&["/bin/sleep", "1000"]);
        rig.release(other.spawn);
        to_program.write_all(b"what is piped").unwrap();
        drop(to_program);
        let mut text = String::new();
        from_program.read_to_string(&mut text).unwrap();
        assert_eq!(text, "what is piped");
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert_eq!(said, format!("{}\n0\n1\n2\n", place.canonicalize().unwrap().display()));
        assert_eq!(end(&rig, spawn), ExitStatus::Code(7));
        rig.discard_running(other.spawn);
    }
}

#[test]
fn a_terminal_becomes_the_controlling_one_with_its_size_and_jobs() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let (mut ours, theirs) = terminal();
        let script = "tty; stty size </dev/tty; set -m; (kill -STOP $(sh -c 'echo $PPID')) & wait; jobs; fg >/dev/null; \
                      trap 'echo interrupted; exit 3' INT; echo ready; while :; do sleep 1000 & wait $!; done";
        let spawn = start(&rig, 1, script, on_terminal(&theirs));
        let shown = shown_until(&mut ours, "ready");
        assert!(shown.starts_with("/dev/pts/"), "{shown}");
        assert!(shown.contains("33 77"), "{shown}");
        assert!(shown.contains("Stopped"), "{shown}");
        // What Ctrl-C is on a keyboard.
        ours.write_all(b"\x03").unwrap();
        shown_until(&mut ours, "interrupted");
        assert_eq!(end(&rig, spawn), ExitStatus::Code(3));
    }
}

#[test]
fn whose_terminal_hangs_up_hears_of_it() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let (mut ours, theirs) = terminal();
        let spawn = start(&rig, 1, "echo ready; read line; sleep 1000", on_terminal(&theirs));
        drop(theirs);
        shown_until(&mut ours, "ready");
        drop(ours);
        assert_eq!(end(&rig, spawn), ExitStatus::Signal(1));
    }
}

#[test]
fn what_is_no_terminal_does_not_become_one() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let (mut errors, stderr): (_, PipeWriter) = std::io::pipe().unwrap();
        let files =
            CallerFiles { standard: [null(), null(), stderr.into()], folder: folder(Path::new("/")), terminal: true };
        rig.port().spawn_for_caller(request(1, &shell("echo ran >&2")), files).unwrap();
        match rig.report() {
            ProcessReport::SpawnFailed { reason, .. } => assert!(reason.contains("controlling terminal"), "{reason}"),
            other => panic!("{other:?}"),
        }
        // Its end comes, so nobody holds the caller's stream any more; and nothing stands in it.
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert_eq!(said, "");
    }
}

#[test]
fn a_folder_that_is_none_starts_nothing() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let files = CallerFiles { standard: [null(), null(), null()], folder: null(), terminal: false };
        rig.port().spawn_for_caller(request(1, &["/bin/true"]), files).unwrap();
        let prepared = rig.prepared();
        rig.order(ProcessOrder::Release { spawn: prepared.spawn, way: Way::Directly, person: None });
        match rig.report() {
            ProcessReport::SpawnFailed { reason, .. } => assert!(reason.contains("the caller's folder"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}
