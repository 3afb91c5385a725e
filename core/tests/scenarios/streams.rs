//! `GET /api/events`: who hears what, how a client goes on where it was, and how a stream ends.

use castellan_core::event::{Event, ExitStatus, StreamEnd};
use castellan_core::id::RequestId;
use serde_json::{Value, json};

use crate::plugins::plugin;
use crate::world::World;

fn job(id: &str) -> String {
    format!(r#"{{"id":"{id}","tasks":[{{"id":"t","command":"tool"}}]}}"#)
}

/// What a text of an event stream tells: id, kind and data of each event.
fn events(text: &str) -> Vec<(String, String, Value)> {
    let blocks = text.split_terminator("\n\n").filter(|block| block.contains("data: "));
    let field = |block: &str, name: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_default().to_owned()
    };
    blocks
        .map(|block| {
            let data = serde_json::from_str(&field(block, "data")).unwrap_or_else(|_| panic!("{block}"));
            (field(block, "id"), field(block, "event"), data)
        })
        .collect()
}

impl World {
    /// How a stream began.
    fn opening(&self, stream: RequestId) -> String {
        String::from_utf8(self.responses[&stream].body.clone()).unwrap()
    }

    /// What was sent since the last look, as `kind event-or-status`.
    fn heard(&mut self, stream: RequestId) -> Vec<String> {
        let sent = self.streams.get_mut(&stream).unwrap().as_mut().expect("it is open");
        let line = |(_, kind, data): (String, String, Value)| {
            let what = ["event", "status", "target"].iter().find_map(|name| data[*name].as_str());
            format!("{kind} {}", what.unwrap_or_default())
        };
        events(&std::mem::take(sent)).into_iter().map(line).collect()
    }
}

#[test]
fn an_administrator_hears_runs_plugins_and_denials_each_when_it_happens() {
    let mut world = World::new(&[("Jobs/a", &job("a")), ("Plugins/p", &plugin("p", ""))]);
    let stream = world.admin("GET", "/api/events", "");
    let response = &world.responses[&stream];
    assert_eq!(response.status, 200);
    assert!(response.headers.contains(&("content-type".into(), "text/event-stream".into())));
    assert!(world.opening(stream).starts_with("retry: 1000\nid: 7-"), "{}", world.opening(stream));
    world.admin("POST", "/api/Jobs/a/trigger", "");
    assert_eq!(world.heard(stream), ["run triggered"]);
    world.disk();
    assert_eq!(world.heard(stream), ["run started"]);
    world.lives(2, "");
    assert_eq!(world.heard(stream), ["run taskFinished", "run finished"]);
    world.started(1);
    assert_eq!(world.heard(stream), ["plugin Running"]);
    world.stranger("DELETE", "/api/Jobs/a", "");
    assert_eq!(world.heard(stream), ["denial DELETE /api/Jobs/a"]);
    let sent = world.streams[&stream].clone();
    world.stranger("GET", "/health", "");
    assert_eq!(world.streams[&stream], sent, "what needs no telling is not told");
}

#[test]
fn each_tier_hears_what_it_may_read_and_chooses_among_that() {
    let mut world = World::new(&[("Jobs/a", &job("a")), ("Plugins/p", &plugin("p", ""))]);
    world.started(1);
    let stranger = world.stranger("GET", "/api/events", "");
    assert_eq!(world.status(stranger), Some(403));
    let own = world.task(1, "GET", "/api/events", "");
    let denials = world.task(1, "GET", "/api/events?kinds=run,denial", "");
    assert_eq!((world.status(denials), world.body(denials)["tierNeeded"].as_str()), (Some(403), Some("Admin")));
    let some = world.admin("GET", "/api/events?kinds=denial", "");
    let none = world.admin("GET", "/api/events?kinds=weather", "");
    assert_eq!(world.status(none), Some(400));
    assert_eq!(
        world.body(none)["detail"],
        "'weather' is no kind of event; kinds is a list of run, plugin, denial, drift, elevation."
    );
    let head = world.admin("HEAD", "/api/events", "");
    assert_eq!((world.status(head), world.streams.contains_key(&head)), (Some(200), false));
    world.heard(some);
    world.stranger("GET", "/api/Jobs", "");
    world.admin("POST", "/api/Jobs/a/trigger", "");
    assert_eq!(
        (world.heard(own), world.heard(some)),
        (vec!["run triggered".into()], vec!["denial GET /api/Jobs".into()])
    );
}

