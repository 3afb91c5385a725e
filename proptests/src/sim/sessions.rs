//! Sessions of users in the simulated world: they come and go, the agent hears of it later, and a plugin of users has to follow.
//!
//! Each session has an entry of its own among the watched plugins, named `Tray@` and the session: the laws of one process hold for it
//! as they do for a plugin. Beside these: nothing runs for a session that is over, and none that is there is forgotten.

use std::collections::BTreeSet;

use castellan_core::effect::{Owner, SpawnRequest};
use castellan_core::event::{Event, ProcessReport};
use castellan_core::id::{Component, SpawnId};
use castellan_core::user::desktop::Desktop;
use castellan_core::user::sessions::SessionKey;
use castellan_core::user::{Account, Person, Session, Sessions, UserFacts};

use super::World;
use super::ledger::{Broken, broken};
use super::plugins::{Plugins, TRAY};
use super::ports::Owed;

/// Sessions that there may be; a name comes again for another user.
const SESSIONS: [(&str, u32); 4] = [("1", 1000), ("1", 2000), ("2", 1000), ("3", 3000)];

/// A session: its name, its user.
type Seat = (String, u32);

/// The sessions of the machine.
#[derive(Debug, Default)]
pub(super) struct Seats {
    present: BTreeSet<Seat>,
    /// The agent wants to hear of them in this life.
    watched: bool,
    /// Those that it has heard of last.
    told: BTreeSet<Seat>,
    /// Somebody stopped the plugin, and nobody has started it since.
    stopped: bool,
}

impl Seats {
    fn listed(&self) -> Sessions {
        let session = |(id, uid): &Seat| Session {
            id: id.clone(),
            uid: *uid,
            user: format!("u{uid}"),
            class: String::from("user"),
            state: String::from("active"),
            active: true,
            ..Session::default()
        };
        Sessions::Listed(self.present.iter().map(session).collect())
    }

    /// A life of the agent begins, which knows nothing of them.
    pub(super) fn begin(&mut self) {
        (self.watched, self.stopped) = (false, false);
        self.told.clear();
    }
}

/// The name of one session's process.
fn name((id, uid): &Seat) -> String {
    format!("{TRAY}@{id} of u{uid}")
}

/// Whose process is asked for: a plugin's, or one session's of it.
pub(super) fn asked_for(request: &SpawnRequest) -> Option<String> {
    let Owner::Component(Component::Plugin(id)) = &request.owner else { return None };
    match request.user.as_ref().and_then(|query| query.session.as_ref()) {
        Some(SessionKey::Listed { id, uid }) => Some(name(&(id.clone(), *uid))),
        Some(SessionKey::Configured) | None => Some(id.to_string()),
    }
}

/// Whom a line of the log is about.
pub(super) fn told_of(plugin: &str, message: &str) -> String {
    let place = message.split_once(" in session ").map(|(_, rest)| rest.split([' ', ':']).take(3));
    place.map_or_else(|| plugin.to_owned(), |words| format!("{plugin}@{}", words.collect::<Vec<_>>().join(" ")))
}

impl Plugins {
    /// An administrator acts on the plugin of users: on each of its processes.
    pub(super) fn on_hand_of_users(&mut self, action: &str) {
        self.seats.stopped = action == "stop";
        for seat in self.seats.told.clone() {
            self.on_hand(&name(&seat), action);
        }
    }

    /// The agent is about to hear that these are the sessions.
    fn on_heard(&mut self) {
        let former = std::mem::replace(&mut self.seats.told, self.seats.present.clone());
        for gone in former.difference(&self.seats.told.clone()) {
            self.end_session(&name(gone));
        }
        if !self.seats.stopped {
            for fresh in self.seats.told.clone().difference(&former) {
                self.let_session_start(&name(fresh));
            }
        }
    }

    /// No process is for a session that the agent knows to be over, and none of those that are there waits for its process.
    pub(super) fn judge_sessions(&self) -> Result<(), Broken> {
        let told: BTreeSet<String> = self.seats.told.iter().map(name).collect();
        for (spawn, who) in self.left_to_run().filter(|(_, who)| who.starts_with(TRAY)) {
            if !told.contains(who) {
                return broken("sessions", format!("spawn {spawn} is left to run for {who}, which is over"));
            }
        }
        match told.iter().find(|who| !self.seats.stopped && !self.is_looked_after(who)) {
            Some(who) => broken("sessions", format!("{who} is there and has no process")),
            None => Ok(()),
        }
    }
}

impl World<'_> {
    /// Somebody logs in or out.
    pub(super) fn change_sessions(&mut self) -> Result<(), Broken> {
        let (id, uid) = SESSIONS.get(self.dice.place(SESSIONS.len())).copied().unwrap_or(SESSIONS[0]);
        let (seat, seats) = ((String::from(id), uid), &mut self.plugins.seats);
        if !seats.present.remove(&seat) {
            seats.present.insert(seat);
        }
        if seats.watched {
            self.owed.push_back(Owed::Sessions);
        }
        Ok(())
    }

    /// The agent asks for sessions.
    pub(super) fn watch_sessions(&mut self) -> Result<(), Broken> {
        if std::mem::replace(&mut self.plugins.seats.watched, true) {
            return broken("sessions", "the agent asks for them twice in one life");
        }
        self.owed.push_back(Owed::Sessions);
        Ok(())
    }

    /// It hears of them, or that nobody knows.
    pub(super) fn tell_sessions(&mut self) -> Result<(), Broken> {
        // The first answer names them; a logind that is away later changes nothing.
        let sessions = if !self.plugins.seats.told.is_empty() && self.dice.percent(10) {
            Sessions::Failed(String::from("it is away"))
        } else {
            self.plugins.on_heard();
            self.plugins.seats.listed()
        };
        self.tell(Event::Process(ProcessReport::SessionsChanged(sessions)))
    }

    /// What is found out about the user of a process, where it is one's.
    pub(super) fn user_facts(&self, spawn: SpawnId) -> Option<Box<UserFacts>> {
        let who = self.plugins.who(spawn)?.strip_prefix(TRAY)?;
        let uid = who.rsplit_once('u')?.1.parse().ok()?;
        let account = Account { name: format!("u{uid}"), uid, gid: uid, ..Account::default() };
        let (sessions, account) = (self.plugins.seats.listed(), Some(Ok(account)));
        Some(Box::new(UserFacts { sessions, account, desktop: Desktop::default() }))
    }

    /// A process of a plugin is released: for a session that was there when it was looked at, as its user.
    pub(super) fn judge_person(&self, spawn: SpawnId, person: Option<&Person>) -> Result<(), Broken> {
        let who = self.plugins.who(spawn).unwrap_or_default();
        let is_right = match person {
            Some(person) => who.ends_with(&format!(" of u{}", person.uid)),
            None => !who.starts_with(TRAY),
        };
        if !is_right {
            return broken("sessions", format!("spawn {spawn} of {who} is released as {person:?}"));
        }
        Ok(())
    }
}
