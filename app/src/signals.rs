//! SIGTERM and SIGINT become one event; a second one is not waited for any longer than the first.

use async_signal::{Signal, Signals};
use castellan_core::event::Event;
use smol::channel::Sender;
use smol::stream::StreamExt;

/// Watches the signals on the executor.
pub(crate) fn watch(executor: &smol::Executor<'static>, events: Sender<Event>) -> std::io::Result<()> {
    let mut signals = Signals::new([Signal::Term, Signal::Int])?;
    executor
        .spawn(async move {
            while let Some(signal) = signals.next().await {
                let name = match signal {
                    Ok(Signal::Int) => "SIGINT",
                    Ok(_) => "SIGTERM",
                    Err(_) => "a signal",
                };
                if events.send(Event::StopRequested(name.to_owned())).await.is_err() {
                    return;
                }
            }
        })
        .detach();
    Ok(())
}
