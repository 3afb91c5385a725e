//! Secrets on disk: whose they are, and what happens without their key.

use std::fs;

use castellan_core::mfa::{MfaOrder, MfaReport, Secret, Verdict};
use castellan_core::time::WallTime;
use data_encoding::BASE32_NOPAD;
use tempfile::TempDir;

use super::{hmac_sha1, perform};
use crate::root::Root;
use crate::settings::SettingStore;

fn now(seconds: i64) -> WallTime {
    WallTime::from_millis(seconds.saturating_mul(1000))
}

fn stage() -> (TempDir, Root, SettingStore) {
    let folder = tempfile::tempdir().unwrap();
    let root = Root::open(folder.path()).unwrap();
    let storage = SettingStore::open(&root).unwrap();
    (folder, root, storage)
}

fn enroll(root: &Root, storage: &SettingStore, user: &str) -> Vec<u8> {
    let order = MfaOrder::Enroll { user: user.into(), by: "client".into() };
    let done = perform(root, storage, &order, now(0)).unwrap();
    let MfaReport::Enrolled(secret) = done else { panic!("{done:?}") };
    BASE32_NOPAD.decode(secret.expose().as_bytes()).unwrap()
}

fn check(root: &Root, storage: &SettingStore, user: &str, code: &str) -> Result<Verdict, String> {
    let order = MfaOrder::Check { user: user.into(), code: Secret::new(code.into()) };
    let done = perform(root, storage, &order, now(3000))?;
    let MfaReport::Checked(verdict) = done else { panic!("{done:?}") };
    Ok(verdict)
}

/// The code of step 100, by the words of RFC 4226 section 5.3.
fn code(secret: &[u8]) -> String {
    let hash = hmac_sha1(secret, &100_u64.to_be_bytes());
    let offset = usize::from(hash[19] & 15);
    let number = u32::from_be_bytes(hash[offset..offset + 4].try_into().unwrap()) & 0x7FFF_FFFF;
    format!("{:06}", number % 1_000_000)
}

#[test]
fn hmac_is_that_of_rfc_2202() {
    let expect = "b617318655057264e28bc0b6fb378c8ef146be00";
    assert_eq!(castellan_core::hexadecimal(&hmac_sha1(&[0x0b; 20], b"Hi There")), expect);
}

#[test]
fn a_secret_is_its_users_alone_and_a_used_code_stays_used_when_the_storage_is_opened_again() {
    let (_folder, root, storage) = stage();
    let (alice, bob) = (enroll(&root, &storage, "alice"), enroll(&root, &storage, "bob"));
    assert_ne!(alice, bob);
    assert_eq!(check(&root, &storage, "alice", &code(&alice)), Ok(Verdict::Verified));
    drop(storage);
    let storage = SettingStore::open(&root).unwrap();
    assert_eq!(check(&root, &storage, "alice", &code(&alice)), Ok(Verdict::Wrong { left: 4 }));
    assert_eq!(check(&root, &storage, "carol", &code(&alice)), Ok(Verdict::NotEnrolled));
    // Somebody who may write the storage, and not read the key, gives bob the authenticator of alice.
    let copy = "UPDATE mfa SET sealed = (SELECT sealed FROM mfa WHERE user = 'alice') WHERE user = 'bob'";
    storage.transact(|transaction| transaction.execute(copy, []).map(|_| ())).unwrap();
    let why = check(&root, &storage, "bob", &code(&alice)).unwrap_err();
    assert!(why.contains("castellan mfa remove bob"), "{why}");
}

#[test]
fn without_its_key_no_code_counts_and_the_way_out_is_told() {
    let (folder, root, storage) = stage();
    let alice = enroll(&root, &storage, "alice");
    let key = folder.path().join("state/keys/mfa.key");
    let bytes = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let why = check(&root, &storage, "alice", &code(&alice)).unwrap_err();
    assert!(why.contains("mfa.key is gone") && why.contains("enroll"), "{why}");
    // Another key does not make the old secrets readable, and enrolling anew does.
    enroll(&root, &storage, "bob");
    assert!(check(&root, &storage, "alice", &code(&alice)).is_err());
    assert_ne!(fs::read(&key).unwrap(), bytes);
    perform(&root, &storage, &MfaOrder::Remove { user: "alice".into() }, now(0)).unwrap();
    let alice = enroll(&root, &storage, "alice");
    assert_eq!(check(&root, &storage, "alice", &code(&alice)), Ok(Verdict::Verified));
}
