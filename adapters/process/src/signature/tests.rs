//! Real signatures of a real file, and what becomes of them when somebody changes a byte.

use std::io::Write;
use std::path::Path;

use castellan_core::time::WallTime;
use castellan_core::trust::signature::{Rule, Verdict};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use tempfile::TempDir;

use super::*;

/// Bytes of the program: a few pieces and a part of one.
const LENGTH: u64 = 3 * PIECE as u64 + 17;

/// A program in a folder of its own, and its signer.
struct Signed {
    folder: TempDir,
    program: Program,
    bytes: Vec<u8>,
    pin: String,
}

impl Signed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tool");
        fs::copy(std::env::current_exe().unwrap(), &path).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(LENGTH).unwrap();
        let program = Program::open(&path).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        let certificate = params.self_signed(&key).unwrap();
        let (bytes, signer) = program.sign(certificate.der(), &key.serialize_der()).unwrap();
        Self { folder, program, bytes, pin: signer.sha256 }
    }

    fn failing(&self, bytes: &[u8]) -> Option<Rule> {
        let pins = [self.pin.clone()];
        let policy = SignaturePolicy { pins: &pins, non_admin: &[] };
        let facts = self.program.facts_signed_by(bytes, policy).unwrap();
        failed(&facts, policy)
    }

    /// By the file that lies beside the program.
    fn failing_beside(&self) -> Option<Rule> {
        let pins = [self.pin.clone()];
        let policy = SignaturePolicy { pins: &pins, non_admin: &[] };
        failed(&self.program.facts(policy).unwrap(), policy)
    }

    /// Whether what lies beside the program is not even read.
    fn is_unreadable(&self) -> bool {
        let facts = self.program.facts(SignaturePolicy { pins: &[], non_admin: &[] }).unwrap();
        matches!(facts.file, SignatureFile::Unreadable(_))
    }

    fn beside(&self) -> PathBuf {
        self.program.signature_path()
    }
}

fn failed(facts: &SignatureFacts, policy: SignaturePolicy<'_>) -> Option<Rule> {
    let now = WallTime::parse_rfc3339("2026-11-22T00:00:00Z").unwrap();
    let verdict = Verdict::decide(facts, policy, now);
    verdict
        .steps
        .iter()
        .find(|step| step.outcome == castellan_core::trust::signature::Outcome::Failed)
        .map(|step| step.rule)
}

#[expect(clippy::disallowed_methods, reason = "a test writes files as anybody does")]
fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_signed_program_is_trusted_until_a_byte_of_it_changes() {
    let signed = Signed::new();
    assert_eq!(signed.failing(&signed.bytes), None);
    let path = signed.folder.path().join("tool");
    for at in [4, PIECE as u64, LENGTH - 1] {
        let image = File::options().read(true).write(true).open(&path).unwrap();
        let mut byte = [0];
        image.read_exact_at(&mut byte, at).unwrap();
        image.write_all_at(&[byte[0] ^ 1], at).unwrap();
        assert_eq!(signed.failing(&signed.bytes), Some(Rule::Content), "byte {at}");
        image.write_all_at(&byte, at).unwrap();
        assert_eq!(signed.failing(&signed.bytes), None);
    }
    File::options().write(true).open(&path).unwrap().set_len(LENGTH + 1).unwrap();
    assert_eq!(signed.failing(&signed.bytes), Some(Rule::Content));
}

#[test]
fn no_changed_bit_is_trusted_but_in_the_version_numbers() {
    let signed = Signed::new();
    let mut trusted = Vec::new();
    for at in 0..signed.bytes.len() {
        for bit in 0..8 {
            let mut bytes = signed.bytes.clone();
            bytes[at] ^= 1 << bit;
            if signed.failing(&bytes).is_none() {
                trusted.push((signed.bytes[at - 2..=at].to_vec(), bytes[at]));
            }
        }
    }
    // INTEGER 1, of SignedData and of SignerInfo, made 3: neither is signed, and both numbers are taken.
    assert_eq!(trusted, [(vec![2, 1, 1], 3), (vec![2, 1, 1], 3)]);
}

