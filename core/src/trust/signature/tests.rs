//! Each rule by itself: facts that pass, with one change that must fail at that very rule.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use alloc::format;

use super::fixtures::{NOW, good};
use super::*;

fn decide(facts: &SignatureFacts) -> Verdict {
    let pins = ["c".repeat(64), "b".repeat(64)];
    let non_admin = ["helper".to_owned()];
    Verdict::decide(facts, SignaturePolicy { pins: &pins, non_admin: &non_admin }, WallTime::from_millis(NOW))
}

fn data(facts: &mut SignatureFacts) -> &mut SignedDataFacts {
    let SignatureFile::Read(data) = &mut facts.file else { panic!("there is no signature") };
    data
}

fn signer(facts: &mut SignatureFacts) -> &mut SignerFacts {
    &mut data(facts).signers[0]
}

fn certificate(facts: &mut SignatureFacts) -> &mut CertificateFacts {
    signer(facts).certificate.as_mut().unwrap()
}

fn attributes(facts: &mut SignatureFacts) -> &mut AttributeFacts {
    signer(facts).attributes.as_mut().unwrap()
}

/// The rule that fails; `None` where all pass. Steps before it passed, steps behind it were not reached.
#[track_caller]
fn failing(change: impl FnOnce(&mut SignatureFacts)) -> Option<Rule> {
    let mut facts = good();
    change(&mut facts);
    let Verdict { steps, refusal } = decide(&facts);
    assert_eq!(steps.len(), 12);
    let at = steps.iter().position(|step| step.outcome == Outcome::Failed);
    assert_eq!(refusal.is_some(), at.is_some());
    for (index, step) in steps.iter().enumerate() {
        let expected = match at {
            Some(at) if index > at => Outcome::NotReached,
            Some(at) if index == at => Outcome::Failed,
            _ => Outcome::Passed,
        };
        assert_eq!((step.outcome, step.told.is_empty()), (expected, expected == Outcome::NotReached), "{step:?}");
    }
    if let (Some(refusal), Some(at)) = (refusal, at) {
        assert_eq!(refusal.why, steps[at].told);
        assert!(refusal.what.contains(&facts.image.path) && !refusal.fix.is_empty(), "{refusal}");
    }
    at.map(|at| steps[at].rule)
}

#[test]
fn what_meets_every_rule_is_trusted() {
    assert_eq!(failing(|_| {}), None);
    assert_eq!(
        failing(|facts| certificate(facts).sha1 = "c".repeat(64)),
        None,
        "either thumbprint may be the pinned one"
    );
    assert_eq!(failing(|facts| (data(facts).version, signer(facts).version) = (3, 3)), None);
    assert_eq!(failing(|facts| facts.uid = None), None);
    assert_eq!(failing(|facts| (facts.image.path, facts.uid) = ("/opt/helper".to_owned(), Some(1000))), None);
}

#[test]
fn the_image_is_a_program_in_a_file() {
    assert_eq!(failing(|facts| facts.image.is_regular = false), Some(Rule::Image));
    assert_eq!(failing(|facts| facts.image.is_deleted = true), Some(Rule::Image));
    assert_eq!(failing(|facts| facts.image.is_binary = false), Some(Rule::Image));
    assert_eq!(failing(|facts| facts.image.bytes += 1), Some(Rule::Image));
}

#[test]
fn interpreters_and_loaders_never_pass() {
    let interpreters = [
        "python",
        "python3",
        "python3.11",
        "python3-dbg",
        "perl5.36.0",
        "perl",
        "ruby",
        "node",
        "bash",
        "sh",
        "dash",
        "busybox",
        "java",
        "lua5.4",
        "php8.2",
        "gdb",
        "strace",
        "env",
        "ld-linux-x86-64.so.2",
        "ld-musl-x86_64.so.1",
        "ld.so",
        "qemu-x86_64",
        "wine64",
        "gawk",
        "tclsh8.6",
        "PYTHON3",
        "pypy3",
        "guile-3.0",
        "valgrind",
    ];
    for name in interpreters {
        assert_eq!(failing(|facts| facts.image.path = format!("/usr/bin/{name}")), Some(Rule::Interpreter), "{name}");
    }
    for name in ["tool", "shell", "environment", "nodes", "ldd", "rsync", "pyre", "bashful", "awkward"] {
        assert_eq!(failing(|facts| facts.image.path = format!("/usr/bin/{name}")), None, "{name}");
    }
}

