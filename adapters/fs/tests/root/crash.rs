//! Blessed writes whose process is killed, or whose disk is full, at every system call that changes the disk: strace injects it into
//! `examples/blessed_write.rs`. Between two such calls the disk is the same, so nothing else can happen.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use castellan_core::event::DefinitionKind;
use castellan_core::lkg::{Item, References};
use castellan_fs::Root;
use castellan_fs::lkg::{self, ReferenceStore};
use tempfile::TempDir;

use super::references::{open, put};
use super::support::{NEW_YEAR, names};

/// What changes the disk; of `openat` only what creates.
const CALLS: [&str; 9] =
    ["openat", "write", "fchmod", "fsync", "syncfs", "rename", "renameat", "renameat2", "unlinkat"];

/// What is blessed: documents by id.
type State = BTreeMap<String, String>;

fn job(number: usize) -> Item {
    Item::new(DefinitionKind::Job, format!("j{number}"))
}

fn state(count: usize, document: &str) -> State {
    (0..count).map(|number| (job(number).id, document.repeat(number + 1))).collect()
}

/// Verb and count of a story: `create 1`, `update 100`, `delete 1`.
fn parts(story: &str) -> (&str, usize) {
    let (verb, count) = story.split_once(' ').unwrap();
    (verb, count.parse().unwrap())
}

/// In memory where the machine has such a place: a killed process loses nothing that it wrote, wherever that is, and a hundred roots
/// are made here.
pub(crate) fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// A root with `count` blessed jobs, as the agent leaves it.
fn template(count: usize) -> TempDir {
    let folder = folder();
    let root = Root::open(folder.path()).unwrap();
    if count > 0 {
        let old: Vec<_> = (0..count).map(|number| put(job(number), &"old".repeat(number + 1))).collect();
        let changed =
            lkg::change(&root, Some(&mut open(&root, None).0), None, "Plugins", &old, "root", NEW_YEAR).unwrap();
        assert!(changed.unwritten.is_empty());
    }
    folder
}

fn copy(template: &TempDir) -> TempDir {
    let folder = folder();
    let copied = Command::new("cp").arg("-a").arg(template.path().join(".")).arg(folder.path()).status().unwrap();
    assert!(copied.success());
    folder
}

/// Runs the writer on a root under strace.
fn write(root: &Path, story: &str, trace: &Path, filter: &[&str]) -> Output {
    let writer = env::current_exe().unwrap().with_file_name("../examples/blessed_write");
    assert!(writer.exists(), "the writer is missing: run `cargo test -p castellan-fs`, or build it with `--examples`");
    let (verb, count) = parts(story);
    Command::new("strace")
        .args(["-qq", "-o"])
        .arg(trace)
        .args(filter)
        .arg(writer)
        .arg(root)
        .args([verb, &count.to_string()])
        .output()
        .unwrap()
}

/// One system call of the write: its name, and how many of that name came before in this process, itself included.
struct Call {
    name: String,
    number: usize,
    line: String,
}

/// The calls of an undisturbed write that change the disk, in order.
fn calls(template: &TempDir, story: &str) -> Vec<Call> {
    let (root, trace) = (copy(template), tempfile::NamedTempFile::new().unwrap());
    let filter = format!("trace=/^({})$", CALLS.join("|"));
    let written = write(root.path(), story, trace.path(), &["-e", &filter]);
    assert!(written.status.success(), "{written:?}");
    let text = fs::read_to_string(trace.path()).unwrap();
    let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut calls, mut inside) = (Vec::new(), false);
    for line in text.lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        let number = numbers.entry(name).or_default();
        *number += 1;
        inside = (inside || line.contains("\"begin")) && !line.contains("\"changed");
        if inside && (name != "openat" || line.contains("O_CREAT")) && !line.contains("\"begin") {
            calls.push(Call { name: name.to_owned(), number: *number, line: line.to_owned() });
        }
    }
    assert!(calls.iter().any(|call| call.line.contains(".manifest.new")), "the trace does not show the write:\n{text}");
    calls
}

/// What the files say.
fn files(root: &Path) -> State {
    let folder = root.join("Jobs");
    let files = names(&folder).into_iter().filter(|name| !name.starts_with('.') && name != "bin");
    files
        .map(|name| {
            let text = fs::read_to_string(folder.join(&name)).unwrap();
            (name.strip_suffix(".json").unwrap().to_owned(), text)
        })
        .collect()
}

