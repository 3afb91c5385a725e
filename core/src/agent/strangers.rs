//! Programs that the agent did not start: examined where `AlternativeSignatures` names signers, then as trusted as their signature; and
//! where `AllowElevatedWithoutCertificate` is set, whether it is really root who calls.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Agent;
use super::answers::Pending;
use super::callers::Caller;
use super::connections::unidentified;
use super::requests::respond;
use crate::acl::client_id;
use crate::api::route::Target;
use crate::api::{ApiRequest, ApiResponse, Tier};
use crate::effect::{Effects, ProcessOrder};
use crate::id::{Component, ConnectionId, SpawnId, TicketId};
use crate::limits::EXAMINATIONS;
use crate::log_message::{Level, escape};
use crate::run::own_program;
use crate::time::{Monotonic, Now};
use crate::trust::signature::SignaturePolicy;
use crate::trust::{
    Budget, Examination, Identity, PeerFacts, Refusal, RefusalKind, Stranger, not_trusted, same_socket,
};

/// Connections whose verdict is remembered.
const KNOWN: usize = 256;
/// So long a verdict holds for later requests on its connection; then the process is examined again.
const KNOWN_SECONDS: u64 = 10;
/// Where a caller of the API may name its process, which else is searched for.
const PID_HEADER: &str = "x-keeper-pid";

/// Who waits for an examination.
#[derive(Debug)]
pub(super) enum Question {
    /// A CONNECT.
    Connect { connection: ConnectionId, client_id: String, peer: Box<PeerFacts> },
    /// A request that needs this tier.
    Call(Box<ApiRequest>, Tier),
}

impl Question {
    fn peer(&self) -> &PeerFacts {
        match self {
            Self::Connect { peer, .. } => peer,
            Self::Call(request, _) => &request.peer,
        }
    }
}

/// What is known of strangers.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    budget: Budget,
    /// By the kernel's number of the peer's socket, which it never uses again: who it is, and until when that holds.
    known: BTreeMap<u64, (Known, Monotonic)>,
}

/// Who is at the other end of a connection.
#[derive(Debug)]
enum Known {
    /// A program that a trusted signer signed.
    Program(Identity),
    /// Root itself, who administrates.
    Root,
}

impl Strangers {
    /// The signed program that was found at the other end of this very connection a moment ago.
    pub(super) fn program(&self, now: Now, peer: &PeerFacts) -> Option<Identity> {
        match self.known(now, peer)? {
            Known::Program(identity) => Some(identity.clone()),
            Known::Root => None,
        }
    }

    /// Whether root was found there.
    pub(super) fn is_root(&self, now: Now, peer: &PeerFacts) -> bool {
        matches!(self.known(now, peer), Some(Known::Root))
    }

    fn known(&self, now: Now, peer: &PeerFacts) -> Option<&Known> {
        let socket = same_socket(peer).ok()?;
        let (known, until) = self.known.get(&socket.cookie)?;
        (now.monotonic < *until).then_some(known)
    }

    fn remember(&mut self, now: Now, peer: &PeerFacts, known: Known) {
        self.known.retain(|_, (_, until)| now.monotonic < *until);
        let Ok(socket) = same_socket(peer) else { return };
        let oldest = self.known.iter().min_by_key(|(_, (_, until))| *until).map(|(cookie, _)| *cookie);
        if let Some(oldest) = oldest.filter(|_| self.known.len() >= KNOWN) {
            self.known.remove(&oldest);
        }
        self.known.insert(socket.cookie, (known, now.monotonic.plus_seconds(KNOWN_SECONDS)));
    }
}

impl Agent {
    /// Lets a client's program be examined; `Ok` means that the answer to its CONNECT comes later.
    ///
    /// # Errors
    /// What it is refused with now.
    pub(super) fn examine_client(
        &mut self,
        now: Now,
        connection: ConnectionId,
        client_id: &str,
        peer: &PeerFacts,
        refusal: Refusal,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        if !self.may_be_signed(peer, &refusal) {
            return Err(refusal);
        }
        let (client_id, asked) = (client_id.to_string(), Box::new(peer.clone()));
        self.examine(now, peer.clone(), Question::Connect { connection, client_id, peer: asked }, effects)
    }

