//! How references are sealed and opened: with the key that has their purpose.

use castellan_core::lkg::NotWritten;
use castellan_core::lkg::vault::{KeyId, Purpose, Seal};
use ring::aead::LessSafeKey;

use super::key::{Key, Keys};
use crate::{audit, sealing};

fn of(key: &Key, purpose: Purpose) -> &LessSafeKey {
    match purpose {
        Purpose::Manifest => &key.manifest,
        Purpose::Record => &key.record,
    }
}

impl Seal for Keys {
    fn keys(&self) -> Vec<KeyId> {
        self.keys.iter().map(|key| key.id).collect()
    }

    fn missing(&self, key: KeyId) -> Option<String> {
        self.missing(key)
    }

    fn create(&mut self, in_use: Option<KeyId>) -> Result<KeyId, NotWritten> {
        self.create(in_use)
    }

    fn keep(&mut self, key: KeyId) -> Result<(), NotWritten> {
        self.keep(key)
    }

    fn seal(&mut self, key: KeyId, purpose: Purpose, bound_to: &[u8], plain: &[u8]) -> Result<Vec<u8>, String> {
        let key = self.find(key).ok_or_else(|| format!("The key {key} of references is not there."))?;
        sealing::seal(of(key, purpose), &self.random, bound_to, plain)
    }

    fn open(&self, key: KeyId, purpose: Purpose, bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        sealing::open(of(self.find(key)?, purpose), bound_to, sealed)
    }

    fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        audit::sha256(bytes)
    }
}
