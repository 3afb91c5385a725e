//! The bytes of `appsettings.json` to [`Settings`].

pub(crate) mod keys;
mod logging;
mod policy_source;
mod telemetry;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::{ConfigError, ConfigurationLkg, Monitoring, Settings};
use crate::job::finding::{Finding, Report, quote};
use crate::json::Json;
use crate::json::read::{Field, ObjectReader, hint};
use crate::log_message::Level;
use crate::shape::Object;
use crate::user::desktop::is_display;

type Checked<T> = Result<T, ConfigError>;

const FILE: &str = "appsettings.json";

pub(crate) const LEVELS: [(&str, Level); 6] = [
    ("Critical", Level::Critical),
    ("Error", Level::Error),
    ("Warning", Level::Warning),
    ("Information", Level::Information),
    ("Debug", Level::Debug),
    ("Trace", Level::Trace),
];

/// Whether a client is told that a publish was denied.
const DENIAL_REASONS: [(&str, bool); 2] = [("Silent", false), ("Visible", true)];

/// A day, the longest time between two looks at anything.
const DAY_SECONDS: i64 = 24 * 3600;
/// Most runs at one time; each is a process.
const MOST_RUNS: i64 = 1000;
/// Ten years of history.
const MOST_DAYS: i64 = 3660;
/// MQTT 5.0 2.1.4: the largest packet there is; and the smallest that carries a log message of common length.
const PACKET_BYTES: (i64, i64) = (1024, 268_435_455);
/// Most messages that wait for one client.
const MOST_QUEUED: i64 = 1_000_000;

pub(super) fn parse(bytes: &[u8]) -> Checked<(Settings, Vec<Finding>)> {
    let json = Json::parse(bytes).map_err(|error| ConfigError { message: format!("{FILE}, {error}") })?;
    let mut settings = Settings::default();
    let mut unknown = Report::default();
    let root = Section::open("", Field { pointer: String::new(), value: &json }, &keys::FILE)?;
    if let Some(section) = root.section("Settings", &keys::SETTINGS)? {
        general(&section, &mut settings, &mut unknown)?;
        section.finish(&mut unknown);
    }
    if let Some(section) = root.section("MqttBrokerSettings", &keys::BROKER)? {
        broker(&section, &mut settings)?;
        section.finish(&mut unknown);
    }
    root.finish(&mut unknown);
    check_ports(&settings)?;
    Ok((settings, unknown.into_findings()))
}

/// The name of an account.
fn account(section: &Section<'_>, key: &'static str) -> Checked<Option<String>> {
    let Some((key, text)) = section.text(key)? else { return Ok(None) };
    let is_foreign = |character: char| matches!(character, '/' | ':' | '\0') || character.is_whitespace();
    if text.is_empty() || text.contains(is_foreign) {
        return Err(wrong(&key, &quote(&text), "the name of an account of this machine"));
    }
    Ok(Some(text))
}

fn accounts(section: &Section<'_>, settings: &mut Settings) -> Checked<()> {
    settings.session_user = account(section, "SessionUser")?;
    settings.elevation_account = account(section, "ElevationAccount")?;
    if let Some((key, text)) = section.text("SessionDisplay")? {
        if !is_display(&text) {
            return Err(wrong(&key, &quote(&text), "a display such as ':0' or 'wayland-0'"));
        }
        settings.session_display = Some(text);
    }
    Ok(())
}

