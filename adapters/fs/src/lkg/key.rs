//! The keys of references: `state/keys/lkg.key`, or the systemd credential `lkg.key`; 32 random bytes, from which a key for each
//! purpose is derived (HKDF-SHA256). `state/keys/lkg.new.key` is there only while a new key takes over.

use std::fmt;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use castellan_core::lkg::NotWritten;
use castellan_core::lkg::vault::KeyId;
use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use ring::rand::{SecureRandom, SystemRandom};
use rustix::fs::{Mode, OFlags, fsync, renameat};

use crate::durable;
use crate::error::RootError;
use crate::files::{self, Privacy, Unread};
use crate::root::Root;

const PLACE: &str = "state/keys";
const FILE: &str = "lkg.key";
/// The file of a key that is taking over.
const NEW_FILE: &str = "lkg.new.key";
const KEY_BYTES: usize = 32;
const MODE: u32 = 0o600;
/// Tells these derivations from all others that may ever be made of the same bytes.
const SALT: &[u8] = b"castellan last known good 1";

/// Every key that is there.
pub(super) struct Keys {
    root: Root,
    /// The credential first, as it is the one to begin with.
    pub(super) keys: Vec<Key>,
    pub(super) random: SystemRandom,
}

/// One key, never shown.
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) manifest: LessSafeKey,
    pub(super) record: LessSafeKey,
    /// Its file in `state/keys/`; `None`: the credential.
    file: Option<&'static str>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.keys.iter().map(|key| key.id)).finish()
    }
}

impl Keys {
    /// Reads what is there and removes what a crash left of making one.
    pub(super) fn open(root: &Root, credentials: Option<PathBuf>) -> Result<Self, RootError> {
        let mut keys = Vec::new();
        if let Some(folder) = credentials {
            keys.extend(credential(&folder)?);
        }
        for file in [FILE, NEW_FILE] {
            let path = root.path().join(PLACE).join(file);
            durable::drop_draft(root.folder(PLACE)?.as_fd(), file)
                .map_err(RootError::failed("remove the draft of", &path))?;
            if let Some(bytes) = root.read(PLACE, file, KEY_BYTES, Privacy::Secret)? {
                keys.push(key(&bytes, Some(file), &path)?);
            }
        }
        Ok(Self { root: root.clone(), keys, random: SystemRandom::new() })
    }

    /// Whether there is a key besides systemd's.
    pub(super) fn has_file(&self) -> bool {
        self.keys.iter().any(|key| key.file.is_some())
    }

    pub(super) fn find(&self, id: KeyId) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }

    /// Why the file of a key would not give it any more. A credential is systemd's to keep.
    pub(super) fn missing(&self, id: KeyId) -> Option<String> {
        let file = self.find(id)?.file?;
        let path = self.root.path().join(PLACE).join(file);
        let why = match self.root.read(PLACE, file, KEY_BYTES, Privacy::Secret) {
            Ok(Some(bytes)) if key(&bytes, Some(file), &path).is_ok_and(|found| found.id == id) => return None,
            Ok(Some(_)) => format!("{PLACE}/{file} is another key than {id}, which the references are sealed with."),
            Ok(None) => format!("{PLACE}/{file} is gone; what is sealed with it could not be read at the next start."),
            Err(error) => error.to_string(),
        };
        Some(format!(
            "{why} Put it back and start the agent again, or say `castellan lkg rekey`: the running agent seals all with a new key."
        ))
    }

    /// The credential, unless it is the one in use; else a new file.
    pub(super) fn create(&mut self, in_use: Option<KeyId>) -> Result<KeyId, NotWritten> {
        if let Some(key) = self.keys.iter().find(|key| key.file.is_none() && Some(key.id) != in_use) {
            return Ok(key.id);
        }
        let taken = self.keys.iter().any(|key| key.file == Some(FILE));
        let file = if taken { NEW_FILE } else { FILE };
        let mut bytes = [0; KEY_BYTES];
        self.random
            .fill(&mut bytes)
            .map_err(|_| NotWritten::because("The system gives no random numbers, so no key can be made."))?;
        let new = key(&bytes, Some(file), &self.root.path().join(PLACE).join(file))?;
        self.root.replace(PLACE, file, &bytes, MODE)?;
        let id = new.id;
        self.keys.retain(|key| key.file != Some(file));
        self.keys.push(new);
        Ok(id)
    }

    /// Leaves no other file, and this one under its final name.
    pub(super) fn keep(&mut self, id: KeyId) -> Result<(), NotWritten> {
        let Some(file) = self.find(id).map(|key| key.file) else {
            return Err(NotWritten::because(format!("The key {id} of references is not there.")));
        };
        for other in self.keys.iter().filter(|key| key.id != id).filter_map(|key| key.file) {
            // Replaced at once below, so that there is no moment without.
            if !(other == FILE && file == Some(NEW_FILE)) {
                self.root.remove(PLACE, other)?;
            }
        }
        if file == Some(NEW_FILE) {
            let folder = self.root.folder(PLACE)?;
            renameat(&folder, NEW_FILE, &folder, FILE)
                .and_then(|()| fsync(&folder))
                .map_err(RootError::failed("rename", &self.root.path().join(PLACE).join(NEW_FILE)))?;
        }
        self.keys.retain(|key| key.id == id || key.file.is_none());
        for key in self.keys.iter_mut().filter(|key| key.file.is_some()) {
            key.file = Some(FILE);
        }
        Ok(())
    }
}

/// The credential, where systemd gave one.
fn credential(folder: &Path) -> Result<Option<Key>, RootError> {
    let path = folder.join(FILE);
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(folder, flags, Mode::empty()).map_err(RootError::failed("open", folder))?;
    // systemd's rights show as the group's where an access list gives them to the service's user.
    match files::read(folder.as_fd(), FILE, KEY_BYTES, Privacy::Guarded) {
        Ok(bytes) => key(&bytes, None, &path).map(Some),
        Err(Unread::Missing) => Ok(None),
        Err(Unread::Refused(what)) => Err(RootError::Unsafe { path, what }),
        Err(Unread::Failed(error)) => Err(RootError::Failed { path, doing: "read", error }),
    }
}

/// Derives what the bytes of a key stand for.
fn key(bytes: &[u8], file: Option<&'static str>, path: &Path) -> Result<Key, RootError> {
    if bytes.len() != KEY_BYTES {
        let what = format!(
            "has {} bytes; the key of references has {KEY_BYTES}. Put the right one back; or remove this one and begin anew with \
             `castellan lkg rekey`.",
            bytes.len()
        );
        return Err(RootError::Invalid { path: path.to_owned(), what });
    }
    let underived = |_| RootError::Invalid {
        path: path.to_owned(),
        what: String::from("cannot be used: no key can be derived from it."),
    };
    let derived = Salt::new(HKDF_SHA256, SALT).extract(bytes);
    let mut id = [0; 8];
    derived.expand(&[b"id"], IdLength).and_then(|okm| okm.fill(&mut id)).map_err(underived)?;
    Ok(Key {
        id: KeyId(id),
        manifest: purpose(&derived, b"manifest").map_err(underived)?,
        record: purpose(&derived, b"record").map_err(underived)?,
        file,
    })
}

fn purpose(derived: &Prk, name: &[u8]) -> Result<LessSafeKey, ring::error::Unspecified> {
    Ok(LessSafeKey::new(UnboundKey::from(derived.expand(&[name], &AES_256_GCM)?)))
}

/// As many bytes as a key's id has.
struct IdLength;

impl KeyType for IdLength {
    fn len(&self) -> usize {
        8
    }
}
