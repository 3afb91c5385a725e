//! Details of a run's way: conditions that held, what tokens stood for, what was merged. The simulator shows them; the service
//! makes them only where its log is kept at `Debug`.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt::Arguments;

use serde_json::{Map, Value};

use super::Run;
use crate::job::Lookup;
use crate::job::task::Task;
use crate::log_message::Level;
use crate::text::cut;
use crate::turn::Turn;

/// Characters of one value in a detail; the whole stands in the command line and in the context.
const VALUE_CHARACTERS: usize = 256;

/// The tokens that were looked up while a task was made ready, each once, with what was found.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    is_wanted: bool,
    found: RefCell<Vec<(String, Option<Value>)>>,
}

impl Tokens {
    /// Notes nothing where nobody would read it.
    pub(super) fn of(turn: &Turn<'_>) -> Self {
        Self { is_wanted: turn.is_told(Level::Debug), ..Self::default() }
    }

    /// The same lookup, noted.
    pub(super) fn noting<'l, 'v>(&'l self, lookup: Lookup<'l, 'v>) -> impl Fn(&str) -> Option<Cow<'v, Value>> {
        move |name| {
            let value = lookup(name);
            if self.is_wanted && !self.found.borrow().iter().any(|(known, _)| known == name) {
                self.found.borrow_mut().push((name.to_owned(), value.as_deref().cloned()));
            }
            value
        }
    }
}

impl Run {
    /// Tells a detail about a task, or about the run itself.
    fn tell(&self, category: &'static str, task: Option<&Task>, what: Arguments<'_>, turn: &mut Turn<'_>) {
        let message = match task {
            Some(task) => format!("Task {} of run {}: {what}", task.id, self.id),
            None => format!("Run {}: {what}", self.id),
        };
        self.log(Level::Debug, category, message, turn);
    }

    /// Why a task with a condition was not skipped, or the run itself went on.
    pub(super) fn tell_condition(&self, task: Option<&Task>, values: &str, turn: &mut Turn<'_>) {
        if turn.is_told(Level::Debug) {
            self.tell("ConditionHeld", task, format_args!("the condition is true: {values}."), turn);
        }
    }

    /// What each token of a task stood for.
    pub(super) fn tell_tokens(&self, task: &Task, tokens: Tokens, turn: &mut Turn<'_>) {
        for (name, value) in tokens.found.into_inner() {
            match value {
                Some(value) => {
                    let what = self.short(&name, &value);
                    self.tell("Substituted", Some(task), format_args!("{{{name}}} is {what}."), turn);
                }
                None => {
                    self.tell(
                        "Substituted",
                        Some(task),
                        format_args!("{{{name}}} stays as it is; nobody sets it."),
                        turn,
                    );
                }
            }
        }
    }

    /// What came into the context, and from where.
    pub(super) fn tell_merge(&self, task: &Task, from: &str, values: &Map<String, Value>, turn: &mut Turn<'_>) {
        if !turn.is_told(Level::Debug) {
            return;
        }
        let members: Vec<String> =
            values.iter().map(|(name, value)| format!("{name} = {}", self.short(name, value))).collect();
        let members = if members.is_empty() { "nothing, it is empty".to_string() } else { members.join(", ") };
        self.tell("Merged", Some(task), format_args!("merged from {from}: {members}."), turn);
    }

    /// A value as a detail shows it; masked before it is cut, so that no secret ends in the middle.
    fn short(&self, name: &str, value: &Value) -> String {
        let is_secret = |parameter: &&crate::job::parameter::Parameter| {
            parameter.secret && parameter.name.eq_ignore_ascii_case(name)
        };
        if self.job.parameters.iter().any(|parameter| is_secret(&parameter)) {
            return "***".to_string();
        }
        cut(&self.mask(value.to_string()), VALUE_CHARACTERS)
    }
}
