//! AES-256-GCM with a random nonce of 96 bits, which stands before what was sealed. With so few changes a nonce never comes twice
//! (NIST SP 800-38D: fewer than 2^32 for one key).

use castellan_core::lkg::NotWritten;
use castellan_core::lkg::vault::{KeyId, Purpose, Seal};
use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::digest::{SHA256, digest};
use ring::rand::SecureRandom;

use super::key::{Key, Keys};

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
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).map_err(|_| String::from("The system gives no random numbers."))?;
        let mut sealed = plain.to_vec();
        of(key, purpose)
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound_to), &mut sealed)
            .map_err(|_| String::from("A reference is too large to be sealed."))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn open(&self, key: KeyId, purpose: Purpose, bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut opened = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let length = of(self.find(key)?, purpose).open_in_place(nonce, Aad::from(bound_to), &mut opened).ok()?.len();
        opened.truncate(length);
        Some(opened)
    }

    fn sha256(&self, bytes: &[u8]) -> [u8; 32] {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(digest(&SHA256, bytes).as_ref());
        sha256
    }
}
