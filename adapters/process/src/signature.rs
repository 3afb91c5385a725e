//! A program's image and the signature beside it, read as facts for `castellan_core::trust::signature`; and new signatures.
//!
//! The image is opened once, and everything is read from what was opened: for a process that is `/proc/PID/exe`, the file that
//! runs, whatever lies at its path by now. The path may be of a stranger's choice, which does no harm: only signed bytes count.
//! Nothing here follows a link, waits for a writer, or reads more than the core's bounds.

mod algorithms;
mod cms;
mod digests;
mod enclosed;
mod sign;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use castellan_core::time::WallTime;
use castellan_core::trust::signature::{
    IMAGE_BYTES, ImageFacts, SIGNATURE_BYTES, SignatureFacts, SignatureFile, SignaturePolicy,
};
use ring::digest;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{observer, procfs, signal};
pub(crate) use digests::Digests;
pub use enclosed::{document_sha256, open_document};

/// What is put behind a program's path to find its signature.
const SUFFIX: &str = ".p7s";
/// What the kernel puts behind the path of an image without a name.
const DELETED: &str = " (deleted)";
/// How a program of Linux begins (ELF).
const BINARY: &[u8; 4] = b"\x7fELF";
/// Bytes of an image that are hashed at a time.
const PIECE: usize = 64 << 10;

/// A program whose image is held open.
#[derive(Debug)]
pub struct Program {
    image: File,
    path: PathBuf,
    is_deleted: bool,
    process: Option<Process>,
    /// Where digests are remembered, if they are, and when they are asked for.
    digests: Option<(Arc<Digests>, WallTime)>,
}

/// The process that runs the image, pinned.
#[derive(Debug)]
struct Process {
    pid: u32,
    uid: u32,
    handle: OwnedFd,
}

impl Program {
    /// Opens a program's file; links on the way are followed first, as the kernel does before it runs it.
    ///
    /// # Errors
    /// There is no such file, or it cannot be read.
    pub fn open(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        Ok(Self::of_file(open(&path)?, path))
    }

    /// A file that is open already, with its path once links are followed.
    pub(crate) const fn of_file(image: File, path: PathBuf) -> Self {
        Self { image, path, is_deleted: false, process: None, digests: None }
    }

    /// Opens the image of a running process.
    ///
    /// # Errors
    /// There is no such process, or we may not look at its image.
    pub fn of_process(pid: u32) -> io::Result<Self> {
        let ended = || io::Error::new(io::ErrorKind::NotFound, format!("there is no process {pid}"));
        let handle = signal::open(pid)?.ok_or_else(ended)?;
        let link = PathBuf::from(format!("/proc/{pid}/exe"));
        // Not O_NOFOLLOW: the kernel's link leads to the image itself, not to its path.
        let image = File::from(rustix::fs::open(&link, flags(), Mode::empty())?);
        let shown = fs::read_link(&link)?;
        let named = shown.to_str().and_then(|shown| shown.strip_suffix(DELETED)).map(PathBuf::from);
        let uid = procfs::effective_uid(pid).ok_or_else(ended)?;
        let is_deleted = named.is_some() || image.metadata()?.nlink() == 0;
        let process = Some(Process { pid, uid, handle });
        Ok(Self { image, path: named.unwrap_or(shown), is_deleted, process, digests: None })
    }

    /// The same, which looks up digests before it hashes; `now` is the time at which that is asked.
    pub(crate) fn remembering(self, digests: Arc<Digests>, now: WallTime) -> Self {
        Self { digests: Some((digests, now)), ..self }
    }

    /// Whether this path leads to the image.
    pub(crate) fn is_at(&self, path: &Path) -> bool {
        let file = |found: Metadata| (found.dev(), found.ino());
        let (Ok(found), Ok(image)) = (fs::metadata(path), self.image.metadata()) else { return false };
        file(found) == file(image)
    }

    /// Where its signature is, or is to be.
    pub fn signature_path(&self) -> PathBuf {
        let mut path = OsString::from(&self.path);
        path.push(SUFFIX);
        PathBuf::from(path)
    }

    /// The facts, as of now. What costs time is done only for a signer that the policy pins.
    ///
    /// # Errors
    /// The image cannot be looked at, or the process ended or runs another image by now.
    pub fn facts(&self, policy: SignaturePolicy<'_>) -> io::Result<SignatureFacts> {
        let path = self.signature_path();
        let file = match read_bounded(&path) {
            Ok(bytes) => self.signature(&path, &bytes, policy),
            Err(unread) => unread,
        };
        self.facts_with(file)
    }

    /// The facts if these bytes were its signature.
    ///
    /// # Errors
    /// As [`Program::facts`].
    pub fn facts_signed_by(&self, bytes: &[u8], policy: SignaturePolicy<'_>) -> io::Result<SignatureFacts> {
        self.facts_with(self.signature(&self.signature_path(), bytes, policy))
    }

