//! From a connection's queue to its socket, in order: one task for each connection, so that no handler ever waits for a peer.

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::rc::Rc;

use castellan_core::broker::effect::CloseReason;
use castellan_core::broker::message::{Delivery, Properties, QoS};
use ntex_bytes::{ByteString, Bytes};
use ntex_mqtt::v5::codec::{Disconnect, DisconnectReasonCode, PublishProperties};
use ntex_mqtt::{error::SendPacketError, v3, v5};
use ntex_util::channel::mpsc;
use smol::future::poll_once;

use crate::accept::Conn;

/// The sending end of a connection.
#[derive(Debug, Clone)]
pub(crate) enum Sink {
    V3(v3::MqttSink),
    V5(v5::MqttSink),
}

type Sending = Pin<Box<dyn Future<Output = Result<(), SendPacketError>>>>;

/// Sends until the connection ends. It begins after CONNACK: before that the sink has no credit and is not ready.
pub(crate) async fn pump(conn: Rc<Conn>, sink: Sink, deliveries: mpsc::Receiver<Delivery>) {
    if !sink.ready().await {
        return;
    }
    while let Some(delivery) = deliveries.recv().await {
        let qos = delivery.qos;
        if qos > QoS::AtMostOnce && !sink.ready().await {
            return;
        }
        let mut sending = sink.sending(delivery);
        // The first poll writes the packet, which keeps the order; what is left of QoS 1 and 2 is the wait for the peer.
        let first =
            if qos == QoS::AtMostOnce { Some(sending.as_mut().await) } else { poll_once(sending.as_mut()).await };
        match first {
            Some(result) => finish(&conn, result),
            None => {
                let conn = Rc::clone(&conn);
                ntex_rt::spawn(async move { finish(&conn, sending.await) });
            }
        }
    }
}

fn finish(conn: &Conn, result: Result<(), SendPacketError>) {
    if let Err(error) = result {
        // Too large for this client (MQTT 5.0 3.1.2.11.4), refused by it, or the connection has ended.
        log::debug!("a message for connection {} was not delivered: {error}", conn.id);
    }
    conn.shell.delivered(conn.id);
}

impl Sink {
    async fn ready(&self) -> bool {
        match self {
            Self::V3(sink) => sink.ready().await,
            Self::V5(sink) => sink.ready().await,
        }
    }

    /// Ends the connection; only MQTT 5.0 can say why.
    pub(crate) fn close(&self, reason: CloseReason) {
        match self {
            Self::V3(sink) => sink.close(),
            Self::V5(sink) => sink.close_with_reason(Disconnect::new(match reason {
                CloseReason::TakenOver => DisconnectReasonCode::SessionTakenOver,
                CloseReason::NotAuthorized => DisconnectReasonCode::NotAuthorized,
                CloseReason::ShuttingDown => DisconnectReasonCode::ServerShuttingDown,
                CloseReason::TopicNameInvalid => DisconnectReasonCode::TopicNameInvalid,
            })),
        }
    }

    fn sending(&self, delivery: Delivery) -> Sending {
        let topic = ByteString::from(delivery.message.topic.as_str());
        let payload = Bytes::copy_from_slice(&delivery.message.payload);
        match self {
            Self::V3(sink) => {
                let builder = sink.publish(topic);
                let builder = if delivery.retain { builder.retain() } else { builder };
                match delivery.qos {
                    QoS::AtMostOnce => Box::pin(builder.send_at_most_once(payload)),
                    QoS::AtLeastOnce => Box::pin(builder.send_at_least_once(payload)),
                    QoS::ExactlyOnce => {
                        Box::pin(async move { builder.send_exactly_once(payload).await?.release().await })
                    }
                }
            }
            Self::V5(sink) => {
                let builder = sink.publish(topic).retain(delivery.retain);
                let builder = builder.properties(|properties| fill(properties, &delivery));
                match delivery.qos {
                    QoS::AtMostOnce => Box::pin(builder.send_at_most_once(payload)),
                    QoS::AtLeastOnce => Box::pin(async move { builder.send_at_least_once(payload).await.map(|_| ()) }),
                    QoS::ExactlyOnce => {
                        Box::pin(async move { builder.send_exactly_once(payload).await?.release().await })
                    }
                }
            }
        }
    }
}

fn fill(properties: &mut PublishProperties, delivery: &Delivery) {
    properties.message_expiry_interval = delivery.expiry_seconds;
    properties.subscription_ids = delivery.identifiers.iter().copied().filter_map(NonZeroU32::new).collect();
    let Some(sent) = delivery.message.properties.as_deref() else {
        return;
    };
    let Properties { is_utf8, content_type, response_topic, correlation_data, user } = sent;
    properties.is_utf8_payload = *is_utf8;
    properties.content_type = content_type.as_deref().map(ByteString::from);
    properties.response_topic = response_topic.as_deref().map(ByteString::from);
    properties.correlation_data = correlation_data.as_deref().map(Bytes::copy_from_slice);
    properties.user_properties =
        user.iter().map(|(name, value)| (ByteString::from(name.as_str()), ByteString::from(value.as_str()))).collect();
}
