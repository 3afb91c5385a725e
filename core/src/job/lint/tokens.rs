//! Tokens that nobody sets: neither the agent, nor a parameter, nor a task of the job.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Job;
use crate::job::JobDefinition;
use crate::job::finding::{Report, quote};
use crate::job::substitution::substitute;

/// Names that every run has, in lower case (contract section 3).
const ALWAYS_THERE: [&str; 16] = [
    "keeperapibaseurl",
    "jobid",
    "jobname",
    "runid",
    "hasdesktop",
    "lastexitcode",
    "lastoutput",
    "rootdir",
    "home",
    "tmp",
    "etc",
    "var",
    "usr",
    "bin",
    "userdesktop",
    "documents",
];

pub(super) fn check(job: &Job, report: &mut Report) {
    // What such a task writes, only its program knows.
    if job.job.tasks.iter().any(|task| task.merge_stdout) {
        return;
    }
    let known = known(&job.job);
    let is_known = |name: &str| {
        let lower = name.to_ascii_lowercase();
        let outer = lower.split('.').next().unwrap_or_default();
        known.contains(&lower) || known.contains(outer)
    };
    for (index, task) in job.job.tasks.iter().enumerate() {
        let index = index.to_string();
        let mut told: BTreeSet<String> = BTreeSet::new();
        let mut texts: Vec<(&str, &str)> = task.arguments.iter().map(|text| ("arguments", text.as_str())).collect();
        if let Some(http) = &task.http {
            texts.push(("url", &http.url));
            texts.extend(http.headers.values().map(|text| ("headers", text.as_str())));
        }
        for (key, text) in texts {
            let Ok(substituted) = substitute(text, &|_| None) else { continue };
            for name in substituted.unknown {
                if !is_known(&name) && told.insert(name.to_ascii_lowercase()) {
                    let message = format!(
                        "nobody sets {{{name}}}; if its trigger gives it, declare it in 'parameters', else mend the name."
                    );
                    report.warning(job.pointer(&["tasks", &index, key]), "token-nobody-sets", message);
                }
            }
        }
        for name in task.condition.iter().flat_map(crate::job::condition::Condition::names) {
            if !is_known(&name) && told.insert(name.to_ascii_lowercase()) {
                let message = format!(
                    "nobody sets {}, so it is null unless a trigger gives it; declare it in 'parameters'.",
                    quote(&name)
                );
                report.note(job.pointer(&["tasks", &index, "condition"]), "name-nobody-sets", message);
            }
        }
    }
}

fn known(job: &JobDefinition) -> BTreeSet<String> {
    let fixed = ALWAYS_THERE.iter().map(ToString::to_string);
    let parameters = job.parameters.iter().map(|parameter| parameter.name.to_ascii_lowercase());
    let codes = job.tasks.iter().map(|task| format!("{}.exitcode", task.id.to_ascii_lowercase()));
    let skipped =
        job.tasks.iter().flat_map(|task| task.context_when_skipped.keys()).map(|key| key.to_ascii_lowercase());
    fixed.chain(parameters).chain(codes).chain(skipped).collect()
}
