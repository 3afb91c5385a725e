//! Hostile entries among the definitions (security.md section 8, J02 to J06), and writing that a crash cannot tear.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use castellan_core::effect::StoreOrder;
use castellan_core::event::{DefinitionFile, DefinitionKind, Event, StoreReport};
use castellan_core::id::TicketId;
use castellan_core::limits::DEFINITIONS;
use castellan_core::lkg::{DefinitionChange, Item};
use castellan_core::run::history::RunQuery;
use castellan_core::time::WallTime;
use castellan_fs::history::History;
use castellan_fs::lkg;
use castellan_fs::settings::SettingStore;
use castellan_fs::{Root, Store};
use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::support::{guard, mode, names, policies, root, set_mode};

const JOB: DefinitionKind = DefinitionKind::Job;
const PLUGIN: DefinitionKind = DefinitionKind::Plugin;

fn jobs(root: &Root) -> Vec<DefinitionFile> {
    root.read_definitions(&[JOB], "Plugins")
}

/// The only job there is: why it was not read.
fn refusal(root: &Root) -> String {
    let mut found = jobs(root);
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0).content.unwrap_err()
}

/// Puts one thing at `Jobs/x.json`: it is refused with these words.
fn check(put: impl FnOnce(&Path), words: &str) {
    let (folder, root) = root();
    put(&folder.path().join("Jobs/x.json"));
    let reason = refusal(&root);
    assert!(reason.starts_with("x.json ") && reason.contains(words), "{reason}");
    assert!(!reason.contains("secret"), "{reason}");
}

#[test]
fn whatever_is_not_a_plain_file_is_named_and_not_read() {
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("s");
    fs::write(&secret, "secret").unwrap();
    check(|path| symlink(&secret, path).unwrap(), "symbolic link");
    check(|path| symlink("/nowhere", path).unwrap(), "symbolic link");
    check(|path| fs::hard_link(&secret, path).unwrap(), "2 hard links");
    check(|path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap(), "FIFO");
    check(|path| drop(UnixListener::bind(path).unwrap()), "socket");
    check(|path| fs::create_dir(path).unwrap(), "directory");
    check(|path| fs::write(path, vec![b'x'; 2 << 20]).unwrap(), "2097152 bytes; at most 1048576");
    check(|path| fs::write(path, vec![b'x'; (1 << 20) + 1]).unwrap(), "1048577 bytes");
    let open = |path: &Path| {
        fs::write(path, "{}").unwrap();
        set_mode(path, 0o666);
    };
    check(open, "chmod go-w");
    if !rustix::process::geteuid().is_root() {
        let unreadable = |path: &Path| {
            fs::write(path, "{}").unwrap();
            set_mode(path, 0);
        };
        check(unreadable, "cannot be read");
    }
}

