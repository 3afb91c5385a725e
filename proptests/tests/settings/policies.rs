//! Laws of configuration policies: applied twice is applied once; one that is not applied leaves everything as it was; and what is
//! applied does what a plain map says.

use std::collections::BTreeMap;

use castellan_core::agent::Agent;
use castellan_core::api::ApiResponse;
use castellan_core::configuration_policy::{AppliedPolicy, PolicyChange, PolicyContent, PolicyFile, PolicyKey};
use castellan_core::effect::{Effect, Effects, StoreOrder};
use castellan_core::event::{DefinitionFile, DefinitionKind, Endpoints, Event, Loaded, StoreReport};
use castellan_core::hexadecimal;
use castellan_core::lkg::NotWritten;
use castellan_core::time::{Monotonic, Now, WallTime};
use castellan_proptests::agents::request_of_an_administrator;
use castellan_proptests::laws::config;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

const JOBS: [&str; 2] = ["a", "b"];

/// A policy: what is done, to which job, with which content.
#[derive(Debug, Clone, Copy)]
enum Asked {
    Add(usize, u8),
    Update(usize, u8),
    Delete(usize),
    /// A job that is not sound.
    Broken(usize),
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// A policy of one of some names; whether the disk takes what it writes, and whether it is only judged.
    Apply {
        name: u8,
        asked: Asked,
        well: bool,
        is_dry_run: bool,
    },
    Restart,
}

fn asked() -> impl Strategy<Value = Asked> {
    let (job, content) = (0..JOBS.len(), 0..3_u8);
    prop_oneof![
        (job.clone(), content.clone()).prop_map(|(job, content)| Asked::Add(job, content)),
        (job.clone(), content).prop_map(|(job, content)| Asked::Update(job, content)),
        job.clone().prop_map(Asked::Delete),
        job.prop_map(Asked::Broken),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let apply = (0..3_u8, asked(), prop::bool::weighted(0.8), prop::bool::weighted(0.2));
    prop_oneof![
        8 => apply.prop_map(|(name, asked, well, is_dry_run)| Step::Apply { name, asked, well, is_dry_run }),
        1 => Just(Step::Restart),
    ]
}

fn document(asked: Asked) -> String {
    let job = |job: usize, content: u8| json!({ "id": JOBS[job], "tasks": [{ "id": "t", "command": "echo", "arguments": content.to_string() }] });
    let (action, id, json) = match asked {
        Asked::Add(id, content) => ("Add", id, Some(job(id, content))),
        Asked::Update(id, content) => ("Update", id, Some(job(id, content))),
        Asked::Delete(id) => ("Delete", id, None),
        Asked::Broken(id) => ("Update", id, Some(json!({ "id": JOBS[id], "tasks": [] }))),
    };
    json!({ "PolicyType": "JobUpdate", "Extension": { "Action": action, "JobId": JOBS[id], "JobJson": json } })
        .to_string()
}

type State = (BTreeMap<String, Vec<u8>>, BTreeMap<PolicyKey, AppliedPolicy>);

/// The agent, and a disk that answers at once.
struct Service {
    agent: Agent,
    requests: u64,
    disk: State,
    disk_is_well: bool,
    writes: u64,
    answer: Option<ApiResponse>,
}

impl Service {
    fn new() -> Self {
        let disk = State::default();
        let mut service =
            Self { agent: super::agent(), requests: 0, disk, disk_is_well: true, writes: 0, answer: None };
        service.begin_life();
        service
    }

    fn begin_life(&mut self) {
        self.agent = super::agent();
        let file = |(stem, bytes): (&String, &Vec<u8>)| DefinitionFile {
            kind: DefinitionKind::Job,
            stem: stem.clone(),
            content: Ok(bytes.as_slice().into()),
        };
        let definitions = self.disk.0.iter().map(file).collect();
        let applied_policies = self.disk.1.values().cloned().collect();
        self.tell(Event::Loaded(Loaded { definitions, applied_policies, ..Loaded::default() }));
        self.tell(Event::Opened(Endpoints { http: 6888, https: 6889, mqtt: 8675 }));
    }

    fn ask(&mut self, method: &str, target: &str, body: &str) -> (u16, Value) {
        self.requests = self.requests.saturating_add(1);
        self.tell(Event::Api(request_of_an_administrator(self.requests, method, target, body)));
        let answer = self.answer.take().unwrap();
        (answer.status, serde_json::from_slice(&answer.body).unwrap())
    }

    fn tell(&mut self, event: Event) {
        let now = Now { monotonic: Monotonic::from_millis(self.requests), wall: WallTime::from_millis(0) };
        let mut effects = Effects::new();
        self.agent.handle(now, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Respond { response, .. } => self.answer = Some(response),
                Effect::Store(order) => {
                    if let Some(report) = self.carry_out(order) {
                        self.tell(Event::Store(report));
                    }
                }
                _ => {}
            }
        }
    }

    fn carry_out(&mut self, order: StoreOrder) -> Option<StoreReport> {
        Some(match order {
            StoreOrder::ReadPolicies { ticket, document } => {
                let read = |document: castellan_core::configuration_policy::PolicyDocument| {
                    let sha256 = hexadecimal(&document.document);
                    let content = PolicyContent { document: document.document, sha256, signature: None, owner: None };
                    PolicyFile { name: document.name, content: Ok(content) }
                };
                StoreReport::PoliciesRead { ticket, files: document.into_iter().map(read).collect() }
            }
            StoreOrder::ChangeDefinitions { ticket, changes, .. } if self.disk_is_well => {
                self.writes = self.writes.saturating_add(1);
                let versions = vec![0; changes.len()];
                for change in changes {
                    match change.document {
                        Some(document) => drop(self.disk.0.insert(change.item.id, document.to_vec())),
                        None => drop(self.disk.0.remove(&change.item.id)),
                    }
                }
                StoreReport::DefinitionsChanged { ticket, result: Ok(versions) }
            }
            StoreOrder::ChangeDefinitions { ticket, .. } => {
                StoreReport::DefinitionsChanged { ticket, result: Err(NotWritten::because("the disk is full")) }
            }
            StoreOrder::KeepPolicies { ticket, changes, .. } => {
                self.writes = self.writes.saturating_add(1);
                for change in changes {
                    match change {
                        PolicyChange::Keep(policy) => drop(self.disk.1.insert(policy.key.clone(), policy)),
                        PolicyChange::Forget(key) => drop(self.disk.1.remove(&key)),
                    }
                }
                StoreReport::PoliciesKept { ticket, result: Ok(()) }
            }
            _ => return None,
        })
    }

    /// What each job says, in service.
    fn in_service(&mut self) -> BTreeMap<usize, u8> {
        let mut found = BTreeMap::new();
        for (index, id) in JOBS.iter().enumerate() {
            let (status, job) = self.ask("GET", &format!("/api/Jobs/{id}"), "");
            if status == 200 {
                found.insert(index, job["tasks"][0]["arguments"].as_str().unwrap().parse().unwrap());
            }
        }
        found
    }
}

