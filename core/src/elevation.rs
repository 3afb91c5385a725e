//! A user's request to run a program with more privileges, from the question to the end of the program (privilege-flow.md section 3).
//!
//! ```text
//! status            event                       next status       orders, once the step is on disk (*)
//! ----------------  --------------------------  ----------------  ------------------------------------------------------
//! (none)            asked                       Requested         Inspect the program
//! Requested         inspected                   Evaluating        ask KeeperPolicy, as soon as it is ready
//! Requested         inspected unfit, time over  Denied *          Answer
//! Evaluating        ALLOW, or a grant holds     Authorized *      fire LaunchPrivilegeElevation
//! Evaluating        PENDING                     AwaitingControls *  fire PolicyEvaluationPending
//! Evaluating        DENY, time over             Denied *          Answer
//! AwaitingControls  a fact, some left           same *            answer whoever waited for that control
//! AwaitingControls  a fact, none left           Authorized *      the same
//! AwaitingControls  refused                     Denied *          Answer
//! AwaitingControls  time over                   same, escalated * where an approval is outstanding; else Expired *, Answer
//! Authorized        launch called               Launching *       Spawn, once the audit has its entry, too
//! Authorized        substitute called           same              Inspect the program that is run instead
//! Authorized        substitute inspected        Launching *       as launch called; Denied * where it is unfit
//! Authorized        rules unreadable, grant over  Denied *        Answer
//! Authorized        time over                   Expired *         Answer
//! Launching         prepared                    same              Release; Abort where it is another file, or the caller left
//! Launching         spawn failed                Denied *          Answer
//! Launching         started                     Running           the launch call is answered; Answer, where it is a substitute
//! Launching         signaled                    same              Signal, once it runs
//! Running           signaled                    same              Signal
//! Running           stopped                     same              Stop
//! Running           left                        same              Signal TERM; after the grace Signal KILL
//! Launching,Running exited                      Finished          Answer, Collect, then Discard
//! before Launching  left, withdrawn             Withdrawn *       Answer, also to who withdrew it
//! before Launching  not on disk                 Denied            Answer
//! any               any other                   same              nothing; calls are told why
//! ```
//! (An `Authorized` for which nothing had to be met is on record and outlives the agent; it comes to disk with the next step.)
//!
//! Never: a launch but by an `Authorization`, which only facts make and one launch uses up; two answers to a caller; a step whose
//! consequence comes before it is on disk; a launch after the end of a request, whatever a job, a message or a call says.
//!
//! | part | does |
//! | --- | --- |
//! | `asked`, `record` | what is asked; what is kept and shown |
//! | `control` | what is outstanding, and the facts that meet it |
//! | `authorization` | the leave to launch, as a value, and the process that it leads to |
//! | `grant`, `redirecting` | what an approval is good for afterwards; what is run instead, where rules say so |
//! | `deciding`, `asking`, `launching` | the steps to a decision; what the requester is asked on the way; the steps of the program |
//! | `own` | what its user sees of it, and may have done, from another terminal |
//! | `ending`, `answering` | how it ends where nothing was launched; who is told, and when |
//! | `message`, `wanted` | what is asked of KeeperPolicy; what a job is to be run for, and what it is told |
//! | `proof` | a grant from the lines of the audit about it, again |

mod answering;
mod asked;
mod asking;
mod authorization;
mod control;
mod deciding;
mod ending;
mod grant;
mod launching;
mod message;
mod own;
pub mod proof;
mod record;
mod redirecting;
#[cfg(test)]
mod tests;
mod wanted;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use answering::{Call, control_answer};
pub(crate) use answering::{ControlAnswer, Launched};
pub use asked::{Asked, CallerId, Peer};
use authorization::{Authorization, Launch};
pub(crate) use control::Approver;
use control::Controls;
use grant::Term;
pub(crate) use grant::{Cleaned, Grant, Grants, Revoker};
pub(crate) use message::POLICY_PLUGIN;
pub use own::{Own, OwnGrant, OwnRequest, OwnWish};
pub use record::{ElevationQuery, ElevationRecord, Granted, Status, Vote};
use redirecting::Sought;
pub use redirecting::Substitute;
pub(crate) use redirecting::{Redirect, Target};
pub(crate) use wanted::Wanted;

