//! One connection, from its first byte to its end: the request, then frames in both directions, then everything closed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_io::{Async, Timer};
use castellan_core::elevation::{Asked, CallerId, Peer};
use castellan_core::event::{ElevationReport, Event, Reply};
use castellan_core::mfa::Secret;
use smol::Task;
use smol::channel::{Receiver, bounded};
use smol::future::FutureExt;

use crate::descriptors::{self, Lent};
use crate::peer::Connected;
use crate::places::Place;
use crate::wire::{self, Ask, AskOwn, DESCRIPTORS, FromCaller, Spoken, ToCaller, VERSION, Wish, in_time, invalid};
use crate::{Line, Said, Shared};

/// From the connection to the whole request, and for a look at what came with it.
const ASK_TIME: Duration = Duration::from_secs(5);
/// For a caller to read what he is told, once he has left as much unread as the kernel keeps.
const READ_TIME: Duration = Duration::from_secs(10);
/// Frames that wait for a caller to read those before.
const WAITING_FRAMES: usize = 64;

/// How a connection ended.
enum End {
    /// Its last word was said.
    Answered,
    /// Otherwise; why, where that is worth a line of the log.
    Left(Option<String>),
}

/// Takes an accepted connection. Never waits.
pub(crate) fn receive(shared: &Arc<Shared>, stream: Async<UnixStream>) {
    let taken = Connected::look(&stream).and_then(|peer| Ok((shared.places.take(peer.uid)?, peer)));
    match taken {
        Ok((place, peer)) => {
            let life = live(Arc::clone(shared), stream, peer, place);
            shared.config.executor.spawn(life).detach();
        }
        Err(why) => refuse_at_once(&stream, &why),
    }
}

/// Says so in a clause without its full stop. A new connection has room for a sentence; a caller who is gone already misses it.
fn refuse_at_once(stream: &Async<UnixStream>, why: &str) {
    let Ok(frame) = wire::encode(&refusal(why)) else { return };
    if let Err(error) = io::Write::write_all(&mut stream.get_ref(), &frame) {
        log::debug!("a refused caller was not told: {error}");
    }
}

fn refusal(why: &str) -> ToCaller {
    ToCaller::Denied {
        request: None,
        what: String::from("The agent does not take the request."),
        why: format!("{why}."),
        fix: String::from("End what is open, use the castellan of this agent, and try again."),
    }
}

async fn live(shared: Arc<Shared>, stream: Async<UnixStream>, peer: Connected, place: Place) {
    let mut taken = Vec::new();
    let caller = shared.next_caller();
    let heard = in_time(ASK_TIME, descriptors::receive(&stream, &mut taken)).await;
    let asked = match heard.and_then(|json| understand(&json, taken.len())) {
        Ok(First::Run(ask)) => look(&shared, &peer, caller, ask, taken, place).await,
        Ok(First::Own(wish)) => {
            let peer = Box::new(who(&shared, &peer).await);
            Ok((ElevationReport::OwnAsked { caller, peer, wish: wish.into() }, None, place))
        }
        Err(error) => {
            smol::unblock(move || drop(taken)).await;
            Err((error.to_string(), Some(place)))
        }
    };
    let (asked, lent, place) = match asked {
        Ok(found) => found,
        Err((why, place)) => {
            refuse_at_once(&stream, &why);
            drop((stream, place));
            return;
        }
    };
    let (orders, said) = bounded(WAITING_FRAMES);
    let (open, cut) = bounded(1);
    shared.lines().insert(caller, Line { orders, open: Some(open), lent });
    let end = match report(&shared, asked).await {
        Some(()) => Conversation::new(&shared, caller).hold(&stream, &peer, &said, &cut).await,
        None => End::Answered,
    };
    said.close();
    let line = shared.lines().remove(&caller);
    if let End::Left(why) = end {
        if let Some(why) = why {
            log::warn!("The connection of process {} (user {}) is closed: {why}.", peer.pid, peer.uid);
        }
        if report(&shared, ElevationReport::Left { caller }).await.is_none() {
            log::debug!("nobody takes reports any more");
        }
    }
    smol::unblock(move || drop((line, stream, place))).await;
}

