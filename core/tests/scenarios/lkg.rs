//! Last Known Good over the API: how it stands, what differs, and what becomes blessed. The store answers as each story tells.

use std::sync::Arc;

use castellan_core::effect::{LostOrder, StoreOrder};
use castellan_core::event::{Counts, DefinitionKind, Event, StoreReport};
use castellan_core::id::{RequestId, TicketId};
use castellan_core::lkg::{
    Cause, Checked, Difference, Document, Former, Found, FoundDocument, LkgNotice, NotWritten, Quarantined, Reference,
    ReferenceQuery, ReferenceVersion, References, ReferencesFound, Survey, Trace,
};
use castellan_core::log_message::Level;
use serde_json::{Value, json};

use crate::world::{World, item};

const SCAN: &str = r#"{"id":"scan","name":"Blessed","tasks":[{"id":"t","command":"tool"}]}"#;
const OTHER: &str = r#"{"id":"scan","name":"Other","tasks":[{"id":"t","command":"tool"}]}"#;
const BRIDGE: &str = r#"{"id":"Bridge","name":"Bridge","description":"d","version":"1","pluginType":"Executable",
    "executablePath":"bin/Bridge/Bridge","supportedPlatforms":["Linux"],"Subscription":{"Topic":"Bridge"},
    "metadata":{"mqttTopics":{"publish":[],"subscribe":[]}},"autoStart":false,"executionContext":"Service"}"#;

fn world() -> World {
    World::blessed(
        "{}",
        &[("Jobs/scan", Ok(SCAN)), ("Plugins/Bridge", Ok(BRIDGE)), ("Jobs/old", Err("a bit is flipped."))],
    )
}

/// The store answers its oldest question, which has to be this one.
#[track_caller]
fn read(world: &mut World, asked: &ReferenceQuery, found: Result<ReferencesFound, String>) {
    let Some(StoreOrder::ReadReferences { ticket, query }) = world.disk.pop_front() else { panic!("nothing is asked") };
    assert_eq!(query, *asked);
    world.tell(Event::Store(StoreReport::ReferencesRead { ticket, result: found }));
}

/// The store carries out its oldest order, which has to be a blessed write of one item: by whom, and what.
#[track_caller]
fn write(world: &mut World, result: Result<Vec<u64>, NotWritten>) -> (String, String, Option<Document>) {
    let Some(StoreOrder::ChangeDefinitions { ticket, changes, writer, .. }) = world.disk.pop_front() else {
        panic!("nothing is written")
    };
    world.tell(Event::Store(StoreReport::DefinitionsChanged { ticket, result }));
    (writer, changes[0].item.to_string(), changes[0].document.clone())
}

fn document(text: &str, name: &str) -> Result<ReferencesFound, String> {
    let sha256 = castellan_core::hexadecimal(text.as_bytes());
    Ok(ReferencesFound::Document(Some(FoundDocument {
        document: Some(text.as_bytes().into()),
        from: name.into(),
        sha256,
    })))
}

fn bytes(text: &str) -> Arc<Vec<u8>> {
    Arc::new(text.as_bytes().to_vec())
}

fn full() -> NotWritten {
    NotWritten { cause: Cause::Full, reason: "No space is left.".into() }
}

#[track_caller]
fn answered(world: &mut World, request: RequestId, status: u16) -> Value {
    assert_eq!(world.status(request), Some(status), "{:?}", world.responses.get(&request));
    world.body(request)
}

/// What Prometheus is told.
fn metrics(world: &mut World) -> String {
    let asked = world.admin("GET", "/metrics", "");
    let counted = world.transcript.iter().rev().find_map(|line| line.strip_prefix("count "));
    let ticket = TicketId(counted.unwrap().parse().unwrap());
    world.tell(Event::Counted { ticket, counts: Counts::default() });
    String::from_utf8(world.responses[&asked].body.clone()).unwrap()
}

fn items(status: &Value) -> Vec<String> {
    let items = status["items"].as_array().unwrap();
    let said =
        |one: &Value| format!("{}/{} {} {}", one["kind"], one["id"], one["version"], one["state"]).replace('"', "");
    items.iter().map(said).collect()
}

