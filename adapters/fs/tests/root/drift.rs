//! Files that are not as blessed: found, put right, kept (security.md section 8, L01 to L08, L15, L21).

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use castellan_core::effect::StoreOrder;
use castellan_core::event::{DefinitionKind, Event, StoreReport};
use castellan_core::id::TicketId;
use castellan_core::lkg::{DefinitionChange, Document, Former, Found, Item, LkgNotice, References, Survey};
use castellan_core::time::WallTime;
use castellan_fs::history::History;
use castellan_fs::lkg::Guard;
use castellan_fs::lkg::quarantine::{Moved, Quarantine};
use castellan_fs::lkg::survey::{Surveyor, Where};
use castellan_fs::lkg::watch::{Looks, Watcher};
use castellan_fs::settings::SettingStore;
use castellan_fs::{Root, Store};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::support::{NEW_YEAR, days_later, mode, names, policies, root, set_mode};

const JOB: DefinitionKind = DefinitionKind::Job;
const BLESSED: &[u8] = b"{\"id\":\"scan\"}";
/// Bounds a test that would hang; never a measure.
const PATIENCE: Duration = Duration::from_secs(60);

/// A root with one blessed job.
struct Scene {
    folder: TempDir,
    root: Root,
    surveyor: Surveyor,
    quarantine: Quarantine,
}

impl Scene {
    fn new() -> Self {
        let (folder, root) = root();
        let mut surveyor = Surveyor::new(&root, "Plugins", Arc::default()).unwrap();
        let quarantine = Quarantine::open(&root).unwrap();
        surveyor.bless(&scan(), Some(Document::from(BLESSED)));
        let mut scene = Self { folder, root, surveyor, quarantine };
        scene.restore(&scan()).unwrap();
        scene
    }

    fn path(&self, place: &str) -> PathBuf {
        self.folder.path().join(place)
    }

    fn job(&self) -> PathBuf {
        self.path("Jobs/scan.json")
    }

    fn look(&mut self) -> Survey {
        self.surveyor.look(&Where::Everywhere)
    }

    /// The only difference there is.
    fn found(&mut self) -> (Item, Found) {
        let mut survey = self.look();
        assert_eq!(survey.differences.len(), 1, "{survey:?}");
        let difference = survey.differences.remove(0);
        (difference.item, difference.found)
    }

    fn restore(&mut self, item: &Item) -> Result<Moved, String> {
        self.surveyor.restore(&mut self.quarantine, item, NEW_YEAR)
    }

    #[track_caller]
    fn is_as_blessed(&mut self) {
        let survey = self.look();
        assert!(survey.differences.is_empty() && survey.folders.is_empty() && survey.whole, "{survey:?}");
        assert_eq!(fs::read(self.job()).unwrap(), BLESSED);
        let stat = fs::symlink_metadata(self.job()).unwrap();
        assert_eq!((mode(&self.job()), stat.uid()), (0o644, rustix::process::geteuid().as_raw()));
        assert_eq!(names(&self.path("Jobs")), ["bin", "scan.json"]);
    }
}

fn scan() -> Item {
    Item::new(JOB, "scan")
}

/// Does this to `Jobs/scan.json`: a survey tells it with these words, and restoring makes everything as it was; what stood there.
#[track_caller]
fn check(damage: impl FnOnce(&Path), words: &str) -> (Scene, Option<PathBuf>) {
    let mut scene = Scene::new();
    scene.is_as_blessed();
    damage(&scene.job());
    let (item, found) = scene.found();
    assert_eq!(item, scan());
    assert!(format!("{found:?}").contains(words), "{found:?}");
    let moved = scene.restore(&item).unwrap();
    scene.is_as_blessed();
    let kept = moved.name.map(|name| scene.path("state/quarantine").join(name));
    (scene, kept)
}

