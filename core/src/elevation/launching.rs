//! From the call that launches to the end of the program.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};

use super::authorization::Program;
use super::{Elevation, State, Status, Substitute};
use crate::audit::{Act, InsteadOf};
use crate::effect::{Effect, ElevationAnswer, ElevationOrder, ProcessOrder, TreeSignal, Way};
use crate::event::{Captured, ExecutableFacts, ExitStatus, RelayedSignal};
use crate::id::SpawnId;
use crate::log_message::Level;
use crate::program;
use crate::turn::Turn;
use crate::user::{self, UserFacts};

/// Seconds between SIGTERM and SIGKILL of a program whose caller left.
const GRACE_SECONDS: u64 = 10;

impl Elevation {
    /// What runs is asked to end, and killed after its grace.
    pub(super) fn end_running(&mut self, turn: &mut Turn<'_>) {
        if let State::Running { spawn, kill_at: kill_at @ None } = &mut self.state {
            *kill_at = Some(turn.now.monotonic.plus_seconds(GRACE_SECONDS));
            terminate(*spawn, turn);
        }
    }

    /// Uses the authorization up, for what was asked or for what stands in for it. Once that is on disk and in the audit, it is ordered.
    pub(super) fn launch(&mut self, substitute: Option<Substitute>, turn: &mut Turn<'_>) {
        if let Some(why) = self.outlived(turn.now) {
            return self.end(
                Status::Denied,
                self.denied(why, "Ask again: what it stood in for is asked for anew."),
                turn,
            );
        }
        let state = core::mem::replace(&mut self.state, State::Ended { tree: None });
        let State::Authorized { authorization, until, .. } = state else {
            self.state = state;
            return;
        };
        let launch = authorization.launch(turn.counters.spawn(), turn.elevation_account);
        let run_as = launch.account.clone().unwrap_or_else(|| self.person.name.clone());
        self.state = State::Launching { launch, ordered: false, until, fault: None };
        let (asked, command) = (self.record.file_path.clone().unwrap_or_default(), self.record.command.clone());
        let (program, command, instead_of) = match &substitute {
            None => (asked, command, None),
            Some(substitute) => {
                let instead_of = InsteadOf { program: asked, command, rule: substitute.rule };
                (substitute.file_path.clone(), substitute.command(), Some(instead_of))
            }
        };
        let what = Act::Launch { program, sha256: None, command, run_as, instead_of };
        self.record.substitute = substitute;
        self.audit = Some(turn.audit_awaited(&self.id, self.user(), what));
        self.keep(Status::Launching, true, turn);
    }

    /// It is on disk that it is launched, and in the audit.
    pub(super) fn order(&mut self, turn: &mut Turn<'_>) {
        let (State::Launching { launch, ordered, .. }, Some(program)) = (&mut self.state, &self.record.program) else {
            return;
        };
        *ordered = true;
        let request = match &self.record.substitute {
            None => launch.request(&self.id, self.origin, program, &self.asked),
            Some(substitute) => launch.of_substitute(&self.id, substitute),
        };
        turn.process(ProcessOrder::Spawn(request));
    }

    /// Its process waits before its first instruction: it is the file that was judged, and its caller is still there.
    pub(crate) fn on_prepared(
        &mut self,
        pid: u32,
        executable: &ExecutableFacts,
        user: Option<&UserFacts>,
        turn: &mut Turn<'_>,
    ) {
        let State::Launching { launch, ordered: true, .. } = &self.state else { return };
        let spawn = launch.spawn;
        let left = self.caller.is_none().then(|| (Status::Withdrawn, self.withdrawn()));
        let other = self.fault_of(executable).map(|why| {
            let fix = "Find out who changes it; ask again when it is as it should be.";
            (Status::Denied, self.denied(why, fix))
        });
        let person = match &launch.account {
            Some(name) => user::elevated_as(name, user, self.record.user_id, turn.surroundings),
            None => Ok(self.person.clone()),
        }
        .map_err(|why| {
            let why = format!("It was authorized, and cannot run: {why}");
            (Status::Denied, self.denied(why, "An administrator sets Settings:ElevationAccount; then ask again."))
        });
        let State::Launching { fault, .. } = &mut self.state else { return };
        match (fault.take().or(left).or(other), person) {
            (None, Ok(person)) => {
                self.record.process_id = Some(pid);
                turn.process(ProcessOrder::Release { spawn, way: Way::Directly, person: Some(Box::new(person)) });
            }
            (Some(found), _) | (None, Err(found)) => {
                let reason = found.1.why.clone();
                *fault = Some(found);
                turn.process(ProcessOrder::Abort { spawn, reason });
            }
        }
    }

    /// Why a file is not the one that policies judged, if so.
    fn fault_of(&self, executable: &ExecutableFacts) -> Option<String> {
        let path = &executable.path;
        if let Err(unfit) = program::by_file(executable) {
            return Some(format!("Its program cannot be run any more: {}", unfit.why));
        }
        let substitute = self.record.substitute.as_ref().map(|substitute| &substitute.program);
        let judged = substitute.or(self.record.program.as_ref());
        (Program::of(executable).as_ref() != judged)
            .then(|| format!("The file '{path}' was changed or replaced after it had been judged."))
    }

