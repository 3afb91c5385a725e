//! From the order to the first instruction: nothing runs before its release, and then exactly what was ordered.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use castellan_core::effect::{ProcessOrder, ProgramQuery, SpawnRequest, Way};
use castellan_core::event::{ExitStatus, ProcessReport};
use castellan_core::id::{SpawnId, TicketId};

use crate::passing::pass;
use crate::rig::{Rig, launcher, lives, modes, request, shell};

#[test]
fn nothing_runs_before_its_release() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let mark = rig.folder.path().join("mark");
        let prepared = rig.prepare(&["/usr/bin/touch", mark.to_str().unwrap()]);
        let image = fs::read_link(format!("/proc/{}/exe", prepared.pid)).unwrap();
        assert_eq!(image, launcher().program.canonicalize().unwrap());
        assert_eq!(prepared.cgroup.is_some(), mode == castellan_process::ContainmentChoice::Auto);
        assert!(!mark.exists());
        rig.release(prepared.spawn);
        assert_eq!(rig.finish(prepared.spawn).status, ExitStatus::Code(0));
        assert!(mark.exists());
        assert!(!lives(prepared.pid));
    }
}

#[test]
fn an_aborted_process_never_runs() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let mark = rig.folder.path().join("mark");
        let prepared = rig.prepare(&["/usr/bin/touch", mark.to_str().unwrap()]);
        rig.order(ProcessOrder::Abort { spawn: prepared.spawn, reason: "the registry is full".to_owned() });
        match rig.report() {
            ProcessReport::SpawnFailed { spawn, reason } => {
                assert_eq!((spawn, reason.as_str()), (prepared.spawn, "the registry is full"));
            }
            other => panic!("{other:?}"),
        }
        assert!(!fs::exists(format!("/proc/{}", prepared.pid)).unwrap(), "it is reaped too");
        assert!(!mark.exists());
    }
}

