//! Looks that do not end, and who waits for them.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Mutex, PoisonError};

use super::*;

const ROOT: u32 = 0;
const USER: u32 = 1000;

fn order(ticket: u64, uid: u32) -> ExamineOrder {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
    let socket =
        SocketFacts { peer: address, local: address, established: true, inode: 1, uid, cookie: 1, cgroup: None };
    let peer = PeerFacts { at_accept: Some(socket), ..PeerFacts::default() };
    let at = WallTime::from_millis(0);
    ExamineOrder { ticket: TicketId(ticket), peer, paths: Vec::new(), signers: Vec::new(), at }
}

#[test]
fn every_order_is_answered_although_files_hang_and_root_is_not_kept_waiting() {
    let executor = Executor::new();
    let (events, reports) = smol::channel::bounded(1);
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    let hanging = Arc::new(AtomicUsize::new(0));
    let begun = Arc::clone(&hanging);
    // A user's look hangs until something is released.
    let look = move |order: ExamineOrder| {
        let is_of_root = order.peer.is_of_root();
        begun.fetch_add(usize::from(!is_of_root), Ordering::Relaxed);
        if is_of_root || released.lock().unwrap_or_else(PoisonError::into_inner).recv().is_ok() {
            return Examination { peer: order.peer, process: Err("looked".to_owned()) };
        }
        Examination { peer: order.peer, process: Err("nobody waits any more".to_owned()) }
    };
    let examinations = Examinations::start_with(&executor, Arc::new(look), Duration::from_millis(1), &events);
    let answer = |ticket, uid| {
        examinations.order(order(ticket, uid)).unwrap();
        let report = smol::block_on(executor.run(reports.recv())).unwrap();
        let Event::Process(ProcessReport::Examined { ticket: answered, found }) = report else { panic!("{report:?}") };
        assert_eq!(answered, TicketId(ticket));
        found.process.unwrap_err()
    };
    for ticket in 1..=50 {
        assert!(answer(ticket, USER).contains("could not be looked at in time"), "{ticket}");
    }
    assert!(hanging.load(Ordering::Relaxed) <= LOOKS, "no more than these hang");
    let heard = (100..10_000).any(|ticket| answer(ticket, ROOT) == "looked");
    assert!(heard, "root's are looked at beside them, if not within each millisecond");
    // Those who hang end, and there is room again.
    let heard = (10_000..20_000).any(|ticket| {
        release.send(()).unwrap();
        answer(ticket, USER) == "looked"
    });
    assert!(heard);
}
