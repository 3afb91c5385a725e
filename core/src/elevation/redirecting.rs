//! What is run instead of what was asked for: which program that is, its launch, and what its caller is told. It has nothing of its caller's:
//! no streams, no terminal, no variables, no signals; and it outlasts him.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::authorization::Program;
use super::{Call, Elevation, State, Status};
use crate::api::ApiResponse;
use crate::effect::{ProcessOrder, ProgramQuery};
use crate::event::{Captured, ExecutableFacts};
use crate::id::{RequestId, TicketId};
use crate::limits::SUBSTITUTE_OUTPUT_BYTES;
use crate::log_message::Level;
use crate::redirect::{self, REDIRECT_PLUGIN, Request, Substitution};
use crate::turn::Turn;
use crate::user::is_administrator;
use crate::why::Explanation;

/// What a task wants launched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    /// What was asked for.
    Asked,
    /// What a rule of redirection names instead.
    Substitute,
}

/// What is run instead of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Substitute {
    /// The place of the rule that says so, from 0.
    pub rule: usize,
    /// The file, without links.
    pub file_path: String,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The file as it was when it was looked at.
    #[schemars(with = "serde_json::Value")]
    pub(super) program: Program,
}

impl Substitute {
    /// Its file and arguments.
    pub(super) fn command(&self) -> Vec<String> {
        core::iter::once(&self.file_path).chain(&self.arguments).cloned().collect()
    }
}

/// A substitute whose program is looked at.
#[derive(Debug)]
pub(super) struct Sought {
    ticket: TicketId,
    substitution: Substitution,
}

/// The answer to who asks what a launch would launch.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Redirect {
    /// Whether something else is run.
    redirect: bool,
    /// The place of the rule that says so, from 0.
    rule: Option<usize>,
    /// The path of what is run instead.
    target_exe: Option<String>,
    /// Its arguments.
    target_arguments: Vec<String>,
}

impl Elevation {
    /// What the rules, as they are now, say of it.
    fn redirection(&self, turn: &Turn<'_>) -> Result<Option<Substitution>, String> {
        let file = self.record.file_path.as_deref().ok_or("Its program was not found yet.")?;
        let peer = &self.asked.peer;
        let by_administrator = is_administrator(peer.uid, &peer.groups);
        let command_line = &self.record.command_line();
        redirect::decide(turn.plugin_settings, Request { file, command_line, by_administrator })
    }

    /// What a launch would launch; it may be something else by then.
    pub(crate) fn show_redirection(&self, turn: &Turn<'_>) -> ApiResponse {
        match self.redirection(turn) {
            Ok(found) => ApiResponse::json(
                200,
                &Redirect {
                    redirect: found.is_some(),
                    rule: found.as_ref().map(|substitution| substitution.rule),
                    target_arguments: found.as_ref().map(|one| self.arguments(one)).unwrap_or_default(),
                    target_exe: found.map(|substitution| substitution.program),
                },
            ),
            Err(why) => {
                let what = format!("What request {} would launch cannot be told.", self.id);
                ApiResponse::problem(409, &Explanation::new(what, why, FIX))
            }
        }
    }

    /// A task wants the program launched, or what stands in for it: only what is authorized, and on disk as that, is; once, and only the
    /// one that the rules name. The answer comes when it runs.
    pub(crate) fn on_launch(&mut self, target: Target, request: RequestId, turn: &mut Turn<'_>) -> Option<ApiResponse> {
        let is_ready = self.write.is_none() && self.caller.is_some();
        if !is_ready || !matches!(self.state, State::Authorized { sought: None, .. }) {
            return Some(self.not_launched());
        }
        let found = match self.redirection(turn) {
            Ok(found) => found,
            Err(why) => return Some(self.deny_unknown(&why, turn)),
        };
        match (target, found) {
            (Target::Asked, None) => self.launch(None, turn),
            (Target::Substitute, Some(substitution)) => self.look_for_substitute(substitution, turn),
            (Target::Asked, Some(Substitution { rule, .. })) => {
                let why = format!("Rule {rule} of {REDIRECT_PLUGIN} has something else run.");
                return Some(self.other_target(why, "launch-substitute"));
            }
            (Target::Substitute, None) => {
                let why = format!("No rule of {REDIRECT_PLUGIN} that counts is about it.");
                return Some(self.other_target(why, "launch"));
            }
        }
        self.calls.push((Call::Launch, request));
        None
    }

    fn other_target(&self, why: String, verb: &str) -> ApiResponse {
        let id = &self.id;
        let fix = format!("POST /api/elevation/{id}/{verb}; GET /api/elevation/{id}/redirect says which.");
        ApiResponse::problem(409, &Explanation::new(format!("Request {id} is not launched so."), why, fix))
    }

