//! A small blocking MQTT 5.0 client over TLS, for the bundled sample task and the command line. Its protocol runs on a
//! thread of its own; every call has a time limit.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use async_io::Timer;
use ntex_bytes::{ByteString, Bytes};
use ntex_mqtt::v5::client::{Connect, MqttConnector, ProtocolMessage, ProtocolMessageAck};
use ntex_mqtt::v5::codec::{Disconnect, PublishAckReason, RetainHandling, SubscribeAckReason, SubscriptionOptions};
use ntex_mqtt::v5::error::MqttClientError;
use ntex_mqtt::{MqttServiceConfig, QoS, v5};
use ntex_net::connect::Address;
use ntex_service::Pipeline;
use ntex_service::cfg::SharedCfg;
use ntex_tls::rustls::TlsConnector;
use ntex_util::time::Seconds;
use smol::channel::{Receiver, Sender};

/// Messages that wait for [`Client::next_message`]; then the broker has to wait.
const RECEIVED: usize = 256;
/// Seconds between signs of life (MQTT 5.0 3.1.2.10).
const KEEP_ALIVE_SECONDS: u16 = 30;

/// Where and how to connect.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `host:port`; the host is also the name that the certificate is checked against.
    pub address: String,
    /// The client id.
    pub client_id: String,
    /// What is trusted, and which client certificate is shown.
    pub tls: Arc<rustls::ClientConfig>,
    /// Limit of every single call.
    pub timeout: Duration,
}

/// Who the client is to a broker that is not ours, and what that broker keeps for it.
#[derive(Debug, Clone, Default)]
pub struct Login {
    /// User name and password.
    pub credentials: Option<(String, Vec<u8>)>,
    /// For so long the broker keeps the session of a client that is gone (MQTT 5.0 3.1.2.11.2), and its subscriptions with it; 0 begins
    /// with a clean one.
    pub session_seconds: u32,
    /// The largest packet that is taken; `None` leaves it to the broker.
    pub max_packet_bytes: Option<u32>,
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientError {
    /// The broker answered CONNECT with this reason code and, where it gave one, reason string.
    Refused {
        /// MQTT 5.0 3.2.2.2.
        code: u8,
        /// What the broker says about it.
        reason: String,
    },
    /// There is no connection, or none any more; the text says why.
    NotConnected(String),
    /// The broker did not answer within the limit.
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { code, reason } => {
                write!(formatter, "the broker refused the connection (0x{code:02X}): {reason}")
            }
            Self::NotConnected(why) => write!(formatter, "there is no connection to the broker: {why}"),
            Self::TimedOut { what, limit } => {
                write!(formatter, "the broker gave no {what} within {} ms", limit.as_millis())
            }
        }
    }
}

impl std::error::Error for ClientError {}

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Vec<u8>,
    /// The QoS it came with: its publisher's, as subscriptions ask for the highest.
    pub qos: u8,
    /// Whether its publisher had it retained (MQTT 5.0 3.8.3.1, Retain As Published).
    pub retain: bool,
}

/// A connected client. Dropping it ends the connection without waiting for the end.
#[derive(Debug)]
pub struct Client {
    commands: Sender<Command>,
    messages: Receiver<Result<Received, ClientError>>,
    thread: JoinHandle<()>,
    timeout: Duration,
}

#[derive(Debug)]
enum Command {
    Publish { topic: String, payload: Vec<u8>, answer: Sender<Result<u8, ClientError>> },
    Subscribe { filter: String, answer: Sender<Result<u8, ClientError>> },
    Disconnect,
}

impl Login {
    fn apply<A: Address>(self, mut connect: Connect<A>) -> Connect<A> {
        let Self { credentials, session_seconds, max_packet_bytes } = self;
        if let Some((user, password)) = credentials {
            connect = connect.username(ByteString::from(user)).password(Bytes::from(password));
        }
        if let Some(bytes) = max_packet_bytes {
            connect = connect.max_packet_size(bytes);
        }
        if session_seconds == 0 {
            return connect.clean_start();
        }
        connect.packet(|packet| packet.session_expiry_interval_secs = session_seconds)
    }
}

