//! A sink that fails for a while.

use std::sync::Mutex;

use super::*;

/// What is written, where the disk takes it.
#[derive(Clone, Default)]
struct Flaky {
    is_full: Arc<Mutex<bool>>,
    written: Arc<Mutex<Vec<String>>>,
    lost: u64,
}

impl Sink for Flaky {
    fn write(&mut self, record: &LogRecord) -> io::Result<()> {
        if *self.is_full.lock().unwrap() {
            self.lost = self.lost.saturating_add(1);
            return Err(io::Error::other("it is full"));
        }
        self.written.lock().unwrap().push(record.message.clone());
        Ok(())
    }

    fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }
}

fn worker(sink: &Flaky) -> (Worker, LogQueue) {
    let log = LogQueue { feeds: Arc::from([Feed::new("file"), Feed::new("journald")]), minimum: Arc::default() };
    (Worker { sink: Box::new(sink.clone()), log: log.clone(), place: 0, is_failing: false }, log)
}

#[test]
fn what_a_full_disk_swallowed_is_counted_and_told_everywhere_once_it_can_be() {
    let sink = Flaky::default();
    let (mut worker, log) = worker(&sink);
    let feed = &log.feeds[0];
    let mut say = |message: &str| {
        let written = worker.sink.write(&LogRecord::own(Level::Information, "T", message));
        worker.settle(feed, written, "T");
    };
    say("first");
    *sink.is_full.lock().unwrap() = true;
    for message in ["a", "b", "c"] {
        say(message);
    }
    assert_eq!(feed.lost(), 3);
    *sink.is_full.lock().unwrap() = false;
    say("last");
    assert_eq!(feed.lost(), 3, "each is counted once");
    let told = sink.written.lock().unwrap().clone();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told[1] == "last" && told[2].starts_with("3 log records were lost in file"), "{told:?}");
    log.feeds[1].queue.close();
    let others: Vec<String> = log.feeds[1].queue.take().unwrap().iter().map(|record| record.message.clone()).collect();
    assert!(others[0].contains("file takes no records: it is full"), "{others:?}");
    assert!(others.len() == 2 && others[1].starts_with("3 log records were lost in file"), "{others:?}");
}

#[test]
fn a_queue_is_bounded_by_bytes_too() {
    let (feed, large) = (Feed::new("file"), Arc::new(LogRecord::own(Level::Information, "T", "x".repeat(1 << 20))));
    (0..20).for_each(|_| feed.offer(&large));
    assert_eq!(feed.lost(), 5, "fifteen of them fit into 16 MiB with what they take besides");
    assert_eq!(feed.queue.take().unwrap().len(), 15);
    feed.offer(&large);
    assert_eq!((feed.lost(), feed.queue.take().unwrap().len()), (5, 1), "there is room again");
}

/// Fails with what it has in hand once it is to end.
struct Ending(LogQueue);

impl Sink for Ending {
    fn write(&mut self, _: &LogRecord) -> io::Result<()> {
        while !self.0.feeds[1].queue.is_closed() {
            std::thread::yield_now();
        }
        Err(io::Error::other("it ends"))
    }

    fn take_lost(&mut self) -> u64 {
        1
    }
}

#[test]
fn what_a_sink_tells_while_it_ends_is_in_the_file() {
    let file = Flaky::default();
    let (of_file, queue) = worker(&file);
    let ending = Worker { sink: Box::new(Ending(queue.clone())), log: queue.clone(), place: 1, is_failing: false };
    let mut log = LogWriter { queue, ends: Vec::new(), description: String::new() };
    for (name, worker) in [("file", of_file), ("journald", ending)] {
        let (end, ended) = channel();
        start(name, worker, end).unwrap();
        log.ends.push((name, ended));
    }
    log.log(LogRecord::own(Level::Information, "T", "last"));
    log.close().unwrap();
    let written = file.written.lock().unwrap();
    assert!(written.iter().any(|line| line.contains("journald takes no records: it ends")), "{written:?}");
}