#[test]
fn whatever_is_done_to_a_file_is_found_and_put_right() {
    let append = |path: &Path| fs::OpenOptions::new().append(true).open(path).unwrap().write_all(b" ").unwrap();
    let (_scene, kept) = check(append, "Bytes");
    assert_eq!(fs::read(kept.unwrap()).unwrap(), [BLESSED, b" "].concat());
    check(|path| fs::write(path, b"{\"id\":\"scam\"}").unwrap(), "Bytes");
    check(|path| fs::write(path, b"").unwrap(), "Bytes");
    let rename_over = |path: &Path| {
        fs::write(path.with_extension("tmp"), b"{}").unwrap();
        fs::rename(path.with_extension("tmp"), path).unwrap();
    };
    check(rename_over, "Bytes");
    check(|path| fs::write(path, vec![b'x'; (1 << 20) + 1]).unwrap(), "1048577 bytes; at most");
    assert_eq!(check(|path| fs::remove_file(path).unwrap(), "Missing").1, None);
    assert_eq!(check(|path| set_mode(path, 0o666), "mode 0666").1, None);
    assert_eq!(check(|path| set_mode(path, 0o600), "mode 0600").1, None);
    check(|path| replace(path, |path| mknodat(CWD, path, FileType::Fifo, Mode::RUSR, 0).unwrap()), "FIFO");
    check(|path| replace(path, |path| drop(UnixListener::bind(path).unwrap())), "socket");
    if rustix::process::geteuid().is_root() {
        assert_eq!(check(|path| chown(path, Some(65534), None).unwrap(), "owner 65534").1, None);
    } else {
        eprintln!("SKIPPED: a file that another user owns: only root can give one away");
    }
}

fn replace(path: &Path, make: impl FnOnce(&Path)) {
    fs::remove_file(path).unwrap();
    make(path);
}

#[test]
fn victims_of_links_are_untouched_and_what_was_in_a_folder_is_kept() {
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("victim");
    fs::write(&victim, "victim").unwrap();
    set_mode(&victim, 0o640);
    let (_scene, kept) = check(|path| replace(path, |path| symlink(&victim, path).unwrap()), "symbolic link to '/");
    assert_eq!(fs::read_link(kept.unwrap()).unwrap(), victim);
    let (scene, kept) = check(|path| replace(path, |path| fs::hard_link(&victim, path).unwrap()), "2 hard links");
    assert_eq!(fs::read(kept.unwrap()).unwrap(), b"victim");
    drop(scene);
    let (_scene, _) = check(|path| fs::hard_link(path, elsewhere.path().join("second name")).unwrap(), "2 hard links");
    assert_eq!((fs::read(&victim).unwrap().as_slice(), mode(&victim)), (b"victim".as_slice(), 0o640));
    let folder = |path: &Path| {
        fs::create_dir(path).unwrap();
        fs::write(path.join("content"), "kept").unwrap();
    };
    let (_scene, kept) = check(|path| replace(path, folder), "is a directory");
    assert_eq!(fs::read(kept.unwrap().join("content")).unwrap(), b"kept");
}

#[test]
fn files_that_nobody_blessed_are_moved_away_and_other_names_stay() {
    let mut scene = Scene::new();
    for name in [".scan.json.new", "readme.md", "scan.JSON"] {
        fs::write(scene.path("Jobs").join(name), "x").unwrap();
    }
    assert_eq!(scene.look().differences, []);
    let strange = OsStr::from_bytes(b"\xff.json");
    for name in
        [OsStr::new("stray.json"), OsStr::new(".hidden.json"), OsStr::new(".json"), OsStr::new("a_b.json"), strange]
    {
        fs::write(scene.path("Jobs").join(name), "{}").unwrap();
        let (item, found) = scene.found();
        assert!(matches!(found, Found::Bytes { .. }), "{found:?}");
        let moved = scene.restore(&item).unwrap().name.unwrap();
        assert_eq!(fs::read(scene.path("state/quarantine").join(&moved)).unwrap(), b"{}");
        assert_eq!(scene.look().differences, [], "{moved}");
    }
    let stray = Item::new(JOB, "stray");
    let copies: Vec<&str> = scene.quarantine.copies(&stray).collect();
    assert_eq!(copies, ["20260101T000000.000Z-Jobs-stray-000"]);
    assert_eq!(scene.quarantine.copies(&Item::new(JOB, "a_b")).count(), 1);
    assert_eq!(scene.quarantine.copies(&Item::new(DefinitionKind::Plugin, "stray")).count(), 0);
    let listed = scene.quarantine.list();
    assert_eq!(listed.len(), 5);
    let found = listed.iter().find(|entry| entry.item == stray).unwrap();
    assert_eq!((found.time.as_str(), found.bytes), ("2026-01-01T00:00:00.000Z", 2));
    // A removed job that is copied back is one, too.
    fs::copy(scene.job(), scene.path("keep")).unwrap();
    scene.surveyor.bless(&scan(), None);
    assert!(scene.restore(&scan()).unwrap().name.is_some());
    fs::copy(scene.path("keep"), scene.job()).unwrap();
    assert_eq!(scene.found().0, scan());
}

