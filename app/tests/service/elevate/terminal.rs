//! On a terminal: the program has one of its own, and the user's is as it was, however it ends.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use super::{agent, elevate, signal, stage};
use crate::support::{PATIENCE, Stage, eventually, spawn};

/// A user's terminal with `castellan elevate` in the foreground.
pub(crate) struct User {
    keyboard: File,
    theirs: OwnedFd,
    shown: Vec<u8>,
    child: Child,
}

impl User {
    fn types(words: &[&str], stage: &Stage) -> Self {
        Self::runs(&elevate(&stage.root(), words), 0)
    }

    /// A command of this user's.
    pub(crate) fn runs(user: &Command, uid: u32) -> Self {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let ours = rustix::pty::openpt(flags).unwrap();
        rustix::pty::grantpt(&ours).unwrap();
        rustix::pty::unlockpt(&ours).unwrap();
        let theirs = rustix::pty::ioctl_tiocgptpeer(&ours, flags).unwrap();
        // A session whose terminal this is; setsid becomes the program itself, as it leads no group.
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(user.get_program()).args(user.get_args()).env("TERM", "xterm").current_dir("/");
        command.uid(uid).gid(uid);
        let stream = || theirs.try_clone().unwrap();
        command.stdin(stream()).stdout(stream()).stderr(stream());
        set_size(&theirs, 24, 80);
        let child = spawn(&mut command);
        Self { keyboard: File::from(ours), theirs, shown: Vec::new(), child }
    }

    fn types_text(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).unwrap();
    }

    /// Reads on until this is shown; answers with all that was shown since the last time.
    #[track_caller]
    pub(crate) fn sees(&mut self, text: &str) -> String {
        let mut chunk = [0; 1024];
        loop {
            let shown = String::from_utf8_lossy(&self.shown).into_owned();
            if let Some((before, after)) = shown.split_once(text) {
                let before = before.to_owned();
                self.shown = after.as_bytes().to_vec();
                return before;
            }
            let limit = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
            let mut polled = [PollFd::new(&self.keyboard, PollFlags::IN)];
            let ready = rustix::io::retry_on_intr(|| poll(&mut polled, Some(&limit))).unwrap();
            assert!(ready > 0, "waited in vain for {text}: {shown}");
            let count = self.keyboard.read(&mut chunk).unwrap_or_else(|error| panic!("{error} after {shown}"));
            self.shown.extend_from_slice(&chunk[..count]);
        }
    }

    /// Whether keys are shown and lines gathered by the terminal itself.
    fn is_cooked(&self) -> bool {
        tcgetattr(&self.theirs).unwrap().local_modes.contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    #[track_caller]
    pub(crate) fn ends(&mut self) -> std::process::ExitStatus {
        let status = self.child.wait().unwrap();
        assert!(self.is_cooked(), "the terminal is left as it was");
        status
    }
}

fn set_size(terminal: &OwnedFd, rows: u16, columns: u16) {
    tcsetwinsize(terminal, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
}

#[test]
fn a_shell_has_a_terminal_of_its_own_with_size_jobs_and_keys() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let mut user = User::types(&["sh", "-i"], &stage);
    user.types_text("PS1=; tty >/dev/null && echo a termi''nal; stty size\n");
    user.sees("a terminal\r\n");
    user.sees("24 80\r\n");
    set_size(&user.theirs, 50, 132);
    user.types_text("until stty size | grep 132; do :; done\n");
    user.sees("50 132\r\n");
    // Ctrl-C ends what is in the foreground, and neither the shell nor castellan; Ctrl-Z stops it, and it comes back.
    user.types_text("sh -c 'echo wait\"\"ing; exec sleep 1000'\n");
    user.sees("waiting\r\n");
    user.types_text("\x03");
    user.types_text("\necho inter''rupted $?\n");
    user.sees("interrupted 130\r\n");
    user.types_text("sh -c 'kill -STOP $$; echo a\"\"gain'\n");
    user.sees("Stopped");
    user.types_text("fg\n");
    user.sees("again\r\n");
    user.types_text("exit 5\n");
    assert_eq!(user.ends().code(), Some(5));
    agent.stop();
}

#[test]
fn however_it_ends_the_terminal_is_as_it_was() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let mut user = User::types(&["sh", "-c", "echo ready; read line; kill -TERM $$"], &stage);
    user.sees("ready\r\n");
    eventually("raw mode", || (!user.is_cooked()).then_some(()));
    user.types_text("\r");
    assert_eq!(user.ends().signal(), Some(15));
    // Its user ends castellan itself: the program hears it, and decides.
    let mut user =
        User::types(&["sh", "-c", "trap 'exit 4' TERM; echo ready; while :; do sleep 1000 & wait $!; done"], &stage);
    user.sees("ready\r\n");
    signal(&user.child, Signal::TERM);
    assert_eq!(user.ends().code(), Some(4));
    agent.stop();
}

/// The kernel stops by the key nobody whom no shell could have continue.
#[test]
fn who_has_no_shell_above_him_is_not_stopped() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let mut user =
        User::types(&["sh", "-c", "echo ready; read line; echo \"got $line\"; read line; echo \"got $line\""], &stage);
    user.sees("ready\r\n");
    eventually("raw mode", || (!user.is_cooked()).then_some(()));
    user.types_text("\x1a");
    user.sees("^Z");
    user.types_text("one\r");
    user.sees("got one\r\n");
    signal(&user.child, Signal::TSTP);
    user.types_text("this\r");
    user.sees("got this\r\n");
    assert_eq!(user.ends().code(), Some(0));
    agent.stop();
}

#[test]
fn a_secret_is_asked_for_where_its_user_is_and_not_shown() {
    let Some(stage) = stage() else { return };
    let agent = agent(&stage);
    let mut user = User::types(&["env"], &stage);
    user.sees("A question:\\u001b[2J");
    user.sees("Code of your authenticator for running 'env': ");
    user.types_text("493817\n");
    assert_eq!(user.sees("root has no authenticator").matches("493817").count(), 0);
    assert_eq!(user.ends().code(), Some(4));
    // Ctrl-C instead of an answer withdraws the request.
    let mut user = User::types(&["env"], &stage);
    user.sees("running 'env': ");
    user.types_text("\x03");
    assert_eq!(user.ends().signal(), Some(2));
    agent.stop();
}
