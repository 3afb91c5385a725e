//! References of Last Known Good with the real disk and the real seal: what is written, what is found again, and what is not believed
//! (security.md section 8, L10 to L21).

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use castellan_core::event::DefinitionKind;
use castellan_core::limits::REFERENCE_VERSIONS;
use castellan_core::lkg::{Cause, DefinitionChange, Item, Reference, References};
use castellan_fs::history::History;
use castellan_fs::lkg::{self, ReferenceStore};
use castellan_fs::{Root, RootError};
use tempfile::TempDir;

use super::support::{NEW_YEAR, days_later, mode, names, root, set_mode};

pub(crate) fn scan() -> Item {
    Item::new(DefinitionKind::Job, "scan")
}

fn bridge() -> Item {
    Item::new(DefinitionKind::Plugin, "Bridge")
}

pub(crate) fn put(item: Item, document: &str) -> DefinitionChange {
    DefinitionChange { item, document: Some(Arc::from(document.as_bytes())) }
}

fn remove(item: Item) -> DefinitionChange {
    DefinitionChange { item, document: None }
}

pub(crate) fn open(root: &Root, anchor: Option<u64>) -> (ReferenceStore, References) {
    ReferenceStore::open_with(root, None, anchor).unwrap()
}

/// A root on which both items are blessed, `scan` twice; its store is closed.
fn kept() -> (TempDir, Root) {
    let (folder, root) = root();
    let (mut store, found) = open(&root, None);
    assert!(matches!(found, References::First { lone_key: false }), "{found:?}");
    assert_eq!(store.change(&[put(scan(), "one"), put(bridge(), "B")], "root", NEW_YEAR).unwrap(), [1, 1]);
    assert_eq!(store.change(&[put(scan(), "two")], "admin:ada", days_later(1)).unwrap(), [2]);
    (folder, root)
}

/// The items in order: `Jobs/scan 2 two`, `Jobs/scan 3 -` where it was removed, or `Jobs/scan 2 !` with the sentence.
fn shown(items: &[Reference]) -> Vec<String> {
    let one = |reference: &Reference| {
        let content = match &reference.content {
            Ok(Some(document)) => String::from_utf8_lossy(document).into_owned(),
            Ok(None) => String::from("-"),
            Err(why) => format!("! {why}"),
        };
        format!("{} {} {content}", reference.item, reference.version)
    };
    items.iter().map(one).collect()
}

pub(crate) fn found(references: &References) -> Vec<String> {
    match references {
        References::Kept { items, .. } => shown(items),
        other => panic!("{other:?}"),
    }
}

/// The file of a version.
fn file(root: &Root, name: &str) -> PathBuf {
    let folder = root.path().join("state/lkg");
    let names = names(&folder);
    let mut found = names.iter().filter(|found| found.starts_with(name));
    let file = folder.join(found.next().unwrap_or_else(|| panic!("{name} in {names:?}")));
    assert_eq!(found.next(), None, "{name} in {names:?}");
    file
}

fn manifest(root: &Root) -> PathBuf {
    root.path().join("state/lkg/manifest")
}

fn key(root: &Root) -> PathBuf {
    root.path().join("state/keys/lkg.key")
}

/// The store after this was done to it: the sentence why nothing of it counts.
#[track_caller]
fn unusable(root: &Root, anchor: Option<u64>) -> String {
    let (mut store, found) = open(root, anchor);
    let References::Unusable(why) = found else { panic!("{found:?}") };
    let refused = store.change(&[put(scan(), "three")], "root", NEW_YEAR).unwrap_err();
    assert!(refused.cause == Cause::Unusable && refused.reason == why, "{refused:?}");
    assert_eq!(store.check().doubt.as_ref(), Some(&why));
    why
}

