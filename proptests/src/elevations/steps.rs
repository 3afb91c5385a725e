//! What may happen next in a world of requests.

use std::collections::BTreeSet;

use super::*;

/// What KeeperPolicy may say: a decision and its controls.
const DECISIONS: [(&str, &[&str]); 9] = [
    ("ALLOW", &[]),
    ("ALLOW", &[]),
    ("PENDING", &["APPROVAL"]),
    ("DENY", &[]),
    ("PENDING", &["JUSTIFY"]),
    ("PENDING", &["MFA"]),
    ("PENDING", &["MFA", "JUSTIFY"]),
    ("PENDING", &["JUSTIFY", "APPROVAL"]),
    ("PENDING", &["APPROVAL"]),
];

fn peer(name: &str, uid: u32) -> Peer {
    let account = Account { name: name.to_owned(), uid, gid: uid, ..Account::default() };
    Peer { pid: 5, uid, gid: uid, account: Ok(account), groups: BTreeSet::new(), has_desktop: false }
}

impl World {
    pub(super) fn step(&mut self) {
        match self.dice.below(100) {
            0..=9 => self.ask(),
            10..=29 => self.decide(),
            30..=39 => self.reply(),
            40..=54 => self.vote(),
            55..=56 => self.leave(),
            57..=60 => self.lie(),
            61..=84 => self.write(),
            85..=90 => self.deliver_all(),
            91..=93 => self.exit(),
            94 => self.jump(),
            95..=96 => self.grants(),
            97 => self.begin(),
            98 => self.own(),
            _ => self.wait(40_000),
        }
        self.deliver();
    }