    /// 403 for a caller of less than the tier `needed`; `None` where a look at its program may open that, and the answer comes later.
    pub(super) fn examine_or_forbid(
        &mut self,
        now: Now,
        request: &ApiRequest,
        target: &Target,
        caller: &Caller,
        needed: Tier,
        effects: &mut Effects,
    ) -> Option<ApiResponse> {
        let signed = needed == Tier::Plugin
            && caller.refusal.as_ref().is_some_and(|refusal| self.may_be_signed(&request.peer, refusal));
        let root = caller.identity.is_none() && self.may_be_root(&request.peer);
        if !(signed || root) {
            return Some(self.forbid(now, request, target, caller, needed, effects));
        }
        let refusal = self.examine_caller(now, request, needed, effects).err()?;
        let caller = Caller::new(Err(refusal), None, request);
        Some(self.forbid(now, request, target, &caller, needed, effects))
    }

    fn examine_caller(
        &mut self,
        now: Now,
        request: &ApiRequest,
        needed: Tier,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let claim = request.header(PID_HEADER).map(|text| client_id::pid(text).ok_or(text)).transpose();
        let claimed_pid = claim.map_err(|text| {
            let why = format!("The field X-Keeper-Pid has '{text}', which is no process id.");
            not_trusted(&request.peer, why, "Send the process id of the program that opened the connection.")
        })?;
        let peer = PeerFacts { claimed_pid, ..request.peer.clone() };
        self.examine(now, peer, Question::Call(Box::new(request.clone()), needed), effects)
    }

    fn examine(&mut self, now: Now, peer: PeerFacts, question: Question, effects: &mut Effects) -> Result<(), Refusal> {
        let later = |why| not_trusted(&peer, why, "Connect again in a second.");
        let is_before = |pending: &&Pending| matches!(pending, Pending::Examination(other) if other.peer().is_of_root() == peer.is_of_root());
        if self.pending.values().filter(is_before).count() >= EXAMINATIONS {
            return Err(later(format!("{EXAMINATIONS} programs that the agent did not start wait to be looked at.")));
        }
        let uid = peer.at_accept.as_ref().map_or(u32::MAX, |socket| socket.uid);
        self.strangers.budget.take(uid, now.monotonic).map_err(later)?;
        let paths = match &question {
            Question::Connect { client_id, .. } => {
                self.own_programs(client_id).into_iter().map(|(_, path)| path).collect()
            }
            Question::Call(..) => Vec::new(),
        };
        let signers = self.desk.settings.alternative_signatures.clone();
        let mut turn = self.desk.turn(now, effects);
        let ticket = turn.counters.ticket();
        turn.process(ProcessOrder::Examine { ticket, peer, paths, signers, at: now.wall });
        self.expect_answer(ticket, Pending::Examination(question));
        Ok(())
    }

    /// Whether a signature could open what the registry did not.
    fn may_be_signed(&self, peer: &PeerFacts, refusal: &Refusal) -> bool {
        !self.desk.settings.alternative_signatures.is_empty()
            && self.is_running()
            && refusal.kind == RefusalKind::NotTrusted
            && same_socket(peer).is_ok()
    }

    /// Whether whoever opened the connection is an administrator if it is root itself.
    fn may_be_root(&self, peer: &PeerFacts) -> bool {
        self.desk.settings.allow_elevated_without_certificate
            && self.is_running()
            && same_socket(peer).is_ok_and(|socket| socket.uid == 0)
    }

    pub(super) fn on_examined(&mut self, now: Now, ticket: TicketId, found: &Examination, effects: &mut Effects) {
        let question = match self.pending.remove(&ticket) {
            Some(Pending::Examination(question)) => question,
            other => return self.unasked(now, ticket, other, effects),
        };
        match question {
            Question::Connect { connection, client_id, .. } => {
                let stranger = found.judge(SignaturePolicy::of(&self.desk.settings), now.wall);
                self.answer_client(now, connection, &client_id, stranger, effects);
            }
            Question::Call(request, needed) => {
                let known = self.judge_caller(now, found, &request, effects);
                self.answer_caller(now, &request, needed, known, effects);
            }
        }
    }

