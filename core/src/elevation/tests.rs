//! Requests for more privileges: every status against every event, and the rules of single parts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail by panicking"
)]

mod control;
mod transitions;

use std::collections::{BTreeMap, BTreeSet};
use std::string::{String, ToString};
use std::vec::Vec;
use std::{format, vec};

use serde_json::{Value, json};

use super::*;
use crate::effect::{AuditOrder, Effect, Effects, ElevationAnswer, ElevationOrder};
use crate::event::{ExecutableFacts, ExitStatus, FileIdentity, Opening, RelayedSignal, Reply};
use crate::policy::Decision;
use crate::turn::Desk;
use crate::turn::fixtures::{at, desk, shown};
use crate::user::Account;

/// A request of alice with its desk and clock; spawns are numbered from 1.
struct Rig {
    desk: Desk,
    now: u64,
    effects: Effects,
    request: Elevation,
}

fn facts(changed: i64) -> ExecutableFacts {
    let identity = Some(FileIdentity { device: 1, inode: 2, changed: (changed, 0) });
    ExecutableFacts {
        path: String::from("/bin/id"),
        resolved: String::from("/usr/bin/id"),
        exists: true,
        executable: true,
        identity,
        opening: Opening::Binary,
        ..ExecutableFacts::default()
    }
}

fn decision(verdict: &str, controls: &[&str]) -> Decision {
    let decision: Value = json!({
        "Decision": verdict, "Controls": controls, "PolicyIds": ["p"], "Notify": [], "Audit": false, "Record": false,
        "RiskLevel": 50, "Approvers": [],
        "Explanation": {"What": "W.", "Why": "Y.", "Fix": "F.", "Nearest": null, "Policies": [], "LeftOut": 0},
    });
    serde_json::from_value(decision).unwrap()
}

impl Rig {
    /// Redirection is on where there are rules.
    fn new(rules: Option<&str>) -> Self {
        let account = Account { name: "alice".to_string(), uid: 1000, gid: 1000, ..Account::default() };
        let mut desk = desk();
        let on = |rules: &str| {
            [("metadata.redirect.enabled", "true"), ("metadata.redirect.rules", rules)]
                .map(|(key, value)| (key.to_string(), value.to_string()))
        };
        if let Some(rules) = rules {
            desk.plugin_settings.insert("RedirectEvaluator", BTreeMap::from(on(rules)), Vec::new());
        }
        let person = crate::user::elevated_for(&account, &desk.surroundings).unwrap();
        let peer =
            Peer { pid: 9, uid: 1000, gid: 1000, account: Ok(account), groups: BTreeSet::new(), has_desktop: false };
        let asked = Asked {
            peer,
            words: vec!["id".to_string()],
            folder: None,
            terminal: false,
            environment: Vec::new(),
            reason: None,
            code: None,
        };
        let mut effects = Effects::new();
        let id = desk.counters.elevation(7);
        let candidates = vec!["/bin/id".to_string()];
        let turn = &mut desk.turn(at(0), &mut effects);
        let request = Elevation::begin(id, CallerId(5), asked, person, candidates, turn);
        Self { desk, now: 0, effects, request }
    }

    /// One event; the orders that follow, each in a few words.
    fn act(&mut self, act: fn(&mut Elevation, &mut Turn<'_>)) -> Vec<String> {
        self.effects.clear();
        act(&mut self.request, &mut self.desk.turn(at(self.now), &mut self.effects));
        self.effects.iter().filter_map(line).collect()
    }
}

fn line(effect: &Effect) -> Option<String> {
    Some(match effect {
        Effect::Elevation(ElevationOrder::Answer { answer: ElevationAnswer::Denied { .. }, .. }) => {
            "Answer:denied".into()
        }
        Effect::Elevation(ElevationOrder::Answer { answer: ElevationAnswer::GaveUp(_), .. }) => "Answer:gave up".into(),
        Effect::Elevation(ElevationOrder::Answer { .. }) => "Answer:ended".into(),
        Effect::Elevation(order) => format!("{order:?}").split(' ').next().unwrap().to_string(),
        Effect::Audit(AuditOrder::Append { ticket, entry }) => {
            let entry = serde_json::to_value(entry).unwrap();
            format!("Audit{}:{}", if ticket.is_some() { "!" } else { "" }, entry["kind"].as_str().unwrap())
        }
        Effect::Store(StoreOrder::KeepElevation { record, durable, .. }) => {
            format!("Keep{}:{:?}", if *durable { "!" } else { "" }, record.status)
        }
        other => {
            return shown(std::slice::from_ref(other)).pop().map(|line| line.split('=').next().unwrap().to_string());
        }
    })
}
