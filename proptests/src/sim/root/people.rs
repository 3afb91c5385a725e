//! Who acts on the simulated root: administrators over the API, and people with an editor; and what they may expect.

use castellan_core::api::ApiResponse;
use castellan_core::effect::StoreOrder;
use castellan_core::event::{DefinitionKind, Event};
use castellan_core::id::RequestId;
use castellan_core::lkg::{DefinitionChange, FoundDocument, Item, ReferenceQuery, ReferencesFound};
use serde_json::{Value, json};

use super::super::ledger::{Broken, broken};
use super::guard::shown;
use super::{AT_ONCE, Faults, World};
use crate::agents::request_of_an_administrator;

/// What an open request wants.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    /// That an item has this document, or none.
    Write(Item, Option<Value>),
    /// The same by a policy.
    Policy(Item, Option<Value>),
    /// That something that stands somewhere is blessed.
    Bless(Item),
    /// To know or do something else.
    Other,
}

/// Every item that anybody cares for; a stray may stand beside them.
pub(super) fn items() -> Vec<Item> {
    let jobs = ["a", "b", "c"].map(|id| Item::new(DefinitionKind::Job, id));
    jobs.into_iter().chain([Item::new(DefinitionKind::Plugin, "P")]).collect()
}

/// Whether a file's bytes are a definition of the item: all of this world are, unless they are cut, torn or another one's.
pub(super) fn is_valid(item: &Item, bytes: &[u8]) -> bool {
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    document.get("id").is_some_and(|id| *id == item.id)
}

/// What tells a document from all others.
pub(super) fn mark_of(bytes: &[u8]) -> String {
    let document: Value = serde_json::from_slice(bytes).unwrap_or_default();
    let mark = document.pointer("/tasks/0/arguments").or_else(|| document.pointer("/metadata/mark"));
    mark.and_then(Value::as_str).unwrap_or_default().to_owned()
}

