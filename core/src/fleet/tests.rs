//! The machine of the policy source: when it asks, what it takes, what it refuses, and that a refusal changes nothing.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects, reason = "a test may fail by panicking")]

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::{Bundle, Fleet, InForce, KeptBundle};
use crate::config::Settings;
use crate::configuration_policy::{PolicyFile, PolicySigner};
use crate::digest::digest;
use crate::effect::{Effect, FleetOrder};
use crate::event::{FleetReport, Opened, Received};
use crate::limits::BUNDLE_BYTES;
use crate::time::{Monotonic, WallTime};
use crate::turn::Desk;
use crate::turn::fixtures::{at, desk};

const FOLDER: &str = r#"{"Folder":"/srv/policies","PollSeconds":100}"#;
const URL: &str = r#"{"Url":"https://fleet.example.com/b.p7m"}"#;
const TOPIC: &str = r#"{"Mqtt":{"Host":"b.example.com","Topic":"fleet/eu"}}"#;

/// The machine at a desk, with its clock.
struct Scene {
    fleet: Fleet,
    desk: Desk,
    now: u64,
    effects: Vec<Effect>,
    /// What the policies were asked about.
    judged: Vec<(String, u64)>,
    /// What went on record with its policies.
    kept: Vec<KeptBundle>,
    /// What the policies say.
    verdict: Result<(), String>,
}