    pub(crate) fn on_started(&mut self, turn: &mut Turn<'_>) {
        let State::Launching { launch, ordered: true, fault, .. } = &self.state else { return };
        // A substitute runs for nobody who could leave.
        let is_left = self.caller.is_none() && self.record.substitute.is_none();
        let (spawn, must_end) = (launch.spawn, fault.is_some() || is_left);
        let kill_at = must_end.then(|| turn.now.monotonic.plus_seconds(GRACE_SECONDS));
        self.state = State::Running { spawn, kill_at };
        if must_end {
            terminate(spawn, turn);
        }
        for signal in core::mem::take(&mut self.signals) {
            relay(spawn, signal, turn);
        }
        let message = format!("Request {} runs as process {}.", self.id, self.record.process_id.unwrap_or_default());
        turn.log(Level::Information, "Elevation", message);
        self.answer_redirected(turn);
        self.keep(Status::Running, false, turn);
        self.answer_calls(turn);
    }

    /// There is no such process and there will be none.
    pub(crate) fn on_spawn_failed(&mut self, reason: &str, turn: &mut Turn<'_>) {
        let (status, explanation) = match &mut self.state {
            State::Launching { ordered: true, fault, .. } => fault.take().unwrap_or_else(|| {
                let why = format!("It was authorized, and its program could not be started: {reason}");
                (Status::Denied, self.denied(why, "Mend that, then ask again."))
            }),
            State::Ended { tree } => {
                *tree = None;
                return;
            }
            State::Requested { .. }
            | State::Evaluating { .. }
            | State::Awaiting { .. }
            | State::Authorized { .. }
            | State::Launching { .. }
            | State::Running { .. } => return,
        };
        self.record.process_id = None;
        self.end(status, explanation, turn);
    }

    /// Somebody stopped it, or it stopped itself: its caller stops with it. What is to end goes on.
    pub(crate) fn on_stopped(&self, signal: i32, turn: &mut Turn<'_>) {
        if let (State::Running { kill_at: None, .. }, Some(caller)) = (&self.state, self.caller) {
            turn.effects.push(Effect::Elevation(ElevationOrder::Stop { caller, signal }));
        }
    }

    /// The program ended: its caller hears how at once, then what is left of its tree is ended.
    pub(crate) fn on_exited(&mut self, status: ExitStatus, turn: &mut Turn<'_>) {
        let spawn = match &self.state {
            State::Launching { launch, ordered: true, .. } => launch.spawn,
            State::Running { spawn, .. } => *spawn,
            State::Requested { .. }
            | State::Evaluating { .. }
            | State::Awaiting { .. }
            | State::Authorized { .. }
            | State::Launching { .. }
            | State::Ended { .. } => return,
        };
        if self.record.substitute.is_none() {
            self.record.explanation = None;
        }
        self.answer_redirected(turn);
        if let Some(caller) = self.caller.take() {
            let answer = ElevationAnswer::Ended(status);
            turn.effects.push(Effect::Elevation(ElevationOrder::Answer { caller, answer }));
        }
        turn.process(ProcessOrder::Collect { spawn });
        let exit = shown(status);
        self.audit(self.user(), Act::Exit { status: exit.clone() }, turn);
        turn.log(Level::Information, "Elevation", format!("Request {} ended: {exit}.", self.id));
        self.record.exit = Some(exit);
        self.state = State::Ended { tree: Some(spawn) };
        self.keep(Status::Finished, false, turn);
        self.answer_calls(turn);
    }

    pub(crate) fn on_collected(&self, stdout: &Captured, stderr: &Captured, turn: &mut Turn<'_>) {
        if let State::Ended { tree: Some(spawn) } = self.state {
            self.log_output(stdout, stderr, turn);
            turn.process(ProcessOrder::Discard { spawn });
        }
    }

    pub(crate) fn on_discarded(&mut self) {
        if let State::Ended { tree } = &mut self.state {
            *tree = None;
        }
    }

    /// The caller passes a signal on.
    pub(crate) fn on_signaled(&mut self, signal: RelayedSignal, turn: &mut Turn<'_>) {
        match self.state {
            // It is not his.
            State::Launching { .. } | State::Running { .. } if self.record.substitute.is_some() => {}
            State::Running { spawn, .. } => relay(spawn, signal, turn),
            // It may run already, but that is not known yet. Each kind once, as the kernel keeps them.
            State::Launching { ordered: true, .. } if !self.signals.contains(&signal) => {
                self.signals.retain(|kept| !undoes(signal, *kept));
                self.signals.push(signal);
            }
            State::Requested { .. }
            | State::Evaluating { .. }
            | State::Awaiting { .. }
            | State::Authorized { .. }
            | State::Launching { .. }
            | State::Ended { .. } => {}
        }
    }
}

/// Whether one takes the other back, as with the kernel.
const fn undoes(signal: RelayedSignal, kept: RelayedSignal) -> bool {
    matches!(
        (signal, kept),
        (RelayedSignal::Suspend, RelayedSignal::Continue) | (RelayedSignal::Continue, RelayedSignal::Suspend)
    )
}

fn relay(spawn: SpawnId, signal: RelayedSignal, turn: &mut Turn<'_>) {
    turn.process(ProcessOrder::Signal { spawn, signal: TreeSignal::Relayed(signal) });
}

pub(super) fn terminate(spawn: SpawnId, turn: &mut Turn<'_>) {
    turn.process(ProcessOrder::Signal { spawn, signal: TreeSignal::Terminate });
}

pub(super) fn kill(spawn: SpawnId, turn: &mut Turn<'_>) {
    turn.process(ProcessOrder::Signal { spawn, signal: TreeSignal::Kill });
}

fn shown(status: ExitStatus) -> String {
    match status {
        ExitStatus::Code(code) => format!("code {code}"),
        ExitStatus::Signal(signal) => format!("signal {signal}"),
        ExitStatus::OutOfMemory => "killed by the kernel for its memory".to_string(),
    }
}
