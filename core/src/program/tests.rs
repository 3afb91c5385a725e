//! Every `scriptType` against every kind of file, and what is refused.
#![allow(clippy::indexing_slicing, clippy::panic, reason = "a test may fail by panicking")]

use alloc::boxed::Box;
use alloc::vec;

use super::*;
use crate::turn::fixtures::job;

fn task(script_type: &str, path: &str) -> Task {
    let task = format!(r#"{{"id":"a","command":"tool","executablePath":"{path}","scriptType":"{script_type}"}}"#);
    job(&task, "").tasks[0].clone()
}

/// A file that anybody may run, beside the interpreter of this name.
fn file(path: &str, opening: Opening, executable: bool, interpreter: Option<&str>) -> ExecutableFacts {
    let there = |path: &str, opening, executable| ExecutableFacts {
        path: path.to_string(),
        exists: true,
        executable,
        opening,
        ..ExecutableFacts::default()
    };
    let interpreter = interpreter.map(|name| Box::new(there(&format!("/usr/bin/{name}"), Opening::Binary, true)));
    let hash_bang = (opening == Opening::HashBang).then(|| Box::new(there("/usr/bin/env", Opening::Binary, true)));
    ExecutableFacts { interpreter, hash_bang, ..there(path, opening, executable) }
}

/// The command line that the record shows, without the arguments of the task; `itself` where no interpreter is taken.
fn way(script_type: &str, path: &str, opening: Opening, executable: bool) -> String {
    let task = task(script_type, path);
    let interpreter = Interpreter::of(&task).map(|interpreter| interpreter.names()[0]);
    match of_task(&task, &file(path, opening, executable, interpreter)) {
        Ok(fit) if fit == Fit::DIRECTLY => "itself".to_string(),
        Ok(fit) => fit.shown.join(" "),
        Err(unfit) => unfit.code.to_string(),
    }
}

#[test]
fn a_file_is_executed_by_itself_or_by_an_interpreter() {
    use Opening::{Binary, HashBang, Other, Unreadable};
    let table = [
        // Auto: what can stand alone does; else the extension counts, also without the x bit.
        ("Auto", "/s/tool", Binary, true, "itself"),
        ("Auto", "/s/tool", HashBang, true, "itself"),
        ("Auto", "/s/tool", Other, true, "itself"),
        ("Auto", "/s/tool", HashBang, false, "binary-not-safe"),
        ("Auto", "/s/tool.py", HashBang, true, "itself"),
        ("Auto", "/s/tool.py", Unreadable, true, "itself"),
        ("Auto", "/s/tool.py", HashBang, false, "/usr/bin/python3 /s/tool.py"),
        ("Auto", "/s/tool.PY", Other, true, "/usr/bin/python3 /s/tool.PY"),
        ("Auto", "/s/tool.sh", Other, false, "/usr/bin/sh /s/tool.sh"),
        ("Auto", "/s/tool.bash", Other, false, "/usr/bin/bash /s/tool.bash"),
        ("Auto", "/s/tool.ps1", Other, false, "/usr/bin/pwsh -NoProfile -NonInteractive -File /s/tool.ps1"),
        ("Auto", "/s.py/tool", Other, false, "binary-not-safe"),
        ("Auto", "/s/tool.rb", Other, false, "binary-not-safe"),
        ("Auto", "/s/tool.sh", Binary, false, "binary-not-safe"),
        ("Auto", "/s/tool.sh", Unreadable, false, "binary-not-safe"),
        // A type counts whatever the file is called or begins with.
        ("Shell", "/s/tool", HashBang, true, "/usr/bin/sh /s/tool"),
        ("Bash", "/s/tool.py", Other, false, "/usr/bin/bash /s/tool.py"),
        ("Python", "/s/tool", Other, false, "/usr/bin/python3 /s/tool"),
        ("PowerShell", "/s/tool", Other, false, "/usr/bin/pwsh -NoProfile -NonInteractive -File /s/tool"),
        ("Python", "/s/tool", Binary, true, "binary-not-safe"),
        ("Python", "/s/tool", Unreadable, true, "binary-not-safe"),
        // None: whatever it is, the x bit is needed.
        ("None", "/s/tool.py", Other, true, "itself"),
        ("None", "/s/tool.py", HashBang, false, "binary-not-safe"),
    ];
    for (script_type, path, opening, executable, expect) in table {
        assert_eq!(
            way(script_type, path, opening, executable),
            expect,
            "{script_type} {path} {opening:?} {executable}"
        );
    }
}

#[test]
fn the_bare_command_has_an_extension_too() {
    let named = job(r#"{"id":"a","command":"tool.py"}"#, "").tasks[0].clone();
    assert_eq!(Interpreter::of(&named), Some(Interpreter::Python));
    assert_eq!(Interpreter::Python.names(), ["python3", "python"]);
}

#[test]
fn a_refusal_says_what_where_and_how_to_mend_it() {
    let script = file("/s/tool.py", Opening::Other, false, Some("python3"));
    let with =
        |interpreter: ExecutableFacts| ExecutableFacts { interpreter: Some(Box::new(interpreter)), ..script.clone() };
    let python = file("/usr/bin/python3", Opening::Binary, true, None);
    let open = |facts: &ExecutableFacts| ExecutableFacts {
        writable_by_others: Some("/s (mode 0777)".into()),
        ..facts.clone()
    };
    let gone = |path: &str| ExecutableFacts { path: path.into(), ..ExecutableFacts::default() };
    let first_line = |named: Option<ExecutableFacts>| ExecutableFacts {
        hash_bang: named.map(Box::new),
        ..file("/s/tool.py", Opening::HashBang, true, None)
    };
    let out = ExecutableFacts { leads_out: Some("/opt/tool".into()), ..script.clone() };
    let table = [
        (
            with(gone("/usr/bin/python3")),
            "interpreter-not-found",
            vec!["/s/tool.py", "python3 or python", "PATH", "install"],
        ),
        (ExecutableFacts { interpreter: None, ..script.clone() }, "interpreter-not-found", vec!["by its extension"]),
        (with(open(&python)), "interpreter-not-safe", vec!["/usr/bin/python3", "/s (mode 0777)", "chmod go-w"]),
        (with(ExecutableFacts { executable: false, ..python.clone() }), "interpreter-not-safe", vec!["chmod 755"]),
        (first_line(None), "interpreter-not-found", vec!["/s/tool.py", "names \"\"", "absolute path"]),
        (first_line(Some(gone("/bin/sh\r"))), "interpreter-not-found", vec!["\"/bin/sh\\r\"", "line feed", "install"]),
        (first_line(Some(open(&python))), "interpreter-not-safe", vec!["/s/tool.py", "/usr/bin/python3", "chmod go-w"]),
        (first_line(Some(first_line(None))), "interpreter-not-safe", vec!["needs an interpreter", "names \"\""]),
        (out, "binary-not-safe", vec!["/s/tool.py", "link out of its root, to '/opt/tool'", "absolute path"]),
        (open(&script), "binary-not-safe", vec!["/s/tool.py", "/s (mode 0777)", "chmod go-w"]),
        (ExecutableFacts { exists: false, ..script.clone() }, "binary-not-found", vec!["/s/tool.py", "deploy"]),
    ];
    for (facts, code, words) in table {
        let Err(unfit) = of_task(&task("Auto", "/s/tool.py"), &facts) else { panic!("{facts:?}") };
        assert_eq!(unfit.code, code, "{}", unfit.why);
        for word in words {
            assert!(unfit.why.contains(word), "{word}: {}", unfit.why);
        }
    }
    assert!(of_task(&task("Auto", "/s/tool.py"), &first_line(Some(python.clone()))).is_ok());
    assert!(of_task(&task("Auto", "/s/tool.py"), &with(python)).is_ok(), "what the table varies is fine by itself");
}
