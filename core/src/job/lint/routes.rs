//! Ways through the tasks of a job: which are never reached, and from which no way leads out.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use super::Job;
use crate::job::JobDefinition;
use crate::job::finding::{Report, quote};
use crate::job::task::{Route, Task};
use crate::limits::TASKS_PER_RUN;

/// Where a task may lead.
#[derive(Default)]
struct Ways {
    to: Vec<usize>,
    out: bool,
}

pub(super) fn check(job: &Job, report: &mut Report) {
    let ways: Vec<Ways> = (0..job.job.tasks.len()).map(|index| ways(&job.job, index)).collect();
    let reached = reached(&ways);
    for (index, task) in job.job.tasks.iter().enumerate() {
        if !reached.get(index).copied().unwrap_or(true) {
            let message = format!("no way leads to task {}; route to it, or remove it.", quote(&task.id));
            report.warning(job.pointer(&["tasks", &index.to_string()]), "unreachable-task", message);
        }
    }
    let ending = ending(&ways);
    let trapped = |index: &usize| {
        reached.get(*index).copied().unwrap_or_default() && !ending.get(*index).copied().unwrap_or(true)
    };
    if let Some((index, task)) = job.job.tasks.iter().enumerate().find(|(index, _)| trapped(index)) {
        let message = format!(
            "from task {} on no way leads to the end; the run goes round until its limit of {TASKS_PER_RUN} tasks. \
             Route somewhere to 'stop'.",
            quote(&task.id)
        );
        report.warning(job.pointer(&["tasks", &index.to_string()]), "cycle-without-exit", message);
    }
}

fn ways(job: &JobDefinition, index: usize) -> Ways {
    let mut ways = Ways::default();
    let Some(task) = job.tasks.get(index) else { return ways };
    let constant = task.condition.as_ref().and_then(|condition| condition.constant());
    if may_be_skipped(task, constant) {
        ways.follow_list(job, index);
    }
    if constant == Some(false) {
        return ways;
    }
    ways.follow(job, index, task.on_success.as_ref(), true);
    ways.follow(job, index, task.on_failure.as_ref(), task.continue_on_failure);
    ways
}

fn may_be_skipped(task: &Task, constant: Option<bool>) -> bool {
    let by_condition = task.condition.is_some() && constant != Some(true);
    by_condition || task.os_filter.is_some() || task.skip_when_false.is_some()
}

impl Ways {
    fn follow(&mut self, job: &JobDefinition, index: usize, route: Option<&Route>, goes_on: bool) {
        match route {
            Some(Route::Task(id)) => self.to.extend(job.tasks.iter().position(|task| task.id == *id)),
            None if goes_on => self.follow_list(job, index),
            Some(Route::Stop) | None => self.out = true,
        }
    }

    fn follow_list(&mut self, job: &JobDefinition, index: usize) {
        let next = index.saturating_add(1);
        if next < job.tasks.len() {
            self.to.push(next);
        } else {
            self.out = true;
        }
    }
}

/// Which tasks some way from the first one leads to.
fn reached(ways: &[Ways]) -> Vec<bool> {
    let mut reached = vec![false; ways.len()];
    let mut open = vec![0_usize];
    while let Some(index) = open.pop() {
        let Some(seen) = reached.get_mut(index).filter(|seen| !**seen) else { continue };
        *seen = true;
        open.extend(ways.get(index).into_iter().flat_map(|ways| ways.to.iter().copied()));
    }
    reached
}

/// From which tasks some way leads out.
fn ending(ways: &[Ways]) -> Vec<bool> {
    let mut ending: Vec<bool> = ways.iter().map(|ways| ways.out).collect();
    loop {
        let leads_out = |ways: &Ways| ways.to.iter().any(|to| ending.get(*to).copied().unwrap_or_default());
        let next: Vec<bool> = ways.iter().zip(&ending).map(|(ways, ends)| *ends || leads_out(ways)).collect();
        if next == ending {
            return ending;
        }
        ending = next;
    }
}
