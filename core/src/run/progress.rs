//! How a run advances: from task to task, until one has to wait for the world or the run ends.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::detail::Tokens;
use super::history::{Outcome, TaskRecord};
use super::phase::{Live, Pause, Phase};
use super::routing::{self, Next, TaskEnd};
use super::{Run, built_in, launch};
use crate::effect::ProcessOrder;
use crate::event::ExitStatus;
use crate::id::SpawnId;
use crate::job::task::{ExecutionType, Task};
use crate::limits::{TASK_RECORDS, TASKS_PER_RUN};
use crate::turn::Turn;

impl Run {
    /// The job's own condition; an end where it is false.
    pub(super) fn job_condition(&self, turn: &mut Turn<'_>) -> Option<Next> {
        let evaluation = self.job.condition.as_ref()?.evaluate(&self.lookup(turn));
        if evaluation.holds {
            self.tell_condition(None, &evaluation.explanation, turn);
            return None;
        }
        Some(Next::End(Outcome::Skipped, format!("The job's condition is false: {}.", evaluation.explanation)))
    }

    /// Considers tasks until one has to wait for the world, or the run ends.
    pub(super) fn advance(&mut self, first: Next, turn: &mut Turn<'_>) {
        let mut next = first;
        loop {
            if let Some(reason) = &self.canceled {
                next = Next::End(Outcome::Canceled, reason.clone());
            }
            let (index, is_retry) = match next {
                Next::Task(index, _) => (index, false),
                Next::Again { index, delay_seconds: 0, .. } => (index, true),
                Next::Again { index, delay_seconds, .. } => {
                    let until = turn.now.monotonic.plus_seconds(delay_seconds);
                    self.phase = Phase::Pausing(Pause { index, until });
                    return self.save(turn);
                }
                Next::End(outcome, reason) => return self.finish(outcome, reason, turn),
            };
            let job = Arc::clone(&self.job);
            let Some(task) = job.tasks.get(index) else {
                return self.finish(Outcome::Failed, format!("There is no task {index}."), turn);
            };
            if self.record.tasks.len() >= TASK_RECORDS {
                let reason = format!("A run considers at most {TASK_RECORDS} tasks; '{}' would be one more.", task.id);
                return self.finish(Outcome::Failed, reason, turn);
            }
            let considered = if is_retry {
                Ok(None)
            } else {
                routing::consider(task, turn.surroundings.here, &self.lookup(turn), &|it| turn.setting(it))
            };
            let held = match considered {
                Ok(held) => held,
                Err(skip) => {
                    next = self.task_skipped(index, task, &skip, turn);
                    continue;
                }
            };
            if self.executed >= TASKS_PER_RUN {
                let reason = format!("A run executes at most {TASKS_PER_RUN} tasks; '{}' would be one more.", task.id);
                return self.finish(Outcome::Failed, reason, turn);
            }
            self.executed = self.executed.saturating_add(1);
            if let Some(values) = held {
                self.tell_condition(Some(task), &values, turn);
            }
            match self.execute(index, task, turn) {
                Some(after) => next = after,
                None => return,
            }
        }
    }

    /// Carries a task out; `None` where its process or answer has to be waited for.
    fn execute(&mut self, index: usize, task: &Task, turn: &mut Turn<'_>) -> Option<Next> {
        let live = Live::new(SpawnId::NONE, index, turn.now.monotonic, task.timeout_seconds);
        self.record_mut().tasks.push(Arc::new(TaskRecord::starting(&task.id)));
        if let Some(request) = &task.http {
            return self.call(live, task, request, turn);
        }
        let tokens = Tokens::of(turn);
        let filled = launch::fill(&task.arguments, &tokens.noting(&self.lookup(turn)));
        self.tell_tokens(task, tokens, turn);
        let filled = match filled {
            Ok(filled) => filled,
            Err(error) => return Some(self.task_ended(index, TaskEnd::Failed, Some(error), &live, turn)),
        };
        self.warn_unknown(&task.id, &filled.unknown);
        let shown: Vec<String> = filled.texts.iter().map(|text| self.mask(text.clone())).collect();
        Arc::make_mut(&mut self.record).set_command_line(&task.command, shown, &mut self.room);
        let job = Arc::clone(&self.job);
        let hide = |text| self.secrets.mask(text);
        let owner = built_in::Owner { job: &job, run: &self.id, hide: &hide };
        turn.trace = self.task_context();
        if task.execution_type == ExecutionType::Service
            && let Some(result) = built_in::perform(&task.command, &filled.texts, &owner, turn)
        {
            return Some(self.built_in_ended(&live, result, turn));
        }
        let spawn = turn.counters.spawn();
        self.trees.insert(spawn);
        self.phase = Phase::Preparing(live.of(spawn));
        let mut request = launch::spawn_request(spawn, &job, task, filled.texts, turn);
        request.hand_on(self.task_context_of(spawn));
        turn.process(ProcessOrder::Spawn(request));
        self.save(turn);
        None
    }

    fn built_in_ended(
        &mut self,
        live: &Live,
        result: Result<built_in::BuiltInResult, String>,
        turn: &mut Turn<'_>,
    ) -> Next {
        match result {
            Ok(done) => {
                let place = self.trace_built_in(done.published, turn);
                self.requests.extend(done.request.map(|request| request.within(place)));
                self.remember(live.index, ExitStatus::Code(0), &done.stdout, turn);
                let shown = self.mask(done.stdout);
                Arc::make_mut(&mut self.record).set_stdout(shown, &mut self.room);
                self.task_ended(live.index, TaskEnd::Succeeded, None, live, turn)
            }
            Err(reason) => self.task_ended(live.index, TaskEnd::Failed, Some(reason), live, turn),
        }
    }
}