#[test]
fn its_state_names_every_item_and_why_one_is_out_of_service() {
    let mut world = world();
    let status = world.get_now("/api/lkg");
    assert_eq!(
        (&status["enabled"], &status["auditOnly"], &status["counter"], &status["keyId"], &status["outOfService"]),
        (&json!(true), &json!(false), &json!(3), &json!("00aa"), &json!(1))
    );
    assert_eq!(items(&status), ["Jobs/old 1 OutOfService", "Jobs/scan 1 InService", "Plugins/Bridge 1 InService"]);
    let old = &status["items"][0];
    assert_eq!(old["why"], "Its reference proves nothing: a bit is flipped.");
    let fix = old["fix"].as_str().unwrap();
    assert!(fix.starts_with("castellan jobs apply FILE"), "what works whether its file is there or not: {fix}");
    assert!(fix.contains("Where its file is there") && fix.contains("castellan lkg accept Jobs/old"), "{fix}");
    assert!(status["lastSweep"].is_string(), "{status}");

    let asked = world.admin("GET", "/api/lkg/jobs/scan", "");
    let written = ReferenceVersion {
        version: 1,
        time: "2026-11-22T00:00:00.000Z".into(),
        writer: "agent".into(),
        bytes: Some(7),
        sha256: Some("ab".into()),
    };
    let of = |version: u64, bytes: Option<u64>| ReferenceVersion { version, bytes, ..written.clone() };
    // Version 3 could not be read.
    let versions = vec![of(7, Some(1)), of(6, None), of(5, Some(2)), of(4, Some(1)), of(2, Some(1)), of(1, Some(7))];
    read(&mut world, &ReferenceQuery::History(item("Jobs/scan")), Ok(ReferencesFound::History(versions)));
    let shown = answered(&mut world, asked, 200);
    assert_eq!((&shown["id"], &shown["state"], &shown["version"]), (&json!("scan"), &json!("InService"), &json!(1)));
    let actions = shown["history"].as_array().unwrap().iter().map(|one| one["action"].as_str().unwrap());
    assert_eq!(actions.collect::<Vec<_>>(), ["Created", "Deleted", "Changed", "Written", "Changed", "Created"]);
    let created = json!({ "version": 1, "time": "2026-11-22T00:00:00.000Z", "writer": "agent", "action": "Created", "size": 7, "sha256": "ab" });
    assert_eq!(shown["history"][5], created);

    let asked = world.admin("GET", "/api/lkg/quarantine", "");
    let moved =
        Quarantined { name: "n".into(), item: item("Jobs/stray"), time: "2026-11-22T00:00:00.000Z".into(), bytes: 9 };
    read(&mut world, &ReferenceQuery::Quarantine, Ok(ReferencesFound::Quarantine(vec![moved])));
    let line = json!([{ "name": "n", "item": "Jobs/stray", "time": "2026-11-22T00:00:00.000Z", "size": 9 }]);
    assert_eq!(answered(&mut world, asked, 200), line);
    world.quiet();
}

#[test]
fn a_difference_is_told_between_what_is_blessed_on_disk_or_of_a_version() {
    let mut world = world();
    let asked = world.admin("GET", "/api/lkg/Jobs/scan/diff", "");
    read(&mut world, &ReferenceQuery::Candidate(item("Jobs/scan"), None), document(OTHER, "Jobs/scan.json"));
    let found = answered(&mut world, asked, 200);
    assert_eq!(
        (&found["from"], &found["to"], &found["differs"]),
        (&json!("version 1"), &json!("Jobs/scan.json"), &json!(true))
    );
    assert_eq!(found["changes"], json!(["~ /name: \"Blessed\" -> \"Other\""]));
    let asked = world.admin("GET", "/api/lkg/Jobs/scan/diff?from=2&to=3", "");
    read(&mut world, &ReferenceQuery::Version(item("Jobs/scan"), 2), document(OTHER, "version 2"));
    assert_eq!(world.status(asked), None, "the other side is looked for");
    read(&mut world, &ReferenceQuery::Version(item("Jobs/scan"), 3), document(OTHER, "version 3"));
    let found = answered(&mut world, asked, 200);
    assert_eq!((&found["from"], &found["to"]), (&json!("version 2"), &json!("version 3")));
    assert_eq!((&found["differs"], &found["changes"]), (&json!(false), &json!([])));
    let asked = world.admin("GET", "/api/lkg/Jobs/stray/diff", "");
    read(
        &mut world,
        &ReferenceQuery::Candidate(item("Jobs/stray"), Some(Former::NewestCopy)),
        document(OTHER, "state/quarantine/n"),
    );
    assert_eq!(answered(&mut world, asked, 200)["from"], "nothing");
    let asked = world.admin("GET", "/api/lkg/Jobs/scan/diff", "");
    read(&mut world, &ReferenceQuery::Candidate(item("Jobs/scan"), None), Ok(ReferencesFound::Document(None)));
    answered(&mut world, asked, 404);
    for wrong in ["from=0", "to=x", "to=-1", "from="] {
        let asked = world.admin("GET", &format!("/api/lkg/Jobs/scan/diff?{wrong}"), "");
        answered(&mut world, asked, 400);
    }
    world.quiet();
}

#[test]
fn what_is_accepted_is_valid_blessed_and_in_service_before_it_is_answered() {
    let mut world = world();
    let candidate = ReferenceQuery::Candidate(item("Jobs/scan"), None);
    let asked = world.admin("POST", "/api/lkg/Jobs/scan/accept", "");
    read(&mut world, &candidate, document(OTHER, "Jobs/scan.json"));
    assert_eq!((world.status(asked), &world.get_now("/api/Jobs/scan")["name"]), (None, &json!("Blessed")));
    let (writer, what, blessed) = write(&mut world, Ok(vec![2]));
    assert_eq!(
        (writer.as_str(), what.as_str(), blessed.as_deref()),
        ("admin:client", "Jobs/scan", Some(OTHER.as_bytes()))
    );
    assert_eq!(
        (&answered(&mut world, asked, 200)["version"], &world.get_now("/api/Jobs/scan")["name"]),
        (&json!(2), &json!("Other"))
    );
    let told = "Jobs/scan is blessed as version 2, as admin:client accepted it or went back to it.";
    assert_eq!(world.logged("LkgAccepted"), [told]);

    let asked = world.admin("POST", "/api/lkg/Jobs/old/accept", "");
    read(&mut world, &ReferenceQuery::Candidate(item("Jobs/old"), None), document(SCAN, "Jobs/old.json"));
    let refused = answered(&mut world, asked, 400);
    assert_eq!(refused["findings"][0]["path"], "/id", "its id is another: {refused}");
    assert!(world.disk.is_empty(), "nothing is written");
    let asked = world.admin("POST", "/api/lkg/Jobs/old/accept", "");
    read(
        &mut world,
        &ReferenceQuery::Candidate(item("Jobs/old"), None),
        document(&SCAN.replace("scan", "old"), "Jobs/old.json"),
    );
    write(&mut world, Ok(vec![2]));
    assert_eq!(answered(&mut world, asked, 200)["state"], "InService", "it is whole again");
    assert_eq!(world.get_now("/api/lkg")["outOfService"], 0);

    let asked = world.admin("POST", "/api/lkg/Plugins/Bridge/rollback?version=1", "");
    read(&mut world, &ReferenceQuery::Version(item("Plugins/Bridge"), 1), document(BRIDGE, "version 1"));
    write(&mut world, Ok(vec![3]));
    assert_eq!(answered(&mut world, asked, 200)["version"], 3);
    let asked = world.admin("POST", "/api/lkg/Jobs/scan/rollback", "");
    answered(&mut world, asked, 400);
    world.quiet();
}