fn general(section: &Section<'_>, settings: &mut Settings, unknown: &mut Report) -> Checked<()> {
    section.number("KestrelHttpPort", &mut settings.http_port)?;
    section.number("KestrelHttpsPort", &mut settings.https_port)?;
    for (pointer, text) in section.texts("AlternativeSignatures")? {
        let thumbprint = thumbprint(&text).ok_or_else(|| {
            wrong(&pointer, &quote(&text), "40 (SHA-1) or 64 (SHA-256) hexadecimal digits of a certificate")
        })?;
        if !settings.alternative_signatures.contains(&thumbprint) {
            settings.alternative_signatures.push(thumbprint);
        }
    }
    for (pointer, text) in section.texts("AllowedNonAdminExecutables")? {
        if text.is_empty() || text.contains(['/', '\\', '\0']) {
            return Err(wrong(&pointer, &quote(&text), "the base name of an executable, without folders"));
        }
        settings.allowed_non_admin_executables.push(text);
    }
    if let Some((key, text)) = section.text("PluginPath")? {
        let leaves = text.split(['/', '\\']).any(|part| part == "..") || text.starts_with(['/', '\\']);
        // What lies there is of another kind, and Last Known Good would move it away as strays.
        let is_ours = text.split('/').next().is_some_and(|first| ["Jobs", "Policies", "state"].contains(&first));
        if text.is_empty() || leaves || is_ours || text.contains([':', '\0']) {
            let allowed = "a folder below the agent root, such as 'Plugins', and not in Jobs, Policies or state";
            return Err(wrong(&key, &quote(&text), allowed));
        }
        settings.plugin_path = text;
    }
    accounts(section, settings)?;
    logging::read(section, &mut settings.logging, unknown)?;
    section.boolean("AllowElevatedWithoutCertificate", &mut settings.allow_elevated_without_certificate)?;
    section.boolean("RequireSignedPolicies", &mut settings.require_signed_policies)?;
    if let Some(lkg) = section.section("ConfigurationLkg", &keys::LKG)? {
        let ConfigurationLkg { enabled, audit_only, sweep_seconds } = &mut settings.configuration_lkg;
        lkg.boolean("Enabled", enabled)?;
        lkg.boolean("AuditOnly", audit_only)?;
        lkg.number("SweepSeconds", sweep_seconds)?;
        lkg.finish(unknown);
    }
    if let Some(source) = section.section("PolicySource", &policy_source::POLICY_SOURCE)? {
        policy_source::read(source, settings, unknown)?;
    }
    if let Some(collector) = section.section("Telemetry", &telemetry::TELEMETRY)? {
        telemetry::read(collector, settings, unknown)?;
    }
    if let Some(monitoring) = section.section("PluginMonitoring", &keys::MONITORING)? {
        plugin_monitoring(&monitoring, &mut settings.monitoring)?;
        monitoring.finish(unknown);
    }
    section.number("MaxConcurrentRuns", &mut settings.max_concurrent_runs)?;
    section.number("RunHistoryDays", &mut settings.run_history_days)
}

fn plugin_monitoring(section: &Section<'_>, monitoring: &mut Monitoring) -> Checked<()> {
    section.number("IntervalSeconds", &mut monitoring.interval_seconds)?;
    section.number("RestartDelaySeconds", &mut monitoring.restart_delay_seconds)?;
    section.number("RestartDelayMaxSeconds", &mut monitoring.restart_delay_max_seconds)?;
    section.number("StableAfterSeconds", &mut monitoring.stable_after_seconds)?;
    let Monitoring { restart_delay_seconds: least, restart_delay_max_seconds: most, .. } = monitoring;
    if least > most {
        let allowed = format!("at least RestartDelaySeconds, which is {least}");
        return Err(wrong(&section.key("RestartDelayMaxSeconds"), &most.to_string(), &allowed));
    }
    Ok(())
}

fn broker(section: &Section<'_>, settings: &mut Settings) -> Checked<()> {
    if let Some((key, text)) = section.text("IpAddress")? {
        let address = if text.eq_ignore_ascii_case("localhost") {
            Some(Ipv4Addr::LOCALHOST)
        } else {
            text.parse().ok().filter(Ipv4Addr::is_loopback)
        };
        settings.mqtt_address = address.ok_or_else(|| {
            wrong(
                &key,
                &quote(&text),
                "an IPv4 loopback address, such as 127.0.0.1; the broker serves this machine alone",
            )
        })?;
    }
    section.number("Port", &mut settings.mqtt_port)?;
    if let Some((key, text)) = section.text("DenialReason")? {
        settings.visible_denials = choice(&key, &text, &DENIAL_REASONS)?;
    }
    section.number("MaxPacketBytes", &mut settings.max_packet_bytes)?;
    section.number("MaxQueuedMessages", &mut settings.max_queued_messages)
}

/// Two listeners cannot share a port; 0 is any free one.
fn check_ports(settings: &Settings) -> Checked<()> {
    let ports = [
        ("Settings:KestrelHttpPort", settings.http_port),
        ("Settings:KestrelHttpsPort", settings.https_port),
        ("MqttBrokerSettings:Port", settings.mqtt_port),
    ];
    for (index, (key, port)) in ports.iter().enumerate() {
        if let Some((other, _)) = ports.iter().take(index).find(|(_, taken)| taken == port && *port != 0) {
            return Err(wrong(key, &port.to_string(), &format!("a port of its own; {other} has the same")));
        }
    }
    Ok(())
}

/// Hexadecimal digits without the blanks, colons and invisible marks that certificate viewers copy along.
pub(crate) fn thumbprint(text: &str) -> Option<String> {
    let invisible = |letter: char| matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{feff}');
    let digits: String =
        text.chars().filter(|letter| !(letter.is_whitespace() || *letter == ':' || invisible(*letter))).collect();
    let valid = matches!(digits.len(), 40 | 64) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    valid.then(|| digits.to_ascii_lowercase())
}

