//! The keys of a policy in the shapes that occur (privilege flow, section 1; contract section 8): those that configure, and those about
//! privileges.

use crate::job::parse::keys::{LIST, SOME};
use crate::policy::effect::CONTROLS;
use crate::policy::envelope::{STATUSES, TYPES};
use crate::policy::filter::COMPARISONS;
use crate::policy::parse::OPERATORS;
use crate::shape::{Key, Object, Others, Shape, Text};

const ACTIONS: [&str; 3] = ["Add", "Update", "Delete"];

/// A document inside the policy.
const DOCUMENT: Shape = Shape::AnyOf(&[Shape::Map("", &Shape::Any), Shape::TEXT]);
const TEXTS: Shape = Shape::List(&Shape::TEXT, LIST);
const CONTROL_LIST: Shape = Shape::List(&Shape::Choice(&CONTROLS), LIST);
const DATE: Shape =
    Shape::AnyOf(&[Shape::Text(Text::ANY.such_as("2026-01-01")), Shape::Integer(i64::MIN, i64::MAX), Shape::Null]);
const TIME: Shape = Shape::AnyOf(&[
    Shape::Text(Text::like("^([01]?[0-9]|2[0-4])(:[0-5][0-9](:[0-5][0-9])?)?$").such_as("9")),
    Shape::Integer(0, 24),
    Shape::Null,
]);

