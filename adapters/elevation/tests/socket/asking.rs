//! A request from its first byte to its answer: who asks, what he lends, what is said in between.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use castellan_core::effect::{ElevationAnswer, ElevationOrder};
use castellan_core::event::{ElevationReport, RelayedSignal, Reply};
use castellan_core::id::ElevationId;
use castellan_core::why::Explanation;
use castellan_elevation::wire::{FromCaller, Signal, ToCaller};

use crate::rig::{Files, Rig, ask, is_root, within};

/// A client that nobody here wrote: asks, then prints each frame it hears, until the connection ends.
pub(crate) const FOREIGN: &str = r#"
import json, os, socket, struct, sys
line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
line.connect(sys.argv[1] + "/run/request.sock")
ask = {"version": 1, "words": ["id", "-u"], "terminal": False, "reason": None, "code": "123456",
       "environment": [["TERM", "dumb"], ["LC_ALL", "C.UTF-8"], ["LD_PRELOAD", "evil.so"], ["LANG", "../../evil"]]}
body = json.dumps(ask).encode()
socket.send_fds(line, [struct.pack("<I", len(body)) + body], [0, 1, 2, os.open(".", os.O_PATH | os.O_DIRECTORY)])
reader = line.makefile("rb")
while head := reader.read(4):
    print(reader.read(struct.unpack("<I", head)[0]).decode(), flush=True)
"#;

const NOBODY: u32 = 65_534;

