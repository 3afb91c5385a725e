//! From the question to a decision: the program is found, policies are asked, controls are met or refused.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::authorization::{Authorization, Program};
use super::control::{Approver, Controls, Fact};
use super::grant::{APPROVED_SECONDS, Grants, IDENTIFIED_SECONDS};
use super::message::{APPROVAL_TOPIC, POLICY_PLUGIN};
use super::{
    AUTHORIZED_SECONDS, Call, ESCALATED_SECONDS, Elevation, Granted, PENDING_SECONDS, POLICY_SECONDS, State, Status,
    Vote, control_answer,
};
use crate::api::ApiResponse;
use crate::audit::Act;
use crate::effect::{BrokerOrder, ProcessOrder, ProgramQuery};
use crate::event::ExecutableFacts;
use crate::id::{RequestId, SpawnId, TicketId};
use crate::log_message::Level;
use crate::policy::basis::Basis;
use crate::policy::{Control, Decision, Request, Verdict};
use crate::program;
use crate::surroundings::DEFAULT_PATH;
use crate::trust::signature::SignaturePolicy;
use crate::turn::Turn;
use crate::why::Explanation;

impl Elevation {
    pub(super) fn look_for_program(&mut self, ticket: TicketId, candidates: Vec<String>, turn: &mut Turn<'_>) {
        let signers = turn.signers.to_vec();
        let queries = Vec::from([ProgramQuery { candidates, signers, ..ProgramQuery::default() }]);
        turn.process(ProcessOrder::Inspect { ticket, queries });
        let peer = &self.asked.peer;
        let what = Act::Request {
            user: self.record.user_name.clone(),
            uid: peer.uid,
            pid: peer.pid,
            command: self.asked.words.clone(),
            folder: self.asked.folder.clone(),
            reason: self.asked.reason.clone(),
        };
        self.audit(self.user(), what, turn);
        let message = format!(
            "{} (user {}) asks to run '{}' as request {}.",
            self.record.user_name,
            peer.uid,
            self.record.command_line(),
            self.id
        );
        turn.log(Level::Information, "Elevation", message);
    }

    /// What the command resolves to, or why that is not known.
    pub(crate) fn on_inspected(&mut self, found: Result<&ExecutableFacts, &str>, turn: &mut Turn<'_>) {
        if !matches!(self.state, State::Requested { .. }) {
            return self.on_substitute_found(found, turn);
        }
        let fit = found.map_err(ToString::to_string).and_then(|facts| {
            let name = self.asked.words.first().map(String::as_str).unwrap_or_default();
            if !facts.exists && !name.contains('/') {
                return Err(format!("'{name}' is in none of the folders of root's PATH, {DEFAULT_PATH}."));
            }
            let policy = SignaturePolicy { pins: turn.signers, non_admin: &[] };
            Ok((Program::fit(facts)?, program::signer(facts, policy, turn.now.wall)))
        });
        match fit {
            Ok((program, signer)) => {
                self.signer = signer;
                self.record.file_path = Some(program.resolved.clone());
                self.record.program = Some(program);
                self.record.status = Status::Evaluating;
                let until = turn.now.monotonic.plus_seconds(POLICY_SECONDS);
                self.state = State::Evaluating { until, asked: None };
            }
            Err(why) => {
                let fix = "Name a program of the system that is there: by its path, or by its name in a folder of root's PATH.";
                self.end(Status::Denied, self.denied(format!("The program cannot be run: {why}"), fix), turn);
            }
        }
    }

    /// KeeperPolicy is ready in this process: it is asked, once for each process that it has.
    pub(crate) fn ask(&mut self, policy: SpawnId, turn: &mut Turn<'_>) {
        let State::Evaluating { asked, .. } = &mut self.state else { return };
        if asked.replace(policy) == Some(policy) {
            return;
        }
        match self.question(turn) {
            Ok(payload) => {
                let topic = POLICY_PLUGIN.to_string();
                turn.broker(BrokerOrder::Publish { topic, payload, qos: 1, retain: false });
            }
            Err(why) => {
                let fix = "Look at the clock and the time zone of this machine, then ask again.";
                self.end(Status::Denied, self.denied(format!("Policies cannot be asked: {why}"), fix), turn);
            }
        }
    }

