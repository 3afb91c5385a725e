//! Programs that are stopped: on a terminal by its key, and said so; elsewhere at once; and what still ends them.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use castellan_core::effect::{ProcessOrder, TreeSignal};
use castellan_core::event::{ExitStatus, ProcessReport, RelayedSignal};
use castellan_core::id::SpawnId;
use castellan_process::CallerFiles;
use rustix::process::{Pid, Signal, kill_process};

use crate::caller::{folder, null, on_terminal, shown_until, terminal};
use crate::rig::{Prepared, Rig, lives, modes, request, shell};

/// Starts a program on a terminal; it runs when this returns.
fn start(rig: &Rig, script: &str) -> (File, Prepared) {
    let (ours, theirs) = terminal();
    rig.port().spawn_for_caller(request(1, &shell(script)), on_terminal(&theirs)).unwrap();
    let prepared = rig.prepared();
    rig.release(prepared.spawn);
    (ours, prepared)
}

fn relay(rig: &Rig, spawn: SpawnId, signal: RelayedSignal) {
    rig.order(ProcessOrder::Signal { spawn, signal: TreeSignal::Relayed(signal) });
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

#[track_caller]
fn stopped(rig: &Rig, by: Signal) {
    let report = rig.report();
    assert!(matches!(report, ProcessReport::Stopped { signal, .. } if signal == by.as_raw()), "{report:?}");
}

/// The state in `/proc/PID/stat`; `T` is stopped.
fn state(pid: u32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

/// A poll, as the kernel tells nobody but a parent.
fn await_state(pid: u32, wanted: char) {
    while state(pid).expect("it lives") != wanted {
        std::thread::yield_now();
    }
}

/// The process that the agent awaits: the parent of the program.
fn monitor_of(pid: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn the_key_stops_a_program_and_it_goes_on() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let (mut ours, prepared) =
            start(&rig, "trap 'echo in; exit 3' INT; echo $$ ready; while read line; do echo got $line; done");
        let shown = shown_until(&mut ours, "ready");
        assert_eq!(
            shown.split(' ').next(),
            Some(prepared.pid.to_string().as_str()),
            "it is the process that was prepared"
        );
        ours.write_all(b"\x1a").unwrap();
        stopped(&rig, Signal::TSTP);
        assert_eq!(state(prepared.pid), Some('T'));
        // Who goes on by somebody else's word and is stopped again is not told of a second time.
        send(prepared.pid, Signal::CONT);
        ours.write_all(b"one\n").unwrap();
        shown_until(&mut ours, "got one");
        ours.write_all(b"\x1a").unwrap();
        await_state(prepared.pid, 'T');
        relay(&rig, prepared.spawn, RelayedSignal::Continue);
        ours.write_all(b"two\n").unwrap();
        shown_until(&mut ours, "got two");
        relay(&rig, prepared.spawn, RelayedSignal::Suspend);
        stopped(&rig, Signal::TSTP);
        relay(&rig, prepared.spawn, RelayedSignal::Continue);
        await_state(prepared.pid, 'S');
        send(prepared.pid, Signal::STOP);
        stopped(&rig, Signal::STOP);
        relay(&rig, prepared.spawn, RelayedSignal::Continue);
        ours.write_all(b"\x03").unwrap();
        shown_until(&mut ours, "in\r\n");
        assert_eq!(rig.finish(prepared.spawn).status, ExitStatus::Code(3));
    }
}

/// Keys that come while the program's process waits are its program's: nobody takes its end for a failed start, and nothing stands still.
#[test]
fn what_is_typed_before_it_runs_is_not_lost() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let typed = |key: u8, echo: &str| {
            let (mut ours, theirs) = terminal();
            rig.port().spawn_for_caller(request(1, &shell("echo ready; read line")), on_terminal(&theirs)).unwrap();
            let prepared = rig.prepared();
            ours.write_all(&[key]).unwrap();
            // The kernel takes keys behind the back of who writes them, and shows one once its signal is sent.
            shown_until(&mut ours, echo);
            rig.release(prepared.spawn);
            (ours, prepared.spawn)
        };
        let (_ours, spawn) = typed(b'\x03', "^C");
        assert_eq!(rig.finish(spawn).status, ExitStatus::Signal(2));
        let (mut ours, spawn) = typed(b'\x1a', "^Z");
        shown_until(&mut ours, "ready");
        ours.write_all(b"\n").unwrap();
        assert_eq!(rig.finish(spawn).status, ExitStatus::Code(0));
    }
}

