//! The table of the API's paths and operations: the agent itself, jobs, runs and events (contract section 2).

use alloc::string::String;
use alloc::vec::Vec;

use schemars::SchemaGenerator;
use serde_json::{Map, Value};

use super::{Answer, Body, Content, Operation, Path, json};
use crate::agent::DenialRecord;
use crate::api::route::Method;
use crate::api::stream::StreamEvent;
use crate::api::view::{
    Deleted, Fired, Health, JobLine, LoadReport, RunLine, Service, SystemStatus, Triggered, Validation,
};
use crate::job::parse::keys::ID;
use crate::limits::RUNS_PER_PAGE;
use crate::run::history::RunRecord;
use crate::schema::Document;
use crate::shape::{Key, Shape, Text};

/// The id of a run.
pub(crate) const RUN_ID: Shape = Shape::Text(Text { length: (1, 41), ..Text::like("^[0-9-]+$").such_as("7-1") });
/// The id of a request for more privileges.
pub(crate) const REQUEST_ID: Shape = Shape::Text(Text { length: (2, 42), ..Text::like("^E[0-9-]+$").such_as("E7-1") });
/// A control of a policy.
pub(crate) const CONTROL: Shape = Shape::Choice(&["MFA", "JUSTIFY", "APPROVAL"]);
/// The longest `timeoutSeconds` of `?wait=true`: a task's own default limit.
pub(crate) const WAIT_SECONDS_MAX: u64 = 3600;
/// The same where none is given.
pub(crate) const WAIT_SECONDS: u64 = 60;

static WAIT: [Key; 2] = [
    Key::flag("wait", false, "Whether the answer waits for the end of the run."),
    Key::number("timeoutSeconds", (1, WAIT_SECONDS_MAX as i64), WAIT_SECONDS as i64, "How long it waits at most."),
];

/// An answer of one media type, or of several.
macro_rules! answer {
    ($status:literal, $when:literal, $($content:expr),+) => {
        Answer { status: $status, when: $when, fields: &[], content: &[$($content),+] }
    };
}

/// The same with its entity tag.
macro_rules! tagged {
    ($status:literal, $when:literal, $($content:expr),+) => {
        Answer { status: $status, when: $when, fields: &[("ETag", "The entity tag of what was shown or stored.")], content: &[$($content),+] }
    };
}

/// A method at a path: its name, what it does, what else it has, its answers.
macro_rules! operation {
    ($method:ident, $id:literal, $summary:literal, { $($field:ident: $value:expr),* }, [$($answer:expr),+ $(,)?]) => {
        Operation { method: Method::$method, id: $id, summary: $summary, $($field: $value,)* answers: &[$($answer),+], ..NOTHING }
    };
}

mod administration;
mod elevation;
mod lkg;

pub(super) use administration::PATHS as ADMINISTRATION;
pub(super) use elevation::PATHS as ELEVATION;
pub(super) use lkg::PATHS as LKG;

static PAGE: [Key; 4] = [
    Key::new("job", ID, "Of this job alone."),
    Key::new("status", Shape::Choice(&STATUSES), "With this status alone."),
    Key::new("before", RUN_ID, "Older than this run: the page that follows."),
    Key::number("limit", (1, RUNS_PER_PAGE as i64), RUNS_PER_PAGE as i64, "At most so many."),
];
const STATUSES: [&str; 7] = ["Succeeded", "Failed", "TimedOut", "Canceled", "Skipped", "Lost", "running"];

/// Entity tags as they are sent back. Whatever stands there is compared; nothing is refused for its form.
const TAGS: Shape = Shape::Text(Text::ANY.such_as("\"1-0\""));
const IF_MATCH: Key = Key::new("If-Match", TAGS, "Only where its entity tag is among these.");
const IF_NONE_MATCH: Key = Key::new("If-None-Match", TAGS, "Only where its entity tag is not among these.");
static READS: [Key; 2] = [IF_NONE_MATCH, IF_MATCH];
static WRITES: [Key; 2] = [IF_MATCH, IF_NONE_MATCH];
static LAST_EVENT: [Key; 1] = [Key::new(
    "Last-Event-ID",
    LAST,
    "The id of the last event that the client has; with any other text, all that is kept comes.",
)];
/// Whatever a client kept: what is no id of this start is answered with an event `gap`.
const LAST: Shape = Shape::Text(Text::like("^[ -~]*$"));
const KNOWN: Answer = Answer {
    status: 304,
    when: "The caller has it already.",
    fields: &[("ETag", "The entity tag that it named.")],
    content: &[],
};
const CHANGED: Answer = Answer {
    fields: &[("ETag", "The entity tag of what is there now, if anything is.")],
    ..Answer::problem(412, "Its entity tag is another than the request says.")
};