    /// There is nobody to decide, and it will not come by itself.
    pub(crate) fn on_no_policy(&mut self, why: &str, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Evaluating { .. }) {
            let fix = "castellan init installs KeeperPolicy; castellan plugins list shows why it does not run.";
            self.end(Status::Denied, self.denied(why, fix), turn);
        }
    }

    /// What KeeperPolicy answered; the first answer counts. `crowded` says why no request of this user may begin to wait now.
    ///
    /// # Errors
    /// Where none is waited for: a sentence.
    pub(crate) fn on_decision(
        &mut self,
        (decision, basis): (Decision, Option<Basis>),
        grants: &Grants,
        crowded: Option<String>,
        turn: &mut Turn<'_>,
    ) -> Result<(), String> {
        if !matches!(self.state, State::Evaluating { .. }) {
            return Err(format!("Request {} waits for no decision.", self.id));
        }
        self.audit_decision(&decision, basis, turn);
        let Decision { verdict, policies, notify, risk_level, approvers, explanation, .. } = decision;
        (self.record.policy_ids, self.record.risk_level) = (policies, risk_level);
        for notice in notify.iter().filter(|notice| !notice.message.is_empty()) {
            self.tell(notice.message.clone(), turn);
        }
        let required = match verdict {
            Verdict::Deny => {
                self.close(Status::Denied, explanation.summary(), turn);
                return Ok(());
            }
            Verdict::Allow => BTreeSet::new(),
            Verdict::Pending(required) => required,
        };
        self.record.explanation = Some(explanation.summary());
        self.record.controls = required.iter().copied().collect();
        self.record.approvers = approvers.clone();
        self.controls = Controls::required(required, approvers);
        self.reuse(grants, turn);
        if let Some(why) = crowded.filter(|_| !self.controls.outstanding().is_empty()) {
            let fix = "Ask again once one of them was answered or withdrawn; castellan requests mine shows yours.";
            self.end(Status::Denied, self.denied(why, fix), turn);
            return Ok(());
        }
        let until = turn.now.monotonic.plus_seconds(PENDING_SECONDS);
        self.state = State::Awaiting { until, prompt: None };
        self.advance(turn);
        Ok(())
    }

    /// A grant that counts stands in for what it covers.
    fn reuse(&mut self, grants: &Grants, turn: &mut Turn<'_>) {
        let Some(program) = &self.record.program else { return };
        let found = grants.find(self.record.user_id, program, &self.record.command, turn.now);
        let Some((id, grant)) = found else { return };
        let before = self.controls.outstanding().clone();
        if self.controls.meet(&Fact::Granted(grant, turn.now)) {
            self.record.grant_id = Some(id.to_string());
            self.term = Some(grant.term);
            for control in before.difference(self.controls.outstanding()) {
                let (control, reason) = (control.as_str().to_string(), format!("Grant {id} covers it."));
                let what = Act::Control { control, satisfied: true, reason, grant: Some(id.to_string()) };
                self.audit(self.user(), what, turn);
            }
            let message = format!("Request {} rests on grant {id}.", self.id);
            turn.log(Level::Information, "Elevation", message);
        }
    }

    /// Authorized where nothing is outstanding; on record in any case.
    fn advance(&mut self, turn: &mut Turn<'_>) {
        let Some(authorization) = Authorization::of(&self.controls) else {
            return self.keep(Status::AwaitingControls, true, turn);
        };
        let until = turn.now.monotonic.plus_seconds(AUTHORIZED_SECONDS);
        self.state = State::Authorized { authorization, until, sought: None };
        let is_approved = self.record.votes.iter().any(|vote| vote.approved);
        if is_approved || self.is_identified {
            let seconds = if is_approved { APPROVED_SECONDS } else { IDENTIFIED_SECONDS };
            let end = turn.now.wall.as_millis().saturating_add_unsigned(seconds.saturating_mul(1000));
            let (given, until) = (turn.now.wall.to_rfc3339(), crate::time::WallTime::from_millis(end).to_rfc3339());
            let what = Act::Grant {
                grant: self.id.to_string(),
                user: self.record.user_name.clone(),
                program: self.record.file_path.clone().unwrap_or_default(),
                command: self.record.command.clone(),
                until: until.clone(),
            };
            self.audit(self.user(), what, turn);
            self.record.grant = Some(Granted { given, until, revoked: None });
        }
        // What nothing had to be met for is worth nothing after the machine's end: then it need not be on disk, but outlive the agent.
        self.keep(Status::Authorized, !self.record.controls.is_empty(), turn);
    }

    /// A task asks to see a control met: at once, or once it is.
    pub(crate) fn on_control(
        &mut self,
        control: Control,
        request: RequestId,
        turn: &mut Turn<'_>,
    ) -> Option<ApiResponse> {
        match &self.state {
            State::Awaiting { .. } | State::Authorized { .. } => {}
            State::Ended { .. } if self.write.is_none() => {
                let why = self.record.explanation.as_ref().map(ToString::to_string).unwrap_or_default();
                return Some(control_answer(control, false, &why));
            }
            State::Ended { .. } => return self.wait(Call::Control(control), request),
            State::Requested { .. } | State::Evaluating { .. } | State::Launching { .. } | State::Running { .. } => {
                let why = format!("It is {:?}.", self.record.status);
                let what = format!("Request {} waits for no control.", self.id);
                let fix = "Call while it is AwaitingControls: from a job that PolicyEvaluationPending starts.";
                return Some(ApiResponse::problem(409, &Explanation::new(what, why, fix)));
            }
        }
        if !self.record.controls.contains(&control) {
            return Some(control_answer(control, true, "No policy asks for it."));
        }
        if !self.controls.awaits(control) && self.write.is_none() {
            return Some(control_answer(control, true, "It is met."));
        }
        let refused = self.wait(Call::Control(control), request);
        if refused.is_none() && self.controls.awaits(control) {
            match control {
                Control::Mfa | Control::Justify => self.ask_requester(turn),
                Control::Approval => self.ask_for_approval(turn),
            }
        }
        refused
    }

    fn ask_for_approval(&mut self, turn: &mut Turn<'_>) {
        let id = &self.id;
        self.tell(format!("Waiting for approval: an administrator says castellan requests approve {id}"), turn);
        self.publish_change(turn);
    }

    /// Every change of an approval is told on its topic.
    pub(super) fn publish_change(&self, turn: &mut Turn<'_>) {
        match serde_json::to_vec(&self.record) {
            Ok(payload) => {
                let topic = APPROVAL_TOPIC.to_string();
                turn.broker(BrokerOrder::Publish { topic, payload, qos: 1, retain: false });
            }
            Err(error) => {
                turn.log(Level::Error, "NotTold", format!("Request {} cannot be published: {error}.", self.id));
            }
        }
    }

    /// An administrator speaks. The answer comes once it is on record.
    pub(crate) fn on_vote(
        &mut self,
        approver: &Approver,
        approved: bool,
        reason: Option<String>,
        request: RequestId,
        turn: &mut Turn<'_>,
    ) -> Option<ApiResponse> {
        let conflict = |why: String| {
            let what = format!("Request {} stays as it is.", self.id);
            Some(ApiResponse::problem(409, &Explanation::new(what, why, "castellan requests list shows what waits.")))
        };
        // Nobody is needed to say no.
        let is_open = matches!(self.state, State::Awaiting { .. }) || (!approved && self.is_unlaunched());
        if !is_open || (approved && !self.controls.awaits(Control::Approval)) {
            return conflict(format!("It waits for no approval: it is {:?}.", self.record.status));
        }
        if let Some(why) = self.controls.stranger(approver).filter(|_| approved) {
            return conflict(why);
        }
        if let Some(refused) = self.wait(Call::Vote, request) {
            return Some(refused);
        }
        let (by, at) = (approver.name().to_string(), turn.now.wall.to_rfc3339());
        self.audit(format!("admin:{by}"), Act::Approval { approved, reason: reason.clone() }, turn);
        let why = reason.as_deref().map_or_else(String::new, |reason| format!(" {}", crate::why::sentence(reason)));
        self.record.votes.push(Vote { by: by.clone(), approved, at, reason });
        if approved {
            self.met(&Fact::Approved(approver), Control::Approval, &by, turn);
            self.publish_change(turn);
        } else {
            let fix = "Ask them, or ask again with another reason.";
            self.close(Status::Denied, self.denied(format!("Administrator '{by}' denied it.{why}"), fix), turn);
        }
        None
    }

    /// A verified fact: what it meets leaves the list of what is outstanding, by this way alone.
    pub(super) fn met(&mut self, fact: &Fact<'_>, control: Control, reason: &str, turn: &mut Turn<'_>) {
        if !self.controls.meet(fact) {
            return self.answer_calls(turn);
        }
        let (name, satisfied) = (control.as_str().to_string(), !self.controls.awaits(control));
        self.audit(
            self.user(),
            Act::Control { control: name, satisfied, reason: reason.to_string(), grant: None },
            turn,
        );
        self.tries = 0;
        self.advance(turn);
        self.ask_requester(turn);
    }

    pub(super) fn refuse(&mut self, control: Control, why: &str, fix: &str, turn: &mut Turn<'_>) {
        let (name, reason) = (control.as_str().to_string(), why.to_string());
        self.audit(self.user(), Act::Control { control: name, satisfied: false, reason, grant: None }, turn);
        self.close(Status::Denied, self.denied(format!("{} was not met: {why}", control.as_str()), fix), turn);
    }

    /// Nobody met what is outstanding in time; an approval has a second term.
    pub(super) fn on_pending_over(&mut self, turn: &mut Turn<'_>) {
        let State::Awaiting { until, .. } = &mut self.state else { return };
        if self.controls.awaits(Control::Approval) && !self.record.escalated {
            *until = turn.now.monotonic.plus_seconds(ESCALATED_SECONDS);
            self.record.escalated = true;
            let message = format!(
                "Request {} of {} waits for an approval that nobody gave in time; it is escalated.",
                self.id, self.record.user_name
            );
            turn.log(Level::Warning, "Elevation", message);
            self.keep(Status::AwaitingControls, true, turn);
            return self.publish_change(turn);
        }
        let left: Vec<&str> = self.controls.outstanding().iter().map(|control| control.as_str()).collect();
        let why = format!("Nobody met what it waited for in time: {}.", left.join(", "));
        let what = format!("Request {} expired.", self.id);
        self.end(Status::Expired, Explanation::new(what, why, "Ask again when somebody is there to meet it."), turn);
    }

    /// No job does what is to be done now.
    pub(crate) fn on_no_job(&mut self, why: &str, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Awaiting { .. } | State::Authorized { .. }) {
            let fix = "castellan jobs list shows the jobs of elevation, castellan init installs them; then ask again.";
            self.end(Status::Denied, self.denied(why, fix), turn);
        }
    }

    fn audit_decision(&self, decision: &Decision, basis: Option<Basis>, turn: &mut Turn<'_>) {
        let text = |value: Result<serde_json::Value, String>| value.unwrap_or_else(serde_json::Value::from);
        let value = |error: serde_json::Error| error.to_string();
        let (known, policy_set, documents) = match basis {
            Some(Basis { known, policy_set, documents }) => (Some(known), Some(policy_set), documents),
            None => (None, None, Vec::new()),
        };
        let whole = |request: Request| match known {
            Some(known) => request.with(known),
            None => request,
        };
        let input =
            self.policy_request(turn).map(whole).and_then(|request| serde_json::to_value(request).map_err(value));
        let controls = match &decision.verdict {
            Verdict::Allow | Verdict::Deny => Vec::new(),
            Verdict::Pending(controls) => controls.iter().map(|control| control.as_str().to_string()).collect(),
        };
        let what = Act::Decision {
            decision: decision.verdict.as_str().to_string(),
            controls,
            policies: decision.policies.iter().map(ToString::to_string).collect(),
            input: text(input),
            policy_set,
            documents,
            explanation: text(serde_json::to_value(&decision.explanation).map_err(value)),
        };
        self.audit(format!("plugin:{POLICY_PLUGIN}"), what, turn);
    }
}
