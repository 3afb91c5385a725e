//! The plugins of the simulated world: `Echo` requires `Base` and answers pings, `Crash` ends nearly at once, `Tray` has a process in each
//! session of a user. They end by themselves, fall silent and lose their connections, and an administrator acts on them. What they are
//! held against is told here a second time, as plainly as it goes: when the next process may come, and for what one may be ended.

use std::collections::BTreeMap;

use castellan_core::acl::Subject;
use castellan_core::event::{BrokerReport, DefinitionFile, DefinitionKind, Event};
use castellan_core::id::{Component, PluginId, SpawnId};
use castellan_core::log_message::LogRecord;
use castellan_core::time::Monotonic;

use super::World;
use super::ledger::{Broken, broken};
use super::ports::Owed;
use super::sessions::{Seats, told_of};

/// Who requires nobody, who requires that one, who crashes, and who is in the sessions of users.
const BASE: &str = "Base";
const ECHO: &str = "Echo";
const CRASH: &str = "Crash";
pub(super) const TRAY: &str = "Tray";
/// Milliseconds that a program of [`ECHO`] has to answer, and that one may be without a connection.
const ANSWER_MILLIS: u64 = 2000;
const APART_MILLIS: u64 = 30_000;
/// Milliseconds of the longest delay, and of the life that lets it begin anew; the window of five ends is as long.
const LONGEST_MILLIS: u64 = 300_000;
const STABLE_MILLIS: u64 = 60_000;