#[test]
fn what_was_blessed_is_found_again_with_its_version() {
    let (_folder, root) = kept();
    let (mut store, references) = open(&root, Some(2));
    assert_eq!(found(&references), ["Jobs/scan 2 two", "Plugins/Bridge 1 B"]);
    assert_eq!((mode(&key(&root)), fs::read(key(&root)).unwrap().len()), (0o600, 32));
    assert_eq!((mode(&manifest(&root)), mode(&file(&root, "Jobs.scan.2."))), (0o600, 0o600));
    // The same document again is no new version, and removing what is not there neither.
    let nothing = Item::new(DefinitionKind::Job, "nothing");
    assert_eq!(store.change(&[put(scan(), "two"), remove(nothing)], "root", NEW_YEAR).unwrap(), [2, 0]);
    assert_eq!(store.counter(), 2);
    assert_eq!(store.change(&[remove(scan())], "root", NEW_YEAR).unwrap(), [3]);
    assert_eq!(found(&open(&root, Some(3)).1), ["Jobs/scan 3 -", "Plugins/Bridge 1 B"]);
    let mut store = open(&root, None).0;
    // Of one that is named twice the last document counts.
    assert_eq!(store.change(&[put(scan(), "four"), put(scan(), "five")], "root", NEW_YEAR).unwrap(), [4, 4]);
    assert_eq!(found(&open(&root, None).1), ["Jobs/scan 4 five", "Plugins/Bridge 1 B"]);
    assert_eq!(store.take_notices(), Vec::<String>::new());
}

#[test]
fn nothing_is_made_before_the_first_change_which_counts_without_items_too() {
    let (_folder, root) = root();
    let (mut store, _) = open(&root, None);
    assert!(store.check().doubt.is_none());
    assert_eq!(names(&root.path().join("state/lkg")), Vec::<String>::new());
    assert_eq!(names(&root.path().join("state/keys")), Vec::<String>::new());
    store.change(&[], "agent", NEW_YEAR).unwrap();
    let (store, references) = open(&root, None);
    assert!(matches!(references, References::Kept { counter: 1, ref items, .. } if items.is_empty()), "{references:?}");
    assert_eq!(store.key_id().unwrap().len(), 16);
}

#[test]
fn the_history_names_writers_and_times_and_ends_after_twenty_versions() {
    let (_folder, root) = kept();
    let (mut store, _) = open(&root, None);
    let history = store.history(&scan()).unwrap();
    let lines: Vec<_> = history.iter().map(|one| (one.version, one.writer.as_str(), one.time.as_str())).collect();
    assert_eq!(lines, [(2, "admin:ada", "2026-01-02T00:00:00.000Z"), (1, "root", "2026-01-01T00:00:00.000Z")]);
    assert_eq!(history[1].bytes, Some(3));
    let sha256_of_one = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    assert_eq!(history[1].sha256.as_deref(), Some(sha256_of_one));
    assert_eq!(store.version(&scan(), 1).unwrap().as_deref(), Some(b"one".as_slice()));
    for number in 3..=REFERENCE_VERSIONS + 4 {
        store.change(&[put(scan(), &format!("v{number}"))], "root", NEW_YEAR).unwrap();
    }
    store.change(&[remove(scan())], "root", NEW_YEAR).unwrap();
    let history = store.history(&scan()).unwrap();
    assert_eq!(history.len(), REFERENCE_VERSIONS);
    assert_eq!((history[0].version, history[0].bytes, history[REFERENCE_VERSIONS - 1].version), (25, None, 6));
    assert_eq!(store.version(&scan(), 5).unwrap(), None);
    assert!(store.history(&Item::new(DefinitionKind::Job, "x")).unwrap_err().contains("Jobs/x has no reference"));
    assert_eq!(names(&root.path().join("state/lkg")).len(), 1 + REFERENCE_VERSIONS + 1);
    assert_eq!(store.take_notices(), Vec::<String>::new());
}

