//! One request's conversation: what the agent says, what is asked in the terminal, which signals come, and what the program shows.

use std::cell::{Cell, RefCell};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use async_io::Timer;
use async_signal::{Signal, Signals};
use castellan_core::log_message::escape;
use castellan_elevation::client::Connection;
use castellan_elevation::wire::{self, Ended, FromCaller, ToCaller};
use smol::channel::{Receiver, Sender, bounded};
use smol::future::FutureExt;
use smol::stream::StreamExt;

use super::dialog;
use super::terminal::{ModeGuard, Terminal, Tty};
use crate::failure::Failure;

/// For what a program showed last, once it has ended; what it left running may keep its terminal.
const LAST_OUTPUT_TIME: Duration = Duration::from_secs(2);
/// Prompts that wait for the one before; the agent asks one at a time.
const WAITING_PROMPTS: usize = 8;

/// What is passed on to the program.
const RELAYED: [(Signal, wire::Signal); 6] = [
    (Signal::Hup, wire::Signal::Hangup),
    (Signal::Int, wire::Signal::Interrupt),
    (Signal::Quit, wire::Signal::Quit),
    (Signal::Term, wire::Signal::Terminate),
    (Signal::Usr1, wire::Signal::User1),
    (Signal::Usr2, wire::Signal::User2),
];

/// How a request ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The program ran.
    Ended(Ended),
    /// A signal came before anything ran.
    Withdrawn(i32),
    /// The agent said no.
    Denied { request: Option<String>, explanation: [String; 3] },
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    terminal: Option<Terminal>,
    signals: Signals,
    launched: Cell<bool>,
}

/// A question of the agent's.
struct Prompt {
    number: u32,
    text: String,
    secret: bool,
    seconds: u64,
}

impl Session {
    /// Hears signals from here on.
    pub(super) fn new(connection: Connection, terminal: Option<Terminal>) -> io::Result<Self> {
        let of_terminals = terminal.iter().flat_map(|_| [Signal::Winch, Signal::Tstp]);
        let signals = Signals::new(RELAYED.map(|(signal, _)| signal).into_iter().chain(of_terminals))?;
        Ok(Self { connection, terminal, signals, launched: Cell::new(false) })
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Until the agent has answered.
    pub(super) async fn hold(&self) -> Result<Outcome, Failure> {
        let raw = RefCell::new(None);
        let (prompts, waiting) = bounded(WAITING_PROMPTS);
        let (launch, launched) = bounded(1);
        let executor = smol::LocalExecutor::new();
        let output = executor.spawn(async {
            match &self.terminal {
                Some(terminal) => terminal.relay_output().await,
                None => Ok(()),
            }
        });
        let conversation = self
            .frames(&prompts, &launch, &raw)
            .or(self.prompt(&waiting))
            .or(self.signals(&launch, &raw))
            .or(self.keys(&launched));
        let outcome = executor.run(conversation).await?;
        let late = async {
            Timer::after(LAST_OUTPUT_TIME).await;
            Ok(())
        };
        // A terminal that hung up shows nothing more; how the program ended is told all the same.
        if let Err(error) = executor.run(output.or(late)).await {
            log::debug!("the last output could not be shown: {error}");
        }
        Ok(outcome)
    }

    async fn frames<'s>(
        &'s self,
        prompts: &Sender<Prompt>,
        launch: &Sender<()>,
        raw: &RefCell<Option<ModeGuard<'s>>>,
    ) -> Result<Outcome, Failure> {
        loop {
            match self.connection.next().await.map_err(|error| self.lost(&error.to_string()))? {
                Some(ToCaller::Tell { text }) => self.say(&text)?,
                Some(ToCaller::Prompt { prompt, text, secret, seconds }) => {
                    let prompt = Prompt { number: prompt, text, secret, seconds };
                    prompts.try_send(prompt).map_err(|_| self.lost("it asks more than anybody could answer"))?;
                }
                Some(ToCaller::Launching) => {
                    self.launched.set(true);
                    self.take_terminal(launch, raw).map_err(|error| self.lost(&error.to_string()))?;
                }
                Some(ToCaller::Ended(ended)) => return Ok(Outcome::Ended(ended)),
                Some(ToCaller::Denied { request, what, why, fix }) => {
                    return Ok(Outcome::Denied { request, explanation: [what, why, fix] });
                }
                None => return Err(self.lost("it closed the connection")),
            }
        }
    }