#[test]
fn files_come_by_kind_and_name_and_others_are_left_alone() {
    let (folder, root) = root();
    for name in ["Jobs/b.json", "Jobs/a.json", "Jobs/c.JSON", "Jobs/.a.json.new", "Jobs/readme.md", "Plugins/P.json"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    fs::write(folder.path().join("Jobs/full.json"), vec![b' '; 1 << 20]).unwrap();
    let found = root.read_definitions(&[JOB, PLUGIN], "Plugins");
    let found: Vec<_> = found.iter().map(|file| (file.kind, file.stem.as_str(), file.content.is_ok())).collect();
    assert_eq!(found, [(JOB, "a", true), (JOB, "b", true), (JOB, "full", true), (PLUGIN, "P", true)]);
}

#[test]
fn files_beyond_the_limit_are_counted_in_one_entry() {
    let (folder, root) = root();
    for number in 0..DEFINITIONS + 2 {
        fs::write(folder.path().join(format!("Jobs/j{number:05}.json")), "").unwrap();
    }
    let found = jobs(&root);
    assert_eq!(found.len(), DEFINITIONS + 1);
    assert!(found[..DEFINITIONS].iter().all(|file| file.content.is_ok()));
    assert_eq!(found[DEFINITIONS - 1].stem, "j19999");
    let rest = found[DEFINITIONS].content.clone().unwrap_err();
    assert!(found[DEFINITIONS].stem == "*" && rest.contains("has 2 files more than the 20000"), "{rest}");
}

#[test]
fn a_folder_that_cannot_be_opened_is_reported_and_a_plugin_path_cannot_leave_the_root() {
    let (folder, root) = root();
    fs::create_dir_all(folder.path().join("Extra/Plugins")).unwrap();
    fs::write(folder.path().join("Extra/Plugins/P.json"), "{}").unwrap();
    assert_eq!(root.read_definitions(&[PLUGIN], "Extra/Plugins").len(), 1);
    symlink("/", folder.path().join("Link")).unwrap();
    for (path, words) in
        [("../x", "Name one without dots"), ("Link/etc", "cannot open the folder"), ("None", "No such file")]
    {
        let found = root.read_definitions(&[PLUGIN], path);
        let reason = found[0].content.as_ref().unwrap_err();
        assert!(found.len() == 1 && found[0].stem == "*" && reason.contains(words), "{found:?}");
    }
}

#[test]
fn a_definition_is_written_whole_with_its_rights_and_replaces_a_link_instead_of_following_it() {
    let (folder, root) = root();
    let (path, victim) = (folder.path().join("Jobs/x.json"), folder.path().join("victim"));
    fs::write(&victim, "untouched").unwrap();
    symlink(&victim, &path).unwrap();
    root.write_definition(JOB, "Plugins", "x", b"new").unwrap();
    assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"new".to_vec(), 0o644));
    assert!(fs::symlink_metadata(&path).unwrap().is_file());
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    root.write_definition(JOB, "Plugins", "x", b"newer").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"newer");
    assert_eq!(names(&folder.path().join("Jobs")), ["bin", "x.json"]);
    root.remove_definition(JOB, "Plugins", "x").unwrap();
    root.remove_definition(JOB, "Plugins", "x").unwrap();
    assert_eq!(names(&folder.path().join("Jobs")), ["bin"]);
}

#[test]
fn a_draft_left_by_a_crash_is_no_definition_and_does_not_disturb_the_next_write() {
    let (folder, root) = root();
    root.write_definition(JOB, "Plugins", "x", b"old").unwrap();
    let draft = folder.path().join("Jobs/.x.json.new");
    let victim = folder.path().join("victim");
    fs::write(&victim, "untouched").unwrap();
    symlink(&victim, &draft).unwrap();
    let found = jobs(&root);
    assert_eq!((found.len(), found[0].content.clone().unwrap()), (1, b"old".as_slice().into()));
    root.write_definition(JOB, "Plugins", "x", b"new").unwrap();
    assert_eq!(jobs(&root)[0].content.clone().unwrap().as_ref(), b"new");
    assert_eq!(fs::read(&victim).unwrap(), b"untouched");
    assert!(!draft.exists());
}

#[test]
fn a_directory_in_the_place_of_a_draft_stops_neither_a_write_nor_a_start() {
    let (folder, root) = root();
    let draft = folder.path().join("Jobs/.x.json.new");
    for round in 1..=2 {
        fs::create_dir(&draft).unwrap();
        fs::write(draft.join("inside"), "kept").unwrap();
        lkg::remove_drafts(&root, "Plugins").unwrap();
        root.write_definition(JOB, "Plugins", "x", b"new").unwrap();
        assert_eq!(jobs(&root)[0].content.clone().unwrap().as_ref(), b"new");
        let aside = names(&folder.path().join("Jobs")).into_iter().filter(|name| name.starts_with(".x.json.new."));
        let aside: Vec<PathBuf> = aside.map(|name| folder.path().join("Jobs").join(name).join("inside")).collect();
        assert!(aside.len() == round && aside.iter().all(|inside| fs::read(inside).unwrap() == b"kept"), "{aside:?}");
    }
    assert!(!draft.exists());
}

