//! Tells the agent of sessions that come and go: logind's signals over D-Bus, and after each of them the whole list anew.

use std::pin::pin;
use std::time::Duration;

use async_io::Timer;
use castellan_core::event::{Event, ProcessReport};
use castellan_core::user::Sessions;
use smol::channel::Sender;
use smol::future::poll_once;
use smol::stream::{Stream, StreamExt};
use zbus::connection::Builder;
use zbus::{Connection, MatchRule, MessageStream};

use super::logind;
use crate::tree::within;

/// For the bus to take the subscription; it answers in less than a millisecond.
const DEADLINE: Duration = Duration::from_secs(5);
/// The list is asked for once more after so long without a signal, so that none that was missed counts for ever.
const LOOK_AGAIN: Duration = Duration::from_secs(300);
/// The same while logind gives no answer that can be used.
const ASK_AGAIN: Duration = Duration::from_secs(10);
/// A login is several signals, and any user may send more of them: between two lists is this time at least.
const SETTLE: Duration = Duration::from_millis(50);
/// Signals of one such time that are taken off at once; the rest leads to one more list.
const SIGNALS: usize = 256;
/// Until the bus is tried again: from the first delay, twice as long each time, up to the last one.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LAST_DELAY: Duration = Duration::from_secs(60);

/// What logind itself says, and who has its name.
const RULES: [&str; 2] = [
    "type='signal',sender='org.freedesktop.login1',path_namespace='/org/freedesktop/login1'",
    "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',arg0='org.freedesktop.login1'",
];

/// Follows them for as long as anybody takes events.
pub(crate) async fn follow(events: Sender<Event>) {
    let mut told = None;
    let mut delay = FIRST_DELAY;
    loop {
        // The list is asked for after the subscription, so that nothing falls between.
        let subscribed = within(DEADLINE, subscribe()).await;
        if tell(&events, &mut told).await.is_none() {
            return;
        }
        match subscribed {
            Some(Ok((_bus, signals))) => {
                delay = FIRST_DELAY;
                let mut signals = pin!(signals);
                while next(&mut signals, &told).await.is_some() {
                    if tell(&events, &mut told).await.is_none() {
                        return;
                    }
                }
                log::warn!("the system's D-Bus has closed the connection on which logind's signals come");
            }
            Some(Err(error)) => log::debug!("logind's signals cannot be followed: {error}"),
            None => log::warn!("the system's D-Bus did not take a subscription within {} s", DEADLINE.as_secs()),
        }
        Timer::after(delay).await;
        delay = delay.saturating_mul(2).min(LAST_DELAY);
    }
}

/// Says who is there, where that is another word than the last; `None` where nobody takes events any more.
async fn tell(events: &Sender<Event>, told: &mut Option<Sessions>) -> Option<()> {
    let sessions = logind::sessions().await;
    if told.as_ref() == Some(&sessions) {
        return Some(());
    }
    *told = Some(sessions.clone());
    events.send(Event::Process(ProcessReport::SessionsChanged(sessions))).await.ok()
}

async fn subscribe() -> zbus::Result<(Connection, impl Stream<Item = ()>)> {
    let bus = Builder::system().build().await?;
    let [of_logind, of_its_name] = RULES;
    let of_logind = MessageStream::for_match_rule(MatchRule::try_from(of_logind)?, &bus, None).await?;
    let of_its_name = MessageStream::for_match_rule(MatchRule::try_from(of_its_name)?, &bus, None).await?;
    // What they say does not count, only that they came; one that cannot be read is one, too.
    Ok((bus, of_logind.or(of_its_name).map(drop)))
}

/// Waits until the list may be another; `None` where no signal will come any more.
async fn next(signals: &mut (impl Stream<Item = ()> + Unpin), told: &Option<Sessions>) -> Option<()> {
    let patience = if matches!(told, Some(Sessions::Failed(_))) { ASK_AGAIN } else { LOOK_AGAIN };
    if let Some(signal) = within(patience, signals.next()).await {
        signal?;
        Timer::after(SETTLE).await;
        for _ in 0..SIGNALS {
            if poll_once(signals.next()).await.flatten().is_none() {
                break;
            }
        }
    }
    Some(())
}