/// After `harm`, `scan` is out of service with these words, at the next start and in a running store, and the plugin is not; what is
/// blessed then is a new version.
fn out_of_service(words: &str, harm: impl Fn(&Root)) {
    let (_folder, root) = kept();
    let (mut running, _) = open(&root, Some(2));
    assert!(running.check().changed.is_empty());
    harm(&root);
    let changed = running.check().changed;
    assert!(shown(&changed).len() == 1 && shown(&changed)[0].contains(words), "{:?}", shown(&changed));
    assert!(running.check().changed.is_empty(), "told once");
    let (mut store, references) = open(&root, Some(2));
    let items = found(&references);
    assert!(items[0].starts_with("Jobs/scan 2 ! state/lkg/Jobs.scan.2."), "{items:?}");
    assert!(items[0].contains(words) && items[0].contains("castellan lkg accept Jobs/scan"), "{items:?}");
    assert_eq!(items[1], "Plugins/Bridge 1 B");
    assert_eq!(store.change(&[put(scan(), "two")], "root", NEW_YEAR).unwrap(), [3]);
    assert_eq!(found(&open(&root, Some(3)).1)[0], "Jobs/scan 3 two");
}

fn change_bytes(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_reference_that_was_touched_puts_its_item_out_of_service() {
    let scan_2 = |root: &Root| file(root, "Jobs.scan.2.");
    for place in [20, 40, 60] {
        out_of_service("was changed and does not open", |root| {
            change_bytes(&scan_2(root), |bytes| bytes[place] ^= 0x10);
        });
    }
    out_of_service("is no sealed file", |root| change_bytes(&scan_2(root), |bytes| bytes[7] ^= 1));
    out_of_service("is sealed with another key", |root| change_bytes(&scan_2(root), |bytes| bytes[9] ^= 1));
    out_of_service("is cut off", |root| fs::write(scan_2(root), "").unwrap());
    out_of_service("not the one that the manifest names", |root| {
        change_bytes(&scan_2(root), |bytes| bytes.truncate(36))
    });
    out_of_service("is gone", |root| fs::remove_file(scan_2(root)).unwrap());
    out_of_service("another file stands in its place", |root| {
        fs::copy(file(root, "Jobs.scan.1."), scan_2(root)).unwrap();
    });
    out_of_service("another file stands in its place", |root| {
        fs::copy(file(root, "Plugins.Bridge.1."), scan_2(root)).unwrap();
    });
}

#[test]
fn a_former_version_is_itself_or_none() {
    let (_folder, root) = kept();
    let (mut store, _) = open(&root, None);
    let former = file(&root, "Jobs.scan.1.");
    let sealed = fs::read(&former).unwrap();
    for other in ["Jobs.scan.2.", "Plugins.Bridge.1."] {
        fs::copy(file(&root, other), &former).unwrap();
        let why = store.version(&scan(), 1).unwrap_err();
        assert!(why.contains("was changed and does not open"), "{why}");
        let versions: Vec<u64> = store.history(&scan()).unwrap().iter().map(|one| one.version).collect();
        assert_eq!((versions, store.take_notices()), (vec![2], vec![why]));
    }
    fs::write(&former, sealed).unwrap();
    assert_eq!(store.version(&scan(), 1).unwrap().as_deref(), Some(b"one".as_slice()));
}

#[test]
fn swapped_references_put_both_items_out_of_service_and_back_where_they_belong_they_count_again() {
    let (_folder, root) = kept();
    let (mut running, _) = open(&root, None);
    let (one, other) = (file(&root, "Jobs.scan.2."), file(&root, "Plugins.Bridge.1."));
    let aside = root.path().join("aside");
    let swap = || {
        fs::rename(&one, &aside).unwrap();
        fs::rename(&other, &one).unwrap();
        fs::rename(&aside, &other).unwrap();
    };
    swap();
    let changed = running.check().changed;
    assert!(changed.len() == 2 && changed.iter().all(|reference| reference.content.is_err()), "{changed:?}");
    swap();
    assert_eq!(shown(&running.check().changed), ["Jobs/scan 2 two", "Plugins/Bridge 1 B"]);
}

#[test]
fn an_older_manifest_is_a_rollback_while_the_agent_runs_and_while_it_does_not() {
    let (_folder, root) = root();
    let mut store = open(&root, None).0;
    store.change(&[put(scan(), "one")], "root", NEW_YEAR).unwrap();
    let older = fs::read(manifest(&root)).unwrap();
    store.change(&[put(scan(), "two")], "root", NEW_YEAR).unwrap();
    assert!(store.check().doubt.is_none());
    let newest = fs::read(manifest(&root)).unwrap();
    fs::write(manifest(&root), older).unwrap();
    let doubt = store.check().doubt.unwrap();
    assert!(doubt.contains("has counter 1, and should have 2"), "{doubt}");
    let refused = store.change(&[put(scan(), "three")], "root", NEW_YEAR).unwrap_err();
    assert_eq!(refused.reason, doubt);
    // The newer version, which the older manifest does not name, is still there for the one that is put back.
    fs::write(manifest(&root), newest).unwrap();
    assert!(store.check().doubt.is_none());
    assert_eq!(store.change(&[put(scan(), "three")], "root", NEW_YEAR).unwrap(), [3]);
}

#[test]
fn a_store_that_was_put_back_while_the_agent_did_not_run_is_older_than_the_history_knows() {
    let (_folder, root) = kept();
    let history = History::open(&root).unwrap();
    assert_eq!(history.anchor().unwrap(), None);
    history.note_anchor(2).unwrap();
    history.note_anchor(3).unwrap();
    drop(history);
    let anchor = History::open(&root).unwrap().anchor().unwrap();
    assert_eq!(anchor, Some(3));
    let why = unusable(&root, anchor);
    assert!(why.contains("has counter 2, and the history knows of 3"), "{why}");
    // And all of it taken away.
    for name in names(&root.path().join("state/lkg")) {
        fs::remove_file(root.path().join("state/lkg").join(name)).unwrap();
    }
    fs::remove_file(key(&root)).unwrap();
    let why = unusable(&root, anchor);
    assert!(why.contains("state/lkg/manifest is gone") && why.contains("changed 3 times"), "{why}");
    assert!(!key(&root).exists());
}

#[test]
fn a_manifest_that_is_gone_or_was_touched_makes_the_store_unusable_and_nothing_is_wiped() {
    for (words, harm) in [
        ("is gone, though references were kept: 3 of their files", None),
        ("is cut off", Some(0)),
        ("was changed and does not open", Some(36)),
    ] {
        let (_folder, root) = kept();
        match harm {
            None => fs::remove_file(manifest(&root)).unwrap(),
            Some(length) => change_bytes(&manifest(&root), |bytes| bytes.truncate(length)),
        }
        let before = names(&root.path().join("state/lkg"));
        let why = unusable(&root, None);
        assert!(why.contains(words) && why.contains("castellan lkg rekey"), "{why}");
        assert_eq!(names(&root.path().join("state/lkg")), before);
    }
}

#[test]
fn a_missing_key_is_never_made_anew_and_rekey_begins_anew() {
    let (_folder, root) = kept();
    fs::remove_file(key(&root)).unwrap();
    let why = unusable(&root, Some(2));
    assert!(why.starts_with("the key of the references is missing") && why.contains("state/keys/lkg.key"), "{why}");
    assert!(!key(&root).exists() && names(&root.path().join("state/lkg")).len() == 4);
    fs::write(key(&root), [7; 32]).unwrap();
    set_mode(&key(&root), 0o600);
    assert!(unusable(&root, None).starts_with("the key of the references is not the one"));
    let (mut store, _) = open(&root, Some(2));
    assert_eq!(store.rekey().unwrap(), 0);
    assert!(store.counter() > 2 && store.check().doubt.is_none());
    assert_eq!(store.change(&[put(scan(), "new")], "root", NEW_YEAR).unwrap(), [1]);
    assert_eq!(found(&open(&root, Some(4)).1), ["Jobs/scan 1 new"]);
    assert_eq!(names(&root.path().join("state/keys")), ["lkg.key"]);
}

#[test]
fn a_key_that_goes_missing_while_the_agent_runs_stops_writes_and_a_new_one_saves_everything() {
    let (_folder, root) = kept();
    for harm in [|path: &Path| fs::remove_file(path).unwrap(), |path: &Path| change_bytes(path, |bytes| bytes[0] ^= 1)]
    {
        let (mut store, _) = open(&root, None);
        harm(&key(&root));
        let refused = store.change(&[put(scan(), "lost")], "root", days_later(2)).unwrap_err();
        assert!(refused.reason.contains("lkg.key") && refused.reason.contains("castellan lkg rekey"), "{refused:?}");
        assert_eq!(store.check().doubt, Some(refused.reason));
        store.rekey().unwrap();
        assert_eq!(store.check().doubt, None);
    }
    let (mut store, _) = open(&root, None);
    assert_eq!(store.change(&[put(scan(), "three")], "root", days_later(3)).unwrap(), [3]);
    drop(store);
    let (_, found) = open(&root, None);
    let References::Kept { items, .. } = found else { panic!("{found:?}") };
    assert_eq!(shown(&items), ["Jobs/scan 3 three", "Plugins/Bridge 1 B"]);
}

#[test]
fn a_key_that_others_may_read_or_that_is_none_is_refused_with_what_to_do() {
    let (_folder, root) = kept();
    let refused = || ReferenceStore::open_with(&root, None, None).unwrap_err();
    set_mode(&key(&root), 0o644);
    let error = refused();
    assert!(matches!(error, RootError::Unsafe { .. }) && error.to_string().contains("chmod 600"), "{error}");
    set_mode(&key(&root), 0o600);
    let bytes = fs::read(key(&root)).unwrap();
    fs::write(key(&root), &bytes[..31]).unwrap();
    let error = refused().to_string();
    assert!(error.contains("has 31 bytes") && error.contains("castellan lkg rekey"), "{error}");
    fs::write(key(&root), &bytes).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(key(&root), Some(65534), None).unwrap();
        let error = refused().to_string();
        assert!(error.contains("belongs to user 65534"), "{error}");
    } else {
        eprintln!("SKIPPED a key of another user: only root can make one");
    }
}

