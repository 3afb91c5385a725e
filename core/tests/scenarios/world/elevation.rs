//! The request socket of a world, its audit, and a KeeperPolicy that answers as told.

use castellan_core::effect::{ElevationAnswer, ElevationOrder};
use castellan_core::elevation::{Asked, CallerId, ElevationRecord, Own, OwnWish, Peer};
use castellan_core::event::{ElevationReport, FileIdentity, Reply};
use castellan_core::id::TicketId;
use castellan_core::mfa::{Secret, Verdict};
use castellan_core::user::Account;
use serde_json::json;

use super::*;

/// What went over the request socket and into the audit.
#[derive(Default)]
pub struct Socket {
    /// The one answer of each caller.
    pub answers: BTreeMap<CallerId, ElevationAnswer>,
    /// What callers were told and asked.
    pub told: Vec<String>,
    /// Entries of the audit that somebody waits for.
    pub audits: VecDeque<TicketId>,
    /// What the codes that come next are worth; nobody has an authenticator where it is empty.
    pub verdicts: VecDeque<Verdict>,
    /// Requests on disk.
    pub records: BTreeMap<String, ElevationRecord>,
}

impl Socket {
    /// A request comes to disk, where that is well.
    pub(super) fn keep(&mut self, record: ElevationRecord, result: &Result<(), String>) {
        if result.is_ok() {
            self.records.insert(record.request_id.clone(), record);
        }
    }
}

/// The file of a path, as it is until somebody changes it.
pub fn file(path: &str, changed: i64) -> ExecutableFacts {
    let identity = FileIdentity { device: 1, inode: path.len() as u64, changed: (changed, 0) };
    ExecutableFacts { resolved: path.into(), identity: Some(identity), ..program(path) }
}

fn account(name: &str, uid: u32) -> Account {
    let (name, home) = (name.to_owned(), format!("/srv/{name}"));
    Account { name, uid, gid: uid, groups: vec![uid], home, shell: "/bin/sh".into() }
}

impl World {
    pub(super) fn take_elevation(&mut self, order: ElevationOrder) -> String {
        match order {
            ElevationOrder::Tell { caller, text } => {
                self.socket.told.push(text);
                format!("tell {caller}")
            }
            ElevationOrder::Prompt { caller, prompt, text, .. } => {
                self.socket.told.push(text);
                format!("prompt {caller} {prompt}")
            }
            ElevationOrder::Stop { caller, signal } => format!("stop {caller} {signal}"),
            ElevationOrder::Answer { caller, answer } => {
                let line = match &answer {
                    ElevationAnswer::Ended(status) => format!("answer {caller} {status:?}"),
                    ElevationAnswer::Denied { .. } => format!("answer {caller} denied"),
                    ElevationAnswer::Own(_) | ElevationAnswer::GaveUp(_) | ElevationAnswer::NotFound(_) => {
                        format!("answer {caller} {answer:?}")
                    }
                };
                assert!(self.socket.answers.insert(caller, answer).is_none(), "{caller} is answered twice");
                line
            }
        }
    }

    /// What the audit has of requests for more privileges, a kind each.
    pub fn audit_of_requests(&self) -> Vec<&str> {
        let of_one = self.audited.iter().filter(|entry| entry["request"].is_string());
        of_one.map(|entry| entry["kind"].as_str().unwrap()).collect()
    }

    /// The audit writes, or fails to write, what somebody waits for.
    pub fn audited_by(&mut self, result: Result<(), String>) {
        while let Some(ticket) = self.socket.audits.pop_front() {
            self.tell(Event::Audited { ticket, result: result.clone() });
        }
    }

    /// Alice (user 1000) or somebody else asks for a command; the number of the connection is `caller`.
    pub fn elevate(&mut self, caller: u64, user: (&str, u32), words: &[&str]) {
        self.elevate_with(caller, user, words, None, None);
    }

    pub fn elevate_with(
        &mut self,
        caller: u64,
        (name, uid): (&str, u32),
        words: &[&str],
        reason: Option<&str>,
        code: Option<&str>,
    ) {
        // Carol administers the machine.
        let groups = if name == "carol" { BTreeSet::from([String::from("sudo")]) } else { BTreeSet::new() };
        let peer = Peer { pid: 4000, uid, gid: uid, account: Ok(account(name, uid)), groups, has_desktop: false };
        let asked = Asked {
            peer,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            folder: Some(String::from("/srv/alice")),
            terminal: false,
            environment: vec![("TERM".into(), "xterm".into()), ("LD_PRELOAD".into(), "/tmp/x".into())],
            reason: reason.map(String::from),
            code: code.map(|code| Secret::new(code.to_owned())),
        };
        self.tell(Event::Elevation(ElevationReport::Asked { caller: CallerId(caller), asked: Box::new(asked) }));
    }

