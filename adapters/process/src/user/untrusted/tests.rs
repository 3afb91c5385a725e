//! Questions that are never answered take no more than their share of threads.

use std::sync::mpsc;
use std::time::Duration;

use smol::lock::Semaphore;

use super::ask;

#[test]
fn questions_without_an_answer_keep_others_from_being_asked_and_nothing_else() {
    static FREE: Semaphore = Semaphore::new(1);
    let (answer, awaited) = mpsc::channel();
    let moment = Duration::from_millis(10);
    let unanswered = smol::block_on(ask(moment, &FREE, move || awaited.recv()));
    assert!(unanswered.is_none());
    assert_eq!(smol::block_on(ask(moment, &FREE, || "asked")), None);
    answer.send(()).unwrap();
    assert_eq!(smol::block_on(ask(Duration::from_secs(60), &FREE, || "asked")), Some("asked"));
}
