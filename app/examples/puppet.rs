//! A task or plugin program for the tests: connects to a control socket and does what the test at its other end says.
//! Its MQTT client is `rumqttc`, which nobody here wrote; it uses nothing of the agent but the public interfaces.
//!
//! `puppet CONTROL CA BASE LABEL…` reads one JSON object a line and answers each with one. The end of the socket ends it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "the client's enums have much that no test asks for; a puppet that cannot go on says why and dies, which fails the test"
)]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use castellan_https::client::{ClientRequest, request};
use rumqttc::{TlsConfiguration, Transport, v5};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

/// Bounds a test that would hang; never a measure.
const PATIENCE: Duration = Duration::from_secs(60);
/// A keep-alive that no test outlives.
const KEEP_ALIVE: Duration = Duration::from_secs(300);
/// Requests that wait inside the client.
const CAPACITY: usize = 16;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [control, ca, base, rest @ ..] = arguments.as_slice() else { panic!("puppet CONTROL CA BASE LABEL…") };
    let stream = UnixStream::connect(control).expect("the control socket");
    let environment: serde_json::Map<String, Value> =
        std::env::vars().map(|(name, value)| (name, Value::from(value))).collect();
    let hello = json!({ "pid": std::process::id(), "arguments": rest, "base": base, "environment": environment });
    let mut out = stream.try_clone().expect("the control socket");
    writeln!(out, "{hello}").expect("the control socket");
    let mut puppet = Puppet { tls: tls(ca), base: base.clone(), session: None };
    for line in BufReader::new(stream).lines() {
        let order: Value = serde_json::from_str(&line.expect("an order")).expect("an order");
        let answer = puppet.obey(&order);
        writeln!(out, "{answer}").expect("the control socket");
    }
}

/// TLS that trusts the agent's own certificate and nothing else, as `state/ca.pem` gives it.
fn tls(ca: &str) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).expect("state/ca.pem") {
        roots.add(certificate.expect("a certificate")).expect("a certificate");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Arc::new(builder.expect("TLS versions").with_root_certificates(roots).with_no_client_auth())
}

struct Puppet {
    tls: Arc<rustls::ClientConfig>,
    base: String,
    session: Option<Session>,
}

impl Puppet {
    fn obey(&mut self, order: &Value) -> Value {
        let text = |name: &str| order[name].as_str().unwrap_or_default().to_owned();
        match order["do"].as_str().unwrap_or_default() {
            "connect" => {
                let address = (text("host"), u16::try_from(order["port"].as_u64().unwrap()).unwrap());
                let mut session = match order["version"].as_u64() {
                    Some(4) => Session::v4(address, &text("id"), order["clean"] != false, &self.tls),
                    _ => Session::v5(address, &text("id"), &self.tls),
                };
                let answer = session.next(&["connack"]);
                self.session = Some(session);
                answer
            }
            "publish" => {
                let (qos, retain) = (order["qos"].as_u64().unwrap(), order["retain"] == true);
                self.session().publish(&text("topic"), &text("payload"), qos, retain)
            }
            "subscribe" => self.session().subscribe(&text("filter")),
            "receive" => self.session().receive(),
            "disconnect" => {
                let mut session = self.session.take().expect("a session");
                (session.disconnect)();
                session.next(&["closed"])
            }
            "wire" => self.wire(order),
            "call" => self.call(&text("method"), &text("target"), &text("body")),
            "spawn" => spawn(order),
            "leave-session" => json!({ "session": rustix::process::setsid().expect("setsid").as_raw_nonzero().get() }),
            "write" => {
                let mut stderr = std::io::stderr();
                stderr.write_all(text("stderr").as_bytes()).expect("standard error");
                json!({ "event": "written" })
            }
            "exit" => {
                let mut stdout = std::io::stdout();
                stdout.write_all(text("stdout").as_bytes()).and_then(|()| stdout.flush()).expect("standard output");
                std::process::exit(i32::try_from(order["code"].as_i64().unwrap()).unwrap());
            }
            other => panic!("no such order: {other}"),
        }
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect("a session")
    }