#[test]
fn the_signature_is_a_bounded_file_in_der() {
    let path = String::from("/usr/bin/tool.p7s");
    for file in [
        SignatureFile::Missing(path.clone()),
        SignatureFile::Unreadable(path.clone()),
        SignatureFile::TooLarge(path.clone()),
        SignatureFile::NotDer(path),
    ] {
        assert_eq!(failing(|facts| facts.file = file), Some(Rule::File));
    }
}

#[test]
fn the_form_is_that_of_a_detached_signature() {
    assert_eq!(failing(|facts| data(facts).is_detached = false), Some(Rule::Form));
    assert_eq!(failing(|facts| data(facts).is_data = false), Some(Rule::Form));
    for version in [0, 2, 4, 5] {
        assert_eq!(failing(|facts| data(facts).version = version), Some(Rule::Form), "{version}");
        assert_eq!(failing(|facts| signer(facts).version = version), Some(Rule::Form), "{version}");
    }
    assert_eq!(failing(|facts| data(facts).signers.clear()), Some(Rule::Form));
    let signers = |count: usize| {
        move |facts: &mut SignatureFacts| {
            let one = signer(facts).clone();
            data(facts).signers = vec![one; count];
        }
    };
    assert_eq!(failing(signers(SIGNERS)), None);
    assert_eq!(failing(signers(SIGNERS + 1)), Some(Rule::Form));
    assert_eq!(failing(|facts| data(facts).digests.clear()), Some(Rule::Form));
    assert_eq!(failing(|facts| data(facts).digests.push(DigestAlgorithm::Sha512)), Some(Rule::Form));
}

#[test]
fn the_signer_is_pinned_by_the_whole_certificate() {
    assert_eq!(failing(|facts| certificate(facts).sha256 = "d".repeat(64)), Some(Rule::Signer));
    assert_eq!(failing(|facts| signer(facts).certificate = None), Some(Rule::Signer));
    // A stranger's signature before the pinned one does no harm, and no good.
    let stranger = |facts: &mut SignatureFacts| {
        let mut stranger = signer(facts).clone();
        stranger.certificate.as_mut().unwrap().sha256 = "d".repeat(64);
        stranger.evidence = None;
        data(facts).signers.insert(0, stranger);
    };
    assert_eq!(failing(stranger), None);
    assert_eq!(
        failing(|facts| {
            stranger(facts);
            data(facts).signers.truncate(1);
        }),
        Some(Rule::Signer)
    );
    let nobody = Verdict::decide(&good(), SignaturePolicy { pins: &[], non_admin: &[] }, WallTime::from_millis(NOW));
    assert!(!nobody.is_trusted());
}

#[test]
fn the_certificate_is_valid_and_for_code() {
    assert_eq!(failing(|facts| certificate(facts).not_after = WallTime::from_millis(NOW - 1)), Some(Rule::Validity));
    assert_eq!(failing(|facts| certificate(facts).not_before = WallTime::from_millis(NOW + 1)), Some(Rule::Validity));
    assert_eq!(failing(|facts| certificate(facts).signs = false), Some(Rule::Usage));
    assert_eq!(failing(|facts| certificate(facts).signs_code = false), Some(Rule::Usage));
}

