//! The keys of a test case. serde reads them by the names of the types' fields; `schema/tests.rs` holds the two against each other.

use alloc::vec::Vec;

use super::CASE_BEGIN;
use crate::run::history::Outcome;
use crate::shape::{Key, Names, Object, Others, Shape, Text};

const ANY: (usize, usize) = (0, usize::MAX);
const TASKS: Shape = Shape::List(&Shape::TEXT, ANY);
const VALUES: Shape = Shape::Map("", &Shape::Any);

impl Names for [Outcome; 6] {
    fn names(&self) -> Vec<&'static str> {
        self.iter().map(|outcome| outcome.as_str()).collect()
    }
}

pub(crate) static CASE: Object = Object {
    name: "testCase",
    doc: "A test case of castellan jobs test: *.test.json. Keys are case-sensitive, and an unknown one is an error.",
    keys: &[
        Key::new("name", Shape::TEXT, "What it shows, for people."),
        Key::required(
            "jobs",
            Shape::List(&Shape::TEXT, (1, usize::MAX)),
            "Job files, relative to the case; the first is the job under test.",
        ),
        Key::new("event", Shape::TEXT, "The event to fire; without one the first job is triggered by hand."),
        Key::new("context", VALUES, "The values of the trigger.").never_null(),
        Key::defaulting("at", Shape::INSTANT, CASE_BEGIN, "When it begins."),
        Key::new(
            "assume",
            Shape::Map("", &Shape::Object(&GIVEN)),
            "What happens to programs, by task or job/task; else they exit with 0 at once.",
        )
        .never_null(),
        Key::required("expect", Shape::Object(&EXPECTATION), "What must come of it."),
    ],
    rules: &[],
    others: Others::RefusedExactly,
};

pub(crate) static GIVEN: Object = Object {
    name: "given",
    doc: "What is assumed of a task's program.",
    keys: &[
        Key::new(
            "ends",
            Shape::List(&Shape::Text(Text::like("^(exit:[+-]?[0-9]+|signal:[+-]?[0-9]+|hang|missing)$").such_as("exit:0")), ANY),
            "exit:N, signal:N, out-of-memory, hang or missing, one for each execution; the last one stays. For an Http task exit:N is the status.",
        )
        .never_null(),
        Key::new("stdout", Shape::Any, "Standard output: a text, or anything else as JSON."),
        Key::new("seconds", Shape::Integer(0, i64::MAX), "Seconds until it ends."),
    ],
    rules: &[],
    others: Others::RefusedExactly,
};

pub(crate) static EXPECTATION: Object = Object {
    name: "expectation",
    doc: "What must come of a case; what is not given is not looked at.",
    keys: &[
        Key::new("outcome", Shape::Exactly(&Outcome::ALL), "The outcome of the first run."),
        Key::new("route", TASKS, "The executed tasks of the first run, in order."),
        Key::new("skipped", TASKS, "The skipped tasks of the first run, in order."),
        Key::new("context", VALUES, "Values of the first run's context at its end, among others.").never_null(),
        Key::new(
            "publishes",
            Shape::List(&Shape::Object(&PUBLICATION), ANY),
            "What the tasks of all runs published, in order: all of it.",
        ),
        Key::new("refused", Shape::TEXT, "A part of the sentence that refuses the trigger."),
    ],
    rules: &[],
    others: Others::RefusedExactly,
};

pub(crate) static PUBLICATION: Object = Object {
    name: "publication",
    doc: "One expected message.",
    keys: &[
        Key::required("topic", Shape::TEXT, "The topic."),
        Key::required("payload", Shape::Any, "The payload: its JSON where it is JSON, else its text."),
    ],
    rules: &[],
    others: Others::RefusedExactly,
};
