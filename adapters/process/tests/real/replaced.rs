//! What was judged is what runs: programs and scripts that are replaced between the judgement and the start.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use castellan_core::effect::{ProcessOrder, SpawnRequest, Way};
use castellan_core::event::{ExitStatus, ProcessReport};

use crate::rig::{Rig, modes, request};

/// Somebody who has the file, another one, and a link to the first.
type Interfere = fn(&Path, &Path, &Path);

fn write(path: &Path, text: &str) {
    fs::File::create(path).unwrap().write_all(text.as_bytes()).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// By another process: what this one has open for writing, another test's child may hold for a moment, and then it cannot be executed.
fn copy(program: &str, to: &Path) {
    assert!(std::process::Command::new("/bin/cp").arg(program).arg(to).status().unwrap().success());
}

/// Prepares a start, lets somebody interfere, releases; what it wrote, or why it was not started.
fn run_after(rig: &Rig, wanted: SpawnRequest, way: Way, interfere: impl FnOnce()) -> Result<String, String> {
    let spawn = rig.spawn_request(wanted);
    assert_eq!(rig.prepared().spawn, spawn);
    interfere();
    rig.order(ProcessOrder::Release { spawn, way, person: None });
    match rig.report() {
        ProcessReport::Started { .. } => Ok(rig.finish(spawn).text()),
        ProcessReport::SpawnFailed { reason, .. } => Err(reason),
        other => panic!("neither started nor failed: {other:?}"),
    }
}

/// S14: renamed over, deleted, and reached by a link that was turned.
#[test]
fn a_program_that_is_replaced_before_its_start_runs_as_it_was_opened() {
    for mode in modes() {
        let rig = Rig::start(mode);
        let [tool, other, link] = ["tool", "other", "link"].map(|name| rig.folder.path().join(name));
        let ways: [(&str, Interfere); 3] = [
            ("renamed over", |tool, other, _| fs::rename(other, tool).unwrap()),
            ("deleted", |tool, _, _| fs::remove_file(tool).unwrap()),
            ("link turned", |_, other, link| {
                fs::remove_file(link).unwrap();
                symlink(other, link).unwrap();
            }),
        ];
        for (what, interfere) in ways {
            copy("/bin/echo", &tool);
            copy("/bin/false", &other);
            fs::remove_file(&link).ok();
            symlink(&tool, &link).unwrap();
            let wanted = request(0, &[link.to_str().unwrap(), "the opened one"]);
            let ran = run_after(&rig, wanted, Way::Directly, || interfere(&tool, &other, &link));
            assert_eq!(ran.unwrap(), "the opened one\n", "{what}");
        }
    }
}

#[test]
fn a_script_that_is_replaced_or_changed_before_its_start_is_not_run() {
    let rig = Rig::start(modes()[0]);
    let [script, other] = ["script", "other"].map(|name| rig.folder.path().join(name));
    let changes: [fn(&Path, &Path); 4] = [
        |script, other| fs::rename(other, script).unwrap(),
        |script, _| write(script, "#!/bin/sh\necho changed\n"),
        |script, _| fs::set_permissions(script, fs::Permissions::from_mode(0o700)).unwrap(),
        |script, _| fs::remove_file(script).unwrap(),
    ];
    for way in [Way::Directly, Way::Interpreted(Vec::new())] {
        for interfere in changes {
            write(&script, "#!/bin/sh\necho judged\n");
            write(&other, "#!/bin/sh\necho replaced\n");
            let mut wanted = request(0, &[script.to_str().unwrap()]);
            wanted.program.interpreters = vec!["/bin/sh".to_owned()];
            assert_eq!(run_after(&rig, wanted.clone(), way.clone(), || ()).unwrap(), "judged\n");
            let refused = run_after(&rig, wanted, way.clone(), || interfere(&script, &other)).unwrap_err();
            assert!(refused.contains("Cannot execute") && refused.contains("script"), "{refused}");
        }
    }
}

/// What a script learns about itself is what the kernel tells it that starts it by its path.
#[test]
fn a_script_sees_itself_as_if_the_kernel_had_started_it() {
    let rig = Rig::start(modes()[0]);
    let folder = rig.folder.path();
    write(&folder.join("sibling.py"), "word = 'beside'\n");
    let wrapper = folder.join("wrapper");
    write(&wrapper, "#!/bin/sh -e\nexec /bin/sh \"$@\"\n");
    let scripts = [
        ("shell", "#!/bin/sh\necho \"$0 $# $1\"; tr '\\0' '|' < /proc/$$/cmdline\n".to_owned()),
        ("bash", "#!/bin/bash -e\necho \"$0 $BASH_SOURCE $- $1\"; tr '\\0' '|' < /proc/$$/cmdline\n".to_owned()),
        ("env", "#!/usr/bin/env sh\necho \"$0 $1\"; tr '\\0' '|' < /proc/$$/cmdline\n".to_owned()),
        (
            "python",
            "#!/usr/bin/env python3\nimport sys, sibling\nprint(sys.argv, __file__, sys.path[0], sibling.word)\n"
                .to_owned(),
        ),
        ("wrapped", format!("#!{} -u\necho \"$0 $- $1\"; tr '\\0' '|' < /proc/$$/cmdline\n", wrapper.display())),
    ];
    for (name, text) in scripts {
        let script = folder.join(name);
        write(&script, &text);
        let plain = std::process::Command::new("/bin/sh")
            .args(["-c", "\"$0\" \"$@\"", script.to_str().unwrap(), "one two"])
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .output()
            .unwrap();
        if !plain.status.success() {
            writeln!(std::io::stderr(), "SKIPPED: {name}: its interpreter is not on this machine").unwrap();
            continue;
        }
        let outcome = rig.run(&[script.to_str().unwrap(), "one two"]);
        assert_eq!(outcome.status, ExitStatus::Code(0), "{name}: {}", String::from_utf8_lossy(&outcome.stderr.head));
        assert_eq!(outcome.text(), String::from_utf8(plain.stdout).unwrap(), "{name}");
    }
}