#[test]
fn a_directory_that_was_put_aside_is_told_once_and_an_empty_one_goes() {
    let mut scene = Scene::new();
    let draft = scene.path("Jobs/.scan.json.new");
    for inside in [None, Some("inside")] {
        fs::create_dir(&draft).unwrap();
        if let Some(name) = inside {
            fs::write(draft.join(name), "x").unwrap();
        }
        fs::remove_file(scene.job()).unwrap();
        scene.restore(&scan()).unwrap();
    }
    let aside = names(&scene.path("Jobs")).into_iter().filter(|name| name.starts_with(".scan.json.new"));
    let aside: Vec<PathBuf> = aside.map(|name| scene.path("Jobs").join(name)).collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
    fs::write(scene.path("Jobs/.scan.json.new.txt"), "no directory of ours").unwrap();
    assert_eq!((scene.look().differences, scene.look().differences), (vec![], vec![]));
    let told = scene.surveyor.take_notices();
    assert!(told.len() == 1 && told[0].starts_with(&aside[0].display().to_string()), "{told:?}");
    assert!(told[0].contains("was put aside") && told[0].contains("delete it"), "{told:?}");
    scene.look();
    assert_eq!(scene.surveyor.take_notices(), Vec::<String>::new());
}

#[test]
fn what_could_be_accepted_is_what_stands_there_or_else_what_was_restored_last() {
    let mut scene = Scene::new();
    let candidate = |scene: &mut Scene, former: Option<Former>| {
        let found = scene.surveyor.candidate(&scene.quarantine, &scan(), former.as_ref()).unwrap();
        found.map(|(document, from)| (document.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()), from))
    };
    let is = |document: &str, from: &str| Some((Some(document.to_owned()), from.to_owned()));
    let deleted = Some((None, String::from("Jobs/scan.json (deleted)")));
    assert_eq!(candidate(&mut scene, None), None);
    fs::write(scene.job(), "{\"new\":1}").unwrap();
    let copy = |scene: &mut Scene| Former::Copy(scene.restore(&scan()).unwrap().name.unwrap());
    assert_eq!(candidate(&mut scene, Some(Former::Nothing)), is("{\"new\":1}", "Jobs/scan.json"));
    let first = copy(&mut scene);
    fs::write(scene.job(), "{\"new\":2}").unwrap();
    copy(&mut scene);
    let from = "state/quarantine/20260101T000000.000Z-Jobs-scan-000";
    assert_eq!(candidate(&mut scene, Some(first.clone())), is("{\"new\":1}", from));
    assert_eq!(candidate(&mut scene, None), None, "of old copies nobody says which one is meant");
    let newest = is("{\"new\":2}", &from.replace("-000", "-001"));
    assert_eq!(candidate(&mut scene, Some(Former::NewestCopy)), newest);
    fs::remove_file(scene.job()).unwrap();
    assert_eq!(candidate(&mut scene, Some(first)), deleted);
    scene.restore(&scan()).unwrap();
    assert_eq!(candidate(&mut scene, Some(Former::Nothing)), deleted);
    fs::remove_dir_all(scene.path("Jobs")).unwrap();
    assert_eq!(candidate(&mut scene, None), deleted);
}

