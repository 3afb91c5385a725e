//! The test's end of a program that does as it is told (`examples/puppet.rs`).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use serde_json::{Value, json};

use super::PATIENCE;

pub(crate) struct Puppet {
    stream: BufReader<UnixStream>,
    hello: Value,
}

impl Puppet {
    pub(crate) fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut puppet = Self { stream: BufReader::new(stream), hello: Value::Null };
        puppet.hello = puppet.answer().expect("a puppet that reports itself");
        puppet
    }

    pub(crate) fn pid(&self) -> u32 {
        u32::try_from(self.hello["pid"].as_u64().unwrap()).unwrap()
    }

    /// Its first argument behind the fixed ones.
    pub(crate) fn label(&self) -> &str {
        self.hello["arguments"][0].as_str().unwrap()
    }

    /// All arguments behind the fixed ones.
    pub(crate) fn arguments(&self) -> Vec<&str> {
        self.hello["arguments"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
    }

    /// What `{KeeperApiBaseUrl}` was for it.
    pub(crate) fn base(&self) -> &str {
        self.hello["base"].as_str().unwrap()
    }

    pub(crate) fn environment(&self) -> &serde_json::Map<String, Value> {
        self.hello["environment"].as_object().unwrap()
    }

    fn answer(&mut self) -> Option<Value> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line);
        (read.is_ok_and(|bytes| bytes > 0)).then(|| serde_json::from_str(&line).unwrap())
    }

    /// Gives an order and waits for its answer.
    #[track_caller]
    pub(crate) fn order(&mut self, order: &Value) -> Value {
        writeln!(self.stream.get_mut(), "{order}").expect("the puppet is there");
        self.answer().unwrap_or_else(|| panic!("no answer to {order}"))
    }

    /// Connects to the broker with MQTT 5 and the given client id.
    pub(crate) fn connect_as(&mut self, port: u16, id: &str) -> Value {
        self.order(&json!({ "do": "connect", "host": "127.0.0.1", "port": port, "version": 5, "id": id }))
    }

    /// The same with MQTT 3.1.1.
    pub(crate) fn connect_v4_as(&mut self, port: u16, id: &str) -> Value {
        self.order(&json!({ "do": "connect", "host": "127.0.0.1", "port": port, "version": 4, "id": id }))
    }

    /// Connects with the documented client id of its job, as its label names it.
    #[track_caller]
    pub(crate) fn connect(&mut self, port: u16) {
        let id = format!("{}_Puppet_{}", self.label(), self.pid());
        assert_eq!(self.connect_as(port, &id), accepted());
    }

    /// Connects with the documented client id of its plugin, as its label names it.
    #[track_caller]
    pub(crate) fn connect_plugin(&mut self, port: u16) {
        let id = format!("{}_{}", self.label(), self.pid());
        assert_eq!(self.connect_as(port, &id), accepted());
    }

    /// Publishes at QoS 1 and waits for the acknowledgement.
    #[track_caller]
    pub(crate) fn publish(&mut self, topic: &str, payload: &str) {
        let answer = self.order(&json!({ "do": "publish", "topic": topic, "payload": payload, "qos": 1 }));
        assert_eq!(answer["event"], "puback", "{answer}");
    }

    /// Sends a log message in the documented form.
    #[track_caller]
    pub(crate) fn log(&mut self, message: &str) {
        self.publish("KeeperLogger", &log_message(message).to_string());
    }

    #[track_caller]
    pub(crate) fn subscribe(&mut self, filter: &str) -> String {
        let answer = self.order(&json!({ "do": "subscribe", "filter": filter }));
        answer["codes"].as_str().unwrap_or_else(|| panic!("no SUBACK: {answer}")).to_owned()
    }

    /// The next message: its topic and payload.
    #[track_caller]
    pub(crate) fn receive(&mut self) -> (String, String) {
        let answer = self.order(&json!({ "do": "receive" }));
        assert_eq!(answer["event"], "message", "{answer}");
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        (text("topic"), text("payload"))
    }

    /// GET on the agent's API, without a client certificate: status and body.
    #[track_caller]
    pub(crate) fn get(&mut self, target: &str) -> (u64, String) {
        let answer = self.order(&json!({ "do": "call", "method": "GET", "target": target }));
        let status = answer["status"].as_u64().unwrap_or_else(|| panic!("no answer: {answer}"));
        (status, answer["body"].as_str().unwrap().to_owned())
    }

    /// Lets it start itself once more under another label, as its child.
    pub(crate) fn spawn(&mut self, label: &str) {
        self.order(&json!({ "do": "spawn", "label": label }));
    }

    /// Ends it, with this as its standard output.
    pub(crate) fn exit(mut self, code: i32, stdout: &str) {
        writeln!(self.stream.get_mut(), "{}", json!({ "do": "exit", "code": code, "stdout": stdout })).unwrap();
        self.expect_gone();
    }

    /// Waits until it is gone, whoever ended it.
    #[track_caller]
    pub(crate) fn expect_gone(&mut self) {
        assert_eq!(self.answer(), None, "the puppet still talks");
    }
}

/// The answer to a connection that was accepted.
pub(crate) fn accepted() -> Value {
    json!({ "event": "connack", "code": "Success" })
}

/// A `RequestMessage` (seed 001, step 5).
pub(crate) fn log_message(message: &str) -> Value {
    json!({
        "Id": "b2e7f4a8-6c2d-4b1e-9f3a-8c1d2e3f4a5b",
        "Version": 1,
        "RespondToTopic": null,
        "MetaData": {
            "MessageType": 4, "LogLevel": 1, "Source": "Puppet", "Category": "Test",
            "Message": message, "CorrelationId": "trace-7", "Context": ""
        }
    })
}
