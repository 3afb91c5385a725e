//! The command line as an administrator types it: its exit code, its standard output, its standard error.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{Stage, binary, has_program, spawn};

/// The command line on the root of a stage.
pub(crate) fn command(stage: &Stage, arguments: &[&str]) -> Command {
    command_by(&binary(), stage, arguments)
}

/// The same of another copy of the binary.
pub(crate) fn command_by(program: &Path, stage: &Stage, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).arg("--root").arg(stage.root());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env_remove("NO_COLOR");
    command
}

#[track_caller]
pub(crate) fn say(mut command: Command) -> (i32, String, String) {
    ended(spawn(&mut command).wait_with_output().unwrap())
}

#[track_caller]
pub(crate) fn ended(output: Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The same on a terminal of its own, with what is typed there; both streams as one text. `None` where there is no `script`.
#[track_caller]
pub(crate) fn terminal(stage: &Stage, arguments: &str, typed: &str) -> Option<(i32, String)> {
    if !has_program("script", "what the command line shows on a terminal") {
        return None;
    }
    let line = format!("{} {arguments} --root {}", binary().display(), stage.root().display());
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_remove("NO_COLOR").env("TERM", "xterm");
    let mut child = spawn(script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()));
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), typed.as_bytes()).unwrap();
    let (code, shown, _) = ended(child.wait_with_output().unwrap());
    Some((code, shown))
}
