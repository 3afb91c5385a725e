//! Plugins: every state against every event, and what a world that lies cannot bring about.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking"
)]

use std::format;
use std::string::{String, ToString};
use std::vec;
use std::vec::Vec;

use super::*;
use crate::effect::{BrokerOrder, Effect, Effects};
use crate::event::{Captured, ExitStatus};
use crate::program::Fit;
use crate::turn::Desk;
use crate::turn::fixtures::{at, desk, plugin, shown};

const WATCHED: &str = r#","requiresMonitoring":true,"autoRestart":true"#;

struct Rig {
    desk: Desk,
    now: u64,
    effects: Effects,
    plugin: Supervisor,
}

impl Rig {
    fn new(members: &str) -> Self {
        Self { desk: desk(), now: 0, effects: Effects::new(), plugin: Supervisor::new(plugin(members), None) }
    }

    fn act(&mut self, act: impl FnOnce(&mut Supervisor, &mut Turn<'_>)) -> Vec<String> {
        self.effects.clear();
        act(&mut self.plugin, &mut self.desk.turn(at(self.now), &mut self.effects));
        shown(&self.effects)
    }

    fn tell(&mut self, name: &str) -> Vec<String> {
        let act = EVENTS.iter().find(|(known, _)| *known == name).unwrap().1;
        self.act(act)
    }
}

type Event = (&'static str, fn(&mut Supervisor, &mut Turn<'_>));

const ONE: SpawnId = SpawnId(1);

const EVENTS: [Event; 19] = [
    ("start", Supervisor::start),
    ("stop", Supervisor::stop),
    ("restart", Supervisor::restart),
    ("leave", |plugin, turn| plugin.leave("its session ended", turn)),
    ("prepared", |plugin, turn| plugin.on_prepared(ONE, 100, Ok(Fit::DIRECTLY), turn)),
    ("prepared, unsafe", |plugin, turn| plugin.on_prepared(ONE, 100, Err("unsafe.".to_string()), turn)),
    ("started", |plugin, turn| plugin.on_started(ONE, turn)),
    ("spawn failed", |plugin, turn| plugin.on_spawn_failed(ONE, "gone.", turn)),
    ("exited", |plugin, turn| plugin.on_exited(ONE, ExitStatus::Code(1), turn)),
    ("collected", |plugin, turn| plugin.on_collected(ONE, &Captured::default(), turn)),
    ("discarded", |plugin, turn| plugin.on_discarded(ONE, turn)),
    ("other prepared", |plugin, turn| plugin.on_prepared(SpawnId(9), 100, Ok(Fit::DIRECTLY), turn)),
    ("other exited", |plugin, turn| plugin.on_exited(SpawnId(9), ExitStatus::Code(1), turn)),
    ("other discarded", |plugin, turn| plugin.on_discarded(SpawnId(9), turn)),
    ("deadline", |plugin, turn| plugin.on_deadline(turn)),
    ("connected", |plugin, turn| plugin.on_connected(turn)),
    ("disconnected", |plugin, turn| plugin.on_disconnected(turn)),
    ("lacks", |plugin, _| plugin.missing = Some("it requires plugin bus, and waits.".to_string())),
    ("go on", |plugin, turn| {
        plugin.missing = None;
        plugin.go_on(turn);
    }),
];

/// Events that lead into each state, from the start.
const STATES: [(&str, &[&str]); 12] = [
    ("Stopped", &[]),
    ("Waiting", &["lacks", "start"]),
    ("Starting", &["start"]),
    ("Starting!", &["start", "stop"]),
    ("Released", &["start", "prepared"]),
    ("Running", &["start", "prepared", "started"]),
    ("Stopping!", &["start", "prepared", "started", "stop"]),
    ("Stopping+", &["start", "prepared", "started", "restart"]),
    ("Ending", &["start", "prepared", "started", "exited"]),
    ("Ending.", &["start", "prepared", "started", "exited", "collected"]),
    ("Backoff", &["start", "spawn failed"]),
    ("Failed", &["start"]),
];

