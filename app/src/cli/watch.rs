//! Looking again and again: at a list with `--watch`, at something that is waited for. Every look is one request.

mod screen;

use std::time::Duration;

use castellan_core::time::Monotonic;
use clap::Args;
use serde_json::Value;

use super::agent::Agent;
use super::output::{self, Globals};
use super::table::{items, text};
use crate::clock::Clock;
use crate::failure::Failure;

/// Between two looks at a list: often enough for people.
const PAUSE: Duration = Duration::from_secs(2);
/// The same for what somebody waits for: at once, as people see it, and still little to do for the agent.
const CLOSE_PAUSE: Duration = Duration::from_millis(300);
/// The first pause of a wait, which doubles up to [`LONGEST`]: what is short is answered at once, what is long costs little.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(500);

/// The option of every list.
#[derive(Debug, Clone, Args)]
pub(crate) struct Watch {
    /// Look again every two seconds, until Ctrl-C: redraws a terminal, adds the changed lines in a pipe.
    #[arg(short, long)]
    watch: bool,
    /// Whether somebody waits for the next change.
    #[arg(skip)]
    closely: bool,
}

impl Watch {
    /// Looking again and again, closely, of a command that does nothing else.
    pub(crate) const AGAIN: Self = Self { watch: true, closely: true };

    /// Prints a list of the API, once or again and again. `key` is the member that names an item.
    pub(crate) fn list(
        &self,
        globals: &Globals,
        key: &str,
        mut look: impl FnMut() -> Result<Value, Failure>,
        table: impl Fn(&[Value]) -> Result<Vec<String>, Failure>,
    ) -> Result<(), Failure> {
        if !self.watch {
            let list = look()?;
            let names: Vec<&str> = items(&list).iter().filter_map(|item| text(item, key)).collect();
            return globals.show(&list, &names, || table(items(&list)));
        }
        self.repeat(globals, || table(items(&look()?)))
    }

    /// Prints lines, once or again and again.
    pub(crate) fn repeat(
        &self,
        globals: &Globals,
        mut look: impl FnMut() -> Result<Vec<String>, Failure>,
    ) -> Result<(), Failure> {
        if !self.watch {
            return output::lines(&look()?);
        }
        if globals.is_for_programs() {
            return Err(Failure::usage("--watch shows text; ask again and again for documents and ids."));
        }
        let mut before: Vec<String> = Vec::new();
        loop {
            let mut lines = look()?;
            if globals.is_on_terminal() {
                lines = screen::size().map(|size| screen::fitted(&lines, size)).unwrap_or(lines);
                if lines != before {
                    let screen = format!("\x1b[H\x1b[2J{}", lines.join("\n"));
                    output::lines(&[screen])?;
                }
            } else {
                let changed: Vec<&String> = lines.iter().filter(|line| !before.contains(line)).collect();
                output::lines(&changed)?;
            }
            before = lines;
            pause(if self.closely { CLOSE_PAUSE } else { PAUSE });
        }
    }
}

/// How long to wait for an end.
#[derive(Debug, Clone, Args)]
pub(crate) struct Limit {
    /// Wait at most so many seconds; exit code 1 where it has not ended by then.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

impl Limit {
    /// Looks until there is something or the time is over; `None` then.
    pub(crate) fn wait<T>(
        &self,
        mut look: impl FnMut(Monotonic) -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let clock = Clock::start();
        let end = clock.now().monotonic.plus_seconds(self.timeout);
        let mut between = SHORTEST;
        loop {
            let now = clock.now().monotonic;
            if let Some(found) = look(now)? {
                return Ok(Some(found));
            }
            if now >= end {
                return Ok(None);
            }
            pause(between.min(Duration::from_millis(end.millis_since(now))));
            between = between.saturating_mul(2).min(LONGEST);
        }
    }

    /// The time that is over.
    pub(crate) fn shown(&self) -> String {
        format!("{} seconds", self.timeout)
    }
}

/// Waits for a run's end, telling of each task that has ended; `None` where the time is over first.
pub(crate) fn run(
    agent: &Agent,
    globals: &Globals,
    id: &str,
    limit: &Limit,
    each: &mut dyn FnMut(&Value) -> Result<(), Failure>,
) -> Result<Option<Value>, Failure> {
    let mut told = 0_usize;
    let ended = limit.wait(|now| {
        let record = agent.get(&format!("/api/runs/{id}"))?;
        let tasks = record.get("tasks").map(items).unwrap_or_default();
        for task in tasks.iter().skip(told).take_while(|task| text(task, "outcome") != Some("Running")) {
            globals.progress("")?;
            each(task)?;
            told = told.saturating_add(1);
        }
        if record.get("outcome").is_some_and(Value::is_string) {
            globals.progress("")?;
            return Ok(Some(record));
        }
        let at = tasks.last().and_then(|task| text(task, "taskId")).unwrap_or("waiting");
        let since = output::duration(now.as_millis());
        globals.progress(&format!("run {id}: {} {since}", castellan_core::log_message::escape(at)))?;
        Ok(None)
    })?;
    globals.progress("")?;
    Ok(ended)
}

/// Waits.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
