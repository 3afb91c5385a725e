//! The keys of a task.

use super::super::http::{METHODS, STATUS};
use super::super::task::{
    COMMAND_BYTES, DEFAULT_TIMEOUT, EXECUTION_TYPES, LONGEST_DELAY, LONGEST_TIMEOUT, MOST_ATTEMPTS, SCRIPT_TYPES,
    TASK_ID_CHARS,
};
use super::{ARGUMENTS, ID, LIMITS_KEY, LIST, OS_FILTER};
use crate::job::condition::keys::CONDITION;
use crate::shape::{Key, Object, Others, Rule, Shape, Text};

/// An absolute path of any system, or nothing.
const ABSOLUTE_PATH: Shape = Shape::like(r"^(/|[A-Za-z]:[\\/]|\\\\|$)");
const ROUTE: Shape = Shape::Text(Text::ANY.such_as("stop"));
const ONE_STATUS: Shape = Shape::Integer(*STATUS.start(), *STATUS.end());

pub(crate) static TASK: Object = Object {
    name: "task",
    doc: "One step of a job.",
    keys: &[
        Key::required(
            "id",
            Shape::Text(Text { length: (1, TASK_ID_CHARS), ..Text::like(r"^[^{}\u0000-\u001f\u007f-\u009f]+$") }),
            "Unique in the job, without regard to case; not 'stop' or 'end'.",
        ),
        Key::new("name", Shape::TEXT, "What people call it; the id where absent."),
        Key::new("description", Shape::TEXT, "What it is for."),
        Key::defaulting(
            "executionType",
            Shape::Choice(&EXECUTION_TYPES),
            "Service",
            "Service: a program as the agent's user. Http: a request. User: as the user of the active session; UserDesktop: the same, with the display; UserElevated: as root, on that user's behalf.",
        )
        .also(&["ExecutionType"]),
        Key::new(
            "command",
            Shape::Text(Text { length: (0, COMMAND_BYTES), ..Text::like("^([A-Za-z0-9_+][A-Za-z0-9._+-]*)?$") }),
            "A bare name: a built-in command, else executablePath if given, else Jobs/bin/{command}/{command}, else PATH. Required, except for Http tasks.",
        ),
        Key::new("executablePath", ABSOLUTE_PATH, "The program's absolute path, where it is not found by its command."),
        ARGUMENTS,
        Key::number(
            "timeoutSeconds",
            (1, LONGEST_TIMEOUT),
            DEFAULT_TIMEOUT,
            "After so long the whole process tree gets SIGTERM, 5 s later SIGKILL; the outcome is TimedOut.",
        ),
        Key::flag("continueOnFailure", false, "Whether the next task in the list follows a failure.").also(&["ContinueOnFailure"]),
        Key::defaulting("scriptType", Shape::Choice(&SCRIPT_TYPES), "Auto", "How a script is run; Auto: by extension or #!."),
        Key::new("onSuccess", ROUTE, "The task that follows success, or stop (end); the next in the list where absent.").also(&["OnSuccess"]),
        Key::new("onFailure", ROUTE, "The task that follows failure or time-out, or stop (end).").also(&["OnFailure"]),
        Key::new(
            "condition",
            Shape::Named(&CONDITION),
            "Where it is false, the task is skipped and the next in the list follows.",
        ),
        Key::new("osFilter", Shape::Object(&OS_FILTER), "The systems it runs on; elsewhere it is skipped."),
        Key::flag(
            "mergeStdoutJsonIntoContext",
            false,
            "Whether the members of a JSON object on stdout (of an Http task: in the reply) become values of the run.",
        )
        .also(&["MergeStdoutJsonIntoContext"]),
        Key::new(
            "skipWhenPluginSettingFalse",
            Shape::AnyOf(&[
                Shape::Text(Text::like(r"^[^:]+:[\s\S]+$").such_as("RedirectEvaluator:metadata.redirect.enabled")),
                Shape::Object(&SETTING),
            ]),
            "A plugin's setting; anything but true skips the task.",
        ),
        Key::new(
            "contextWhenSkipped",
            Shape::Map("", &Shape::Any),
            "Values of the run where the setting skips the task.",
        )
        .also(&["ContextWhenSkipped"]),
        Key::new("workingDirectory", ABSOLUTE_PATH, "Absolute; the agent root where absent, in a user's session the home folder."),
        Key::new(
            "environment",
            Shape::Map("^[A-Za-z_][A-Za-z0-9_]*$", &Shape::Scalar),
            "Variables on top of what the agent gives. Those that steer loaders and interpreters are refused.",
        ),
        LIMITS_KEY,
        Key::new("retry", Shape::Object(&RETRY), "How often it is tried again after a failure or time-out."),
        Key::new("method", Shape::Choice(&METHODS), "Of an Http task: the method."),
        Key::new(
            "url",
            Shape::Text(
                Text::like(r"^(\{|[Hh][Tt][Tt][Pp][Ss]?://)[^ \u0000-\u001f\u007f-\u009f]*$")
                    .such_as("{KeeperApiBaseUrl}/api/Jobs"),
            ),
            "Of an Http task: an http or https URL, or a token and what follows it.",
        ),
        Key::new(
            "headers",
            Shape::Map("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$", &Shape::Scalar),
            "Of an Http task: header fields. Host and the fields that frame a message are the agent's own.",
        ),
        Key::new("body", Shape::Any, "Of an Http task: a text is sent as it is, anything else as JSON."),
        Key::new(
            "expectStatus",
            Shape::AnyOf(&[ONE_STATUS, Shape::List(&ONE_STATUS, LIST)]),
            "Of an Http task: the statuses that are success; 200 to 299 where absent.",
        ),
    ],
    rules: &[Rule::Where("executionType", "Http", &["method", "url"], &["command"])],
    others: Others::Kept,
};

pub(crate) static RETRY: Object = Object {
    name: "retry",
    doc: "How often a task is tried again.",
    keys: &[
        Key::required("attempts", Shape::Integer(0, MOST_ATTEMPTS), "How often, after the first try."),
        Key::number("delaySeconds", (0, LONGEST_DELAY), 0, "Seconds between tries."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static SETTING: Object = Object {
    name: "pluginSetting",
    doc: "A setting of a plugin.",
    keys: &[
        Key::required("plugin", ID, "The plugin's id."),
        Key::required("setting", Shape::NAME, "The setting's key, dotted."),
    ],
    rules: &[],
    others: Others::Kept,
};