    /// Somebody asks about what is his own, from another terminal.
    pub fn own(&mut self, caller: u64, (name, uid): (&str, u32), wish: OwnWish) {
        let account = Ok(account(name, uid));
        let peer = Peer { pid: 4001, uid, gid: uid, account, groups: BTreeSet::new(), has_desktop: false };
        let (caller, peer) = (CallerId(caller), Box::new(peer));
        self.tell(Event::Elevation(ElevationReport::OwnAsked { caller, peer, wish }));
    }

    /// What somebody is shown of his own.
    #[track_caller]
    pub fn shown(&mut self, caller: u64, user: (&str, u32)) -> Own {
        self.own(caller, user, OwnWish::List);
        match &self.socket.answers[&CallerId(caller)] {
            ElevationAnswer::Own(own) => *own.clone(),
            other => panic!("{other:?}"),
        }
    }

    pub fn reply(&mut self, caller: u64, prompt: u32, text: Option<&str>) {
        let reply = text.map_or(Reply::Refused, |text| Reply::Text(Secret::new(text.to_owned())));
        self.tell(Event::Elevation(ElevationReport::Replied { caller: CallerId(caller), prompt, reply }));
    }

    pub fn leaves(&mut self, caller: u64) {
        self.tell(Event::Elevation(ElevationReport::Left { caller: CallerId(caller) }));
    }

    /// The program of a request is there, at the first of its candidates.
    pub fn finds(&mut self) {
        let Some(ProcessOrder::Inspect { ticket, queries }) = self.looks.pop_front() else { panic!("nobody asked") };
        let executables = queries.iter().map(|query| file(&query.candidates[0], 1)).collect();
        self.tell(Event::Process(ProcessReport::Inspected { ticket, executables }));
    }

    /// The questions that KeeperPolicy was asked.
    pub fn questions(&self) -> Vec<&Value> {
        self.published.iter().filter(|(topic, _)| topic == "KeeperPolicy").map(|(_, message)| message).collect()
    }

    /// What KeeperPolicy, or somebody in its name, says of a request.
    pub fn decides(&mut self, subject: &Subject, request: &str, decision: &str, more: Value) {
        let mut answer = json!({
            "Id": request, "RequestId": request, "Decision": decision, "Controls": [], "PolicyIds": ["p1"], "Notify": [],
            "Audit": false, "Record": false, "RiskLevel": 50, "Approvers": [],
            "Explanation": {"What": "W.", "Why": format!("Policy p1 says {decision}."), "Fix": "F.", "Nearest": null, "Policies": [], "LeftOut": 0},
        });
        let asked = self.questions().into_iter().rfind(|question| question["Id"] == request);
        answer["MetaData"] = asked.map_or(Value::Null, |question| question["MetaData"].clone());
        answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.publish(subject, "KeeperPolicy/answers", &answer.to_string());
    }

    /// The process of a launch is prepared with the file as it was, or as it was changed.
    pub fn readied(&mut self, spawn: u64, changed: i64) {
        let (pid, cgroup) = ids(spawn);
        let executable = file(&self.spawns[&SpawnId(spawn)].program.candidates[0].clone(), changed);
        let (spawn, cgroup) = (SpawnId(spawn), Some(cgroup));
        self.process(ProcessReport::Prepared { spawn, pid, cgroup, executable, user: None });
    }

    /// How a caller was answered: the exit status, or why it was denied.
    #[track_caller]
    pub fn answer(&self, caller: u64) -> Result<ExitStatus, String> {
        match &self.socket.answers[&CallerId(caller)] {
            ElevationAnswer::Ended(status) => Ok(*status),
            ElevationAnswer::Denied { explanation, .. } => Err(explanation.to_string()),
            other => panic!("{other:?}"),
        }
    }

    pub fn is_answered(&self, caller: u64) -> bool {
        self.socket.answers.contains_key(&CallerId(caller))
    }
}
