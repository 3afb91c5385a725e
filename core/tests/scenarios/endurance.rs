//! A world that lies, repeats itself, or wants too much: nothing grows without end, nothing is believed twice.

use castellan_core::acl::{Action, Denial};
use castellan_core::event::{BrokerReport, Event, ExitStatus, ProcessReport, StoreReport};
use castellan_core::id::{RunId, SpawnId, TicketId};
use castellan_core::trust::Peer;
use castellan_core::why::Explanation;

use crate::world::{World, ids, peer, program};

fn job(id: &str, members: &str) -> String {
    format!(r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool"}}]{members}}}"#)
}

/// Every report there is about spawn and ticket `n`, in an order that never happens.
fn nonsense(number: u64) -> Vec<Event> {
    let spawn = SpawnId(number);
    let (pid, cgroup) = ids(number);
    let ticket = TicketId(number);
    let process = |report| Event::Process(report);
    vec![
        process(ProcessReport::Discarded { spawn }),
        process(ProcessReport::Collected { spawn, stdout: Default::default(), stderr: Default::default() }),
        process(ProcessReport::Exited { spawn, status: ExitStatus::Code(0) }),
        process(ProcessReport::Started { spawn }),
        process(ProcessReport::Prepared { spawn, pid, cgroup: Some(cgroup), executable: program("/x"), user: None }),
        process(ProcessReport::Inspected { ticket, executables: vec![] }),
        Event::Store(StoreReport::RunPersisted { ticket, run: RunId::new(7, number), result: Err("x".into()) }),
        Event::Store(StoreReport::RunsRead { ticket, result: Ok(vec![]) }),
        Event::Store(StoreReport::ElevationsRead { ticket, result: Ok(vec![]) }),
        Event::Store(StoreReport::DefinitionsChanged { ticket, result: Ok(vec![1]) }),
        Event::DeadlineReached,
        Event::Congested("queue".into()),
    ]
}

#[test]
fn reports_about_nothing_change_nothing() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    for event in nonsense(5) {
        world.tell(event);
    }
    assert!(world.transcript.iter().all(|line| line.starts_with('!') || line == "abort 5"), "{:?}", world.transcript);
    let (pid, cgroup) = ids(5);
    world.connect(1, &format!("a_T_{pid}"), peer(cgroup, pid));
    assert_eq!(world.transcript.last().unwrap(), "refuse 1 NotAuthorized", "nobody asked for that process");
    world.quiet();
}

/// Each report a second time, right after the first.
#[test]
fn what_is_reported_twice_is_believed_once() {
    let once = story(1);
    let twice = story(2);
    let orders = |transcript: &[String]| -> Vec<String> {
        transcript.iter().filter(|line| !line.starts_with('!')).cloned().collect()
    };
    assert_eq!(orders(&once), orders(&twice));
    assert!(twice.iter().filter(|line| *line == "!Anomaly").count() >= 4, "{twice:?}");
}

fn story(times: usize) -> Vec<String> {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    let spawn = SpawnId(1);
    let (pid, cgroup) = ids(1);
    for report in [
        ProcessReport::Prepared { spawn, pid, cgroup: Some(cgroup), executable: program("/x"), user: None },
        ProcessReport::Started { spawn },
        ProcessReport::Exited { spawn, status: ExitStatus::Code(0) },
        ProcessReport::Collected { spawn, stdout: Default::default(), stderr: Default::default() },
        ProcessReport::Discarded { spawn },
    ] {
        for _ in 0..times {
            world.process(report.clone());
        }
    }
    world.disk();
    world.quiet();
    world.transcript
}

/// A second `Prepared` after the tree lost its trust does not win it back.
#[test]
fn nobody_is_trusted_again_by_an_old_report() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    let (pid, _) = ids(1);
    let prepared =
        || ProcessReport::Prepared { spawn: SpawnId(1), pid, cgroup: None, executable: program("/x"), user: None };
    world.process(prepared());
    world.exit(1, ExitStatus::Code(0));
    world.transcript.clear();
    world.process(prepared());
    world.expect(&["!Anomaly"]);
    world.collected(1, "");
    world.discarded(1);
    world.disk();
    world.quiet();
}

#[test]
fn an_exit_that_is_seen_before_the_start_is_no_trouble() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.prepared(1);
    world.exit(1, ExitStatus::Code(0));
    world.process(ProcessReport::Started { spawn: SpawnId(1) });
    world.collected(1, "");
    world.discarded(1);
    world.disk();
    assert_eq!(world.history["7-1"].status, "Succeeded");
    world.quiet();
}