#[test]
fn an_accepted_deletion_removes_the_item_and_its_tag_is_none_of_a_document() {
    for (path, kind) in [("Jobs/scan", "Jobs"), ("Plugins/Bridge", "Plugins")] {
        let mut world = world();
        let survey =
            Survey { differences: vec![Difference { item: item(path), found: Found::Missing }], ..Survey::default() };
        world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
        let Some(StoreOrder::Restore { ticket, .. }) = world.disk.pop_front() else { panic!("nothing is restored") };
        let nothing = ReferenceQuery::Candidate(item(path), Some(Former::Nothing));
        let deleted = || {
            let from = format!("{path}.json (deleted)");
            Ok(ReferencesFound::Document(Some(FoundDocument { document: None, from, sha256: String::new() })))
        };
        let asked = world.admin("GET", &format!("/api/lkg/{path}/diff"), "");
        read(&mut world, &ReferenceQuery::Candidate(item(path), None), Ok(ReferencesFound::Document(None)));
        answered(&mut world, asked, 404);
        world.tell(Event::Store(StoreReport::Restored { ticket, item: item(path), result: Ok(None) }));
        let asked = world.admin("GET", &format!("/api/lkg/{path}/diff"), "");
        read(&mut world, &nothing, deleted());
        let shown = answered(&mut world, asked, 200);
        assert_eq!((&shown["tag"], &shown["differs"]), (&json!("\"deleted\""), &json!(true)), "{shown}");
        assert!(shown["changes"].as_array().unwrap().iter().all(|line| line.as_str().unwrap().starts_with("- ")));
        let accept = |world: &mut World| {
            world.admin_with("POST", &format!("/api/lkg/{path}/accept"), "", &[("if-match", "\"deleted\"")])
        };
        let asked = accept(&mut world);
        read(&mut world, &nothing, document("", "Jobs/scan.json"));
        answered(&mut world, asked, 412);
        let asked = accept(&mut world);
        read(&mut world, &nothing, deleted());
        let (_, what, document) = write(&mut world, Ok(vec![2]));
        assert_eq!((what.as_str(), document), (path, None));
        assert_eq!(answered(&mut world, asked, 200)["state"], "Tombstone");
        let gone = world.admin("GET", &format!("/api/{path}"), "");
        world.disk();
        answered(&mut world, gone, 404);
        assert!(world.logged("LkgAccepted")[0].contains("that its file was deleted"), "{kind}");
    }
}

#[test]
fn of_copies_in_quarantine_the_one_that_was_told_last_can_be_accepted_and_no_older_one() {
    let mut world = world();
    let mut drift = |found: Found, result: Result<Option<&str>, &str>| {
        let survey = Survey { differences: vec![Difference { item: item("Jobs/scan"), found }], ..Survey::default() };
        world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
        let Some(StoreOrder::Restore { ticket, item, .. }) = world.disk.pop_front() else { panic!("not restored") };
        let result = result.map(|name| name.map(String::from)).map_err(String::from);
        world.tell(Event::Store(StoreReport::Restored { ticket, item, result }));
        let asked = world.admin("POST", "/api/lkg/Jobs/scan/accept", "");
        let Some(StoreOrder::ReadReferences { ticket, query }) = world.disk.pop_front() else { panic!("not asked") };
        let result = Ok(ReferencesFound::Document(None));
        world.tell(Event::Store(StoreReport::ReferencesRead { ticket, result }));
        answered(&mut world, asked, 404);
        query
    };
    let candidate = |former| ReferenceQuery::Candidate(item("Jobs/scan"), former);
    let edited = || Found::Bytes { content: bytes(OTHER), trace: Trace::default() };
    let rights = || Found::Rights { what: "has mode 0666".into(), trace: Trace::default() };
    let copy = |name: &str| candidate(Some(Former::Copy(name.into())));
    assert_eq!(drift(edited(), Ok(Some("one"))), copy("one"));
    assert_eq!(drift(edited(), Ok(Some("two"))), copy("two"));
    assert_eq!(drift(rights(), Ok(None)), copy("two"), "of rights there is nothing to accept");
    assert_eq!(drift(edited(), Err("The disk is full.")), candidate(None));
    assert_eq!(drift(rights(), Ok(None)), candidate(None));
    assert_eq!(drift(Found::Missing, Ok(None)), candidate(Some(Former::Nothing)));
    assert_eq!(drift(edited(), Ok(None)), candidate(None), "what stood there was taken away meanwhile");
}