pub(crate) static POLICY: Object = Object {
    name: "policy",
    doc: "A policy: Policies/*.json. PrivilegeElevation, CommandLine and FileAccess say who may do what; JobUpdate, SettingsUpdate and UpdateSettings are applied; other types are kept, and not enforced here. Keys may be written in any case.",
    keys: &[
        Key::new("PolicyId", Shape::TEXT, "Stable identifier."),
        Key::new("PolicyName", Shape::TEXT, "What people call it."),
        Key::required(
            "PolicyType",
            Shape::AnyOf(&[Shape::Choice(&TYPES), Shape::TEXT]),
            "What is decided, or what is configured.",
        ),
        Key::new(
            "Status",
            Shape::Choice(&STATUSES),
            "off, disabled: not evaluated. monitor: audit alone. monitor_and_notify: audit and a notice. enforce, enabled: acts. Policies about privileges need it. Of policies that configure, these two are applied, as is one without Status.",
        ),
        Key::new("Actions", Shape::Object(&ACTIONS_TABLE), "What follows where it matches, and where not."),
        Key::new("OnSuccess", Shape::Object(&ON_SUCCESS), "The same as Actions.OnSuccess."),
        Key::new("Controls", CONTROL_LIST, "The same as Actions.OnSuccess.Controls."),
        Key::new("NotificationMessage", Shape::TEXT, "What the user is told."),
        Key::flag("NotificationRequiresAcknowledge", false, "Whether the user has to confirm the notice."),
        Key::number("RiskLevel", (0, 100), 50, "How risky the action is."),
        Key::defaulting("Operator", Shape::Choice(&OPERATORS), "And", "Whether all rules have to hold, or one."),
        Key::new(
            "Rules",
            Shape::List(&Shape::Object(&RULE), LIST),
            "Which lists count: one counts only if its rule is given too. With Expressions a rule compares by itself.",
        ),
        Key::new(
            "UserCheck",
            TEXTS,
            "For CheckUser(): user names, DOMAIN\\user, @group, collections, *; empty: everybody.",
        ),
        Key::new("MachineCheck", TEXTS, "For CheckMachine(): host names, collections, *."),
        Key::new(
            "ApplicationCheck",
            TEXTS,
            "For CheckFile(false): paths, file names, collections; * stays within one segment of a path, and alone means all.",
        ),
        Key::new(
            "DateCheck",
            Shape::List(&Shape::Object(&DATES), LIST),
            "For CheckDate(): either end may be open, both are inclusive.",
        ),
        Key::new(
            "TimeCheck",
            Shape::List(&Shape::Object(&TIMES), LIST),
            "For CheckTime(): local time, the end is exclusive.",
        ),
        Key::new("DayCheck", Shape::List(&Shape::Integer(0, 6), LIST), "For CheckDay(): 0 is Sunday."),
        Key::new("CertificationCheck", TEXTS, "For CheckCertificate(): thumbprints of signers."),
        Key::new("Filters", Shape::Object(&FILTERS), "The same filters, nested; these count without rules."),
        Key::new("Extension", Shape::Object(&EXTENSION), "What only some types have."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static ACTIONS_TABLE: Object = Object {
    name: "actions",
    doc: "What follows.",
    keys: &[
        Key::new("OnSuccess", Shape::Object(&ON_SUCCESS), "Where the policy matches."),
        Key::new("OnFailure", Shape::Object(&ON_FAILURE), "Where it does not."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static ON_SUCCESS: Object = Object {
    name: "onSuccess",
    doc: "Where the policy matches.",
    keys: &[Key::new("Controls", CONTROL_LIST, "What is required or done.")],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static ON_FAILURE: Object = Object {
    name: "onFailure",
    doc: "Where the policy does not match.",
    keys: &[Key::new("Command", Shape::TEXT, "What is run.")],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static RULE: Object = Object {
    name: "rule",
    doc: "A rule: a built-in check, or expressions.",
    keys: &[
        Key::new("RuleName", Shape::TEXT, "What people call it."),
        Key::new("ErrorMessage", Shape::TEXT, "What is said where it does not hold."),
        Key::new("RuleExpressionType", Shape::Text(Text::ANY.such_as("BuiltInAction")), "BuiltInAction."),
        Key::new("Expression", Shape::Text(Text::ANY.such_as("CheckUser()")), "The check."),
        Key::new("Operator", Shape::Choice(&OPERATORS), "Whether all expressions have to hold, or one."),
        Key::new("Expressions", Shape::List(&Shape::Object(&EXPRESSION), LIST), "Expressions."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static EXPRESSION: Object = Object {
    name: "expression",
    doc: "A comparison.",
    keys: &[
        Key::required(
            "Type",
            Shape::Choice(&COMPARISONS),
            "How the command line or the file's path is compared, letter for letter.",
        ),
        Key::required("Value", Shape::TEXT, "What it is held against."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static DATES: Object = Object {
    name: "dates",
    doc: "A span of days.",
    keys: &[
        Key::new("StartDate", DATE, "First day: an ISO date, or seconds since 1970."),
        Key::new("EndDate", DATE, "Last day: an ISO date, or seconds since 1970."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static TIMES: Object = Object {
    name: "times",
    doc: "A span of a day; one whose start is later than its end goes over midnight.",
    keys: &[
        Key::new("StartTime", TIME, "Whole hours, or HH:MM:SS."),
        Key::new("EndTime", TIME, "Whole hours, or HH:MM:SS."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static FILTERS: Object = Object {
    name: "filters",
    doc: "The filters, nested.",
    keys: &[
        Key::new("UserCheck", Shape::Object(&USERS), "The users it applies to."),
        Key::new("MachineCheck", Shape::Object(&MACHINES), "The machines it applies to."),
        Key::new("ApplicationCheck", Shape::Object(&APPLICATIONS), "The programs it applies to."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static USERS: Object = Object {
    name: "users",
    doc: "Users.",
    keys: &[Key::new("Users", TEXTS, "As UserCheck.")],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static MACHINES: Object = Object {
    name: "machines",
    doc: "Machines.",
    keys: &[Key::new("Machines", TEXTS, "As MachineCheck.")],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static APPLICATIONS: Object = Object {
    name: "applications",
    doc: "Applications.",
    keys: &[Key::new("Applications", TEXTS, "As ApplicationCheck.")],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static EXTENSION: Object = Object {
    name: "extension",
    doc: "What only some types of policies have.",
    keys: &[
        Key::new("Folders", TEXTS, "Beginnings of paths that match, without wildcards; end a folder with /."),
        Key::new(
            "AllowCommands",
            TEXTS,
            "The commands that match, as for a shell; without arguments whatever they are, * for any argument, a last * for all others.",
        ),
        Key::new("Approvers", Shape::Object(&APPROVERS), "Who may approve."),
        Key::new("Action", Shape::Choice(&ACTIONS), "Of JobUpdate: what is done with the job."),
        Key::new("JobId", Shape::TEXT, "Of JobUpdate: the job; Delete needs it, else it is the id in JobJson."),
        Key::new(
            "JobJson",
            DOCUMENT,
            "Of JobUpdate, for Add and Update: the job, as an object or as a text that holds one.",
        ),
        Key::new(
            "PluginId",
            Shape::TEXT,
            "Of SettingsUpdate: the plugin; Settings needs it, else it is the id in SettingsJson.",
        ),
        Key::new(
            "SettingsJson",
            DOCUMENT,
            "Of SettingsUpdate: replaces the plugin's whole file; an object, or a text that holds one.",
        ),
        Key::new(
            "Settings",
            Shape::Map("", &Shape::Any),
            "Of SettingsUpdate, instead of SettingsJson: values that count over the plugin's file and under what is stored.",
        ),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(crate) static APPROVERS: Object = Object {
    name: "approvers",
    doc: "Who may approve: so many of each group.",
    keys: &[
        Key::new("groups", Shape::List(&Shape::List(&Shape::TEXT, SOME), LIST), "Groups of names."),
        Key::number("required", (1, 1000), 1, "How many of each group."),
    ],
    rules: &[],
    others: Others::Kept,
};
