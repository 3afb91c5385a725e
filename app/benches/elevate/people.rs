//! Who asks: accounts that the machine has, and a mount namespace in which sudo lets them run anything, so that nothing of the machine's
//! own `/etc` is changed.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// One who is measured alone, and ten who ask together.
const PEOPLE: usize = 11;
/// Says that this is the process in the namespace.
const INSIDE: &str = "CASTELLAN_BENCH_INSIDE";
/// What the rules are bound over.
const RULES: &str = "/etc/sudoers";

pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// Runs this again in a mount namespace of its own, and says how that ended; `None` in there, and where there can be none.
pub(crate) fn in_a_namespace() -> Option<ExitCode> {
    let unshare = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).arg(program);
        command
    };
    if std::env::var_os(INSIDE).is_some() || !unshare(Path::new("true")).status().is_ok_and(|status| status.success()) {
        return None;
    }
    let mut again = unshare(&std::env::current_exe().unwrap());
    let status = again.args(std::env::args_os().skip(1)).env(INSIDE, "1").status().unwrap();
    Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Ordinary accounts, those of the highest numbers in front: `nobody` is the first nearly everywhere.
pub(crate) fn people() -> Vec<Person> {
    let accounts = fs::read_to_string("/etc/passwd").unwrap();
    let read = |line: &str| {
        let mut fields = line.split(':');
        let (name, uid, gid) = (fields.next()?, fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        (uid != 0).then(|| Person { name: name.to_owned(), uid, gid })
    };
    let mut people: Vec<Person> = accounts.lines().filter_map(read).collect();
    people.sort_by_key(|person| std::cmp::Reverse(person.uid));
    people.truncate(PEOPLE);
    assert_eq!(people.len(), PEOPLE, "this machine has too few accounts");
    people
}

/// Lets these run anything with sudo, by the machine's own rules and one more for each; whether that could be done.
pub(crate) fn let_by_sudo(people: &[Person], folder: &Path) -> bool {
    let is_done = bind_rules(people, folder);
    if let Err(why) = &is_done {
        println!("SKIPPED: there is no sudo to compare with, as {why}.");
    }
    is_done.is_ok()
}

fn bind_rules(people: &[Person], folder: &Path) -> Result<(), String> {
    if std::env::var_os(INSIDE).is_none() {
        return Err(String::from("no mount namespace can be made"));
    }
    let mut rules = fs::read_to_string(RULES).map_err(|error| format!("{RULES} cannot be read: {error}"))?;
    for Person { name, .. } in people {
        rules.push_str(&format!("\n{name} ALL=(root) NOPASSWD: ALL"));
    }
    rules.push('\n');
    let file = folder.join("sudoers");
    fs::write(&file, rules).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o440)).unwrap();
    let bound = Command::new("mount").arg("--bind").arg(&file).arg(RULES).stderr(Stdio::null()).status();
    if bound.is_ok_and(|status| status.success()) { Ok(()) } else { Err(format!("{RULES} cannot be mounted over")) }
}
