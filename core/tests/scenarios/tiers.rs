//! Every operation of the description by every kind of caller: who is let in is what the description says; other methods are 405.

use std::collections::BTreeMap;

use castellan_core::event::{Counts, Event};
use castellan_core::id::TicketId;
use serde_json::Value;

use crate::world::World;

const JOB: &str = r#"{"id":"a","tasks":[{"id":"t","command":"tool"}]}"#;
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "PATCH"];

/// A world in which a task of a job runs.
fn world() -> World {
    let mut world = World::new(&[("Jobs/a", JOB)]);
    world.admin("POST", "/api/Jobs/a/trigger", "");
    world.disk();
    world.started(1);
    world
}

/// For each method who is let in: a stranger, a task, an administrator; `405` where nobody is.
fn let_in(path: &str) -> String {
    let cells = METHODS.map(|method| {
        let mut world = world();
        let asked = [world.stranger(method, path, ""), world.task(1, method, path, ""), world.admin(method, path, "")];
        let statuses = asked.map(|request| world.status(request));
        if statuses == [Some(405); 3] {
            return String::from("405");
        }
        let names = ["stranger", "task", "admin"].into_iter().zip(statuses);
        let names: Vec<&str> = names.filter(|(_, status)| *status != Some(403)).map(|(name, _)| name).collect();
        names.join("+")
    });
    cells.join(" ")
}

/// What the description says of the same. Where two paths fit, as `/api/Jobs/reload` and a job of that name, each has its methods.
fn described(paths: &[&Value]) -> String {
    let cells = METHODS.map(|method| {
        let operation = paths.iter().map(|path| &path[method.to_lowercase()]).find(|operation| operation.is_object());
        match operation.and_then(|operation| operation["x-castellan-tier"].as_str()) {
            Some("Plugin") if CLOSER.contains(&operation.unwrap()["operationId"].as_str().unwrap()) => "admin",
            Some("Public") => "stranger+task+admin",
            Some("Plugin") => "task+admin",
            Some("Admin") => "admin",
            _ => "405",
        }
    });
    cells.join(" ")
}

/// What a plugin may do with its own settings, and a process of a job not at all.
const CLOSER: [&str; 3] = ["putSetting", "revertSettings", "revertAllSettings"];
/// Where two paths fit: the literal one, and that of which it could be a name.
const BOTH: [(&str, &str); 5] = [
    ("/api/Jobs/reload", "/api/Jobs/{jobId}"),
    ("/api/Jobs/validate", "/api/Jobs/{jobId}"),
    ("/api/policies/reload", "/api/policies/{policyName}"),
    ("/api/PluginSettings/revert-all", "/api/PluginSettings/{pluginId}"),
    ("/api/PluginSettings/{pluginId}/revert", "/api/PluginSettings/{pluginId}/{key}"),
];

/// Path, then GET POST PUT DELETE PATCH.
const TABLE: &str = "\
/ stranger+task+admin 405 405 405 405
/api/Jobs task+admin admin 405 405 405
/api/Jobs/reload task+admin admin admin admin 405
/api/Jobs/validate task+admin task+admin admin admin 405
/api/Jobs/{jobId} task+admin 405 admin admin 405
/api/Jobs/{jobId}/run 405 task+admin 405 405 405
/api/Jobs/{jobId}/runs task+admin 405 405 405 405
/api/Jobs/{jobId}/trigger 405 task+admin 405 405 405
/api/PluginSettings/revert-all task+admin admin 405 405 405
/api/PluginSettings/{pluginId} task+admin 405 405 405 405
/api/PluginSettings/{pluginId}/revert task+admin admin admin 405 405
/api/PluginSettings/{pluginId}/{key} task+admin 405 admin 405 405
/api/admin/certificates admin admin 405 405 405
/api/admin/certificates/{certificate} 405 405 405 admin 405
/api/denials admin 405 405 405 405
/api/elevation task+admin 405 405 405 405
/api/elevation/{requestId} task+admin 405 405 405 405
/api/elevation/{requestId}/approve 405 admin 405 405 405
/api/elevation/{requestId}/controls/{control} 405 task+admin 405 405 405
/api/elevation/{requestId}/deny 405 admin 405 405 405
/api/elevation/{requestId}/launch 405 task+admin 405 405 405
/api/elevation/{requestId}/launch-substitute 405 task+admin 405 405 405
/api/elevation/{requestId}/redirect task+admin 405 405 405 405
/api/events task+admin admin 405 405 405
/api/grants admin 405 405 405 405
/api/grants/cleanup 405 task+admin 405 405 405
/api/grants/{requestId} 405 405 405 admin 405
/api/lkg admin 405 405 405 405
/api/lkg/quarantine admin 405 405 405 405
/api/lkg/rekey 405 admin 405 405 405
/api/lkg/verify 405 admin 405 405 405
/api/lkg/{kind}/{id} admin 405 405 405 405
/api/lkg/{kind}/{id}/accept 405 admin 405 405 405
/api/lkg/{kind}/{id}/diff admin 405 405 405 405
/api/lkg/{kind}/{id}/rollback 405 admin 405 405 405
/api/mfa admin 405 405 405 405
/api/mfa/{user} 405 admin 405 admin 405
/api/plugins task+admin 405 405 405 405
/api/plugins/{pluginId} task+admin 405 405 405 405
/api/plugins/{pluginId}/output admin 405 405 405 405
/api/plugins/{pluginId}/restart 405 admin 405 405 405
/api/plugins/{pluginId}/start 405 admin 405 405 405
/api/plugins/{pluginId}/stop 405 admin 405 405 405
/api/policies admin admin 405 405 405
/api/policies/reload 405 admin 405 admin 405
/api/policies/{policyName} 405 405 405 admin 405
/api/runs task+admin 405 405 405 405
/api/runs/{runId} task+admin 405 405 405 405
/api/runs/{runId}/cancel 405 admin 405 405 405
/api/system/status stranger+task+admin 405 405 405 405
/health stranger+task+admin 405 405 405 405
/metrics task+admin 405 405 405 405
/openapi.json stranger+task+admin 405 405 405 405
";