impl Client {
    /// Connects with a clean session.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the CONNACK's reason, or why there is no connection.
    pub fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        Self::log_in(config, Login::default())
    }

    /// Connects to a broker that wants to know more, or keeps the session.
    ///
    /// # Errors
    /// As [`Client::connect`].
    pub fn log_in(config: ClientConfig, login: Login) -> Result<Self, ClientError> {
        let timeout = config.timeout;
        let (commands, incoming) = smol::channel::bounded(1);
        let (received, messages) = smol::channel::bounded(RECEIVED);
        let (answer, connected) = smol::channel::bounded(1);
        let thread = std::thread::Builder::new()
            .name(String::from("mqtt-client"))
            .spawn(move || {
                ntex_rt::System::build()
                    .name("mqtt-client")
                    .disable_signals()
                    .panic_handling(false)
                    .build(ntex_net::DefaultRuntime)
                    .block_on(live(config, login, answer, incoming, received));
            })
            .map_err(|error: io::Error| ClientError::NotConnected(format!("its thread cannot be made: {error}")))?;
        wait(timeout, "answer to CONNECT", connected)??;
        Ok(Self { commands, messages, thread, timeout })
    }

    /// Publishes with QoS 1; the reason code of the PUBACK (0 or 0x10 means accepted, 0x87 denied).
    ///
    /// # Errors
    /// The connection ended, or no PUBACK came in time.
    pub fn publish_at_least_once(&self, topic: &str, payload: &[u8]) -> Result<u8, ClientError> {
        let (answer, answered) = smol::channel::bounded(1);
        self.command(Command::Publish { topic: topic.to_owned(), payload: payload.to_vec(), answer })?;
        wait(self.timeout, "PUBACK", answered)?
    }

    /// Subscribes with QoS 2 and retain flags as published, so that messages come as they were sent; the reason code of the SUBACK (up to 2 means granted, 0x87 denied).
    ///
    /// # Errors
    /// The connection ended, or no SUBACK came in time.
    pub fn subscribe(&self, filter: &str) -> Result<u8, ClientError> {
        let (answer, answered) = smol::channel::bounded(1);
        self.command(Command::Subscribe { filter: filter.to_owned(), answer })?;
        wait(self.timeout, "SUBACK", answered)?
    }

    /// The next message on a subscribed topic.
    ///
    /// # Errors
    /// The connection ended, with the broker's reason where it gave one, or none came within `limit`.
    pub fn next_message(&self, limit: Duration) -> Result<Received, ClientError> {
        wait(limit, "message", self.messages.clone())?
    }

    /// The next message on a subscribed topic, however long it takes.
    ///
    /// # Errors
    /// The connection ended, with the broker's reason where it gave one.
    pub async fn message(&self) -> Result<Received, ClientError> {
        self.messages.recv().await.map_err(|_| ended())?
    }

    /// Sends DISCONNECT and waits for the end of the connection.
    ///
    /// # Errors
    /// The connection had ended before.
    pub fn disconnect(self) -> Result<(), ClientError> {
        self.command(Command::Disconnect)?;
        let Self { commands, messages, thread, timeout: _ } = self;
        drop((commands, messages));
        thread.join().map_err(|_| ClientError::NotConnected(String::from("the client's thread panicked")))
    }

    fn command(&self, command: Command) -> Result<(), ClientError> {
        let limit = self.timeout;
        let send = async { self.commands.send(command).await.map_err(|_| ended()) };
        let late = async {
            Timer::after(limit).await;
            Err(ClientError::TimedOut { what: "room for the command", limit })
        };
        smol::block_on(smol::future::or(send, late))
    }
}

fn ended() -> ClientError {
    ClientError::NotConnected(String::from("the connection has ended"))
}

fn wait<T>(limit: Duration, what: &'static str, answered: Receiver<T>) -> Result<T, ClientError> {
    let answer = async { answered.recv().await.map_err(|_| ended()) };
    let late = async {
        Timer::after(limit).await;
        Err(ClientError::TimedOut { what, limit })
    };
    smol::block_on(smol::future::or(answer, late))
}