static KINDS: [Key; 1] = [Key::new(
    "kinds",
    Shape::Text(Text::like("^(run|plugin|denial|drift|elevation)(,(run|plugin|denial|drift|elevation))*$")),
    "Which kinds of events, with commas.",
)];

const NOTHING: Operation =
    Operation { method: Method::Get, id: "", summary: "", query: &[], heeds: &[], body: None, answers: &[] };
const JOB: Option<Body> = Some(Body { required: true, content: Content::Document(Document::Job) });
const VALUES: Option<Body> = Some(Body { required: false, content: json::<Map<String, Value>>() });
const EVENT: Option<Body> = Some(Body { required: true, content: json::<Map<String, Value>>() });
const NO_JOB: Answer = Answer::problem(404, "There is no such job, or its file is out of service; then with findings.");
const WRONG_JOB: Answer = Answer::problem(400, "The document is not a valid job; findings say why.");
/// Of whatever is on disk before it is answered.
const FULL: Answer = Answer::problem(507, "The disk is full; nothing changed.");
const BEING_REMOVED: Answer = Answer::problem(
    409,
    "The job is just being removed, or the references of Last Known Good prove nothing; nothing changed.",
);

const TRIGGER: Operation = operation!(
    Post, "triggerJob", "Runs a job. The body is the context of the run: values of parameters, by name.",
    { query: &WAIT, body: VALUES },
    [
        answer!(200, "With wait: the run, which has ended.", json::<RunRecord>()),
        answer!(
            202,
            "The run is on record. With wait: the run as it stood when the time was over.",
            json::<Triggered>(),
            json::<RunRecord>()
        ),
        Answer::problem(400, "The values do not fit the job's parameters, or the query cannot be read."),
        NO_JOB,
        Answer::problem(409, "The job is disabled or excluded here, runs already, or too many runs wait."),
    ]
);