async fn report(shared: &Shared, report: ElevationReport) -> Option<()> {
    shared.config.events.send(Event::Elevation(report)).await.ok()
}

/// The first frame.
enum First {
    /// A program is to be run.
    Run(Ask),
    /// Something is asked about the caller's own.
    Own(Wish),
}

/// Reads the first frame, which came with so many descriptors.
fn understand(json: &[u8], descriptors: usize) -> io::Result<First> {
    let not = |error: serde_json::Error| invalid(format!("the request is not understood: {error}"));
    let Spoken { version, own } = serde_json::from_slice(json).map_err(not)?;
    if version != VERSION {
        return Err(invalid(format!("it speaks version {version} of the request's language, and the agent {VERSION}")));
    }
    let wanted = if own.is_some() { 0 } else { DESCRIPTORS };
    if descriptors != wanted {
        return Err(invalid(format!("{descriptors} descriptors came with the request instead of {wanted}")));
    }
    if own.is_some() {
        let ask: AskOwn = serde_json::from_slice(json).map_err(not)?;
        return Ok(First::Own(ask.own));
    }
    let ask: Ask = serde_json::from_slice(json).map_err(not)?;
    if ask.words.first().is_none_or(String::is_empty) {
        return Err(invalid("it names no command"));
    }
    if ask.words.iter().any(|word| word.contains('\0')) {
        return Err(invalid("a word of the command has a NUL byte"));
    }
    Ok(First::Run(ask))
}

/// What is asked, with who asks and what he lends; else why not, with the place unless that is still in use.
type Looked = Result<(ElevationReport, Option<Lent>, Place), (String, Option<Place>)>;

/// Whose a connection is.
async fn who(shared: &Shared, peer: &Connected) -> Peer {
    let Connected { pid, uid, gid, .. } = *peer;
    let (account, has_desktop) = (shared.config.look_up)(uid).await;
    let (account, groups) = match account {
        Ok((account, groups)) => (Ok(account), groups),
        Err(why) => (Err(why), BTreeSet::new()),
    };
    Peer { pid, uid, gid, account, groups, has_desktop }
}

/// Looks at what came with a request, and whose it is.
async fn look(
    shared: &Shared,
    peer: &Connected,
    caller: CallerId,
    ask: Ask,
    taken: Vec<OwnedFd>,
    place: Place,
) -> Looked {
    let terminal = ask.terminal;
    // The place stays with the descriptors: whoever makes this wait for his file system keeps waiting for a new place, too.
    let check = async {
        let look = move || match Lent::check(taken, terminal) {
            Ok((lent, folder)) => Ok((lent, folder, place)),
            Err(why) => Err((why, Some(place))),
        };
        Ok(smol::unblock(look).await)
    };
    let (checked, peer) = smol::future::zip(in_time(ASK_TIME, check), who(shared, peer)).await;
    let (lent, folder, place) = match checked {
        Ok(checked) => checked?,
        Err(error) => return Err((format!("what came with it could not be looked at: {error}"), None)),
    };
    let asked = Asked {
        peer,
        words: ask.words,
        folder,
        terminal,
        environment: ask.environment.into_iter().filter(may_be_kept).collect(),
        reason: ask.reason,
        code: ask.code.map(Secret::new),
    };
    Ok((ElevationReport::Asked { caller, asked: Box::new(asked) }, Some(lent), place))
}

/// Terminal and language, and no value that a library could take for a path or a format.
fn may_be_kept((name, value): &(String, String)) -> bool {
    let known = matches!(name.as_str(), "TERM" | "COLORTERM" | "LANG") || name.starts_with("LC_");
    let named = name.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_');
    known && named && !value.contains(|letter: char| letter == '/' || letter == '%' || letter.is_control())
}

/// The frames of one connection.
struct Conversation<'shared> {
    shared: &'shared Arc<Shared>,
    caller: CallerId,
    prompts: Arc<Mutex<Prompts>>,
}

/// The prompts of one connection.
#[derive(Default)]
struct Prompts {
    /// Those that wait for an answer, each with what answers it in the end.
    open: BTreeMap<u32, Task<()>>,
    /// The highest number of those that were asked.
    highest: Option<u32>,
}