fn name(plugin: &Supervisor) -> String {
    let name = match plugin.state {
        State::Stopped => "Stopped",
        State::Waiting { .. } => "Waiting",
        State::Starting { released: false, .. } => "Starting",
        State::Starting { released: true, .. } => "Released",
        State::Running { .. } => "Running",
        State::Stopping { .. } => "Stopping",
        State::Ending { collected: false, .. } => "Ending",
        State::Ending { collected: true, .. } => "Ending.",
        State::Backoff { .. } => "Backoff",
        State::Failed { .. } => "Failed",
    };
    let then = match plugin.then {
        _ if plugin.is_stopped() => "",
        Then::Supervise => "",
        Then::Stop => "!",
        Then::Restart(_) => "+",
    };
    format!("{name}{then}")
}

/// Five spawns that fail, one after the other.
fn fail(rig: &mut Rig) {
    for spawn in 1..=5 {
        rig.act(|plugin, turn| plugin.on_spawn_failed(SpawnId(spawn), "gone.", turn));
        if spawn < 5 {
            rig.now += 10_000;
            rig.act(|plugin, turn| plugin.on_deadline(turn));
        }
    }
}

fn table() -> Vec<String> {
    let mut lines = Vec::new();
    for (state, path) in STATES {
        for (event, _) in EVENTS {
            let mut rig = Rig::new(WATCHED);
            for step in path {
                rig.tell(step);
            }
            if state == "Failed" {
                fail(&mut rig);
            }
            assert_eq!(name(&rig.plugin), state, "the way into the state");
            if event == "deadline" {
                rig.now = rig.plugin.next_deadline().map_or(rig.now, |deadline| deadline.at.as_millis());
            }
            let orders = rig.tell(event);
            assert!(
                rig.plugin.next_deadline().is_none_or(|deadline| deadline.at > at(rig.now).monotonic),
                "{state} {event}: a deadline in the past"
            );
            let line = format!("{state:<9} {event:<16} -> {:<9} {}", name(&rig.plugin), orders.join(" "));
            lines.push(line.trim_end().to_string());
        }
    }
    lines
}

/// `!` behind a state: it stops; `+`: it is restarted; `.`: its output is collected. `!Word` is a line of the log.
const EXPECTED: &str = include_str!("tests/transitions.txt");

#[test]
fn every_state_and_every_event() {
    let found = table();
    let expected: Vec<&str> = EXPECTED.lines().collect();
    assert!(found == expected, "{}", found.join("\n"));
}