use crate::api::stream::Kind;
use crate::audit::Act;
use crate::effect::StoreOrder;
use crate::event::RelayedSignal;
use crate::id::{ElevationId, RequestId, SpawnId, TicketId};
use crate::log_message::Level;
use crate::policy::{Control, Signer};
use crate::time::{Deadline, Monotonic};
use crate::turn::Turn;
use crate::user::Person;
use crate::why::Explanation;

/// Seconds for which KeeperPolicy may be away or silent.
pub(crate) const POLICY_SECONDS: u64 = 30;
/// Seconds for which the file system that a program is on may be silent.
const INSPECTION_SECONDS: u64 = 30;
/// Seconds for which a request waits for its controls.
const PENDING_SECONDS: u64 = 30 * 60;
/// Seconds for which it waits once more where nobody approved it.
const ESCALATED_SECONDS: u64 = 4 * 60 * 60;
/// Seconds from the authorization to the call that launches: a job has to be run in between.
const AUTHORIZED_SECONDS: u64 = 5 * 60;
/// How often somebody is asked for a reason, or a code.
const TRIES: u32 = 3;

#[derive(Debug)]
enum State {
    Requested { ticket: TicketId, until: Monotonic },
    Evaluating { until: Monotonic, asked: Option<SpawnId> },
    Awaiting { until: Monotonic, prompt: Option<(u32, Control)> },
    Authorized { authorization: Authorization, until: Monotonic, sought: Option<Sought> },
    Launching { launch: Launch, ordered: bool, until: Monotonic, fault: Option<(Status, Explanation)> },
    Running { spawn: SpawnId, kill_at: Option<Monotonic> },
    Ended { tree: Option<SpawnId> },
}

/// One request.
#[derive(Debug)]
pub(crate) struct Elevation {
    pub(crate) id: ElevationId,
    /// Who gets the answer; `None` once he has it, or is gone.
    caller: Option<CallerId>,
    /// Whose descriptors the program gets.
    origin: CallerId,
    asked: Asked,
    person: Person,
    state: State,
    controls: Controls,
    /// How long the grant counts that it rests on.
    term: Option<Term>,
    /// Who signed its program, where that was verified.
    signer: Option<Signer>,
    pub(crate) record: ElevationRecord,
    /// The write of the present record, where it waits for one; an older one's answer counts no more.
    write: Option<TicketId>,
    /// Whether it ended, and its record could not be written so.
    pub(crate) is_unkept: bool,
    /// The entry of the launch in the audit, while it is waited for.
    audit: Option<TicketId>,
    calls: Vec<(Call, RequestId)>,
    /// The other connection of its user that withdrew it, until it is answered.
    withdrawer: Option<CallerId>,
    /// For which a job was wanted already, or an event was fired.
    fired: Option<Wanted>,
    wanted: Option<Wanted>,
    /// The event that brings it on now, until it is fired.
    step: Option<Wanted>,
    /// The question about a code, while the store judges it.
    code: Option<TicketId>,
    /// Whether a code of the requester was right.
    is_identified: bool,
    prompts: u32,
    /// Prompts for the same thing so far.
    tries: u32,
    /// Signals for the program, until it is known to run.
    signals: Vec<RelayedSignal>,
}