#[test]
fn a_reference_that_proves_nothing_is_told_once_as_critical_with_the_way_out() {
    let mut world = world();
    let told = |world: &World| world.logged("LkgDamaged").iter().map(ToString::to_string).collect::<Vec<_>>();
    let line = "Jobs/old.json is out of service, as its reference proves nothing: a bit is flipped.";
    assert_eq!(told(&world), [line]);
    let level = world.logs.iter().find(|record| record.category == "LkgDamaged").unwrap().level;
    assert_eq!((level, world.logged("Definition"), world.logged("OutOfService")), (Level::Critical, vec![], vec![]));
    let damaged = Reference { item: item("Jobs/scan"), version: 1, content: Err("It is gone.".into()) };
    let survey = || Survey { whole: true, ..Survey::default() };
    let checked = Checked { changed: vec![damaged], ..Checked::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey: survey(), checked }));
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey: survey(), checked: Checked::default() }));
    assert_eq!(told(&world)[1..], ["Jobs/scan.json is out of service, as its reference proves nothing: It is gone."]);
    assert_eq!((world.logged("Definition"), world.logged("OutOfService")), (vec![], vec![]));
}

#[test]
fn what_nobody_asked_for_is_told_in_one_line_however_often_it_happens() {
    let mut world = world();
    let notice = LkgNotice::PluginFolder { before: "Plugins".into(), now: "Other".into() };
    world.tell(Event::Store(StoreReport::LkgNoticed(notice)));
    let told = world.logged("LkgPluginPath").concat();
    assert!(told.contains("is Other now and was Plugins") && told.contains("set it back to Plugins"), "{told}");
    let mut full = |times: usize| {
        for _ in 0..times {
            world.tell(Event::Store(StoreReport::LkgNoticed(LkgNotice::QuarantineFull(2))));
        }
        let survey = Survey { whole: true, ..Survey::default() };
        world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
        let lines = world.logged("LkgQuarantine").into_iter();
        lines.map(|line| line.split(' ').nth(3).unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(full(5), ["2", "8"], "the first at once, the others with the sweep");
    assert_eq!(full(3), ["2", "8", "6"]);
    assert_eq!(full(0).len(), 3);
    assert_eq!(full(1), ["2", "8", "6", "2"], "after a sweep without one it begins anew");
}

#[test]
fn a_key_without_anything_that_it_sealed_is_a_first_start_that_says_so() {
    for lone_key in [false, true] {
        let world = World::referring("{}", References::First { lone_key });
        assert_eq!((world.logged("LkgLoneKey").len(), world.logged("LkgAdopted").len()), (usize::from(lone_key), 1));
    }
}

#[test]
fn where_it_is_off_the_start_says_so_and_each_hand_edit_has_a_line() {
    let mut world = World::new(&[("Jobs/scan", SCAN), ("Plugins/Bridge", BRIDGE)]);
    assert!(world.logged("LkgOff").concat().contains("Enabled is false"));
    let told = |world: &mut World| {
        world.logs.clear();
        world.tell(Event::Store(StoreReport::DefinitionsTouched));
        world.disk();
        world.logged("HandEdit").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(told(&mut world), Vec::<String>::new());
    world.put("Jobs/scan", OTHER);
    world.put("Jobs/new", &SCAN.replace("\"scan\"", "\"new\""));
    world.put("Plugins/Bridge", "{}");
    assert_eq!(
        told(&mut world),
        [
            "Jobs/new.json was written by hand and is in service now.",
            "Jobs/scan.json was changed by hand, and the new one is in service now.",
            "Plugins/Bridge.json was changed by hand and is refused; nothing of it is in service."
        ]
    );
    world.files.remove(&(DefinitionKind::Job, String::from("scan")));
    world.put("Plugins/Bridge", BRIDGE);
    assert_eq!(
        told(&mut world),
        [
            "Jobs/scan.json was removed by hand; nothing of it is in service.",
            "Plugins/Bridge.json was written by hand and is in service now."
        ]
    );
}

#[test]
fn what_the_store_cannot_do_is_told_and_changes_nothing() {
    let mut world = world();
    let candidate = ReferenceQuery::Candidate(item("Jobs/scan"), None);
    let unusable = NotWritten { cause: Cause::Unusable, reason: "The key is missing.".into() };
    let causes = [
        (full(), 507, "Make room"),
        (unusable, 409, "castellan lkg status"),
        (NotWritten::because("It broke."), 500, "Look at the disk"),
    ];
    for (result, status, fix) in causes {
        let asked = world.admin("POST", "/api/lkg/Jobs/scan/accept", "");
        read(&mut world, &candidate, document(OTHER, "Jobs/scan.json"));
        write(&mut world, Err(result.clone()));
        let accept = answered(&mut world, asked, status);
        let asked = world.admin("DELETE", "/api/Jobs/scan", "");
        write(&mut world, Err(result.clone()));
        let delete = answered(&mut world, asked, status);
        for refused in [accept, delete] {
            assert_eq!(refused["detail"], result.reason);
            assert!(refused["fix"].as_str().unwrap().contains(fix), "{refused}");
        }
    }
    assert_eq!(world.get_now("/api/Jobs/scan")["name"], "Blessed");
    let asked = world.admin("POST", "/api/lkg/Jobs/scan/accept", "");
    read(&mut world, &candidate, Err("It broke.".into()));
    answered(&mut world, asked, 500);
    let asked = world.admin("POST", "/api/lkg/Jobs/scan/accept", "");
    read(&mut world, &candidate, Ok(ReferencesFound::Quarantine(vec![])));
    answered(&mut world, asked, 500);
    assert_eq!(world.logged("Anomaly").len(), 1);
    for (result, status) in [(Err(full()), 507), (Ok(String::from("11bb")), 200)] {
        let asked = world.admin("POST", "/api/lkg/rekey", "");
        let Some(StoreOrder::Rekey { ticket }) = world.disk.pop_front() else { panic!("no new key is asked for") };
        world.tell(Event::Store(StoreReport::Rekeyed { ticket, result }));
        answered(&mut world, asked, status);
    }
    assert_eq!(world.get_now("/api/lkg")["keyId"], "11bb");
    world.quiet();
}

#[test]
fn a_verification_opens_every_reference_and_is_a_sweep_too() {
    let mut world = world();
    let fault = json!({ "item": "Jobs/old", "what": "its reference proves nothing: a bit is flipped." });
    let mut verify = |survey: Survey, checked: Checked| {
        let asked = world.admin("POST", "/api/lkg/verify", "");
        let Some(StoreOrder::Survey { ticket, thorough: true }) = world.disk.pop_back() else { panic!("no survey") };
        world.tell(Event::Store(StoreReport::Surveyed { ticket: Some(ticket), survey, checked }));
        answered(&mut world, asked, 200)
    };
    assert_eq!(
        verify(Survey { whole: true, ..Survey::default() }, Checked::default()),
        json!({ "ok": false, "references": 3, "differences": [fault] })
    );
    let missing = Difference { item: item("Jobs/scan"), found: Found::Missing };
    // With what should stand there nobody can compare it: it is named once.
    let odd =
        Difference { item: item("Jobs/old"), found: Found::Bytes { content: bytes("{}"), trace: Trace::default() } };
    let survey = Survey { whole: true, differences: vec![missing, odd], ..Survey::default() };
    let told = json!([{ "item": "Jobs/scan", "what": "is missing" }, fault]);
    assert_eq!(
        verify(survey.clone(), Checked::default()),
        json!({ "ok": false, "references": 3, "differences": told })
    );
    let old = SCAN.replace("\"scan\"", "\"old\"");
    let back = Reference { item: item("Jobs/old"), version: 1, content: Ok(Some(old.as_bytes().into())) };
    let checked = Checked { changed: vec![back], ..Checked::default() };
    assert_eq!(
        verify(Survey { whole: true, ..Survey::default() }, checked),
        json!({ "ok": true, "references": 3, "differences": [] })
    );
    let doubted = verify(survey, Checked { doubt: Some("The manifest is older.".into()), ..Checked::default() });
    assert_eq!(doubted["differences"][2], json!({ "item": "references", "what": "The manifest is older." }));
    assert_eq!(world.get_now("/api/lkg")["alarms"][0]["why"], "The manifest is older.");
    let asked = world.admin("POST", "/api/lkg/verify", "");
    assert_eq!(answered(&mut world, asked, 409)["detail"], "The manifest is older.");
}

#[test]
fn a_drift_is_told_as_an_event_in_the_state_and_in_the_metrics() {
    let mut world = world();
    let stream = world.admin("GET", "/api/events?kinds=drift", "");
    let content = bytes(&OTHER.replace("Other", "By hand"));
    let difference = Difference { item: item("Jobs/scan"), found: Found::Bytes { content, trace: Trace::default() } };
    let survey = Survey { differences: vec![difference], ..Survey::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
    let Some(StoreOrder::Restore { ticket, item, .. }) = world.disk.pop_front() else { panic!("nothing is restored") };
    world.tell(Event::Store(StoreReport::Restored { ticket, item, result: Ok(Some("copy".into())) }));

    let sent = world.streams[&stream].clone().unwrap();
    let data = sent.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    let told: Value = serde_json::from_str(data).unwrap();
    assert_eq!((&told["item"], &told["outcome"]), (&json!("Jobs/scan"), &json!("restored")));
    assert_eq!(told["changes"], json!(["~ /name: \"Blessed\" -> \"By hand\""]));
    assert!(told["why"].as_str().unwrap().contains("state/quarantine/copy"), "{told}");
    let status = world.get_now("/api/lkg");
    let scan = &status["items"][1];
    assert_eq!((&scan["lastDrift"]["outcome"], &scan["restoresLastMinute"]), (&json!("restored"), &json!(1)));
    assert_eq!(scan["lastDrift"]["what"], told["what"]);

    let text = metrics(&mut world);
    for line in [
        "castellan_lkg_items 3",
        "castellan_lkg_out_of_service 1",
        "castellan_lkg_usable 1",
        "castellan_lkg_faults 1",
        "castellan_restores_total{kind=\"Jobs\",outcome=\"restored\"} 1",
        "castellan_restores_total{kind=\"Plugins\",outcome=\"restored\"} 0",
    ] {
        assert!(text.lines().any(|known| known == line), "{line}:\n{text}");
    }
    let checked = Checked { doubt: Some("The manifest is older.".into()), ..Checked::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey: Survey::default(), checked }));
    assert!(metrics(&mut world).contains("\ncastellan_lkg_usable 0\n"), "somebody is to be woken");
}

#[test]
fn a_drifted_file_is_forgotten_once_it_is_judged_and_told_with_its_keys_all_the_same() {
    let mut world = world();
    let content = bytes(OTHER);
    let held = Arc::downgrade(&content);
    let difference = Difference { item: item("Jobs/scan"), found: Found::Bytes { content, trace: Trace::default() } };
    let survey = Survey { differences: vec![difference], ..Survey::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
    assert_eq!(held.strong_count(), 0, "a restore may take long, and whoever fights has a large file");
    world.disk();
    let told = world.logged("Drift").concat();
    assert!(told.contains(r#"Keys: ~ /name: "Blessed" -> "Other""#), "{told}");
    let entry = &world.audited[0];
    let expect = json!(["agent", "restore", "Jobs/scan.json", true, ["~ /name: \"Blessed\" -> \"Other\""]]);
    assert_eq!(json!([entry["who"], entry["kind"], entry["file"], entry["restored"], entry["keys"]]), expect);
}

/// The store sees that somebody wrote this file.
fn see(world: &mut World, path: &str, document: &str, checked: Checked) {
    let found = Found::Bytes { content: bytes(document), trace: Trace::default() };
    let survey = Survey { differences: vec![Difference { item: item(path), found }], ..Survey::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked }));
}

#[test]
fn each_drift_is_restored_once_and_none_that_nothing_sound_stands_behind() {
    let mut world = world();
    for _ in 0..2 {
        see(&mut world, "Jobs/scan", OTHER, Checked::default());
        // The same again, while it is being restored.
        see(&mut world, "Jobs/scan", OTHER, Checked::default());
        let Some(StoreOrder::Restore { ticket, item, .. }) = world.disk.pop_front() else { panic!("not restored") };
        assert!(world.disk.is_empty(), "{:?}", world.disk);
        world.tell(Event::Store(StoreReport::Restored { ticket, item, result: Ok(Some("copy".into())) }));
    }
    see(&mut world, "Jobs/old", OTHER, Checked::default());
    assert!(world.disk.is_empty(), "its reference proves nothing: {:?}", world.disk);
    world.admin("POST", "/api/Jobs/reload", "");
    assert!(matches!(world.disk.pop_front(), Some(StoreOrder::Survey { .. })), "files do not count, also at a reload");
    see(&mut world, "Jobs/scan", OTHER, Checked { doubt: Some("The manifest is gone.".into()), ..Checked::default() });
    see(&mut world, "Jobs/scan", OTHER, Checked::default());
    assert!(world.disk.is_empty(), "no reference proves anything: {:?}", world.disk);
}

#[test]
fn with_audit_only_a_drift_is_told_once_and_stays() {
    let settings = r#"{"Settings":{"ConfigurationLkg":{"AuditOnly":true}}}"#;
    let mut world = World::blessed(settings, &[("Jobs/scan", Ok(SCAN))]);
    let stream = world.admin("GET", "/api/events?kinds=drift", "");
    see(&mut world, "Jobs/scan", OTHER, Checked::default());
    see(&mut world, "Jobs/scan", OTHER, Checked::default());
    assert!(world.disk.is_empty(), "{:?}", world.disk);
    let sent = world.streams[&stream].clone().unwrap();
    let told: Vec<&str> = sent.lines().filter(|line| line.starts_with("data: ")).collect();
    assert!(told.len() == 1 && told[0].contains("\"reported\""), "{sent}");
}

#[test]
fn a_stray_that_was_moved_away_is_in_quarantine_and_nothing_is_out_of_service() {
    let mut world = World::blessed("{}", &[]);
    let found = Found::Bytes { content: bytes(SCAN), trace: Trace::default() };
    let survey = Survey { differences: vec![Difference { item: item("Jobs/scan"), found }], ..Survey::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
    let Some(StoreOrder::Restore { ticket, item, .. }) = world.disk.pop_front() else { panic!("nothing is moved") };
    world.tell(Event::Store(StoreReport::Restored { ticket, item, result: Ok(Some("copy".into())) }));
    let status = world.get_now("/api/lkg");
    assert_eq!((items(&status), &status["outOfService"]), (vec!["Jobs/scan null Quarantined".to_owned()], &json!(0)));
    assert!(metrics(&mut world).contains("\ncastellan_lkg_items 0\n"), "it has no reference");
}

#[test]
fn without_references_that_count_nothing_is_blessed_and_the_alarm_is_heard_everywhere() {
    let unusable = References::Unusable("The key is missing.".into());
    for (references, alarm) in [(References::Off, None), (unusable, Some("The key is missing."))] {
        let mut world = World::referring("{}", references);
        for (method, path) in [
            ("GET", "Jobs/scan"),
            ("GET", "Jobs/scan/diff"),
            ("POST", "Jobs/scan/accept"),
            ("POST", "Jobs/scan/rollback?version=1"),
            ("POST", "verify"),
        ] {
            let asked = world.admin(method, &format!("/api/lkg/{path}"), "");
            answered(&mut world, asked, 409);
        }
        let status = world.get_now("/api/lkg");
        assert_eq!((status["alarms"][0]["why"].as_str(), &status["counter"]), (alarm, &Value::Null));
        let page = world.admin_with("GET", "/", "", &[("accept", "text/html")]);
        world.disk();
        let page = String::from_utf8(world.responses[&page].body.clone()).unwrap();
        assert!(page.contains("0 items, 0 out of service"), "{page}");
        assert_eq!(page.contains("The key is missing."), alarm.is_some(), "{page}");
        assert!(world.disk.is_empty());
    }
}

#[test]
fn where_references_prove_nothing_a_new_key_begins_anew_and_every_file_waits_until_it_is_accepted() {
    let mut world = World::referring("{}", References::Unusable("The key is missing.".into()));
    let asked = world.admin("POST", "/api/lkg/rekey", "");
    let Some(StoreOrder::Rekey { ticket }) = world.disk.pop_front() else { panic!("no new key is asked for") };
    world.tell(Event::Store(StoreReport::Rekeyed { ticket, result: Ok("11bb".into()) }));
    assert_eq!(answered(&mut world, asked, 200), json!({ "keyId": "11bb", "beginsAnew": true }));
    assert!(world.logged("LkgRekeyed")[0].contains("every file waits as it is"), "{:?}", world.logged("LkgRekeyed"));
    let Some(StoreOrder::Survey { ticket, .. }) = world.disk.pop_front() else { panic!("nothing is compared") };
    let found = Found::Bytes { content: bytes(SCAN), trace: Trace::default() };
    let differences = vec![Difference { item: item("Jobs/scan"), found }];
    let survey = Survey { whole: true, differences: differences.clone(), ..Survey::default() };
    let again = survey.clone();
    world.tell(Event::Store(StoreReport::Surveyed { ticket: Some(ticket), survey, checked: Checked::default() }));
    assert!(world.disk.is_empty(), "it is not moved away");
    let told = world.get_now("/api/lkg")["items"][0]["lastDrift"].clone();
    assert!(told["what"].as_str().unwrap().contains("until somebody says what counts"), "{told}");
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey: again, checked: Checked::default() }));
    let status = world.get_now("/api/lkg");
    assert_eq!(status["items"][0]["lastDrift"], told, "another sweep says nothing else of it");
    assert_eq!((&status["alarms"], items(&status)), (&json!([]), vec!["Jobs/scan null OutOfService".to_owned()]));
    let shown = world.get_now("/api/lkg/Jobs/scan");
    assert_eq!((&shown["state"], &shown["history"]), (&json!("OutOfService"), &json!([])), "nothing was ever blessed");
    let verify = world.admin("POST", "/api/lkg/verify", "");
    let Some(StoreOrder::Survey { ticket, .. }) = world.disk.pop_front() else { panic!("nothing is compared") };
    let survey = Survey { whole: true, differences, ..Survey::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: Some(ticket), survey, checked: Checked::default() }));
    assert_eq!(answered(&mut world, verify, 200)["references"], 0, "what nobody blessed has no reference");
    let asked = world.admin("POST", "/api/lkg/Jobs/scan/accept", "");
    read(
        &mut world,
        &ReferenceQuery::Candidate(item("Jobs/scan"), Some(Former::NewestCopy)),
        document(SCAN, "Jobs/scan.json"),
    );
    write(&mut world, Ok(vec![1]));
    assert_eq!(answered(&mut world, asked, 200)["state"], "InService");
    assert_eq!(world.get_now("/api/Jobs/scan")["name"], "Blessed");
}

