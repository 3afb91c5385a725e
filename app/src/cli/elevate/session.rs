//! One request's conversation: what the agent says, what is asked in the terminal, which signals come, and what the program shows.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use async_io::Timer;
use async_signal::{Signal, Signals};
use castellan_core::log_message::escape;
use castellan_elevation::client::Connection;
use castellan_elevation::wire::{self, Ended, FromCaller, ToCaller};
use rustix::process::Signal as Halt;
use smol::channel::{Receiver, Sender, bounded};
use smol::future::FutureExt;
use smol::stream::StreamExt;

use super::dialog;
use super::terminal::{Mode, Terminal, Tty};
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
    tty: Option<Tty>,
    terminal: Option<Terminal>,
    signals: Signals,
    launched: Cell<bool>,
    /// Says once that keys are the program's.
    launch: (Sender<()>, Receiver<()>),
    /// Says that the terminal is to have its mode as soon as it is this process's.
    look: (Sender<()>, Receiver<()>),
    /// Says that this was stopped, and goes on.
    continued: (Sender<()>, Receiver<()>),
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
    pub(super) fn new(connection: Connection, tty: Option<Tty>, terminal: Option<Terminal>) -> io::Result<Self> {
        let of_terminals = tty.iter().flat_map(|_| [Signal::Winch, Signal::Cont]);
        let relayed = RELAYED.map(|(signal, _)| signal).into_iter().chain([Signal::Tstp]);
        let signals = Signals::new(relayed.chain(of_terminals))?;
        Ok(Self {
            connection,
            tty,
            terminal,
            signals,
            launched: Cell::new(false),
            launch: bounded(1),
            look: bounded(1),
            continued: bounded(1),
        })
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Until the agent has answered.
    pub(super) async fn hold(&self) -> Result<Outcome, Failure> {
        let (prompts, waiting) = bounded(WAITING_PROMPTS);
        let executor = smol::LocalExecutor::new();
        let output = executor.spawn(async {
            match (&self.terminal, &self.tty) {
                (Some(terminal), Some(tty)) => terminal.relay_output(tty).await,
                (None, _) | (_, None) => Ok(()),
            }
        });
        let conversation =
            self.frames(&prompts).or(self.prompt(&waiting)).or(self.signals()).or(self.mode()).or(self.keys());
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

    async fn frames(&self, prompts: &Sender<Prompt>) -> Result<Outcome, Failure> {
        loop {
            match self.connection.next().await.map_err(|error| self.lost(&error.to_string()))? {
                Some(ToCaller::Tell { text }) => self.say(&text)?,
                Some(ToCaller::Prompt { prompt, text, secret, seconds }) => {
                    let prompt = Prompt { number: prompt, text, secret, seconds };
                    prompts.try_send(prompt).map_err(|_| self.lost("it asks more than anybody could answer"))?;
                }
                Some(ToCaller::Launching) => {
                    self.launched.set(true);
                    self.give_keys().map_err(|error| self.lost(&error.to_string()))?;
                }
                Some(ToCaller::Stopped(signal)) => self.stop_along(signal).await?,
                Some(ToCaller::Ended(ended)) => return Ok(Outcome::Ended(ended)),
                Some(ToCaller::Denied { request, what, why, fix }) => {
                    return Ok(Outcome::Denied { request, explanation: [what, why, fix] });
                }
                Some(ToCaller::Own(_) | ToCaller::GaveUp(_) | ToCaller::NotFound { .. }) => {
                    return Err(self.lost("it answers something else than it was asked"));
                }
                None => return Err(self.lost("it closed the connection")),
            }
        }
    }

    /// Gives the program what is typed, while no other job of the user's has his terminal.
    fn give_keys(&self) -> io::Result<()> {
        if let (Some(tty), Some(_)) = (&self.tty, &self.terminal) {
            tty.wants(Mode::Raw)?;
            self.look_again();
            if self.launch.0.try_send(()).is_err() {
                log::debug!("keys are relayed already, or about to be");
            }
        }
        Ok(())
    }

    fn look_again(&self) {
        if self.look.0.try_send(()).is_err() {
            log::debug!("it is about to be looked already");
        }
    }

    fn on_continued(&self) {
        self.look_again();
        if self.continued.0.try_send(()).is_err() {
            log::debug!("a question is about to be asked again already");
        }
    }

    /// Gives the terminal the mode that is wanted once this comes to the foreground.
    async fn mode(&self) -> Result<Outcome, Failure> {
        while let (Ok(()), Some(tty)) = (self.look.1.recv().await, &self.tty) {
            if tty.foreground().await.is_err() {
                log::debug!("the terminal hung up");
                break;
            }
            tty.take().map_err(no_mode)?;
            self.resize(tty)?;
        }
        std::future::pending().await
    }

    /// Asks whoever sits at the terminal; where nobody does, the agent is told so.
    async fn prompt(&self, waiting: &Receiver<Prompt>) -> Result<Outcome, Failure> {
        while let Ok(Prompt { number, text, secret, seconds }) = waiting.recv().await {
            let late = async {
                Timer::after(Duration::from_secs(seconds)).await;
                Err(io::Error::new(io::ErrorKind::TimedOut, "nobody answered in time"))
            };
            let asked = self.answer(&format!("{} ", escape(&text)), secret).or(late).await;
            if let Some(tty) = &self.tty {
                tty.wants(Mode::AsItWas).map_err(no_mode)?;
            }
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

    /// Asks in the terminal, also where standard input or output is none of it; without one, on the desktop. Asks again where this was stopped
    /// meanwhile: its shell wrote below the question, and the terminal forgot what was typed.
    async fn answer(&self, text: &str, secret: bool) -> io::Result<Option<String>> {
        let Some(tty) = &self.tty else { return dialog::ask(text, secret).await };
        if self.continued.1.try_recv().is_ok() {
            log::debug!("this went on before there was a question");
        }
        loop {
            let asked = async { Some(self.ask_in(tty, text, secret).await) };
            let continued = async { self.continued.1.recv().await.ok().and(None) };
            if let Some(line) = asked.or(continued).await {
                return line;
            }
        }
    }

    async fn ask_in(&self, tty: &Tty, text: &str, secret: bool) -> io::Result<Option<String>> {
        if !tty.is_ours() {
            self.tell("There is a question: bring this to the foreground (fg).")?;
            tty.foreground().await?;
        }
        tty.wants(if secret { Mode::Hidden } else { Mode::AsItWas })?;
        tty.write_all(text.as_bytes()).await?;
        let line = tty.line().await;
        if secret {
            tty.write_all(b"\n").await?;
        }
        line
    }

    /// A signal is the program's once it runs; before, it ends the request.
    async fn signals(&self) -> Result<Outcome, Failure> {
        let mut signals = &self.signals;
        while let Some(signal) = signals.next().await {
            let signal =
                signal.map_err(|error| Failure::failed(format!("signals cannot be heard any more: {error}.")))?;
            match (relayed(signal), &self.tty) {
                (Some(signal), _) if self.launched.get() => self.pass_on(signal).await?,
                (Some(_), _) => return Ok(Outcome::Withdrawn(signal as i32)),
                (None, _) if signal == Signal::Tstp => self.stop().await?,
                (None, Some(tty)) if signal == Signal::Winch => self.resize(tty)?,
                (None, Some(_)) => self.on_continued(),
                (None, None) => {}
            }
        }
        Err(Failure::failed("signals cannot be heard any more."))
    }

    /// Somebody stops this. A program on a terminal of its own decides itself, and then says so; another one is stopped, too, also where
    /// only the agent knows yet that it runs.
    async fn stop(&self) -> Result<(), Failure> {
        match (self.launched.get(), &self.terminal) {
            (true, Some(_)) => return self.pass_on(wire::Signal::Suspend).await,
            (false, Some(_)) => {}
            (true | false, None) => self.pass_on(wire::Signal::Suspend).await?,
        }
        self.tty.as_ref().map_or(Ok(()), Tty::leave).map_err(no_mode)?;
        halt(Halt::TSTP, self.terminal.is_none())?;
        // Where no shell could continue it nothing stopped and no signal comes, and a code has to stay hidden.
        self.tty.as_ref().map_or(Ok(()), Tty::take).map_err(no_mode)?;
        self.go_on().await;
        Ok(())
    }

    /// The program on its terminal is stopped: once all is shown this stops with what else is of its job, and the user's terminal is as it was.
    async fn stop_along(&self, signal: i32) -> Result<(), Failure> {
        let (Some(terminal), Some(tty)) = (&self.terminal, &self.tty) else { return Ok(()) };
        let late = async {
            Timer::after(LAST_OUTPUT_TIME).await;
            Ok(())
        };
        if let Err(error) = terminal.show_rest(tty).or(late).await {
            log::debug!("the last output could not be shown: {error}");
        }
        tty.leave().map_err(no_mode)?;
        halt(if signal == Halt::STOP.as_raw() { Halt::STOP } else { Halt::TSTP }, true)?;
        tty.take().map_err(no_mode)?;
        self.resize(tty)?;
        self.go_on().await;
        Ok(())
    }

    /// The program continues with this. Where it ended meanwhile, the agent has said so already.
    async fn go_on(&self) {
        if let Err(error) = self.connection.send(&FromCaller::Signal(wire::Signal::Continue)).await {
            log::debug!("the agent does not hear that this goes on: {error}");
        }
        self.look_again();
    }

    async fn pass_on(&self, signal: wire::Signal) -> Result<(), Failure> {
        self.connection.send(&FromCaller::Signal(signal)).await.map_err(|error| self.lost(&error.to_string()))
    }

    /// Gives the program's terminal the size of the user's, which tells only what is in its foreground.
    fn resize(&self, tty: &Tty) -> Result<(), Failure> {
        match &self.terminal {
            Some(terminal) if tty.is_ours() => terminal.resize(tty).map_err(no_mode),
            Some(_) | None => Ok(()),
        }
    }

    /// What is typed belongs to the program once it is launched.
    async fn keys(&self) -> Result<Outcome, Failure> {
        if let (Ok(()), Some(terminal), Some(tty)) = (self.launch.1.recv().await, &self.terminal, &self.tty)
            && let Err(error) = terminal.relay_input(tty).await
        {
            // The program may go on without; a terminal that hung up says so by a signal, too.
            log::debug!("nothing can be typed any more: {error}");
        }
        std::future::pending().await
    }

    /// A line of its own on standard error, also while the terminal does not turn line ends.
    fn say(&self, text: &str) -> Result<(), Failure> {
        self.tell(text).map_err(|error| Failure::failed(format!("standard error cannot be written: {error}.")))
    }

    fn tell(&self, text: &str) -> io::Result<()> {
        let mut stderr = io::stderr();
        let end = if self.launched.get() && self.terminal.is_some() && stderr.is_terminal() { "\r\n" } else { "\n" };
        write!(stderr, "castellan: {}{end}", escape(text))
    }

    fn lost(&self, why: &str) -> Failure {
        let state = match self.launched.get() {
            true => "the program was launched, and what became of it stands in the agent's audit",
            false => "nothing was launched",
        };
        Failure::unreachable(format!("the agent was lost ({}): {state}. See that it runs, and try again.", escape(why)))
    }
}

/// Stops as everything stops, until somebody has it continue; at once, where no shell could.
fn halt(signal: Halt, group: bool) -> Result<(), Failure> {
    castellan_process::stop(signal, group)
        .map_err(|error| Failure::failed(format!("this could not be stopped: {error}.")))
}

fn no_mode(error: io::Error) -> Failure {
    Failure::failed(format!("the terminal cannot be set: {error}."))
}

fn relayed(signal: Signal) -> Option<wire::Signal> {
    RELAYED.iter().find(|(heard, _)| *heard == signal).map(|(_, relayed)| *relayed)
}
