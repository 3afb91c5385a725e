//! `Settings:PolicySource`: its keys, and how they are read.

use alloc::format;
use alloc::string::{String, ToString};

use super::{Checked, DAY_SECONDS, Section, wrong};
use crate::acl::topic::TopicName;
use crate::config::Settings;
use crate::config::policy_source::{PolicyPlace, PolicySource, PolicyTopic, TlsFiles};
use crate::job::finding::{Report, quote};
use crate::job::url::HttpUrl;
use crate::shape::{Key, Object, Others, Rule, Shape, Text};

/// Seconds between two questions where nothing else is said.
const POLL_SECONDS: i64 = 300;
/// IANA's port of MQTT over TLS.
const SECURE_MQTT: u16 = 8883;
/// An absolute path.
pub(super) const PATH: Shape = Shape::Text(Text::like("^/"));
/// Read by [`tls_files`].
pub(super) const TRUSTED_CERTIFICATES: Key =
    Key::new("TrustedCertificates", PATH, "A PEM file with the authorities to trust, instead of the system's.");
/// Read by [`tls_files`].
pub(super) const CLIENT_CERTIFICATE: Key =
    Key::new("ClientCertificate", PATH, "A PEM file with the certificate to show, and its chain.");
/// Read by [`tls_files`].
pub(super) const CLIENT_KEY: Key = Key::new("ClientKey", PATH, "A PEM file with its private key.");
/// What holds everywhere: MQTT 5.0 1.5.4 for texts, and paths without end.
const ANY_TEXT: Shape = Shape::Text(Text::like("^[^\\x00-\\x1f]+$"));

pub(super) static POLICY_SOURCE: Object = Object {
    name: "policySource",
    doc: "From where a fleet is told its configuration policies: a folder, an https URL or an MQTT 5.0 topic.",
    keys: &[
        Key::new("Folder", PATH, "An absolute folder with bundle.p7m (signed) or bundle.json."),
        Key::new(
            "Url",
            Shape::Text(Text::like("^[Hh][Tt][Tt][Pp][Ss]://").such_as("https://fleet.example.com/bundle.p7m")),
            "An https URL that answers with a signed bundle.",
        ),
        Key::new(
            "Mqtt",
            Shape::Object(&MQTT),
            "A topic of an external broker whose retained message is a signed bundle.",
        ),
        Key::new(
            "Bundle",
            ANY_TEXT,
            "The only name that a bundle may have; else that of the first one that was accepted.",
        ),
        Key::number(
            "PollSeconds",
            (1, DAY_SECONDS),
            POLL_SECONDS,
            "How often a folder or URL is asked; about a tenth earlier or later, so that a fleet does not ask at once.",
        ),
        TRUSTED_CERTIFICATES,
        CLIENT_CERTIFICATE,
        CLIENT_KEY,
    ],
    rules: &[Rule::ExactlyOne(&["Folder", "Url", "Mqtt"])],
    others: Others::Kept,
};

static MQTT: Object = Object {
    name: "policyTopic",
    doc: "A topic of an external MQTT 5.0 broker, over TLS.",
    keys: &[
        Key::required(
            "Host",
            Shape::Text(Text::like("^[A-Za-z0-9._-]+$").such_as("broker.example.com")),
            "The broker's name, for which its certificate must be.",
        ),
        Key::number("Port", (1, 65_535), SECURE_MQTT as i64, "Its port of MQTT over TLS."),
        Key::required("Topic", ANY_TEXT, "The name of the topic."),
        Key::new(
            "ClientId",
            ANY_TEXT,
            "Unique at that broker; else castellan- and what tells this machine from others.",
        ),
        Key::new("UserName", ANY_TEXT, "Whom to be at that broker."),
        Key::new("PasswordFile", PATH, "A file with the password alone."),
    ],
    rules: &[],
    others: Others::Kept,
};

