//! `appsettings.json`: the documented samples, each key's rule, and the one sentence for what is wrong.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::{Logging, Settings};
use crate::log_message::Level;

const SIGNATURES: &str = include_str!("../../tests/data/seed-001-settings-signatures.json");
const EXECUTABLES: &str = include_str!("../../tests/data/seed-001-settings-executables.json");

#[track_caller]
fn settings(file: &str) -> Settings {
    let (settings, warnings) = Settings::parse(Some(file.as_bytes())).unwrap_or_else(|error| panic!("{file}: {error}"));
    assert!(warnings.is_empty(), "{warnings:?}");
    settings
}

#[track_caller]
fn refused(file: &str, expect: &str) {
    assert_eq!(Settings::parse(Some(file.as_bytes())).unwrap_err().to_string(), expect);
}

#[test]
fn no_file_is_all_defaults() {
    let defaults = Settings::default();
    assert_eq!(Settings::parse(None), Ok((defaults.clone(), Vec::new())));
    assert_eq!(settings("{}"), defaults);
    assert_eq!(settings(r#"{"Settings":{},"MqttBrokerSettings":null}"#), defaults);
    assert_eq!((defaults.http_port, defaults.https_port, defaults.mqtt_port), (6888, 6889, 8675));
    assert!(defaults.configuration_lkg.enabled && !defaults.visible_denials);
}

#[test]
fn the_documented_settings() {
    assert_eq!(settings(SIGNATURES).alternative_signatures, ["a1b2c3d4e5f6789012345678901234567890abcd"]);
    assert_eq!(settings(EXECUTABLES).allowed_non_admin_executables, ["MyTool"]);
}

#[test]
fn everything_set() {
    let all = r#"{"settings":{"kestrelHttpPort":0,"KESTRELHTTPSPORT":65535,"PluginPath":"My/Plugins","system.logging.level":"trace",
        "AllowElevatedWithoutCertificate":true,"ConfigurationLkg":{"Enabled":false,"SweepSeconds":5},
        "PluginMonitoring":{"IntervalSeconds":1,"RestartDelaySeconds":2,"RestartDelayMaxSeconds":3,"StableAfterSeconds":4},
        "MaxConcurrentRuns":1,"RunHistoryDays":7},
        "MqttBrokerSettings":{"IpAddress":"127.0.0.2","Port":0,"DenialReason":"visible","MaxPacketBytes":2048,"MaxQueuedMessages":9}}"#;
    let found = settings(all);
    assert_eq!((found.http_port, found.https_port, found.mqtt_port), (0, 65535, 0));
    assert_eq!((found.logging.level, found.plugin_path.as_str()), (Level::Trace, "My/Plugins"));
    assert_eq!((found.configuration_lkg.enabled, found.configuration_lkg.sweep_seconds), (false, 5));
    assert_eq!((found.monitoring.interval_seconds, found.monitoring.restart_delay_seconds), (1, 2));
    assert_eq!((found.monitoring.restart_delay_max_seconds, found.monitoring.stable_after_seconds), (3, 4));
    assert_eq!((found.max_concurrent_runs, found.run_history_days), (1, 7));
    assert_eq!((found.max_packet_bytes, found.max_queued_messages), (2048, 9));
    assert!(found.visible_denials && found.allow_elevated_without_certificate && found.mqtt_address.is_loopback());
    let flat = found.flat();
    for (key, value) in [
        ("KestrelHttpsPort", "65535"),
        ("system.logging.level", "Trace"),
        ("PluginMonitoring.StableAfterSeconds", "4"),
        ("MqttBrokerSettings.IpAddress", "127.0.0.2"),
        ("MqttBrokerSettings.DenialReason", "Visible"),
        ("AlternativeSignatures", "[]"),
    ] {
        assert_eq!(flat.get(key).map(String::as_str), Some(value), "{key}");
    }
}

