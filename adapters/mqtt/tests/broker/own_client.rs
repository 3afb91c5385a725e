//! Our own client against the real broker.

use std::time::Duration;

use castellan_core::broker::BrokerSettings;
use castellan_core::effect::BrokerOrder;
use castellan_core::event::BrokerReport;
use castellan_mqtt::client::{Client, ClientConfig, ClientError, Received};

use crate::support::{House, PATIENCE};

fn config(house: &House, client_id: &str) -> ClientConfig {
    ClientConfig {
        address: format!("127.0.0.1:{}", house.port),
        client_id: client_id.to_owned(),
        tls: house.tls.clone(),
        timeout: PATIENCE,
    }
}

#[test]
fn it_publishes_subscribes_and_leaves() {
    let house = House::with(BrokerSettings { visible_denials: true, ..BrokerSettings::default() });
    let client = Client::connect(config(&house, "sample_Tok_7")).unwrap();
    assert_eq!(client.publish_at_least_once("KeeperLogger", b"{}").unwrap(), 0);
    assert_eq!(client.publish_at_least_once("closed/x", b"{}").unwrap(), 0x87);
    assert_eq!(client.subscribe("open/#").unwrap(), 2);
    assert_eq!(client.subscribe("closed/#").unwrap(), 0x87);
    assert_eq!(client.publish_at_least_once("open/x", b"hello").unwrap(), 0);
    let expect = Received { topic: "open/x".into(), payload: b"hello".to_vec(), qos: 1, retain: false };
    assert_eq!(client.next_message(PATIENCE).unwrap(), expect);
    client.disconnect().unwrap();
    let reason = house.report("the disconnect", |report| match report {
        BrokerReport::Disconnected { reason, .. } => Some(reason),
        _ => None,
    });
    assert!(reason.contains("DISCONNECT"), "{reason}");
    house.close();
}

#[test]
fn its_failures_say_what_happened() {
    let house = House::open();
    let refused = Client::connect(config(&house, "stranger_Tok_7")).unwrap_err();
    assert!(
        matches!(&refused, ClientError::Refused { code: 0x87, reason } if reason.contains("by the test")),
        "{refused}"
    );
    let client = Client::connect(config(&house, "sample_Tok_7")).unwrap();
    let late = client.next_message(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(late, ClientError::TimedOut { what: "message", .. }), "{late}");
    house.order(BrokerOrder::Stop);
    let ended = client.next_message(PATIENCE).unwrap_err();
    assert!(matches!(ended, ClientError::NotConnected(_)), "{ended}");
    assert!(matches!(client.publish_at_least_once("open/x", b""), Err(ClientError::NotConnected(_))));
    let untrusting = ClientConfig { address: "127.0.0.1:1".into(), ..config(&house, "sample_Tok_7") };
    assert!(matches!(Client::connect(untrusting), Err(ClientError::NotConnected(_))));
}

#[test]
fn it_trusts_only_what_it_is_told_to() {
    let house = House::open();
    let other = House::open();
    let stranger = ClientConfig { tls: other.tls.clone(), ..config(&house, "sample_Tok_7") };
    let error = Client::connect(stranger).unwrap_err();
    assert!(matches!(&error, ClientError::NotConnected(_)), "{error}");
    house.close();
    other.close();
}
