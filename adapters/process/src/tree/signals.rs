//! Signals to a tree: to all of it, or to its program's job.

use std::io;

use castellan_core::effect::TreeSignal;
use castellan_core::event::RelayedSignal;
use rustix::io::Errno;
use rustix::process::{Signal, pidfd_send_signal};

use super::Tree;

impl Tree {
    pub(super) async fn signal(&self, signal: TreeSignal) {
        match signal {
            TreeSignal::Terminate => {
                self.signal_all(Signal::TERM).await;
                // Who is stopped hears nothing else before.
                self.signal_all(Signal::CONT).await;
            }
            TreeSignal::Kill => self.signal_all(Signal::KILL).await,
            TreeSignal::Relayed(RelayedSignal::Hangup) => self.signal_all(Signal::HUP).await,
            TreeSignal::Relayed(RelayedSignal::Interrupt) => self.signal_all(Signal::INT).await,
            TreeSignal::Relayed(RelayedSignal::Quit) => self.signal_all(Signal::QUIT).await,
            TreeSignal::Relayed(RelayedSignal::Terminate) => self.signal_all(Signal::TERM).await,
            TreeSignal::Relayed(RelayedSignal::User1) => self.signal_all(Signal::USR1).await,
            TreeSignal::Relayed(RelayedSignal::User2) => self.signal_all(Signal::USR2).await,
            TreeSignal::Relayed(RelayedSignal::Suspend) if self.attended.is_some() => self.signal_job(Signal::TSTP),
            // Without a parent in its session the kernel does not stop it by the one that it could catch.
            TreeSignal::Relayed(RelayedSignal::Suspend) => self.signal_all(Signal::STOP).await,
            TreeSignal::Relayed(RelayedSignal::Continue) if self.attended.is_some() => self.signal_job(Signal::CONT),
            TreeSignal::Relayed(RelayedSignal::Continue) => self.signal_all(Signal::CONT).await,
        }
    }

    async fn signal_all(&self, wanted: Signal) {
        let place = self.place.clone();
        let sent = smol::unblock(move || place.signal(wanted)).await;
        self.complain(wanted, sent);
    }

    /// To the launcher that attends to the program, and passes it on to the program's group: other jobs of the tree are their shell's.
    fn signal_job(&self, wanted: Signal) {
        match pidfd_send_signal(self.handle.get_ref(), wanted) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => self.complain(wanted, Err(error.into())),
        }
    }

    fn complain(&self, wanted: Signal, sent: io::Result<()>) {
        if let Err(error) = sent {
            log::warn!(
                "Not every process of the tree of {} (spawn {}) took {wanted:?}: {error}.",
                self.pid,
                self.spawn
            );
        }
    }
}
