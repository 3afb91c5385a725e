//! The ports of the simulated machine: what they are asked, what they owe, and how they answer.

use std::sync::Arc;

use castellan_core::effect::{BrokerOrder, Effect, HttpOrder, LostOrder, Owner, ProcessOrder, StoreOrder, TreeSignal};
use castellan_core::event::{
    BrokerReport, Captured, Event, ExecutableFacts, ExitStatus, HttpReport, ProcessReport, StoreReport,
};
use castellan_core::id::{Component, RunId, SpawnId, TicketId};
use castellan_core::run::history::RunRecord;
use serde_json::Value;

use super::World;
use super::ledger::{Broken, broken};

/// SIGTERM's number.
const TERM: i32 = 15;
/// SIGKILL's number.
const KILL: i32 = 9;

/// An answer that is due.
#[derive(Debug)]
pub(super) enum Owed {
    Spawn(SpawnId),
    Started(SpawnId),
    Connect(SpawnId),
    Pong(SpawnId, Vec<u8>),
    Abort(SpawnId, String),
    Exit(SpawnId),
    Collect(SpawnId),
    Discard(SpawnId),
    Write(TicketId, Box<RunRecord>),
    Http(TicketId),
    BrokerStop,
}

impl Owed {
    /// The record, where it is one on its way to the disk.
    pub(super) fn into_write(self) -> Option<RunRecord> {
        match self {
            Self::Write(_, record) => Some(*record),
            Self::Spawn(_)
            | Self::Started(_)
            | Self::Connect(_)
            | Self::Pong(..)
            | Self::Abort(..)
            | Self::Exit(_)
            | Self::Collect(_)
            | Self::Discard(_)
            | Self::Http(_)
            | Self::BrokerStop => None,
        }
    }

    const fn spawn(&self) -> Option<SpawnId> {
        match self {
            Self::Spawn(spawn)
            | Self::Started(spawn)
            | Self::Connect(spawn)
            | Self::Pong(spawn, _)
            | Self::Abort(spawn, _)
            | Self::Exit(spawn)
            | Self::Collect(spawn)
            | Self::Discard(spawn) => Some(*spawn),
            Self::Write(..) | Self::Http(_) | Self::BrokerStop => None,
        }
    }