/// Whether a policy is sound over these jobs; then they are as it wants them.
fn model(jobs: &mut BTreeMap<usize, u8>, asked: Asked) -> bool {
    match asked {
        Asked::Add(job, content) if jobs.get(&job).is_none_or(|known| *known == content) => jobs.insert(job, content),
        Asked::Update(job, content) if jobs.contains_key(&job) => jobs.insert(job, content),
        Asked::Delete(job) => jobs.remove(&job),
        Asked::Add(..) | Asked::Update(..) | Asked::Broken(_) => return false,
    };
    true
}

proptest! {
    #![proptest_config(config(128))]

    #[test]
    fn applied_twice_is_applied_once_and_what_is_not_applied_changes_nothing(steps in vec(step(), 1..20)) {
        let mut service = Service::new();
        let mut jobs: BTreeMap<usize, u8> = BTreeMap::new();
        for step in steps {
            let Step::Apply { name, asked, well, is_dry_run } = step else {
                service.begin_life();
                prop_assert_eq!(&service.in_service(), &jobs);
                continue;
            };
            let text = document(asked);
            let target = format!("/api/policies?name={name}{}", if is_dry_run { "&dryRun=true" } else { "" });
            let (before, writes) = (service.disk.clone(), service.writes);
            let key = PolicyKey { name: name.to_string(), source: String::from("api") };
            let is_known = before.1.get(&key).is_some_and(|known| known.sha256 == hexadecimal(text.as_bytes()));
            service.disk_is_well = well;
            let (status, body) = service.ask("POST", &target, &text);
            service.disk_is_well = true;
            let mut after = jobs.clone();
            let is_sound = model(&mut after, asked);
            if is_known {
                prop_assert_eq!((status, &body["result"]), (200, &json!("Unchanged")));
            } else if is_dry_run {
                prop_assert_eq!(status == 200, is_sound, "{} {}", text, body);
            } else if is_sound && (well || after == jobs) {
                prop_assert_eq!((status, &body["result"]), (200, &json!("Applied")), "{} {}", text, body);
                jobs = after;
                let (again, body) = service.ask("POST", &target, &text);
                prop_assert_eq!((again, &body["result"]), (200, &json!("Unchanged")));
                prop_assert_eq!(&service.in_service(), &jobs);
                continue;
            } else {
                prop_assert_eq!(status, if is_sound { 500 } else { 400 }, "{} {}", text, body);
            }
            prop_assert_eq!((&service.disk, service.writes), (&before, writes), "{}", text);
            prop_assert_eq!(&service.in_service(), &jobs);
        }
    }
}
