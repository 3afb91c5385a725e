//! What people see of requests for more privileges: figures, the status page, the history.

use castellan_core::event::{Counts, Event};
use castellan_core::id::TicketId;
use serde_json::json;

use super::{ALICE, administrators, asked, ended, launched, pending, settle, vote, world};
use crate::world::World;

/// What `GET /metrics` says.
fn figures(world: &mut World) -> String {
    let asked = world.admin("GET", "/metrics", "");
    let count = world.transcript.iter().rev().find_map(|line| line.strip_prefix("count ")).unwrap().parse().unwrap();
    world.tell(Event::Counted { ticket: TicketId(count), counts: Counts::default() });
    String::from_utf8(world.responses[&asked].body.clone()).unwrap()
}

#[track_caller]
fn has_figures(world: &mut World, wanted: &[&str]) {
    let text = figures(world);
    for line in wanted {
        assert!(text.lines().any(|known| known == *line), "{line}:\n{text}");
    }
}

#[test]
fn the_figures_tell_what_waits_how_it_was_decided_and_how_it_ended() {
    let (mut world, policy) = world();
    administrators(&mut world);
    has_figures(&mut world, &["castellan_elevations_active 0", "castellan_elevations_total{result=\"Denied\"} 0"]);
    asked(&mut world, 1);
    world.decides(&policy, "E7-1", "DENY", json!({}));
    settle(&mut world);
    asked(&mut world, 2);
    world.decides(&policy, "E7-2", "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
    settle(&mut world);
    has_figures(
        &mut world,
        &[
            "castellan_elevations_active 1",
            "castellan_elevations_waiting{control=\"MFA\"} 0",
            "castellan_elevations_waiting{control=\"JUSTIFY\"} 1",
            "castellan_elevations_waiting{control=\"APPROVAL\"} 1",
            "castellan_elevations_total{result=\"Denied\"} 1",
            "castellan_policy_decisions_total{decision=\"ALLOW\"} 0",
            "castellan_policy_decisions_total{decision=\"DENY\"} 1",
            "castellan_policy_decisions_total{decision=\"PENDING\"} 1",
            "castellan_elevation_decision_seconds_count 1",
        ],
    );
    world.wait(20_000);
    world.reply(2, 1, Some("a cause"));
    settle(&mut world);
    assert_eq!(vote(&mut world, "sha256-2", "E7-2", "approve"), Some(200));
    let spawn = launched(&mut world, 2);
    has_figures(
        &mut world,
        &[
            "castellan_elevations_active 1",
            "castellan_elevations_waiting{control=\"APPROVAL\"} 0",
            "castellan_elevations_authorized_total 1",
            "castellan_elevations_total{result=\"Finished\"} 0",
            "castellan_elevation_decision_seconds_bucket{le=\"5\"} 1",
            "castellan_elevation_decision_seconds_bucket{le=\"30\"} 2",
            "castellan_elevation_decision_seconds_count 2",
            "castellan_grants 1",
        ],
    );
    ended(&mut world, spawn);
    asked(&mut world, 3);
    world.leaves(3);
    settle(&mut world);
    has_figures(
        &mut world,
        &[
            "castellan_elevations_active 0",
            "castellan_elevations_total{result=\"Finished\"} 1",
            "castellan_elevations_total{result=\"Withdrawn\"} 1",
            "castellan_elevations_authorized_total 1",
            "castellan_elevation_decision_seconds_count 3",
        ],
    );
}

/// The status page, as an administrator's browser or that of somebody else gets it.
fn page(world: &mut World, is_admin: bool) -> String {
    let headers = [("accept", "text/html")];
    let asked = match is_admin {
        true => world.admin_with("GET", "/", "", &headers),
        false => world.task_with(1, "GET", "/", &headers),
    };
    world.disk();
    String::from_utf8(world.responses[&asked].body.clone()).unwrap()
}

#[test]
fn the_page_shows_administrators_what_waits_and_hostile_words_stay_words() {
    let (mut world, policy) = world();
    administrators(&mut world);
    assert!(page(&mut world, true).contains("Requests for more privileges that wait (0)"));
    let words = ["id", "<script>alert(1)</script>", "\u{202e}gpj.exe\u{1b}[2J\n", "\"&'"];
    world.elevate_with(1, ALICE, &words, Some("</td><img src=x> \u{202e}because"), None);
    world.finds();
    world.decides(&policy, "E7-1", "PENDING", pending(&["JUSTIFY", "APPROVAL"], json!({})));
    settle(&mut world);
    world.elevate(2, ALICE, &["id", "-g"]);
    world.finds();
    world.decides(&policy, "E7-2", "PENDING", pending(&["JUSTIFY"], json!({})));
    settle(&mut world);
    let shown = page(&mut world, true);
    for part in [
        "Requests for more privileges that wait (2)",
        ">E7-1</th><td>alice</td>",
        "id &lt;script&gt;alert(1)&lt;/script&gt; \\u202egpj.exe\\u001b[2J\\n &quot;&amp;'",
        "&lt;/td&gt;&lt;img src=x&gt; \\u202ebecause",
        "<td>APPROVAL</td><td><code>castellan requests approve E7-1</code>, or <code>castellan requests deny E7-1</code>",
        "<td>JUSTIFY</td><td>alice is asked where the command was given.</td>",
    ] {
        assert!(shown.contains(part), "{part}:\n{shown}");
    }
    for mark in ["<script>alert", "<img", "\u{202e}", "\u{1b}"] {
        assert!(!shown.contains(mark), "{mark:?}:\n{shown}");
    }
    let of_a_task = page(&mut world, false);
    assert!(of_a_task.contains("Shown for the Plugin tier") && !of_a_task.contains("alice"), "{of_a_task}");
    world.leaves(1);
    world.leaves(2);
    settle(&mut world);
    assert!(!page(&mut world, true).contains("E7-1"));
}

/// The ids of a page of the history, once the disk was asked.
fn listed(world: &mut World, query: &str) -> Vec<String> {
    let asked = world.admin("GET", &format!("/api/elevation?{query}"), "");
    assert_eq!(world.status(asked), None, "the disk is asked");
    world.disk();
    let found = world.body(asked);
    found.as_array().unwrap().iter().map(|one| one["RequestId"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_history_of_requests_is_read_in_pages_and_outlives_the_agent() {
    let (mut world, policy) = world();
    let others = ("mallory", 1001);
    for (caller, user) in [(1, ALICE), (2, others), (3, ALICE), (4, ALICE)] {
        world.elevate(caller, user, &["id", "-u"]);
        world.finds();
        let decision = if caller == 4 { "PENDING" } else { "DENY" };
        world.decides(&policy, &format!("E7-{caller}"), decision, pending(&["JUSTIFY"], json!({})));
        settle(&mut world);
    }
    assert_eq!(listed(&mut world, "user=alice&limit=2"), ["E7-4", "E7-3"]);
    assert_eq!(listed(&mut world, "user=alice&before=E7-3"), ["E7-1"]);
    assert_eq!(listed(&mut world, "status=denied"), ["E7-3", "E7-2", "E7-1"]);
    assert_eq!(listed(&mut world, "status=AwaitingControls&since=2000-01-01T00:00:00Z"), ["E7-4"]);
    assert_eq!(listed(&mut world, "since=2100-01-01T00:00:00Z"), [""; 0]);
    for wrong in ["limit=0", "limit=101", "status=Gone", "since=yesterday", "before=7"] {
        let asked = world.admin("GET", &format!("/api/elevation?{wrong}"), "");
        assert_eq!(world.status(asked), Some(400), "{wrong}");
        assert!(world.body(asked)["detail"].as_str().unwrap().contains(wrong.split_once('=').unwrap().0), "{wrong}");
    }
    // What is read meanwhile is shown as it stands when the disk answers.
    let asked = world.admin("GET", "/api/elevation?status=AwaitingControls", "");
    world.leaves(4);
    world.disk_once(Ok(()));
    assert_eq!(world.body(asked)[0]["Status"], "Withdrawn");
    settle(&mut world);

    let mut world = world.reborn();
    assert_eq!(world.get_now("/api/elevation"), json!([]), "nothing of late");
    for (target, status) in [("/api/elevation/E7-1", 200), ("/api/elevation/E7-9", 404)] {
        let asked = world.admin("GET", target, "");
        assert_eq!(world.status(asked), None, "{target}");
        world.disk();
        assert_eq!(world.status(asked), Some(status), "{target}");
    }
    // Nothing is approved or launched of what is not under way, whatever the history has.
    let asked = world.admin("POST", "/api/elevation/E7-1/approve", "");
    assert_eq!(world.status(asked), Some(404));
    let asked = world.admin("GET", "/api/elevation/E7-1", "");
    world.disk_once(Err("it is broken".into()));
    assert_eq!(world.status(asked), Some(500));
    world.quiet();
}