pub(super) fn read(section: Section<'_>, settings: &mut Settings, unknown: &mut Report) -> Checked<()> {
    let folder = path(&section, "Folder")?.map(PolicyPlace::Folder);
    let url = match section.text("Url")? {
        None => None,
        Some((key, text)) => match HttpUrl::parse(&text) {
            Ok(url) if url.tls => Some(PolicyPlace::Url(url)),
            Ok(_) => return Err(wrong(&key, &quote(&text), "an https URL")),
            Err(why) => {
                return Err(wrong(&key, &quote(&text), &format!("an https URL; {}", why.trim_end_matches('.'))));
            }
        },
    };
    let topic = match section.section("Mqtt", &MQTT)? {
        None => None,
        Some(mqtt) => {
            let topic = topic(&mqtt)?;
            mqtt.finish(unknown);
            Some(PolicyPlace::Mqtt(topic))
        }
    };
    let mut given = [folder, url, topic].into_iter().flatten();
    let (Some(place), None) = (given.next(), given.next()) else {
        return Err(wrong(&section.path, "an object", "one with exactly one of Folder, Url and Mqtt"));
    };
    let tls = tls_files(&section)?;
    let mut source =
        PolicySource { place, bundle: plain(&section, "Bundle")?, poll_seconds: POLL_SECONDS.unsigned_abs(), tls };
    section.number("PollSeconds", &mut source.poll_seconds)?;
    if source.is_remote() && settings.alternative_signatures.is_empty() {
        let allowed = "accompanied by Settings:AlternativeSignatures, which says whose bundles count: what comes over a network must be signed";
        return Err(wrong(&section.path, &quote(&source.to_string()), allowed));
    }
    settings.policy_source = Some(source);
    section.finish(unknown);
    Ok(())
}

/// An absolute path.
pub(super) fn path(section: &Section<'_>, name: &'static str) -> Checked<Option<String>> {
    let Some((key, text)) = section.text(name)? else { return Ok(None) };
    if text.starts_with('/') && !text.contains('\0') {
        return Ok(Some(text));
    }
    Err(wrong(&key, &quote(&text), "an absolute path"))
}

/// The files of a client of TLS.
pub(super) fn tls_files(section: &Section<'_>) -> Checked<TlsFiles> {
    let tls = TlsFiles {
        trusted_certificates: path(section, "TrustedCertificates")?,
        client_certificate: path(section, "ClientCertificate")?,
        client_key: path(section, "ClientKey")?,
    };
    if tls.client_certificate.is_some() != tls.client_key.is_some() {
        let (given, missing) = if tls.client_key.is_some() {
            ("ClientKey", "ClientCertificate")
        } else {
            ("ClientCertificate", "ClientKey")
        };
        return Err(wrong(&section.key(given), "given", &format!("accompanied by {missing}")));
    }
    Ok(tls)
}

fn topic(section: &Section<'_>) -> Checked<PolicyTopic> {
    let required = |name: &'static str, allowed: &str| {
        plain(section, name)?.ok_or_else(|| wrong(&section.key(name), "not given", allowed))
    };
    let host = required("Host", "the name of a broker")?;
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) {
        return Err(wrong(&section.key("Host"), &quote(&host), "the name of a broker, without scheme and port"));
    }
    let topic = required("Topic", "a topic name")?;
    if TopicName::parse(&topic).is_err() {
        return Err(wrong(&section.key("Topic"), &quote(&topic), "a topic name, without + and #"));
    }
    let mut port = SECURE_MQTT;
    section.number("Port", &mut port)?;
    let password_file = plain(section, "PasswordFile")?;
    if let Some(file) = password_file.as_ref().filter(|file| !file.starts_with('/')) {
        return Err(wrong(&section.key("PasswordFile"), &quote(file), "an absolute path"));
    }
    let (client_id, user_name) = (plain(section, "ClientId")?, plain(section, "UserName")?);
    if password_file.is_some() && user_name.is_none() {
        return Err(wrong(&section.key("PasswordFile"), "given", "accompanied by UserName"));
    }
    Ok(PolicyTopic { host, port, topic, client_id, user_name, password_file })
}

/// A text that is not empty and has no control characters.
fn plain(section: &Section<'_>, name: &'static str) -> Checked<Option<String>> {
    let Some((key, text)) = section.text(name)? else { return Ok(None) };
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(wrong(&key, &quote(&text), "a text without control characters"));
    }
    Ok(Some(text))
}