    /// Whether the two are answered in the order in which they were asked.
    pub(super) fn is_in_line_with(&self, other: &Self) -> bool {
        match (self.spawn(), other.spawn()) {
            (Some(left), Some(right)) => left == right,
            (None, None) => match (self, other) {
                (Self::Http(left), Self::Http(right)) => left == right,
                both => matches!(both, (Self::Write(..), Self::Write(..)) | (Self::BrokerStop, Self::BrokerStop)),
            },
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl World<'_> {
    /// Judges an order and takes it on; the answer is what the agent is told at once, where a queue was full.
    pub(super) fn perform(&mut self, effect: Effect) -> Result<Option<Event>, Broken> {
        if self.exited {
            return broken("stop", format!("{effect:?} after Exit"));
        }
        let order = LostOrder::of(&effect);
        let may_be_lost = order != LostOrder::Other && self.faults.full_queues && self.dice.percent(2);
        match effect {
            Effect::Process(order) => self.on_order(order, may_be_lost)?,
            Effect::Store(StoreOrder::PersistRun { ticket, record, durable }) => {
                if record.outcome.is_some() && !durable {
                    return broken("one-outcome", format!("the end of run {} may be forgotten", record.run_id));
                }
                self.ledger.on_record(&self.jobs, &record, ticket.0)?;
                if may_be_lost {
                    self.ledger.on_told(&record.run_id, record.outcome.is_some(), false);
                } else {
                    self.owed.push_back(Owed::Write(ticket, Box::new(Arc::unwrap_or_clone(record))));
                }
            }
            Effect::Broker(BrokerOrder::Publish { topic, payload, .. }) if topic == "Echo/ping" => {
                self.on_ping(&payload)
            }
            Effect::Broker(BrokerOrder::Publish { payload, .. }) => self.on_publish(&payload)?,
            Effect::Log(record) => self.plugins.on_log(&record, self.now.monotonic)?,
            Effect::Broker(BrokerOrder::Stop) => self.owed.push_back(Owed::BrokerStop),
            Effect::Respond { request, response } => {
                if !self.unanswered.remove(&request) {
                    return broken("answered-once", format!("request {request} is answered again, or was never asked"));
                }
                let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
                if response.status == 202 {
                    self.ledger.on_accepted(body.get("runId").and_then(Value::as_str).unwrap_or_default())?;
                }
            }
            // No request or setting of this world asks for it.
            Effect::Count(_) | Effect::Fleet(_) | Effect::Elevation(_) | Effect::Audit(_) | Effect::Telemetry(_) => {}
            Effect::Exit => self.exited = true,
            Effect::Http(HttpOrder::Send(call)) => {
                let run = call.url.target.trim_start_matches('/').to_owned();
                self.ledger.on_call(call.ticket, &run)?;
                if may_be_lost {
                    self.ledger.on_called(call.ticket);
                } else if self.dice.percent(95) {
                    self.owed.push_back(Owed::Http(call.ticket));
                }
            }
            Effect::Http(HttpOrder::Cancel { ticket }) => {
                self.ledger.on_called(ticket);
                self.owed.retain(|owed| !matches!(owed, Owed::Http(other) if *other == ticket));
            }
            Effect::Store(_) | Effect::Broker(_) | Effect::Stream(_) | Effect::LogLevel(_) => {}
        }
        Ok(may_be_lost.then(|| Event::Lost { order, why: String::from("the queue is full") }))
    }

    fn on_publish(&mut self, payload: &[u8]) -> Result<(), Broken> {
        let event: Value = serde_json::from_slice(payload).unwrap_or_default();
        let text = |name| event.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("event") == "started" {
            return self.ledger.on_started(&self.jobs, self.places, text("runId"));
        }
        Ok(())
    }

    fn on_order(&mut self, order: ProcessOrder, is_lost: bool) -> Result<(), Broken> {
        let owed = match order {
            ProcessOrder::Spawn(request) => {
                if let Owner::Component(Component::Plugin(id)) = &request.owner {
                    self.plugins.on_spawn(id.as_str(), request.spawn, self.now.monotonic)?;
                    if !is_lost {
                        self.owed.push_back(Owed::Spawn(request.spawn));
                    }
                    return Ok(());
                }
                let run = request.arguments.first().cloned().unwrap_or_default();
                self.ledger.on_spawn(&run)?;
                self.spawns.insert(request.spawn, run);
                Owed::Spawn(request.spawn)
            }
            ProcessOrder::Release { spawn, .. } => {
                let run = self.spawns.get(&spawn).cloned().unwrap_or_default();
                if !is_lost && self.plugins.has(spawn) {
                    self.plugins.on_released(spawn)?;
                } else if !is_lost {
                    self.ledger.on_release(self.places, spawn, &run)?;
                }
                Owed::Started(spawn)
            }
            ProcessOrder::Abort { spawn, reason } => {
                self.owed.retain(|owed| owed.spawn() != Some(spawn));
                Owed::Abort(spawn, reason)
            }
            ProcessOrder::Signal { spawn, signal } => {
                self.plugins.on_terminate(spawn, self.stopping)?;
                if !is_lost {
                    self.on_signal(spawn, signal);
                }
                return Ok(());
            }
            ProcessOrder::Collect { spawn } => Owed::Collect(spawn),
            ProcessOrder::Discard { spawn } => Owed::Discard(spawn),
            ProcessOrder::Peek { .. } | ProcessOrder::Inspect { .. } | ProcessOrder::Examine { .. } => {
                return broken("total", "a look at something that nobody asked for");
            }
        };
        if !is_lost {
            self.owed.push_back(owed);
        }
        Ok(())
    }

    /// A program that hangs ends by the first signal that it does not ignore.
    fn on_signal(&mut self, spawn: SpawnId, signal: TreeSignal) {
        self.signaled.insert(spawn, if signal == TreeSignal::Kill { KILL } else { TERM });
        let ends = self.hanging.get(&spawn).is_some_and(|is_stubborn| signal == TreeSignal::Kill || !is_stubborn);
        if ends {
            self.hanging.remove(&spawn);
            self.owed.push_back(Owed::Exit(spawn));
        }
    }

    fn on_exit(&mut self, spawn: SpawnId) {
        self.ledger.on_exit(spawn);
        self.plugins.on_exit(spawn);
    }

    /// What a program or a server writes: nothing, or something to merge.
    fn written(&mut self) -> Captured {
        let written =
            if self.dice.percent(50) { Vec::new() } else { format!("{{\"n\":{}}}", self.dice.below(4)).into_bytes() };
        Captured::of(written)
    }

    /// Gives an answer that is due.
    pub(super) fn answer(&mut self, owed: Owed) -> Result<(), Broken> {
        let fails = self.faults.failed_spawns && self.dice.percent(15);
        let report = match owed {
            Owed::Spawn(spawn) if fails && self.dice.percent(50) => failed(spawn, "no such file"),
            Owed::Spawn(spawn) => ProcessReport::Prepared {
                spawn,
                pid: u32::try_from(spawn.0.saturating_add(1000)).unwrap_or(u32::MAX),
                cgroup: Some(spawn.0),
                executable: ExecutableFacts {
                    path: String::from("/opt/x"),
                    exists: !fails,
                    executable: true,
                    ..ExecutableFacts::default()
                },
                user: None,
            },
            Owed::Started(spawn) if fails => {
                self.on_exit(spawn);
                failed(spawn, "exec failed")
            }
            Owed::Started(spawn) => {
                let lasts = self.plugins.lasts(spawn);
                if lasts.is_some() && self.dice.percent(85) {
                    self.owed.push_back(Owed::Connect(spawn));
                }
                let hangs = self.dice.percent(lasts.unwrap_or(5));
                if hangs && !self.signaled.contains_key(&spawn) {
                    self.hanging.insert(spawn, self.dice.percent(30));
                } else {
                    self.owed.push_back(Owed::Exit(spawn));
                }
                ProcessReport::Started { spawn }
            }
            Owed::Connect(spawn) => return self.connect_plugin(spawn),
            Owed::Pong(spawn, payload) => return self.answer_ping(spawn, payload),
            Owed::Abort(spawn, reason) => {
                self.on_exit(spawn);
                failed(spawn, &reason)
            }
            Owed::Exit(spawn) => {
                self.on_exit(spawn);
                let code = if self.dice.percent(75) { 0 } else { i32::from(self.dice.percent(50)).saturating_add(1) };
                let status =
                    self.signaled.get(&spawn).map_or(ExitStatus::Code(code), |signal| ExitStatus::Signal(*signal));
                ProcessReport::Exited { spawn, status }
            }
            Owed::Collect(spawn) => {
                ProcessReport::Collected { spawn, stdout: self.written(), stderr: Captured::default() }
            }
            Owed::Discard(spawn) => ProcessReport::Discarded { spawn },
            Owed::Http(ticket) => return self.answer_call(ticket, fails),
            Owed::Write(ticket, record) => return self.write(ticket, *record),
            Owed::BrokerStop => return self.tell(Event::Broker(BrokerReport::Stopped)),
        };
        self.tell(Event::Process(report))
    }

    fn answer_call(&mut self, ticket: TicketId, fails: bool) -> Result<(), Broken> {
        self.ledger.on_called(ticket);
        let status = if self.dice.percent(75) { 200 } else { 404 };
        let body = self.written();
        self.tell(Event::Http(if fails {
            HttpReport::Failed { ticket, reason: String::from("nobody listens") }
        } else {
            HttpReport::Answered { ticket, status, body }
        }))
    }

    fn write(&mut self, ticket: TicketId, record: RunRecord) -> Result<(), Broken> {
        let lost = self.faults.lost_writes && self.dice.percent(10);
        let torn = self.faults.torn_writes && self.dice.percent(10);
        let (id, is_end) = (record.run_id.clone(), record.outcome.is_some());
        let run = RunId::from_text(&id).unwrap_or_else(|| RunId::new(0, 0));
        if !lost {
            self.ledger.on_written(record)?;
        }
        let result = if lost || torn { Err(String::from("the disk is full")) } else { Ok(()) };
        self.ledger.on_told(&id, is_end, result.is_ok());
        self.tell(Event::Store(StoreReport::RunPersisted { ticket, run, result }))
    }
}

fn failed(spawn: SpawnId, reason: &str) -> ProcessReport {
    ProcessReport::SpawnFailed { spawn, reason: reason.to_owned() }
}
