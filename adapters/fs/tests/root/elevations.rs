//! Requests for more privileges in the history.

use castellan_core::elevation::{ElevationQuery, ElevationRecord, Status};
use castellan_core::id::ElevationId;
use castellan_core::limits::ELEVATIONS_PER_USER;
use castellan_fs::history::History;
use serde_json::json;

use super::support::{days_later, root};

/// One that was denied so many days after the new year.
pub(super) fn denied(id: &str, (user, uid): (&str, u32), day: i64) -> ElevationRecord {
    let at = days_later(day).to_rfc3339();
    serde_json::from_value(json!({
        "RequestId": id, "Status": "Denied", "AskedAt": at, "ChangedAt": at, "UserName": user, "UserId": uid,
        "CallerProcessId": 7, "Command": ["id"], "PolicyIds": [], "RiskLevel": 50, "Controls": [], "Outstanding": [],
        "Approvers": [], "Votes": [], "Escalated": false
    }))
    .unwrap()
}

fn waiting(record: ElevationRecord) -> ElevationRecord {
    let mut record = record;
    record.status = Status::AwaitingControls;
    record
}

pub(super) const ALICE: (&str, u32) = ("alice", 1000);
const BOB: (&str, u32) = ("bob", 1001);

fn ids(history: &History, query: ElevationQuery) -> Vec<String> {
    let limit = if query.limit == 0 { 100_000 } else { query.limit };
    let found = history.elevations(&ElevationQuery { limit, ..query }).unwrap();
    found.into_iter().map(|record| record.request_id).collect()
}

fn all() -> ElevationQuery {
    ElevationQuery::default()
}

#[test]
fn requests_are_found_by_all_that_is_asked_and_in_the_order_they_were_asked_in() {
    let (_folder, root) = root();
    let history = History::open(&root).unwrap();
    // Neither as texts nor by their clocks are they in order.
    let waiting = waiting(denied("E1-10", BOB, 1));
    for record in [&denied("E10-1", ALICE, 2), &waiting, &denied("E1-9", ALICE, 3), &denied("E2-3", ALICE, 0)] {
        history.insert_or_replace(record, true).unwrap();
    }
    assert_eq!(ids(&history, all()), ["E10-1", "E2-3", "E1-10", "E1-9"]);
    assert_eq!(ids(&history, ElevationQuery { limit: 2, ..all() }), ["E10-1", "E2-3"]);
    let before = ElevationId::from_text("E2-3");
    assert_eq!(ids(&history, ElevationQuery { before, ..all() }), ["E1-10", "E1-9"]);
    assert_eq!(ids(&history, ElevationQuery { request: ElevationId::from_text("E1-9"), ..all() }), ["E1-9"]);
    assert_eq!(ids(&history, ElevationQuery { user: Some("bob".into()), ..all() }), ["E1-10"]);
    assert_eq!(ids(&history, ElevationQuery { user: Some("' OR 1 --".into()), ..all() }), [""; 0]);
    let status = Some(Status::AwaitingControls);
    assert_eq!(ids(&history, ElevationQuery { status, ..all() }), ["E1-10"]);
    assert_eq!(ids(&history, ElevationQuery { since: Some(days_later(2)), ..all() }), ["E10-1", "E1-9"]);
    assert_eq!(history.elevations(&ElevationQuery { status, limit: 1, ..all() }).unwrap(), [waiting]);
}

#[test]
fn old_requests_and_those_beyond_the_bound_of_their_user_are_forgotten_and_what_goes_on_stays() {
    let (_folder, root) = root();
    let history = History::open(&root).unwrap();
    let old = waiting(denied("E1-1", BOB, 0));
    history.insert_or_replace(&old, false).unwrap();
    history.insert_or_replace(&denied("E1-2", BOB, 0), false).unwrap();
    history.insert_or_replace(&denied("E1-3", BOB, 25), false).unwrap();
    for count in 0..=ELEVATIONS_PER_USER {
        history.insert_or_replace(&denied(&format!("E2-{count}"), ALICE, 25), false).unwrap();
    }
    history.prune(30, days_later(31)).unwrap();
    let of = |user: &str| ids(&history, ElevationQuery { user: Some(user.into()), ..all() });
    assert_eq!(of("bob"), ["E1-3", "E1-1"], "nobody pushes out what is somebody else's");
    let of_alice = of("alice");
    assert_eq!((of_alice.len(), of_alice.last().map(String::as_str)), (ELEVATIONS_PER_USER, Some("E2-1")));
}
