//! A real terminal, driven by keys: an editor, job control, a window that changes its size.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rustix::termios::{LocalModes, tcgetattr};

use super::{NOBODY, agent, stage};
use crate::support::{Stage, binary, ended, eventually, has_program, processes_naming, spawn};

/// A terminal of nobody's in tmux.
pub(super) struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// `None` where a part of this is missing.
    pub(super) fn start(stage: &Stage, shell: &str) -> Option<Self> {
        let left_out = "a shell with an editor and job control in a real terminal";
        if ["tmux", "vim", "bash"].iter().any(|program| !has_program(program, left_out)) {
            return None;
        }
        let own = stage.folder().join("nobody");
        fs::create_dir(&own).unwrap();
        fs::set_permissions(&own, fs::Permissions::from_mode(0o777)).unwrap();
        let tmux = Self { socket: own.join("tmux") };
        tmux.tells(&["new-session", "-d", "-x", "80", "-y", "24", shell]);
        tmux.tells(&["set-option", "status", "off"]);
        tmux.sees("theirs$");
        Some(tmux)
    }

    fn tells(&self, words: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket).args(["-f", "/dev/null"]).args(words).current_dir("/");
        command.env("SHELL", "/bin/sh").env("PS1", "theirs$ ").env("TERM", "xterm").env_remove("TMUX");
        command.uid(NOBODY).gid(NOBODY).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let (code, shown, said) = ended(spawn(&mut command).wait_with_output().unwrap());
        assert_eq!(code, 0, "{words:?}: {said}");
        shown
    }

    pub(super) fn types(&self, text: &str) {
        self.tells(&["send-keys", "-l", text]);
    }

    pub(super) fn presses(&self, key: &str) {
        self.tells(&["send-keys", key]);
    }

    pub(super) fn enters(&self, line: &str) {
        self.types(line);
        self.presses("Enter");
    }

    /// Waits until this is shown as a line of its own, or as the beginning of one.
    #[track_caller]
    pub(super) fn sees(&self, text: &str) {
        self.awaits(text, |shown| shown.lines().any(|line| line.starts_with(text)));
    }

    /// Waits until this is shown anywhere.
    #[track_caller]
    pub(super) fn shows(&self, text: &str) {
        self.awaits(text, |shown| shown.contains(text));
    }

    #[track_caller]
    fn awaits(&self, text: &str, fits: impl Fn(&str) -> bool) {
        let mut shown = String::new();
        let seen = crate::support::within(crate::support::PATIENCE, || {
            shown = self.tells(&["capture-pane", "-p"]);
            fits(&shown).then_some(())
        });
        assert!(seen.is_some(), "waited in vain for {text}:\n{shown}");
    }

    /// Whether each key goes on as it is; a shell's own editor leaves Ctrl-C its meaning.
    pub(super) fn is_raw(&self) -> bool {
        !self.modes().contains(LocalModes::ISIG)
    }

    /// Whether it gathers lines that it does not show.
    fn is_hidden(&self) -> bool {
        let modes = self.modes();
        modes.contains(LocalModes::ICANON) && !modes.contains(LocalModes::ECHO)
    }

    pub(super) fn modes(&self) -> LocalModes {
        let terminal = self.tells(&["display-message", "-p", "#{pane_tty}"]);
        tcgetattr(File::open(terminal.trim_end()).unwrap()).unwrap().local_modes
    }

    pub(super) fn clears(&self) {
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
pub(super) fn running(line: &str) -> Vec<u32> {
    processes_naming(line).into_iter().filter(|(_, shown)| shown.trim_end() == line).map(|(pid, _)| pid).collect()
}

/// What a user types before the program.
pub(super) fn elevated(stage: &Stage) -> String {
    format!("{} elevate --root {} --", binary().display(), stage.root().display())
}

#[test]
fn an_editor_and_job_control_work_as_at_home() {
    let Some(stage) = stage() else { return };
    let Some(tmux) = Tmux::start(&stage, "/bin/sh") else { return };
    let agent = agent(&stage);
    let elevate = elevated(&stage);
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

/// bash tells a running job nothing when it brings it to the foreground; dash has it continue.
#[test]
fn what_was_started_behind_comes_to_the_front_with_its_keys() {
    for shell in ["bash --norc --noprofile", "dash"] {
        let Some(stage) = stage() else { return };
        let Some(tmux) = Tmux::start(&stage, shell) else { return };
        let agent = agent(&stage);
        let elevate = elevated(&stage);
        tmux.enters(&format!("{elevate} sh -c 'echo be\"\"hind; read -r line; stty size; echo \"got $line\"' &"));
        tmux.shows("behind");
        // What is typed meanwhile is the shell's, and stops nothing.
        tmux.clears();
        tmux.tells(&["resize-window", "-x", "90", "-y", "30"]);
        tmux.enters("jobs");
        tmux.shows("Running");
        tmux.enters("fg");
        eventually("raw mode", || tmux.is_raw().then_some(()));
        tmux.enters("this");
        tmux.sees("30 90");
        tmux.sees("got this");
        eventually("the shell's own mode", || (!tmux.is_raw()).then_some(()));
        // A question waits for its user, too.
        tmux.clears();
        tmux.enters(&format!("{elevate} uname &"));
        tmux.shows("castellan: There is a question: bring this to the foreground (fg).");
        tmux.enters("jobs");
        tmux.shows("Running");
        tmux.enters("fg");
        tmux.sees("Reason for running 'uname':");
        tmux.enters("ticket 4711");
        tmux.sees("Linux");
        drop(tmux);
        agent.stop();
    }
}

#[test]
fn who_stops_a_question_has_his_terminal_as_it_was() {
    let Some(stage) = stage() else { return };
    let Some(tmux) = Tmux::start(&stage, "dash") else { return };
    let agent = agent(&stage);
    let elevate = elevated(&stage);
    tmux.enters(&format!("{elevate} env"));
    tmux.sees("Code of your authenticator for running 'env':");
    tmux.presses("C-z");
    tmux.shows("[1] + Stopped");
    tmux.enters("stty -a | grep -o ' echo '");
    tmux.sees(" echo");
    tmux.clears();
    // The question is asked once more, and where it cannot be it is said so.
    tmux.enters("bg");
    tmux.shows("There is a question: bring this to the foreground (fg).");
    tmux.clears();
    tmux.enters("fg");
    tmux.sees("Code of your authenticator for running 'env':");
    eventually("a hidden answer", || tmux.is_hidden().then_some(()));
    tmux.presses("C-z");
    tmux.shows("[1] + Stopped");
    tmux.clears();
    tmux.enters("fg");
    tmux.sees("Code of your authenticator for running 'env':");
    eventually("a hidden answer", || tmux.is_hidden().then_some(()));
    tmux.enters("493817");
    tmux.sees("castellan: ");
    assert!(!tmux.tells(&["capture-pane", "-p"]).contains("493817"));
    // Without a terminal for its input, too.
    tmux.clears();
    tmux.enters(&format!("{elevate} env </dev/null"));
    tmux.sees("Code of your authenticator for running 'env':");
    tmux.presses("C-z");
    tmux.shows("[1] + Stopped");
    tmux.enters("stty -a | grep -o ' echo '");
    tmux.sees(" echo");
    drop(tmux);
    agent.stop();
}

/// Where no shell could continue it, as in a window of its own, the key stops nothing.
#[test]
fn a_code_stays_hidden_where_nobody_could_continue() {
    let Some(stage) = stage() else { return };
    let Some(tmux) = Tmux::start(&stage, "dash") else { return };
    let agent = agent(&stage);
    tmux.enters(&format!("exec {} env", elevated(&stage)));
    tmux.sees("Code of your authenticator for running 'env':");
    tmux.presses("C-z");
    tmux.types("493817");
    assert!(tmux.is_hidden(), "{:?}", tmux.modes());
    assert!(!tmux.tells(&["capture-pane", "-p"]).contains("493817"));
    drop(tmux);
    agent.stop();
}

#[test]
fn a_flood_is_interrupted_and_a_closed_window_leaves_nothing() {
    let Some(stage) = stage() else { return };
    let Some(tmux) = Tmux::start(&stage, "dash") else { return };
    let agent = agent(&stage);
    let elevate = elevated(&stage);
    tmux.enters(&format!("{elevate} yes"));
    tmux.sees("y");
    tmux.presses("C-c");
    tmux.awaits("the shell again", |shown| shown.trim_end().ends_with("theirs$"));
    tmux.enters("echo \"ended $?\"");
    tmux.sees("ended 130");
    // What it left of the terminal is the program's; the user's is as it was.
    tmux.enters(&format!("{elevate} sh -c 'stty raw -echo; exit 6'; echo \"ended $?\""));
    tmux.sees("ended 6");
    assert!(tmux.modes().contains(LocalModes::ICANON | LocalModes::ECHO));
    tmux.clears();
    tmux.enters(&format!(
        "{elevate} sh -c 'echo fi\"\"rst; read -r line; echo \"first $line\"' & {elevate} sh -c 'exec sleep 47111'"
    ));
    let second = || running("sleep 47111").first().copied();
    eventually("two at once", second);
    tmux.shows("first");
    tmux.presses("C-c");
    eventually("the end of the second", || second().is_none().then_some(()));
    tmux.enters(&format!("fg; {elevate} sh -c 'exec sleep 47112'"));
    tmux.enters("one");
    tmux.sees("first one");
    eventually("another", || running("sleep 47112").first().copied());
    drop(tmux);
    eventually("the end of all", || running("sleep 47112").is_empty().then_some(()));
    agent.stop();
}