#[test]
fn every_operation_lets_in_whom_its_description_names() {
    let description = world().get("/openapi.json");
    let paths: BTreeMap<&String, &Value> = description["paths"].as_object().unwrap().iter().collect();
    let mut table = String::new();
    for (template, operations) in paths {
        let path = ["jobId", "pluginId", "key", "certificate", "id", "policyName", "user"].iter().fold(
            template
                .replace("{runId}", "7-1")
                .replace("{requestId}", "E7-1")
                .replace("{control}", "JUSTIFY")
                .replace("{kind}", "Jobs"),
            |path, name| path.replace(&format!("{{{name}}}"), "a"),
        );
        let line = let_in(&path);
        let other = BOTH.iter().find(|(literal, _)| literal == template);
        let fitting: Vec<&Value> =
            [operations].into_iter().chain(other.map(|(_, other)| &description["paths"][other])).collect();
        assert_eq!(line, described(&fitting), "{template}");
        table.push_str(&format!("{template} {line}\n"));
    }
    assert_eq!(table, TABLE, "\n{table}");
}

#[test]
fn metrics_are_answered_once_the_ports_have_told_their_counts() {
    let mut world = world();
    let asked = world.admin("GET", "/metrics", "");
    assert_eq!(world.status(asked), None);
    let ticket = world.transcript.iter().find_map(|line| line.strip_prefix("count ")).unwrap().parse().unwrap();
    let http_failures = vec![("refused", 3)];
    let counts = Counts { messages_received: 7, http_answered_at_once: 5, http_failures, ..Counts::default() };
    world.stranger("GET", "/health", "");
    world.tell(Event::Counted { ticket: TicketId(ticket), counts: counts.clone() });
    let text = String::from_utf8(world.responses[&asked].body.clone()).unwrap();
    for line in [
        "castellan_runs_active 1",
        "castellan_runs_queued 0",
        "castellan_mqtt_messages_total{direction=\"received\"} 7",
        "castellan_http_failures_total{reason=\"refused\"} 3",
        "castellan_http_requests_total{route=\"/api/Jobs/{jobId}/trigger\",status=\"202\"} 1",
        "castellan_http_requests_total{route=\"/health\",status=\"200\"} 6",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}:\n{text}");
    }
    // Told twice: nobody asked.
    world.tell(Event::Counted { ticket: TicketId(ticket), counts });
    assert_eq!(world.logged("Anomaly").len(), 1);
    // Not told before the end: the request is answered all the same.
    let late = world.admin("GET", "/metrics", "");
    world.tell(Event::StopRequested("the test is over".into()));
    world.exit(1, castellan_core::event::ExitStatus::Signal(15));
    world.collected(1, "");
    world.discarded(1);
    world.disk();
    world.tell(Event::Broker(castellan_core::event::BrokerReport::Stopped));
    assert_eq!((world.exited, world.status(late)), (true, Some(503)));
}
