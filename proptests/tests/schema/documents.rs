//! Valid documents in which every object that a schema describes occurs, and where it stands.

use castellan_core::schema::Document;
use serde_json::{Value, json};

/// The name below `$defs` (empty: the document itself), a document, and the pointer to an object of that kind.
type Whole = (&'static str, Value, &'static str);

/// For each kind of document, documents with one of everything.
pub(crate) fn wholes() -> Vec<(Document, Vec<Whole>)> {
    vec![
        (Document::Job, jobs()),
        (Document::Plugin, plugins()),
        (Document::Settings, settings()),
        (Document::Policy, policies()),
        (Document::Test, cases()),
    ]
}

fn job(schedule: &Value, condition: &Value) -> Value {
    json!({
        "id": "j", "name": "J", "description": "d", "enabled": true, "priority": 5, "schedule": schedule,
        "events": ["Startup", { "eventType": "Custom", "customEvent": "Go" }, { "eventType": "Named" }],
        "eventTopic": "Jobs/j/events", "osFilter": { "windows": true, "linux": true, "macOS": true },
        "mqttTopics": { "allowedPublications": ["Jobs/j/events"], "allowedSubscriptions": ["a/+"] },
        "parameters": [ { "name": "p", "type": "string", "description": "d", "default": "x", "required": false, "secret": true },
            { "name": "q", "type": "integer", "defaultValue": 5 } ],
        "condition": condition, "alternateJobId": "other", "overlap": "skip", "missedRuns": "runOnce",
        "tasks": [
            { "id": "t", "name": "T", "description": "d", "executionType": "Service", "command": "c", "executablePath": "/bin/c",
                "arguments": "-a", "timeoutSeconds": 5, "continueOnFailure": true, "scriptType": "Auto", "onSuccess": "u",
                "onFailure": "stop", "condition": "a > 5", "osFilter": { "linux": true }, "mergeStdoutJsonIntoContext": true,
                "skipWhenPluginSettingFalse": { "plugin": "P", "setting": "a.b" }, "contextWhenSkipped": { "a": [1] },
                "workingDirectory": "/tmp", "environment": { "A": "b", "N": 5, "B": true },
                "retry": { "attempts": 2, "delaySeconds": 1 }, "limits": limits() },
            { "id": "u", "ExecutionType": "Http", "method": "POST", "url": "https://h/{p}", "headers": { "X-A": "b" },
                "body": { "a": 1 }, "expectStatus": [200, 201], "skipWhenPluginSettingFalse": "P:a",
                "MergeStdoutJsonIntoContext": true, "ContinueOnFailure": true, "OnSuccess": "end", "OnFailure": "end",
                "ContextWhenSkipped": {}, "scriptType": "None" },
            { "id": "v", "ExecutionType": "Service", "command": "c", "skipWhenPluginSettingFalse": "P:a" }
        ]
    })
}

fn limits() -> Value {
    json!({ "memoryMiB": 64, "cpuPercent": 150, "tasks": 5 })
}

fn jobs() -> Vec<Whole> {
    let every = json!({ "intervalMinutes": 5 });
    let calendar = json!({ "calendar": [ { "time": "03:00", "daysOfWeek": ["Mon", "sunday"], "daysOfMonth": [1, -1] } ], "timeZone": "UTC" });
    let leaf = json!({ "type": "In", "key": "a", "value": ["x", 1, null], "description": "d" });
    let plain = json!("a > 5");
    let operator = json!({ "operator": "Not", "expressions": [leaf], "description": "d" });
    let with = |name, condition: &Value, place| (name, job(&every, condition), place);
    vec![
        with("", &plain, ""),
        with("task", &plain, "/tasks/0"),
        with("task", &plain, "/tasks/1"),
        with("task", &plain, "/tasks/2"),
        with("retry", &plain, "/tasks/0/retry"),
        with("limits", &plain, "/tasks/0/limits"),
        with("pluginSetting", &plain, "/tasks/0/skipWhenPluginSettingFalse"),
        with("osFilter", &plain, "/osFilter"),
        with("mqttTopics", &plain, "/mqttTopics"),
        with("event", &plain, "/events/1"),
        with("event", &plain, "/events/2"),
        with("parameter", &plain, "/parameters/0"),
        with("parameter", &plain, "/parameters/1"),
        with("conditionExpression", &json!({ "expression": "a > 5", "description": 5 }), "/condition"),
        with("conditionOperator", &operator, "/condition"),
        with("conditionLeaf", &leaf, "/condition"),
        with("conditionLeaf", &json!({ "type": "Exists", "key": "a" }), "/condition"),
        with("schedule", &plain, "/schedule"),
        ("schedule", job(&json!({ "cronExpression": "0 3 * * *", "timeZone": "UTC" }), &plain), "/schedule"),
        ("schedule", job(&json!({ "runAt": "2026-12-24T02:00:00Z" }), &plain), "/schedule"),
        ("schedule", job(&calendar, &plain), "/schedule"),
        ("calendarEntry", job(&calendar, &plain), "/schedule/calendar/0"),
    ]
}

