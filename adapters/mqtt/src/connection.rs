//! One connection: its version, its CONNECT, then every packet to the machine, until it ends.

use std::io;
use std::rc::Rc;

use castellan_core::acl::client_id;
use castellan_core::api::CertificateFacts;
use castellan_core::broker::BrokerEvent;
use castellan_core::broker::packet::{Connect, Incoming, Outgoing, ReasonCode};
use castellan_core::effect::ConnectRefusal;
use castellan_core::id::ConnectionId;
use castellan_core::trust::{Claim, PeerFacts, Witness};
use ntex_io::IoBoxed;
use ntex_mqtt::error::DecodeError;
use ntex_mqtt::v3::codec::ConnectAckReason;
use ntex_tls::PeerCertDer;
use ntex_util::channel::oneshot;
use ntex_util::future::Either;

use crate::accept::{Front, caught};
use crate::shell::Link;
use crate::wire::{Frame, Greeting, Probe, Wire};

/// Speaks MQTT until the connection ends; how it ended.
pub(crate) async fn converse(front: &Front, id: ConnectionId, io: IoBoxed, witness: Witness) -> String {
    let reason = match begin(front, &io).await {
        Ok((wire, connect)) => go_on(front, id, &io, wire, connect, witness).await,
        Err(reason) => reason,
    };
    // What was written last still has to go out; bounded by the library's own limit on a shutdown.
    if let Err(error) = io.shutdown().await {
        log::trace!("connection {id} did not end in order: {error}");
    }
    reason
}

/// The first packet: which version, and its CONNECT.
async fn begin(front: &Front, io: &IoBoxed) -> Result<(Rc<Wire>, Box<Connect>), String> {
    let version = match io.recv(&Probe).await {
        Ok(Some(Greeting::Version(version))) => version,
        Ok(Some(Greeting::UnknownLevel(level))) => {
            if let Err(error) = io.encode(ConnectAckReason::UnacceptableProtocolVersion, &Probe) {
                log::debug!("a refusal could not be written: {error}");
            }
            return Err(format!("it speaks protocol level {level}; 4 (MQTT 3.1.1) and 5 (MQTT 5.0) are spoken here"));
        }
        Ok(Some(Greeting::Stranger)) => return Err(String::from("its first packet is no CONNECT")),
        Ok(None) => return Err(String::from("the peer closed the connection")),
        Err(Either::Left(error) | Either::Right(error)) => return Err(format!("the peer is gone: {error}")),
    };
    let wire = Rc::new(Wire::new(version, front.max_packet_bytes, Rc::clone(&front.payloads)));
    match io.recv(&*wire).await {
        Ok(Some(Frame::Connect(connect))) => Ok((wire, connect)),
        Ok(Some(Frame::Packet(_))) => Err(String::from("its first packet is no CONNECT")),
        Ok(None) => Err(String::from("the peer closed the connection")),
        Err(Either::Left(error)) => {
            wire.refuse_connect(io, &error);
            Err(format!("its CONNECT is malformed: {error}"))
        }
        Err(Either::Right(error)) => Err(format!("the peer is gone: {error}")),
    }
}

/// Brings the CONNECT before the machine, and every packet after it.
async fn go_on(
    front: &Front,
    id: ConnectionId,
    io: &IoBoxed,
    wire: Rc<Wire>,
    connect: Box<Connect>,
    witness: Witness,
) -> String {
    let claimed = client_id::claimed_pid(&connect.client_id).ok();
    // Only what the admin CA issued gets through the handshake.
    let certificate = io.query::<PeerCertDer>();
    let certificate = certificate.as_ref().map(|der| CertificateFacts { sha256: (front.fingerprint)(der.0.as_ref()) });
    let claim = Claim { pid: claimed, certified: certificate.is_some() };
    let peer: io::Result<PeerFacts> = smol::unblock(move || caught(|| witness(claim))).await;
    let shell = &front.shell;
    let Some(place) = shell.waiting.leave(id) else {
        return refuse(io, &wire, "The connection lost its place to newer ones.");
    };
    // From here on it cannot be evicted.
    if place.send(()).is_err() {
        return String::from("the connection is gone");
    }
    let peer = match peer {
        Ok(peer) => Box::new(peer),
        Err(error) => {
            log::error!("connection {id} is refused, because nobody can say who it is: {error}");
            return refuse(io, &wire, "The agent could not find out which process this is.");
        }
    };
    let (answer, answered) = oneshot::channel();
    shell.link(id, Link { io: io.get_ref(), wire: Rc::clone(&wire), answer: Some(answer) });
    shell.drive(BrokerEvent::ConnectReceived { connection: id, connect, peer, certificate });
    // A client may send more before it has its CONNACK (MQTT 5.0 3.1.4); that waits in the socket.
    if answered.await.is_err() {
        return String::from("the broker forgot the connection");
    }
    loop {
        let packet = match io.recv(&*wire).await {
            Ok(Some(Frame::Packet(packet))) => packet,
            Ok(Some(Frame::Connect(_))) => violation(ReasonCode::ProtocolError, "It sent a second CONNECT."),
            Ok(None) => return String::from("the peer closed the connection without DISCONNECT"),
            Err(Either::Left(error)) => {
                shell.drive(BrokerEvent::Received { connection: id, packet: malformed(&error) });
                return format!("it broke the protocol: {error}");
            }
            Err(Either::Right(error)) => return format!("the peer is gone: {error}"),
        };
        let before = shell.kept.outbox.messages();
        shell.drive(BrokerEvent::Received { connection: id, packet });
        if shell.kept.outbox.messages() > before {
            shell.kept.outbox.wait_for_room().await;
        }
    }
}

pub(crate) fn violation(reason: ReasonCode, text: &str) -> Incoming {
    Incoming::Violation { reason, text: text.to_owned() }
}

pub(crate) fn malformed(error: &DecodeError) -> Incoming {
    let too_large = matches!(error, DecodeError::MaxSizeExceeded { .. });
    let reason = if too_large { ReasonCode::PacketTooLarge } else { ReasonCode::MalformedPacket };
    violation(reason, &error.to_string())
}

fn refuse(io: &IoBoxed, wire: &Wire, note: &str) -> String {
    let packet = Outgoing::ConnectRefused { reason: ConnectRefusal::ServerUnavailable, note: note.to_owned() };
    if let Err(error) = io.encode(packet, wire) {
        log::debug!("a refusal could not be written: {error}");
    }
    note.to_owned()
}
