//! The keys of a plugin (seed 003, field reference).

use super::{CONTEXTS, PLATFORMS, PLUGIN_TYPES};
use crate::job::parse::keys::{ARGUMENTS, ID, LIMITS_KEY, LIST, SOME, TOPIC_FILTER};
use crate::shape::{Key, Object, Others, Rule, Shape, Text};

pub(crate) static PLUGIN: Object = Object {
    name: "plugin",
    doc: "A plugin: Plugins/{id}.json, a program that the agent starts, watches and starts again. Keys may be written in any case; keys of its own are its settings.",
    keys: &[
        Key::required("id", ID, "Equals the file name without .json. Letters, digits, '.' and '-'; no underscore."),
        Key::new("name", Shape::TEXT, "What people call it; the id where absent."),
        Key::new("description", Shape::TEXT, "What it is for."),
        Key::new("version", Shape::Text(Text::ANY.such_as("1.0.0")), "For diagnostics."),
        Key::required(
            "pluginType",
            Shape::Choice(&PLUGIN_TYPES),
            "Executable; Service only for what the agent itself is (KeeperLogger).",
        ),
        Key::new(
            "executablePath",
            Shape::Text(Text::ANY.such_as("bin/MyBridge/MyBridge")),
            "The program: absolute, or relative to the agent root, then to the plugin folder. No '..'. Required, except for Service.",
        ),
        ARGUMENTS,
        Key::required("supportedPlatforms", Shape::List(&Shape::Choice(&PLATFORMS), SOME), "The systems it runs on."),
        Key::required(
            "Subscription",
            Shape::Object(&SUBSCRIPTION),
            "Its primary topic, always allowed; the agent subscribes it.",
        ),
        Key::required("metadata", Shape::Object(&METADATA), "mqttTopics, and settings of its own."),
        Key::number("startupPriority", (i64::MIN, i64::MAX), 100, "Lower starts first; ties by id."),
        Key::flag("autoStart", false, "Whether it starts with the agent."),
        Key::defaulting(
            "executionContext",
            Shape::Choice(&CONTEXTS),
            "Service",
            "Service: as the agent's user. User: in each active session, as its user. Interactive: the same in each graphical one, with its display.",
        ),
        Key::flag("requiresMonitoring", false, "Whether the agent watches it."),
        Key::flag("autoRestart", false, "Whether it is started again when it ends; only with requiresMonitoring."),
        Key::new(
            "requires",
            Shape::List(&ID, LIST),
            "Plugins that are started first, and are ready (connected, or of the agent itself) before this one starts.",
        ),
        Key::new("healthCheck", Shape::Object(&HEALTH_CHECK), "A ping that it must answer while it runs."),
        LIMITS_KEY,
        Key::flag("enabled", true, "Whether it may run at all."),
        Key::new(
            "secretSettings",
            Shape::List(&Shape::TEXT, LIST),
            "Settings that nobody but the plugin itself sees, as dotted keys; each covers what is below it.",
        ),
    ],
    rules: &[Rule::Where("pluginType", "Service", &[], &["executablePath"])],
    others: Others::Kept,
};

pub(crate) static SUBSCRIPTION: Object = Object {
    name: "subscription",
    doc: "The primary subscription of a plugin.",
    keys: &[
        Key::required("Topic", TOPIC_FILTER, "The topic under which the plugin is known."),
        Key::number("Qos", (0, 2), 0, "Quality of service."),
        Key::flag(
            "CleanSession",
            true,
            "false: its subscriptions and what waits for it are kept for its next process, whatever its client asks for. true: as its client asks.",
        ),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static METADATA: Object = Object {
    name: "metadata",
    doc: "What the plugin may publish and subscribe, and settings of its own.",
    keys: &[Key::required(
        "mqttTopics",
        Shape::Object(&TOPICS),
        "What it may publish and subscribe; what no entry covers is denied.",
    )],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static TOPICS: Object = Object {
    name: "mqttTopics",
    doc: "Topic filters; + and # are allowed.",
    keys: &[
        Key::required("publish", Shape::List(&TOPIC_FILTER, LIST), "What it may publish."),
        Key::required(
            "subscribe",
            Shape::List(&TOPIC_FILTER, LIST),
            "What it may subscribe beyond Subscription.Topic.",
        ),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static HEALTH_CHECK: Object = Object {
    name: "healthCheck",
    doc: "A ping that a plugin must answer while it runs: the agent publishes {\"id\":…} on the topic, the plugin publishes the same on PluginHealth.",
    keys: &[
        Key::required(
            "topic",
            Shape::Text(Text { length: (1, 65_535), ..Text::like("^[^#+]*$").such_as("MyBridge/Health") }),
            "Where the agent publishes the ping; the plugin may subscribe it, whatever its lists say.",
        ),
        Key::number("intervalSeconds", (1, LONGEST_INTERVAL), 30, "Seconds from one answer to the next ping."),
        Key::number(
            "timeoutSeconds",
            (1, LONGEST_TIMEOUT),
            10,
            "Where no answer came by then, the plugin hangs: it is restarted where it is monitored, else shown as Unhealthy.",
        ),
    ],
    rules: &[],
    others: Others::Kept,
};

/// Longest time between two pings, seconds: a day.
const LONGEST_INTERVAL: i64 = 24 * 3600;
/// Longest wait for an answer, seconds: an hour.
const LONGEST_TIMEOUT: i64 = 3600;
