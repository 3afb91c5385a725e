//! Policies on disk: what is read with which signature, and what is remembered of those that were applied.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use castellan_core::configuration_policy::{AppliedPolicy, PolicyChange, PolicyKey, PolicyLayer, PolicySigner};
use castellan_core::fleet::KeptBundle;
use castellan_core::trust::signature::SignatureFile;
use castellan_fs::policies::DeliveredPolicies;
use castellan_fs::settings::SettingStore;

use super::support::{NEW_YEAR, policies, root, set_mode};

fn applied(name: &str, layer: Option<PolicyLayer>) -> AppliedPolicy {
    AppliedPolicy {
        key: PolicyKey { name: name.into(), source: "Policies".into() },
        policy_type: "SettingsUpdate".into(),
        sha256: "00".into(),
        time: "2026-01-01T00:00:00Z".into(),
        layer,
        signer: None,
        document: None,
    }
}

#[test]
fn policies_are_read_in_the_order_of_their_names_with_what_stands_beside_them() {
    let (folder, root) = root();
    let place = folder.path().join("Policies");
    let put = |name: &str, text: &str| fs::write(place.join(name), text).unwrap();
    put("b.json", "abc");
    put("b.json.p7s", "12345");
    put("a.json", "{}");
    put("loose.json", "{}");
    set_mode(&place.join("loose.json"), 0o666);
    put("signed.json", "{}");
    symlink("b.json.p7s", place.join("signed.json.p7s")).unwrap();
    put("notes.txt", "not a policy");
    fs::create_dir(place.join("collections")).unwrap();
    let found = policies().read(&root);
    let names: Vec<&str> = found.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "loose", "signed"]);
    assert!(found[2].content.as_ref().unwrap_err().contains("mode 0666"));
    let signature = |index: usize| found[index].content.as_ref().unwrap().signature.as_ref().unwrap().file.clone();
    assert!(matches!(signature(0), SignatureFile::Missing(path) if path.ends_with("Policies/a.json.p7s")));
    assert!(matches!(signature(1), SignatureFile::NotDer(told) if told == "5 bytes"));
    assert!(matches!(signature(3), SignatureFile::Unreadable(why) if why.contains("symbolic link")));
    // The example of FIPS 180-2, B.1.
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(found[1].content.as_ref().unwrap().sha256, sha256);
    set_mode(&place, 0o777);
    let found = policies().read(&root);
    assert_eq!((found.len(), found[0].name.as_str()), (1, "Policies/"));
    assert!(found[0].content.as_ref().unwrap_err().contains("mode 0777"), "{found:?}");
    fs::remove_dir_all(&place).unwrap();
    symlink("Jobs", &place).unwrap();
    assert!(policies().read(&root)[0].content.is_err(), "a link in place of the folder");
}

#[test]
fn what_was_applied_is_remembered() {
    let (_folder, root) = root();
    let layer = PolicyLayer { plugin: "Bridge".into(), values: BTreeMap::from([("a.b".into(), "1".into())]) };
    let signer = Some(PolicySigner { sha1: "1".into(), sha256: "2".into() });
    let (plain, layered) = (applied("a", None), AppliedPolicy { signer, ..applied("b", Some(layer)) });
    let store = SettingStore::open(&root).unwrap();
    let keep = |policy: &AppliedPolicy| PolicyChange::Keep(policy.clone());
    store.keep_policies(&[keep(&layered), keep(&plain)], None).unwrap();
    drop(store);
    let store = SettingStore::open(&root).unwrap();
    assert_eq!(store.policies().unwrap(), [plain.clone(), layered.clone()]);
    let newer = AppliedPolicy { sha256: "11".into(), ..plain };
    store.keep_policies(&[PolicyChange::Forget(layered.key), keep(&newer)], None).unwrap();
    assert_eq!(store.policies().unwrap(), [newer]);
}

/// As KeeperPolicy reads it, beside the agent that writes.
#[test]
fn what_was_delivered_is_read_once_it_is_committed_and_never_taken_for_nothing() {
    let (folder, root) = root();
    assert!(DeliveredPolicies::open(folder.path()).unwrap().is_none(), "no agent ever ran");
    let store = SettingStore::open(&root).unwrap();
    let mut reader = DeliveredPolicies::open(folder.path()).unwrap().unwrap();
    assert_eq!(reader.read_changed().unwrap(), Some(vec![]));
    assert_eq!(reader.read_changed().unwrap(), None, "nothing changed");
    let policy = AppliedPolicy { document: Some(b"{}".as_slice().into()), ..applied("a", None) };
    store.keep_policies(&[PolicyChange::Keep(policy.clone()), PolicyChange::Keep(applied("b", None))], None).unwrap();
    assert_eq!(reader.read_changed().unwrap(), Some(vec![policy]), "b is in no need of being read");
    // What somebody writes and has not committed does not count, and holds up nobody.
    let path = folder.path().join("state/settings.db");
    let writer = rusqlite::Connection::open(&path).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE; DELETE FROM policy_document; DELETE FROM policy").unwrap();
    assert_eq!(reader.read_changed().unwrap(), None);
    writer.execute_batch("COMMIT").unwrap();
    assert_eq!(reader.read_changed().unwrap(), Some(vec![]));
    writer.execute_batch("ALTER TABLE policy RENAME TO others").unwrap();
    for _ in 0..2 {
        assert!(reader.read_changed().unwrap_err().to_string().contains("settings.db"), "not even once for nothing");
    }
    writer.execute_batch("ALTER TABLE others RENAME TO policy").unwrap();
    assert_eq!(reader.read_changed().unwrap(), Some(vec![]), "read again without a new change of content");
    let link = folder.path().join("state/aside.db");
    fs::rename(&path, &link).unwrap();
    symlink(&link, &path).unwrap();
    DeliveredPolicies::open(folder.path()).unwrap_err();
}

#[test]
fn a_bundle_is_kept_with_the_record_of_its_policies_or_neither_is() {
    let (folder, root) = root();
    let store = SettingStore::open(&root).unwrap();
    assert_eq!(store.read_bundle().unwrap(), None);
    let bundle = |etag: Option<&str>, document: &[u8]| KeptBundle {
        source: String::from("https://fleet.example.com:443/bundle.p7m"),
        etag: etag.map(str::to_owned),
        document: document.into(),
        at: NEW_YEAR,
    };
    let keep = |name: &str| [PolicyChange::Keep(applied(name, None))];
    let names = |store: &SettingStore| -> Vec<String> {
        store.policies().unwrap().into_iter().map(|policy| policy.key.name).collect()
    };
    for (name, kept) in [("a", bundle(Some("\"1\""), b"\x30\x00\xff")), ("b", bundle(None, b""))] {
        store.keep_policies(&keep(name), Some(&kept)).unwrap();
        let other = SettingStore::open(&root).unwrap();
        assert_eq!((other.read_bundle().unwrap(), names(&other).last()), (Some(kept), Some(&name.to_owned())));
    }
    // The disk is full just when the bundle is written.
    let disk = rusqlite::Connection::open(folder.path().join("state/settings.db")).unwrap();
    let full = "CREATE TRIGGER full BEFORE INSERT ON bundle BEGIN SELECT RAISE(FAIL, 'disk full'); END";
    disk.execute(full, []).unwrap();
    let why = store.keep_policies(&keep("c"), Some(&bundle(None, b"newer"))).unwrap_err();
    assert!(why.contains("disk full"), "{why}");
    assert_eq!((names(&store), store.read_bundle().unwrap()), (vec!["a".into(), "b".into()], Some(bundle(None, b""))));
}