fn plugins() -> Vec<Whole> {
    let plugin = json!({
        "id": "P", "name": "P", "description": "d", "version": "1", "pluginType": "Executable", "executablePath": "bin/P/P",
        "arguments": "-a", "supportedPlatforms": ["Linux", "macOS"], "startupPriority": 5, "autoStart": true,
        "Subscription": { "Topic": "P", "Qos": 1, "CleanSession": false },
        "metadata": { "mqttRole": [], "mqttTopics": { "publish": ["a"], "subscribe": ["b/#"] } },
        "executionContext": "Service", "requiresMonitoring": true, "autoRestart": true, "enabled": false, "secretSettings": ["metadata.token"],
        "requires": ["Q"], "healthCheck": { "topic": "P/Health", "intervalSeconds": 5, "timeoutSeconds": 2 }, "limits": limits()
    });
    let places = [
        ("", ""),
        ("subscription", "/Subscription"),
        ("metadata", "/metadata"),
        ("healthCheck", "/healthCheck"),
        ("limits", "/limits"),
        ("mqttTopics", "/metadata/mqttTopics"),
    ];
    places.map(|(name, place)| (name, plugin.clone(), place)).into()
}

fn settings() -> Vec<Whole> {
    let settings = |level: Value| {
        let mut settings = json!({
            "Settings": {
                "KestrelHttpPort": 100, "KestrelHttpsPort": 101, "AlternativeSignatures": ["A1B2C3D4E5F6789012345678901234567890ABCD"],
                "AllowedNonAdminExecutables": ["MyTool"], "PluginPath": "Plugins", "AllowElevatedWithoutCertificate": true,
                "RequireSignedPolicies": true, "ElevationAccount": "operator",
                "ConfigurationLkg": { "Enabled": false, "SweepSeconds": 5 },
                "PluginMonitoring": { "IntervalSeconds": 5, "RestartDelaySeconds": 1, "RestartDelayMaxSeconds": 86_400, "StableAfterSeconds": 5 },
                "MaxConcurrentRuns": 5, "RunHistoryDays": 5,
                "PolicySource": {
                    "Mqtt": { "Host": "broker.example.com", "Port": 5, "Topic": "fleet", "ClientId": "machine", "UserName": "me", "PasswordFile": "/etc/password" },
                    "Bundle": "eu", "PollSeconds": 5, "TrustedCertificates": "/etc/ca.pem", "ClientCertificate": "/etc/me.pem", "ClientKey": "/etc/me.key"
                },
                "Telemetry": {
                    "Endpoint": "https://collector.example.com:4318", "HeadersFile": "/etc/headers", "IntervalSeconds": 5,
                    "Logs": false, "Traces": false, "Metrics": false, "TrustedCertificates": "/etc/ca.pem", "ClientCertificate": "/etc/me.pem", "ClientKey": "/etc/me.key"
                }
            },
            "MqttBrokerSettings": { "IpAddress": "127.0.0.1", "Port": 102, "DenialReason": "Visible", "MaxPacketBytes": 5000, "MaxQueuedMessages": 5 }
        });
        settings["Settings"].as_object_mut().unwrap().extend(level.as_object().unwrap().clone());
        settings
    };
    let logging = json!({ "level": "Debug", "fileBytes": 1 << 20, "fileHours": 5, "totalBytes": 1_u64 << 40, "clientRate": 5, "clientBurst": 5,
        "journal": "/run/systemd/journal/socket" });
    let members = logging.as_object().unwrap().iter();
    let members: serde_json::Map<String, Value> =
        members.map(|(name, value)| (format!("system.logging.{name}"), value.clone())).collect();
    let dotted = settings(members.into());
    let nested = settings(json!({ "system": { "logging": logging } }));
    vec![
        ("", dotted.clone(), ""),
        ("settings", dotted.clone(), "/Settings"),
        ("configurationLkg", dotted.clone(), "/Settings/ConfigurationLkg"),
        ("pluginMonitoring", dotted.clone(), "/Settings/PluginMonitoring"),
        ("policySource", dotted.clone(), "/Settings/PolicySource"),
        ("policyTopic", dotted.clone(), "/Settings/PolicySource/Mqtt"),
        ("telemetry", dotted.clone(), "/Settings/Telemetry"),
        ("mqttBrokerSettings", dotted, "/MqttBrokerSettings"),
        ("system", nested.clone(), "/Settings/system"),
        ("logging", nested, "/Settings/system/logging"),
    ]
}