#[test]
fn neither_keys_nor_documents_are_shown() {
    let (_folder, root) = kept();
    let bytes = fs::read(key(&root)).unwrap();
    let (store, references) = open(&root, None);
    let shown = format!("{store:?}");
    assert!(shown.contains(&store.key_id().unwrap()), "{shown}");
    assert!(!shown.contains(&format!("{:?}", &bytes[..4]).replace(['[', ']'], "")), "{shown}");
    let sealed = fs::read(file(&root, "Jobs.scan.2.")).unwrap();
    assert!(!sealed.windows(3).any(|window| window == b"two" || window == b"ada"));
    drop(references);
}

#[test]
fn a_new_key_seals_all_versions_again_and_the_old_one_opens_nothing_any_more() {
    let (_folder, root) = kept();
    let (mut store, _) = open(&root, None);
    let (old_key, old_manifest) = (fs::read(key(&root)).unwrap(), fs::read(manifest(&root)).unwrap());
    let old_id = store.key_id();
    assert_eq!(store.rekey().unwrap(), 3);
    assert_ne!(store.key_id(), old_id);
    assert_eq!(names(&root.path().join("state/keys")), ["lkg.key"]);
    assert_eq!(names(&root.path().join("state/lkg")).len(), 4);
    assert_eq!(store.take_notices(), Vec::<String>::new());
    let (mut store, references) = open(&root, Some(3));
    assert_eq!(found(&references), ["Jobs/scan 2 two", "Plugins/Bridge 1 B"]);
    assert_eq!(store.version(&scan(), 1).unwrap().as_deref(), Some(b"one".as_slice()));
    fs::write(manifest(&root), old_manifest).unwrap();
    assert!(unusable(&root, None).contains("is not the one"));
    assert_ne!(fs::read(key(&root)).unwrap(), old_key);
}

