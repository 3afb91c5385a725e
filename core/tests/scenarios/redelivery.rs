//! A message that comes once more because its acknowledgement was lost starts nothing; one that was lost itself starts its run.

use castellan_core::acl::Subject;
use castellan_core::broker::message::Packet;

use crate::world::World;

const TOPICS: &str = r#","mqttTopics":{"allowedPublications":["EventMessages","JobService"]}"#;

fn job(id: &str, members: &str) -> String {
    format!(r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool"}}]{members}}}"#)
}

/// A world with a program of job `sender` that is connected as two clients, and a job that waits for events.
fn world() -> (World, Subject, Subject) {
    let listener = job("b", r#","events":["E"],"overlap":"parallel""#);
    let settings = r#"{"Settings":{"MaxConcurrentRuns":64}}"#;
    let mut world = World::with(settings, &[("Jobs/sender", &job("sender", TOPICS)), ("Jobs/b", &listener)]);
    world.admin("POST", "/api/Jobs/sender/trigger", "");
    world.disk();
    world.started(1);
    let (one, two) = (world.client(1, "sender_One_1001", 1), world.client(2, "sender_Two_1001", 1));
    (world, one, two)
}

const fn packet(identifier: u16, duplicate: bool) -> Option<Packet> {
    Some(Packet { identifier, duplicate })
}

#[test]
fn one_run_for_each_message_however_often_it_comes() {
    let (mut world, one, two) = world();
    let (fire, more, ask) = (r#"{"eventName":"E"}"#, r#"{"eventName":"E","context":{}}"#, r#"{"jobId":"b"}"#);
    for (what, sender, topic, payload, packet, starts) in [
        ("a message", &one, "EventMessages", fire, packet(1, false), true),
        ("its copy", &one, "EventMessages", fire, packet(1, true), false),
        ("its copy again", &one, "EventMessages", fire, packet(1, true), false),
        ("the next message", &one, "EventMessages", fire, packet(2, false), true),
        ("a copy of the first, late", &one, "EventMessages", fire, packet(1, true), false),
        ("the identifier once more for a new message", &one, "EventMessages", fire, packet(1, false), true),
        ("a copy of a message that was lost", &one, "EventMessages", fire, packet(3, true), true),
        ("its copy", &one, "EventMessages", fire, packet(3, true), false),
        ("a lost message under a known identifier", &one, "EventMessages", more, packet(3, true), true),
        ("the other client's message", &two, "EventMessages", fire, packet(1, true), true),
        ("its copy", &two, "EventMessages", fire, packet(1, true), false),
        ("a message on JobService", &one, "JobService", ask, packet(9, false), true),
        ("its copy", &one, "JobService", ask, packet(9, true), false),
        ("QoS 0", &one, "EventMessages", fire, None, true),
        ("QoS 0 again", &one, "EventMessages", fire, None, true),
    ] {
        let before = world.spawns.len();
        world.publish_packet(sender, topic, payload, packet);
        world.disk();
        assert_eq!(world.spawns.len() - before, usize::from(starts), "{what}");
    }
    let mut told = world.logged("Event");
    told.retain(|line| line.contains("once more"));
    assert!(told[0].contains("sender_One_1001 sent packet 1 on 'EventMessages' once more (DUP)"), "{told:?}");
    assert_eq!(told.len(), 6);
}

#[test]
fn a_copy_over_a_new_connection_starts_nothing() {
    let (mut world, one, _) = world();
    world.publish_packet(&one, "EventMessages", r#"{"eventName":"E"}"#, packet(5, false));
    world.disk();
    let again = world.client(3, "sender_One_1001", 1);
    world.publish_packet(&again, "EventMessages", r#"{"eventName":"E"}"#, packet(5, true));
    world.disk();
    assert_eq!(world.spawns.len(), 2);
}