#[test]
fn without_its_agent_a_prepared_process_never_runs() {
    for mode in modes() {
        let mut rig = Rig::start(mode);
        let mark = rig.folder.path().join("mark");
        let prepared = rig.prepare(&["/usr/bin/touch", mark.to_str().unwrap()]);
        let handle = rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(i32::try_from(prepared.pid).unwrap()).unwrap(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        rig.processes = None;
        let mut polled = [rustix::event::PollFd::new(&handle, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut polled, None).unwrap();
        assert!(!mark.exists());
    }
}

/// Starts the launcher as the agent does and lets `agent` play its part.
fn launch_with(agent: impl FnOnce(UnixStream)) -> (Option<i32>, String) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let child = Command::new(launcher().program)
        .stdin(std::os::fd::OwnedFd::from(theirs))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    agent(ours);
    let output = child.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn only_a_whole_order_with_its_go_byte_is_executed() {
    let json =
        br#"{"Execute":{"path":"/bin/echo","arguments":["ran"],"scripts":[],"environment":[],"working_directory":"/","for_caller":false}}"#;
    let program = fs::File::open("/bin/echo").unwrap();
    let mut frame = u32::try_from(json.len()).unwrap().to_le_bytes().to_vec();
    frame.extend(json);
    for end in [0, 1, 4, 20, frame.len()] {
        let cut = launch_with(|mut control| {
            control.read_exact(&mut [0]).unwrap();
            match end {
                0 => {}
                _ => pass(&control, &frame[..end], &program),
            }
        });
        assert_eq!(cut, (Some(125), String::new()), "cut at {end}");
    }
    let (nothing, ran) = ((Some(125), ""), (Some(0), "ran\n"));
    for (last, with, expect) in [
        (b'N', Some(&program), nothing),
        (0, Some(&program), nothing),
        (b'G', None, nothing),
        (b'G', Some(&program), ran),
    ] {
        let mut whole = frame.clone();
        whole.push(last);
        let (code, output) = launch_with(|mut control| {
            control.read_exact(&mut [0]).unwrap();
            match with {
                Some(program) => pass(&control, &whole, program),
                None => control.write_all(&whole).unwrap(),
            }
            control.read_to_end(&mut Vec::new()).unwrap();
        });
        assert_eq!((code, output.as_str()), expect, "go byte {last}");
    }
}

#[test]
fn started_by_hand_the_launcher_does_nothing() {
    let inputs = [Stdio::null(), Stdio::piped(), Stdio::from(fs::File::open("/etc/passwd").unwrap())];
    for stdin in inputs {
        let output = Command::new(launcher().program)
            .args(["--help", "/bin/sh", "-c", "echo ran"])
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
            .wait_with_output()
            .unwrap();
        assert_eq!((output.status.code(), output.stdout, output.stderr), (Some(125), vec![], vec![]));
    }
}

#[test]
fn arguments_and_environment_arrive_exactly() {
    let hostile =
        ["", " ", "a b", "'\"", "$(id)", "`id`", ";id", "\\", "{x}", "*", "\n", "\u{1b}[2J", "ä\u{10ffff}", "--", "-c"];
    for mode in modes() {
        let rig = Rig::start(mode);
        let mut wanted = request(0, &shell("cat /proc/$$/cmdline; true"));
        wanted.arguments.extend(hostile.iter().map(|text| (*text).to_owned()));
        let whole: Vec<String> = std::iter::once("/bin/sh".to_owned()).chain(wanted.arguments.clone()).collect();
        assert_eq!(rig.run_request(wanted).text(), whole.iter().map(|text| format!("{text}\0")).collect::<String>());

        let mut wanted = request(0, &shell("/bin/cat /proc/$$/environ; true"));
        wanted.environment = vec![
            ("KEEPER_JOB_NAME".to_owned(), "x\ny=z".to_owned()),
            ("A".to_owned(), String::new()),
            ("B".to_owned(), "$(id) \u{1}ä".to_owned()),
            ("A".to_owned(), "twice".to_owned()),
        ];
        let whole: String = wanted.environment.iter().map(|(name, value)| format!("{name}={value}\0")).collect();
        assert_eq!(rig.run_request(wanted).text(), whole);
    }
}

#[test]
fn a_program_starts_with_a_clean_slate() {
    // A descriptor that the agent forgot to protect.
    let leaked = fs::File::open("/dev/zero").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    for mode in modes() {
        let rig = Rig::start(mode);
        assert_eq!(rig.run(&shell("ls /proc/$$/fd; true")).text(), "0\n1\n2\n");
        assert_eq!(rig.run(&shell("readlink /proc/$$/fd/0; umask; pwd; true")).text(), {
            format!("/dev/null\n0027\n{}\n", rig.folder.path().canonicalize().unwrap().display())
        });
        let signals = rig.run(&["/bin/grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"]).text();
        assert_eq!(signals.lines().count(), 2);
        assert!(signals.lines().all(|line| line.ends_with("\t0000000000000000")), "{signals}");
        // Nothing of our own environment, of which Cargo makes sure that there is some.
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        assert_eq!(rig.run(&["/usr/bin/env"]).text(), "PATH=/usr/bin:/bin\n");
        let spawned = rig.prepare(&shell("cut -d' ' -f5,6,7 /proc/$$/stat; true"));
        rig.release(spawned.spawn);
        let own = format!("{0} {0} 0\n", spawned.pid);
        assert_eq!(rig.finish(spawned.spawn).text(), own, "own group and session, no terminal");
        let mut elsewhere = request(0, &["/bin/pwd"]);
        elsewhere.working_directory = Some("/proc/1".to_owned());
        assert_eq!(rig.run_request(elsewhere).text(), "/proc/1\n");
    }
}

#[test]
fn a_program_that_cannot_start_says_why() {
    let rig = Rig::start(modes()[0]);
    let file = |name: &str, content: &str, mode: u32| {
        let path = rig.folder.path().join(name);
        fs::File::create(&path).unwrap().write_all(content.as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let loops = format!("{}/loops", rig.folder.path().display());
    file("loops", &format!("#!{loops}\n"), 0o755);
    let change = |change: fn(&mut SpawnRequest)| {
        let mut request = request(0, &["/bin/true"]);
        change(&mut request);
        request
    };
    let table = [
        (request(0, &["/no/such"]), "There is no program at /no/such"),
        (request(0, &["/etc"]), "/etc is no regular file with the x bit"),
        (request(0, &[&file("plain", "#!/bin/sh\n", 0o644)]), "no regular file with the x bit"),
        (request(0, &[&file("headless", "echo ran\n", 0o755)]), "starts with '#!'"),
        (request(0, &[&file("carriage", "#!/bin/sh\r\necho ran\n", 0o755)]), r#"There is no program at "/bin/sh\r""#),
        (request(0, &[&file("empty", "#!\necho ran\n", 0o755)]), "names no program"),
        (request(0, &[&loops]), "names no program"),
        (change(|request| request.working_directory = Some("/no/such".to_owned())), "working directory /no/such"),
        (change(|request| request.arguments.push("a\0b".to_owned())), "NUL byte at 1"),
        (
            change(|request| request.environment.push(("A=B".to_owned(), String::new()))),
            "name of an environment variable",
        ),
        (change(|request| request.environment.push((String::new(), String::new()))), "name of an environment variable"),
        (change(|request| request.arguments.push("x".repeat(200_000))), "too long"),
        (change(|request| request.arguments.push("x".repeat(20 << 20))), "pass long texts in a file"),
    ];
    for (request, why) in table {
        let reason = rig.fails(request);
        assert!(reason.contains(why), "{reason}");
    }
    assert_eq!(rig.run(&["/bin/true"]).status, ExitStatus::Code(0), "and the next one runs");
}

#[test]
fn orders_that_come_too_late_are_answered() {
    let rig = Rig::start(modes()[0]);
    let spawn = SpawnId(77);
    rig.order(ProcessOrder::Release { spawn, way: Way::Directly, person: None });
    assert!(matches!(rig.report(), ProcessReport::SpawnFailed { .. }));
    rig.order(ProcessOrder::Collect { spawn });
    assert!(matches!(rig.report(), ProcessReport::Collected { .. }));
    rig.discard(spawn);
    let prepared = rig.prepare(&["/bin/true"]);
    let again = rig.port().order(ProcessOrder::Spawn(request(prepared.spawn.0, &["/bin/true"])));
    assert!(again.unwrap_err().0.contains("in use"));
    rig.discard(prepared.spawn);
}

#[test]
fn an_interpreter_gets_its_arguments_the_script_and_then_those_of_the_order() {
    let rig = Rig::start(modes()[0]);
    let script = rig.folder.path().join("script");
    fs::File::create(&script).unwrap().write_all(b"echo \"$0 $1 $#\"").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    let release = |interpreter: &str| {
        let mut wanted = request(0, &[script.to_str().unwrap(), "one two"]);
        wanted.program.interpreters = vec![interpreter.to_owned()];
        let spawn = rig.spawn_request(wanted);
        assert_eq!(rig.prepared().spawn, spawn);
        rig.order(ProcessOrder::Release { spawn, way: Way::Interpreted(vec!["-u".to_owned()]), person: None });
        (spawn, rig.report())
    };
    let (spawn, started) = release("/bin/sh");
    assert!(matches!(started, ProcessReport::Started { .. }), "{started:?}");
    let told = String::from_utf8(rig.finish(spawn).stdout.head).unwrap();
    assert_eq!(told, format!("{} one two 1\n", script.display()));
    let (_, failed) = release("/no/such/sh");
    assert!(
        matches!(&failed, ProcessReport::SpawnFailed { reason, .. } if reason.contains("No interpreter")),
        "{failed:?}"
    );
}

#[test]
fn files_are_looked_at_without_running_them() {
    let rig = Rig::start(modes()[0]);
    let query = |candidates: &[&str]| ProgramQuery {
        candidates: candidates.iter().map(|path| (*path).to_owned()).collect(),
        ..ProgramQuery::default()
    };
    let queries = vec![query(&["/no/such", "/bin/true"]), query(&["/no/such"])];
    rig.order(ProcessOrder::Inspect { ticket: TicketId(5), queries });
    match rig.report() {
        ProcessReport::Inspected { ticket: TicketId(5), executables } => {
            assert_eq!(executables.iter().map(|facts| facts.executable).collect::<Vec<_>>(), [true, false]);
        }
        other => panic!("{other:?}"),
    }
}
