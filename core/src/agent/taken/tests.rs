//! What is remembered of messages, and where that ends.

use std::string::ToString;

use super::Taken;
use crate::acl::Subject;
use crate::broker::message::Packet;
use crate::id::{Component, JobId, SpawnId};
use crate::limits::{TAKEN_MESSAGES, TAKEN_SENDERS};

fn subject(spawn: u64, client: &str) -> Subject {
    let component = Component::Job(JobId::parse("j").unwrap());
    Subject { component, run: None, spawn: SpawnId(spawn), pid: 1, client_id: client.to_string() }
}

fn send(taken: &mut Taken, spawn: u64, identifier: u16, duplicate: bool) -> bool {
    let packet = Packet { identifier, duplicate };
    taken.is_new(&subject(spawn, "c"), "EventMessages", b"x", packet, &|spawn| spawn.0.is_multiple_of(2))
}

#[test]
fn a_copy_is_known_by_client_identifier_topic_and_payload_together() {
    let mut taken = Taken::default();
    let mut send = |client: &str, topic: &str, payload: &[u8], identifier: u16| {
        let packet = Packet { identifier, duplicate: true };
        taken.is_new(&subject(1, client), topic, payload, packet, &|_| true)
    };
    assert!(send("c", "t", b"xy", 1), "the first copy of a message that was lost is new");
    assert!(!send("c", "t", b"xy", 1));
    assert!(send("d", "t", b"xy", 1), "another client of the same process counts by itself");
    assert!(send("c", "t", b"xy", 2));
    assert!(send("c", "tx", b"y", 3) && send("c", "t", b"xy", 3), "topic and payload do not run into each other");
    assert!(!send("c", "t", b"xy", 1) && !send("d", "t", b"xy", 1) && !send("c", "t", b"xy", 2));
}

#[test]
fn an_identifier_is_free_again_for_a_new_message() {
    let mut taken = Taken::default();
    for _ in 0..3 {
        assert!(send(&mut taken, 1, 7, false), "without DUP it is new, whatever it says");
        assert!(!send(&mut taken, 1, 7, true));
    }
    assert_eq!(taken.senders[0].1.len(), 1);
}

#[test]
fn memory_is_bounded_for_each_process_and_in_all() {
    let mut taken = Taken::default();
    for identifier in 0..1000 {
        send(&mut taken, 1, identifier, false);
    }
    assert_eq!(taken.senders[0].1.len(), TAKEN_MESSAGES);
    assert!(!send(&mut taken, 1, 999, true));
    for spawn in 2..2000 {
        send(&mut taken, spawn, 1, false);
        assert!(taken.senders.len() <= TAKEN_SENDERS);
        assert!(!send(&mut taken, 2, 1, true), "a process that is heard is kept");
    }
    assert!(!send(&mut taken, 1998, 1, true), "processes that live are kept longer than those that ended");
    assert!(send(&mut taken, 1, 999, true), "a process that ended is forgotten when there is no room");
}
