//! What survives of the broker: every batch is kept as the core's own model of a store keeps it.

use std::fs;
use std::sync::Arc;

use castellan_core::broker::message::{Properties, QoS};
use castellan_core::broker::stored::{
    Batch, Change, Stored, StoredDelivery, StoredMessage, StoredSession, StoredSubscription,
};
use castellan_core::time::WallTime;
use castellan_fs::messages::MessageStore;
use rusqlite::Connection;

use super::support::{mode, root};

fn message(topic: &str, payload: &[u8]) -> StoredMessage {
    let properties = Properties {
        is_utf8: false,
        content_type: Some(String::from("text/\u{0}")),
        response_topic: None,
        correlation_data: Some(vec![0, 255]),
        user: vec![(String::from("a"), String::from("1")), (String::from("a"), String::from("2"))],
    };
    StoredMessage {
        topic: topic.to_owned(),
        payload: Arc::from(payload),
        qos: QoS::ExactlyOnce,
        retain: true,
        expires_at: Some(WallTime::from_millis(5)),
        expires_in_millis: Some(4),
        properties: Some(Box::new(properties)),
    }
}

fn delivery(payload: &[u8]) -> StoredDelivery {
    StoredDelivery {
        message: StoredMessage { properties: None, expires_at: None, ..message("a/b", payload) },
        qos: QoS::AtLeastOnce,
        retain: false,
        identifiers: vec![1, 268_435_455],
        share: Some(String::from("$share/g/a/+")),
    }
}

fn session(client_id: &str) -> StoredSession {
    let subscription = StoredSubscription {
        filter: String::from("$share/g/a/+"),
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: true,
        identifier: Some(7),
    };
    StoredSession {
        plugin: String::from("Echo"),
        client_id: client_id.to_owned(),
        user: Some(1000),
        expiry_seconds: 60,
        ends_at: None,
        subscriptions: vec![subscription],
    }
}

fn batches() -> Vec<Batch> {
    let retained = |topic: &str, message| Change::Retained { topic: topic.to_owned(), message };
    let session_is = |session, state| Change::Session { session, state };
    let waiting = |session, place, delivery| Change::Waiting { session, place, delivery };
    let batch = |number, changes| Batch { number, replaces_all: false, changes };
    vec![
        batch(
            1,
            vec![
                retained("a", Some(message("a", b"\0\xFF"))),
                retained("b", Some(message("b", b""))),
                session_is(1, Some(session("Echo_1"))),
                session_is(2, Some(session("Echo_2"))),
                waiting(1, 1, Some(delivery(b"one"))),
                waiting(2, 2, Some(delivery(b"two"))),
                waiting(1, 3, Some(delivery(b"three"))),
            ],
        ),
        batch(
            2,
            vec![
                retained("a", Some(message("a", b"new"))),
                retained("b", None),
                retained("never", None),
                session_is(2, Some(session("Echo_3"))),
                waiting(1, 1, None),
                waiting(1, 99, None),
            ],
        ),
        batch(3, vec![session_is(1, None), session_is(9, None)]),
        Batch { number: 4, replaces_all: true, changes: vec![retained("c", Some(message("c", b"c")))] },
    ]
}

fn sorted(mut stored: Stored) -> Stored {
    stored.retained.sort_by(|left, right| left.topic.cmp(&right.topic));
    stored.sessions.sort_by_key(|(session, _)| *session);
    stored.waiting.sort_by_key(|(_, place, _)| *place);
    stored
}

#[test]
fn batches_are_kept_over_starts() {
    let (_folder, root) = root();
    let mut model = Stored::default();
    for batch in batches() {
        // Each batch by another start.
        MessageStore::open(&root).unwrap().keep(&batch).unwrap();
        model.keep(&batch);
        assert_eq!(MessageStore::open(&root).unwrap().read().unwrap(), sorted(model.clone()), "batch {}", batch.number);
    }
    assert_eq!(mode(&root.path().join("state/broker.db")), 0o600);
}

#[test]
fn a_batch_is_kept_as_a_whole_or_not_at_all() {
    let (_folder, root) = root();
    let mut store = MessageStore::open(&root).unwrap();
    let [first, second, _, _] = <[Batch; 4]>::try_from(batches()).unwrap();
    store.keep(&first).unwrap();
    // The last change of the second one fails.
    let by_hand = Connection::open(root.path().join("state/broker.db")).unwrap();
    by_hand
        .execute_batch("CREATE TRIGGER full BEFORE DELETE ON waiting BEGIN SELECT RAISE(ABORT, 'disk full'); END;")
        .unwrap();
    let refused = store.keep(&second).unwrap_err();
    assert!(refused.contains("broker.db was not written: disk full"), "{refused}");
    let mut model = Stored::default();
    model.keep(&first);
    assert_eq!(store.read().unwrap(), sorted(model));
}

#[test]
fn what_is_not_ours_stops_the_start_and_is_named() {
    let (_folder, root) = root();
    drop(MessageStore::open(&root).unwrap());
    let path = root.path().join("state/broker.db");
    let by_hand = Connection::open(&path).unwrap();
    by_hand.execute("INSERT INTO session VALUES (1, '{\"plugin\": 1}')", []).unwrap();
    let store = MessageStore::open(&root).unwrap();
    let refused = store.read().unwrap_err().to_string();
    assert!(refused.contains("broker.db") && refused.contains("move it away"), "{refused}");
    by_hand.execute_batch("PRAGMA user_version = 9").unwrap();
    assert!(MessageStore::open(&root).unwrap_err().to_string().contains("layout 9"));
    drop((store, by_hand));
    fs::write(&path, "no database at all").unwrap();
    assert!(MessageStore::open(&root).unwrap_err().to_string().contains("broker.db"));
}
