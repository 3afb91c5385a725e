//! Asks the kernel what changes in `Policies/` (inotify), and tells the agent that something did.
//!
//! An event is a hint and nothing else: the agent reads the folder and applies what is new by content.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::time::Duration;

use castellan_core::configuration_policy::FOLDER;
use castellan_core::event::{Event, StoreReport};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use smol::channel::Sender;
use smol::{Async, Timer};

use crate::root::Root;

/// From the first event to the look: whoever copies several files, or a policy and its signature, is done by then; and whoever
/// writes without end causes four looks a second.
const SETTLE: Duration = Duration::from_millis(250);
/// Before a folder that is gone is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// Bytes of events that are read at one time.
const EVENT_BYTES: usize = 4 << 10;

/// Tells of changes until the agent takes no more events. While nothing changes it sleeps without a timer.
pub async fn watch(root: Root, events: Sender<Event>) {
    loop {
        if let Err(error) = follow(&root, &events).await {
            let message = format!(
                "store: changes of {FOLDER}/ are not seen: {error}. It is tried again; POST /api/policies/reload works."
            );
            if events.send(Event::Congested(message)).await.is_err() {
                return;
            }
        }
        if events.is_closed() {
            return;
        }
        Timer::after(RETRY).await;
    }
}

/// Tells of changes for as long as the folder is the one that was opened.
async fn follow(root: &Root, events: &Sender<Event>) -> io::Result<()> {
    let wanted = WatchFlags::CLOSE_WRITE
        | WatchFlags::MOVE
        | WatchFlags::DELETE
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR
        | WatchFlags::DONT_FOLLOW;
    let notices = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&notices, root.path().join(FOLDER), wanted)?;
    let notices = Async::new(notices)?;
    // What changed before nobody was told of.
    if tell(events).await.is_err() {
        return Ok(());
    }
    loop {
        notices.readable().await?;
        Timer::after(SETTLE).await;
        let is_gone = drain(notices.get_ref())?;
        if tell(events).await.is_err() || is_gone {
            return Ok(());
        }
    }
}

/// Reads all events that wait; whether the folder itself is gone.
fn drain(notices: &OwnedFd) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); EVENT_BYTES];
    let mut reader = Reader::new(notices, &mut buffer);
    let over = ReadFlags::IGNORED | ReadFlags::MOVE_SELF | ReadFlags::UNMOUNT;
    let mut is_gone = false;
    loop {
        match reader.next() {
            Ok(event) => is_gone |= event.events().intersects(over),
            Err(Errno::WOULDBLOCK) => return Ok(is_gone),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

async fn tell(events: &Sender<Event>) -> Result<(), smol::channel::SendError<Event>> {
    events.send(Event::Store(StoreReport::PoliciesChanged)).await
}
