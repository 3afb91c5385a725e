//! Castellan's request socket: where ordinary users ask for more privileges (`run/request.sock` below the agent root).
//!
//! Facts in, orders out; who may what is decided in `castellan_core::elevation`. Who asks, the kernel says; of what the caller says,
//! nothing is believed but the command. What he hands over for the program (standard streams, folder) is kept by his [`CallerId`] until the
//! launch takes it ([`Elevation::take`]) or his connection ends.
//!
//! | a caller who | gets |
//! | --- | --- |
//! | comes when no place is left | that sentence |
//! | says nothing, half a frame, or what is not understood | that sentence, and his connection is closed |
//! | does not read | his connection closed, and the reason in the log; others never wait for him |
//! | is gone, though others may hold his connection | `Left` is reported |
//!
//! Threads: none of its own; everything runs on the executor it is given, and what may wait for a caller's file system in threads for that.

#[cfg(not(target_os = "linux"))]
compile_error!("castellan-elevation knows Linux alone: SO_PEERCRED and SCM_RIGHTS have other forms elsewhere.");

mod caller;
pub mod client;
mod descriptors;
mod peer;
mod places;
mod socket;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_io::Timer;
use castellan_core::effect::{ElevationAnswer, ElevationOrder};
use castellan_core::elevation::CallerId;
use castellan_core::event::Event;
use castellan_core::user::Account;
use castellan_core::why::Explanation;
use smol::channel::{Sender, TrySendError};
use smol::future::Boxed;
use smol::{Executor, Task};

use crate::places::Places;
use crate::socket::Folder;
use crate::wire::ToCaller;

pub use descriptors::Lent;

/// After an accept that failed, as it does when the agent has no descriptor left: others give some back meanwhile.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Finds out whose a user id is: his account with the names of his groups, or why it is not known, and whether he has a graphical session.
pub type LookUp = Arc<dyn Fn(u32) -> Boxed<(Result<(Account, BTreeSet<String>), String>, bool)> + Send + Sync>;

/// What the request socket needs.
#[derive(Clone)]
pub struct ElevationConfig {
    /// The agent root.
    pub root: PathBuf,
    /// Asks the system about a user.
    pub look_up: LookUp,
    /// Runs the connections; some thread must drive it.
    pub executor: Arc<Executor<'static>>,
    /// Takes the reports.
    pub events: Sender<Event>,
}

impl fmt::Debug for ElevationConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ElevationConfig").field("root", &self.root).finish_non_exhaustive()
    }
}

/// The request socket. Dropping it closes every connection and takes the socket away.
#[derive(Debug)]
pub struct Elevation {
    shared: Arc<Shared>,
    folder: Folder,
    accepting: Option<Task<()>>,
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared {
    config: ElevationConfig,
    places: Places,
    next: AtomicU64,
    lines: Mutex<BTreeMap<CallerId, Line>>,
}

/// What an order needs of a connection.
#[derive(Debug)]
pub(crate) struct Line {
    /// Bounded: whoever does not read is not waited for.
    pub(crate) orders: Sender<Said>,
    /// Dropped, it ends the connection at once.
    pub(crate) open: Option<Sender<()>>,
    /// Until the launch takes it.
    pub(crate) lent: Option<Lent>,
}

/// What is said to a caller.
#[derive(Debug)]
pub(crate) enum Said {
    /// This frame.
    Frame(ToCaller),
    /// This frame, and then nothing any more.
    Last(ToCaller),
}

impl Elevation {
    /// Opens the socket. Blocks for a moment.
    ///
    /// # Errors
    /// A sentence with what to do.
    pub fn start(config: ElevationConfig) -> Result<Self, String> {
        let (listener, folder) = socket::listen(&config.root)?;
        let executor = Arc::clone(&config.executor);
        let shared =
            Arc::new(Shared { config, places: Places::default(), next: AtomicU64::new(1), lines: Mutex::default() });
        let accepted = Arc::clone(&shared);
        let accepting = executor.spawn(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, _unnamed)) => caller::receive(&accepted, stream),
                    Err(error) => {
                        log::warn!("A request for more privileges could not be accepted: {error}. It is tried again.");
                        Timer::after(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
        Ok(Self { shared, folder, accepting: Some(accepting) })
    }

    /// Carries out an order without blocking. One about a connection that is over does nothing: `Left` tells of it.
    pub fn order(&self, order: ElevationOrder) {
        match order {
            ElevationOrder::Tell { caller, text } => self.shared.say(caller, Said::Frame(ToCaller::Tell { text })),
            ElevationOrder::Prompt { caller, prompt, text, secret, seconds } => {
                self.shared.say(caller, Said::Frame(ToCaller::Prompt { prompt, text, secret, seconds }));
            }
            ElevationOrder::Stop { caller, signal } => self.shared.say(caller, Said::Frame(ToCaller::Stopped(signal))),
            ElevationOrder::Answer { caller, answer } => self.shared.say(caller, Said::Last(answer.into())),
        }
    }

    /// What a caller lends to his program, which is about to be started; he is told so. `None` where he is gone, or where it was taken.
    pub fn take(&self, caller: CallerId) -> Option<Lent> {
        let lent = self.shared.lines().get_mut(&caller)?.lent.take()?;
        self.shared.say(caller, Said::Frame(ToCaller::Launching));
        Some(lent)
    }
}

impl Shared {
    /// Puts something into a caller's queue; one whose queue is full has not read for long, and his connection ends.
    fn say(&self, caller: CallerId, said: Said) {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&caller) else { return };
        if let Err(TrySendError::Full(_)) = line.orders.try_send(said) {
            line.open = None;
        }
    }

    pub(crate) fn lines(&self) -> MutexGuard<'_, BTreeMap<CallerId, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_caller(&self) -> CallerId {
        CallerId(self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl From<ElevationAnswer> for ToCaller {
    fn from(answer: ElevationAnswer) -> Self {
        match answer {
            ElevationAnswer::Ended(status) => Self::Ended(status.into()),
            ElevationAnswer::Own(own) => Self::Own(own),
            ElevationAnswer::GaveUp(ids) => Self::GaveUp(ids.iter().map(ToString::to_string).collect()),
            ElevationAnswer::NotFound(Explanation { what, why, fix }) => Self::NotFound { what, why, fix },
            ElevationAnswer::Denied { request, explanation } => Self::Denied {
                request: request.map(|id| id.to_string()),
                what: explanation.what,
                why: explanation.why,
                fix: explanation.fix,
            },
        }
    }
}

impl Drop for Elevation {
    fn drop(&mut self) {
        self.accepting = None;
        for line in self.shared.lines().values_mut() {
            line.open = None;
        }
        if let Err(error) = self.folder.remove_socket() {
            log::warn!("The request socket is left: {error}. The next start takes it away.");
        }
    }
}