fn choice<T: Copy>(key: &str, text: &str, choices: &[(&str, T)]) -> Checked<T> {
    let found = choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        wrong(key, &quote(text), &format!("one of {}", names.join(", ")))
    })
}

fn wrong(key: &str, found: &str, allowed: &str) -> ConfigError {
    ConfigError { message: format!("{FILE}: {key} is {found}; it must be {allowed}.") }
}

/// A section of the file, its keys joined with colons as the product's documentation writes them.
struct Section<'a> {
    path: String,
    reader: ObjectReader<'a>,
}

impl<'a> Section<'a> {
    fn open(path: &str, field: Field<'a>, object: &'static Object) -> Checked<Self> {
        match field.value {
            Json::Object(members) => {
                Ok(Self { path: path.to_string(), reader: ObjectReader::new(field.pointer, members, object) })
            }
            other @ (Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_)) => {
                let name = if path.is_empty() { "the document" } else { path };
                Err(wrong(name, other.kind(), "an object"))
            }
        }
    }

    fn key(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_string() } else { format!("{}:{name}", self.path) }
    }

    fn section(&self, name: &'static str, object: &'static Object) -> Checked<Option<Self>> {
        let path = self.key(name);
        self.reader.take(name).map(|field| Self::open(&path, field, object)).transpose()
    }

    fn text(&self, name: &'static str) -> Checked<Option<(String, String)>> {
        let key = self.key(name);
        match self.reader.take(name).map(|field| field.value) {
            None => Ok(None),
            Some(Json::String(text)) => Ok(Some((key, text.clone()))),
            Some(other) => Err(wrong(&key, &shown(other), "a text")),
        }
    }

    fn texts(&self, name: &'static str) -> Checked<Vec<(String, String)>> {
        let key = self.key(name);
        let items = match self.reader.take(name).map(|field| field.value) {
            None => return Ok(Vec::new()),
            Some(Json::Array(items)) => items,
            Some(other) => return Err(wrong(&key, &shown(other), "an array of texts")),
        };
        let text = |(index, item): (usize, &Json)| match item.as_str() {
            Some(text) => Ok((format!("{key}:{index}"), text.to_string())),
            None => Err(wrong(&format!("{key}:{index}"), &shown(item), "a text")),
        };
        items.iter().enumerate().map(text).collect()
    }

    fn boolean(&self, name: &'static str, target: &mut bool) -> Checked<()> {
        match self.reader.take(name).map(|field| field.value) {
            None => Ok(()),
            Some(Json::Bool(value)) => {
                *target = *value;
                Ok(())
            }
            Some(other) => Err(wrong(&self.key(name), &shown(other), "true or false")),
        }
    }

    fn number<T: TryFrom<i64>>(&self, name: &'static str, target: &mut T) -> Checked<()> {
        let range = self.reader.table().range(name);
        let Some(field) = self.reader.take(name) else { return Ok(()) };
        let number = field
            .value
            .as_integer()
            .filter(|number| range.contains(number))
            .and_then(|number| T::try_from(number).ok());
        let allowed = || format!("a whole number from {} to {}", range.start(), range.end());
        *target = number.ok_or_else(|| wrong(&self.key(name), &shown(field.value), &allowed()))?;
        Ok(())
    }

    fn finish(self, unknown: &mut Report) {
        for (name, value) in self.reader.unknown() {
            let known = self.reader.table().names();
            if unknown.is_full() {
                unknown.warning("", "unknown-setting", "");
                continue;
            }
            let meant = flat_keys(name, value, &known).unwrap_or_else(|| hint(name, &known));
            let message = format!("{FILE}: {} is not known{meant} and has no effect.", quote(&self.key(name)));
            unknown.warning(crate::json::pointer_to(&self.reader.pointer, name), "unknown-setting", message);
        }
    }
}

/// Where an object is nested by halves, which keys with dots in their names are meant.
fn flat_keys(name: &str, value: &Json, known: &[&str]) -> Option<String> {
    let Json::Object(members) = value else { return None };
    let is_meant = |flat: &&&str| members.iter().any(|(key, _)| flat.eq_ignore_ascii_case(&format!("{name}.{key}")));
    let meant: Vec<String> = known.iter().filter(is_meant).map(|flat| quote(flat)).collect();
    (!meant.is_empty()).then(|| format!(" (did you mean {}?)", meant.join(", ")))
}

/// A value as messages show it.
fn shown(value: &Json) -> String {
    match value {
        Json::String(text) => quote(text),
        Json::Null | Json::Bool(_) | Json::Number(_) => value.to_string(),
        Json::Array(_) | Json::Object(_) => value.kind().to_string(),
    }
}