#[test]
fn a_flood_of_refusals_is_counted_and_not_written_line_by_line() {
    let mut world = World::new(&[]);
    // security.md section 8, M31: 10,000 in 10 s make at most 100 lines.
    for number in 0..10_000_u32 {
        world.connect(u64::from(number), &format!("x{number}_T_{number}"), peer(1, number + 1));
        if number % 10 == 0 {
            world.wait(10);
        }
    }
    world.wait(20_000);
    let lines = world.logged("Denied");
    assert!(lines.len() <= 100, "{} lines", lines.len());
    assert!(lines.last().unwrap().contains("more refusals"), "{:?}", lines.last());
    assert_eq!(world.get("/api/denials").as_array().unwrap().len(), 1000);
}

#[test]
fn refusals_that_take_turns_are_two_records() {
    let mut world = World::new(&[]);
    for _ in 0..50 {
        for target in ["/api/Jobs", "/api/plugins"] {
            world.stranger("GET", target, "");
        }
    }
    let denials = world.get("/api/denials");
    assert_eq!((denials.as_array().unwrap().len(), &denials[0]["count"]), (2, &serde_json::json!(50)), "{denials}");
    assert_eq!(world.logged("Denied").len(), 4, "at 1 and 10 each");
}

#[test]
fn texts_of_whoever_is_refused_are_cut_and_stay_on_one_line() {
    let mut world = World::new(&[]);
    let long = "\u{1b}[2J\n".repeat(50_000);
    let explanation = Explanation::new(long.clone(), long.clone(), long.clone());
    let denial = Denial {
        action: Action::Connect,
        target: long.clone(),
        component: None,
        client_id: Some(long),
        peer: Peer::default(),
        explanation,
        declaration: None,
    };
    world.tell(Event::Broker(BrokerReport::Denied(denial)));
    let denials = world.get("/api/denials");
    let client = denials[0]["clientId"].as_str().unwrap();
    assert!(client.starts_with("\\u001b[2J\\n") && !client.contains(char::is_control), "{client}");
    assert!(denials.to_string().len() < 10_000, "{} bytes", denials.to_string().len());
}

#[test]
fn what_the_broker_only_counted_is_told() {
    let mut world = World::new(&[]);
    let denial = Denial {
        action: Action::Publish,
        target: String::from("no"),
        component: Some(String::from("job:a")),
        client_id: None,
        peer: Peer::process(Some(7)),
        explanation: Explanation::new("It may not.", "Nothing covers it.", "Declare it."),
        declaration: None,
    };
    world.tell(Event::Broker(BrokerReport::Denied(denial.clone())));
    for more in [49, 40, 20] {
        world.tell(Event::Broker(BrokerReport::DeniedAgain { denial: denial.clone(), more }));
    }
    let denials = world.get("/api/denials");
    assert_eq!((&denials[0]["count"], &denials[0]["suppressed"]), (&110.into(), &109.into()), "{denials}");
    let lines = world.logged("Denied");
    assert_eq!(lines.len(), 3, "the first, and where it passes 10 and 100: {lines:?}");
    assert!(lines.iter().any(|line| line.contains("Refused 50 times so far.")), "{lines:?}");
}

#[test]
fn requests_that_wait_are_bounded() {
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    let mut busy = 0;
    for number in 0..400 {
        let request = match number % 4 {
            0 => world.admin("POST", "/api/Jobs/validate", &job("x", "")),
            1 => world.admin("GET", "/api/runs/1-1", ""),
            2 => world.admin("POST", "/api/Jobs/reload", ""),
            _ => world.admin("GET", "/api/Jobs/a/runs", ""),
        };
        busy += usize::from(world.status(request) == Some(503));
    }
    assert_eq!(busy, 400 - 256);
    while !world.looks.is_empty() {
        world.look("");
    }
    world.disk();
    world.quiet();
}

