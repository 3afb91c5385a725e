//! What a person needs who asks for an admin certificate: a key of his own, and the request that names it.

use std::fs::{OpenOptions, create_dir_all};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, KeyPair};

use super::not_made;
use crate::error::RootError;

/// Only who asked may read a key; the certificate is kept with it.
const MODE: u32 = 0o600;

/// A new key, which leaves this process in its file alone, and the certificate signing request for it (PKCS #10, RFC 2986).
#[derive(Debug)]
pub struct SigningRequest {
    key: KeyPair,
    /// The request, PEM.
    pub pem: String,
}

impl SigningRequest {
    /// Makes a P-256 key and signs a request with it.
    ///
    /// # Errors
    /// [`RootError`] where the system gives no randomness.
    pub fn create(name: &str) -> Result<Self, RootError> {
        let failed = |error| not_made(Path::new(name), &error);
        let key = KeyPair::generate().map_err(failed)?;
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(failed)?;
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.serialize_request(&key).and_then(|request| request.pem()).map_err(failed)?;
        Ok(Self { key, pem })
    }

    /// Makes `NAME.key` in a folder; nothing that is there is replaced.
    ///
    /// # Errors
    /// [`RootError`] where the file is there already, or cannot be written.
    pub fn write_key(&self, folder: &Path, name: &str) -> Result<PathBuf, RootError> {
        write_new(folder, &format!("{name}.key"), self.key.serialize_pem().as_bytes())
    }

    /// Makes `NAME.pem` beside it.
    ///
    /// # Errors
    /// [`RootError`] where the file is there already, or cannot be written.
    pub fn write_certificate(folder: &Path, name: &str, pem: &str) -> Result<PathBuf, RootError> {
        write_new(folder, &format!("{name}.pem"), pem.as_bytes())
    }
}

fn write_new(folder: &Path, name: &str, bytes: &[u8]) -> Result<PathBuf, RootError> {
    create_dir_all(folder).map_err(RootError::failed("make the folder", folder))?;
    let path = folder.join(name);
    let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(&path);
    let mut file = match opened {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let what = String::from("is there already. Move it away, or name another folder or another holder.");
            return Err(RootError::Invalid { path, what });
        }
        opened => opened.map_err(RootError::failed("make", &path))?,
    };
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(RootError::failed("write", &path))?;
    Ok(path)
}
