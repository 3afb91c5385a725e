//! The description for programs, held against the router: each operation is one that is taken, under the tier that counts.

use super::*;
use crate::api::openapi::{document, example, tier};
use crate::api::operation::paths;

#[test]
fn every_operation_of_the_table_is_taken_and_every_route_is_in_the_table() {
    let mut ids: Vec<&str> = Vec::new();
    for path in paths() {
        for operation in path.operations {
            assert!(tier(path, operation).is_some(), "{:?} {} leads nowhere", operation.method, path.template);
            let answers: Vec<u16> = operation.answers.iter().map(|answer| answer.status).collect();
            assert!(answers.is_sorted_by(|left, right| left < right), "{}: {answers:?}", operation.id);
            assert!(operation.summary.ends_with('.'), "{}", operation.id);
            ids.push(operation.id);
        }
        assert!(path.operations.is_sorted_by_key(|operation| operation.method), "{}", path.template);
        let path = example(path.template);
        assert!(!path.contains('{'), "{path}: what its name stands for is not described");
        assert!(ROUTES.iter().any(|(route, _)| same_route(route, &path)), "{path} is missing among ROUTES");
    }
    let count = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), count, "an operation's id is not its own: {ids:?}");
}

/// Whether two paths lead to one row of the table.
fn same_route(left: &str, right: &str) -> bool {
    let row = |path| METHODS.iter().find_map(|method| Some(route(method, path).ok()?.0.template()));
    row(left).is_some() && row(left) == row(right)
}

#[test]
fn the_document_is_whole() {
    let document: Value = serde_json::from_slice(&document("1.2.3", 443)).unwrap();
    assert_eq!((&document["openapi"], &document["info"]["version"]), (&json!("3.1.0"), &json!("1.2.3")));
    assert_eq!(document["servers"][0]["url"], "https://127.0.0.1:443");
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
    let paths = &document["paths"];
    assert_eq!(paths["/api/Jobs"]["post"]["x-castellan-tier"], "Admin");
    assert_eq!(paths["/api/Jobs"]["get"]["security"], json!([{ "adminCertificate": [] }, {}]));
    assert_eq!(paths["/health"]["get"]["security"], json!([]));
    let trigger = &paths["/api/Jobs/{jobId}/trigger"];
    assert_eq!(trigger["parameters"][0]["schema"]["maxLength"], 64);
    assert_eq!(trigger["post"]["parameters"][1]["schema"]["maximum"], 3600);
    let job = "#/components/schemas/job";
    assert_eq!(paths["/api/Jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"], job);
    let events = &paths["/api/events"]["get"]["responses"]["200"]["content"]["text/event-stream"]["schema"]["$ref"];
    let event = document.pointer(events.as_str().unwrap().trim_start_matches('#')).unwrap();
    assert!(event["properties"]["data"].is_object() && event["required"].is_null(), "{event}");
    let problem = &document["components"]["schemas"]["Problem"];
    assert_eq!(problem["required"], json!(["type", "title", "status", "detail"]));
    assert!(problem["properties"]["findings"].is_object() && problem["properties"]["tierNeeded"].is_object());
}