#[test]
fn only_a_watched_plugin_is_restarted() {
    for (members, expect) in [
        (WATCHED, "Backoff"),
        (r#","requiresMonitoring":true"#, "Stopped"),
        (r#","autoRestart":true"#, "Stopped"),
        ("", "Stopped"),
    ] {
        let mut rig = Rig::new(members);
        for event in ["start", "prepared", "started", "exited", "collected", "discarded"] {
            rig.tell(event);
        }
        assert_eq!(name(&rig.plugin), expect, "{members}");
    }
}

#[test]
fn a_restart_follows_the_delay_and_counts() {
    let mut rig = Rig::new(WATCHED);
    for event in ["start", "prepared", "started", "exited", "collected", "discarded"] {
        rig.tell(event);
    }
    rig.now = 999;
    assert!(rig.act(|plugin, turn| plugin.on_deadline(turn)).is_empty(), "early");
    rig.now = 1000;
    assert_eq!(rig.act(|plugin, turn| plugin.on_deadline(turn)), ["Spawn 2"]);
    assert!(rig.act(|plugin, turn| plugin.on_deadline(turn)).is_empty(), "twice");
    assert_eq!((rig.plugin.restarts, rig.plugin.last_start), (1, Some(at(1000).wall)));
}

#[test]
fn without_a_delay_the_restart_follows_at_once_until_it_fails_too_often() {
    let mut rig = Rig::new(WATCHED);
    rig.desk.settings.monitoring.restart_delay_seconds = 0;
    for event in ["start", "prepared", "started", "exited", "collected"] {
        rig.tell(event);
    }
    assert_eq!(rig.tell("discarded"), ["!PluginEnded", "Spawn 2"]);
    assert_eq!((name(&rig.plugin).as_str(), rig.plugin.restarts), ("Starting", 1));
    for spawn in 2..=5 {
        rig.act(|plugin, turn| plugin.on_spawn_failed(SpawnId(spawn), "gone.", turn));
    }
    assert_eq!((name(&rig.plugin).as_str(), rig.plugin.restarts), ("Failed", 4));
}

#[test]
fn a_stopping_agent_shortens_the_grace_of_a_plugin_that_is_stopped_already() {
    let mut rig = Rig::new(WATCHED);
    for event in ["start", "prepared", "started", "stop"] {
        rig.tell(event);
    }
    rig.now = 1000;
    rig.act(|plugin, turn| plugin.stop_within(5, turn));
    assert_eq!(rig.plugin.next_deadline().unwrap().at.as_millis(), 6000);
    rig.act(|plugin, turn| plugin.stop_within(60, turn));
    assert_eq!(rig.plugin.next_deadline().unwrap().at.as_millis(), 6000, "and nobody lengthens it");
}

#[test]
fn where_the_program_is_and_what_it_is_told() {
    let request = |members: &str| {
        let mut rig = Rig::new(members);
        rig.tell("start");
        rig.effects.iter().find_map(|effect| match effect {
            Effect::Process(ProcessOrder::Spawn(request)) => Some(request.clone()),
            _ => None,
        })
    };
    let relative = request(r#","arguments":"--base={KeeperApiBaseUrl} '{pluginroot}/a b' {tmp} {nobody}""#).unwrap();
    assert_eq!(relative.program.candidates, ["/agent/bin/bridge/bridge", "/agent/Plugins/bin/bridge/bridge"]);
    assert_eq!(relative.arguments, ["--base=https://127.0.0.1:2", "/agent/Plugins/a b", "/tmp", "{nobody}"]);
    let names: Vec<&str> = relative.environment.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["LANG", "PATH"]);
}

#[test]
fn last_words_are_kept_short_and_on_one_line() {
    let mut rig = Rig::new("");
    for event in ["start", "prepared", "started", "exited"] {
        rig.tell(event);
    }
    let stderr =
        Captured { head: format!("{}\nforged \u{1b}[2J", "ä".repeat(5000)).into_bytes(), ..Captured::default() };
    rig.act(|plugin, turn| plugin.on_collected(ONE, &stderr, turn));
    rig.tell("discarded");
    let line = rig.effects.iter().find_map(|effect| match effect {
        Effect::Log(record) => Some(record.message.clone()),
        _ => None,
    });
    let line = line.unwrap();
    assert!(line.contains("\\nforged \\u001b[2J") && !line.contains('\n') && line.chars().count() < 900, "{line}");
}

#[test]
fn what_cannot_be_started_says_why() {
    for (members, word) in
        [("", None), (r#","enabled":false"#, Some("enabled")), (r#","executionContext":"User""#, None)]
    {
        let plugin = Supervisor::new(plugin(members), None);
        let obstacle = plugin.obstacle();
        assert_eq!(obstacle.is_some(), word.is_some(), "{obstacle:?}");
        assert!(word.is_none_or(|word| obstacle.unwrap().contains(word)), "{obstacle:?}");
    }
}

/// A watched plugin with a health check runs and is connected since 0.
fn checked(members: &str) -> Rig {
    let check = r#","healthCheck":{"topic":"bridge/ping","intervalSeconds":20,"timeoutSeconds":5}"#;
    let mut rig = Rig::new(&format!("{check}{members}"));
    for event in ["start", "prepared", "started", "connected"] {
        rig.tell(event);
    }
    rig
}

/// Passes to its next deadline, and tells it that.
fn due(rig: &mut Rig) -> Vec<String> {
    rig.now = rig.plugin.next_deadline().unwrap().at.as_millis();
    rig.tell("deadline")
}

fn ping(rig: &Rig) -> String {
    let payload = rig.effects.iter().find_map(|effect| match effect {
        Effect::Broker(BrokerOrder::Publish { topic, payload, retain: false, .. }) if topic == "bridge/ping" => {
            Some(payload)
        }
        _ => None,
    });
    let object: serde_json::Value = serde_json::from_slice(payload.unwrap()).unwrap();
    object["id"].as_str().unwrap().to_string()
}

#[test]
fn a_plugin_that_answers_in_time_lives_and_one_that_does_not_is_restarted_for_it() {
    let mut rig = checked(WATCHED);
    for _ in 0..3 {
        let before = rig.now;
        due(&mut rig);
        assert_eq!(rig.now - before, 20_000, "the interval");
        let id = ping(&rig);
        assert!(rig.plugin.on_answer("1.99", &mut rig.desk.turn(at(rig.now), &mut Effects::new())).is_err());
        rig.plugin.on_answer(&id, &mut rig.desk.turn(at(rig.now), &mut Effects::new())).unwrap();
        assert!(
            rig.plugin.on_answer(&id, &mut rig.desk.turn(at(rig.now), &mut Effects::new())).is_err(),
            "each is answered once"
        );
        assert_eq!((name(&rig.plugin).as_str(), rig.plugin.health()), ("Running", "Healthy"));
    }
    due(&mut rig);
    let sent = rig.now;
    assert_eq!(due(&mut rig), ["!PluginHangs", "Terminate 1"]);
    assert_eq!(rig.now - sent, 5_000, "the time to answer");
    assert_eq!(due(&mut rig), ["Kill 1"], "it ignores SIGTERM");
    for event in ["exited", "collected", "discarded"] {
        rig.tell(event);
    }
    assert_eq!(name(&rig.plugin), "Backoff");
    let reason = rig.plugin.reason().unwrap();
    assert!(reason.contains("it hangs: it did not answer a ping on 'bridge/ping' within 5 s"), "{reason}");
    assert_eq!(rig.plugin.restart_at(at(rig.now)), Some(at(rig.now + 1000).wall));
}

#[test]
fn what_is_not_restarted_is_unhealthy_until_it_answers() {
    let mut rig = checked("");
    due(&mut rig);
    let late = ping(&rig);
    assert_eq!(due(&mut rig), ["!PluginUnhealthy"]);
    assert_eq!((rig.plugin.health(), rig.plugin.status()), ("Unhealthy", "Running"));
    assert!(rig.plugin.on_answer(&late, &mut rig.desk.turn(at(rig.now), &mut Effects::new())).is_err(), "too late");
    due(&mut rig);
    let id = ping(&rig);
    rig.act(|plugin, turn| plugin.on_answer(&id, turn).unwrap());
    assert_eq!(rig.plugin.health(), "Healthy");
}

#[test]
fn a_plugin_without_a_connection_is_unhealthy_after_a_while_and_healthy_with_one() {
    let mut rig = Rig::new(WATCHED);
    for event in ["start", "prepared", "started"] {
        rig.tell(event);
    }
    assert_eq!(rig.plugin.health(), "Starting");
    assert_eq!(due(&mut rig), ["!PluginUnhealthy"]);
    assert_eq!((rig.now, rig.plugin.health(), rig.plugin.next_deadline()), (30_000, "Unhealthy", None));
    rig.tell("connected");
    assert_eq!(rig.plugin.health(), "Healthy");
    rig.now += 1000;
    rig.tell("disconnected");
    assert_eq!((due(&mut rig), rig.now, rig.plugin.health()), (vec!["!PluginUnhealthy".into()], 61_000, "Unhealthy"));
    assert!(rig.plugin.reason().unwrap().contains("no connection to the broker for 30 s"));
}

#[test]
fn a_checked_plugin_that_lost_its_connection_is_asked_nothing_and_hangs_after_a_while() {
    let mut rig = checked(WATCHED);
    due(&mut rig);
    rig.tell("disconnected");
    rig.now += 6_000;
    assert!(rig.tell("deadline").is_empty(), "the answer could not come");
    rig.tell("connected");
    due(&mut rig);
    ping(&rig);
    rig.tell("disconnected");
    assert_eq!(due(&mut rig), ["!PluginHangs", "Terminate 1"]);
}

#[test]
fn a_start_by_hand_while_it_ends_starts_it_again_without_a_delay() {
    let mut rig = Rig::new("");
    for event in ["start", "prepared", "started", "exited", "start", "collected"] {
        rig.tell(event);
    }
    assert_eq!(rig.tell("discarded"), ["Spawn 2"]);
}