#[test]
fn a_folder_that_is_not_the_agents_is_told_and_not_written_through() {
    let check = |put: &dyn Fn(&Path)| {
        let mut scene = Scene::new();
        let (jobs, kept) = (scene.path("Jobs"), scene.path("Jobs.kept"));
        fs::rename(&jobs, &kept).unwrap();
        put(&jobs);
        let survey = scene.look();
        assert_eq!((survey.differences.len(), survey.folders.len()), (0, 1), "{survey:?}");
        let refused = scene.restore(&scan()).unwrap_err();
        assert!(refused.contains("Jobs"), "{refused}");
        assert!(scene.restore(&Item::new(JOB, "stray")).is_err());
        let other = fs::canonicalize(&jobs).unwrap();
        assert_eq!(names(&other), ["stray.json"]);
        assert_eq!(fs::read(other.join("stray.json")).unwrap(), b"{}");
        // Once its own folder is back everything goes on.
        fs::rename(&jobs, scene.path("other")).unwrap();
        fs::rename(&kept, &jobs).unwrap();
        scene.is_as_blessed();
    };
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("stray.json"), "{}").unwrap();
    check(&|jobs| symlink(elsewhere.path(), jobs).unwrap());
    check(&|jobs| {
        fs::create_dir(jobs).unwrap();
        fs::write(jobs.join("stray.json"), "{}").unwrap();
    });
}

#[test]
fn a_deleted_folder_comes_back_with_its_files() {
    let mut scene = Scene::new();
    fs::remove_dir_all(scene.path("Jobs")).unwrap();
    let (item, found) = scene.found();
    assert_eq!((item, found), (scan(), Found::Missing));
    scene.restore(&scan()).unwrap();
    assert_eq!(fs::read(scene.job()).unwrap(), BLESSED);
    assert_eq!(scene.look().differences, []);
}

#[test]
fn the_quarantine_is_bounded_by_count_and_bytes_and_never_leaves_itself() {
    let mut scene = Scene::new();
    let stray = Item::new(JOB, "stray");
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("victim"), "victim").unwrap();
    let mut deleted = 0;
    for index in 0..1003 {
        let path = scene.path("Jobs/stray.json");
        if index == 0 {
            fs::create_dir_all(path.join("deeper")).unwrap();
            fs::write(path.join("deeper/file"), "x").unwrap();
            symlink(elsewhere.path(), path.join("deeper/link")).unwrap();
        } else {
            fs::write(path, "{}").unwrap();
        }
        let at = WallTime::from_millis(NEW_YEAR.as_millis() + index);
        let moved = scene.surveyor.restore(&mut scene.quarantine, &stray, at).unwrap();
        assert_eq!(moved.note, None);
        deleted += moved.deleted;
    }
    assert_eq!((scene.quarantine.copies(&stray).count(), deleted), (1000, 3));
    assert_eq!(names(&scene.path("state/quarantine")).len(), 1000);
    assert_eq!(names(elsewhere.path()), ["victim"]);
    for _ in 0..2 {
        fs::File::create(scene.path("Jobs/stray.json")).unwrap().set_len(200 << 20).unwrap();
        scene.surveyor.restore(&mut scene.quarantine, &stray, days_later(1)).unwrap();
    }
    let listed = scene.quarantine.list();
    assert_eq!(listed.iter().map(|entry| entry.bytes).collect::<Vec<_>>(), [200 << 20]);
    let again = Quarantine::open(&scene.root).unwrap();
    assert_eq!(again.list(), listed);
}

#[test]
fn a_survey_is_bounded_whatever_stands_there() {
    let mut scene = Scene::new();
    for index in 0..1010 {
        fs::write(scene.path(&format!("Jobs/s{index}.json")), "{}").unwrap();
    }
    let survey = scene.look();
    assert_eq!((survey.differences.len(), survey.left_out), (1000, 10));
    for index in 0..10 {
        let item = Item::new(DefinitionKind::Plugin, format!("p{index}"));
        scene.surveyor.bless(&item, Some(Document::from(BLESSED)));
        fs::write(scene.path(&format!("Plugins/p{index}.json")), vec![b'x'; 1 << 20]).unwrap();
    }
    let survey = scene.look();
    let of_plugins = survey.differences.iter().filter(|difference| difference.item.kind == DefinitionKind::Plugin);
    let whole = of_plugins.clone().filter(|difference| matches!(difference.found, Found::Bytes { .. })).count();
    assert_eq!((of_plugins.count(), whole), (10, 7));
    let brought = |survey: &Survey| survey.differences.iter().map(|one| length(&one.found)).sum::<usize>();
    let (first, again) = (brought(&survey), scene.look());
    assert!(first + brought(&again) <= 8 << 20, "the first one is not judged yet");
    assert_eq!(again.differences.len(), survey.differences.len(), "what has no room is told nevertheless");
    drop((survey, again));
    assert_eq!(brought(&scene.look()), first);
}

