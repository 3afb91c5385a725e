//! The keys of a job: what the parser reads and the published schema says (contract section 3, seed 001 step 3).

mod task;

pub(crate) use task::{RETRY, SETTING, TASK};

use super::parameters::TYPES;
use super::schedule::{DAYS, LONGEST_INTERVAL};
use super::{MISSED_RUNS, OVERLAPS};
use crate::job::condition::keys::CONDITION;
use crate::limits::{ID_LENGTH, LIST_ENTRIES};
use crate::shape::{Key, Object, Others, Rule, Shape, Text};

/// A list of a definition.
pub(crate) const LIST: (usize, usize) = (0, LIST_ENTRIES);
/// A list of a definition that is not empty.
pub(crate) const SOME: (usize, usize) = (1, LIST_ENTRIES);
/// An id of a job or plugin; [`crate::id`] says what else it may not be.
pub(crate) const ID: Shape =
    Shape::Text(Text { length: (1, ID_LENGTH), ..Text::like("^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9-])?$") });
/// A topic filter; [`crate::acl::topic`] says what else it may not be.
pub(crate) const TOPIC_FILTER: Shape = Shape::Text(Text { length: (1, 65_535), ..Text::ANY.such_as("KeeperLogger") });
/// `arguments` of a task or plugin.
pub(crate) const ARGUMENTS: Key = Key::new(
    "arguments",
    Shape::Text(Text::ANY.such_as("--keeper-api-base={KeeperApiBaseUrl}")),
    "Command line, split by the quoting rules of POSIX shells; each piece is then substituted. No shell is involved.",
);

/// `limits` of a task or plugin.
pub(crate) const LIMITS_KEY: Key =
    Key::new("limits", Shape::Object(&LIMITS), "What it may use of the machine, with all that it starts.");

const CONDITION_KEY: Key = Key::new(
    "condition",
    Shape::Named(&CONDITION),
    "Of the whole job: where it is false, the run is Skipped, or alternateJobId runs instead.",
);

pub(crate) static JOB: Object = Object {
    name: "job",
    doc: "A job: Jobs/{id}.json. It says when something runs, what runs, and which MQTT topics it may use. Keys may be written in any case.",
    keys: &[
        Key::required("id", ID, "Equals the file name without .json. Letters, digits, '.' and '-'; no underscore."),
        Key::new("name", Shape::TEXT, "What people call it; the id where absent."),
        Key::new("description", Shape::TEXT, "What it is for."),
        Key::flag("enabled", true, "A disabled job never runs, however it is triggered."),
        Key::number(
            "priority",
            (1, 10),
            5,
            "Of the runs that wait for a place, the highest goes first, then the oldest.",
        ),
        Key::new("schedule", Shape::Object(&SCHEDULE), "When it runs by itself."),
        Key::new(
            "events",
            Shape::List(&Shape::AnyOf(&[Shape::NAME, Shape::Object(&EVENT)]), LIST),
            "Events that start it. Startup fires once for each start of the agent.",
        ),
        Key::new(
            "eventTopic",
            Shape::Text(Text::like("^[^#+]*$").such_as("Jobs/secrets-scanner/events")),
            "Where the agent tells what happens to its runs; Jobs/{id}/events where absent. Tasks may publish there only if allowedPublications lists it.",
        ),
        Key::new("osFilter", Shape::Object(&OS_FILTER), "The systems it runs on; all of them where absent."),
        Key::new("mqttTopics", Shape::Object(&TOPICS), "The topics its tasks may use. What no entry covers is denied."),
        Key::new("parameters", Shape::List(&Shape::Object(&PARAMETER), LIST), "Values that a trigger may give."),
        CONDITION_KEY,
        Key::new(
            "alternateJobId",
            Shape::Text(Text { length: (0, ID_LENGTH), ..Text::like("^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9-])?)?$") }),
            "The job that runs instead where the condition is false.",
        ),
        Key::defaulting(
            "overlap",
            Shape::Choice(&OVERLAPS),
            "queue",
            "What happens to a trigger while a run of this job is active.",
        ),
        Key::defaulting(
            "missedRuns",
            Shape::Choice(&MISSED_RUNS),
            "skip",
            "What follows when due instants passed while the machine slept or the agent was not running.",
        ),
        Key::new("tasks", Shape::List(&Shape::Object(&TASK), SOME), "What runs, in this order.").never_null(),
    ],
    rules: &[Rule::RequiredBeyond("tasks", &["id", "eventTopic", "mqttTopics"])],
    others: Others::Kept,
};