impl Elevation {
    /// Takes a request and looks for its program. The account and the agent's own rights were looked at: `person` is as whom it runs.
    pub(crate) fn begin(
        id: ElevationId,
        caller: CallerId,
        asked: Asked,
        person: Person,
        candidates: Vec<String>,
        turn: &mut Turn<'_>,
    ) -> Self {
        let account = asked.peer.account.clone().unwrap_or_default();
        let record = ElevationRecord::of(&id, &asked, &account, turn.now.wall);
        let ticket = turn.counters.ticket();
        let mut elevation = Self {
            id,
            caller: Some(caller),
            origin: caller,
            asked,
            person,
            state: State::Requested { ticket, until: turn.now.monotonic.plus_seconds(INSPECTION_SECONDS) },
            controls: Controls::default(),
            signer: None,
            record,
            write: None,
            is_unkept: false,
            audit: None,
            calls: Vec::new(),
            term: None,
            withdrawer: None,
            fired: None,
            wanted: None,
            step: None,
            code: None,
            is_identified: false,
            prompts: 0,
            tries: 0,
            signals: Vec::new(),
        };
        elevation.look_for_program(ticket, candidates, turn);
        elevation
    }

    /// Whether nothing of it is left to be done.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, State::Ended { tree: None })
            && self.write.is_none()
            && self.code.is_none()
            && self.caller.is_none()
    }

    pub(crate) fn is_of(&self, caller: CallerId) -> bool {
        self.origin == caller
    }

    pub(crate) fn awaits(&self, ticket: TicketId) -> bool {
        matches!(&self.state, State::Requested { ticket: own, .. } if *own == ticket)
            || self.seeks(ticket)
            || self.write == Some(ticket)
            || self.audit == Some(ticket)
            || self.code == Some(ticket)
    }

    pub(crate) fn owns(&self, spawn: SpawnId) -> bool {
        match &self.state {
            State::Launching { launch, ordered: true, .. } => launch.spawn == spawn,
            State::Running { spawn: own, .. } | State::Ended { tree: Some(own) } => *own == spawn,
            State::Requested { .. }
            | State::Evaluating { .. }
            | State::Awaiting { .. }
            | State::Authorized { .. }
            | State::Launching { .. }
            | State::Ended { tree: None } => false,
        }
    }

    /// Whether the record is on disk as it stands.
    pub(crate) const fn is_on_disk(&self) -> bool {
        self.write.is_none()
    }

    pub(crate) fn next_deadline(&self) -> Option<Deadline> {
        let (at, reason) = match &self.state {
            State::Requested { until, .. } => (*until, "a request whose program is looked for"),
            State::Evaluating { until, .. } => (*until, "a request that policies decide"),
            State::Awaiting { until, .. } => (*until, "a request that waits for controls"),
            State::Authorized { until, .. } | State::Launching { ordered: false, until, .. } => {
                (*until, "a request that waits for its launch")
            }
            State::Running { kill_at: Some(at), .. } => (*at, "the grace of a program whose caller left"),
            State::Launching { .. } | State::Running { .. } | State::Ended { .. } => return None,
        };
        Some(Deadline { at, reason })
    }

    /// A time may be over. `silence` says what is known of a KeeperPolicy that does not answer.
    pub(crate) fn on_deadline(&mut self, silence: &str, turn: &mut Turn<'_>) {
        let now = turn.now.monotonic;
        match &mut self.state {
            State::Requested { until, .. } if *until <= now => {
                let why = format!("Its program could not be looked at within {INSPECTION_SECONDS} seconds.");
                let fix = "Look at the file system that the program is on, then ask again.";
                self.end(Status::Denied, self.denied(why, fix), turn);
            }
            State::Evaluating { until, .. } if *until <= now => {
                let why = format!("No policy decided within {POLICY_SECONDS} seconds: {silence}");
                let fix = "castellan plugins list shows KeeperPolicy; start it, then ask again.";
                self.end(Status::Denied, self.denied(why, fix), turn);
            }
            State::Awaiting { until, .. } if *until <= now => self.on_pending_over(turn),
            State::Authorized { until, .. } | State::Launching { ordered: false, until, .. } if *until <= now => {
                let why = format!("It was authorized, and was not launched within {AUTHORIZED_SECONDS} seconds.");
                let fix = "castellan runs list shows what became of the job LaunchPrivilegeElevation; ask again.";
                self.end(Status::Expired, self.denied(why, fix), turn);
            }
            State::Running { spawn, kill_at } => {
                let spawn = *spawn;
                if kill_at.take_if(|at| *at <= now).is_some() {
                    launching::kill(spawn, turn);
                }
            }
            State::Requested { .. }
            | State::Evaluating { .. }
            | State::Awaiting { .. }
            | State::Authorized { .. }
            | State::Launching { .. }
            | State::Ended { .. } => {}
        }
    }

    /// The present record is on disk, or could not be brought there. Answers to older ones change nothing.
    pub(crate) fn on_kept(&mut self, ticket: TicketId, result: Result<(), String>, turn: &mut Turn<'_>) {
        if self.write.take_if(|own| *own == ticket).is_none() {
            return;
        }
        let Err(reason) = result else { return self.go_on(turn) };
        let message = format!("Request {} could not be put on record: {reason}", self.id);
        turn.log(Level::Error, "ElevationNotKept", message);
        // What has ended, or runs, is not undone by that.
        if self.is_unlaunched() {
            self.end(Status::Denied, self.not_on_record(&reason), turn);
        } else if matches!(self.state, State::Ended { .. }) {
            self.is_unkept = true;
            self.go_on(turn);
        }
    }

    /// The entry of the launch is in the audit, or could not be written.
    pub(crate) fn on_audited(&mut self, ticket: TicketId, result: Result<(), String>, turn: &mut Turn<'_>) {
        if self.audit.take_if(|own| *own == ticket).is_none() {
            return;
        }
        match (result, &self.state) {
            (Ok(()), _) => self.go_on(turn),
            (Err(reason), State::Launching { ordered: false, .. }) => {
                self.end(Status::Denied, self.not_on_record(&reason), turn);
            }
            (Err(_), _) => {}
        }
    }

    /// Whether no process was asked for yet.
    const fn is_unlaunched(&self) -> bool {
        !matches!(self.state, State::Launching { ordered: true, .. } | State::Running { .. } | State::Ended { .. })
    }

    /// What was ordered to be on disk is there: its consequences follow.
    fn go_on(&mut self, turn: &mut Turn<'_>) {
        if self.write.is_some() || self.audit.is_some() {
            return;
        }
        match &self.state {
            State::Awaiting { .. } => self.want(Wanted::Controls),
            State::Authorized { .. } if self.fired.is_none() => self.want(Wanted::Launch),
            // A job that was run for controls fires the launch by itself.
            State::Authorized { .. } if self.fired == Some(Wanted::Controls) => self.step = Some(Wanted::Launch),
            State::Launching { ordered: false, .. } => return self.order(turn),
            State::Ended { .. } => self.answer(turn),
            State::Requested { .. }
            | State::Evaluating { .. }
            | State::Authorized { .. }
            | State::Launching { .. }
            | State::Running { .. } => {}
        }
        self.answer_calls(turn);
    }

    /// Brings the record to disk, and tells who follows `GET /api/events`. Consequences wait where it is `durable`.
    fn keep(&mut self, status: Status, durable: bool, turn: &mut Turn<'_>) {
        self.record.status = status;
        self.record.changed_at = turn.now.wall.to_rfc3339();
        self.record.outstanding = self.controls.outstanding().iter().copied().collect();
        let ticket = turn.counters.ticket();
        self.write = Some(ticket);
        turn.tell(Kind::Elevation, &message::Change::of(&self.record));
        turn.store(StoreOrder::KeepElevation { ticket, record: self.record.clone().into(), durable });
    }

    fn audit(&self, who: String, what: Act, turn: &mut Turn<'_>) {
        turn.audit_of(&self.id, who, what);
    }

    fn user(&self) -> String {
        format!("user:{}", self.record.user_name)
    }
}