#[test]
fn a_reference_that_came_back_is_blessed_again_and_its_deleted_file_restored() {
    let mut world = world();
    let old = SCAN.replace("\"scan\"", "\"old\"");
    let reference = Reference { item: item("Jobs/old"), version: 1, content: Ok(Some(old.as_bytes().into())) };
    let survey = Survey { whole: true, ..Survey::default() };
    let checked = Checked { changed: vec![reference], sealed: Some((7, "77aa".into())), ..Checked::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked }));
    let status = world.get_now("/api/lkg");
    assert_eq!((&status["counter"], &status["keyId"]), (&json!(7), &json!("77aa")));
    assert_eq!(items(&status)[0], "Jobs/old 1 InService");
    let difference = Difference { item: item("Jobs/old"), found: Found::Missing };
    let survey = Survey { differences: vec![difference], ..Survey::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
    assert!(matches!(world.disk.pop_front(), Some(StoreOrder::Restore { .. })), "it is not restored");
}

#[test]
fn an_alarm_says_what_a_new_key_would_do_and_the_new_key_does_it() {
    let unusable = World::referring("{}", References::Unusable("The key is missing.".into()));
    let mut doubted = world();
    let survey = Survey { whole: true, ..Survey::default() };
    let checked = Checked { doubt: Some("The manifest is gone.".into()), ..Checked::default() };
    doubted.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked }));
    for (mut world, begins_anew) in [(unusable, true), (doubted, false)] {
        let refused = world.admin("POST", "/api/lkg/Jobs/scan/accept", "");
        let refused = answered(&mut world, refused, 409)["fix"].as_str().unwrap().to_owned();
        assert!(refused.contains("castellan lkg status") && !refused.contains("each file waits"), "{refused}");
        let alarm = world.get_now("/api/lkg")["alarms"][0]["fix"].as_str().unwrap().to_owned();
        let asked = world.admin("POST", "/api/lkg/rekey", "");
        let Some(StoreOrder::Rekey { ticket }) = world.disk.pop_back() else { panic!("no new key is asked for") };
        world.tell(Event::Store(StoreReport::Rekeyed { ticket, result: Ok("11bb".into()) }));
        assert_eq!(answered(&mut world, asked, 200)["beginsAnew"], begins_anew);
        assert_eq!(alarm.contains("each file waits for castellan lkg accept"), begins_anew, "{alarm}");
        assert_eq!(alarm.contains("sealed with a new key"), !begins_anew, "{alarm}");
        assert_eq!(world.get_now("/api/lkg")["alarms"], json!([]));
    }
}

