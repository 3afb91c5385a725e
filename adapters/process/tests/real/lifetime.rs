//! From the first instruction to nothing left: output, exit, signals, descendants.

use castellan_core::effect::{Owner, ProcessOrder, TreeSignal};
use castellan_core::event::{ExitStatus, ProcessReport};
use castellan_core::id::{Component, PluginId, TicketId};
use castellan_core::limits::OUTPUT_HALF_BYTES;
use castellan_process::ContainmentChoice;

use crate::rig::{Rig, lives, modes, request, shell};

#[test]
fn exits_are_told_apart() {
    let rig = Rig::start(modes()[0]);
    let table = [
        ("exit 0", ExitStatus::Code(0)),
        ("exit 3", ExitStatus::Code(3)),
        ("exit 255", ExitStatus::Code(255)),
        ("kill -TERM $$", ExitStatus::Signal(15)),
        ("kill -SEGV $$", ExitStatus::Signal(11)),
        ("kill -PIPE $$", ExitStatus::Signal(13)),
    ];
    for (script, expect) in table {
        assert_eq!(rig.run(&shell(script)).status, expect, "{script}");
    }
}

#[test]
fn output_is_kept_whole_or_as_head_and_tail() {
    let rig = Rig::start(modes()[0]);
    let small = rig.run(&shell("printf out; printf err >&2"));
    assert_eq!((small.stdout.head.as_slice(), small.stdout.omitted), (&b"out"[..], 0));
    assert_eq!((small.stderr.head.as_slice(), small.stderr.omitted), (&b"err"[..], 0));
    let large = rig.run(&shell("printf BEGIN; head -c 1048576 /dev/zero; printf END"));
    assert_eq!(large.stdout.head.len(), OUTPUT_HALF_BYTES);
    assert_eq!(large.stdout.tail.len(), OUTPUT_HALF_BYTES);
    assert!(large.stdout.head.starts_with(b"BEGIN") && large.stdout.tail.ends_with(b"END"));
    assert_eq!(large.stdout.omitted, 1_048_576 + 8 - 2 * u64::try_from(OUTPUT_HALF_BYTES).unwrap());
}

#[test]
fn a_process_that_ended_keeps_its_number_until_it_is_collected() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let prepared = rig.prepare(&["/bin/true"]);
        rig.release(prepared.spawn);
        assert_eq!(rig.exited(prepared.spawn), ExitStatus::Code(0));
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", prepared.pid)).unwrap();
        assert!(stat.contains(") Z "), "{stat}");
        rig.collect(prepared.spawn);
        rig.discard(prepared.spawn);
        assert!(!std::fs::exists(format!("/proc/{}", prepared.pid)).unwrap());
    }
}

#[test]
fn what_a_tree_leaves_running_is_killed_with_it() {
    for mode in modes() {
        let rig = Rig::start(mode);
        // A process can leave its session, but not its cgroup.
        let script = match mode {
            ContainmentChoice::Auto => "setsid sh -c 'setsid sleep 1000 & echo $!'",
            ContainmentChoice::Session => "sleep 1000 & echo $!",
        };
        let prepared = rig.prepare(&shell(script));
        rig.release(prepared.spawn);
        assert_eq!(rig.exited(prepared.spawn), ExitStatus::Code(0));
        // The one left behind holds the pipe open; collecting does not wait for it.
        let (stdout, _) = rig.collect(prepared.spawn);
        let left: u32 = String::from_utf8(stdout.head).unwrap().trim().parse().unwrap();
        assert!(lives(left));
        rig.discard(prepared.spawn);
        assert!(!lives(left));
    }
}

#[test]
fn a_running_tree_can_be_discarded_at_once() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let prepared = rig.prepare(&shell("trap '' TERM; sleep 1000 & sleep 1000"));
        rig.release(prepared.spawn);
        rig.order(ProcessOrder::Discard { spawn: prepared.spawn });
        assert_eq!(rig.exited(prepared.spawn), ExitStatus::Signal(9));
        let report = rig.report();
        assert!(matches!(report, ProcessReport::Discarded { .. }), "{report:?}");
        assert!(!std::fs::exists(format!("/proc/{}", prepared.pid)).unwrap());
    }
}

#[test]
fn signals_reach_the_whole_tree() {
    for mode in modes() {
        for (signal, number) in [(TreeSignal::Terminate, 15), (TreeSignal::Kill, 9)] {
            let rig = Rig::start(mode);
            let ready = rig.folder.path().join("ready");
            assert!(std::process::Command::new("mkfifo").arg(&ready).status().unwrap().success());
            let script = format!("sleep 1000 & echo $! > {}; wait", ready.display());
            let prepared = rig.prepare(&shell(&script));
            rig.release(prepared.spawn);
            // Opening the pipe waits for the script to open it.
            let child: u32 = std::fs::read_to_string(&ready).unwrap().trim().parse().unwrap();
            let child = rustix::process::Pid::from_raw(i32::try_from(child).unwrap()).unwrap();
            let child = rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty()).unwrap();
            rig.order(ProcessOrder::Signal { spawn: prepared.spawn, signal });
            assert_eq!(rig.exited(prepared.spawn), ExitStatus::Signal(number));
            let mut polled = [rustix::event::PollFd::new(&child, rustix::event::PollFlags::IN)];
            rustix::event::poll(&mut polled, None).unwrap();
            rig.discard(prepared.spawn);
        }
    }
}

#[test]
fn a_prepared_process_that_is_killed_is_reported() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let prepared = rig.prepare(&["/bin/true"]);
        rig.order(ProcessOrder::Signal { spawn: prepared.spawn, signal: TreeSignal::Kill });
        match rig.report() {
            ProcessReport::SpawnFailed { reason, .. } => assert!(reason.contains("before it was released"), "{reason}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_process_writes_can_be_looked_at_while_it_runs() {
    let rig = Rig::start(modes()[0]);
    let peek = |spawn| {
        rig.order(ProcessOrder::Peek { ticket: TicketId(7), spawn });
        match rig.report() {
            ProcessReport::Peeked { ticket: TicketId(7), stdout, stderr } => (stdout, stderr),
            other => panic!("{other:?}"),
        }
    };
    let mut plugin = request(0, &shell("yes | head -c 70000; printf told >&2; sleep 1000"));
    plugin.owner = Owner::Component(Component::Plugin(PluginId::parse("Bridge").unwrap()));
    let spawn = rig.spawn_request(plugin);
    rig.prepared();
    assert_eq!(peek(spawn), Default::default(), "it has not run an instruction");
    rig.release(spawn);
    let (stdout, stderr) = loop {
        let (stdout, stderr) = peek(spawn);
        if stdout.omitted == 70_000 - 65_536 && !stderr.head.is_empty() {
            break (stdout, stderr);
        }
    };
    assert_eq!((stdout.head.len(), stdout.tail.len(), stderr.head.as_slice()), (0, 65_536, &b"told"[..]));
    rig.order(ProcessOrder::Signal { spawn, signal: TreeSignal::Kill });
    rig.exited(spawn);
    assert_eq!(peek(spawn).1.head, b"told", "it ended and is not collected yet");
    assert_eq!(rig.collect(spawn).1.head, b"told", "to look takes nothing away");
    assert_eq!(peek(spawn), Default::default());
    rig.discard(spawn);
    assert_eq!(peek(spawn), Default::default(), "there is no such tree");
}