#[test]
fn nothing_but_the_whole_is_trusted() {
    let signed = Signed::new();
    for length in 0..signed.bytes.len() {
        assert_eq!(signed.failing(&signed.bytes[..length]), Some(Rule::File), "{length} bytes");
    }
    for at in 0..signed.bytes.len() {
        let mut less = signed.bytes.clone();
        let removed = less.remove(at);
        assert_ne!(signed.failing(&less), None, "without byte {at}");
        less.insert(at, removed);
        less.insert(at, removed);
        assert_ne!(signed.failing(&less), None, "with byte {at} twice");
    }
    let mut longer = signed.bytes.clone();
    longer.push(0);
    assert_eq!(signed.failing(&longer), Some(Rule::File));
}

/// An element with its content.
fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let mut bytes = match content.len() {
        0..128 => vec![tag, length[1]],
        128..256 => vec![tag, 0x81, length[1]],
        _ => vec![tag, 0x82, length[0], length[1]],
    };
    bytes.extend(content);
    bytes
}

#[test]
fn bombs_cost_next_to_nothing() {
    let signed = Signed::new();
    // A SET in reverse order, which the crates would sort in quadratic time.
    let algorithms: Vec<u8> = (0..5000_u16)
        .rev()
        .flat_map(|number| element(0x30, &element(6, &[0x2a, 0x80 | (number >> 7) as u8, (number & 0x7f) as u8])))
        .collect();
    let data = [element(2, &[1]), element(0x31, &algorithms)].concat();
    let oid = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
    let set = element(0x30, &[oid.to_vec(), element(0xa0, &element(0x30, &data))].concat());
    // Levels below levels, which a reader that calls itself would pay with its stack.
    let mut deep = Vec::new();
    while deep.len() < 60_000 {
        deep = element(0x30, &deep);
    }
    for bomb in [set, deep] {
        let pins = [signed.pin.clone()];
        let policy = SignaturePolicy { pins: &pins, non_admin: &[] };
        let SignatureFile::NotDer(why) = signed.program.facts_signed_by(&bomb, policy).unwrap().file else {
            panic!("taken");
        };
        assert!(why.contains("elements"), "{why}");
    }
}

#[test]
fn the_file_beside_is_read_within_bounds_and_followed_nowhere() {
    let signed = Signed::new();
    assert_eq!(signed.failing_beside(), Some(Rule::File), "there is none");
    write(&signed.beside(), &signed.bytes);
    assert_eq!(signed.failing_beside(), None);
    let elsewhere = signed.folder.path().join("elsewhere");
    fs::rename(signed.beside(), &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, signed.beside()).unwrap();
    assert!(signed.is_unreadable(), "a link");
    fs::remove_file(signed.beside()).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, signed.beside(), rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .unwrap();
    assert!(signed.is_unreadable(), "a pipe that nobody writes to");
    fs::remove_file(signed.beside()).unwrap();
    fs::create_dir(signed.beside()).unwrap();
    assert!(signed.is_unreadable(), "a folder");
    fs::remove_dir(signed.beside()).unwrap();
    let mut large = signed.bytes.clone();
    large.resize(SIGNATURE_BYTES as usize + 1, 0);
    write(&signed.beside(), &large);
    let policy = SignaturePolicy { pins: &[], non_admin: &[] };
    assert_eq!(
        signed.program.facts(policy).unwrap().file,
        SignatureFile::TooLarge(signed.beside().display().to_string())
    );
}