impl<'shared> Conversation<'shared> {
    fn new(shared: &'shared Arc<Shared>, caller: CallerId) -> Self {
        Self { shared, caller, prompts: Arc::default() }
    }

    /// Until one side ends it.
    async fn hold(
        &self,
        stream: &Async<UnixStream>,
        peer: &Connected,
        said: &Receiver<Said>,
        cut: &Receiver<()>,
    ) -> End {
        let gone = async {
            peer.ended().await;
            End::Left(None)
        };
        let cut = async {
            // Nothing is ever sent: the channel only closes.
            let why = cut.recv().await.map_or("it does not read what it is told, or the agent ends", |()| "it was cut");
            End::Left(Some(String::from(why)))
        };
        // What is to be said goes first: a caller who closes his side in the same moment may still read it.
        let end = self.speak(stream, said).or(self.listen(stream)).or(gone).or(cut).await;
        // They hold what they are kept in.
        self.prompts.lock().unwrap_or_else(PoisonError::into_inner).open.clear();
        end
    }

    async fn speak(&self, stream: &Async<UnixStream>, said: &Receiver<Said>) -> End {
        loop {
            let (frame, last) = match said.recv().await {
                Ok(Said::Frame(frame)) => (frame, false),
                Ok(Said::Last(frame)) => (frame, true),
                // Only with the connection itself.
                Err(_closed) => return End::Left(None),
            };
            if let ToCaller::Prompt { prompt, seconds, .. } = &frame {
                self.await_reply(*prompt, *seconds);
            }
            match in_time(READ_TIME, wire::write(stream, &frame)).await {
                Ok(()) if last => return End::Answered,
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return End::Left(None),
                Err(error) => return End::Left(Some(format!("it does not take what it is told ({error})"))),
            }
        }
    }

    async fn listen(&self, stream: &Async<UnixStream>) -> End {
        loop {
            let frame = match wire::read(stream).await {
                Ok(Some(frame)) => frame,
                Ok(None) => return End::Left(None),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return End::Left(None),
                Err(error) => return End::Left(Some(error.to_string())),
            };
            let heard = match frame {
                FromCaller::Signal(signal) => {
                    Some(ElevationReport::Signaled { caller: self.caller, signal: signal.into() })
                }
                FromCaller::Reply { prompt, text } => match self.replied(prompt) {
                    Some(true) => {
                        let reply = text.map_or(Reply::Refused, |text| Reply::Text(Secret::new(text)));
                        Some(ElevationReport::Replied { caller: self.caller, prompt, reply })
                    }
                    Some(false) => None,
                    None => return End::Left(Some(format!("it answers prompt {prompt}, which was not asked"))),
                },
            };
            if let Some(heard) = heard
                && report(self.shared, heard).await.is_none()
            {
                return End::Answered;
            }
        }
    }

    /// Whether this prompt still waits; `None` where it was never asked.
    fn replied(&self, prompt: u32) -> Option<bool> {
        let mut prompts = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = prompts.open.remove(&prompt).is_some();
        (Some(prompt) <= prompts.highest).then_some(waits)
    }

    /// Answers a prompt in the place of a caller who does not.
    fn await_reply(&self, prompt: u32, seconds: u64) {
        let (shared, caller, prompts) = (Arc::clone(self.shared), self.caller, Arc::clone(&self.prompts));
        let late = async move {
            Timer::after(Duration::from_secs(seconds)).await;
            // Taken out and not dropped at once: this is its own task.
            let own = prompts.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&prompt);
            if let Some(own) = own {
                own.detach();
                let refused = ElevationReport::Replied { caller, prompt, reply: Reply::Refused };
                if report(&shared, refused).await.is_none() {
                    log::debug!("nobody takes reports any more");
                }
            }
        };
        let mut prompts = self.prompts.lock().unwrap_or_else(PoisonError::into_inner);
        prompts.highest = prompts.highest.max(Some(prompt));
        let task = self.shared.config.executor.spawn(late);
        prompts.open.insert(prompt, task);
    }
}