/// The life of the client's thread.
async fn live(
    config: ClientConfig,
    login: Login,
    connected: Sender<Result<(), ClientError>>,
    commands: Receiver<Command>,
    received: Sender<Result<Received, ClientError>>,
) {
    let seconds = u16::try_from(config.timeout.as_millis().div_ceil(1000)).unwrap_or(u16::MAX);
    let mqtt = MqttServiceConfig::new().set_handshake_timeout(Seconds(seconds.max(1)));
    let settings = SharedCfg::new("mqtt-client").add(mqtt).into();
    let connector = MqttConnector::<String, ()>::new().connector(TlsConnector::from(&config.tls));
    let connect = login.apply(Connect::new(config.address).client_id(config.client_id));
    let connect = connect.keep_alive(Seconds(KEEP_ALIVE_SECONDS));
    let pipeline: Pipeline<_, v5::client::Client, _> = Pipeline::new::<_, SharedCfg>(settings, connector);
    let client = match pipeline.call(connect).await {
        Ok(client) => client,
        Err(error) => {
            answer(&connected, Err(refusal(&error)), "CONNECT");
            return;
        }
    };
    let sink = client.sink();
    answer(&connected, Ok(()), "CONNECT");
    let protocol = async move |message: ProtocolMessage| take(message, &received).await;
    let ended = async {
        if let Err(error) = client.start(ntex_service::fn_service(protocol)).await {
            log::debug!("the MQTT client's connection ended: {error:?}");
        }
    };
    let unheard = commands.clone();
    // The connection's end is the end of all; the end of the commands closes the connection.
    smol::future::or(ended, async {
        obey(&sink, commands).await;
        std::future::pending::<()>().await;
    })
    .await;
    // A command that came too late is dropped here with its answer channel, so that nobody waits for its answer.
    unheard.close();
    while let Ok(command) = unheard.try_recv() {
        log::debug!("the connection ended before this: {command:?}");
    }
}

async fn obey(sink: &v5::MqttSink, commands: Receiver<Command>) {
    while let Ok(command) = commands.recv().await {
        match command {
            Command::Publish { topic, payload, answer: back } => {
                let sent = sink.publish(topic).send_at_least_once(Bytes::from(payload)).await;
                answer(&back, sent.map(|ack| u8::from(ack.reason_code)).map_err(|error| lost(&error)), "PUBLISH");
            }
            Command::Subscribe { filter, answer: back } => {
                let options = SubscriptionOptions {
                    qos: QoS::ExactlyOnce,
                    no_local: false,
                    retain_as_published: true,
                    retain_handling: RetainHandling::AtSubscribe,
                };
                let sent = sink.subscribe(None).topic_filter(ByteString::from(filter), options).send().await;
                let code = sent.map_err(|error| lost(&error)).and_then(|ack| {
                    let missing = || ClientError::NotConnected(String::from("the SUBACK was empty"));
                    ack.status.first().copied().map(SubscribeAckReason::into).ok_or_else(missing)
                });
                answer(&back, code, "SUBSCRIBE");
            }
            Command::Disconnect => break,
        }
    }
    sink.close_with_reason(Disconnect::default());
}

/// One message from the broker.
async fn take(
    message: ProtocolMessage,
    received: &Sender<Result<Received, ClientError>>,
) -> Result<ProtocolMessageAck, ()> {
    let publish = match message {
        ProtocolMessage::Publish(publish) => publish,
        ProtocolMessage::Disconnect(disconnect) => {
            let packet = disconnect.packet();
            let (code, text) = (u8::from(packet.reason_code), packet.reason_string.as_deref().unwrap_or_default());
            let why = ClientError::NotConnected(format!("the broker closed it (0x{code:02X}) {text}"));
            if received.send(Err(why)).await.is_err() {
                log::debug!("the broker closed the connection after the client was dropped");
            }
            return Ok(disconnect.ack());
        }
        other @ (ProtocolMessage::PublishRelease(_) | ProtocolMessage::Ping(_)) => return Ok(other.ack()),
    };
    let payload = publish.read_all().await.map_err(|error| log::debug!("a payload broke off: {error:?}"))?;
    let packet = publish.packet();
    let (topic, qos, retain) = (packet.topic.to_string(), u8::from(packet.qos), packet.retain);
    let message = Received { topic, payload: payload.to_vec(), qos, retain };
    if received.send(Ok(message)).await.is_err() {
        log::debug!("a message came after the client was dropped");
    }
    Ok(if publish.packet().qos == QoS::AtMostOnce {
        publish.ack_qos0()
    } else {
        publish.ack(PublishAckReason::Success)
    })
}

fn answer<T>(back: &Sender<T>, value: T, what: &str) {
    if back.try_send(value).is_err() {
        log::debug!("nobody waits for the answer to {what} any more");
    }
}

fn lost(error: &ntex_mqtt::error::SendPacketError) -> ClientError {
    ClientError::NotConnected(error.to_string())
}

fn refusal(error: &MqttClientError<Box<v5::codec::ConnectAck>>) -> ClientError {
    match error {
        MqttClientError::Ack(ack) => ClientError::Refused {
            code: u8::from(ack.reason_code),
            reason: ack.reason_string.as_ref().map(ToString::to_string).unwrap_or_default(),
        },
        MqttClientError::Protocol(_)
        | MqttClientError::ConnectTimeout
        | MqttClientError::Disconnected(_)
        | MqttClientError::Connect(_) => ClientError::NotConnected(error.to_string()),
    }
}