#[test]
fn of_a_process_its_own_image_is_read() {
    let policy = SignaturePolicy { pins: &[], non_admin: &[] };
    let facts = Program::of_process(std::process::id()).unwrap().facts(policy).unwrap();
    assert_eq!(facts.image.path, std::env::current_exe().unwrap().display().to_string());
    assert_eq!(facts.uid, Some(rustix::process::geteuid().as_raw()));
    assert!(facts.image.is_binary && !facts.image.is_deleted);
    assert_eq!(Program::of_process(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn what_is_not_der_is_not_taken_although_its_signature_is_right() {
    let signed = Signed::new();
    // The SET OF signed attributes in the other order: read, sorted and encoded again, it is what was signed.
    let content_type = element(
        0x30,
        &[
            &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3, 0x31, 11][..],
            &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 1],
        ]
        .concat(),
    );
    let at = signed.bytes.windows(content_type.len()).position(|bytes| bytes == content_type).unwrap();
    let behind = at + content_type.len();
    let digest = usize::from(signed.bytes[behind + 1]) + 2;
    let mut bytes = signed.bytes.clone();
    bytes[at..behind + digest].rotate_left(content_type.len());
    assert_ne!(bytes, signed.bytes);
    assert_eq!(signed.failing(&bytes), Some(Rule::File));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "somebody else's process, which the port did not start")]
fn a_process_that_runs_another_program_by_now_has_no_facts() {
    let mut command = std::process::Command::new("/bin/sh");
    command
        .args(["-c", "read line; exec cat"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    // spawn() returns once the shell is executed.
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let program = Program::of_process(child.id()).unwrap();
    assert_eq!(program.path, shell);
    let policy = SignaturePolicy { pins: &[], non_admin: &[] };
    assert!(program.facts(policy).is_ok());
    input.write_all(b"go\nX").unwrap();
    let mut byte = [0];
    output.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"X", "it is cat by now");
    let error = program.facts(policy).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    drop((input, output));
    child.wait().unwrap();
    assert!(program.facts(policy).is_err(), "it has ended");
}

#[test]
fn a_digest_is_remembered_until_the_file_changes_and_never_of_one_that_just_did() {
    let Signed { folder, .. } = Signed::new();
    let path = folder.path().join("tool");
    let digests = Digests::default();
    let hashed = |now: i64, expect: bool| {
        let image = File::open(&path).unwrap();
        let mut asked = false;
        let mut hash = || {
            asked = true;
            Ok(digest::digest(&digest::SHA256, b"image"))
        };
        digests.of(&image, WallTime::from_millis(now), &digest::SHA256, &mut hash).unwrap();
        assert_eq!(asked, expect);
    };
    let changed = || fs::metadata(&path).unwrap().ctime() * 1000;
    hashed(changed() + 1500, true);
    hashed(changed() + 1500, true);
    hashed(changed() + 3000, true);
    hashed(changed() + 3000, false);
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    hashed(changed() + 3000, true);
    hashed(changed() + 3000, false);
    let image = File::open(&path).unwrap();
    let meanwhile = digests.of(&image, WallTime::from_millis(changed() + 3000), &digest::SHA384, || {
        File::options().write(true).open(&path).unwrap().set_len(1).unwrap();
        Ok(digest::digest(&digest::SHA384, b"image"))
    });
    assert!(meanwhile.unwrap_err().to_string().contains("changed while it was read"));
}

#[test]
fn a_pinned_certificate_alone_makes_nobody_read_the_image() {
    let signed = Signed::new();
    let mut bytes = signed.bytes.clone();
    let last = bytes.last_mut().unwrap();
    *last ^= 1;
    let pins = [signed.pin.clone()];
    let policy = SignaturePolicy { pins: &pins, non_admin: &[] };
    let read = |bytes: &[u8]| {
        let mut asked = 0;
        let found = cms::read(Path::new("x"), bytes, policy, |algorithm| {
            asked += 1;
            signed.program.digest(algorithm).map_err(|error| error.to_string())
        });
        found.unwrap();
        asked
    };
    assert_eq!((read(&signed.bytes), read(&bytes)), (1, 0));
}