impl Scene {
    fn new(source: &str) -> Self {
        let pin = "ab".repeat(20);
        let file = format!(r#"{{"Settings":{{"PolicySource":{source},"AlternativeSignatures":["{pin}"]}}}}"#);
        let (settings, _) = Settings::parse(Some(file.as_bytes())).unwrap();
        let fleet = Fleet::new(&settings, &[b"machine"]);
        let desk = Desk { settings, ..desk() };
        let mut scene =
            Self { fleet, desk, now: 0, effects: Vec::new(), judged: Vec::new(), kept: Vec::new(), verdict: Ok(()) };
        scene.fleet.begin(&scene.desk.turn(at(0), &mut scene.effects));
        scene
    }

    /// Lets time pass until it asks; the entity tag, and how long it took.
    #[track_caller]
    fn asks(&mut self) -> (Option<String>, u64) {
        let deadline = self.fleet.next_deadline().unwrap().at;
        let waited = deadline.millis_since(Monotonic::from_millis(self.now));
        self.now += waited;
        self.fleet.on_deadline(&mut self.desk.turn(at(self.now), &mut self.effects));
        let asked = self.effects.iter().rev().find_map(|effect| {
            let Effect::Fleet(FleetOrder::Ask { etag }) = effect else { return None };
            Some(etag.clone())
        });
        self.effects.retain(|effect| !matches!(effect, Effect::Fleet(_)));
        (asked.expect("it asks"), waited)
    }

    fn told(&mut self, report: FleetReport) {
        let mut offer = self.fleet.on_report(report, &mut self.desk.turn(at(self.now), &mut self.effects));
        while let Some(found) = offer {
            let InForce { name, sequence, .. } = &self.fleet.offered.as_ref().unwrap().in_force;
            self.judged.push((name.clone(), *sequence));
            self.kept.extend(found.keep.filter(|_| self.verdict.is_ok()));
            offer = self.fleet.on_judged(self.verdict.clone(), &mut self.desk.turn(at(self.now), &mut self.effects));
        }
    }

    fn in_force(&self) -> Option<(String, u64)> {
        self.fleet.standing().unwrap().bundle.map(|bundle| (bundle.name, bundle.sequence))
    }

    fn problem(&self) -> String {
        self.fleet.standing().unwrap().problem.unwrap_or_default()
    }

    fn logged(&self, category: &str) -> usize {
        self.effects
            .iter()
            .filter(|effect| matches!(effect, Effect::Log(record) if record.category == category))
            .count()
    }
}

fn document(name: &str, sequence: u64, policy: &str) -> String {
    format!(r#"{{"bundle":"{name}","sequence":{sequence},"policies":{{"one":{policy}}}}}"#)
}

fn opened(document: &str) -> Opened {
    Opened { bundle: Bundle::parse(document.as_bytes(), |_| "0".repeat(64)), signature: None }
}

fn received(document: &str) -> FleetReport {
    let opened = Ok(opened(document));
    let etag = Some(format!("\"{}\"", document.len()));
    FleetReport::Received(Box::new(Received { document: Arc::from(document.as_bytes()), etag, opened }))
}

fn eu(sequence: u64) -> String {
    document("eu", sequence, "{}")
}

#[test]
fn a_bundle_is_asked_for_regularly_and_kept_once_its_policies_are_applied() {
    let mut scene = Scene::new(FOLDER);
    let (etag, waited) = scene.asks();
    assert!(etag.is_none() && waited <= 10_000, "{waited}");
    scene.told(received(&eu(3)));
    assert_eq!((scene.in_force(), scene.judged.len()), (Some(("eu".to_string(), 3)), 1));
    let kept = scene.kept.clone();
    assert_eq!((kept.len(), &*kept[0].document, kept[0].source.as_str()), (1, eu(3).as_bytes(), "/srv/policies"));
    let (etag, waited) = scene.asks();
    assert_eq!(etag, kept[0].etag);
    assert!((90_000..=110_000).contains(&waited), "{waited}");
    scene.told(FleetReport::NotModified);
    scene.asks();
    // A server without entity tags sends the same again.
    scene.told(received(&eu(3)));
    assert_eq!((scene.judged.len(), scene.kept.len(), scene.problem()), (1, 1, String::new()));
}

#[test]
fn the_same_bundle_of_another_signer_takes_the_place_of_the_former_one_once() {
    let mut scene = Scene::new(FOLDER);
    scene.asks();
    scene.told(received(&eu(3)));
    let former = PolicySigner { sha1: "a".repeat(40), sha256: "a".repeat(64) };
    scene.fleet.in_force.as_mut().unwrap().signer = Some(former);
    for _ in 0..2 {
        scene.asks();
        scene.told(received(&eu(3)));
        assert_eq!((scene.judged.len(), scene.kept.len(), scene.problem()), (2, 2, String::new()));
    }
}

#[test]
fn what_is_refused_changes_nothing_and_says_why_once() {
    let mut scene = Scene::new(FOLDER);
    scene.asks();
    scene.told(received(&eu(5)));
    let cases = [
        (eu(4), "number 5 is in force"),
        (document("eu", 5, r#"{"a":1}"#), "number 5 is in force"),
        (document("us", 9, "{}"), "its name is 'us', and this machine takes 'eu' alone"),
        ("{".to_string(), "it is no JSON document"),
        ("[]".to_string(), "it is an array, not an object"),
        (r#"{"sequence":6,"policies":{}}"#.to_string(), "'bundle' is no name"),
        (r#"{"bundle":"eu","sequence":0,"policies":{}}"#.to_string(), "'sequence' is no whole number from 1"),
        (r#"{"bundle":"eu","sequence":6}"#.to_string(), "'policies' is no object"),
        (r#"{"bundle":"eu","sequence":6,"policies":{"../x":{}}}"#.to_string(), "'../x' is no name for a policy"),
        (" ".repeat(BUNDLE_BYTES + 1), "bytes; at most"),
    ];
    for (index, (document, why)) in cases.iter().enumerate() {
        for _ in 0..2 {
            scene.asks();
            scene.told(received(document));
        }
        assert!(scene.problem().contains(why), "{} instead of {why}", scene.problem());
        assert_eq!(scene.logged("PolicyBundleRefused"), index + 1, "{why}");
    }
    assert_eq!((scene.in_force(), scene.judged.len(), scene.kept.len()), (Some(("eu".to_string(), 5)), 1, 1));
    // The policies have the last word, for the whole.
    scene.verdict = Err("policy 'one' has no PolicyType.".to_string());
    scene.asks();
    scene.told(received(&eu(6)));
    assert!(scene.problem().ends_with("Bundle 'eu' 6 was refused whole: policy 'one' has no PolicyType."));
    assert_eq!((scene.in_force(), scene.kept.len()), (Some(("eu".to_string(), 5)), 1));
    scene.verdict = Ok(());
    scene.asks();
    scene.told(received(&eu(7)));
    assert_eq!((scene.in_force(), scene.problem()), (Some(("eu".to_string(), 7)), String::new()));
}

#[test]
fn what_comes_over_a_network_must_be_signed() {
    for source in [URL, TOPIC] {
        let mut scene = Scene::new(source);
        scene.asks();
        scene.told(received(&eu(1)));
        assert!(scene.problem().contains("it is not signed"), "{}", scene.problem());
        assert_eq!(scene.in_force(), None);
    }
}

#[test]
fn a_source_that_fails_is_asked_more_and_more_rarely_and_told_once() {
    let mut scene = Scene::new(FOLDER);
    scene.asks();
    scene.told(received(&eu(1)));
    let mut waits = Vec::new();
    for _ in 0..9 {
        scene.asks();
        scene.told(FleetReport::Failed("no connection".to_string()));
        let at = scene.fleet.next_deadline().unwrap().at;
        waits.push(at.millis_since(Monotonic::from_millis(scene.now)));
    }
    for (wait, most) in waits.iter().zip([5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000]) {
        assert!((most / 2..=most).contains(wait), "{waits:?}");
    }
    assert_eq!((scene.in_force(), scene.logged("PolicySource")), (Some(("eu".to_string(), 1)), 1));
    scene.asks();
    scene.told(FleetReport::NotModified);
    assert_eq!((scene.problem(), scene.logged("PolicySource")), (String::new(), 2));
}

#[test]
fn an_answer_that_never_comes_is_a_failure() {
    let mut scene = Scene::new(FOLDER);
    scene.asks();
    scene.now = scene.fleet.next_deadline().unwrap().at.as_millis();
    scene.fleet.on_deadline(&mut scene.desk.turn(at(scene.now), &mut scene.effects));
    assert!(scene.problem().contains("it did not answer within 120 s"), "{}", scene.problem());
    scene.asks();
}

#[test]
fn a_subscription_that_breaks_at_once_is_not_renewed_at_once() {
    let mut scene = Scene::new(TOPIC);
    let mut longest = 0;
    for _ in 0..8 {
        longest = scene.asks().1;
        scene.told(FleetReport::Subscribed);
        assert_eq!(scene.fleet.next_deadline(), None, "it listens");
        scene.told(FleetReport::Failed("the broker closed it".to_string()));
    }
    assert!(longest >= 150_000, "{longest}");
    scene.asks();
    scene.told(FleetReport::Subscribed);
    scene.now += 60_000;
    scene.told(FleetReport::Failed("the broker closed it".to_string()));
    assert!(scene.asks().1 <= 5_000);
}

#[test]
fn the_last_good_one_is_in_force_from_the_start_and_guards_its_number() {
    let (document_of, document) = (document, eu(8));
    let kept = |name: &str| FleetReport::Kept {
        bundle: KeptBundle {
            source: name.to_string(),
            etag: Some("\"8\"".to_string()),
            document: Arc::from(document.as_bytes()),
            at: WallTime::from_millis(5),
        },
        opened: Ok(opened(&document)),
    };
    let mut scene = Scene::new(FOLDER);
    scene.told(kept("/srv/policies"));
    assert_eq!((scene.in_force(), scene.kept.len()), (Some(("eu".to_string(), 8)), 0));
    assert_eq!(scene.asks().0.as_deref(), Some("\"8\""));
    scene.told(received(&eu(7)));
    assert_eq!(scene.in_force(), Some(("eu".to_string(), 8)));
    // Also where its policies are refused now.
    let mut scene = Scene::new(FOLDER);
    scene.verdict = Err("too many deliveries.".to_string());
    scene.told(kept("/srv/policies"));
    assert_eq!(scene.in_force(), Some(("eu".to_string(), 8)));
    assert!(scene.problem().contains("too many deliveries"), "{}", scene.problem());
    // Of another source: its number counts, its entity tag does not.
    let mut scene = Scene::new(FOLDER);
    scene.told(kept("/srv/former"));
    assert_eq!(scene.asks().0, None);
    // A setting that asks for a signature now takes it back.
    let mut scene = Scene::new(URL);
    scene.told(kept("https://fleet.example.com:443/b.p7m"));
    assert!(scene.in_force().is_none() && scene.problem().contains("it is not signed"), "{}", scene.problem());
    assert_eq!(scene.asks().0, None, "what counts no more is sent again");
    scene.told(FleetReport::NotModified);
    // Nobody can bring back what was before it all the same, nor another name.
    scene.fleet.needs_signature = false;
    for (document, why) in [
        (eu(7), "number 8 was in force while its signer counted"),
        (document_of("eu", 8, "[]"), "number 8 was in force while its signer counted"),
        (document_of("us", 9, "{}"), "its name is 'us', and this machine takes 'eu' alone"),
    ] {
        scene.asks();
        scene.told(received(&document));
        assert!(scene.problem().contains(why) && scene.in_force().is_none(), "{}", scene.problem());
    }
    // The same again, signed by somebody who counts, does.
    scene.asks();
    scene.told(received(&eu(8)));
    assert_eq!((scene.in_force(), scene.kept.len()), (Some(("eu".to_string(), 8)), 1));
}

#[test]
fn a_bundle_of_a_topic_whose_policies_were_refused_is_asked_for_again() {
    let mut scene = Scene::new(TOPIC);
    scene.fleet.needs_signature = false;
    scene.asks();
    scene.told(FleetReport::Subscribed);
    scene.verdict = Err("no plugin 'Bridge' is in service.".to_string());
    scene.told(received(&eu(5)));
    scene.verdict = Ok(());
    let (_, waited) = scene.asks();
    assert!((150_000..=300_000).contains(&waited), "{waited}");
    scene.told(FleetReport::Subscribed);
    scene.told(received(&eu(5)));
    assert_eq!((scene.in_force(), scene.fleet.next_deadline()), (Some(("eu".to_string(), 5)), None));
}

#[test]
fn a_flood_of_bundles_that_are_refused_does_not_fill_the_log() {
    let mut scene = Scene::new(TOPIC);
    scene.asks();
    scene.told(FleetReport::Subscribed);
    for number in 0..1000 {
        scene.now += 10;
        scene.told(received(&format!("garbage {number}")));
    }
    assert_eq!((scene.logged("PolicyBundleRefused"), scene.fleet.standing().unwrap().refused), (1, 1000));
}

#[test]
fn of_those_that_come_while_another_is_judged_the_highest_number_is_next() {
    let mut scene = Scene::new(FOLDER);
    let mut effects = Vec::new();
    let mut tell = |report| scene.fleet.on_report(report, &mut scene.desk.turn(at(1), &mut effects));
    assert!(tell(received(&eu(1))).is_some());
    for waits in [eu(3), eu(2), "garbage".to_string()] {
        assert!(tell(received(&waits)).is_none());
    }
    let next = scene.fleet.on_judged(Ok(()), &mut scene.desk.turn(at(2), &mut effects));
    assert!(next.is_some());
    assert_eq!(scene.fleet.offered.map(|offered| offered.in_force.sequence), Some(3));
}

#[test]
fn a_bundle_is_read_with_keys_in_any_case_and_its_policies_come_as_documents() {
    let document = r#"{"Bundle":"b.1","SEQUENCE":2,"policies":{"a":{"X": 1.50},"b":[]},"note":1}"#;
    let bundle = opened(document).bundle.unwrap();
    assert_eq!((bundle.name.as_str(), bundle.sequence), ("b.1", 2));
    let document = |policy: &PolicyFile| policy.content.as_ref().unwrap().document.to_vec();
    let shown: Vec<(&str, Vec<u8>)> =
        bundle.policies.iter().map(|policy| (policy.name.as_str(), document(policy))).collect();
    assert_eq!(shown, [("a", br#"{"X":1.5}"#.to_vec()), ("b", b"[]".to_vec())]);
}

/// Whatever comes in whatever order: what is in force only ever grows and only by what the policies took, and the source is left in peace.
#[test]
fn laws_of_the_machine() {
    for (seed, source) in (0_u64..60).flat_map(|seed| [(seed, FOLDER), (seed, TOPIC)]) {
        let mut scene = Scene::new(source);
        // The laws are about numbers; who signed is judged before.
        scene.fleet.needs_signature = false;
        let mut asked = 0;
        for step in 0_u64.. {
            let chance = digest(&[&seed.to_le_bytes(), &step.to_le_bytes()]);
            let before = scene.in_force();
            if scene.fleet.next_deadline().is_some() && chance.is_multiple_of(3) {
                let due = scene.fleet.next_deadline().unwrap().at.as_millis();
                if due >= 3_600_000 {
                    break;
                }
                scene.now = scene.now.max(due);
                scene.fleet.on_deadline(&mut scene.desk.turn(at(scene.now), &mut scene.effects));
                asked += scene.effects.iter().filter(|effect| matches!(effect, Effect::Fleet(_))).count();
                scene.effects.clear();
                continue;
            }
            scene.now += chance % 1000;
            if scene.now >= 3_600_000 {
                break;
            }
            scene.verdict = if chance.is_multiple_of(5) { Err("no".to_string()) } else { Ok(()) };
            let (sequence, other) = (chance / 7 % 20 + 1, chance / 1000);
            let judged = scene.judged.len();
            scene.told(match other % 6 {
                0 => FleetReport::NotModified,
                1 => FleetReport::Subscribed,
                2 | 3 => FleetReport::Failed("no".to_string()),
                4 => received(&document("us", sequence, "{}")),
                _ => received(&document("eu", sequence, if other.is_multiple_of(2) { "{}" } else { "[]" })),
            });
            let after = scene.in_force();
            let taken = scene.judged.get(judged).cloned().filter(|_| scene.verdict.is_ok());
            assert_eq!(after, taken.or_else(|| before.clone()), "seed {seed}, step {step}");
            if let (Some((name, number)), Some((former, least))) = (after, before) {
                assert!(name == former && number >= least, "seed {seed}, step {step}");
            }
        }
        // At worst a good minute, then four failures: five questions in 97 s.
        assert!(asked <= 190, "seed {seed}: {asked} questions in an hour");
    }
}