fn length(found: &Found) -> usize {
    match found {
        Found::Bytes { content, .. } => content.len(),
        Found::Missing | Found::Rights { .. } | Found::Other { .. } => 0,
    }
}

/// What the store of an agent with this folder of plugins tells before it was asked anything but one thing.
fn noticed(root: &Root, plugin_path: &str) -> Vec<LkgNotice> {
    let history = History::open(root).unwrap();
    let (guard, _) = Guard::open(root, plugin_path, true, &history).unwrap();
    let (sender, events) = smol::channel::unbounded();
    let store = Store::start(guard, history, SettingStore::open(root).unwrap(), policies(), sender).unwrap();
    let (ticket, item) = (TicketId(1), Item::new(DefinitionKind::Plugin, "Bridge"));
    let changes = vec![DefinitionChange { item, document: Some(BLESSED.into()) }];
    store.order(StoreOrder::ChangeDefinitions { ticket, changes, writer: "root".into(), at: NEW_YEAR }).unwrap();
    store.close().unwrap();
    let told = std::iter::from_fn(|| events.try_recv().ok());
    let notice = |event| if let Event::Store(StoreReport::LkgNoticed(notice)) = event { Some(notice) } else { None };
    told.filter_map(notice).collect()
}

#[test]
fn another_folder_of_plugins_is_told_once() {
    let (folder, root) = root();
    fs::create_dir(folder.path().join("Other")).unwrap();
    assert_eq!((noticed(&root, "Plugins"), noticed(&root, "Plugins")), (vec![], vec![]));
    let (before, now) = (String::from("Plugins"), String::from("Other"));
    assert_eq!(noticed(&root, "Other"), [LkgNotice::PluginFolder { before, now }]);
    assert_eq!(noticed(&root, "Other"), []);
}

#[test]
fn after_a_new_key_over_lost_references_the_next_start_holds_every_file_too() {
    let (folder, root) = root();
    noticed(&root, "Plugins");
    fs::remove_file(folder.path().join("state/keys/lkg.key")).unwrap();
    let history = History::open(&root).unwrap();
    let (guard, lost) = Guard::open(&root, "Plugins", true, &history).unwrap();
    assert!(matches!(lost, References::Unusable(_)), "{lost:?}");
    let (sender, events) = smol::channel::unbounded();
    let store = Store::start(guard, history, SettingStore::open(&root).unwrap(), policies(), sender).unwrap();
    store.order(StoreOrder::Rekey { ticket: TicketId(1) }).unwrap();
    let mut told = std::iter::from_fn(|| events.recv_blocking().ok());
    let key = told.find_map(|event| match event {
        Event::Store(StoreReport::Rekeyed { result, .. }) => Some(result.unwrap()),
        _ => None,
    });
    store.close().unwrap();
    let history = History::open(&root).unwrap();
    let (_, found) = Guard::open(&root, "Plugins", true, &history).unwrap();
    let References::Kept { counter, key_id, items, was_off } = found else { panic!("{found:?}") };
    assert_eq!((Some(key_id), items, was_off), (key, vec![], true));
    assert_eq!(history.anchor().unwrap(), Some(counter), "an older state is known as such");
}

