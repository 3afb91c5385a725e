//! What the agent's queue may hold.

use castellan_core::acl::Subject;
use castellan_core::id::{Component, JobId, SpawnId};

use super::*;

fn subject() -> Subject {
    let component = Component::Job(JobId::parse("scan").unwrap());
    Subject { component, run: None, spawn: SpawnId(1), pid: 1, client_id: String::from("scan_Tok_1") }
}

#[test]
fn large_messages_are_bounded_by_their_bytes() {
    let (events, agent) = smol::channel::bounded(1000);
    let unread = Unread::default();
    let outbox = Rc::new(Outbox::new(events, unread.clone()));
    let message = || BrokerReport::Published {
        subject: subject(),
        topic: String::from("KeeperLogger"),
        payload: Arc::from(vec![b'x'; 1 << 20]),
        packet: None,
    };
    ntex_rt::System::build().name("test").disable_signals().build(ntex_net::DefaultRuntime).block_on(async move {
        for _ in 0..20 {
            outbox.send(message());
        }
        let mut taken = 0;
        while let Ok(Event::Broker(report)) = agent.try_recv() {
            unread.leave(&report);
            taken += 1;
        }
        assert_eq!(taken, 15, "fifteen and their topics fit into 16 MiB");
        outbox.send(message());
        assert!(matches!(agent.recv().await, Ok(Event::Broker(BrokerReport::Published { .. }))), "there is room again");
        let Ok(Event::Congested(told)) = agent.recv().await else { panic!("nothing is said of what was lost") };
        assert!(told.contains("could not deliver 5 reports"), "{told}");
    });
}

#[test]
fn messages_leave_room_for_what_others_tell_and_a_burst_waits_and_is_not_lost() {
    let (events, agent) = smol::channel::bounded(100);
    let outbox = Rc::new(Outbox::new(events.clone(), Unread::default()));
    let message = |number| BrokerReport::Published {
        subject: Subject { pid: number, ..subject() },
        topic: String::from("KeeperLogger"),
        payload: Arc::from(*b"x"),
        packet: None,
    };
    ntex_rt::System::build().name("test").disable_signals().build(ntex_net::DefaultRuntime).block_on(async move {
        (0..3000).for_each(|number| outbox.send(message(number)));
        assert_eq!(agent.len(), 76, "the last quarter is for others");
        assert!(events.try_send(Event::DeadlineReached).is_ok());
        assert!(smol::future::poll_once(outbox.wait_for_room()).await.is_none(), "who sent them is read no further");
        let mut taken = Vec::new();
        while taken.len() < 3000 {
            match agent.recv().await {
                Ok(Event::Broker(BrokerReport::Published { subject, .. })) => taken.push(subject.pid),
                other => assert!(matches!(other, Ok(Event::DeadlineReached)), "{other:?}"),
            }
        }
        assert!(taken.iter().copied().eq(0..3000), "each once and in order");
        assert!(smol::future::poll_once(outbox.wait_for_room()).await.is_some());
    });
}