    /// Nobody can tell what is to be run: nothing is.
    fn deny_unknown(&mut self, why: &str, turn: &mut Turn<'_>) -> ApiResponse {
        let explanation = self.denied(format!("What is to be run cannot be told: {why}"), FIX);
        turn.log(Level::Error, "RedirectRules", explanation.to_string());
        let response = ApiResponse::problem(409, &explanation);
        self.end(Status::Denied, explanation, turn);
        response
    }

    /// Whether it is what is looked at by this number.
    pub(super) fn seeks(&self, ticket: TicketId) -> bool {
        matches!(&self.state, State::Authorized { sought: Some(sought), .. } if sought.ticket == ticket)
    }

    /// Its file is judged as that of the request was.
    fn look_for_substitute(&mut self, substitution: Substitution, turn: &mut Turn<'_>) {
        let State::Authorized { sought, .. } = &mut self.state else { return };
        let ticket = turn.counters.ticket();
        let candidates = Vec::from([substitution.program.clone()]);
        turn.process(ProcessOrder::Inspect {
            ticket,
            queries: [ProgramQuery { candidates, ..ProgramQuery::default() }].into(),
        });
        *sought = Some(Sought { ticket, substitution });
    }

    /// What the program of a substitute resolves to, or why that is not known.
    pub(super) fn on_substitute_found(&mut self, found: Result<&ExecutableFacts, &str>, turn: &mut Turn<'_>) {
        let State::Authorized { sought, .. } = &mut self.state else { return };
        let Some(Sought { substitution, .. }) = sought.take() else { return };
        match found.map_err(ToString::to_string).and_then(Program::fit) {
            Ok(program) => {
                let arguments = self.arguments(&substitution);
                let (rule, file_path) = (substitution.rule, program.resolved.clone());
                self.launch(Some(Substitute { rule, file_path, arguments, program }), turn);
            }
            Err(why) => {
                let Substitution { rule, program, .. } = substitution;
                let why =
                    format!("By rule {rule} of {REDIRECT_PLUGIN} '{program}' is run instead, which cannot be: {why}");
                let explanation = self.denied(why, FIX);
                turn.log(Level::Error, "RedirectRules", explanation.to_string());
                self.end(Status::Denied, explanation, turn);
            }
        }
    }

    /// Where the rule has none, those of the request.
    fn arguments(&self, substitution: &Substitution) -> Vec<String> {
        let own = || self.asked.words.iter().skip(1).cloned().collect();
        substitution.arguments.clone().unwrap_or_else(own)
    }

    /// The caller hears that something else runs, as soon as that is known; that is all he gets of it.
    pub(super) fn answer_redirected(&mut self, turn: &mut Turn<'_>) {
        let told = self.record.status == Status::Running;
        let Some(Substitute { rule, file_path, .. }) = self.record.substitute.as_ref().filter(|_| !told) else {
            return;
        };
        let what = format!("Request {} was redirected.", self.id);
        let why = format!("Redirected by rule {rule}: '{file_path}' was run instead.");
        let explanation = Explanation::new(what, why, "Ask the administrator of this machine what it is for.");
        turn.log(Level::Information, "Elevation", explanation.to_string());
        self.record.explanation = Some(explanation);
        self.answer(turn);
    }

    /// What a substitute wrote, for the log: nobody else reads it.
    pub(super) fn log_output(&self, stdout: &Captured, stderr: &Captured, turn: &mut Turn<'_>) {
        let Some(substitute) = &self.record.substitute else { return };
        for (name, captured) in [("stdout", stdout), ("stderr", stderr)] {
            let whole: Vec<u8> = captured.head.iter().chain(&captured.tail).copied().collect();
            let (shown, rest) = whole.split_at_checked(SUBSTITUTE_OUTPUT_BYTES).unwrap_or((&whole, &[]));
            if shown.is_empty() {
                continue;
            }
            let more = captured.omitted.saturating_add(u64::try_from(rest.len()).unwrap_or(u64::MAX));
            let more = if more == 0 { String::new() } else { format!(" ({more} bytes more)") };
            let text = String::from_utf8_lossy(shown);
            let message =
                format!("'{}' of request {} wrote to {name}: {}{more}", substitute.file_path, self.id, text.trim_end());
            turn.log(Level::Information, "ElevationOutput", message);
        }
    }

    fn not_launched(&self) -> ApiResponse {
        let what = format!("Request {} is not launched.", self.id);
        let why = format!("Only a request that is Authorized is, once; it is {:?}.", self.record.status);
        let fix = "castellan requests show says how it came to stand there.";
        ApiResponse::problem(409, &Explanation::new(what, why, fix))
    }
}

/// What helps where rules cannot be carried out.
const FIX: &str =
    "An administrator mends metadata.redirect of RedirectEvaluator: castellan settings get RedirectEvaluator.";
