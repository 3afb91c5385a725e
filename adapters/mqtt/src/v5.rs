//! MQTT 5.0 packets to events and outcomes to packets.

use std::num::NonZeroU32;
use std::rc::Rc;
use std::sync::Arc;

use castellan_core::broker::BrokerEvent;
use castellan_core::broker::effect::{PublishOutcome, SubscribeOutcome, UnsubscribeOutcome};
use castellan_core::broker::event::{Connect, RetainHandling, SubscribeRequest, Version};
use castellan_core::broker::message::{Packet, Properties, Publication};
use castellan_core::effect::ConnectRefusal;
use ntex_bytes::{ByteString, Bytes};
use ntex_io::IoBoxed;
use ntex_mqtt::v5::codec;
use ntex_mqtt::{Control, MqttError, v5};
use ntex_service::{Service, State};

use crate::accept::{Conn, HandlerError};
use crate::pump::{Sink, pump};
use crate::shell::ConnectAnswer;
use crate::v3::{library_qos, qos};

type Session = v5::Session<Rc<Conn>>;

/// The protocol service of MQTT 5.0.
pub(crate) fn service() -> impl Service<(), State<Rc<Conn>, IoBoxed>, Res = (), Error = MqttError<HandlerError>> {
    v5::MqttServer::with(publish).protocol(protocol).control(control).build(connect)
}

impl TryFrom<HandlerError> for v5::PublishAck {
    type Error = HandlerError;

    fn try_from(error: HandlerError) -> Result<Self, HandlerError> {
        Err(error)
    }
}

async fn connect(connect: v5::Connect<Rc<Conn>>) -> Result<v5::ConnectAck<Rc<Conn>>, HandlerError> {
    let conn = Rc::clone(connect.st());
    let packet = connect.packet();
    if packet.auth_method.is_some() {
        return Ok(connect.failed(codec::ConnectAckReason::BadAuthenticationMethod));
    }
    let asked = Connect {
        version: Version::V5,
        client_id: packet.client_id.to_string(),
        will: packet.last_will.as_ref().map(will),
    };
    let wants_session = packet.session_expiry_interval_secs > 0;
    let sink = Sink::V5(connect.sink());
    match conn.ask(asked, sink.clone()).await {
        (ConnectAnswer::Accepted { note }, deliveries) => {
            ntex_rt::spawn(pump(Rc::clone(&conn), sink, deliveries));
            Ok(connect.ack(conn).with(|ack| {
                ack.reason_string = note.map(ByteString::from);
                if wants_session {
                    ack.session_expiry_interval_secs = Some(0);
                }
            }))
        }
        (ConnectAnswer::Refused { refusal, note }, _) => {
            let reason_code = match refusal {
                ConnectRefusal::NotAuthorized => codec::ConnectAckReason::NotAuthorized,
                ConnectRefusal::ClientIdentifierNotValid => codec::ConnectAckReason::ClientIdentifierNotValid,
                ConnectRefusal::ServerUnavailable => codec::ConnectAckReason::ServerUnavailable,
            };
            let reason_string = Some(ByteString::from(note));
            Ok(connect.fail_with(codec::ConnectAck { reason_code, reason_string, ..codec::ConnectAck::default() }))
        }
    }
}

async fn publish(session: &Session, publish: v5::Publish) -> Result<v5::PublishAck, HandlerError> {
    let payload =
        publish.read_all().await.map_err(|error| HandlerError(format!("the payload broke off: {error:?}")))?;
    let packet = publish.packet();
    let sent = &packet.properties;
    let publication = Publication {
        topic: publish.publish_topic().to_owned(),
        payload: Arc::from(payload.as_ref()),
        qos: qos(packet.qos),
        retain: packet.retain,
        packet: publish.id().map(|id| Packet { identifier: id.get(), duplicate: publish.dup() }),
        expiry_seconds: sent.message_expiry_interval,
        properties: properties(
            sent.is_utf8_payload,
            sent.content_type.as_ref(),
            sent.response_topic.as_ref(),
            sent.correlation_data.as_ref(),
            &sent.user_properties,
        ),
    };
    Ok(match session.shell.publish(session.id, publication) {
        PublishOutcome::Accepted => publish.ack(),
        PublishOutcome::NotAuthorized(reason) => {
            v5::PublishAck::new(codec::PublishAckReason::NotAuthorized).reason(ByteString::from(reason))
        }
    })
}