#[test]
fn a_reference_that_was_mended_before_a_new_key_came_counts_again() {
    let (_folder, root) = kept();
    let one = file(&root, "Jobs.scan.2.");
    let sealed = fs::read(&one).unwrap();
    fs::write(&one, b"x").unwrap();
    let (mut store, _) = open(&root, None);
    fs::write(&one, sealed).unwrap();
    store.rekey().unwrap();
    assert_eq!(shown(&store.check().changed), ["Jobs/scan 2 two"]);
}

#[test]
fn the_credential_is_the_key_where_systemd_gives_one_and_rekey_moves_to_it() {
    let (_folder, root) = kept();
    let credentials = tempfile::tempdir().unwrap();
    fs::write(credentials.path().join("lkg.key"), [9; 32]).unwrap();
    set_mode(&credentials.path().join("lkg.key"), 0o440);
    let open = || ReferenceStore::open_with(&root, Some(credentials.path().to_owned()), None).unwrap();
    let (mut store, references) = open();
    assert_eq!(found(&references)[0], "Jobs/scan 2 two");
    assert_eq!(store.rekey().unwrap(), 3);
    assert!(!key(&root).exists());
    let (mut store, references) = open();
    assert_eq!(found(&references)[0], "Jobs/scan 2 two");
    // And back, for the credential to be replaced.
    assert_eq!(store.rekey().unwrap(), 3);
    assert!(key(&root).exists());
    let (_folder, fresh) = super::support::root();
    let (mut store, _) = ReferenceStore::open_with(&fresh, Some(credentials.path().to_owned()), None).unwrap();
    store.change(&[], "agent", NEW_YEAR).unwrap();
    assert!(!key(&fresh).exists());
}