#[test]
fn only_these_algorithms_are_taken_together() {
    use DigestAlgorithm::{Sha256, Sha384, Sha512};
    use SignatureAlgorithm::{Ecdsa, Ed25519, Rsa};
    let other = || "1.2.3".to_string();
    let with = |key: PublicKey, signature: SignatureAlgorithm, digest: DigestAlgorithm| {
        failing(|facts| {
            data(facts).digests = vec![digest.clone()];
            certificate(facts).key = key;
            (signer(facts).signature, signer(facts).digest) = (signature, digest);
        })
    };
    let keys = [
        PublicKey::Rsa(1024),
        PublicKey::Rsa(2047),
        PublicKey::Rsa(2048),
        PublicKey::Rsa(8192),
        PublicKey::Rsa(8193),
        PublicKey::P256,
        PublicKey::P384,
        PublicKey::Ed25519,
        PublicKey::Other(other()),
    ];
    let mut taken = Vec::new();
    for key in &keys {
        for digest in [Sha256, Sha384, Sha512, DigestAlgorithm::Other(other())] {
            let named = [Sha256, Sha384, Sha512].map(|digest| [Rsa(Some(digest.clone())), Ecdsa(digest)]);
            for signature in named.into_iter().flatten().chain([Rsa(None), Ed25519, SignatureAlgorithm::Other(other())])
            {
                match with(key.clone(), signature.clone(), digest.clone()) {
                    None => taken.push(format!("{key}: {signature}, {digest}")),
                    failed => assert_eq!(failed, Some(Rule::Algorithms)),
                }
            }
        }
    }
    let mut expected = Vec::new();
    for bits in [2048, 8192] {
        for digest in ["SHA-256", "SHA-384", "SHA-512"] {
            expected.push(format!("RSA key of {bits} bits: RSA with {digest}, {digest}"));
            expected.push(format!("RSA key of {bits} bits: RSA, {digest}"));
        }
    }
    for key in ["P-256", "P-384"] {
        expected.extend(["SHA-256", "SHA-384"].map(|digest| format!("{key} key: ECDSA with {digest}, {digest}")));
    }
    expected.push("Ed25519 key: Ed25519, SHA-512".to_owned());
    assert_eq!(taken, expected);
    assert_eq!(failing(|facts| data(facts).digests = vec![Sha512]), Some(Rule::Algorithms), "announced is another one");
}

#[test]
fn content_type_and_digest_are_signed_exactly_once() {
    assert_eq!(failing(|facts| signer(facts).attributes = None), Some(Rule::Attributes));
    for content_types in [vec![], vec![false], vec![true, true], vec![true, false]] {
        assert_eq!(failing(|facts| attributes(facts).content_types = content_types), Some(Rule::Attributes));
    }
    assert_eq!(failing(|facts| attributes(facts).message_digests.clear()), Some(Rule::Attributes));
    assert_eq!(failing(|facts| attributes(facts).message_digests.push(vec![7; 32])), Some(Rule::Attributes));
}

#[test]
fn the_digest_is_the_images_and_the_signature_the_keys() {
    assert_eq!(failing(|facts| attributes(facts).message_digests[0][31] = 8), Some(Rule::Content));
    assert_eq!(failing(|facts| attributes(facts).message_digests[0].clear()), Some(Rule::Content));
    let unread = Evidence { image: Err("it became shorter".to_owned()), is_valid: true };
    assert_eq!(failing(|facts| signer(facts).evidence = Some(unread)), Some(Rule::Content));
    assert_eq!(
        failing(|facts| signer(facts).evidence = None),
        Some(Rule::Signature),
        "nothing computed is nothing proved"
    );
    assert_eq!(failing(|facts| signer(facts).evidence.as_mut().unwrap().is_valid = false), Some(Rule::Signature));
}

#[test]
fn other_users_than_root_need_a_listed_name() {
    let run_by = |uid, path: &str| {
        let path = path.to_owned();
        failing(move |facts| (facts.image.path, facts.uid) = (path, Some(uid)))
    };
    assert_eq!(run_by(1000, "/usr/bin/tool"), Some(Rule::User));
    assert_eq!(run_by(1000, "/usr/bin/Helper"), Some(Rule::User), "names are case-sensitive here");
    assert_eq!(run_by(1000, "/usr/bin/helper/tool"), Some(Rule::User), "the base name alone counts");
    assert_eq!(run_by(1000, "/usr/bin/helper"), None);
    assert_eq!(run_by(0, "/usr/bin/tool"), None);
}