    /// Gives the program what is typed, unless another job of the user's has his terminal.
    fn take_terminal<'s>(&'s self, launch: &Sender<()>, raw: &RefCell<Option<ModeGuard<'s>>>) -> io::Result<()> {
        if let Some(terminal) = self.terminal.as_ref().filter(|terminal| terminal.tty.is_foreground()) {
            raw.replace(Some(terminal.tty.raw()?));
            if launch.try_send(()).is_err() {
                log::debug!("keys are relayed already, or about to be");
            }
        }
        Ok(())
    }

    /// Asks whoever sits at the terminal; where nobody does, the agent is told so.
    async fn prompt(&self, waiting: &Receiver<Prompt>) -> Result<Outcome, Failure> {
        while let Ok(Prompt { number, text, secret, seconds }) = waiting.recv().await {
            let late = async {
                Timer::after(Duration::from_secs(seconds)).await;
                Err(io::Error::new(io::ErrorKind::TimedOut, "nobody answered in time"))
            };
            let asked = match &self.terminal {
                Some(terminal) => terminal.tty.ask(&format!("{} ", escape(&text)), secret).or(late).await,
                None => ask(&text, secret).or(late).await,
            };
            let text = match asked {
                Ok(text) => text,
                Err(error) => {
                    self.say(&format!("{text} Nobody could be asked: {error}. Give --reason or --code in advance."))?;
                    None
                }
            };
            let reply = FromCaller::Reply { prompt: number, text };
            self.connection.send(&reply).await.map_err(|error| self.lost(&error.to_string()))?;
        }
        Err(self.lost("the conversation ended by itself"))
    }

    /// A signal is the program's once it runs; before, it ends the request.
    async fn signals<'s>(
        &'s self,
        launch: &Sender<()>,
        raw: &RefCell<Option<ModeGuard<'s>>>,
    ) -> Result<Outcome, Failure> {
        let mut signals = &self.signals;
        while let Some(signal) = signals.next().await {
            let signal =
                signal.map_err(|error| Failure::failed(format!("signals cannot be heard any more: {error}.")))?;
            match (relayed(signal), &self.terminal) {
                (Some(signal), _) if self.launched.get() => {
                    let signal = FromCaller::Signal(signal);
                    self.connection.send(&signal).await.map_err(|error| self.lost(&error.to_string()))?;
                }
                (Some(_), _) => return Ok(Outcome::Withdrawn(signal as i32)),
                (None, Some(terminal)) if signal == Signal::Tstp => self.stop(terminal, launch, raw)?,
                (None, Some(terminal)) => self.resize(terminal)?,
                (None, None) => {}
            }
        }
        Err(Failure::failed("signals cannot be heard any more."))
    }

    /// Stops as everything stops, with the terminal as it was; the program runs on meanwhile, and stops where it shows too much.
    fn stop<'s>(
        &'s self,
        terminal: &Terminal,
        launch: &Sender<()>,
        raw: &RefCell<Option<ModeGuard<'s>>>,
    ) -> Result<(), Failure> {
        let failed = |error: io::Error| Failure::failed(format!("this could not be stopped: {error}."));
        drop(raw.take());
        signal_hook::low_level::emulate_default_handler(Signal::Tstp as i32).map_err(failed)?;
        if self.launched.get() {
            self.take_terminal(launch, raw).map_err(failed)?;
        }
        self.resize(terminal)
    }

    fn resize(&self, terminal: &Terminal) -> Result<(), Failure> {
        terminal.resize().map_err(|error| Failure::failed(format!("the terminal has no size any more: {error}.")))
    }

    /// What is typed belongs to the program once it is launched.
    async fn keys(&self, launched: &Receiver<()>) -> Result<Outcome, Failure> {
        if let (Ok(()), Some(terminal)) = (launched.recv().await, &self.terminal)
            && let Err(error) = terminal.relay_input().await
        {
            // The program may go on without; a terminal that hung up says so by a signal, too.
            log::debug!("nothing can be typed any more: {error}");
        }
        std::future::pending().await
    }

    /// A line of its own on standard error, also while the terminal does not turn line ends.
    fn say(&self, text: &str) -> Result<(), Failure> {
        let mut stderr = io::stderr();
        let end = if self.launched.get() && self.terminal.is_some() && stderr.is_terminal() { "\r\n" } else { "\n" };
        write!(stderr, "castellan: {}{end}", escape(text))
            .map_err(|error| Failure::failed(format!("standard error cannot be written: {error}.")))
    }

    fn lost(&self, why: &str) -> Failure {
        let state = match self.launched.get() {
            true => "the program was launched, and what became of it stands in the agent's audit",
            false => "nothing was launched",
        };
        Failure::unreachable(format!("the agent was lost ({}): {state}. See that it runs, and try again.", escape(why)))
    }
}

/// Asks in the terminal where standard input or output is none of it; without one, on the desktop.
async fn ask(text: &str, secret: bool) -> io::Result<Option<String>> {
    let text = format!("{} ", escape(text));
    match Tty::open() {
        Ok(tty) => tty.ask(&text, secret).await,
        Err(_) => dialog::ask(&text, secret).await,
    }
}

fn relayed(signal: Signal) -> Option<wire::Signal> {
    RELAYED.iter().find(|(heard, _)| *heard == signal).map(|(_, relayed)| *relayed)
}
