//! Bundles of a policy source: on record with their policies or not at all; and policies whose signer is trusted no more.

use std::sync::Arc;

use castellan_core::event::{Event, FleetReport, Opened, Received};
use castellan_core::fleet::Bundle;
use castellan_core::time::WallTime;
use castellan_core::trust::signature::{
    AttributeFacts, CertificateFacts, DigestAlgorithm, Evidence, ImageFacts, PublicKey, SignatureAlgorithm,
    SignatureFacts, SignatureFile, SignedDataFacts, SignerFacts,
};
use serde_json::{Value, json};

use crate::world::{World, policy};

const PLUGIN: &str = r#"{"id":"Bridge","executablePath":"bin/Bridge/Bridge","pluginType":"Executable","supportedPlatforms":["Linux"],
    "Subscription":{"Topic":"Bridge"},"metadata":{"greeting":"hello","mqttTopics":{"publish":[],"subscribe":[]}}}"#;

fn settings(signers: &[&str], more: &Value) -> String {
    let mut settings = json!({ "PolicySource": { "Folder": "/srv/policies" }, "AlternativeSignatures":
        signers.iter().map(|signer| thumbprint(signer)).collect::<Vec<_>>() });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "Settings": settings }).to_string()
}

/// SHA-256 of a signer's certificate, for short.
fn thumbprint(signer: &str) -> String {
    signer.repeat(64)
}

/// A signature as it must be, by a signer who is told by one hex digit.
fn signed(signer: &str) -> SignatureFacts {
    let (digest, day) = (vec![1; 32], 24 * 3600 * 1000);
    let certificate = CertificateFacts {
        subject: format!("CN={signer}"),
        sha1: signer.repeat(40),
        sha256: thumbprint(signer),
        not_before: WallTime::from_millis(0),
        not_after: WallTime::from_millis(40_000 * day),
        signs: true,
        signs_code: true,
        key: PublicKey::P256,
    };
    let found = SignerFacts {
        version: 1,
        digest: DigestAlgorithm::Sha256,
        signature: SignatureAlgorithm::Ecdsa(DigestAlgorithm::Sha256),
        attributes: Some(AttributeFacts { content_types: vec![true], message_digests: vec![digest.clone()] }),
        certificate: Some(certificate),
        evidence: Some(Evidence { image: Ok(digest), is_valid: true }),
    };
    let file = SignatureFile::Read(SignedDataFacts {
        path: "p7s".into(),
        version: 1,
        is_data: true,
        is_detached: true,
        digests: vec![DigestAlgorithm::Sha256],
        signers: vec![found],
    });
    let image = ImageFacts { path: "bundle".into(), is_regular: true, is_deleted: false, is_binary: false, bytes: 1 };
    SignatureFacts { image, file, uid: None }
}

fn greeting(value: &str) -> Value {
    let settings = json!({ "metadata": { "greeting": value } });
    json!({ "PolicyType": "SettingsUpdate", "Extension": { "PluginId": "Bridge", "Settings": settings } })
}

/// A bundle that greets.
fn bundle(sequence: u64, value: &str) -> String {
    json!({ "bundle": "eu", "sequence": sequence, "policies": { "greet": greeting(value) } }).to_string()
}

fn opened(document: &[u8], signer: Option<&str>) -> Opened {
    let sha256 = |bytes: &[u8]| castellan_core::hexadecimal(bytes);
    Opened { bundle: Bundle::parse(document, sha256), signature: signer.map(signed).map(Box::new) }
}

fn arrives(world: &mut World, document: &str, signer: Option<&str>) {
    let document: Arc<[u8]> = document.as_bytes().into();
    let opened = Ok(opened(&document, signer));
    world.tell(Event::Fleet(FleetReport::Received(Box::new(Received { document, etag: None, opened }))));
}

/// The next life, with these settings; the kept bundle is told of, as it is signed.
fn reborn(world: &World, settings: &str, signer: Option<&str>) -> World {
    let mut next = world.reborn_with(settings);
    if let Some(bundle) = world.kept_bundle.clone() {
        next.kept_bundle = Some(bundle.clone());
        let opened = Ok(opened(&bundle.document, signer));
        next.tell(Event::Fleet(FleetReport::Kept { bundle, opened }));
    }
    next.disk();
    next
}

fn greets(world: &mut World) -> String {
    world.get("/api/PluginSettings/Bridge/metadata.greeting").as_str().unwrap().to_owned()
}

fn source(world: &mut World) -> Value {
    world.get("/api/system/status")["policySource"].clone()
}