#[test]
fn how_a_program_on_a_terminal_ends_is_told() {
    for mode in modes() {
        let rig = Rig::start(mode);
        for (script, status) in [
            ("exit 0", ExitStatus::Code(0)),
            ("exit 255", ExitStatus::Code(255)),
            ("kill -TERM $$", ExitStatus::Signal(15)),
            ("kill -KILL $$", ExitStatus::Signal(9)),
            ("kill -SEGV $$", ExitStatus::Signal(11)),
            ("kill -40 $$", ExitStatus::Signal(40)),
        ] {
            let (_ours, prepared) = start(&rig, script);
            assert_eq!(rig.finish(prepared.spawn).status, status, "{script}");
        }
        // A signal for the tree waits at the monitor, too, and does not become the program's end.
        let (mut ours, prepared) =
            start(&rig, "trap 'exit 4' TERM; echo ready; while :; do sleep 1000 & wait $!; done");
        shown_until(&mut ours, "ready");
        relay(&rig, prepared.spawn, RelayedSignal::Terminate);
        assert_eq!(rig.finish(prepared.spawn).status, ExitStatus::Code(4));
    }
}

#[test]
fn who_is_stopped_ends_when_told_to() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let script = "trap 'exit 5' TERM; echo ready; while :; do read line; done";
        let stop = || {
            let (mut ours, prepared) = start(&rig, script);
            shown_until(&mut ours, "ready");
            ours.write_all(b"\x1a").unwrap();
            stopped(&rig, Signal::TSTP);
            (ours, prepared)
        };
        let (_ours, first) = stop();
        rig.order(ProcessOrder::Signal { spawn: first.spawn, signal: TreeSignal::Terminate });
        assert_eq!(rig.finish(first.spawn).status, ExitStatus::Code(5));
        let (_ours, second) = stop();
        rig.order(ProcessOrder::Signal { spawn: second.spawn, signal: TreeSignal::Kill });
        assert_eq!(rig.finish(second.spawn).status, ExitStatus::Signal(9));
        // Its parent is killed: it does not outlive that.
        let (_ours, third) = stop();
        send(monitor_of(third.pid), Signal::KILL);
        assert_eq!(rig.finish(third.spawn).status, ExitStatus::Signal(9));
        assert!(!lives(third.pid));
    }
}

#[test]
fn without_a_terminal_the_whole_tree_is_stopped() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let (mut shown, output) = std::io::pipe().unwrap();
        let files =
            CallerFiles { standard: [null(), output.into(), null()], folder: folder(Path::new("/")), terminal: false };
        let script = "sleep 1000 & echo $!; wait";
        rig.port().spawn_for_caller(request(1, &shell(script)), files).unwrap();
        let prepared = rig.prepared();
        rig.release(prepared.spawn);
        let mut child = Vec::new();
        while !child.ends_with(b"\n") {
            let mut byte = [0];
            std::io::Read::read_exact(&mut shown, &mut byte).unwrap();
            child.extend(byte);
        }
        let child: u32 = String::from_utf8(child).unwrap().trim_end().parse().unwrap();
        relay(&rig, prepared.spawn, RelayedSignal::Suspend);
        for pid in [prepared.pid, child] {
            await_state(pid, 'T');
        }
        relay(&rig, prepared.spawn, RelayedSignal::Continue);
        for pid in [prepared.pid, child] {
            await_state(pid, 'S');
        }
        rig.discard_running(prepared.spawn);
    }
}