pub(crate) static SCHEDULE: Object = Object {
    name: "schedule",
    doc: "When a job runs by itself; exactly one mode.",
    keys: &[
        Key::new(
            "intervalMinutes",
            Shape::Integer(1, LONGEST_INTERVAL),
            "Minutes between runs, counted from when the job came into service.",
        ),
        Key::new(
            "cronExpression",
            Shape::Text(Text::ANY.such_as("0 3 * * *")),
            "Minute, hour, day of month, month, day of week; names, lists, ranges, steps; or @hourly, @daily, @weekly, @monthly, @yearly.",
        ),
        Key::new("runAt", Shape::INSTANT, "Once, at this instant; never, where it has passed when the job is loaded."),
        Key::new(
            "calendar",
            Shape::List(&Shape::Object(&CALENDAR_ENTRY), SOME),
            "Times of days of the week or month; any entry that matches is due.",
        ),
        Key::new(
            "timeZone",
            Shape::Text(Text::ANY.such_as("Europe/Vienna")),
            "An IANA name, for cronExpression and calendar; the machine's own zone where absent.",
        ),
    ],
    rules: &[Rule::ExactlyOne(&["intervalMinutes", "cronExpression", "runAt", "calendar"])],
    others: Others::Kept,
};

pub(crate) static CALENDAR_ENTRY: Object = Object {
    name: "calendarEntry",
    doc: "A time of day, on days of the week or of the month: either matches; none given means daily.",
    keys: &[
        Key::required(
            "time",
            Shape::Text(Text::like("^([01][0-9]|2[0-3]):[0-5][0-9]$").such_as("03:00")),
            "HH:MM, from 00:00 to 23:59, local time.",
        ),
        Key::new(
            "daysOfWeek",
            Shape::List(&Shape::Choice(&DAYS), LIST),
            "English names, or their first three letters.",
        ),
        Key::new(
            "daysOfMonth",
            Shape::List(&Shape::AnyOf(&[Shape::Integer(1, 31), Shape::Integer(-1, -1)]), LIST),
            "1 to 31, or -1 for the last day.",
        ),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static EVENT: Object = Object {
    name: "event",
    doc: "An event that starts the job.",
    keys: &[
        Key::required(
            "eventType",
            Shape::Text(Text { length: (1, usize::MAX), ..Text::ANY.such_as("Startup") }),
            "Startup, Custom (then customEvent names it), or the name itself.",
        ),
        Key::new("customEvent", Shape::TEXT, "The name of a Custom event; read without regard to case."),
    ],
    rules: &[Rule::Where("eventType", "Custom", &["customEvent"], &[])],
    others: Others::Kept,
};

pub(crate) static PARAMETER: Object = Object {
    name: "parameter",
    doc: "A value that a trigger may give; tasks use it as {name}.",
    keys: &[
        Key::required(
            "name",
            Shape::like(r"^[^{}.\s]+$"),
            "Letters, digits, '_' and '-', with a letter; read without regard to case.",
        ),
        Key::defaulting("type", Shape::Choice(&TYPES), "string", "What its value must be."),
        Key::new("description", Shape::TEXT, "What it is for."),
        Key::new("defaultValue", Shape::Any, "Its value where the trigger gives none; of the parameter's type.")
            .also(&["default"]),
        Key::flag("required", false, "Whether a trigger without it is refused."),
        Key::flag("secret", false, "Whether its value is masked wherever a run is shown."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static OS_FILTER: Object = Object {
    name: "osFilter",
    doc: "The systems that something runs on; a system that is not named is false.",
    keys: &[
        Key::flag("windows", false, "On Windows."),
        Key::flag("linux", false, "On Linux."),
        Key::flag("macOS", false, "On macOS."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static TOPICS: Object = Object {
    name: "mqttTopics",
    doc: "What the tasks may publish and subscribe. With at least one entry they get KEEPER_JOB_ID and KEEPER_JOB_NAME.",
    keys: &[
        Key::new("allowedPublications", Shape::List(&TOPIC_FILTER, LIST), "Topic filters; + and # are allowed."),
        Key::new("allowedSubscriptions", Shape::List(&TOPIC_FILTER, LIST), "Topic filters; + and # are allowed."),
    ],
    rules: &[],
    others: Others::Kept,
};

/// Most memory that a definition may name, MiB: 16 TiB.
const MOST_MEMORY_MIB: i64 = 16 << 20;
/// Most processor time that a definition may name: 1024 cores.
const MOST_CPU_PERCENT: i64 = 102_400;
/// Most processes and threads that a definition may name: the kernel's own limit (proc(5), `pid_max`).
const MOST_TASKS: i64 = 1 << 22;

pub(crate) static LIMITS: Object = Object {
    name: "limits",
    doc: "What a program may use of the machine, with all that it starts; kept by its cgroup.",
    keys: &[
        Key::new(
            "memoryMiB",
            Shape::Integer(1, MOST_MEMORY_MIB),
            "Memory in MiB; beyond it the kernel kills the whole tree, and the record says so.",
        ),
        Key::new("cpuPercent", Shape::Integer(1, MOST_CPU_PERCENT), "Processor time; 100 is one core."),
        Key::new("tasks", Shape::Integer(1, MOST_TASKS), "Processes and threads; beyond it fork fails."),
    ],
    rules: &[],
    others: Others::Kept,
};