#[test]
fn a_bundle_goes_on_record_with_its_policies_or_not_at_all() {
    let settings = settings(&[], &json!({}));
    let mut world = World::with(&settings, &[("Plugins/Bridge", PLUGIN)]);
    arrives(&mut world, &bundle(1, "one"), None);
    assert!(world.logged("PolicyBundle").is_empty(), "it is not in force before it is on disk");
    world.disk();
    assert_eq!((greets(&mut world).as_str(), world.logged("PolicyBundle").len()), ("one", 1));
    // The disk is full just then: neither policies nor bundle.
    arrives(&mut world, &bundle(2, "two"), None);
    while world.disk_once(Err("no space left".into())) {}
    let kept = world.kept_bundle.clone().unwrap();
    assert_eq!((&*kept.document, greets(&mut world).as_str()), (bundle(1, "one").as_bytes(), "one"));
    let shown = source(&mut world);
    assert!(
        shown["bundle"]["sequence"] == 1 && shown["problem"].as_str().unwrap().contains("no space left"),
        "{shown}"
    );
    let mut world = reborn(&world, &settings, None);
    assert_eq!((greets(&mut world).as_str(), source(&mut world)["bundle"]["sequence"].as_u64()), ("one", Some(1)));
    // It comes again.
    arrives(&mut world, &bundle(2, "two"), None);
    world.disk();
    let mut world = reborn(&world, &settings, None);
    assert_eq!((greets(&mut world).as_str(), source(&mut world)["bundle"]["sequence"].as_u64()), ("two", Some(2)));
}

#[test]
fn what_a_signer_set_who_counts_no_more_is_out_of_effect_and_his_number_stays() {
    let both = settings(&["a", "b"], &json!({}));
    let mut world = World::with(&both, &[("Plugins/Bridge", PLUGIN)]);
    arrives(&mut world, &bundle(7, "his"), Some("a"));
    world.disk();
    assert_eq!(greets(&mut world), "his");
    let only = settings(&["b"], &json!({}));
    let mut world = reborn(&world, &only, Some("a"));
    assert_eq!(greets(&mut world), "hello");
    let told = world.logged("PolicyDistrusted")[0].to_owned();
    for part in
        ["The policy greet of PolicySource:", &thumbprint("a"), "plugin Bridge", "castellan policy remove greet"]
    {
        assert!(told.contains(part), "{told}");
    }
    let line = world.get("/api/policies")[0].clone();
    assert!(line["result"] == "Refused" && line["why"].as_str().unwrap().contains("counts no more"), "{line}");
    // An older bundle does not come back by that, though its signer counts.
    arrives(&mut world, &bundle(6, "old"), Some("b"));
    world.disk();
    assert_eq!(greets(&mut world), "hello");
    assert!(source(&mut world)["problem"].as_str().unwrap().contains("number 7 was in force"));
    // The same, signed by who counts, is in force again, and from then on his.
    arrives(&mut world, &bundle(7, "his"), Some("b"));
    world.disk();
    assert_eq!((greets(&mut world).as_str(), &world.get("/api/policies")[0]["result"]), ("his", &json!("Applied")));
    let mut world = reborn(&world, &only, Some("b"));
    assert_eq!((greets(&mut world).as_str(), world.logged("PolicyDistrusted").len()), ("his", 0));
}

#[test]
fn what_nobody_signed_is_out_of_effect_where_signatures_are_required_since() {
    let mut world = World::new(&[("Plugins/Bridge", PLUGIN)]);
    let document = greeting("brought").to_string();
    world.admin("POST", "/api/policies?name=x", &document);
    world.disk();
    assert_eq!(greets(&mut world), "brought");
    let mut world = reborn(&world, r#"{"Settings":{"RequireSignedPolicies":true}}"#, None);
    assert_eq!((greets(&mut world).as_str(), world.logged("PolicyDistrusted").len()), ("hello", 1));
    // The same content is not taken for unchanged: who signed it is asked first.
    let request = world.admin("POST", "/api/policies?name=x", &document);
    world.disk();
    assert_eq!(world.status(request), Some(403));
    // A signature that came beside the file brings it back, without anything being applied again.
    let mut world = World::with(&settings(&["a"], &json!({})), &[("Plugins/Bridge", PLUGIN)]);
    world.policies = vec![policy("y", document.as_bytes())];
    world.admin("POST", "/api/policies/reload", "");
    world.disk();
    let required = settings(&["a"], &json!({ "RequireSignedPolicies": true }));
    let mut world = reborn(&world, &required, None);
    assert_eq!(greets(&mut world), "hello");
    world.policies[0].content.as_mut().unwrap().signature = Some(signed("a"));
    let request = world.admin("POST", "/api/policies/reload", "");
    world.disk();
    assert_eq!((greets(&mut world).as_str(), &world.body(request)[0]["result"]), ("brought", &json!("Applied")));
    let mut world = reborn(&world, &required, None);
    assert_eq!((greets(&mut world).as_str(), world.logged("PolicyDistrusted").len()), ("brought", 0));
}
