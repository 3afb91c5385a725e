//! The socket in the file system: `run/request.sock` below the agent root.
//!
//! It is named through its folder's descriptor: the name of a socket has at most 107 bytes, and a root may have a longer one.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use async_io::Async;
use rustix::fs::{CWD, Mode, OFlags, fstat, openat};

/// The folder below the agent root.
const FOLDER: &str = "run";
/// The socket in it.
const NAME: &str = "request.sock";
/// Everybody finds his way to the socket, and nobody else makes anything beside it.
const FOLDER_MODE: u32 = 0o755;
/// Everybody may ask. Who it is says the kernel.
const SOCKET_MODE: u32 = 0o666;
/// Others may write.
const WRITABLE: u32 = 0o022;

/// The folder of the socket, held open.
#[derive(Debug)]
pub(crate) struct Folder {
    held: OwnedFd,
    path: PathBuf,
}

impl Folder {
    fn open(root: &Path) -> io::Result<Self> {
        let path = root.join(FOLDER);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = openat(CWD, &path, flags, Mode::empty())
            .map_err(|error| io::Error::new(io::Error::from(error).kind(), format!("{}: {error}", path.display())))?;
        Ok(Self { held, path })
    }

    fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{NAME}", self.held.as_raw_fd()))
    }

    /// Takes the name away.
    ///
    /// # Errors
    /// As unlink(2); that there is none is no error.
    pub(crate) fn remove_socket(&self) -> io::Result<()> {
        match fs::remove_file(self.socket()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

/// Listens there. The name that a killed agent left is taken away, once nobody answers at it.
///
/// # Errors
/// A sentence with what to do.
pub(crate) fn listen(root: &Path) -> Result<(Async<UnixListener>, Folder), String> {
    let path = root.join(FOLDER);
    let failed = |error: &dyn std::fmt::Display, fix: &str| {
        format!("Nobody can ask for more privileges at {}/{NAME}: {error}. {fix}", path.display())
    };
    match fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(failed(&error, "Let the agent's user make folders in the agent root."));
        }
        Ok(()) | Err(_) => {}
    }
    let folder = Folder::open(root).map_err(|error| failed(&error, "It has to be a folder and no link."))?;
    let found = fstat(&folder.held).map_err(|error| failed(&error, "Look at the file system."))?;
    let own = rustix::process::geteuid().as_raw();
    if found.st_uid != own {
        return Err(failed(&"the folder is somebody else's", "Take it away; the agent makes its own."));
    }
    let held = PathBuf::from(format!("/proc/self/fd/{}", folder.held.as_raw_fd()));
    if found.st_mode & 0o7777 != FOLDER_MODE {
        if found.st_mode & WRITABLE != 0 {
            log::warn!("Others could write to {}, which is mended: look at what is in it.", folder.path.display());
        }
        fs::set_permissions(&held, Permissions::from_mode(FOLDER_MODE))
            .map_err(|error| failed(&error, "Set its mode to 755."))?;
    }
    match UnixStream::connect(folder.socket()) {
        Ok(_) => return Err(failed(&"another process answers there", "Stop it; two agents cannot share a root.")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            folder.remove_socket().map_err(|error| failed(&error, "Take the file away."))?;
        }
        Err(error) => return Err(failed(&error, "Take away what stands there.")),
    }
    let bound = Async::<UnixListener>::bind(folder.socket()).and_then(|listener| {
        fs::set_permissions(folder.socket(), Permissions::from_mode(SOCKET_MODE))?;
        Ok(listener)
    });
    let listener = bound.map_err(|error| failed(&error, "Look at the file system: it has to hold sockets."))?;
    Ok((listener, folder))
}

/// Connects there.
///
/// # Errors
/// As connect(2); `NotFound` where no agent ever listened, `ConnectionRefused` where none does now.
pub(crate) async fn connect(root: &Path) -> io::Result<Async<UnixStream>> {
    let folder = Folder::open(root)?;
    Async::<UnixStream>::connect(folder.socket()).await
}
