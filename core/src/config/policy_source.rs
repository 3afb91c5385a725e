//! `Settings:PolicySource`: from where a fleet is told its configuration policies.

use alloc::format;
use alloc::string::String;
use core::fmt;

use crate::job::url::HttpUrl;

/// Where bundles of configuration policies come from, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySource {
    /// `Folder`, `Url` or `Mqtt`.
    pub place: PolicyPlace,
    /// `Bundle`: the only name that a bundle may have; where it is not given, the name of the first one that was accepted.
    pub bundle: Option<String>,
    /// `PollSeconds`, 300: how often a folder or URL is asked.
    pub poll_seconds: u64,
    /// Files for TLS.
    pub tls: TlsFiles,
}

/// The place itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyPlace {
    /// An absolute folder that has a bundle.
    Folder(String),
    /// An https URL that answers with a bundle.
    Url(HttpUrl),
    /// A topic of an external broker whose retained message is a bundle.
    Mqtt(PolicyTopic),
}

/// `PolicySource:Mqtt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyTopic {
    /// `Host`: the broker's name, for which its certificate must be.
    pub host: String,
    /// `Port`, 8883: of MQTT over TLS.
    pub port: u16,
    /// `Topic`: a topic name.
    pub topic: String,
    /// `ClientId`: unique at that broker; the machine's own where it is not given.
    pub client_id: Option<String>,
    /// `UserName`.
    pub user_name: Option<String>,
    /// `PasswordFile`: absolute path of a file that has the password alone.
    pub password_file: Option<String>,
}

/// PEM files for TLS, by absolute path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFiles {
    /// `TrustedCertificates`: authorities; the system's where it is not given.
    pub trusted_certificates: Option<String>,
    /// `ClientCertificate`: shown to the server, with its chain.
    pub client_certificate: Option<String>,
    /// `ClientKey`: its private key.
    pub client_key: Option<String>,
}

impl PolicySource {
    /// Whether bundles must be signed whatever else is set: everything that comes over a network.
    pub const fn is_remote(&self) -> bool {
        !matches!(self.place, PolicyPlace::Folder(_))
    }
}

impl fmt::Display for PolicySource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            PolicyPlace::Folder(folder) => formatter.write_str(folder),
            PolicyPlace::Url(HttpUrl { host, port, target, .. }) => write!(formatter, "https://{host}:{port}{target}"),
            PolicyPlace::Mqtt(PolicyTopic { host, port, topic, .. }) => {
                write!(formatter, "mqtts://{host}:{port}/{topic}")
            }
        }
    }
}

/// What of it is given, as [`super::Settings::flat`] shows it.
pub(super) fn flat(source: &PolicySource) -> impl Iterator<Item = (&'static str, String)> + use<> {
    let PolicySource { place, bundle, poll_seconds, tls } = source.clone();
    let mut folder = None;
    let mut url = None;
    let mut topic = None;
    match place {
        PolicyPlace::Folder(found) => folder = Some(found),
        PolicyPlace::Url(found) => {
            url = Some(format!("https://{}:{}{}", found.host, found.port, found.target));
        }
        PolicyPlace::Mqtt(found) => topic = Some(found),
    }
    let poll = topic.is_none().then(|| format!("{poll_seconds}"));
    let entries = [
        ("PolicySource.Folder", folder),
        ("PolicySource.Url", url),
        ("PolicySource.Mqtt.Host", topic.as_ref().map(|topic| topic.host.clone())),
        ("PolicySource.Mqtt.Port", topic.as_ref().map(|topic| format!("{}", topic.port))),
        ("PolicySource.Mqtt.Topic", topic.as_ref().map(|topic| topic.topic.clone())),
        ("PolicySource.Mqtt.ClientId", topic.as_ref().and_then(|topic| topic.client_id.clone())),
        ("PolicySource.Mqtt.UserName", topic.as_ref().and_then(|topic| topic.user_name.clone())),
        ("PolicySource.Mqtt.PasswordFile", topic.and_then(|topic| topic.password_file)),
        ("PolicySource.Bundle", bundle),
        ("PolicySource.PollSeconds", poll),
        ("PolicySource.TrustedCertificates", tls.trusted_certificates),
        ("PolicySource.ClientCertificate", tls.client_certificate),
        ("PolicySource.ClientKey", tls.client_key),
    ];
    entries.into_iter().filter_map(|(key, value)| Some((key, value?)))
}
