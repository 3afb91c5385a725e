//! Thousands of small worlds in which everything happens in some order: ports answer late, early, twice or with an error,
//! people ask for everything, and in the end the agent stops. The rules of [`World`] hold after each event.

use castellan_core::event::{BrokerReport, Event, ExecutableFacts, ExitStatus, HttpReport, ProcessReport};
use castellan_core::id::{ConnectionId, SpawnId};

use crate::plugins::plugin;
use crate::world::{World, ids, peer, program};

/// Numbers that look random and are the same in every run (xorshift64*, Vigna 2016).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % sides
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let index = self.roll(list.len() as u64);
        &list[usize::try_from(index).unwrap()]
    }
}

/// What the process port knows of a spawn; honest reports follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Asked,
    Waiting,
    Running,
    Ended,
    Gone,
}

const JOBS: [&str; 4] = ["a", "b", "c", "d"];

fn job(id: &str, dice: &mut Dice) -> String {
    let members = dice.pick(&[
        "",
        r#","overlap":"parallel""#,
        r#","overlap":"skip""#,
        r#","priority":9"#,
        r#","events":["Startup","Again"]"#,
        r#","schedule":{"intervalMinutes":1}"#,
        r#","condition":"n == 1","alternateJobId":"a""#,
        r#","enabled":false"#,
    ]);
    let task = dice.pick(&[
        r#"{"id":"t","command":"x","timeoutSeconds":3}"#,
        r#"{"id":"t","command":"x","onFailure":"u"},{"id":"u","command":"y"}"#,
        r#"{"id":"t","command":"x","onSuccess":"t","continueOnFailure":true}"#,
        r#"{"id":"t","command":"fire-event","arguments":"--event Again"},{"id":"u","command":"x"}"#,
        r#"{"id":"t","command":"echo"}"#,
        r#"{"id":"t","executionType":"Http","method":"POST","url":"{KeeperApiBaseUrl}/api/Jobs/b/run?wait=true","timeoutSeconds":4},{"id":"u","command":"x"}"#,
        r#"{"id":"t","executionType":"Http","method":"GET","url":"https://x.example","timeoutSeconds":2,"continueOnFailure":true},{"id":"u","command":"x"}"#,
    ]);
    let topics = r#","mqttTopics":{"allowedPublications":["EventMessages","JobService"],"allowedSubscriptions":[]}"#;
    format!(r#"{{"id":"{id}","tasks":[{task}]{topics}{members}}}"#)
}

struct Chaos {
    world: World,
    dice: Dice,
    lives: Vec<Life>,
    connections: u64,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let jobs = JOBS.map(|id| (format!("Jobs/{id}"), job(id, &mut dice)));
        let bridge = plugin("p", r#","requiresMonitoring":true,"autoRestart":true"#);
        let mut files: Vec<(&str, &str)> = jobs.iter().map(|(path, job)| (path.as_str(), job.as_str())).collect();
        files.extend([("Plugins/p", bridge.as_str()), ("Plugins/q", "{")]);
        let world = World::with(r#"{"Settings":{"MaxConcurrentRuns":3}}"#, &files);
        Self { world, dice, lives: vec![Life::Gone], connections: 0 }
    }

    fn spawns(&mut self) -> u64 {
        let last = self.world.spawns.keys().next_back().map_or(0, |spawn| spawn.0);
        while (self.lives.len() as u64) <= last {
            self.lives.push(Life::Asked);
        }
        last
    }

    fn step(&mut self) {
        match self.dice.roll(12) {
            0 | 1 => {
                let result = if self.dice.roll(10) == 0 { Err("disk full".to_owned()) } else { Ok(()) };
                self.world.disk_once(result);
            }
            2 if !self.world.looks.is_empty() => {
                let missing = *self.dice.pick(&["", "", "x"]);
                self.world.look(missing);
            }
            3..=6 => self.honest(),
            7 => self.nonsense(),
            8 => self.request(),
            9 => {
                let millis = *self.dice.pick(&[0, 1, 500, 3_000, 60_000]);
                self.world.wait(millis);
            }
            10 => self.connect(),
            _ => {
                if self.dice.roll(4) == 0 {
                    self.request();
                }
            }
        }
    }

    /// The next fact about some process that is there.
    fn honest(&mut self) {
        let last = self.spawns();
        if last == 0 {
            return;
        }
        let number = 1 + self.dice.roll(last);
        self.next_fact(number);
    }

    fn next_fact(&mut self, number: u64) {
        let spawn = SpawnId(number);
        let place = usize::try_from(number).unwrap();
        let (pid, cgroup) = ids(number);
        let bad = self.dice.roll(5) == 0;
        let ordered =
            |world: &World, order: &str| world.transcript.iter().any(|line| *line == format!("{order} {number}"));
        match self.lives[place] {
            Life::Asked if bad => {
                self.lives[place] = Life::Gone;
                self.world.spawn_failed(number);
            }
            Life::Asked => {
                self.lives[place] = Life::Waiting;
                let cgroup = number.is_multiple_of(2).then_some(cgroup);
                let writable_by_others = (self.dice.roll(8) == 0).then(|| "/agent".to_owned());
                let executable = ExecutableFacts { writable_by_others, ..program("/x") };
                self.world.process(ProcessReport::Prepared { spawn, pid, cgroup, executable, user: None });
            }
            Life::Waiting if ordered(&self.world, "abort") => {
                self.lives[place] = Life::Gone;
                self.world.spawn_failed(number);
            }
            Life::Waiting if ordered(&self.world, "release") => {
                if bad {
                    self.lives[place] = Life::Gone;
                    self.world.spawn_failed(number);
                } else {
                    self.lives[place] = Life::Running;
                    self.world.process(ProcessReport::Started { spawn });
                }
            }
            Life::Running if bad || ordered(&self.world, "Terminate") || ordered(&self.world, "Kill") => {
                self.lives[place] = Life::Ended;
                let status = if bad { ExitStatus::Code(1) } else { ExitStatus::Code(0) };
                self.world.exit(number, status);
            }
            Life::Running if self.dice.roll(3) == 0 => {
                self.lives[place] = Life::Ended;
                self.world.exit(number, ExitStatus::Code(0));
            }
            Life::Ended if ordered(&self.world, "discard") => {
                self.lives[place] = Life::Gone;
                self.world.discarded(number);
            }
            Life::Ended if ordered(&self.world, "collect") => {
                self.world.transcript.retain(|line| *line != format!("collect {number}"));
                self.world.collected(number, "{\"n\":1}");
            }
            Life::Waiting | Life::Running | Life::Ended | Life::Gone => {}
        }
    }

    /// A report that is not true, about a process that is over or never was.
    fn nonsense(&mut self) {
        let last = self.spawns();
        let number = self.dice.roll(last + 2);
        let place = usize::try_from(number).unwrap();
        if self.lives.get(place).is_some_and(|life| *life != Life::Gone) {
            return;
        }
        let spawn = SpawnId(number);
        let (pid, cgroup) = ids(number);
        let report = match self.dice.roll(6) {
            0 => ProcessReport::Prepared { spawn, pid, cgroup: Some(cgroup), executable: program("/x"), user: None },
            1 => ProcessReport::Started { spawn },
            2 => ProcessReport::SpawnFailed { spawn, reason: "nonsense.".into() },
            3 => ProcessReport::Exited { spawn, status: ExitStatus::Code(0) },
            4 => ProcessReport::Collected { spawn, stdout: Default::default(), stderr: Default::default() },
            _ => ProcessReport::Discarded { spawn },
        };
        // A lie about a number that is asked for later would be told of the real one.
        if number <= last {
            self.world.process(report);
        }
    }

    fn request(&mut self) {
        let id = *self.dice.pick(&JOBS);
        let document = job(id, &mut self.dice);
        match self.dice.roll(14) {
            0 => self.world.admin("POST", "/api/Jobs", &document),
            1 => self.world.admin("PUT", &format!("/api/Jobs/{id}"), &document),
            2 => self.world.admin("DELETE", &format!("/api/Jobs/{id}"), ""),
            3 => self.world.admin("POST", "/api/Jobs/validate", &document),
            4 => self.world.admin("POST", "/api/Jobs/reload", ""),
            5 => self.world.admin("GET", "/api/Jobs", ""),
            6 => self.world.admin("GET", &format!("/api/Jobs/{id}/runs"), ""),
            7 => self.world.admin("GET", "/api/runs/7-1", ""),
            8 => self.world.admin(
                "POST",
                &format!(
                    "/api/plugins/p/{}",
                    ["start", "stop", "restart"][usize::try_from(self.dice.roll(3)).unwrap()]
                ),
                "",
            ),
            9 => self.world.stranger("GET", "/api/Jobs", ""),
            10 | 11 => {
                self.world.admin("POST", &format!("/api/Jobs/{id}/trigger?wait=true&timeoutSeconds=5"), r#"{"n":1}"#)
            }
            _ => self.world.admin("POST", &format!("/api/Jobs/{id}/trigger"), ""),
        };
    }

    fn connect(&mut self) {
        let last = self.spawns();
        if last == 0 {
            return;
        }
        let number = 1 + self.dice.roll(last);
        let (pid, cgroup) = ids(number);
        let name = self.world.spawns[&SpawnId(number)].owner.to_string().rsplit(':').next().unwrap().to_owned();
        self.connections += 1;
        self.world.connect(self.connections, &format!("{name}_T_{pid}"), peer(cgroup, pid));
        let Some(grant) = self.world.grants.get(&ConnectionId(self.connections)) else { return };
        let life = self.lives[usize::try_from(number).unwrap()];
        assert!(matches!(life, Life::Waiting | Life::Running | Life::Ended), "trusted though it is {life:?}");
        let subject = grant.subject.clone();
        self.world.tell(Event::Broker(BrokerReport::Connected { subject: subject.clone() }));
        self.world.publish(&subject, "EventMessages", r#"{"eventName":"Again"}"#);
        self.world.publish(&subject, "JobService", r#"{"jobId":"b"}"#);
        if self.dice.roll(2) == 0 {
            self.world.tell(Event::Broker(BrokerReport::Disconnected { subject, reason: "gone".into() }));
        }
    }

    /// Stops the agent; either the world comes to its end, or the limit does.
    fn stop(mut self, honest: bool) {
        self.world.tell(Event::StopRequested("test".into()));
        for _ in 0..400 {
            if self.world.exited || !honest {
                break;
            }
            for number in 1..=self.spawns() {
                self.next_fact(number);
            }
            while !self.world.looks.is_empty() && !self.world.exited {
                self.world.look("");
            }
            while let Some(call) = self.world.calls.pop().filter(|_| !self.world.exited) {
                let reason = "it was canceled".into();
                self.world.tell(Event::Http(HttpReport::Failed { ticket: call.ticket, reason }));
            }
            if !self.world.exited {
                self.world.disk();
            }
            if self.world.transcript.iter().any(|line| line == "stop broker") && !self.world.exited {
                self.world.tell(Event::Broker(BrokerReport::Stopped));
            }
        }
        if honest {
            assert!(self.world.exited, "everything has ended and the agent has not");
            assert!(self.world.logged("StopLimit").is_empty());
            self.world.disk.clear();
            self.world.quiet();
        } else {
            self.world.wait(8_000);
            assert!(self.world.exited);
        }
        assert!(self.world.open_requests().is_empty(), "{:?} got no answer", self.world.open_requests());
    }
}

#[test]
fn whatever_happens() {
    for seed in 1..=200_u64 {
        let mut chaos = Chaos::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for _ in 0..250 {
                chaos.step();
            }
            chaos.stop(seed % 3 != 0);
        }));
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
