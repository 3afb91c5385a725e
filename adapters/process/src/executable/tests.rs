//! Files and folders as they occur, made for the purpose.
#![allow(
    clippy::explicit_write,
    reason = "a skip must be seen past the harness, which hides what a passing test prints"
)]

use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use super::walk::group_has_other_members;
use super::*;

/// Facts about the first of these that exists.
fn facts(candidates: &[String]) -> ExecutableFacts {
    first_of(candidates, &[]).facts
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn file(folder: &Path, name: &str, mode: u32) -> String {
    let path = folder.join(name);
    fs::copy("/bin/true", &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_first_that_exists_is_taken() {
    let folder = folder();
    let plain = file(folder.path(), "plain", 0o644);
    let runs = file(folder.path(), "runs", 0o755);
    let table = [
        (vec!["/no/such".to_owned(), runs.clone(), plain.clone()], runs.clone(), true, true),
        (vec![plain.clone(), runs], plain, true, false),
        (vec!["/no/such".to_owned(), "/nor/this".to_owned()], "/no/such".to_owned(), false, false),
        (vec!["/tmp".to_owned()], "/tmp".to_owned(), true, false),
        (vec!["/dev/null".to_owned()], "/dev/null".to_owned(), true, false),
        (vec![], String::new(), false, false),
    ];
    for (candidates, path, exists, executable) in table {
        let found = facts(&candidates);
        assert_eq!((found.path, found.exists, found.executable), (path, exists, executable), "{candidates:?}");
    }
}

#[test]
fn whoever_else_may_change_a_file_is_named() {
    let folder = folder();
    assert_eq!(facts(&[file(folder.path(), "fine", 0o755)]).writable_by_others, None);
    let open = file(folder.path(), "open", 0o757);
    assert!(facts(std::slice::from_ref(&open)).writable_by_others.unwrap().contains("mode 0757"));

    let link = folder.path().join("link");
    symlink(&open, &link).unwrap();
    let named = facts(&[link.to_str().unwrap().to_owned()]).writable_by_others.unwrap();
    assert!(named.contains("/open (mode 0757"), "{named}");

    let below = folder.path().join("below");
    fs::create_dir(&below).unwrap();
    let inside = file(&below, "inside", 0o755);
    fs::set_permissions(&below, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(facts(std::slice::from_ref(&inside)).writable_by_others.unwrap().contains("/below (mode 0777"));
    let indirect = folder.path().join("indirect");
    symlink("below/../below/inside", &indirect).unwrap();
    let named = facts(&[indirect.to_str().unwrap().to_owned()]).writable_by_others.unwrap();
    assert!(named.contains("/below (mode 0777"), "{named}");
    fs::set_permissions(&below, fs::Permissions::from_mode(0o1777)).unwrap();
    let sticky = facts(&[inside]).writable_by_others;
    assert_eq!(sticky, None, "in a sticky folder of ours nobody else replaces our files");

    let loops = folder.path().join("loops");
    symlink("loops", &loops).unwrap();
    for nowhere in [loops.to_str().unwrap(), "true"] {
        assert!(!facts(&[nowhere.to_owned()]).exists, "{nowhere}");
    }
}

/// Somebody may put a signature that counts beside a file of his, as large as he likes.
#[test]
fn what_others_may_change_is_not_hashed_for_its_signature() {
    let folder = folder();
    for (name, mode, is_looked_into) in [("fine", 0o755, true), ("open", 0o757, false)] {
        let candidates = vec![file(folder.path(), name, mode)];
        let query = ProgramQuery { candidates, signers: vec!["b".repeat(64)], ..ProgramQuery::default() };
        assert_eq!(inspect(&query).facts().signature.is_some(), is_looked_into, "{name}");
    }
}

#[test]
fn a_group_counts_by_its_members() {
    let own = rustix::process::geteuid().as_raw();
    let users = format!("root:x:0:0::/:/bin/sh\nme:x:{own}:50::/:\nalice:x:4001:51::/:\nbroken\n");
    let groups =
        "root:x:0:\nmine:x:50:\nhers:x:51:\nshared:x:52:root,alice\nempty:x:53:\nours:x:54:root,me\nstale:x:55:gone";
    let table = [(0, false), (50, false), (51, true), (52, true), (53, false), (54, false), (55, true), (99, true)];
    for (gid, others) in table {
        assert_eq!(group_has_other_members(gid, groups, &users), others, "group {gid}");
    }
}

#[test]
fn another_users_file_is_his_to_change() {
    if !rustix::process::geteuid().is_root() {
        writeln!(io::stderr(), "SKIPPED: giving a file to another user needs root").unwrap();
        return;
    }
    let folder = folder();
    let given = file(folder.path(), "given", 0o755);
    std::os::unix::fs::chown(&given, Some(65534), Some(65534)).unwrap();
    assert!(facts(&[given]).writable_by_others.unwrap().contains("user 65534"));
}

#[test]
fn how_a_file_begins_tells_who_can_execute_it() {
    let folder = folder();
    let script = |name: &str, text: &str| {
        let path = folder.path().join(name);
        File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let pipe = folder.path().join("pipe");
    rustix::fs::mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    let table = [
        (file(folder.path(), "program", 0o755), Opening::Binary),
        (script("hash-bang", "#!/bin/sh\n"), Opening::HashBang),
        (script("plain", "echo"), Opening::Other),
        (script("short", "#"), Opening::Other),
        (script("empty", ""), Opening::Other),
        (pipe.to_str().unwrap().to_owned(), Opening::Unreadable),
        ("/tmp".to_owned(), Opening::Unreadable),
        ("/no/such".to_owned(), Opening::Unreadable),
    ];
    for (path, opening) in table {
        assert_eq!(facts(std::slice::from_ref(&path)).opening, opening, "{path}");
    }
}

#[test]
fn an_interpreter_is_looked_at_where_one_is_asked_for() {
    let folder = folder();
    let script = file(folder.path(), "script", 0o644);
    let query = |interpreters: &[&str]| ProgramQuery {
        candidates: vec![script.clone()],
        interpreters: interpreters.iter().map(|path| (*path).to_owned()).collect(),
        ..ProgramQuery::default()
    };
    let found = inspect(&query(&["/no/such/sh", "/bin/sh"])).facts().interpreter.unwrap();
    assert_eq!((found.path.as_str(), found.executable, found.opening), ("/bin/sh", true, Opening::Binary));
    assert!(!inspect(&query(&["/no/such/sh"])).facts().interpreter.unwrap().exists);
    assert_eq!(inspect(&query(&[])).facts().interpreter, None);
}

#[test]
fn the_program_of_a_first_line_is_looked_at_too() {
    let folder = folder();
    let script = |name: &str, line: &str| {
        let path = folder.path().join(name);
        File::create(&path).unwrap().write_all(line.as_bytes()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let named = |path: &str| facts(&[path.to_owned()]).hash_bang.map(|named| (named.path.clone(), *named));
    let (path, shell) = named(&script("plain", "#! /bin/sh -e\n")).unwrap();
    assert_eq!((path.as_str(), shell.executable, shell.opening), ("/bin/sh", true, Opening::Binary));
    let open = file(folder.path(), "open", 0o757);
    let (_, unsafe_one) = named(&script("unsafe", &format!("#!{open}\n"))).unwrap();
    assert!(unsafe_one.writable_by_others.unwrap().contains("mode 0757"));
    assert!(!named(&script("carriage", "#!/bin/sh\r\n")).unwrap().1.exists);
    assert_eq!(named(&file(folder.path(), "program", 0o755)), None);
    // A script that is its own interpreter: looked at as often as the kernel would, and no more.
    let mut itself = facts(&[script("itself", &format!("#!{}/itself\n", folder.path().display()))]);
    let mut depth = 0;
    while let Some(inner) = itself.hash_bang.take() {
        itself = *inner;
        depth += 1;
    }
    assert_eq!(depth, NESTING);
}

#[test]
fn a_link_out_of_the_root_is_told() {
    let folder = folder();
    let root = folder.path().join("Plugins");
    fs::create_dir(&root).unwrap();
    let inside = file(&root, "inside", 0o755);
    let outside = file(folder.path(), "outside", 0o755);
    let real = fs::canonicalize(&outside).unwrap().display().to_string();
    symlink(&outside, root.join("out")).unwrap();
    symlink("inside", root.join("in")).unwrap();
    symlink(folder.path(), root.join("up")).unwrap();
    symlink(&root, folder.path().join("alias")).unwrap();
    let roots =
        |names: &[&str]| names.iter().map(|name| folder.path().join(name).display().to_string()).collect::<Vec<_>>();
    let below = |name: &str| format!("{}/{name}", root.display());
    let table = [
        (inside, None),
        (below("in"), None),
        (below("up/Plugins/inside"), None),
        (below("out"), Some(real.clone())),
        (below("up/outside"), Some(real.clone())),
        (format!("{}/alias/inside", folder.path().display()), None),
        (format!("{}/alias/out", folder.path().display()), Some(real)),
        // Named elsewhere: no root holds it.
        (outside, None),
    ];
    for (path, expect) in table {
        let found = first_of(std::slice::from_ref(&path), &roots(&["Plugins", "alias"])).facts;
        assert_eq!((found.exists, found.leads_out), (true, expect), "{path}");
    }
    let outer = first_of(&[below("out")], &roots(&[""])).facts.leads_out;
    assert_eq!(outer, None, "out of the plugins' root, but not out of the one that counts");
    let innermost = first_of(&[below("out")], &roots(&["", "Plugins"])).facts.leads_out;
    assert!(innermost.is_some(), "the innermost root counts");
}