#[test]
fn references_that_come_back_as_they_were_count_again() {
    let mut world = world();
    let mut survey = |whole, doubt: Option<&str>| {
        let survey = Survey { whole, ..Survey::default() };
        let checked = Checked { doubt: doubt.map(String::from), ..Checked::default() };
        world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked }));
        world.get_now("/api/lkg")["alarms"].as_array().unwrap().len()
    };
    assert_eq!(survey(true, Some("The folder cannot be listed.")), 1);
    assert_eq!(survey(false, None), 1, "a look at single files does not look at references");
    assert_eq!(survey(true, None), 0);
    let found = Found::Bytes { content: bytes(OTHER), trace: Trace::default() };
    let differences = vec![Difference { item: item("Jobs/scan"), found }];
    let survey = Survey { differences, ..Survey::default() };
    world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
    assert!(matches!(world.disk.pop_front(), Some(StoreOrder::Restore { .. })), "it is not restored");
}

#[test]
fn a_file_stays_held_while_its_folder_cannot_be_looked_at() {
    let mut world = World::referring("{}", References::Unusable("The key is missing.".into()));
    world.admin("POST", "/api/lkg/rekey", "");
    let Some(StoreOrder::Rekey { ticket }) = world.disk.pop_front() else { panic!("no new key is asked for") };
    world.tell(Event::Store(StoreReport::Rekeyed { ticket, result: Ok("11bb".into()) }));
    world.disk.clear();
    let held = || Survey {
        whole: true,
        differences: vec![Difference {
            item: item("Jobs/scan"),
            found: Found::Bytes { content: bytes(OTHER), trace: Trace::default() },
        }],
        ..Survey::default()
    };
    let away = Survey {
        whole: true,
        folders: vec![(DefinitionKind::Job, String::from("is another one."))],
        ..Survey::default()
    };
    for survey in [held(), away, held()] {
        world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
        assert!(world.disk.is_empty(), "nobody said which one counts: {:?}", world.disk);
        let status = world.get_now("/api/lkg");
        let what = status["items"][0]["lastDrift"]["what"].as_str().unwrap();
        assert!(what.contains("until somebody says what counts"), "{what}");
    }
    // What is dropped in from now on was not there before, and is moved away as ever.
    see(&mut world, "Jobs/late", OTHER, Checked::default());
    assert!(matches!(world.disk.pop_front(), Some(StoreOrder::Restore { .. })), "{:?}", world.disk);
}