/// What the next start finds blessed, after it has tidied up and its sweep has restored the files.
fn recovered(folder: &Path) -> State {
    let root = Root::open(folder).unwrap();
    lkg::remove_drafts(&root, "Plugins").unwrap();
    let (mut store, references): (ReferenceStore, _) = open(&root, None);
    let items = match references {
        References::First { .. } => Vec::new(),
        References::Kept { items, .. } => items,
        other => panic!("{other:?}"),
    };
    let mut blessed = State::new();
    let found = files(folder);
    for reference in &items {
        let Item { kind, id } = &reference.item;
        let document = reference.content.as_ref().unwrap().as_ref();
        let text = document.map(|document| String::from_utf8(document.to_vec()).unwrap());
        match document.filter(|_| found.get(id) != text.as_ref()) {
            Some(document) => root.write_definition(*kind, "Plugins", id, document).unwrap(),
            None if document.is_none() && found.contains_key(id) => {
                root.remove_definition(*kind, "Plugins", id).unwrap()
            }
            None => {}
        }
        blessed.extend(text.map(|text| (id.clone(), text)));
    }
    assert_eq!(files(folder), blessed);
    for place in ["Jobs", "state/lkg", "state/keys"] {
        let left: Vec<String> = names(&folder.join(place)).into_iter().filter(|name| name.starts_with('.')).collect();
        assert!(left.is_empty(), "{place}: {left:?}");
    }
    let check = store.check();
    assert!(check.doubt.is_none() && check.changed.is_empty() && store.take_notices().is_empty(), "{check:?}");
    blessed
}

pub(crate) fn has_strace() -> bool {
    let works = Command::new("strace").args(["-o", "/dev/null", "true"]).output().is_ok_and(|run| run.status.success());
    if !works {
        eprintln!("SKIPPED crashes in the middle of writes: strace is missing or may not trace");
    }
    works
}

/// Lets `fault` happen at each of the calls that `chosen` takes and hands over what came of it: the writer's words, and what is
/// recovered as `Some(old or new)`.
fn each_fault(
    story: &str,
    fault: &str,
    chosen: impl Fn(usize, &Call) -> bool,
    mut judge: impl FnMut(&Call, &str, bool, &Path),
) {
    let (verb, count) = parts(story);
    let is_create = verb == "create";
    let template = template(if is_create { 0 } else { count });
    let old = if is_create { State::new() } else { state(count, "old") };
    let new = if verb == "delete" { State::new() } else { state(count, "new") };
    let trace = tempfile::NamedTempFile::new().unwrap();
    let (mut tried, mut news) = (0, 0);
    for (_, call) in calls(&template, story).iter().enumerate().filter(|(place, call)| chosen(*place, call)) {
        let root = copy(&template);
        let inject = format!("inject={}:{fault}:when={}", call.name, call.number);
        let only = format!("trace={}", call.name);
        let written = write(root.path(), story, trace.path(), &["-e", &only, "-e", &inject]);
        if fault.starts_with("error=") {
            let drafts = names(&root.path().join("Jobs")).into_iter().filter(|name| name.starts_with('.'));
            assert_eq!(drafts.collect::<Vec<_>>(), Vec::<String>::new(), "{story}, {}", call.line);
        }
        let on_disk = files(root.path());
        for (id, text) in &on_disk {
            assert!(old.get(id) == Some(text) || new.get(id) == Some(text), "{story}, {}: {id} is torn", call.line);
        }
        let blessed = recovered(root.path());
        let is_new = blessed == new;
        assert!(is_new || blessed == old, "{story}, {}: {blessed:?}", call.line);
        judge(call, &String::from_utf8(written.stdout).unwrap(), is_new, root.path());
        tried += 1;
        news += usize::from(is_new);
    }
    println!("{story}, {fault}: {tried} faults, {news} with the new state afterwards");
    assert!(tried > 5 && news < tried, "{story}: {tried} faults, {news} new");
}

/// Holds the calls of a write against what makes it durable: of a file its content and then its rights, both on disk before it is
/// renamed; references before the manifest, the manifest before the definitions; each folder synced after names in it changed.
#[derive(Debug, Default)]
struct Order {
    /// Files whose content may not be on disk, and those whose rights are given.
    unsynced: BTreeSet<String>,
    finished: BTreeSet<String>,
    /// New names, and names that changed, which may not be on disk.
    new: BTreeSet<String>,
    changed: BTreeSet<String>,
    is_committed: bool,
}