#[test]
fn a_key_whose_references_are_all_gone_is_told_of_and_systemds_is_not() {
    let (_folder, root) = kept();
    let lone = |root: &Root, credentials: Option<&Path>| {
        let (_, found) = ReferenceStore::open_with(root, credentials.map(Path::to_owned), None).unwrap();
        if let References::First { lone_key } = found { lone_key } else { panic!("{found:?}") }
    };
    for name in names(&root.path().join("state/lkg")) {
        fs::remove_file(root.path().join("state/lkg").join(name)).unwrap();
    }
    assert!(lone(&root, None));
    let credentials = tempfile::tempdir().unwrap();
    fs::rename(key(&root), credentials.path().join("lkg.key")).unwrap();
    assert!(!lone(&root, Some(credentials.path())) && !lone(&root, None));
}

#[test]
fn being_off_is_remembered_until_it_is_over() {
    let was_off = |root: &Root| match open(root, None).1 {
        References::Kept { was_off, .. } => was_off,
        other => panic!("{other:?}"),
    };
    let (_folder, root) = kept();
    assert!(!was_off(&root));
    open(&root, None).0.note_off(true).unwrap();
    assert!(was_off(&root));
    open(&root, None).0.change(&[put(scan(), "three")], "root", NEW_YEAR).unwrap();
    assert!(was_off(&root), "a change of one item says nothing of the others");
    open(&root, None).0.note_off(false).unwrap();
    assert!(!was_off(&root));
    let (_folder, fresh) = super::support::root();
    open(&fresh, None).0.note_off(true).unwrap();
    assert_eq!(names(&fresh.path().join("state/lkg")), Vec::<String>::new());
}

#[test]
fn what_a_crash_left_in_the_folder_is_removed_and_what_cannot_be_is_named() {
    let (_folder, root) = kept();
    let folder = root.path().join("state/lkg");
    let stray = file(&root, "Jobs.scan.2.").to_str().unwrap().replace("scan.2", "scan.3");
    fs::copy(file(&root, "Jobs.scan.2."), stray).unwrap();
    fs::write(folder.join(".manifest.new"), "half").unwrap();
    fs::write(root.path().join("state/keys/.lkg.key.new"), "half").unwrap();
    fs::create_dir(folder.join("odd")).unwrap();
    let (mut store, _) = open(&root, None);
    assert_eq!(names(&folder).len(), 5, "{:?}", names(&folder));
    assert_eq!(names(&root.path().join("state/keys")), ["lkg.key"]);
    let notices = store.take_notices();
    assert!(notices.len() == 1 && notices[0].contains("cannot remove") && notices[0].contains("odd"), "{notices:?}");
    assert!(store.check().doubt.is_none());
    assert_eq!(store.take_notices(), Vec::<String>::new(), "told once");
    assert_eq!(store.change(&[put(scan(), "three")], "root", NEW_YEAR).unwrap(), [3]);
    assert_eq!(found(&open(&root, None).1)[0], "Jobs/scan 3 three");
}