#[test]
fn names_of_strays_do_not_fill_the_memory_between_two_sweeps() {
    let mut world = world();
    for number in 0..1200 {
        let difference = Difference {
            item: item(&format!("Jobs/s{number}")),
            found: Found::Bytes { content: bytes("x"), trace: Trace::default() },
        };
        let survey = Survey { differences: vec![difference], ..Survey::default() };
        world.tell(Event::Store(StoreReport::Surveyed { ticket: None, survey, checked: Checked::default() }));
        let Some(StoreOrder::Restore { ticket, item, .. }) = world.disk.pop_front() else { panic!("not restored") };
        // Some are gone before they can be moved; nobody could accept those.
        let result = Ok((number % 11 != 0).then(|| "copy".into()));
        world.tell(Event::Store(StoreReport::Restored { ticket, item, result }));
    }
    assert_eq!(world.get_now("/api/lkg")["items"].as_array().unwrap().len(), 1003);
    assert!(world.logged("Drift").concat().contains("gone again before it was moved"));
}

#[test]
fn what_took_the_place_of_what_was_shown_is_not_accepted() {
    let mut world = world();
    let asked = world.admin("GET", "/api/lkg/Jobs/scan/diff", "");
    read(&mut world, &ReferenceQuery::Candidate(item("Jobs/scan"), None), document(OTHER, "Jobs/scan.json"));
    let tag = world.body(asked)["tag"].as_str().unwrap().to_owned();
    for (found, status) in [(SCAN, Some(412)), (OTHER, None)] {
        let asked = world.admin_with("POST", "/api/lkg/Jobs/scan/accept", "", &[("if-match", &tag)]);
        read(&mut world, &ReferenceQuery::Candidate(item("Jobs/scan"), None), document(found, "Jobs/scan.json"));
        assert_eq!(world.status(asked), status, "{found}");
        assert_eq!(world.disk.is_empty(), status.is_some(), "nothing else is written");
    }
}

