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