    /// One connection to the broker on which each packet is sent as it stands here and answered before the next; then it breaks off.
    fn wire(&self, order: &Value) -> Value {
        let port = u16::try_from(order["port"].as_u64().unwrap()).unwrap();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("the broker");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let mut wire = StreamOwned::new(ClientConnection::new(Arc::clone(&self.tls), name).unwrap(), stream);
        let answer = |packet: &Value| {
            let bytes: Vec<u8> = serde_json::from_value(packet.clone()).expect("bytes");
            wire.write_all(&bytes).expect("the broker reads");
            let mut head = [0; 2];
            wire.read_exact(&mut head).expect("the broker answers");
            // No answer of the broker is as long as 128 bytes, so its length is one byte.
            let mut rest = vec![0; usize::from(head[1])];
            wire.read_exact(&mut rest).expect("a whole packet");
            [head.to_vec(), rest].concat()
        };
        let answers: Vec<Vec<u8>> = order["packets"].as_array().unwrap().iter().map(answer).collect();
        json!({ "answers": answers })
    }

    /// A call to the agent's HTTPS API, without a client certificate.
    fn call(&self, method: &str, target: &str, body: &str) -> Value {
        let port = self.base.rsplit_once(':').unwrap().1.parse().unwrap();
        let answer = smol::block_on(request(ClientRequest {
            method: method.to_owned(),
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            host: String::from("127.0.0.1"),
            target: target.to_owned(),
            headers: vec![(String::from("Content-Type"), String::from("application/json"))],
            body: body.as_bytes().to_vec(),
            tls: Some(Arc::clone(&self.tls)),
            timeout: PATIENCE,
        }));
        match answer {
            Ok(answer) => json!({ "status": answer.status, "body": String::from_utf8_lossy(&answer.body) }),
            Err(error) => json!({ "error": error.to_string() }),
        }
    }
}

/// Starts this program once more, as a child of this one, under another label.
#[expect(clippy::disallowed_methods, reason = "an integrator's program starts processes of its own")]
fn spawn(order: &Value) -> Value {
    let mut arguments: Vec<String> = std::env::args().skip(1).take(3).collect();
    arguments.push(order["label"].as_str().unwrap().to_owned());
    let program = std::env::current_exe().expect("own path");
    let mut child = std::process::Command::new(program).args(arguments).spawn().expect("a child");
    let pid = child.id();
    thread::spawn(move || child.wait());
    json!({ "pid": pid })
}

/// One MQTT connection of either version; its events come as JSON objects with a member `event`.
struct Session {
    events: Receiver<Value>,
    messages: VecDeque<Value>,
    publish: Publish,
    subscribe: Box<dyn Fn(&str)>,
    disconnect: Box<dyn Fn()>,
}

/// Sends topic, payload, QoS and RETAIN.
type Publish = Box<dyn Fn(&str, &str, u64, bool)>;

impl Session {
    fn v5((host, port): (String, u16), id: &str, tls: &Arc<rustls::ClientConfig>) -> Self {
        let mut options = v5::MqttOptions::new(id, host, port);
        options.set_keep_alive(KEEP_ALIVE).set_transport(transport(tls));
        let (client, mut connection) = v5::Client::new(options, CAPACITY);
        let (sender, events) = channel();
        thread::spawn(move || {
            for event in connection.iter() {
                let last = event.is_err();
                tell(&sender, event.map_or_else(|error| ended_v5(&error), |event| told_v5(&event)));
                if last {
                    return;
                }
            }
        });
        let (publisher, subscriber) = (client.clone(), client.clone());
        Self {
            events,
            messages: VecDeque::new(),
            publish: Box::new(move |topic, payload, qos, retain| {
                use v5::mqttbytes::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
                let qos = [AtMostOnce, AtLeastOnce, ExactlyOnce][usize::try_from(qos).unwrap()];
                publisher.publish(topic, qos, retain, payload.to_owned()).unwrap();
            }),
            subscribe: Box::new(move |filter| {
                subscriber.subscribe(filter, v5::mqttbytes::QoS::AtLeastOnce).unwrap();
            }),
            disconnect: Box::new(move || client.disconnect().unwrap()),
        }
    }

    fn v4((host, port): (String, u16), id: &str, clean: bool, tls: &Arc<rustls::ClientConfig>) -> Self {
        let mut options = rumqttc::MqttOptions::new(id, host, port);
        options.set_clean_session(clean).set_keep_alive(KEEP_ALIVE).set_transport(transport(tls));
        let (client, mut connection) = rumqttc::Client::new(options, CAPACITY);
        let (sender, events) = channel();
        thread::spawn(move || {
            for event in connection.iter() {
                let last = event.is_err();
                tell(&sender, event.map_or_else(|error| ended_v4(&error), |event| told_v4(&event)));
                if last {
                    return;
                }
            }
        });
        let (publisher, subscriber) = (client.clone(), client.clone());
        Self {
            events,
            messages: VecDeque::new(),
            publish: Box::new(move |topic, payload, qos, retain| {
                use rumqttc::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
                let qos = [AtMostOnce, AtLeastOnce, ExactlyOnce][usize::try_from(qos).unwrap()];
                publisher.publish(topic, qos, retain, payload).unwrap();
            }),
            subscribe: Box::new(move |filter| subscriber.subscribe(filter, rumqttc::QoS::AtLeastOnce).unwrap()),
            disconnect: Box::new(move || client.disconnect().unwrap()),
        }
    }