#[test]
fn the_level_may_be_nested() {
    assert_eq!(settings(r#"{"Settings":{"System":{"Logging":{"Level":"Debug"}}}}"#).logging.level, Level::Debug);
    refused(
        r#"{"Settings":{"system":{"logging":{"level":"Debug"}},"system.logging.level":"Error"}}"#,
        "appsettings.json: Settings:system:logging:level is 'Debug'; it must be given once, not also as 'system.logging.level'.",
    );
}

#[test]
fn logging_is_read_both_ways_and_held_to_its_bounds() {
    let dotted = r#"{"Settings":{"system.logging.fileBytes":2097152,"SYSTEM.logging.filehours":1,"system.logging.totalBytes":4194304,
        "system.logging.clientRate":7,"system.logging.clientBurst":8,"system.logging.journal":""}}"#;
    let nested = r#"{"Settings":{"system":{"logging":{"fileBytes":2097152,"fileHours":1,"totalBytes":4194304,
        "clientRate":7,"clientBurst":8,"journal":""}}}}"#;
    for file in [dotted, nested] {
        let Logging { level, files, client, journal } = settings(file).logging;
        assert_eq!((level, journal), (Level::Information, None));
        assert_eq!((files.file_bytes, files.file_hours, files.total_bytes), (2 << 20, 1, 4 << 20));
        assert_eq!((client.per_second, client.burst), (7, 8));
        assert_eq!(settings(file).flat()["system.logging.totalBytes"], "4194304");
    }
    assert_eq!(
        Settings::default().origins(nested.as_bytes()).get("system.logging.fileHours").map(String::as_str),
        Some("/Settings/system/logging/fileHours")
    );
    refused(
        r#"{"Settings":{"system.logging.totalBytes":33554431}}"#,
        "appsettings.json: Settings:system.logging.totalBytes is 33554431; it must be at least twice fileBytes, which is 33554432.",
    );
    refused(
        r#"{"Settings":{"system.logging.journal":"journal"}}"#,
        "appsettings.json: Settings:system.logging.journal is 'journal'; it must be the absolute path of a socket, or empty.",
    );
}

#[test]
fn thumbprints_as_viewers_show_them() {
    let spaced = "\u{200e}A1 b2:c3 D4E5F6789012345678901234567890ABCD";
    let twice = format!(
        r#"{{"Settings":{{"AlternativeSignatures":["{spaced}","A1B2C3D4E5F6789012345678901234567890ABCD","{}"]}}}}"#,
        "0".repeat(64)
    );
    assert_eq!(settings(&twice).alternative_signatures, ["a1b2c3d4e5f6789012345678901234567890abcd", &"0".repeat(64)]);
    refused(
        r#"{"Settings":{"AlternativeSignatures":["A1B2"]}}"#,
        "appsettings.json: Settings:AlternativeSignatures:0 is 'A1B2'; it must be 40 (SHA-1) or 64 (SHA-256) hexadecimal digits of a certificate.",
    );
}

