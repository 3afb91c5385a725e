//! The port of `Settings:PolicySource`: asks the folder, URL or broker on the I/O thread, and reports what came.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use castellan_core::config::{PolicyPlace, PolicySource, PolicyTopic, Settings};
use castellan_core::effect::FleetOrder;
use castellan_core::event::{Event, FleetReport, Opened, Received};
use castellan_core::fleet::{Bundle, KeptBundle};
use castellan_core::job::url::HttpUrl;
use castellan_core::limits::BUNDLE_BYTES;
use castellan_core::trust::signature::SignaturePolicy;
use castellan_fs::policy_source::{read_bundle, read_secret};
use castellan_https::calls;
use castellan_mqtt::client::{Client, ClientConfig, Login};
use castellan_process::{document_sha256, open_document};
use smol::channel::Sender;

use crate::tls_files;

/// For one question, connecting included; the core waits longer.
const ANSWER_TIME: Duration = Duration::from_secs(60);
/// For each step of a subscription: to connect, and to subscribe.
const STEP_TIME: Duration = Duration::from_secs(20);
/// So long an external broker keeps what comes while the agent is away: a week of holidays.
const SESSION_SECONDS: u32 = 8 * 24 * 3600;
/// What a PUBLISH has beside its payload: the topic, which has 64 KiB at most, and properties.
const PACKET_HEAD: usize = 128 << 10;
/// A SUBACK below says which QoS was granted (MQTT 5.0 3.9.3).
const SUBSCRIBE_REFUSED: u8 = 0x80;

/// Asks the policy source.
pub(crate) struct PolicyPort {
    source: Option<Arc<Source>>,
    executor: Arc<smol::Executor<'static>>,
    events: Sender<Event>,
    /// One question at a time; a new one ends the former, with the connection that it holds.
    asking: Mutex<Option<smol::Task<()>>>,
}

struct Source {
    settings: PolicySource,
    signers: Vec<String>,
    /// Tells this machine from others.
    machine: String,
}

impl fmt::Debug for PolicyPort {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = self.source.as_ref().map(|source| &source.settings);
        formatter.debug_struct("PolicyPort").field("source", &source).finish_non_exhaustive()
    }
}

impl PolicyPort {
    /// `machine` tells this machine from others; it becomes a part of the client id at a broker.
    pub(crate) fn new(
        settings: &Settings,
        machine: String,
        executor: Arc<smol::Executor<'static>>,
        events: Sender<Event>,
    ) -> Self {
        let signers = settings.alternative_signatures.clone();
        let source = settings.policy_source.clone().map(|settings| Arc::new(Source { settings, signers, machine }));
        Self { source, executor, events, asking: Mutex::default() }
    }

    /// Takes an order; never blocks.
    pub(crate) fn order(&self, order: FleetOrder) {
        let FleetOrder::Ask { etag } = order;
        // The core asks only where there is a source; it would notice that no answer comes.
        let Some(source) = self.source.clone() else { return };
        let events = self.events.clone();
        let task = self.executor.spawn(async move {
            if let Err(why) = source.ask(etag, &events).await {
                report(&events, FleetReport::Failed(why)).await;
            }
        });
        *self.asking.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

/// The bundle of former starts, as an event.
pub(crate) fn kept(bundle: KeptBundle, signers: &[String]) -> Event {
    let opened = open(&bundle.document, signers);
    Event::Fleet(FleetReport::Kept { bundle, opened })
}

fn open(document: &[u8], signers: &[String]) -> Result<Opened, String> {
    let policy = SignaturePolicy { pins: signers, non_admin: &[] };
    let (content, signature) = open_document("the bundle", document, policy)?;
    Ok(Opened { bundle: Bundle::parse(&content, document_sha256), signature: signature.map(Box::new) })
}

async fn report(events: &Sender<Event>, report: FleetReport) {
    if events.send(Event::Fleet(report)).await.is_err() {
        log::debug!("the policy source answered after the agent ended");
    }
}

impl Source {
    async fn ask(self: &Arc<Self>, etag: Option<String>, events: &Sender<Event>) -> Result<(), String> {
        match &self.settings.place {
            PolicyPlace::Folder(folder) => {
                let folder = folder.clone();
                let read = smol::unblock(move || read_bundle(Path::new(&folder)).map_err(|error| error.to_string()));
                self.received(read.await?, None, events).await
            }
            PolicyPlace::Url(url) => self.fetch(url, etag, events).await?,
            PolicyPlace::Mqtt(topic) => self.subscribe(topic, events).await?,
        }
        Ok(())
    }

    async fn fetch(
        self: &Arc<Self>,
        url: &HttpUrl,
        etag: Option<String>,
        events: &Sender<Event>,
    ) -> Result<(), String> {
        let response = calls::fetch(url, etag, self.tls().await?, ANSWER_TIME).await?;
        match response.status {
            200 => {
                let etag = response.headers.iter().find(|(name, _)| name == "etag").map(|(_, value)| value.clone());
                self.received(response.body, etag, events).await;
            }
            304 => report(events, FleetReport::NotModified).await,
            status @ 300..400 => {
                return Err(format!("it answered with status {status}, and redirects are not followed"));
            }
            status => return Err(format!("it answered with status {status}")),
        }
        Ok(())
    }

    /// Ends with the connection.
    async fn subscribe(self: &Arc<Self>, topic: &PolicyTopic, events: &Sender<Event>) -> Result<(), String> {
        let tls = self.tls().await?;
        let (source, wanted) = (Arc::clone(self), topic.clone());
        let client = smol::unblock(move || source.connect(&wanted, tls)).await?;
        report(events, FleetReport::Subscribed).await;
        loop {
            let message = client.message().await.map_err(|error| error.to_string())?;
            if message.topic == topic.topic {
                self.received(message.payload, None, events).await;
            }
        }
    }

    fn connect(&self, topic: &PolicyTopic, tls: Arc<rustls::ClientConfig>) -> Result<Client, String> {
        let PolicyTopic { host, port, topic, client_id, user_name, password_file } = topic;
        let password = match password_file {
            None => Vec::new(),
            Some(file) => {
                let mut password = read_secret(Path::new(file)).map_err(|error| error.to_string())?;
                password.truncate(password.trim_ascii_end().len());
                password
            }
        };
        let config = ClientConfig {
            address: format!("{host}:{port}"),
            client_id: client_id.clone().unwrap_or_else(|| format!("castellan-{}", self.machine)),
            tls,
            timeout: STEP_TIME,
        };
        let login = Login {
            credentials: user_name.clone().map(|user| (user, password)),
            session_seconds: SESSION_SECONDS,
            max_packet_bytes: u32::try_from(BUNDLE_BYTES.saturating_add(PACKET_HEAD)).ok(),
        };
        let client = Client::log_in(config, login).map_err(|error| error.to_string())?;
        match client.subscribe(topic).map_err(|error| error.to_string())? {
            code if code < SUBSCRIBE_REFUSED => Ok(client),
            code => Err(format!("the broker refused the subscription (0x{code:02X})")),
        }
    }

    async fn received(&self, document: Vec<u8>, etag: Option<String>, events: &Sender<Event>) {
        let opened = open(&document, &self.signers);
        let received = Received { document: document.into(), etag, opened };
        report(events, FleetReport::Received(Box::new(received))).await;
    }

    /// Read for each question, so that certificates that were renewed count at once.
    async fn tls(self: &Arc<Self>) -> Result<Arc<rustls::ClientConfig>, String> {
        let source = Arc::clone(self);
        smol::unblock(move || tls_files::client(&source.settings.tls)).await
    }
}