#[test]
fn an_edit_before_the_first_adoption_is_drift_and_no_file_is_written_over_it() {
    let (folder, root) = root();
    let place = |name: &str| folder.path().join("Jobs").join(name);
    for name in ["kept.json", "edited.json", "removed.json"] {
        fs::write(place(name), BLESSED).unwrap();
        set_mode(&place(name), 0o600);
    }
    let history = History::open(&root).unwrap();
    let (mut guard, _) = Guard::open(&root, "Plugins", true, &history).unwrap();
    let changes: Vec<DefinitionChange> = guard
        .read_at_start()
        .into_iter()
        .map(|file| DefinitionChange { item: Item::new(JOB, file.stem), document: Some(file.content.unwrap()) })
        .collect();
    assert_eq!(changes.len(), 3);
    fs::write(place("edited.json"), "{}").unwrap();
    fs::remove_file(place("removed.json")).unwrap();
    let (sender, events) = smol::channel::unbounded();
    let store = Store::start(guard, history, SettingStore::open(&root).unwrap(), policies(), sender).unwrap();
    let (ticket, writer) = (TicketId(1), String::from("agent"));
    store.order(StoreOrder::ChangeDefinitions { ticket, changes, writer, at: NEW_YEAR }).unwrap();
    store.order(StoreOrder::Survey { ticket: TicketId(2), thorough: false }).unwrap();
    let mut told = std::iter::from_fn(|| events.recv_blocking().ok());
    let survey = told.find_map(|event| match event {
        Event::Store(StoreReport::Surveyed { ticket: Some(_), survey, .. }) => Some(survey),
        _ => None,
    });
    store.close().unwrap();
    let differences = survey.unwrap().differences;
    let found: Vec<String> = differences.iter().map(|one| format!("{} {}", one.item, length(&one.found))).collect();
    assert_eq!(found, ["Jobs/edited 2", "Jobs/removed 0"], "{differences:?}");
    assert_eq!(fs::read(place("edited.json")).unwrap(), b"{}");
    assert_eq!((mode(&place("kept.json")), names(&folder.path().join("Jobs")).len()), (0o644, 3));
}

#[test]
fn where_it_is_off_an_edit_before_the_folders_are_watched_is_noticed() {
    let (folder, root) = root();
    let history = History::open(&root).unwrap();
    let (mut guard, _) = Guard::open(&root, "Plugins", false, &history).unwrap();
    assert_eq!(guard.read_at_start().len(), 0);
    fs::write(folder.path().join("Jobs/scan.json"), BLESSED).unwrap();
    let (sender, events) = smol::channel::unbounded();
    let store = Store::start(guard, history, SettingStore::open(&root).unwrap(), policies(), sender).unwrap();
    let told = events.recv_blocking().unwrap();
    assert!(matches!(told, Event::Store(StoreReport::DefinitionsTouched)), "{told:?}");
    store.close().unwrap();
}

/// A watcher whose store is the test.
fn watch(root: &Root) -> (Watcher, Arc<Looks>, Receiver<()>) {
    let looks = Arc::new(Looks::default());
    let (tell, told) = channel();
    let watcher = Watcher::start(root, "Plugins", Arc::clone(&looks), move || tell.send(()).is_ok()).unwrap();
    (watcher, looks, told)
}

/// What the watcher wants looked at, until it wants this.
#[track_caller]
fn wanted(looks: &Looks, told: &Receiver<()>, wanted: &Where) {
    loop {
        told.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("waited in vain for {wanted:?}: {error}"));
        if looks.take() == *wanted {
            return;
        }
    }
}

fn at(name: &str) -> Where {
    Where::At(BTreeSet::from([(JOB, name.into())]))
}

#[test]
fn the_watcher_names_what_changed() {
    let (folder, root) = root();
    let (_watcher, looks, told) = watch(&root);
    wanted(&looks, &told, &Where::Everywhere);
    let job = folder.path().join("Jobs/scan.json");
    fs::write(&job, "{}").unwrap();
    wanted(&looks, &told, &at("scan.json"));
    set_mode(&job, 0o600);
    wanted(&looks, &told, &at("scan.json"));
    fs::rename(&job, folder.path().join("Jobs/other.json")).unwrap();
    wanted(&looks, &told, &Where::At(BTreeSet::from([(JOB, "other.json".into()), (JOB, "scan.json".into())])));
    fs::remove_file(folder.path().join("Jobs/other.json")).unwrap();
    wanted(&looks, &told, &at("other.json"));
    fs::write(folder.path().join("Jobs/.scan.json.new"), "{}").unwrap();
    fs::write(folder.path().join("Plugins/P.json"), "{}").unwrap();
    wanted(&looks, &told, &Where::At(BTreeSet::from([(DefinitionKind::Plugin, "P.json".into())])));
    assert_eq!(looks.unwatched(), []);
}