    fn any<'l, T>(&mut self, list: &'l [T]) -> Option<&'l T> {
        list.get(self.dice.place(list.len()))
    }

    fn ask(&mut self) {
        self.callers = self.callers.saturating_add(1);
        let caller = CallerId(self.callers);
        let peer = peer("alice", 1000);
        let reason = self.dice.percent(30).then(|| String::from("a reason"));
        let is_justified = reason.is_some();
        let code = self.dice.percent(20).then(|| Secret::new(String::from(RIGHT)));
        let is_identified = code.is_some();
        let words = vec![String::from("id"), format!("-{}", self.dice.below(2))];
        let is_meant = words.iter().any(|word| word == "-1");
        let asked = Asked { peer, words, folder: None, terminal: false, environment: Vec::new(), reason, code };
        let before = self.ids();
        self.tell(Event::Elevation(ElevationReport::Asked { caller, asked: Box::new(asked) }));
        let new = self.ids().difference(&before).next().cloned();
        if let Some(id) = new {
            self.ledger.on_asked(&id, caller, is_meant);
            if is_justified {
                self.ledger.on_justified(caller);
            }
            if is_identified {
                self.ledger.on_identified(caller);
            }
        }
        self.deliver_all();
    }

    /// The requests that the agent knows.
    fn ids(&mut self) -> BTreeSet<String> {
        let listed = self.call("ad", "GET", "/api/elevation");
        let ids =
            listed.as_array().into_iter().flatten().filter_map(|one| one.get("RequestId").and_then(Value::as_str));
        ids.map(String::from).collect()
    }

    fn call(&mut self, sha256: &str, method: &str, target: &str) -> Value {
        self.calls = self.calls.saturating_add(1);
        let mut request = request_of_an_administrator(self.calls, method, target, "");
        request.certificate = Some(CertificateFacts { sha256: sha256.to_owned() });
        let mut effects = Effects::new();
        self.agent.handle(self.clock(), Event::Api(request), &mut effects);
        let mut body = Value::Null;
        for effect in effects {
            if let Effect::Respond { response, .. } = &effect {
                body = serde_json::from_slice(&response.body).unwrap_or_default();
            }
            self.perform(effect);
        }
        body
    }

    /// KeeperPolicy answers, or somebody in its name; an answer may come twice or never.
    fn decide(&mut self) {
        if self.questions.is_empty() {
            return;
        }
        let place = self.dice.place(self.questions.len());
        let Some(question) = self.questions.get(place).cloned() else { return };
        let member = |name| question.get(name).cloned().unwrap_or_default();
        let id = member("Id").as_str().unwrap_or_default().to_owned();
        let Some(&(decision, controls)) = self.any(&DECISIONS) else { return };
        let Some(policy) = self.policy.clone() else { return };
        let is_false = self.dice.percent(15);
        let subject = if is_false { Subject { spawn: SpawnId(77), ..policy } } else { policy };
        let answer = json!({
            "Id": id, "RequestId": id, "MetaData": member("MetaData"), "Decision": decision, "Controls": controls, "PolicyIds": [], "Notify": [],
            "Audit": false, "Record": false, "RiskLevel": 50, "Approvers": [],
            "Explanation": {"What": "W.", "Why": "Y.", "Fix": "F.", "Nearest": null, "Policies": [], "LeftOut": 0},
        });
        if !is_false {
            let required = (decision != "DENY").then(|| controls.iter().copied().collect());
            self.ledger.on_decision(&id, required);
        }
        for _ in 0..=self.dice.below(2) {
            let (topic, payload) = (String::from("KeeperPolicy/answers"), answer.to_string().into_bytes().into());
            let subject = subject.clone();
            self.tell(Event::Broker(BrokerReport::Published { subject, topic, payload, packet: None }));
        }
    }

    fn reply(&mut self) {
        if self.prompts.is_empty() {
            return;
        }
        let (caller, prompt) = self.prompts.swap_remove(self.dice.place(self.prompts.len()));
        let text = *self.any(&["a reason", RIGHT, "  ", "\u{7}"]).unwrap_or(&"");
        let reply = if self.dice.percent(10) { Reply::Refused } else { Reply::Text(Secret::new(text.to_owned())) };
        if let Reply::Text(text) = &reply
            && self.ledger.is_there(caller)
        {
            // Both are texts with a word in them; one is a right code, too.
            if matches!(text.expose(), "a reason" | RIGHT) {
                self.ledger.on_justified(caller);
            }
            if text.expose() == RIGHT {
                self.ledger.on_identified(caller);
            }
        }
        for _ in 0..=self.dice.below(2) {
            self.tell(Event::Elevation(ElevationReport::Replied { caller, prompt, reply: reply.clone() }));
        }
    }

    fn vote(&mut self) {
        let waiting: Vec<String> = self.ledger.undecided().cloned().collect();
        let Some(id) = waiting.get(self.dice.place(waiting.len())).cloned() else { return };
        let Some(&(sha256, name)) = self.any(&ADMINISTRATORS) else { return };
        let approves = self.dice.percent(90);
        if approves && name != "alice" {
            self.ledger.on_approved(&id);
        }
        let verb = if approves { "approve" } else { "deny" };
        drop(self.call(sha256, "POST", &format!("/api/elevation/{id}/{verb}")));
    }

    /// The requester, or another user, asks about what is his own: all that is there is the requester's.
    fn own(&mut self) {
        self.callers = self.callers.saturating_add(1);
        let caller = CallerId(self.callers);
        let is_owner = self.dice.percent(50);
        let known: Vec<String> = self.ids().into_iter().collect();
        let id = known.get(self.dice.place(known.len())).cloned().unwrap_or_else(|| String::from("E1-1"));
        let wish = match self.dice.below(6) {
            0 => OwnWish::List,
            1 => OwnWish::Drop(Some(id)),
            2 => OwnWish::Drop(None),
            _ => OwnWish::Withdraw(id),
        };
        let peer = Box::new(if is_owner { peer("alice", 1000) } else { peer("mallory", 1001) });
        let before = self.standing();
        self.ledger.on_own_asked(caller, is_owner);
        self.tell(Event::Elevation(ElevationReport::OwnAsked { caller, peer, wish: wish.clone() }));
        if !is_owner && self.standing() != before {
            self.ledger.broken(format!("own: {wish:?} of another user changed {before:?}"));
        }
    }

    /// Each request with where it stands, and the grants that count.
    fn standing(&mut self) -> [Vec<(Value, Value)>; 2] {
        ["/api/elevation", "/api/grants"].map(|target| {
            let listed = self.call("ad", "GET", target);
            let member = |one: &Value, name| one.get(name).cloned().unwrap_or_default();
            listed
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| (member(one, "RequestId"), member(one, "Status")))
                .collect()
        })
    }

    fn leave(&mut self) {
        // Nobody leaves before he came.
        if self.callers == 0 {
            return;
        }
        let caller = CallerId(self.dice.below(self.callers).saturating_add(1));
        self.ledger.on_left(caller);
        for _ in 0..=self.dice.below(2) {
            self.tell(Event::Elevation(ElevationReport::Left { caller }));
        }
    }

    /// A job launches what it was not told to, or an event says so.
    fn lie(&mut self) {
        let waiting: Vec<String> = self.ledger.undecided().cloned().collect();
        let Some(id) = waiting.get(self.dice.place(waiting.len())).cloned() else { return };
        if let (Some(subject), true) = (self.policy.clone(), self.dice.percent(50)) {
            let event = json!({"eventName": "LaunchPrivilegeElevation", "context": {"RequestId": id}});
            let (topic, payload) = (String::from("EventMessages"), event.to_string().into_bytes().into());
            return self.tell(Event::Broker(BrokerReport::Published { subject, topic, payload, packet: None }));
        }
        self.calls = self.calls.saturating_add(1);
        let body = json!({ "r": id }).to_string();
        let request = request_of_an_administrator(self.calls, "POST", "/api/Jobs/liar/trigger", &body);
        self.tell(Event::Api(request));
    }

    /// The disk writes what waits, or fails; the audit, too.
    fn write(&mut self) {
        for _ in 0..=self.dice.below(4) {
            self.write_one();
            self.deliver();
        }
    }

    fn write_one(&mut self) {
        let is_well = !self.dice.percent(5);
        if let (Some(ticket), true) = (self.audits.pop_front(), self.dice.percent(90)) {
            if is_well {
                self.ledger.on_audited(ticket);
            }
            let result = if is_well { Ok(()) } else { Err(String::from("the disk is full")) };
            self.reports.push_back(Event::Audited { ticket, result });
        }
        if let Some((ticket, is_right)) = self.codes.pop_front() {
            let verdict = if is_right { Verdict::Verified } else { Verdict::Wrong { left: 4 } };
            let result = if is_well { Ok(MfaReport::Checked(verdict)) } else { Err(String::from("the disk is full")) };
            for _ in 0..=self.dice.below(2) {
                self.reports.push_back(Event::Store(StoreReport::Mfa { ticket, result: result.clone() }));
            }
        }
        if let Some(StoreOrder::KeepElevation { ticket, record, durable }) = self.disk.pop_front() {
            let result = if is_well { Ok(()) } else { Err(String::from("the disk is full")) };
            if is_well {
                self.ledger.on_kept(*record, durable, self.clock());
            }
            for _ in 0..=self.dice.below(2) {
                let result = result.clone();
                self.reports.push_back(Event::Store(StoreReport::ElevationKept { ticket, result }));
            }
        }
    }

    fn exit(&mut self) {
        let place = self.dice.place(self.ledger.running.len());
        if self.ledger.running.get(place).is_some_and(|spawn| *spawn != SpawnId(1)) {
            let spawn = self.ledger.running.swap_remove(place);
            self.reports.push_back(Event::Process(ProcessReport::Exited { spawn, status: ExitStatus::Code(0) }));
        }
    }

    fn jump(&mut self) {
        let hours = i64::try_from(self.dice.below(49)).unwrap_or_default();
        self.skew = self.skew.saturating_add(hours.saturating_sub(24).saturating_mul(3_600_000));
        self.tell(Event::DeadlineReached);
    }

    fn grants(&mut self) {
        let listed = self.call("ad", "GET", "/api/grants");
        self.ledger.on_grants(self.clock(), &listed);
        let first = listed.pointer("/0/RequestId").and_then(Value::as_str).map(String::from);
        if let Some(id) = first.filter(|_| self.dice.percent(30)) {
            drop(self.call("ad", "DELETE", &format!("/api/grants/{id}")));
        }
    }

    /// Time passes, at most so long; deadlines may be told early, late or twice.
    fn wait(&mut self, most: u64) {
        self.now = self.now.saturating_add(self.dice.below(most));
        for _ in 0..=self.dice.below(2) {
            self.tell(Event::DeadlineReached);
        }
    }

    fn deliver(&mut self) {
        if let Some(report) = self.reports.pop_front() {
            self.tell(report);
        }
    }

    pub(super) fn deliver_all(&mut self) {
        for _ in 0..1000 {
            self.deliver();
        }
    }

    /// Everything that is on its way arrives, and every time is over.
    pub(super) fn settle(&mut self) {
        for _ in 0..20 {
            while !(self.disk.is_empty() && self.codes.is_empty() && self.audits.is_empty() && self.reports.is_empty())
            {
                self.write();
                self.deliver_all();
            }
            self.now = self.now.saturating_add(3_600_000);
            self.tell(Event::DeadlineReached);
            while !self.ledger.running.is_empty() {
                self.ledger.running.retain(|spawn| *spawn != SpawnId(1));
                self.exit();
            }
            self.deliver_all();
        }
        self.ledger.close();
    }
}