    /// Whom a look at its program shows to be at the other end of a call.
    fn judge_caller(
        &mut self,
        now: Now,
        found: &Examination,
        request: &ApiRequest,
        effects: &mut Effects,
    ) -> Result<Known, Refusal> {
        let root = self.may_be_root(&request.peer).then(|| found.judge_root());
        match root {
            Some(Ok(peer)) => {
                let (pid, program) = (peer.pid.unwrap_or(0), peer.executable.unwrap_or_default());
                let message =
                    format!("Process {pid} is root's and administrates without a certificate: {}.", escape(&program));
                self.desk.turn(now, effects).log(Level::Information, "Administrator", message);
                Ok(Known::Root)
            }
            Some(Err(refusal)) if self.desk.settings.alternative_signatures.is_empty() => Err(refusal),
            Some(Err(_)) | None => {
                let stranger = found.judge(SignaturePolicy::of(&self.desk.settings), now.wall)?;
                Ok(Known::Program(identity(Component::Program(stranger.name), stranger.pid)))
            }
        }
    }

    /// Tells whoever waits that nothing was found out.
    pub(super) fn give_up_examination(&mut self, now: Now, question: Question, why: &str, effects: &mut Effects) {
        let why = format!("Its program was not looked at: {why}");
        let refusal = not_trusted(question.peer(), why, "Connect again.");
        match question {
            Question::Connect { connection, client_id, .. } => {
                self.answer_client(now, connection, &client_id, Err(refusal), effects);
            }
            Question::Call(request, needed) => self.answer_caller(now, &request, needed, Err(refusal), effects),
        }
    }

    fn answer_client(
        &mut self,
        now: Now,
        connection: ConnectionId,
        client_id: &str,
        stranger: Result<Stranger, Refusal>,
        effects: &mut Effects,
    ) {
        if self.is_closing() {
            return self.refuse_unavailable(now, connection, client_id, effects);
        }
        let verdict = match stranger {
            Ok(stranger) => {
                let component = self.component_of(client_id, &stranger);
                self.judge_process(client_id, identity(component, stranger.pid))
            }
            Err(refusal) => unidentified(client_id, refusal),
        };
        self.answer_connect(now, connection, verdict, effects);
    }

    fn answer_caller(
        &mut self,
        now: Now,
        request: &ApiRequest,
        needed: Tier,
        known: Result<Known, Refusal>,
        effects: &mut Effects,
    ) {
        let caller = match known {
            Ok(known) => {
                self.strangers.remember(now, &request.peer, known);
                self.caller(now, request)
            }
            Err(refusal) => Caller::new(Err(refusal), None, request),
        };
        let response = if caller.tier >= needed {
            self.answer(now, request, &caller, effects)
        } else {
            let target = Target::parse(&request.target);
            Some(self.forbid(now, request, &target, &caller, needed, effects))
        };
        if let Some(response) = response {
            respond(request.id, response, effects);
        }
    }

    /// Whom a client may be that is trusted by its signature: the job or plugin that its client id names, if it is that component's
    /// own file and root (or the agent's own user) runs it. Any other user can preload libraries into what he runs, trace it, and
    /// make the kernel name another image (prctl(2), `PR_SET_MM_MAP` in a user namespace), so his signature must not open more.
    fn component_of(&self, client_id: &str, stranger: &Stranger) -> Component {
        let is_trusted_user = stranger.uid == 0 || stranger.uid == self.desk.surroundings.uid;
        let own = self.own_programs(client_id).into_iter().find(|(_, path)| stranger.paths.contains(path));
        match own.filter(|_| is_trusted_user) {
            Some((component, _)) => component,
            None => Component::Program(stranger.name.clone()),
        }
    }

    /// The files that are a component's own, of the job and the plugin that a client id names.
    fn own_programs(&self, client_id: &str) -> Vec<(Component, String)> {
        let name = client_id.split('_').next().unwrap_or_default();
        let surroundings = &self.desk.surroundings;
        let of_job = self.catalog.find(name).into_iter().flat_map(|job| {
            let component = Component::Job(job.id.clone());
            job.tasks.iter().map(move |task| (component.clone(), own_program(task, surroundings)))
        });
        let plugin = self.plugins.values().find(|plugin| !plugin.retired && plugin.definition().id.as_str() == name);
        let of_plugin = plugin.into_iter().flat_map(|plugin| {
            let component = Component::Plugin(plugin.definition().id.clone());
            plugin.candidates(surroundings).into_iter().map(move |path| (component.clone(), path))
        });
        // A client id with two underscores is a task's; one with a single underscore a plugin's.
        if client_id.matches('_').count() > 1 {
            of_job.chain(of_plugin).collect()
        } else {
            of_plugin.chain(of_job).collect()
        }
    }
}

const fn identity(component: Component, pid: u32) -> Identity {
    Identity { spawn: SpawnId::NONE, component, run: None, pid: Some(pid) }
}