fn policies() -> Vec<Whole> {
    let filters = json!({ "UserCheck": { "Users": ["a"] }, "MachineCheck": { "Machines": ["*"] }, "ApplicationCheck": { "Applications": ["*"] } });
    let policy = json!({
        "PolicyId": "p", "PolicyName": "P", "PolicyType": "PrivilegeElevation", "Status": "Enforce",
        "Actions": { "OnSuccess": { "Controls": ["MFA"] }, "OnFailure": { "Command": "c" } }, "OnSuccess": { "Controls": ["mfa"] },
        "Rules": [ { "RuleName": "r", "Expression": "CheckUser()" }, { "Operator": "And", "Expressions": [ { "Type": "Contains", "Value": "x" } ] } ],
        "DateCheck": [ { "StartDate": "2026-01-01", "EndDate": 5 } ], "TimeCheck": [ { "StartTime": "9", "EndTime": "18:30:00" } ],
        "Filters": filters, "Extension": { "Folders": ["/opt/"], "AllowCommands": ["ls *"], "Approvers": { "groups": [["a"]], "required": 1 } }
    });
    let places = [
        ("", ""),
        ("actions", "/Actions"),
        ("onSuccess", "/Actions/OnSuccess"),
        ("onFailure", "/Actions/OnFailure"),
        ("rule", "/Rules/0"),
        ("expression", "/Rules/1/Expressions/0"),
        ("dates", "/DateCheck/0"),
        ("times", "/TimeCheck/0"),
        ("filters", "/Filters"),
        ("users", "/Filters/UserCheck"),
        ("machines", "/Filters/MachineCheck"),
        ("applications", "/Filters/ApplicationCheck"),
        ("extension", "/Extension"),
        ("approvers", "/Extension/Approvers"),
    ];
    places.map(|(name, place)| (name, policy.clone(), place)).into()
}

fn cases() -> Vec<Whole> {
    let case = json!({
        "name": "n", "jobs": ["j.json"], "event": "Go", "context": { "a": 1 }, "at": "2026-01-01T00:00:00Z",
        "assume": { "t": { "ends": ["exit:1", "signal:9", "hang", "missing"], "stdout": { "a": 1 }, "seconds": 5 } },
        "expect": { "outcome": "Failed", "route": ["t"], "skipped": [], "context": { "a": 1 },
            "publishes": [ { "topic": "t", "payload": null } ], "refused": "r" }
    });
    let places = [("", ""), ("given", "/assume/t"), ("expectation", "/expect"), ("publication", "/expect/publishes/0")];
    places.map(|(name, place)| (name, case.clone(), place)).into()
}