    fn publish(&mut self, topic: &str, payload: &str, qos: u64, retain: bool) -> Value {
        (self.publish)(topic, payload, qos, retain);
        if qos == 0 { json!({}) } else { self.next(&["puback", "pubcomp"]) }
    }

    fn subscribe(&mut self, filter: &str) -> Value {
        (self.subscribe)(filter);
        self.next(&["suback"])
    }

    fn receive(&mut self) -> Value {
        self.messages.pop_front().unwrap_or_else(|| self.next(&["message"]))
    }

    /// The next event of one of these kinds, or the end of the connection. Messages that come before are kept.
    fn next(&mut self, kinds: &[&str]) -> Value {
        loop {
            let Ok(event) = self.events.recv_timeout(PATIENCE) else {
                return json!({ "event": "nothing", "why": format!("none of {kinds:?} within {PATIENCE:?}") });
            };
            let kind = event["event"].as_str().unwrap();
            if kinds.contains(&kind) || kind == "closed" || kind == "refused" {
                return event;
            }
            if kind == "message" {
                self.messages.push_back(event);
            }
        }
    }
}

fn transport(tls: &Arc<rustls::ClientConfig>) -> Transport {
    Transport::tls_with_config(TlsConfiguration::Rustls(Arc::clone(tls)))
}

/// Nobody may be listening any more; then nobody needs to know.
fn tell(sender: &Sender<Value>, event: Option<Value>) {
    if let Some(event) = event {
        drop(sender.send(event));
    }
}

fn told_v5(event: &v5::Event) -> Option<Value> {
    use v5::mqttbytes::v5::Packet;
    let v5::Event::Incoming(packet) = event else { return None };
    Some(match packet {
        Packet::ConnAck(ack) => json!({ "event": "connack", "code": format!("{:?}", ack.code) }),
        Packet::PubAck(ack) => json!({ "event": "puback", "reason": format!("{:?}", ack.reason) }),
        Packet::PubComp(_) => json!({ "event": "pubcomp" }),
        Packet::SubAck(ack) => json!({ "event": "suback", "codes": format!("{:?}", ack.return_codes) }),
        Packet::Publish(message) => json!({
            "event": "message",
            "topic": String::from_utf8_lossy(&message.topic),
            "payload": String::from_utf8_lossy(&message.payload),
        }),
        Packet::Disconnect(end) => json!({ "event": "closed", "reason": format!("{:?}", end.reason_code) }),
        _ => return None,
    })
}

fn ended_v5(error: &v5::ConnectionError) -> Option<Value> {
    Some(match error {
        v5::ConnectionError::ConnectionRefused(code) => json!({ "event": "refused", "code": format!("{code:?}") }),
        other => json!({ "event": "closed", "reason": other.to_string() }),
    })
}

fn told_v4(event: &rumqttc::Event) -> Option<Value> {
    use rumqttc::Packet;
    let rumqttc::Event::Incoming(packet) = event else { return None };
    Some(match packet {
        Packet::ConnAck(ack) => json!({ "event": "connack", "code": format!("{:?}", ack.code) }),
        Packet::PubAck(_) => json!({ "event": "puback", "reason": "Success" }),
        Packet::PubComp(_) => json!({ "event": "pubcomp" }),
        Packet::SubAck(ack) => json!({ "event": "suback", "codes": format!("{:?}", ack.return_codes) }),
        Packet::Publish(message) => json!({
            "event": "message", "topic": message.topic, "payload": String::from_utf8_lossy(&message.payload),
        }),
        _ => return None,
    })
}

fn ended_v4(error: &rumqttc::ConnectionError) -> Option<Value> {
    Some(match error {
        rumqttc::ConnectionError::ConnectionRefused(code) => json!({ "event": "refused", "code": format!("{code:?}") }),
        other => json!({ "event": "closed", "reason": other.to_string() }),
    })
}