#[test]
fn a_blessed_write_changes_references_and_files_of_many_items_as_one() {
    let (_folder, root) = root();
    let (mut store, _) = open(&root, None);
    let mut changes: Vec<DefinitionChange> =
        (0..40).map(|number| put(Item::new(DefinitionKind::Job, format!("j{number}")), "{}")).collect();
    changes.push(put(bridge(), "B"));
    let changed = lkg::change(&root, Some(&mut store), None, "Plugins", &changes, "root", NEW_YEAR).unwrap();
    assert_eq!((changed.versions, changed.unwritten.len()), (vec![1; 41], 0));
    assert_eq!(names(&root.path().join("Jobs")).len(), 41);
    assert_eq!(fs::read(root.path().join("Plugins/Bridge.json")).unwrap(), b"B");
    assert_eq!(mode(&root.path().join("Jobs/j7.json")), 0o644);
    let changes = [remove(bridge()), put(Item::new(DefinitionKind::Job, "j1"), "{ }")];
    let changed = lkg::change(&root, Some(&mut store), None, "Plugins", &changes, "root", NEW_YEAR).unwrap();
    assert_eq!((changed.versions, changed.unwritten.len()), (vec![2, 2], 0));
    assert!(!root.path().join("Plugins/Bridge.json").exists());
    // Without references, the files alone.
    let changes = [put(bridge(), "B"), put(bridge(), "C")];
    assert_eq!(lkg::change(&root, None, None, "Plugins", &changes, "root", NEW_YEAR).unwrap().versions, [0, 0]);
    assert_eq!(fs::read(root.path().join("Plugins/Bridge.json")).unwrap(), b"C");
    assert_eq!(names(&root.path().join("Plugins")), ["Bridge.json", "bin"]);
}

#[test]
fn a_file_that_cannot_be_replaced_is_named_and_its_reference_counts() {
    let (_folder, root) = root();
    let (mut store, _) = open(&root, None);
    fs::create_dir_all(root.path().join("Jobs/scan.json/inside")).unwrap();
    let changed =
        lkg::change(&root, Some(&mut store), None, "Plugins", &[put(scan(), "one")], "root", NEW_YEAR).unwrap();
    assert_eq!(changed.versions, [1]);
    assert!(changed.unwritten.len() == 1 && changed.unwritten[0].contains("Jobs/scan.json"), "{changed:?}");
    assert_eq!(found(&open(&root, None).1), ["Jobs/scan 1 one"]);
    assert_eq!(names(&root.path().join("Jobs")), ["bin", "scan.json"]);
    let refused = lkg::change(&root, None, None, "Plugins", &[put(scan(), "two")], "root", NEW_YEAR).unwrap_err();
    assert!(refused.reason.contains("Jobs/scan.json"), "{refused:?}");
    // An id that is a path changes nothing at all.
    let changes = [put(bridge(), "B"), put(Item::new(DefinitionKind::Job, "../x"), "{}")];
    let refused = lkg::change(&root, Some(&mut store), None, "Plugins", &changes, "root", NEW_YEAR).unwrap_err();
    assert!(refused.reason.contains("not a plain name"), "{refused:?}");
    assert_eq!(found(&open(&root, None).1), ["Jobs/scan 1 one"]);
    assert_eq!(names(&root.path().join("Plugins")), ["bin"]);
}