#[test]
fn who_asks_is_what_the_kernel_says() {
    let rig = Rig::start();
    let mut command = Command::new("python3");
    command.args(["-c", FOREIGN]).arg(rig.root.path()).current_dir("/usr").stdin(Stdio::piped()).stdout(Stdio::piped());
    let uid = if is_root() { NOBODY } else { rustix::process::geteuid().as_raw() };
    if uid == NOBODY {
        command.uid(NOBODY).gid(NOBODY);
    }
    let mut child = command.spawn().unwrap();
    let (caller, asked) = rig.asked();
    assert_eq!((asked.peer.pid, asked.peer.uid), (child.id(), uid));
    assert_eq!(asked.peer.account.unwrap().name, format!("user-{uid}"));
    assert_eq!(asked.words, ["id", "-u"]);
    assert_eq!(asked.folder.as_deref(), Some("/usr"));
    assert_eq!(asked.code.unwrap().expose(), "123456");
    let kept = [("TERM", "dumb"), ("LC_ALL", "C.UTF-8")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(asked.environment, kept, "a loader's variable and a path are no language");

    // What was lent is what he has, once.
    let lent = rig.port().take(caller).unwrap();
    assert!(rig.port().take(caller).is_none());
    let [stdin, stdout, _] = lent.standard;
    child.stdin.take().unwrap().write_all(b"typed").unwrap();
    let mut typed = [0; 5];
    File::from(stdin).read_exact(&mut typed).unwrap();
    assert_eq!(&typed, b"typed");
    File::from(stdout).write_all(b"shown\n").unwrap();
    rig.answer(caller, 3);
    let mut lines: Vec<String> = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap).collect();
    // Two write to the same pipe.
    lines.sort();
    assert_eq!(lines, [r#""Launching""#, "shown", r#"{"Ended":{"Code":3}}"#]);
    assert!(child.wait().unwrap().success());
}

#[test]
fn what_is_said_arrives_in_both_directions() {
    let rig = Rig::start();
    let (connection, files) = (rig.connect(), Files::new());
    within("a request", connection.ask(&ask(&["sh", "-c", "echo a  b"]), files.lent())).unwrap();
    let (caller, asked) = rig.asked();
    assert_eq!((asked.words[2].as_str(), asked.terminal, asked.code), ("echo a  b", false, None));
    assert_eq!(asked.peer.pid, std::process::id());

    rig.port().order(ElevationOrder::Tell { caller, text: String::from("KeeperPolicy is asked.") });
    assert_eq!(rig.hear(&connection), Some(ToCaller::Tell { text: String::from("KeeperPolicy is asked.") }));
    let prompt =
        |prompt, seconds| ElevationOrder::Prompt { caller, prompt, text: String::from("Code:"), secret: true, seconds };
    rig.port().order(prompt(1, 1000));
    let heard = ToCaller::Prompt { prompt: 1, text: String::from("Code:"), secret: true, seconds: 1000 };
    assert_eq!(rig.hear(&connection), Some(heard));
    let reply = |prompt| FromCaller::Reply { prompt, text: Some(String::from("123456")) };
    within("a reply", connection.send(&reply(1))).unwrap();
    match rig.report() {
        ElevationReport::Replied { prompt: 1, reply: Reply::Text(text), .. } => {
            assert_eq!(text.expose(), "123456");
            assert!(!format!("{text:?}").contains("123456"));
        }
        other => panic!("{other:?}"),
    }
    // One that nobody answers is answered for him; what comes too late is not heard.
    rig.port().order(prompt(2, 0));
    let report = rig.report();
    assert!(matches!(report, ElevationReport::Replied { prompt: 2, reply: Reply::Refused, .. }), "{report:?}");
    within("a late reply", connection.send(&reply(2))).unwrap();
    within("a second reply", connection.send(&reply(1))).unwrap();
    within("a signal", connection.send(&FromCaller::Signal(Signal::Interrupt))).unwrap();
    let report = rig.report();
    assert!(matches!(report, ElevationReport::Signaled { signal: RelayedSignal::Interrupt, .. }), "{report:?}");

    for (said, heard) in [(Signal::Suspend, RelayedSignal::Suspend), (Signal::Continue, RelayedSignal::Continue)] {
        within("a signal", connection.send(&FromCaller::Signal(said))).unwrap();
        let report = rig.report();
        assert!(matches!(report, ElevationReport::Signaled { signal, .. } if signal == heard), "{report:?}");
    }
    rig.port().order(ElevationOrder::Stop { caller, signal: 20 });

    let explanation = Explanation::new("What.", "Why.", "Fix.");
    let request = Some(ElevationId::new(2, 7));
    rig.port().order(ElevationOrder::Answer { caller, answer: ElevationAnswer::Denied { request, explanation } });
    assert!(matches!(rig.hear(&connection), Some(ToCaller::Prompt { prompt: 2, .. })));
    assert_eq!(rig.hear(&connection), Some(ToCaller::Stopped(20)));
    let [what, why, fix] = ["What.", "Why.", "Fix."].map(String::from);
    assert_eq!(rig.hear(&connection), Some(ToCaller::Denied { request: Some(String::from("E2-7")), what, why, fix }));
    assert_eq!(rig.hear(&connection), None, "the connection ends after the answer");
    files.are_closed();
    // Orders about it are no error from then on, and nothing was said about it any more.
    rig.answer(caller, 0);
    rig.serves();
}

#[test]
fn who_goes_is_told_about_and_leaves_nothing() {
    let rig = Rig::start();
    let (connection, files) = (rig.connect(), Files::new());
    within("a request", connection.ask(&ask(&["true"]), files.lent())).unwrap();
    let (caller, _) = rig.asked();
    drop(connection);
    rig.left(caller);
    assert!(rig.port().take(caller).is_none());
    files.are_closed();
}

#[test]
fn a_killed_caller_is_gone_though_his_child_holds_the_connection() {
    let rig = Rig::start();
    let script = FOREIGN.replace("reader =", "os.fork() and __import__('signal').pause()\nreader =");
    let mut child =
        Command::new("python3").args(["-c", &script]).arg(rig.root.path()).stdout(Stdio::piped()).spawn().unwrap();
    let (caller, asked) = rig.asked();
    assert_eq!(asked.peer.pid, child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    // The parent of the one that still listens has ended: its own end comes with the connection's.
    rig.left(caller);
    let mut heard = String::new();
    child.stdout.take().unwrap().read_to_string(&mut heard).unwrap();
    assert_eq!(heard, "");
}