/// Every order that can be lost, lost once; the world still comes to rest and everybody is answered.
#[test]
fn an_order_that_no_port_took_is_answered_all_the_same() {
    use castellan_core::effect::{Effect, LostOrder};
    use castellan_core::event::Event;
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    let lose =
        |world: &mut World, order: LostOrder| world.tell(Event::Lost { order, why: "the queue is full.".into() });
    let ticket = |world: &mut World| {
        let order = world.disk.pop_front().expect("an order to the disk");
        LostOrder::of(&Effect::Store(order))
    };
    let look = world.admin("POST", "/api/Jobs/validate", &job("x", ""));
    let order = world.looks.pop_front().unwrap();
    lose(&mut world, LostOrder::of(&Effect::Process(order)));
    assert_eq!(world.status(look), Some(503));
    for (method, target, expect) in [
        ("POST", "/api/Jobs/reload", 503),
        ("GET", "/api/Jobs/a/runs", 500),
        ("DELETE", "/api/Jobs/a", 500),
        ("POST", "/api/Jobs/a/trigger", 500),
    ] {
        let request = world.admin(method, target, "");
        let order = ticket(&mut world);
        lose(&mut world, order);
        assert_eq!(world.status(request), Some(expect), "{method} {target}");
    }
    world.disk();
    for lost in ["spawn", "release", "collect", "discard"] {
        world.admin("POST", "/api/Jobs/a/trigger", "");
        world.disk();
        let number = world.spawns.keys().next_back().unwrap().0;
        let spawn = SpawnId(number);
        match lost {
            "spawn" => lose(&mut world, LostOrder::Spawn(spawn)),
            "release" => {
                world.prepared(number);
                lose(&mut world, LostOrder::Release(spawn));
                assert!(world.transcript.contains(&format!("abort {number}")));
                lose(&mut world, LostOrder::Abort(spawn));
            }
            _ => {
                world.started(number);
                world.exit(number, ExitStatus::Code(0));
                if lost == "collect" {
                    lose(&mut world, LostOrder::Collect(spawn));
                } else {
                    world.collected(number, "");
                    lose(&mut world, LostOrder::Discard(spawn));
                }
                if lost == "collect" {
                    world.discarded(number);
                }
            }
        }
        world.disk();
    }
    assert_eq!(world.history.len(), 5);
    assert!(world.history.values().all(|run| run.outcome.is_some()), "{:?}", world.history);
    world.quiet();
}

#[test]
fn a_lost_order_about_trust_is_given_again() {
    use castellan_core::effect::LostOrder;
    use castellan_core::event::Event;
    let mut world = World::new(&[("Jobs/a", &job("a", ""))]);
    let component = castellan_core::id::Component::Job(castellan_core::id::JobId::parse("a").unwrap());
    world.tell(Event::Lost { order: LostOrder::Revoke(SpawnId(4)), why: "full".into() });
    world.tell(Event::Lost { order: LostOrder::Regrant(component), why: "full".into() });
    world.tell(Event::Lost { order: LostOrder::Other, why: "full".into() });
    world.expect(&["!Congested", "!Congested", "!Congested"]);
    world.wait(99);
    world.expect(&[]);
    world.wait(1);
    world.expect(&["revoke 4", "regrant job:a +0 -0"]);
    world.wait(60_000);
    world.expect(&[]);
}

#[test]
fn web_pages_and_proxies_are_on_record() {
    use castellan_core::api::{ApiRequest, Listener};
    use castellan_core::id::RequestId;
    let mut world = World::new(&[]);
    for (name, value, status) in [("origin", "https://evil", 403), ("host", "evil", 421), ("via", "x", 403)] {
        let id = RequestId(1000 + status + u64::from(name == "via"));
        let mut headers = vec![(name.to_owned(), value.to_owned())];
        if name != "host" {
            headers.push(("host".into(), "localhost:443".into()));
        }
        let request = ApiRequest {
            id,
            listener: Listener::Https,
            peer: peer(1, 77),
            certificate: None,
            method: "GET".into(),
            target: "/health".into(),
            headers,
            body: vec![],
        };
        world.tell(Event::Api(request));
        assert_eq!(world.status(id).map(u64::from), Some(status));
    }
    assert_eq!(world.get("/api/denials").as_array().unwrap().len(), 3);
}

#[test]
fn jobs_that_come_and_go_leave_nothing() {
    let mut world = World::new(&[]);
    let before = format!("{:?}", world.agent).len();
    for number in 0..50 {
        let id = format!("job{number}");
        world.admin(
            "POST",
            "/api/Jobs",
            &job(&id, &format!(r#","events":["E{number}"],"schedule":{{"intervalMinutes":5}}"#)),
        );
        world.look("");
        world.disk();
        world.admin("POST", &format!("/api/Jobs/{id}/trigger"), "");
        world.disk();
        world.lives(number + 1, "");
        world.admin("DELETE", &format!("/api/Jobs/{id}"), "");
        world.disk();
    }
    world.quiet();
    let after = format!("{:?}", world.agent).len();
    // Only the bounded list of ended runs is left: a number and what it hands down.
    assert!(after < before + 50 * 100, "{before} -> {after}: {:?}", world.agent);
}
