//! Places are counted for each user and in all, and come back.

use super::*;

#[test]
fn nobody_takes_them_all_and_who_leaves_makes_room() {
    let places = Places::default();
    let mut own: Vec<Place> = (0..CALLERS_OF_ONE).map(|_| places.take(1000).unwrap()).collect();
    assert!(places.take(1000).unwrap_err().contains("one user may have"));
    let others: Vec<Place> = (0..CALLERS - CALLERS_OF_ONE)
        .map(|count| places.take(2000 + u32::try_from(count / CALLERS_OF_ONE).unwrap()).unwrap())
        .collect();
    assert!(places.take(9000).unwrap_err().contains("all that the agent takes"));
    own.pop();
    drop(places.take(9000).unwrap());
    own.push(places.take(1000).unwrap());
    drop((own, others));
    assert!(places.lock().of.is_empty());
}
