//! Routes between tasks: each leads to a task that exists, and success alone does not go round in circles.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;

use crate::job::finding::{Report, quote};
use crate::job::task::{Route, Task};
use crate::json::pointer_to;
use crate::limits::TASKS_PER_RUN;

/// Gives every route the id as its task spells it; a route to no task is an error finding.
pub(super) fn resolve(tasks: &mut [(String, Task)], report: &mut Report) {
    let ids: BTreeMap<String, (usize, String)> = tasks
        .iter()
        .enumerate()
        .map(|(index, (_, task))| (task.id.to_ascii_lowercase(), (index, task.id.clone())))
        .collect();
    for (pointer, task) in tasks.iter_mut() {
        for (key, route) in [("onSuccess", &mut task.on_success), ("onFailure", &mut task.on_failure)] {
            let Some(Route::Task(target)) = route else { continue };
            match ids.get(&target.to_ascii_lowercase()) {
                Some((_, id)) => *target = id.to_string(),
                None => {
                    let message = format!("there is no task {}; name a task of this job, or 'stop'.", quote(target));
                    report.error(pointer_to(pointer, key), "route-unknown-task", message);
                }
            }
        }
    }
    warn_about_circle(tasks, &ids, report);
}

/// Follows the run in which every task succeeds; one that comes back to a task ends only at the limit. A condition on the way is a way out.
fn warn_about_circle(tasks: &[(String, Task)], ids: &BTreeMap<String, (usize, String)>, report: &mut Report) {
    let mut visited = vec![false; tasks.len()];
    let mut index = 0;
    while let Some((pointer, task)) = tasks.get(index) {
        if task.condition.is_some() || task.skip_when_false.is_some() {
            return;
        }
        if let Some(seen) = visited.get_mut(index) {
            *seen = true;
        }
        let next = match &task.on_success {
            Some(Route::Task(id)) => ids.get(&id.to_ascii_lowercase()).map(|(index, _)| *index),
            Some(Route::Stop) => None,
            None => index.checked_add(1),
        };
        let Some(next) = next else { return };
        if visited.get(next).copied().unwrap_or_default() {
            let message = format!(
                "while tasks succeed, the run goes round in circles from here and ends only after {TASKS_PER_RUN} tasks."
            );
            report.warning(pointer_to(pointer, "onSuccess"), "route-circle", message);
            return;
        }
        index = next;
    }
}
