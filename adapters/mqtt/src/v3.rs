//! MQTT 3.1.1 packets to events and outcomes to packets.

use std::rc::Rc;
use std::sync::Arc;

use castellan_core::broker::BrokerEvent;
use castellan_core::broker::effect::SubscribeOutcome;
use castellan_core::broker::event::{Connect, SubscribeRequest, Version};
use castellan_core::broker::message::{Packet, Publication, QoS};
use castellan_core::effect::ConnectRefusal;
use ntex_io::IoBoxed;
use ntex_mqtt::{Control, MqttError, v3};
use ntex_service::{Service, State};
use ntex_util::time::Seconds;

use crate::accept::{Conn, HandlerError};
use crate::pump::{Sink, pump};
use crate::shell::ConnectAnswer;

type Session = v3::Session<Rc<Conn>>;

/// The protocol service of MQTT 3.1.1.
pub(crate) fn service() -> impl Service<(), State<Rc<Conn>, IoBoxed>, Res = (), Error = MqttError<HandlerError>> {
    v3::MqttServer::with(publish).protocol(protocol).control(control).build(connect)
}

/// The level of the protocol library's own type.
pub(crate) const fn qos(qos: ntex_mqtt::QoS) -> QoS {
    match qos {
        ntex_mqtt::QoS::AtMostOnce => QoS::AtMostOnce,
        ntex_mqtt::QoS::AtLeastOnce => QoS::AtLeastOnce,
        ntex_mqtt::QoS::ExactlyOnce => QoS::ExactlyOnce,
    }
}

/// The protocol library's own type of a level.
pub(crate) const fn library_qos(qos: QoS) -> ntex_mqtt::QoS {
    match qos {
        QoS::AtMostOnce => ntex_mqtt::QoS::AtMostOnce,
        QoS::AtLeastOnce => ntex_mqtt::QoS::AtLeastOnce,
        QoS::ExactlyOnce => ntex_mqtt::QoS::ExactlyOnce,
    }
}

async fn connect(connect: v3::Connect<Rc<Conn>>) -> Result<v3::ConnectAck<Rc<Conn>>, HandlerError> {
    let conn = Rc::clone(connect.st());
    let packet = connect.packet();
    let will = packet.last_will.as_ref().map(|will| Publication {
        topic: will.topic.to_string(),
        payload: Arc::from(will.message.as_ref()),
        qos: qos(will.qos),
        retain: will.retain,
        packet: None,
        expiry_seconds: None,
        properties: None,
    });
    let asked = Connect { version: Version::V311, client_id: packet.client_id.to_string(), will };
    let unlimited = packet.keep_alive == 0;
    let sink = Sink::V3(connect.sink());
    match conn.ask(asked, sink.clone()).await {
        (ConnectAnswer::Accepted { note: _ }, deliveries) => {
            ntex_rt::spawn(pump(Rc::clone(&conn), sink, deliveries));
            let ack = connect.ack(conn, false);
            // Keep-alive 0 means no limit (MQTT 3.1.1 3.1.2.10); the library's own default would be 30 s.
            Ok(if unlimited { ack.idle_timeout(Seconds::ZERO) } else { ack })
        }
        (ConnectAnswer::Refused { refusal, note: _ }, _) => Ok(match refusal {
            ConnectRefusal::NotAuthorized => connect.not_authorized(),
            ConnectRefusal::ClientIdentifierNotValid => connect.identifier_rejected(),
            ConnectRefusal::ServerUnavailable => connect.service_unavailable(),
        }),
    }
}

async fn publish(session: &Session, publish: v3::Publish) -> Result<(), HandlerError> {
    let payload =
        publish.read_all().await.map_err(|error| HandlerError(format!("the payload broke off: {error:?}")))?;
    let publication = Publication {
        topic: publish.publish_topic().to_owned(),
        payload: Arc::from(payload.as_ref()),
        qos: qos(publish.qos()),
        retain: publish.retain(),
        packet: publish.id().map(|id| Packet { identifier: id.get(), duplicate: publish.dup() }),
        expiry_seconds: None,
        properties: None,
    };
    // MQTT 3.1.1 cannot say that a PUBLISH was refused: it is acknowledged as usual (3.3.5).
    session.shell.publish(session.id, publication);
    Ok(())
}

async fn protocol(session: &Session, message: v3::ProtocolMessage) -> Result<v3::ProtocolMessageAck, HandlerError> {
    match message {
        v3::ProtocolMessage::PublishRelease(release) => Ok(release.ack()),
        v3::ProtocolMessage::Subscribe(mut subscribe) => {
            let requests = subscribe
                .iter_mut()
                .map(|one| SubscribeRequest::plain(one.topic().to_string(), qos(one.qos())))
                .collect();
            let outcomes = session.shell.subscribe(session.id, requests, None);
            for (mut one, outcome) in subscribe.iter_mut().zip(outcomes) {
                match outcome {
                    SubscribeOutcome::Granted(granted) => one.confirm(library_qos(granted)),
                    SubscribeOutcome::NotAuthorized
                    | SubscribeOutcome::InvalidFilter
                    | SubscribeOutcome::QuotaExceeded => one.fail(),
                }
            }
            Ok(subscribe.ack())
        }
        v3::ProtocolMessage::Unsubscribe(unsubscribe) => {
            let filters = unsubscribe.iter().map(ToString::to_string).collect();
            session.shell.unsubscribe(session.id, filters);
            Ok(unsubscribe.ack())
        }
        v3::ProtocolMessage::Disconnect(disconnect) => {
            session.shell.drive(BrokerEvent::DisconnectReceived { connection: session.id, keep_will: false });
            session.ending.replace(Some(String::from("the client sent DISCONNECT")));
            Ok(disconnect.ack())
        }
        v3::ProtocolMessage::Ping(ping) => Ok(ping.ack()),
    }
}

async fn control(
    session: &Session,
    control: Control<HandlerError>,
) -> Result<Option<v3::codec::Encoded>, HandlerError> {
    session.note_end(&control);
    Ok(None)
}

impl Conn {
    /// Remembers how the connection ended, unless that is known already.
    pub(crate) fn note_end(&self, control: &Control<HandlerError>) {
        if let Control::Stop(reason) = control {
            let text = match reason {
                ntex_mqtt::Reason::Error(error) => format!("its handler failed: {}", error.get_ref().0),
                ntex_mqtt::Reason::Protocol(error) => format!("it broke the protocol: {}", error.get_ref()),
                ntex_mqtt::Reason::PeerGone(gone) => match gone.err() {
                    Some(error) => format!("the peer is gone: {error}"),
                    None => String::from("the peer closed the connection without DISCONNECT"),
                },
            };
            self.ending.borrow_mut().get_or_insert(text);
        }
    }
}
