//! The unified storage of plugin settings.

use castellan_core::effect::StoreOrder;
use castellan_core::event::{Event, StoreReport};
use castellan_core::id::TicketId;
use castellan_core::plugin::storage::{SettingChange, StoredSetting};
use castellan_fs::Store;
use castellan_fs::history::History;
use castellan_fs::settings::SettingStore;

use super::support::{NEW_YEAR, guard, mode, policies, root};

fn row(plugin: &str, key: &str, value: Option<&str>) -> StoredSetting {
    StoredSetting {
        plugin: plugin.to_owned(),
        key: key.to_owned(),
        value: value.map(str::to_owned),
        writer: "admin:client".to_owned(),
        time: NEW_YEAR.to_rfc3339(),
        former: value.map(|value| format!("not {value}")),
    }
}

fn keep(plugin: &str, key: &str, value: &str) -> SettingChange {
    SettingChange::Keep(row(plugin, key, Some(value)))
}

#[test]
fn what_was_stored_is_there_after_a_process_that_never_closes() {
    let (folder, root) = root();
    let store = SettingStore::open(&root).unwrap();
    assert_eq!(store.read().unwrap(), []);
    store.write(&[keep("B", "x", "ü\n\u{0}"), keep("A", "y", ""), SettingChange::Keep(row("A", "x", None))]).unwrap();
    let expect = [row("A", "x", None), row("A", "y", Some("")), row("B", "x", Some("ü\n\u{0}"))];
    assert_eq!(SettingStore::open(&root).unwrap().read().unwrap(), expect, "another connection");
    assert_eq!(mode(&folder.path().join("state/settings.db")), 0o600);
    drop(store);
}

#[test]
fn ids_and_keys_have_no_case_and_all_changes_are_made_or_none() {
    let (folder, root) = root();
    let store = SettingStore::open(&root).unwrap();
    store.write(&[keep("Bridge", "Scan.On", "1"), keep("BRIDGE", "scan.ON", "2")]).unwrap();
    assert_eq!(store.read().unwrap(), [row("BRIDGE", "scan.ON", Some("2"))]);
    let forget = |key: &str| SettingChange::Forget { plugin: "bridge".to_owned(), key: key.to_owned() };
    store.write(&[forget("scan.on"), keep("Bridge", "other", "3"), forget("never")]).unwrap();
    assert_eq!(store.read().unwrap(), [row("Bridge", "other", Some("3"))]);

    let path = folder.path().join("state/settings.db");
    let by_hand = rusqlite::Connection::open(&path).unwrap();
    by_hand
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON setting WHEN NEW.key = 'z' BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .unwrap();
    let refused = store.write(&[forget("other"), keep("Bridge", "z", "4")]).unwrap_err();
    assert!(refused.contains("settings.db") && refused.contains("no"), "{refused}");
    assert_eq!(store.read().unwrap(), [row("Bridge", "other", Some("3"))]);
}

#[test]
fn the_store_reports_a_write() {
    let (_folder, root) = root();
    let (sender, events) = smol::channel::unbounded();
    let (history, settings) = (History::open(&root).unwrap(), SettingStore::open(&root).unwrap());
    let store = Store::start(guard(&root, &history), history, settings, policies(), sender).unwrap();
    let changes = vec![keep("Bridge", "a", "1")];
    store.order(StoreOrder::WriteSettings { ticket: TicketId(7), changes }).unwrap();
    let report = events.recv_blocking().unwrap();
    let Event::Store(StoreReport::SettingsWritten { ticket, result }) = report else { panic!("{report:?}") };
    assert_eq!((ticket, result), (TicketId(7), Ok(())));
    assert_eq!(SettingStore::open(&root).unwrap().read().unwrap().len(), 1);
    store.close().unwrap();
}
