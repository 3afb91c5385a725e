//! AES-256-GCM with a random nonce of 96 bits, which stands before what was sealed. With so few changes a nonce never comes twice
//! (NIST SP 800-38D: fewer than 2^32 for one key).

use ring::aead::{Aad, LessSafeKey, NONCE_LEN, Nonce};
use ring::rand::{SecureRandom, SystemRandom};

/// Seals bytes, bound to others that opening needs again.
pub(crate) fn seal(key: &LessSafeKey, random: &SystemRandom, bound_to: &[u8], plain: &[u8]) -> Result<Vec<u8>, String> {
    let mut nonce = [0; NONCE_LEN];
    random.fill(&mut nonce).map_err(|_| String::from("The system gives no random numbers."))?;
    let mut sealed = plain.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound_to), &mut sealed)
        .map_err(|_| String::from("It is too large to be sealed."))?;
    Ok([nonce.as_slice(), &sealed].concat())
}

/// What was sealed with the key and bound to these bytes; `None` where anything is different.
pub(crate) fn open(key: &LessSafeKey, bound_to: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut opened = sealed.to_vec();
    let length = key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(bound_to), &mut opened).ok()?.len();
    opened.truncate(length);
    Some(opened)
}