    fn signature(&self, path: &Path, bytes: &[u8], policy: SignaturePolicy<'_>) -> SignatureFile {
        match cms::read(path, bytes, policy, |algorithm| self.digest(algorithm).map_err(|error| error.to_string())) {
            Ok(found) => SignatureFile::Read(found),
            Err(why) => SignatureFile::NotDer(format!("{}: {why}", path.display())),
        }
    }

    fn facts_with(&self, file: SignatureFile) -> io::Result<SignatureFacts> {
        let metadata = self.image.metadata()?;
        let mut opening = [0; BINARY.len()];
        let is_binary =
            metadata.is_file() && self.image.read_at(&mut opening, 0)? == BINARY.len() && opening == *BINARY;
        let image = ImageFacts {
            path: self.path.display().to_string(),
            is_regular: metadata.is_file(),
            is_deleted: self.is_deleted,
            is_binary,
            bytes: metadata.len(),
        };
        if let Some(process) = &self.process {
            process.still_runs(&metadata)?;
        }
        Ok(SignatureFacts { image, file, uid: self.process.as_ref().map(|process| process.uid) })
    }

    /// The image's digest.
    fn digest(&self, algorithm: &'static digest::Algorithm) -> io::Result<digest::Digest> {
        match &self.digests {
            Some((digests, now)) => digests.of(&self.image, *now, algorithm, || self.hash(algorithm)),
            None => self.hash(algorithm),
        }
    }

    fn hash(&self, algorithm: &'static digest::Algorithm) -> io::Result<digest::Digest> {
        let bytes = self.image.metadata()?.len();
        if bytes > IMAGE_BYTES {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has {bytes} bytes")));
        }
        let mut context = digest::Context::new(algorithm);
        let mut piece = vec![0; PIECE];
        let mut at: u64 = 0;
        // No further than its size: somebody may append faster than we read.
        while at < bytes {
            let read = self.image.read_at(&mut piece, at)?;
            let Some(found) = piece.get(..read).filter(|found| !found.is_empty()) else {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it became shorter"));
            };
            context.update(found);
            at = at.saturating_add(found.len() as u64);
        }
        Ok(context.finish())
    }
}

impl Process {
    /// Asked last: everything read before was then about this very process and image.
    fn still_runs(&self, image: &Metadata) -> io::Result<()> {
        let now = fs::metadata(format!("/proc/{}/exe", self.pid))?;
        if (now.dev(), now.ino()) != (image.dev(), image.ino()) || !observer::is_alive(&self.handle) {
            let why = format!("process {} ended or runs another program by now", self.pid);
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        Ok(())
    }
}

/// The facts about a document's signature: `path` is the document's, `beside` the bytes of the signature or why there are none.
pub fn document_facts(
    path: &str,
    document: &[u8],
    beside: Result<Vec<u8>, SignatureFile>,
    policy: SignaturePolicy<'_>,
) -> SignatureFacts {
    let shown = format!("{path}{SUFFIX}");
    let file = match beside {
        Ok(bytes) => {
            let hash = |algorithm| Ok(digest::digest(algorithm, document));
            match cms::read(Path::new(&shown), &bytes, policy, hash) {
                Ok(found) => SignatureFile::Read(found),
                Err(why) => SignatureFile::NotDer(format!("{shown}: {why}")),
            }
        }
        Err(unread) => unread,
    };
    let bytes = document.len() as u64;
    let image = ImageFacts { path: path.to_owned(), is_regular: true, is_deleted: false, is_binary: false, bytes };
    SignatureFacts { image, file, uid: None }
}

/// A new signature could not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignError(pub(crate) String);

impl fmt::Display for SignError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SignError {}

fn flags() -> OFlags {
    OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC
}

fn open(path: &Path) -> io::Result<File> {
    Ok(File::from(rustix::fs::open(path, flags() | OFlags::NOFOLLOW, Mode::empty())?))
}

/// A signature's file, or why it has no content for us.
fn read_bounded(path: &Path) -> Result<Vec<u8>, SignatureFile> {
    let shown = || path.display().to_string();
    let unreadable = |why: &dyn fmt::Display| SignatureFile::Unreadable(format!("{}: {why}", path.display()));
    let file = match rustix::fs::open(path, flags() | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Err(SignatureFile::Missing(shown())),
        Err(Errno::LOOP) => return Err(unreadable(&"it is a link")),
        Err(error) => return Err(unreadable(&io::Error::from(error))),
    };
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(unreadable(&"it is no plain file"));
    }
    let mut bytes = Vec::new();
    file.take(SIGNATURE_BYTES.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > SIGNATURE_BYTES {
        return Err(SignatureFile::TooLarge(shown()));
    }
    Ok(bytes)
}
