//! Who gets as far as a request for more privileges, and why others do not.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::acl::{Action, Denial};
use crate::agent::Agent;
use crate::effect::{Effect, Effects, ElevationAnswer, ElevationOrder};
use crate::elevation::{Asked, CallerId, Elevation, Peer};
use crate::limits::{ELEVATED_WORDS, ELEVATIONS, ELEVATIONS_OF_ONE};
use crate::surroundings::{DEFAULT_PATH, folders};
use crate::time::Now;
use crate::trust;
use crate::user::{self, Account, Person};
use crate::why::Explanation;

/// What a refusal names as that which was asked: the request socket, below the agent root.
const SOCKET: &str = "run/request.sock";
/// What helps where the machine does not know its user as it should.
const ADMINISTRATOR: &str = "Ask the administrator of this machine.";

impl Agent {
    pub(super) fn on_asked(&mut self, now: Now, caller: CallerId, asked: Asked, effects: &mut Effects) {
        match self.admit(now, &asked) {
            Ok((person, candidates)) => {
                let id = self.desk.counters.elevation(self.desk.surroundings.boot);
                self.meter.elevations.begun(id.clone(), now);
                let mut turn = self.desk.turn(now, effects);
                let elevation = Elevation::begin(id.clone(), caller, asked, person, candidates, &mut turn);
                self.elevations.active.insert(id, Box::new(elevation));
            }
            Err(refusal) => self.turn_away(now, caller, asked.peer.uid, refusal, effects),
        }
    }

    /// A caller gets no further.
    pub(super) fn turn_away(
        &mut self,
        now: Now,
        caller: CallerId,
        uid: u32,
        explanation: Explanation,
        effects: &mut Effects,
    ) {
        // Nothing bounds how often he asks, so it is told as other refusals are, and not each time.
        let what = format!("A request of user {uid} for more privileges was denied.");
        let denial = Denial {
            action: Action::Call,
            target: String::from(SOCKET),
            component: None,
            client_id: None,
            peer: trust::Peer { uid: Some(uid), ..trust::Peer::default() },
            explanation: Explanation { what, ..explanation.clone() },
            declaration: None,
        };
        self.record_denial(now, denial, effects);
        let answer = ElevationAnswer::Denied { request: None, explanation };
        effects.push(Effect::Elevation(ElevationOrder::Answer { caller, answer }));
    }

    /// Whose request it is, and where its program may be; or why there is no room for it.
    fn admit(&mut self, now: Now, asked: &Asked) -> Result<(Person, Vec<String>), Explanation> {
        self.admit_user(&asked.peer)?;
        let active = || self.elevations.active.values();
        if active().count() >= ELEVATIONS {
            let why = format!("{ELEVATIONS} requests are under way already, which is the most.");
            return Err(refusal(why, "Ask again once some of them ended."));
        }
        if active().filter(|elevation| elevation.record.user_id == asked.peer.uid).count() >= ELEVATIONS_OF_ONE {
            let why = format!("{ELEVATIONS_OF_ONE} requests of yours are under way already, which is the most.");
            return Err(refusal(why, "castellan requests mine shows them; end one."));
        }
        let words = asked.words.len();
        if !(1..=ELEVATED_WORDS).contains(&words) || asked.words.iter().any(|word| word.contains('\0')) {
            let why = format!("A command has 1 to {ELEVATED_WORDS} words without NUL; this one has {words}.");
            return Err(refusal(why, "Ask for a command that has."));
        }
        let account = known(&asked.peer)?;
        let person = user::elevated_for(account, &self.desk.surroundings).map_err(|why| refusal(why, ADMINISTRATOR))?;
        let candidates = candidates(asked)?;
        // Last, so that only what is taken is counted.
        self.elevations.rates.admit(asked.peer.uid, now.monotonic)?;
        Ok((person, candidates))
    }

    /// Questions about one's own count as requests do: of accounts of this machine, so many in a minute.
    pub(super) fn admit_own(&mut self, now: Now, peer: &Peer) -> Result<(), Explanation> {
        self.admit_user(peer)?;
        self.elevations.rates.admit(peer.uid, now.monotonic)
    }

    fn admit_user(&self, peer: &Peer) -> Result<(), Explanation> {
        if !self.is_running() {
            return Err(refusal("The agent is starting or stopping.", "Ask again in a moment."));
        }
        known(peer).map(drop)
    }
}

/// A request that came no further than the socket.
pub(super) fn refusal(why: impl Into<String>, fix: impl Into<String>) -> Explanation {
    Explanation::new("The request was denied.", why, fix)
}

/// The account of a caller, as the machine knows it.
fn known(peer: &Peer) -> Result<&Account, Explanation> {
    let unknown = |why: &String| refusal(format!("Your account is not known: {why}."), ADMINISTRATOR);
    let account = peer.account.as_ref().map_err(unknown)?;
    if account.uid != peer.uid {
        return Err(refusal("Your account is not that of your process; report this.", ADMINISTRATOR));
    }
    Ok(account)
}

/// Where the program of a command may be: by its path as the caller's shell would read it, else in the folders of root's own path.
fn candidates(asked: &Asked) -> Result<Vec<String>, Explanation> {
    let name = asked.words.first().map(String::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(refusal("The command is empty.", "Name a program."));
    }
    if name.starts_with('/') {
        return Ok(Vec::from([name.to_string()]));
    }
    if name.contains('/') {
        let folder = asked.folder.as_deref().ok_or_else(|| {
            refusal("The folder that the command is relative to is not known.", "Name the program by its whole path.")
        })?;
        return Ok(Vec::from([format!("{}/{name}", folder.trim_end_matches('/'))]));
    }
    Ok(folders(DEFAULT_PATH).map(|folder| format!("{folder}/{name}")).collect())
}