/// What is about the agent itself, jobs, runs and events.
pub(super) static PATHS: [Path; 17] = [
    Path {
        template: "/",
        operations: &[operation!(
            Get,
            "service",
            "What answers here; for people, by Accept, the status page.",
            {},
            [answer!(200, "The service, or the page.", json::<Service<'_>>(), Content::Text("text/html")),]
        )],
    },
    Path {
        template: "/health",
        operations: &[operation!(
            Get,
            "health",
            "Whether the agent works.",
            {},
            [answer!(200, "It does.", json::<Health<'_>>()),]
        )],
    },
    Path {
        template: "/openapi.json",
        operations: &[operation!(
            Get,
            "description",
            "This description.",
            {},
            [answer!(200, "An OpenAPI 3.1 document.", json::<Map<String, Value>>()),]
        )],
    },
    Path {
        template: "/metrics",
        operations: &[operation!(
            Get,
            "metrics",
            "Counts and states in the text format of Prometheus.",
            {},
            [answer!(200, "The metrics.", Content::Text("text/plain")),]
        )],
    },
    Path {
        template: "/api/system/status",
        operations: &[operation!(
            Get,
            "systemStatus",
            "The agent in figures.",
            {},
            [answer!(200, "The figures.", json::<SystemStatus>()),]
        )],
    },
    Path {
        template: "/api/denials",
        operations: &[operation!(
            Get,
            "listDenials",
            "What was refused, newest first, with the declaration that would have allowed it.",
            {},
            [answer!(200, "The refusals.", json::<Vec<DenialRecord>>())]
        )],
    },
    Path {
        template: "/api/Jobs",
        operations: &[
            operation!(
                Get,
                "listJobs",
                "The jobs in service.",
                { heeds: &READS },
                [tagged!(200, "One line for each.", json::<Vec<JobLine<'_>>>()), KNOWN, CHANGED]
            ),
            operation!(Post, "createJob", "Adds a job.", { body: JOB }, [
                Answer {
                    status: 201,
                    when: "The job as it was stored.",
                    fields: &[("Location", "The new job's path."), ("ETag", "Its entity tag.")],
                    content: &[Content::Document(Document::Job)],
                },
                WRONG_JOB,
                Answer::problem(409, "The id is taken, there are as many jobs as there may be, or the references of Last Known Good prove nothing."),
                FULL,
            ]),
        ],
    },
    Path {
        template: "/api/Jobs/validate",
        operations: &[operation!(
            Post, "validateJob", "Says whether a job would be taken; nothing is written.", { body: JOB },
            [
                answer!(200, "It would be.", json::<Validation<'_>>()),
                answer!(400, "It would not, or the request cannot be read.", json::<Validation<'_>>(), Content::Problem),
            ]
        )],
    },
    Path {
        template: "/api/Jobs/reload",
        operations: &[operation!(
            Post,
            "reloadDefinitions",
            "Compares all files of jobs and plugins with what is blessed; where Last Known Good is off, reads them again.",
            {},
            [answer!(200, "What is loaded, removed, refused and restored.", json::<LoadReport>()),]
        )],
    },
    Path {
        template: "/api/Jobs/{jobId}",
        operations: &[
            operation!(
                Get,
                "showJob",
                "A job as it is stored.",
                { heeds: &READS },
                [tagged!(200, "The document.", Content::Document(Document::Job)), KNOWN, NO_JOB, CHANGED]
            ),
            operation!(Put, "replaceJob", "Puts a job in place of the one with its id.", { heeds: &WRITES, body: JOB }, [
                tagged!(200, "The job as it was stored.", Content::Document(Document::Job)),
                WRONG_JOB,
                NO_JOB,
                BEING_REMOVED,
                CHANGED,
                FULL,
            ]),
            operation!(
                Delete,
                "deleteJob",
                "Removes a job.",
                { heeds: &WRITES },
                [answer!(200, "It is gone.", json::<Deleted<'_>>()), NO_JOB, BEING_REMOVED, CHANGED, FULL]
            ),
        ],
    },
    Path { template: "/api/Jobs/{jobId}/trigger", operations: &[TRIGGER] },
    Path { template: "/api/Jobs/{jobId}/run", operations: &[Operation { id: "runJob", ..TRIGGER }] },
    Path {
        template: "/api/Jobs/{jobId}/runs",
        operations: &[operation!(
            Get,
            "listJobRuns",
            "The latest runs of a job, newest first.",
            {},
            [answer!(200, "The runs.", json::<Vec<RunRecord>>()), NO_JOB,]
        )],
    },
    Path {
        template: "/api/runs/{runId}",
        operations: &[operation!(
            Get,
            "showRun",
            "A run: every task, what it did and why the run went on as it did.",
            {},
            [answer!(200, "The run.", json::<RunRecord>()), Answer::problem(404, "There is no such run.")]
        )],
    },
    Path {
        template: "/api/runs",
        operations: &[
            operation!(Get, "listRuns", "Runs of the history, newest first, a page at a time.", { query: &PAGE }, [
                answer!(200, "One line for each.", json::<Vec<RunLine>>()),
            ]),
        ],
    },
    Path {
        template: "/api/runs/{runId}/cancel",
        operations: &[operation!(
            Post,
            "cancelRun",
            "Ends a run before its time.",
            {},
            [
                answer!(202, "The run as it stands; its processes get five seconds.", json::<RunLine>()),
                Answer::problem(404, "There is no such run."),
                Answer::problem(409, "The run has ended already."),
            ]
        )],
    },
    Path {
        template: "/api/events",
        operations: &[
            operation!(
                Get, "followEvents", "What happens, as it happens: runs, plugins and, for administrators, refusals and files that were not as blessed.",
                { query: &KINDS, heeds: &LAST_EVENT },
                [answer!(200, "Server-sent events, until the client leaves.", Content::Events(SchemaGenerator::subschema_for::<StreamEvent>))]
            ),
            operation!(
                Post, "fireEvent", "Fires an event, as a message on EventMessages does: eventName, context and messageId.",
                { body: EVENT },
                [
                    answer!(200, "An event of this messageId was fired already; nothing followed.", json::<Fired>()),
                    answer!(202, "What the event led to.", json::<Fired>()),
                ]
            ),
        ],
    },
];
