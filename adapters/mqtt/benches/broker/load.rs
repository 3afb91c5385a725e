//! What the clients do: writers and readers on threads of their own, from the first message written to the last one read.

use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use crate::brokers::Peer;
use crate::client::{Client, PAYLOAD};

/// Packets of one write at most.
const BATCH: usize = 64;

/// Writers and readers of one measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Exchange {
    /// Writers, each on a topic of its own.
    pub(crate) pairs: usize,
    /// Readers of each writer.
    pub(crate) subscribers: usize,
    pub(crate) qos: u8,
    /// Messages without acknowledgement at a time.
    pub(crate) window: usize,
    /// Of each writer.
    pub(crate) messages: usize,
}

/// Deliveries a second.
pub(crate) fn exchange(peer: &Peer, what: &Exchange) -> f64 {
    let begin = Arc::new(Barrier::new(what.pairs * (what.subscribers + 1) + 1));
    let mut threads = Vec::new();
    for pair in 0..what.pairs {
        let topic = format!("bench/{pair}");
        for _ in 0..what.subscribers {
            let mut client = Client::connect(peer);
            client.subscribe(&topic, what.qos);
            let (begin, messages) = (Arc::clone(&begin), what.messages);
            threads.push(thread::spawn(move || {
                begin.wait();
                receive(&mut client, messages);
            }));
        }
        let (mut client, begin, what) = (Client::connect(peer), Arc::clone(&begin), *what);
        threads.push(thread::spawn(move || {
            begin.wait();
            send(&mut client, &topic, &what);
        }));
    }
    begin.wait();
    let start = Instant::now();
    for thread in threads {
        thread.join().unwrap();
    }
    let deliveries = u32::try_from(what.pairs * what.subscribers * what.messages).unwrap();
    f64::from(deliveries) / start.elapsed().as_secs_f64()
}

fn send(client: &mut Client, topic: &str, what: &Exchange) {
    let payload = [b'x'; PAYLOAD];
    let (mut sent, mut finished) = (0, 0);
    let mut released = Vec::new();
    while finished < what.messages {
        let room = what.window - (sent - finished);
        for _ in 0..room.min(BATCH).min(what.messages - sent) {
            let packet = u16::try_from(sent % 65_535).unwrap() + 1;
            client.publish(topic, what.qos, packet, &payload);
            sent += 1;
        }
        client.flush();
        if what.qos == 0 {
            finished = sent;
            continue;
        }
        if sent - finished < what.window && sent < what.messages {
            continue;
        }
        let open = client.read(|first, body| match first & 0xF0 {
            0x50 => released.extend_from_slice(&[[body[0], body[1]]]),
            0x40 | 0x70 => finished += 1,
            _ => {}
        });
        assert!(open, "the broker closed a writer");
        for packet in released.drain(..) {
            client.put(0x62, &packet);
        }
    }
}

fn receive(client: &mut Client, messages: usize) {
    let mut answers: Vec<(u8, [u8; 2])> = Vec::new();
    let mut got = 0;
    while got < messages {
        let open = client.read(|first, body| match first & 0xF6 {
            0x30 => got += 1,
            0x32 | 0x34 => {
                let at = 2 + usize::from(body[1]);
                let step = if first & 0x04 > 0 { 0x50 } else { 0x40 };
                answers.push((step, [body[at], body[at + 1]]));
                got += usize::from(step == 0x40);
            }
            0x62 => {
                answers.push((0x70, [body[0], body[1]]));
                got += 1;
            }
            _ => {}
        });
        assert!(open, "the broker closed a reader after {got} messages");
        for (step, packet) in answers.drain(..) {
            client.put(step, &packet);
        }
        client.flush();
    }
}

/// The median and the 99th percentile of the way from writer to reader at 1,000 messages a second, microseconds.
pub(crate) fn latency(peer: &Peer) -> [f64; 2] {
    const MESSAGES: usize = 5000;
    let epoch = Instant::now();
    let mut reader = Client::connect(peer);
    reader.subscribe("bench/late", 0);
    let reading = thread::spawn(move || {
        let mut times = Vec::with_capacity(MESSAGES);
        while times.len() < MESSAGES {
            let open = reader.read(|_, body| {
                let at = 2 + usize::from(body[1]);
                let sent = u64::from_le_bytes(body[at..at + 8].try_into().unwrap());
                times.push(u64::try_from(epoch.elapsed().as_nanos()).unwrap() - sent);
            });
            assert!(open);
        }
        times
    });
    let mut writer = Client::connect(peer);
    for number in 0..MESSAGES {
        let due = Duration::from_micros(u64::try_from(number).unwrap() * 1000);
        let begun = epoch.elapsed();
        if due > begun {
            thread::sleep(due - begun);
        }
        let mut payload = [0; PAYLOAD];
        payload[..8].copy_from_slice(&u64::try_from(epoch.elapsed().as_nanos()).unwrap().to_le_bytes());
        writer.publish("bench/late", 0, 0, &payload);
        writer.flush();
    }
    let mut times = reading.join().unwrap();
    times.sort_unstable();
    let at = |share: usize| f64::from(u32::try_from(times[times.len() * share / 100]).unwrap()) / 1000.0;
    [at(50), at(99)]
}

/// Connections a second, one after the other on two threads.
pub(crate) fn connects(peer: &Peer) -> f64 {
    const EACH: u32 = 500;
    let start = Instant::now();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..EACH).for_each(|_| drop(Client::connect(peer))));
        }
    });
    f64::from(2 * EACH) / start.elapsed().as_secs_f64()
}

/// Memory with so many idle connections, MiB.
pub(crate) fn idle(peer: &Peer, connections: usize) -> f64 {
    let clients: Vec<_> = (0..connections).map(|_| Client::connect(peer)).collect();
    thread::sleep(Duration::from_millis(500));
    let memory = peer.memory();
    drop(clients);
    memory
}

/// Memory so long after 60,000 messages of 1 KiB went past a subscriber that never reads, MiB.
pub(crate) fn burst(peer: &Peer, after: Duration) -> f64 {
    const MESSAGES: usize = 60_000;
    let mut stuck = Client::connect(peer);
    stuck.subscribe("bench/burst", 0);
    let mut reader = Client::connect(peer);
    reader.subscribe("bench/burst", 0);
    let reading = thread::spawn(move || receive(&mut reader, MESSAGES));
    let mut writer = Client::connect(peer);
    for _ in 0..MESSAGES / BATCH + 1 {
        for _ in 0..BATCH {
            writer.publish("bench/burst", 0, 0, &[b'x'; 1024]);
        }
        writer.flush();
    }
    reading.join().unwrap();
    thread::sleep(after);
    let memory = peer.memory();
    drop(stuck);
    memory
}