impl World<'_> {
    pub(super) fn an_item(&mut self) -> Item {
        let items = items();
        let place = self.dice.place(items.len());
        items.into_iter().nth(place).unwrap_or_else(|| Item::new(DefinitionKind::Job, "a"))
    }

    /// A valid document of an item that nobody had before.
    pub(super) fn new_document(&mut self, item: &Item) -> Vec<u8> {
        self.mark = self.mark.saturating_add(1);
        let (id, mark) = (&item.id, self.mark.to_string());
        let document = match item.kind {
            DefinitionKind::Job => {
                json!({ "id": id, "overlap": "parallel", "tasks": [{ "id": "t", "command": "tool", "arguments": mark }] })
            }
            DefinitionKind::Plugin => json!({ "id": id, "pluginType": "Executable", "executablePath": "/bin/x",
                "supportedPlatforms": ["Linux"], "Subscription": { "Topic": id }, "autoStart": false,
                "metadata": { "mqttTopics": { "publish": [], "subscribe": [] }, "mark": mark } }),
        };
        document.to_string().into_bytes()
    }

    /// Somebody changes a file.
    pub(super) fn edit(&mut self) -> Result<(), Broken> {
        let mut item = self.an_item();
        let name = item.to_string();
        let there = self.guard.on_disk();
        let here = there.get(&item).cloned();
        let bytes = match self.dice.below(7) {
            0 | 1 => Some(self.new_document(&item)),
            2 => here.map(|mut bytes| {
                bytes.truncate(self.dice.place(bytes.len()));
                bytes
            }),
            3 => None,
            4 => here.map(|bytes| [&bytes[..], b" "].concat()),
            // What stood there once, or another item's file.
            5 => {
                let past: Vec<Vec<u8>> = self.guard.files.past();
                let place = self.dice.place(past.len());
                past.into_iter().nth(place)
            }
            _ => {
                item = Item::new(DefinitionKind::Job, "stray");
                Some(self.new_document(&item))
            }
        };
        self.note(&format!("somebody edits {item}: {:?}", bytes.as_deref().map(String::from_utf8_lossy)));
        let name = if item.id == "stray" { item.to_string() } else { name };
        if self.dice.percent(50) {
            self.guard.files.tamper(&name, bytes);
        } else {
            self.guard.files.edit(&name, bytes);
        }
        if !(self.faults.deaf && self.dice.percent(40)) {
            self.guard.seen.insert(item);
        }
        Ok(())
    }

    /// Somebody changes one file as fast as it is restored.
    pub(super) fn fight(&mut self) -> Result<(), Broken> {
        let item = self.an_item();
        let name = item.to_string();
        for _ in 0..self.dice.below(40) {
            let bytes = self.new_document(&item);
            self.guard.files.tamper(&name, Some(bytes));
            self.guard.seen.insert(item.clone());
            self.look()?;
            while !self.reports.is_empty() && !self.guard.is_stopped() {
                self.report()?;
                if self.dice.percent(80) {
                    self.carry_out()?;
                }
            }
            let millis = self.dice.below(300);
            self.pass(millis);
            self.tell(Event::DeadlineReached)?;
            if self.guard.is_stopped() {
                return Ok(());
            }
        }
        Ok(())
    }

    pub(super) fn trigger(&mut self) -> Result<(), Broken> {
        let item = self.an_item();
        match item.kind {
            DefinitionKind::Job => self.ask("POST", &format!("/api/Jobs/{}/trigger", item.id), "", Asked::Other),
            DefinitionKind::Plugin => self.hold_memory(&item),
        }
    }

    /// An administrator changes a job, over the API or by a policy.
    pub(super) fn write(&mut self) -> Result<(), Broken> {
        let item = self.an_item();
        let text = String::from_utf8_lossy(&self.new_document(&item)).into_owned();
        let (id, document) = (&item.id, serde_json::from_str::<Value>(&text).ok());
        if item.kind == DefinitionKind::Plugin || self.dice.percent(25) {
            let is_removed = item.kind == DefinitionKind::Job && self.dice.percent(25);
            let document = document.filter(|_| !is_removed);
            let action = match (is_removed, self.memory.contains_key(&item)) {
                (true, _) => "Delete",
                (false, true) => "Update",
                (false, false) => "Add",
            };
            let policy = match item.kind {
                DefinitionKind::Job => json!({ "PolicyType": "JobUpdate",
                    "Extension": { "Action": action, "JobId": id, "JobJson": document } }),
                DefinitionKind::Plugin => json!({ "PolicyType": "SettingsUpdate",
                    "Extension": { "PluginId": id, "SettingsJson": document } }),
            };
            let (target, body) = (format!("/api/policies?name=p{}", self.mark), policy.to_string());
            self.entitled.push((item.clone(), document.clone()));
            self.count(&item);
            return self.ask("POST", &target, &body, Asked::Policy(item, document));
        }
        let (method, target, body, document) = match self.dice.below(4) {
            0 => ("POST", String::from("/api/Jobs"), text, document),
            1 => ("DELETE", format!("/api/Jobs/{id}"), String::new(), None),
            _ => ("PUT", format!("/api/Jobs/{id}"), text, document),
        };
        self.entitled.push((item.clone(), document.clone()));
        self.ask(method, &target, &body, Asked::Write(item, document))
    }

    /// An administrator looks after Last Known Good.
    pub(super) fn administer(&mut self) -> Result<(), Broken> {
        let item = self.an_item();
        match self.dice.below(8) {
            0 | 1 => self.ask("POST", &format!("/api/lkg/{item}/accept"), "", Asked::Bless(item)),
            2 | 3 => {
                let version = self.dice.below(4).saturating_add(1);
                let target = format!("/api/lkg/{item}/rollback?version={version}");
                self.ask("POST", &target, "", Asked::Bless(item))
            }
            4 => self.ask("GET", &format!("/api/lkg/{item}/diff"), "", Asked::Other),
            5 => self.ask("POST", "/api/lkg/verify", "", Asked::Other),
            6 => self.ask("POST", "/api/lkg/rekey", "", Asked::Other),
            _ => self.ask("POST", "/api/Jobs/reload", "", Asked::Other),
        }
    }

    pub(super) fn ask(&mut self, method: &str, target: &str, body: &str, asked: Asked) -> Result<(), Broken> {
        self.requests = self.requests.saturating_add(1);
        self.open.insert(RequestId(self.requests), asked);
        self.tell(Event::Api(request_of_an_administrator(self.requests, method, target, body)))
    }

    /// What was found for somebody who wants to bless it may be blessed.
    pub(super) fn entitle(&mut self, query: &ReferenceQuery, found: Option<&ReferencesFound>) {
        let (ReferenceQuery::Candidate(item, _) | ReferenceQuery::Version(item, _)) = query else { return };
        let is_wanted = self.open.values().any(|asked| matches!(asked, Asked::Bless(wanted) if wanted == item));
        if let Some(ReferencesFound::Document(Some(FoundDocument { document, .. }))) = found.filter(|_| is_wanted) {
            self.entitled.push((item.clone(), document.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok())));
        }
    }

    /// Holds an order to the store against what somebody asked for, and against the brake.
    pub(super) fn judge(&mut self, order: &StoreOrder) -> Result<(), Broken> {
        if let StoreOrder::ChangeDefinitions { changes, .. } = order {
            for DefinitionChange { item, document } in changes {
                let document = document.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
                if !self.entitled.contains(&(item.clone(), document)) {
                    return broken("entitled", format!("nobody asked for this of {item}: {changes:?}"));
                }
            }
        }
        if let StoreOrder::Restore { item, .. } = order {
            let now = self.now.monotonic;
            let times = self.restores.entry(item.clone()).or_default();
            let recent = times.iter().filter(|at| now.millis_since(**at) < 60_000).count();
            if let Some(last) = times.back().filter(|_| recent >= AT_ONCE)
                && now.millis_since(*last) < 1000
            {
                return broken("brake", format!("{item} is restored {recent} times in a minute, and again"));
            }
            times.push_back(now);
        }
        Ok(())
    }

    /// Holds an answer against what counts by now.
    pub(super) fn judge_answer(&mut self, request: RequestId, response: ApiResponse) -> Result<(), Broken> {
        let Some(asked) = self.open.remove(&request) else {
            return broken("answered", format!("request {request} was answered, or never asked"));
        };
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        let is_well = response.status < 300;
        let is_applied = body.get("result").is_some_and(|result| result == "Applied");
        // A policy is answered once it is recorded, and others may have written by then.
        let (wanted, may_be_past) = match &asked {
            Asked::Write(item, document) if is_well => (Some((item, document)), false),
            Asked::Policy(item, document) if is_applied => (Some((item, document)), true),
            Asked::Write(..) | Asked::Policy(..) | Asked::Bless(_) | Asked::Other => (None, false),
        };
        if let Some((item, document)) = wanted {
            let counts: Option<Value> = self.memory.get(item).and_then(|bytes| serde_json::from_slice(bytes).ok());
            let did_count = may_be_past && self.counted.contains(&(item.clone(), document.clone()));
            if counts != *document && !did_count {
                return broken("answered", format!("{asked:?} is answered well, and {counts:?} counts"));
            }
        }
        self.answer = Some(response);
        Ok(())
    }

    /// What the API shows of an item is what counts.
    pub(super) fn hold_memory(&mut self, item: &Item) -> Result<(), Broken> {
        let target = match item.kind {
            DefinitionKind::Job => format!("/api/Jobs/{}", item.id),
            DefinitionKind::Plugin => format!("/api/PluginSettings/{}", item.id),
        };
        self.ask("GET", &target, "", Asked::Other)?;
        let answer = self.answer.take().filter(|answer| answer.status == 200).map(|answer| answer.body);
        let counts = self.memory.get(item);
        let is_same = match item.kind {
            DefinitionKind::Job => answer.as_ref() == counts,
            DefinitionKind::Plugin => {
                let settings = answer.and_then(|body| serde_json::from_slice::<Value>(&body).ok());
                let mark = settings.as_ref().and_then(|all| all.get("metadata.mark")).and_then(Value::as_str);
                mark.map(ToOwned::to_owned) == counts.map(|bytes| mark_of(bytes))
            }
        };
        if !is_same {
            return broken("memory", format!("{item} is not as it counts: {}", shown(&self.memory)));
        }
        Ok(())
    }

    /// The last life: nothing fails any more, everybody is quiet, and what is held is decided.
    pub(super) fn come_to_rest(&mut self) -> Result<(), Broken> {
        let Faults { crashes, full, deaf: _, toggles } = std::mem::take(&mut self.faults);
        if !(crashes || full || toggles) {
            // Nothing but people disturbed this life: it comes to rest by itself.
            self.settle()?;
            self.hold_files()?;
        }
        self.guard.restart();
        self.begin_life(true)?;
        self.settle()?;
        let held = if self.was_off { self.differing() } else { Vec::new() };
        for (item, found) in held {
            let version = self.version_of(&item)?;
            match version.filter(|_| self.memory.contains_key(&item)) {
                Some(version) => {
                    let target = format!("/api/lkg/{item}/rollback?version={version}");
                    self.ask("POST", &target, "", Asked::Bless(item))?;
                }
                None if found => {
                    self.guard.files.tamper(&item.to_string(), None);
                    self.guard.seen.insert(item);
                }
                None => {}
            }
            self.settle()?;
        }
        self.settle()?;
        self.hold_files()?;
        for item in items() {
            self.hold_memory(&item)?;
        }
        self.ask("GET", "/api/lkg", "", Asked::Other)?;
        let status = self.answer.take().and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
        let counter = status.as_ref().and_then(|status| status.get("counter")).and_then(Value::as_u64);
        if counter != Some(self.guard.counter()) {
            return broken("recovered", format!("the agent knows counter {counter:?}, not {}", self.guard.counter()));
        }
        if self.guard.committed.as_ref() != Some(&self.memory) {
            return broken("recovered", format!("{} is blessed, and {} counts", self.blessed(), shown(&self.memory)));
        }
        // And the next start finds the same.
        self.guard.restart();
        self.guard.open(true).map(|_| ())
    }

    /// Every file is as blessed.
    fn hold_files(&self) -> Result<(), Broken> {
        let Some((item, _)) = self.differing().into_iter().next() else { return Ok(()) };
        let files = shown(&self.guard.on_disk());
        broken("recovered", format!("{item}: the files are {files}, and {} is blessed", self.blessed()))
    }

    fn blessed(&self) -> String {
        self.guard.committed.as_ref().map_or_else(String::new, shown)
    }

    /// Items whose file is not as blessed, and whether there is one.
    fn differing(&self) -> Vec<(Item, bool)> {
        let (files, blessed) = (self.guard.on_disk(), self.guard.committed.clone().unwrap_or_default());
        let known = files.keys().chain(blessed.keys()).collect::<std::collections::BTreeSet<_>>();
        let differing = known.into_iter().filter(|item| files.get(item) != blessed.get(item));
        differing.map(|item| (item.clone(), files.contains_key(item))).collect()
    }

    fn version_of(&mut self, item: &Item) -> Result<Option<u64>, Broken> {
        self.ask("GET", "/api/lkg", "", Asked::Other)?;
        let status: Value =
            self.answer.take().and_then(|answer| serde_json::from_slice(&answer.body).ok()).unwrap_or_default();
        let items = status.get("items").and_then(Value::as_array).cloned().unwrap_or_default();
        let is_it = |one: &&Value| {
            let text = |name| one.get(name).and_then(Value::as_str).unwrap_or_default();
            format!("{}/{}", text("kind"), text("id")) == item.to_string()
        };
        Ok(items.iter().find(is_it).and_then(|one| one.get("version")).and_then(Value::as_u64))
    }

    /// Lets everything that is under way come to its end, and two sweeps go by.
    fn settle(&mut self) -> Result<(), Broken> {
        let end = self.now.monotonic.plus_seconds(130);
        while self.now.monotonic < end {
            while !(self.orders.is_empty() && self.reports.is_empty() && self.guard.seen.is_empty()) {
                self.carry_out()?;
                self.report()?;
                self.look()?;
            }
            let due = self.agent.next_deadline(self.now).map_or(end, |deadline| deadline.at.min(end));
            self.pass(due.millis_since(self.now.monotonic));
            self.tell(Event::DeadlineReached)?;
        }
        Ok(())
    }
}