impl Order {
    fn follow(&mut self, line: &str, root: &Path) {
        let (call, rest) = line.split_once('(').unwrap();
        let below = |path: &str| path.strip_prefix(&format!("{}/", root.display())).map(str::to_owned);
        // As strace -y shows descriptors: `5</srv/castellan/Jobs>`.
        let opened: Vec<String> = rest.split('<').skip(1).filter_map(|part| below(part.split('>').next()?)).collect();
        let names: Vec<&str> = rest.split('"').skip(1).step_by(2).collect();
        let Some(first) = opened.first() else { return };
        let named = |name: &str| format!("{first}/{name}");
        let is_below = |path: &String| Path::new(path).parent() == Some(Path::new(first));
        match call {
            "openat" => {
                self.finished.remove(&named(names[0]));
                self.unsynced.insert(named(names[0]));
                self.new.insert(named(names[0]));
            }
            "write" => {
                assert!(!self.finished.contains(first), "{first} may be read before it is whole");
                self.unsynced.insert(first.clone());
            }
            "fchmod" => {
                self.finished.insert(first.clone());
                self.unsynced.insert(first.clone());
            }
            "fsync" => {
                self.unsynced.remove(first);
                self.new.retain(|path| !is_below(path));
                self.changed.retain(|path| !is_below(path));
            }
            // Other folders may lie on other disks.
            "syncfs" => self.unsynced.retain(|path| !is_below(path)),
            "unlinkat" => {
                assert!(!["lkg.key", "manifest"].contains(&names[0]), "there is a moment without {}", names[0]);
                self.changed.insert(named(names[0]));
            }
            "renameat" => {
                let (draft, name) = (named(names[0]), named(names[1]));
                assert!(self.unsynced.is_empty(), "{name} counts before {:?} are on disk", self.unsynced);
                self.new.remove(&draft);
                if name == "state/lkg/manifest" {
                    assert!(
                        self.new.iter().all(|path| path.starts_with("Jobs/")),
                        "{name} counts before {:?}",
                        self.new
                    );
                    self.is_committed = true;
                }
                if name.starts_with("Jobs/") {
                    let late = self.changed.iter().find(|path| !path.starts_with("Jobs/"));
                    assert!(self.is_committed && late.is_none(), "{name} is written before {late:?} is on disk");
                }
                self.changed.insert(name);
            }
            other => panic!("{other} is not known here: {line}"),
        }
    }
}

#[test]
fn what_counts_is_on_disk_before_what_names_it_and_everything_is_at_the_end() {
    if !has_strace() {
        return;
    }
    // Of 64 files each is synced by itself, of more the rest together.
    for (story, before) in [
        ("create 1", 0),
        ("update 1", 1),
        ("delete 1", 1),
        ("update 64", 64),
        ("update 65", 65),
        ("rekey 2", 2),
        ("unlink 1", 1),
    ] {
        let (root, trace) = (template(before), tempfile::NamedTempFile::new().unwrap());
        let filter = format!("trace=/^({})$", CALLS.join("|"));
        let written = write(root.path(), story, trace.path(), &["-y", "-s", "5", "-e", &filter]);
        assert!(written.status.success(), "{written:?}");
        let text = fs::read_to_string(trace.path()).unwrap();
        let mut order = Order::default();
        let path = root.path().canonicalize().unwrap();
        let creates = |line: &&str| line.contains("O_CREAT") || !line.starts_with("openat(");
        let lines = text.lines().skip_while(|line| !line.contains("\"begin")).filter(creates);
        lines.for_each(|line| order.follow(line, &path));
        // What counts no more may come back with a power cut; the next start removes it.
        order.changed.retain(|path| !path.starts_with("state/lkg/") || path.ends_with("/manifest"));
        assert_eq!(order.is_committed, story != "unlink 1", "{story}");
        assert!(order.changed.is_empty() && order.new.is_empty(), "{story}: {order:?}");
    }
}

#[test]
fn killed_at_any_system_call_a_blessed_write_of_one_item_is_there_or_not() {
    if !has_strace() {
        return;
    }
    for story in ["create 1", "update 1", "delete 1"] {
        let mut committed = false;
        each_fault(
            story,
            "signal=KILL",
            |_, _| true,
            |call, words, is_new, _| {
                assert!(!words.contains("changed"), "{}: it was to be killed before its end", call.line);
                assert!(is_new || !committed, "{story}, {}: new, and later old again", call.line);
                committed = is_new;
            },
        );
        assert!(committed, "{story}: the last calls come after the commit");
    }
}

#[test]
fn killed_at_any_system_call_a_blessed_write_of_a_hundred_items_is_there_or_not() {
    if !has_strace() {
        return;
    }
    for story in ["create 100", "update 100", "delete 100"] {
        // Every call at the manifest, and some of the many before and after.
        let chosen = |place: usize, call: &Call| place % 67 == 5 || call.line.contains("manifest");
        each_fault(story, "signal=KILL", chosen, |_, _, _, _| {});
    }
}

#[test]
fn a_full_disk_leaves_references_and_files_as_they_were() {
    if !has_strace() {
        return;
    }
    for fault in ["error=ENOSPC", "error=EDQUOT"] {
        // The disk is full where something is written; that it was full is said at the latest when that is brought to disk.
        let chosen = |_: usize, call: &Call| ["write", "fsync"].contains(&call.name.as_str());
        each_fault("update 1", fault, chosen, |call, words, is_new, _| {
            let words = words.lines().find(|line| line.starts_with("full=") || line.starts_with("changed")).unwrap();
            if words.starts_with("changed") {
                // Only the file was left behind, after the commit.
                assert!(is_new && words.contains("Jobs"), "{}: {words}", call.line);
            } else {
                let unsure = words.contains("It may count nevertheless");
                assert!(words.starts_with("full=true") && words.contains("Make room"), "{}: {words}", call.line);
                assert_eq!(is_new, unsure, "{}: {words}", call.line);
            }
        });
    }
}