#[test]
fn a_write_that_fails_leaves_what_was_there_and_no_draft() {
    let (folder, root) = root();
    let path = folder.path().join("Jobs/x.json");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "kept").unwrap();
    let error = root.write_definition(JOB, "Plugins", "x", b"new").unwrap_err();
    assert!(error.to_string().contains("Jobs/x.json"), "{error}");
    assert_eq!(names(&folder.path().join("Jobs")), ["bin", "x.json"]);
    assert_eq!(fs::read(path.join("inside")).unwrap(), b"kept");
}

#[test]
fn a_reader_sees_the_old_content_or_the_new_and_nothing_between() {
    let (_folder, root) = root();
    let contents = [vec![b'a'; 100_000], vec![b'b'; 200_000]];
    root.write_definition(JOB, "Plugins", "x", &contents[0]).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for round in 1..=20 {
                root.write_definition(JOB, "Plugins", "x", &contents[round % 2]).unwrap();
            }
        });
        while !writer.is_finished() {
            let content = jobs(&root).remove(0).content.unwrap();
            assert!(contents.iter().any(|known| **known == *content), "{} bytes", content.len());
        }
    });
}

#[test]
fn an_id_that_is_a_path_is_refused() {
    let (folder, root) = root();
    for id in ["../x", "a/b", "", ".", "..", ".x", "a\0b"] {
        let written = root.write_definition(JOB, "Plugins", id, b"x");
        assert!(written.is_err() && root.remove_definition(JOB, "Plugins", id).is_err(), "{id:?}");
    }
    assert_eq!(names(folder.path()), ["Jobs", "Plugins", "Policies", "state"]);
    assert_eq!(names(&folder.path().join("Jobs")), ["bin"]);
}

fn change(ticket: u64, item: Item, document: Option<&[u8]>) -> StoreOrder {
    let changes = vec![DefinitionChange { item, document: document.map(Into::into) }];
    StoreOrder::ChangeDefinitions {
        ticket: TicketId(ticket),
        changes,
        writer: "root".to_owned(),
        at: WallTime::from_millis(0),
    }
}

#[test]
fn the_store_carries_out_orders_in_turn_and_reports_each() {
    let (folder, root) = root();
    let (sender, events) = smol::channel::unbounded();
    let (history, settings) = (History::open(&root).unwrap(), SettingStore::open(&root).unwrap());
    let store = Store::start(guard(&root, &history), history, settings, policies(), sender).unwrap();
    let ticket = |number| TicketId(number);
    for order in [
        change(1, Item::new(JOB, "x"), Some(b"{}")),
        change(2, Item::new(PLUGIN, "../P"), Some(b"")),
        StoreOrder::ReadDefinitions { ticket: ticket(3) },
        change(4, Item::new(JOB, "x"), None),
        StoreOrder::ReadRuns { ticket: ticket(5), query: RunQuery { limit: 10, ..RunQuery::default() } },
    ] {
        store.order(order).unwrap();
    }
    store.close().unwrap();
    let reports: Vec<String> = std::iter::from_fn(|| events.try_recv().ok())
        .map(|event| match event {
            Event::Store(StoreReport::DefinitionsChanged { ticket, result }) => format!("{ticket} {}", result.is_ok()),
            Event::Store(StoreReport::DefinitionsRead { ticket, files }) => format!("{ticket} {} files", files.len()),
            Event::Store(StoreReport::RunsRead { ticket, result }) => {
                format!("{ticket} {} runs", result.unwrap().len())
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(reports, ["1 true", "2 false", "3 1 files", "4 true", "5 0 runs"]);
    assert!(!folder.path().join("Jobs/x.json").exists());
}

#[test]
fn closing_the_store_does_not_wait_for_an_agent_that_reads_no_more() {
    let (folder, root) = root();
    let (sender, events) = smol::channel::bounded(1);
    let (history, settings) = (History::open(&root).unwrap(), SettingStore::open(&root).unwrap());
    let store = Store::start(guard(&root, &history), history, settings, policies(), sender).unwrap();
    for number in 0..10 {
        store.order(change(number, Item::new(JOB, format!("j{number}")), Some(b"{}"))).unwrap();
    }
    store.close().unwrap();
    assert_eq!(names(&folder.path().join("Jobs")).len(), 11, "every order was carried out");
    assert_eq!(events.len(), 1);
}