#[test]
fn a_client_that_comes_back_gets_what_it_missed_or_is_told_of_the_gap() {
    let mut world = World::new(&[("Jobs/a", &job("a"))]);
    let first = world.admin("GET", "/api/events", "");
    world.admin("POST", "/api/Jobs/a/trigger", "");
    let seen = events(world.streams[&first].as_ref().unwrap())[0].0.clone();
    world.tell(Event::StreamEnded { request: first, why: StreamEnd::Left });
    world.disk();
    world.lives(1, "");
    let back = |world: &mut World, id: &str| {
        let stream = world.admin_with("GET", "/api/events", "", &[("last-event-id", id)]);
        events(&world.opening(stream)).into_iter().map(|(_, kind, data)| (kind, data)).collect::<Vec<_>>()
    };
    let found = back(&mut world, &seen);
    let names: Vec<_> = found.iter().map(|(_, data)| data["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["started", "taskFinished", "finished"]);
    // Ids of a former start of the agent, of the future, and nonsense: nobody knows what was lost.
    for id in ["6-1", "7-9999", "yesterday", ""] {
        let found = back(&mut world, id);
        assert_eq!(found[0], ("gap".into(), json!({ "lost": null })), "{id}");
        assert_eq!(found[1].1["event"], "triggered", "all that is left comes after it: {id}");
    }
    // The ring is bounded: the oldest go, and are counted.
    for _ in 0..300 {
        world.admin("POST", "/api/Jobs/a/trigger", "");
        world.disk();
        let spawn = world.spawns.len() as u64;
        world.lives(spawn, "");
    }
    let found = back(&mut world, &seen);
    assert_eq!((found[0].0.as_str(), found.len()), ("gap", 1025));
    let lost = found[0].1["lost"].as_u64().unwrap();
    let (_, last) = seen.split_once('-').unwrap();
    let stream = world.admin_with("GET", "/api/events", "", &[("last-event-id", &seen)]);
    let next = &events(&world.opening(stream))[1].0;
    assert_eq!(*next, format!("7-{}", last.parse::<u64>().unwrap() + lost + 1));
}

#[test]
fn signs_of_life_tell_where_a_client_stands() {
    let mut world = World::new(&[("Jobs/a", &job("a"))]);
    let stream = world.admin("GET", "/api/events?kinds=denial", "");
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.wait(14_999);
    assert_eq!(world.streams[&stream].as_deref(), Some(""));
    world.wait(1);
    let beat = world.streams[&stream].clone().unwrap();
    assert_eq!(beat, ":\nid: 7-1\n\n", "events of other kinds are none that it misses");
    world.tell(Event::StreamEnded { request: stream, why: StreamEnd::Left });
    world.transcript.clear();
    world.wait(60_000);
    world.expect(&[]);
}

#[test]
fn streams_are_bounded_and_nobody_locks_others_out() {
    let tasks = |id: &str| format!(r#"{{"id":"{id}","overlap":"parallel","tasks":[{{"id":"t","command":"tool"}}]}}"#);
    let jobs = ["a", "b", "c", "d", "e"].map(|id| (format!("Jobs/{id}"), tasks(id)));
    let files: Vec<(&str, &str)> = jobs.iter().map(|(path, text)| (&**path, &**text)).collect();
    let mut world = World::new(&files);
    // Two runs of `a`, one of each other.
    for (spawn, id) in (1..).zip(["a", "b", "c", "d", "e", "a"]) {
        world.admin("POST", &format!("/api/Jobs/{id}/trigger"), "");
        world.disk();
        world.started(spawn);
    }
    let ask = |world: &mut World, spawn: Option<u64>| {
        let stream = match spawn {
            None => world.admin("GET", "/api/events", ""),
            Some(spawn) => world.task(spawn, "GET", "/api/events", ""),
        };
        (stream, world.status(stream).unwrap())
    };
    let of_one: Vec<_> = (0..5).map(|_| ask(&mut world, Some(1))).collect();
    assert_eq!(of_one.iter().map(|(_, status)| *status).collect::<Vec<_>>(), [200, 200, 200, 200, 503]);
    assert_eq!(ask(&mut world, Some(6)).1, 503, "another run of it");
    for spawn in [2, 3, 4] {
        assert!((0..4).all(|_| ask(&mut world, Some(spawn)).1 == 200), "the others have their own: {spawn}");
    }
    assert_eq!(ask(&mut world, Some(5)).1, 503, "there are 16");
    let of_admins: Vec<_> = (0..17).map(|_| ask(&mut world, None).1).collect();
    assert_eq!((&of_admins[..16], of_admins[16]), (&[200; 16][..], 503));
    world.tell(Event::StreamEnded { request: of_one[0].0, why: StreamEnd::NotRead });
    assert_eq!(world.logged("StreamNotRead").len(), 1);
    assert_eq!(ask(&mut world, Some(6)).1, 200, "its place is free");
    world.tell(Event::StreamEnded { request: of_one[0].0, why: StreamEnd::NotRead });
    assert_eq!(world.logged("StreamNotRead").len(), 1, "told twice is told once");
}

#[test]
fn a_stream_ends_with_the_trust_in_its_caller_and_with_the_agent() {
    let mut world = World::new(&[("Plugins/p", &plugin("p", ""))]);
    world.started(1);
    let (own, admin) = (world.task(1, "GET", "/api/events", ""), world.admin("GET", "/api/events", ""));
    world.exit(1, ExitStatus::Code(0));
    world.collected(1, "");
    world.discarded(1);
    assert_eq!(world.streams[&own], None, "its tree has left the registry");
    assert!(world.streams[&admin].is_some());
    world.tell(Event::StopRequested("SIGTERM".into()));
    let late = world.admin("GET", "/api/events", "");
    assert_eq!(world.status(late), Some(503));
    assert!(world.streams[&admin].is_some(), "it hears how the agent stops");
    world.wait(10_000);
    assert!(world.exited);
    assert_eq!(world.streams[&admin], None);
}

#[test]
fn an_http_task_cannot_follow() {
    let call = r#"{"id":"a","tasks":[{"id":"t","executionType":"Http","method":"GET","url":"{KeeperApiBaseUrl}/api/events"}]}"#;
    let mut world = World::new(&[("Jobs/a", call)]);
    let trigger = world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    let run = world.body(trigger)["runId"].as_str().unwrap().to_owned();
    let record = world.get(&format!("/api/runs/{run}"));
    assert_eq!((&record["outcome"], world.streams.len()), (&json!("Failed"), 0), "{record}");
    assert!(record["tasks"][0].to_string().contains("400"), "{record}");
}