#[test]
fn who_wrote_a_file_is_told_where_the_kernel_tells() {
    let (folder, root) = root();
    let looks = Arc::new(Looks::default());
    let mut surveyor = Surveyor::new(&root, "Plugins", Arc::clone(&looks)).unwrap();
    let (tell, told) = channel();
    let _watcher = Watcher::start(&root, "Plugins", Arc::clone(&looks), move || tell.send(()).is_ok()).unwrap();
    wanted(&looks, &told, &Where::Everywhere);
    let job = folder.path().join("Jobs/scan.json");
    // The shell lives until its input ends, so it can be looked at.
    let mut shell = Command::new("sh");
    shell.arg("-c").arg("echo '{}' > \"$0\"; read -r _").arg(&job).stdin(Stdio::piped());
    let mut shell = shell.spawn().unwrap();
    wanted(&looks, &told, &at("scan.json"));
    let mut survey = surveyor.look(&at("scan.json"));
    if survey
        .differences
        .iter()
        .any(|difference| matches!(&difference.found, Found::Bytes { content, .. } if content.is_empty()))
    {
        // Seen between its creation and its content.
        wanted(&looks, &told, &at("scan.json"));
        survey = surveyor.look(&at("scan.json"));
    }
    let Found::Bytes { trace, .. } = &survey.differences[0].found else { panic!("{survey:?}") };
    assert_eq!(trace.owner, Some(rustix::process::geteuid().as_raw()));
    match &trace.writer {
        Some(writer) => {
            assert!(writer.starts_with(&format!("pid {} (/", shell.id())), "{writer}");
            assert!(writer.ends_with(&format!(", user {})", rustix::process::geteuid().as_raw())), "{writer}");
        }
        None => eprintln!("SKIPPED: who wrote a file: the kernel does not tell (fanotify needs CAP_SYS_ADMIN)"),
    }
    drop(shell.stdin.take());
    shell.wait().unwrap();
}

#[test]
fn the_watcher_finds_its_folder_again() {
    let (folder, root) = root();
    let (_watcher, looks, told) = watch(&root);
    wanted(&looks, &told, &Where::Everywhere);
    let jobs = folder.path().join("Jobs");
    fs::rename(&jobs, folder.path().join("gone")).unwrap();
    wanted(&looks, &told, &Where::Everywhere);
    fs::create_dir(&jobs).unwrap();
    wanted(&looks, &told, &Where::Everywhere);
    fs::write(jobs.join("scan.json"), "{}").unwrap();
    wanted(&looks, &told, &at("scan.json"));
    fs::remove_dir_all(&jobs).unwrap();
    wanted(&looks, &told, &Where::Everywhere);
}

#[test]
fn a_flood_of_events_is_few_looks_and_none_is_lost() {
    let (folder, root) = root();
    let (watcher, looks, told) = watch(&root);
    wanted(&looks, &told, &Where::Everywhere);
    let job = folder.path().join("Jobs/scan.json");
    for index in 0..100_000_u32 {
        // Two names, as the kernel joins equal events by itself.
        let path = if index % 2 == 0 { &job } else { &folder.path().join("Jobs/b.json") };
        fs::File::create(path).unwrap();
    }
    fs::write(folder.path().join("Jobs/last.json"), "{}").unwrap();
    let mut count = 0_u32;
    loop {
        told.recv_timeout(PATIENCE).expect("the last file is told");
        count += 1;
        // A look at everything that was asked for after the last file was written has it.
        match looks.take() {
            Where::At(names) if !names.contains(&(JOB, "last.json".into())) => {}
            Where::At(_) | Where::Everywhere => break,
        }
    }
    assert!(count < 5_000, "{count} looks");
    drop(watcher);
}

#[test]
fn a_store_that_is_full_is_told_again() {
    let (folder, root) = root();
    let looks = Arc::new(Looks::default());
    let full = Arc::new(AtomicBool::new(true));
    let (tell, told) = channel();
    let (refused, refusals) = channel();
    let is_full = Arc::clone(&full);
    let tell = move || {
        let open = !is_full.load(Ordering::SeqCst);
        if open { &tell } else { &refused }.send(()).unwrap_or_default();
        open
    };
    let _watcher = Watcher::start(&root, "Plugins", Arc::clone(&looks), tell).unwrap();
    fs::write(folder.path().join("Jobs/scan.json"), "{}").unwrap();
    refusals.recv_timeout(PATIENCE).unwrap();
    refusals.recv_timeout(PATIENCE).unwrap();
    full.store(false, Ordering::SeqCst);
    told.recv_timeout(PATIENCE).unwrap();
}