/// Files and what is said about them, behind the file's name.
const WRONG: &[(&str, &str)] = &[
    (
        r#"{"Settings":{"KestrelHttpPort":65536}}"#,
        "Settings:KestrelHttpPort is 65536; it must be a whole number from 0 to 65535.",
    ),
    (
        r#"{"Settings":{"KestrelHttpPort":"6888"}}"#,
        "Settings:KestrelHttpPort is '6888'; it must be a whole number from 0 to 65535.",
    ),
    (
        r#"{"Settings":{"KestrelHttpPort":1.5}}"#,
        "Settings:KestrelHttpPort is 1.5; it must be a whole number from 0 to 65535.",
    ),
    (
        r#"{"Settings":{"KestrelHttpPort":8675}}"#,
        "MqttBrokerSettings:Port is 8675; it must be a port of its own; Settings:KestrelHttpPort has the same.",
    ),
    (r#"{"Settings":[]}"#, "Settings is an array; it must be an object."),
    ("5", "the document is a number; it must be an object."),
    (
        r#"{"Settings":{"AlternativeSignatures":"x"}}"#,
        "Settings:AlternativeSignatures is 'x'; it must be an array of texts.",
    ),
    (
        r#"{"Settings":{"AllowedNonAdminExecutables":["a",5]}}"#,
        "Settings:AllowedNonAdminExecutables:1 is 5; it must be a text.",
    ),
    (
        r#"{"Settings":{"AllowedNonAdminExecutables":["/bin/a"]}}"#,
        "Settings:AllowedNonAdminExecutables:0 is '/bin/a'; it must be the base name of an executable, without folders.",
    ),
    (
        r#"{"Settings":{"PluginPath":"../x"}}"#,
        "Settings:PluginPath is '../x'; it must be a folder below the agent root, such as 'Plugins', and not in Jobs, Policies or state.",
    ),
    (
        r#"{"Settings":{"PluginPath":"state/lkg"}}"#,
        "Settings:PluginPath is 'state/lkg'; it must be a folder below the agent root, such as 'Plugins', and not in Jobs, Policies or state.",
    ),
    (
        r#"{"Settings":{"PluginPath":"/x"}}"#,
        "Settings:PluginPath is '/x'; it must be a folder below the agent root, such as 'Plugins', and not in Jobs, Policies or state.",
    ),
    (
        r#"{"Settings":{"system.logging.level":"Loud"}}"#,
        "Settings:system.logging.level is 'Loud'; it must be one of Critical, Error, Warning, Information, Debug, Trace.",
    ),
    (
        r#"{"Settings":{"ConfigurationLkg":{"Enabled":"no"}}}"#,
        "Settings:ConfigurationLkg:Enabled is 'no'; it must be true or false.",
    ),
    (
        r#"{"Settings":{"PluginMonitoring":{"RestartDelaySeconds":500}}}"#,
        "Settings:PluginMonitoring:RestartDelayMaxSeconds is 300; it must be at least RestartDelaySeconds, which is 500.",
    ),
    (
        r#"{"Settings":{"MaxConcurrentRuns":0}}"#,
        "Settings:MaxConcurrentRuns is 0; it must be a whole number from 1 to 1000.",
    ),
    (
        r#"{"MqttBrokerSettings":{"IpAddress":"0.0.0.0"}}"#,
        "MqttBrokerSettings:IpAddress is '0.0.0.0'; it must be an IPv4 loopback address, such as 127.0.0.1; the broker serves this machine alone.",
    ),
    (
        r#"{"MqttBrokerSettings":{"DenialReason":"Loud"}}"#,
        "MqttBrokerSettings:DenialReason is 'Loud'; it must be one of Silent, Visible.",
    ),
    (
        r#"{"MqttBrokerSettings":{"MaxPacketBytes":{}}}"#,
        "MqttBrokerSettings:MaxPacketBytes is an object; it must be a whole number from 1024 to 268435455.",
    ),
];

#[test]
fn what_is_wrong_is_said_in_one_sentence() {
    for (file, expect) in WRONG {
        refused(file, &format!("appsettings.json: {expect}"));
    }
    refused("{\"Settings\":\n  {\"a\" 1}}", "appsettings.json, line 2, column 8: expected `:`");
    refused("", "appsettings.json, line 1, column 0: EOF while parsing a value");
    for address in ["::1", "::ffff:127.0.0.1", "10.0.0.1", "example.com", "127.0.0.1:8675", ""] {
        assert!(
            Settings::parse(Some(format!(r#"{{"MqttBrokerSettings":{{"IpAddress":"{address}"}}}}"#).as_bytes()))
                .is_err(),
            "{address}"
        );
    }
    assert!(settings(r#"{"MqttBrokerSettings":{"IpAddress":"LocalHost"}}"#).mqtt_address.is_loopback());
}

/// What a plugin learns over the API is what the agent goes by; what it does not learn is not taken for off.
#[test]
fn whose_signatures_count_survives_being_shown() {
    for file in [
        "{}",
        r#"{"Settings":{"RequireSignedPolicies":true}}"#,
        r#"{"Settings":{"AlternativeSignatures":["A1B2 C3D4 E5F6 7890 1234 5678 9012 3456 7890 ABCD"],"RequireSignedPolicies":true}}"#,
    ] {
        let in_force = settings(file);
        let learned = Settings::of_signatures(&in_force.flat()).unwrap();
        assert_eq!(learned.alternative_signatures, in_force.alternative_signatures, "{file}");
        assert_eq!(learned.require_signed_policies, in_force.require_signed_policies, "{file}");
    }
    for key in ["AlternativeSignatures", "RequireSignedPolicies"] {
        let mut shown = Settings::default().flat();
        shown.insert(key.to_string(), String::from("perhaps"));
        assert!(Settings::of_signatures(&shown).is_err(), "{key}");
        shown.remove(key);
        let error = Settings::of_signatures(&shown).unwrap_err().to_string();
        assert!(error.contains(key), "{error}");
    }
}

#[test]
fn logging_that_is_nested_by_halves_is_told_its_flat_keys() {
    let halves = r#"{"Settings":{"System.Logging":{"clientRate":7,"journal":"","fileByte":1}}}"#;
    let (_, warnings) = Settings::parse(Some(halves.as_bytes())).unwrap();
    let messages: Vec<String> = warnings.into_iter().map(|warning| warning.message).collect();
    assert_eq!(
        messages,
        [
            "appsettings.json: 'Settings:System.Logging' is not known (did you mean 'system.logging.clientRate', 'system.logging.journal'?) and has no effect."
        ]
    );
}

#[test]
fn unknown_keys_are_warnings() {
    let file = r#"{"Serilog":{},"Setings":{},"Settings":{"KestrelHtpPort":1,"ConfigurationLkg":{"enable":true}}}"#;
    let (found, warnings) = Settings::parse(Some(file.as_bytes())).unwrap();
    assert_eq!(found, Settings::default());
    let messages: Vec<String> =
        warnings.into_iter().map(|warning| format!("{} {}", warning.path, warning.message)).collect();
    assert_eq!(
        messages,
        [
            "/Settings/ConfigurationLkg/enable appsettings.json: 'Settings:ConfigurationLkg:enable' is not known (did you mean 'Enabled'?) and has no effect.",
            "/Settings/KestrelHtpPort appsettings.json: 'Settings:KestrelHtpPort' is not known (did you mean 'KestrelHttpPort'?) and has no effect.",
            "/Serilog appsettings.json: 'Serilog' is not known and has no effect.",
            "/Setings appsettings.json: 'Setings' is not known (did you mean 'Settings'?) and has no effect.",
        ]
    );
}

/// Policy sources that are refused, and what is said behind the file's name.
const WRONG_SOURCES: &[(&str, &str)] = &[
    (r#""/srv""#, "Settings:PolicySource is a text; it must be an object."),
    ("{}", "Settings:PolicySource is an object; it must be one with exactly one of Folder, Url and Mqtt."),
    (
        r#"{"Folder":"/srv","Url":"https://a/b"}"#,
        "Settings:PolicySource is an object; it must be one with exactly one of Folder, Url and Mqtt.",
    ),
    (r#"{"Folder":"srv"}"#, "Settings:PolicySource:Folder is 'srv'; it must be an absolute path."),
    (r#"{"Url":"http://a/b"}"#, "Settings:PolicySource:Url is 'http://a/b'; it must be an https URL."),
    (
        r#"{"Url":"https://me:secret@a/b"}"#,
        "Settings:PolicySource:Url is 'https://me:secret@a/b'; it must be an https URL; it has user information before the host; send credentials in a header field.",
    ),
    (
        r#"{"Url":"https://a/b","ClientKey":"/k"}"#,
        "Settings:PolicySource:ClientKey is given; it must be accompanied by ClientCertificate.",
    ),
    (
        r#"{"Url":"https://a/b"}"#,
        "Settings:PolicySource is 'https://a:443/b'; it must be accompanied by Settings:AlternativeSignatures, which says whose bundles count: what comes over a network must be signed.",
    ),
    (r#"{"Mqtt":{"Topic":"t"}}"#, "Settings:PolicySource:Mqtt:Host is not given; it must be the name of a broker."),
    (
        r#"{"Mqtt":{"Host":"tls://b","Topic":"t"}}"#,
        "Settings:PolicySource:Mqtt:Host is 'tls://b'; it must be the name of a broker, without scheme and port.",
    ),
    (
        r#"{"Mqtt":{"Host":"b","Topic":"t/#"}}"#,
        "Settings:PolicySource:Mqtt:Topic is 't/#'; it must be a topic name, without + and #.",
    ),
    (
        r#"{"Mqtt":{"Host":"b","Topic":"t","PasswordFile":"p"}}"#,
        "Settings:PolicySource:Mqtt:PasswordFile is 'p'; it must be an absolute path.",
    ),
    (
        r#"{"Mqtt":{"Host":"b","Topic":"t","PasswordFile":"/p"}}"#,
        "Settings:PolicySource:Mqtt:PasswordFile is given; it must be accompanied by UserName.",
    ),
    (
        r#"{"Folder":"/srv","PollSeconds":0}"#,
        "Settings:PolicySource:PollSeconds is 0; it must be a whole number from 1 to 86400.",
    ),
];

#[test]
fn policy_sources() {
    for (source, expect) in WRONG_SOURCES {
        refused(&format!(r#"{{"Settings":{{"PolicySource":{source}}}}}"#), &format!("appsettings.json: {expect}"));
    }
    let pin = "ab".repeat(20);
    let with = |source: &str| {
        settings(&format!(r#"{{"Settings":{{"AlternativeSignatures":["{pin}"],"policysource":{source}}}}}"#))
    };
    let found = with(r#"{"url":"HTTPS://Fleet.example.com/b?c","pollseconds":60,"Bundle":"eu"}"#);
    let source = found.policy_source.clone().unwrap();
    assert_eq!((source.to_string().as_str(), source.poll_seconds), ("https://fleet.example.com:443/b?c", 60));
    let flat = found.flat();
    assert_eq!(flat.get("PolicySource.Url").map(String::as_str), Some("https://fleet.example.com:443/b?c"));
    assert_eq!(flat.get("PolicySource.Bundle").map(String::as_str), Some("eu"));
    let found = with(r#"{"Mqtt":{"Host":"b","Topic":"fleet/eu"}}"#).flat();
    let shown: Vec<&str> =
        found.iter().filter(|(key, _)| key.starts_with("PolicySource")).map(|(_, value)| value.as_str()).collect();
    assert_eq!(shown, ["b", "8883", "fleet/eu"]);
}

/// Sections `Telemetry` that are refused, with what is said of them.
const WRONG_COLLECTORS: [(&str, &str); 7] = [
    (
        "{}",
        "Endpoint is not given; it must be the base URL of a collector: https, or http to 127.0.0.1, [::1] or localhost.",
    ),
    (
        r#"{"Endpoint":"http://collector:4318"}"#,
        "Endpoint is 'http://collector:4318'; it must be the base URL of a collector: https, or http to 127.0.0.1, [::1] or localhost.",
    ),
    (
        r#"{"Endpoint":"https://c/?token=1"}"#,
        "Endpoint is 'https://c/?token=1'; it must be the base URL of a collector: https, or http to 127.0.0.1, [::1] or localhost.",
    ),
    (
        r#"{"Endpoint":"c:4318"}"#,
        "Endpoint is 'c:4318'; it must be the base URL of a collector: https, or http to 127.0.0.1, [::1] or localhost; it does not start with https:// or http://.",
    ),
    (r#"{"Endpoint":"https://c","HeadersFile":"h"}"#, "HeadersFile is 'h'; it must be an absolute path."),
    (
        r#"{"Endpoint":"https://c","IntervalSeconds":0}"#,
        "IntervalSeconds is 0; it must be a whole number from 1 to 86400.",
    ),
    (
        r#"{"Endpoint":"https://c","ClientKey":"/k"}"#,
        "ClientKey is given; it must be accompanied by ClientCertificate.",
    ),
];

#[test]
fn collectors_of_telemetry() {
    for (section, expect) in WRONG_COLLECTORS {
        let expect = format!("appsettings.json: Settings:Telemetry:{expect}");
        refused(&format!(r#"{{"Settings":{{"Telemetry":{section}}}}}"#), &expect);
    }
    let found = settings(r#"{"Settings":{"telemetry":{"endpoint":"http://LocalHost:4318/otlp","logs":false}}}"#);
    let telemetry = found.telemetry.clone().unwrap();
    assert_eq!((telemetry.endpoint.tls, telemetry.endpoint.target.as_str()), (false, "/otlp"));
    assert_eq!(
        (telemetry.logs, telemetry.traces, telemetry.metrics, telemetry.interval_seconds),
        (false, true, true, 60)
    );
    let flat = found.flat();
    assert_eq!(flat.get("Telemetry.Endpoint").map(String::as_str), Some("http://localhost:4318/otlp"));
    assert_eq!(flat.get("Telemetry.Logs").map(String::as_str), Some("false"));
}
