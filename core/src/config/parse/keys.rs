//! The keys of `appsettings.json` (contract section 1).

use super::logging;
use super::policy_source::POLICY_SOURCE;
use super::telemetry::TELEMETRY;
use super::{DAY_SECONDS, DENIAL_REASONS, MOST_DAYS, MOST_QUEUED, MOST_RUNS, PACKET_BYTES};
use crate::shape::{Key, Object, Others, Shape, Text};

/// A list of settings.
const ANY: (usize, usize) = (0, usize::MAX);
/// A port; 0 means any free one.
const PORT: (i64, i64) = (0, 65_535);
/// A time of at most a day, in seconds.
const SECONDS: (i64, i64) = (1, DAY_SECONDS);
const SECONDS_OR_NONE: (i64, i64) = (0, DAY_SECONDS);

pub(crate) static FILE: Object = Object {
    name: "appsettings",
    doc: "appsettings.json in the agent root, read at start. Keys may be written in any case; an unknown key has no effect and is a warning.",
    keys: &[
        Key::new("Settings", Shape::Object(&SETTINGS), "Settings of the agent."),
        Key::new("MqttBrokerSettings", Shape::Object(&BROKER), "Settings of the MQTT broker."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static SETTINGS: Object = Object {
    name: "settings",
    doc: "Settings of the agent.",
    keys: &[
        Key::number(
            "KestrelHttpPort",
            PORT,
            6888,
            "Port of plain HTTP on loopback, which serves /health; 0: any free one.",
        ),
        Key::number("KestrelHttpsPort", PORT, 6889, "Port of the HTTPS API on loopback; 0: any free one."),
        Key::new(
            "AlternativeSignatures",
            Shape::List(
                &Shape::Text(Text {
                    length: (40, usize::MAX),
                    ..Text::ANY.such_as("A1B2C3D4E5F6789012345678901234567890ABCD")
                }),
                ANY,
            ),
            "Thumbprints of signers' certificates: 40 (SHA-1) or 64 (SHA-256) hexadecimal digits. What one of them signed may connect although the agent did not start it, and plugins' files have to be signed by one.",
        ),
        Key::new(
            "AllowedNonAdminExecutables",
            Shape::List(&Shape::Text(Text::like(r"^[^/\\]+$").such_as("MyTool")), ANY),
            "Base names of executables that users other than root may run as trusted, if one of AlternativeSignatures signed them.",
        ),
        Key::new(
            "SessionUser",
            Shape::Text(Text::like(r"^[^/:\s]+$").such_as("alice")),
            "The account whose session User tasks run in, on machines without logind.",
        ),
        Key::new(
            "ElevationAccount",
            Shape::Text(Text::like(r"^[^/:\s]+$").such_as("operator")),
            "The account that programs of privilege elevation run as; root where it is not set.",
        ),
        Key::new(
            "SessionDisplay",
            Shape::Text(Text::like(r"^(:[0-9]{1,9}(\.[0-9]{1,9})?|wayland-[0-9]{1,9})$").such_as(":0")),
            "The display of SessionUser, for UserDesktop tasks on machines without logind.",
        ),
        Key::defaulting(
            "PluginPath",
            Shape::like(r"^[^/\\:][^:]*$"),
            "Plugins",
            "The plugin folder, below the agent root.",
        ),
        logging::level("system.logging.level"),
        logging::file_bytes("system.logging.fileBytes"),
        logging::file_hours("system.logging.fileHours"),
        logging::total_bytes("system.logging.totalBytes"),
        logging::client_rate("system.logging.clientRate"),
        logging::client_burst("system.logging.clientBurst"),
        logging::journal("system.logging.journal"),
        Key::new(
            "system",
            Shape::Object(&logging::SYSTEM),
            "The keys of system.logging, nested; none of them both ways.",
        ),
        Key::flag(
            "AllowElevatedWithoutCertificate",
            false,
            "Whether root counts as Admin without a client certificate.",
        ),
        Key::flag(
            "RequireSignedPolicies",
            false,
            "Whether only policies that one of AlternativeSignatures signed are applied.",
        ),
        Key::new("ConfigurationLkg", Shape::Object(&LKG), "Last Known Good."),
        Key::new(
            "PolicySource",
            Shape::Object(&POLICY_SOURCE),
            "From where a fleet is told its configuration policies.",
        ),
        Key::new(
            "Telemetry",
            Shape::Object(&TELEMETRY),
            "Whom logs, traces and metrics are told to (OpenTelemetry); only agents that were built with the feature otlp have it.",
        ),
        Key::new("PluginMonitoring", Shape::Object(&MONITORING), "How plugins are watched and started again."),
        Key::number("MaxConcurrentRuns", (1, MOST_RUNS), 16, "Runs at one time; further ones wait."),
        Key::number(
            "RunHistoryDays",
            (1, MOST_DAYS),
            30,
            "Days that runs stay in the history; failures stay three times as long.",
        ),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static LKG: Object = Object {
    name: "configurationLkg",
    doc: "Last Known Good.",
    keys: &[
        Key::flag("Enabled", true, "Whether files of jobs and plugins are restored from their reference copies."),
        Key::flag("AuditOnly", false, "Whether a changed file is reported only, and stays as it is."),
        Key::number("SweepSeconds", SECONDS, 60, "How often all files are compared, beyond what is watched."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static MONITORING: Object = Object {
    name: "pluginMonitoring",
    doc: "How plugins are watched and started again.",
    keys: &[
        Key::number(
            "IntervalSeconds",
            SECONDS,
            5,
            "How often health is looked at, beyond exits, which are seen at once.",
        ),
        Key::number(
            "RestartDelaySeconds",
            SECONDS_OR_NONE,
            1,
            "Before the first restart; doubles with each. 0: at once.",
        ),
        Key::number("RestartDelayMaxSeconds", SECONDS, 300, "The longest delay; at least RestartDelaySeconds."),
        Key::number("StableAfterSeconds", SECONDS, 60, "After so long a life the delay starts over."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static BROKER: Object = Object {
    name: "mqttBrokerSettings",
    doc: "Settings of the MQTT broker.",
    keys: &[
        Key::defaulting(
            "IpAddress",
            Shape::like(r"^(127(\.[0-9]{1,3}){3}|[Ll][Oo][Cc][Aa][Ll][Hh][Oo][Ss][Tt])$"),
            "127.0.0.1",
            "An IPv4 loopback address; the broker serves this machine alone.",
        ),
        Key::number("Port", PORT, 8675, "Port of the broker (TLS) on loopback; 0: any free one."),
        Key::defaulting(
            "DenialReason",
            Shape::Choice(&DENIAL_REASONS),
            "Silent",
            "Whether an MQTT 5.0 client is told that a publish was denied.",
        ),
        Key::number("MaxPacketBytes", PACKET_BYTES, 1 << 20, "The largest packet."),
        Key::number("MaxQueuedMessages", (1, MOST_QUEUED), 1000, "Messages that wait for one client."),
    ],
    rules: &[],
    others: Others::Kept,
};
