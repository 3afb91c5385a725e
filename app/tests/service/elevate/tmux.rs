//! A real terminal, driven by keys: an editor, job control, a window that changes its size.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::{NOBODY, agent, stage};
use crate::support::{binary, ended, eventually, has_program, processes_naming, spawn};

/// A terminal of nobody's in tmux.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    fn tells(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(["-f", "/dev/null"]).args(words).current_dir("/");
        command.env("SHELL", "/bin/sh").env("PS1", "theirs$ ").env("TERM", "xterm").env_remove("TMUX");
        command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (code, shown, said) = ended(spawn(&mut command).wait_with_output().unwrap());
        assert_eq!(code, 0, "{words:?}: {said}");
        shown
    }

    fn types(&self, text: &str) {
        self.tells(&["send-keys", "-l", text]);
    }

    fn presses(&self, key: &str) {
        self.tells(&["send-keys", key]);
    }

    fn enters(&self, line: &str) {
        self.types(line);
        self.presses("Enter");
    }

    /// Waits until this is shown as a line of its own, or as the beginning of one.
    #[track_caller]
    fn sees(&self, text: &str) {
        let mut shown = String::new();
        let seen = crate::support::within(crate::support::PATIENCE, || {
            shown = self.tells(&["capture-pane", "-p"]);
            shown.lines().any(|line| line.starts_with(text)).then_some(())
        });
        assert!(seen.is_some(), "waited in vain for {text}:\n{shown}");
    }

    fn clears(&self) {
        self.enters("clear; echo clea''red");
        self.sees("cleared");
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).arg("kill-server").stdout(Stdio::null()).stderr(Stdio::null());
        // Without a server there is nothing to end.
        spawn(&mut command).wait().ok();
    }
}

/// Process numbers of what has this command line.
fn running(line: &str) -> Vec<u32> {
    processes_naming(line).into_iter().filter(|(_, shown)| shown.trim_end() == line).map(|(pid, _)| pid).collect()
}

#[test]
fn an_editor_and_job_control_work_as_at_home() {
    let left_out = "a shell with vim and job control in a real terminal";
    if !has_program("tmux", left_out) || !has_program("vim", left_out) || !has_program("bash", left_out) {
        return;
    }
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let own = stage.folder().join("nobody");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
    let tmux = Tmux { socket: own.join("tmux") };
    tmux.tells(&["new-session", "-d", "-x", "80", "-y", "24", "/bin/sh"]);
    tmux.tells(&["set-option", "status", "off"]);
    tmux.sees("theirs$");
    let elevate = format!("{} elevate --root {} --", binary().display(), stage.root().display());
    // In the background it leaves the terminal alone, and is not stopped.
    tmux.enters(&format!("{elevate} sh -c 'echo from behind; exit 3' & wait $!; echo \"ended $?\""));
    tmux.sees("ended 3");
    tmux.enters(&format!("{elevate} bash --norc; echo \"status $?\""));
    tmux.sees("bash-");
    tmux.enters("PS1=; id -u");
    tmux.sees("0");

    let file = stage.folder().join("written");
    tmux.clears();
    tmux.enters(&format!("vim -u NONE {}", file.display()));
    tmux.sees("~");
    tmux.types("ihello from vim");
    tmux.sees("hello from vim");
    tmux.presses("Escape");
    tmux.enters(":wq");
    eventually("what the editor wrote", || fs::read_to_string(&file).ok().filter(|text| text == "hello from vim\n"));
    assert_eq!(fs::metadata(&file).unwrap().uid(), 0);

    tmux.clears();
    tmux.enters("sleep 47110");
    let pid = eventually("a program in the foreground", || running("sleep 47110").first().copied());
    tmux.presses("C-z");
    tmux.sees("[1]+  Stopped");
    tmux.clears();
    tmux.enters("jobs");
    tmux.sees("[1]+  Stopped                 sleep 47110");
    tmux.clears();
    tmux.enters("fg");
    tmux.sees("sleep 47110");
    assert_eq!(running("sleep 47110"), [pid]);
    tmux.presses("C-c");
    tmux.enters("echo interrupted $?");
    tmux.sees("interrupted 130");
    assert!(running("sleep 47110").is_empty());

    tmux.clears();
    tmux.tells(&["resize-window", "-x", "100", "-y", "30"]);
    tmux.enters("until stty size | grep '^30 100$'; do :; done");
    tmux.sees("30 100");
    tmux.enters("exit 7");
    tmux.sees("status 7");
    drop(tmux);
    agent.stop();
}