async fn protocol(session: &Session, message: v5::ProtocolMessage) -> Result<v5::ProtocolMessageAck, HandlerError> {
    match message {
        v5::ProtocolMessage::Auth(_) => {
            Ok(message.disconnect_with(codec::Disconnect::new(codec::DisconnectReasonCode::ProtocolError)))
        }
        v5::ProtocolMessage::PublishRelease(release) => Ok(release.ack()),
        v5::ProtocolMessage::Subscribe(subscribe) => Ok(on_subscribe(session, subscribe)),
        v5::ProtocolMessage::Unsubscribe(mut unsubscribe) => {
            let filters = unsubscribe.iter().map(ToString::to_string).collect();
            let outcomes = session.shell.unsubscribe(session.id, filters);
            for (mut one, outcome) in unsubscribe.iter_mut().zip(outcomes) {
                match outcome {
                    UnsubscribeOutcome::Removed => one.success(),
                    UnsubscribeOutcome::NoneExisted => one.fail(codec::UnsubscribeAckReason::NoSubscriptionExisted),
                    UnsubscribeOutcome::InvalidFilter => one.fail(codec::UnsubscribeAckReason::TopicFilterInvalid),
                }
            }
            Ok(unsubscribe.ack())
        }
        v5::ProtocolMessage::Disconnect(disconnect) => {
            let code = disconnect.packet().reason_code;
            // Only reason 0x00 drops the will (MQTT 5.0 3.1.2.5).
            let keep_will = code != codec::DisconnectReasonCode::NormalDisconnection;
            session.shell.drive(BrokerEvent::DisconnectReceived { connection: session.id, keep_will });
            session.ending.replace(Some(format!("the client sent DISCONNECT ({code:?})")));
            Ok(disconnect.ack())
        }
        v5::ProtocolMessage::Ping(ping) => Ok(ping.ack()),
    }
}

fn on_subscribe(session: &Session, mut subscribe: v5::control::Subscribe) -> v5::ProtocolMessageAck {
    let requests = subscribe
        .packet()
        .topic_filters
        .iter()
        .map(|(filter, options)| SubscribeRequest {
            filter: filter.to_string(),
            qos: qos(options.qos),
            no_local: options.no_local,
            retain_as_published: options.retain_as_published,
            retain_handling: match options.retain_handling {
                codec::RetainHandling::AtSubscribe => RetainHandling::AtSubscribe,
                codec::RetainHandling::AtSubscribeNew => RetainHandling::AtSubscribeNew,
                codec::RetainHandling::NoAtSubscribe => RetainHandling::No,
            },
        })
        .collect();
    let identifier = subscribe.packet().id.map(NonZeroU32::get);
    let outcomes = session.shell.subscribe(session.id, requests, identifier);
    for (mut one, outcome) in subscribe.iter_mut().zip(outcomes) {
        match outcome {
            SubscribeOutcome::Granted(granted) => one.confirm(library_qos(granted)),
            SubscribeOutcome::NotAuthorized => one.fail(codec::SubscribeAckReason::NotAuthorized),
            SubscribeOutcome::InvalidFilter => one.fail(codec::SubscribeAckReason::TopicFilterInvalid),
            SubscribeOutcome::QuotaExceeded => one.fail(codec::SubscribeAckReason::QuotaExceeded),
        }
    }
    subscribe.ack()
}

async fn control(session: &Session, control: Control<HandlerError>) -> Result<Option<codec::Encoded>, HandlerError> {
    session.note_end(&control);
    Ok(None)
}

fn will(will: &codec::LastWill) -> Publication {
    Publication {
        topic: will.topic.to_string(),
        payload: Arc::from(will.message.as_ref()),
        qos: qos(will.qos),
        retain: will.retain,
        packet: None,
        expiry_seconds: will.message_expiry_interval,
        properties: properties(
            will.is_utf8_payload == Some(true),
            will.content_type.as_ref(),
            will.response_topic.as_ref(),
            will.correlation_data.as_ref(),
            &will.user_properties,
        ),
    }
}

/// The properties that travel on; topic alias and subscription identifiers belong to one connection and do not.
fn properties(
    is_utf8: bool,
    content_type: Option<&ByteString>,
    response_topic: Option<&ByteString>,
    correlation_data: Option<&Bytes>,
    user: &[(ByteString, ByteString)],
) -> Option<Box<Properties>> {
    let properties = Properties {
        is_utf8,
        content_type: content_type.map(ToString::to_string),
        response_topic: response_topic.map(ToString::to_string),
        correlation_data: correlation_data.map(|data| data.to_vec()),
        user: user.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
    };
    (properties != Properties::default()).then(|| Box::new(properties))
}