#[test]
fn who_waits_for_the_store_is_told_that_the_agent_stops() {
    let mut world = world();
    let asked = world.admin("GET", "/api/lkg/Jobs/scan", "");
    world.tell(Event::StopRequested("the test is over".into()));
    world.tell(Event::Broker(castellan_core::event::BrokerReport::Stopped));
    assert_eq!((world.exited, world.status(asked)), (true, Some(503)));
}

#[test]
fn who_waits_for_a_survey_that_is_lost_is_told() {
    let mut world = world();
    let asked = world.admin("POST", "/api/lkg/verify", "");
    let Some(StoreOrder::Survey { ticket, .. }) = world.disk.pop_front() else { panic!("nothing is compared") };
    world.tell(Event::Lost { order: LostOrder::Survey(ticket), why: "The queue is full.".into() });
    assert_eq!(world.status(asked), Some(503));
}

#[test]
fn a_plugin_that_would_speak_against_another_is_not_accepted_whichever_is_first() {
    let mut world = World::blessed("{}", &[("Plugins/m", Ok(&crate::plugins::plugin("m", "")))]);
    for (id, words) in [("n", "plugin 'm' has the topic"), ("a", "it would keep the plugin m out of service")] {
        let path = format!("Plugins/{id}");
        let asked = world.admin("POST", &format!("/api/lkg/{path}/accept"), "");
        let twin = crate::plugins::plugin(id, "").replace(&format!(r#""Topic":"{id}""#), r#""Topic":"m""#);
        read(
            &mut world,
            &ReferenceQuery::Candidate(item(&path), Some(Former::NewestCopy)),
            document(&twin, &format!("{path}.json")),
        );
        let refused = answered(&mut world, asked, 400);
        let finding = &refused["findings"][0];
        assert_eq!((&finding["path"], &finding["code"]), (&json!("/Subscription/Topic"), &json!("topic-taken")));
        assert!(finding["message"].as_str().unwrap().contains(words), "{refused}");
        assert!(world.disk.is_empty(), "nothing is written");
    }
}