/// Their definitions.
pub(super) fn definitions() -> Vec<DefinitionFile> {
    let file = |id: &str, members: &str| {
        let document = format!(
            r#"{{"id":"{id}","name":"{id}","version":"1","pluginType":"Executable","executablePath":"bin/{id}/{id}",
            "supportedPlatforms":["Linux"],"Subscription":{{"Topic":"{id}","Qos":1,"CleanSession":true}},
            "metadata":{{"mqttTopics":{{"publish":[],"subscribe":[]}}}},"autoStart":true,
            "executionContext":"Service","requiresMonitoring":true,"autoRestart":true{members}}}"#
        );
        DefinitionFile { kind: DefinitionKind::Plugin, stem: id.to_owned(), content: Ok(document.into_bytes().into()) }
    };
    let check = r#","requires":["Base"],"healthCheck":{"topic":"Echo/ping","intervalSeconds":5,"timeoutSeconds":2}"#;
    let mut tray = file(TRAY, r#","startupPriority":-1"#);
    tray.content = tray
        .content
        .map(|bytes| String::from_utf8_lossy(&bytes).replace("\"Service\"", "\"User\"").into_bytes().into());
    vec![file(BASE, ""), file(ECHO, check), file(CRASH, r#","startupPriority":9"#), tray]
}

/// A program of a plugin.
#[derive(Debug)]
struct Program {
    plugin: String,
    runs: bool,
    connected: bool,
    /// Since when it has no connection.
    apart: Monotonic,
    /// When it was sent a ping that it has not answered.
    asked: Option<Monotonic>,
}

/// What is known of a plugin in this life of the agent.
#[derive(Debug, Default)]
struct Watched {
    spawn: Option<SpawnId>,
    begun: Monotonic,
    /// The next process may come at once: by hand, or as the agent starts.
    free: bool,
    stopped: bool,
    /// Its process is on its way out, and somebody knows why.
    ending: bool,
    not_before: Option<Monotonic>,
    doublings: u32,
    ends: Vec<Monotonic>,
    reason: Option<String>,
}

impl Watched {
    /// It may start at once, and the past no longer counts.
    fn let_start(&mut self) {
        *self = Self { free: true, spawn: self.spawn, begun: self.begun, ending: self.ending, ..Self::default() };
    }

    /// It ended by itself; when it may come back, and whether it has failed.
    fn end(&mut self, now: Monotonic) -> bool {
        if now.millis_since(self.begun) >= STABLE_MILLIS {
            self.doublings = 0;
        }
        let delay = (1000 << self.doublings.min(20)).min(LONGEST_MILLIS);
        self.doublings = self.doublings.saturating_add(1);
        self.ends.retain(|end| now.millis_since(*end) < STABLE_MILLIS);
        self.ends.push(now);
        let failed = self.ends.len() >= 5;
        if failed {
            self.ends.clear();
        }
        self.not_before = Some(now.plus_millis(if failed { LONGEST_MILLIS } else { delay }));
        (self.spawn, self.ending) = (None, false);
        failed
    }
}

/// All plugins and their programs.
#[derive(Debug, Default)]
pub(super) struct Plugins {
    programs: BTreeMap<SpawnId, Program>,
    watched: BTreeMap<String, Watched>,
    /// What there was of it, over all lives.
    pub(super) starts: usize,
    pub(super) answers: usize,
    pub(super) hangs: usize,
    pub(super) sessions: usize,
    pub(super) seats: Seats,
}

impl Plugins {
    /// A life of the agent begins: each is started once.
    pub(super) fn begin(&mut self) {
        self.programs.clear();
        self.seats.begin();
        self.watched =
            [BASE, ECHO, CRASH].map(|id| (id.to_owned(), Watched { free: true, ..Watched::default() })).into();
    }

    pub(super) fn has(&self, spawn: SpawnId) -> bool {
        self.programs.contains_key(&spawn)
    }

    /// In how many of a hundred cases a program does not end by itself; `None` where it is no plugin's.
    pub(super) fn lasts(&self, spawn: SpawnId) -> Option<u64> {
        Some(if self.programs.get(&spawn)?.plugin == CRASH { 5 } else { 80 })
    }

    fn of(&mut self, plugin: &str) -> &mut Watched {
        self.watched.entry(plugin.to_owned()).or_default()
    }

    fn is_connected(&self, plugin: &str) -> bool {
        self.programs.values().any(|program| program.plugin == plugin && program.connected)
    }

    /// The agent asks for a process.
    pub(super) fn on_spawn(&mut self, plugin: &str, spawn: SpawnId, now: Monotonic) -> Result<(), Broken> {
        let requires_base = plugin == ECHO && !self.is_connected(BASE);
        let watched = self.of(plugin);
        if watched.reason.take().is_none_or(|reason| reason.len() < 3) {
            return broken("reason", format!("plugin {plugin} starts and the log does not say why"));
        }
        if watched.stopped && !watched.free {
            return broken("restart-time", format!("plugin {plugin} starts although somebody stopped it"));
        }
        if let Some(at) = watched.not_before.filter(|at| now < *at && !watched.free) {
            let early = at.millis_since(now);
            return broken("restart-time", format!("plugin {plugin} starts {early} ms before its time"));
        }
        if requires_base {
            return broken("requires", format!("plugin {plugin} starts before {BASE} is connected"));
        }
        *watched = Watched {
            spawn: Some(spawn),
            begun: now,
            doublings: watched.doublings,
            ends: std::mem::take(&mut watched.ends),
            ..Watched::default()
        };
        self.starts = self.starts.saturating_add(1);
        self.sessions = self.sessions.saturating_add(usize::from(plugin.starts_with(TRAY)));
        let (plugin, runs, connected, asked) = (plugin.to_owned(), false, false, None);
        self.programs.insert(spawn, Program { plugin, runs, connected, apart: now, asked });
        Ok(())
    }

    /// A program begins to run.
    pub(super) fn on_released(&mut self, spawn: SpawnId) -> Result<(), Broken> {
        let plugin = self.programs.get(&spawn).map(|program| program.plugin.clone()).unwrap_or_default();
        let beside =
            |(other, program): &(&SpawnId, &Program)| program.runs && program.plugin == plugin && **other != spawn;
        if let Some((other, _)) = self.programs.iter().find(beside) {
            return broken("one-process", format!("spawn {spawn} of plugin {plugin} runs beside {other}"));
        }
        if let Some(program) = self.programs.get_mut(&spawn) {
            program.runs = true;
        }
        Ok(())
    }

    /// A program is gone.
    pub(super) fn on_exit(&mut self, spawn: SpawnId) {
        if let Some(program) = self.programs.remove(&spawn) {
            self.of(&program.plugin).ending = true;
        }
    }

    /// The agent ends a program.
    pub(super) fn on_terminate(&mut self, spawn: SpawnId, is_stopping: bool) -> Result<(), Broken> {
        let Some(plugin) = self.programs.get(&spawn).map(|program| program.plugin.clone()) else { return Ok(()) };
        if !self.of(&plugin).ending && !is_stopping {
            return broken("sign-of-life", format!("plugin {plugin} is ended and nobody asked for it"));
        }
        Ok(())
    }

    /// The agent says what becomes of a plugin.
    pub(super) fn on_log(&mut self, record: &LogRecord, now: Monotonic) -> Result<(), Broken> {
        let Some(plugin) = record.component.strip_prefix("plugin:") else { return Ok(()) };
        let plugin = &*told_of(plugin, &record.message);
        match &*record.category {
            "PluginStarting" => {
                self.of(plugin).reason = record.message.split_once("starts: ").map(|(_, why)| why.to_owned());
            }
            "PluginStopped" => *self.of(plugin) = Watched { stopped: true, ..Watched::default() },
            said @ ("PluginEnded" | "PluginFailed") => {
                let failed = self.of(plugin).end(now);
                if failed != (said == "PluginFailed") {
                    return broken("back-off", format!("plugin {plugin}: {said} by five ends in a minute: {failed}"));
                }
            }
            "PluginHangs" => {
                let programs = self.programs.values();
                let is_silent = |program: &Program| {
                    program.asked.is_some_and(|asked| now.millis_since(asked) >= ANSWER_MILLIS)
                        || (!program.connected && now.millis_since(program.apart) >= APART_MILLIS)
                };
                if !programs.into_iter().any(|program| program.plugin == plugin && is_silent(program)) {
                    return broken("sign-of-life", format!("plugin {plugin} is said to hang and has answered in time"));
                }
                self.of(plugin).ending = true;
                self.hangs = self.hangs.saturating_add(1);
            }
            _ => {}
        }
        Ok(())
    }

    /// What the agent must have done by now, once it was told the time.
    pub(super) fn on_told(&self, now: Monotonic) -> Result<(), Broken> {
        for (plugin, watched) in &self.watched {
            let is_due = watched.spawn.is_none() && watched.not_before.is_some_and(|at| now >= at);
            if is_due && plugin != ECHO {
                return broken("back-off", format!("plugin {plugin} is not started again in its time"));
            }
        }
        self.judge_sessions()?;
        for program in self.programs.values() {
            let is_late =
                program.connected && program.asked.is_some_and(|asked| now.millis_since(asked) > ANSWER_MILLIS);
            if is_late && self.watched.get(&program.plugin).is_some_and(|watched| !watched.ending) {
                return broken("sign-of-life", format!("plugin {} is silent and is left to run", program.plugin));
            }
        }
        Ok(())
    }

    /// Whose process it is.
    pub(super) fn who(&self, spawn: SpawnId) -> Option<&str> {
        self.programs.get(&spawn).map(|program| program.plugin.as_str())
    }

    /// Programs that run and are not on their way out.
    pub(super) fn left_to_run(&self) -> impl Iterator<Item = (SpawnId, &str)> {
        let is_ending = |who: &str| self.watched.get(who).is_some_and(|watched| watched.ending);
        let running = self.programs.iter().filter(move |(_, program)| program.runs && !is_ending(&program.plugin));
        running.map(|(spawn, program)| (*spawn, program.plugin.as_str()))
    }

    /// Whether there is a process, one on its way out, or a time for the next one.
    pub(super) fn is_looked_after(&self, who: &str) -> bool {
        let watched = self.watched.get(who);
        watched.is_some_and(|watched| watched.spawn.is_some() || watched.ending || watched.not_before.is_some())
    }

    /// A session is over: its process has to go, and none comes after it.
    pub(super) fn end_session(&mut self, who: &str) {
        self.on_hand(who, "stop");
    }

    /// A session is there: its first process may come at once.
    pub(super) fn let_session_start(&mut self, who: &str) {
        self.of(who).let_start();
    }

    /// An administrator acts; the same in words that the agent does not know.
    pub(super) fn on_hand(&mut self, plugin: &str, action: &str) {
        if plugin == TRAY {
            return self.on_hand_of_users(action);
        }
        if plugin == ECHO && action != "stop" && self.of(BASE).spawn.is_none() {
            self.of(BASE).let_start();
        }
        let watched = self.of(plugin);
        let is_there = watched.spawn.is_some();
        match action {
            "stop" => {
                (watched.stopped, watched.free, watched.not_before) = (true, false, None);
                watched.ending |= is_there;
            }
            "start" if is_there && !watched.ending => {}
            _ => {
                watched.ending |= is_there;
                watched.let_start();
            }
        }
    }
}

impl World<'_> {
    /// An administrator acts on a plugin.
    pub(super) fn act_on_plugin(&mut self) -> Result<(), Broken> {
        let plugin = [BASE, ECHO, CRASH, TRAY].get(self.dice.place(4)).copied().unwrap_or(BASE);
        let actions = ["start", "stop", "restart"];
        let action = actions.get(self.dice.place(actions.len())).copied().unwrap_or_default();
        self.plugins.on_hand(plugin, action);
        self.ask(&format!("/api/plugins/{plugin}/{action}"))
    }

    fn subject(&self, spawn: SpawnId) -> Option<Subject> {
        let plugin = PluginId::parse(self.plugins.who(spawn)?.split('@').next()?).ok()?;
        let pid = u32::try_from(spawn.0.saturating_add(1000)).unwrap_or(u32::MAX);
        let client_id = format!("{plugin}_{pid}");
        Some(Subject { component: Component::Plugin(plugin), run: None, spawn, pid, client_id })
    }

    /// A program connects to the broker.
    pub(super) fn connect_plugin(&mut self, spawn: SpawnId) -> Result<(), Broken> {
        let Some(subject) = self.subject(spawn) else { return Ok(()) };
        if let Some(program) = self.plugins.programs.get_mut(&spawn) {
            program.connected = true;
        }
        self.tell(Event::Broker(BrokerReport::Connected { subject }))
    }

    /// The agent sends a ping; its program answers soon, or never.
    pub(super) fn on_ping(&mut self, payload: &[u8]) {
        let now = self.now.monotonic;
        let answers = self.dice.percent(85);
        let mut programs = self.plugins.programs.iter_mut();
        if let Some((spawn, program)) = programs.find(|(_, program)| program.plugin == ECHO && program.connected) {
            program.asked = Some(now);
            if answers {
                self.owed.push_front(Owed::Pong(*spawn, payload.to_vec()));
            }
        }
    }

    /// A program answers its ping, or loses its connection and comes back.
    pub(super) fn answer_ping(&mut self, spawn: SpawnId, payload: Vec<u8>) -> Result<(), Broken> {
        let now = self.now.monotonic;
        let (Some(subject), Some(program)) = (self.subject(spawn), self.plugins.programs.get_mut(&spawn)) else {
            return Ok(());
        };
        program.asked = None;
        if self.dice.percent(10) {
            (program.connected, program.apart) = (false, now);
            if self.dice.percent(80) {
                self.owed.push_back(Owed::Connect(spawn));
            }
            let reason = String::from("cut");
            return self.tell(Event::Broker(BrokerReport::Disconnected { subject, reason }));
        }
        self.plugins.answers = self.plugins.answers.saturating_add(1);
        let topic = String::from("PluginHealth");
        self.tell(Event::Broker(BrokerReport::Published { subject, topic, payload: payload.into(), packet: None }))
    }
}
