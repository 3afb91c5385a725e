//! Completions and man pages, read by the programs that they are for.

use std::process::{Command, Stdio};

use super::ok;
use crate::support::{Stage, has_program, say};

#[test]
fn completions_load_in_their_shells() {
    let stage = Stage::new();
    for (shell, arguments) in [("bash", vec!["-n"]), ("zsh", vec!["-n"]), ("fish", vec!["--no-execute"])] {
        let script = ok(&stage, &["completions", shell]);
        for word in ["trigger", "completions", "--root"] {
            assert!(script.contains(word.trim_start_matches('-')), "{shell}: {word}");
        }
        if has_program(shell, &format!("whether the completions load in {shell}")) {
            let file = stage.folder().join(shell);
            std::fs::write(&file, script).unwrap();
            let mut command = Command::new(shell);
            command.args(arguments).arg(file).stdout(Stdio::piped()).stderr(Stdio::piped());
            assert_eq!(say(command), (0, String::new(), String::new()), "{shell}");
        }
    }
    if has_program("bash", "what bash completes") {
        let asked = "source \"$0\"; COMP_WORDS=(castellan jobs tr); COMP_CWORD=2; _castellan castellan tr jobs; echo \"${COMPREPLY[@]}\"";
        let mut bash = Command::new("bash");
        bash.args(["-c", asked]).arg(stage.folder().join("bash")).stdout(Stdio::piped()).stderr(Stdio::piped());
        assert_eq!(say(bash), (0, String::from("trigger\n"), String::new()));
    }
}

#[test]
fn man_pages_render() {
    let stage = Stage::new();
    let folder = stage.folder().join("man");
    ok(&stage, &["manual", folder.to_str().unwrap()]);
    let pages: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    for name in ["castellan.1", "castellan-jobs-apply.1", "castellan-status.1", "castellan-why-denied.1"] {
        assert!(pages.contains(&folder.join(name)), "{name}: {pages:?}");
    }
    if !has_program("groff", "whether the man pages render") {
        return;
    }
    for page in pages {
        let mut groff = Command::new("groff");
        groff.args(["-man", "-Tutf8", "-ww", "-P-cbu"]).arg(&page).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (code, text, error) = say(groff);
        assert!(code == 0 && error.is_empty() && text.contains("DESCRIPTION"), "{}: {error}", page.display());
    }
}
