//! Signatures with the real binary: what `castellan sign` makes, what `openssl` makes, and what `castellan trust check` says of both.
//!
//! Signers are made by `openssl`, which nobody here wrote; without it these stories are left out, and say so.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may fail by panicking; it writes files as an administrator does, starts programs, and says what it leaves out"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

const FOR_CODE: [&str; 4] = ["-addext", "extendedKeyUsage=codeSigning", "-addext", "keyUsage=digitalSignature"];

/// A folder with a program, an agent root and signers.
struct Desk {
    folder: TempDir,
}

impl Desk {
    /// `None` where there is no `openssl`.
    fn new() -> Option<Self> {
        if Command::new("openssl").arg("version").stdout(Stdio::null()).status().is_err() {
            eprintln!("SKIPPED: there is no openssl on this machine.");
            return None;
        }
        let desk = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir(desk.path("root")).unwrap();
        desk.program("tool");
        Some(desk)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What begins as a binary, and is small enough to be put into a signature.
    fn program(&self, name: &str) {
        std::fs::write(self.path(name), [&b"\x7fELF"[..], &[0; 5000]].concat()).unwrap();
    }

    #[track_caller]
    fn openssl(&self, arguments: &[&str]) {
        let output = Command::new("openssl").args(arguments).current_dir(self.folder.path()).output().unwrap();
        assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
    }

    /// A signer `NAME.pem` with its key `NAME.key`.
    #[track_caller]
    fn signer(&self, name: &str, key: &[&str], extensions: &[&str]) {
        let (pem, private, subject) = (format!("{name}.pem"), format!("{name}.key"), format!("/CN={name}"));
        let fixed = ["req", "-x509", "-nodes", "-days", "2", "-subj", &subject, "-out", &pem, "-keyout", &private];
        self.openssl(&[&fixed, key, extensions].concat());
    }

    /// `openssl cms -sign` of the tool.
    #[track_caller]
    fn openssl_signs(&self, signer: &str, more: &[&str]) {
        let (pem, key) = (format!("{signer}.pem"), format!("{signer}.key"));
        let fixed = ["cms", "-sign", "-binary", "-in", "tool", "-signer", &pem, "-inkey", &key, "-out", "tool.p7s"];
        self.openssl(&[&fixed, more].concat());
    }

    fn castellan(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_castellan"));
        command.args(arguments).current_dir(self.folder.path()).env_remove("CASTELLAN_ROOT").output().unwrap()
    }

    /// `castellan sign`; the SHA-1 and SHA-256 of the signer.
    #[track_caller]
    fn signs(&self, program: &str, signer: &str) -> (String, String) {
        let (pem, key) = (format!("{signer}.pem"), format!("{signer}.key"));
        let output = self.castellan(&["sign", program, "--cert", &pem, "--key", &key, "--json"]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        assert_eq!(Path::new(&text("signature")).file_name().unwrap().to_str().unwrap(), format!("{program}.p7s"));
        (text("sha1"), text("sha256"))
    }

    fn pin(&self, pins: &[&str]) {
        let settings = json!({ "Settings": { "AlternativeSignatures": pins } });
        std::fs::write(self.path("root/appsettings.json"), settings.to_string()).unwrap();
    }

    /// The rule that fails by `castellan trust check`, and `None` where all pass; exit code and document are held to it.
    #[track_caller]
    fn failing(&self, target: &str) -> Option<String> {
        let output = self.castellan(&["trust", "check", target, "--root", "root", "--json"]);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        let failed = told["steps"].as_array().unwrap().iter().find(|step| step["outcome"] == "failed");
        assert_eq!(output.status.code(), Some(if failed.is_some() { 4 } else { 0 }));
        assert_eq!(told["trusted"], json!(failed.is_none()));
        assert_eq!(told["refusal"].is_null(), failed.is_none());
        failed.map(|step| step["rule"].as_str().unwrap().to_owned())
    }

    #[track_caller]
    fn fails_at(&self, target: &str, rule: &str) {
        assert_eq!(self.failing(target).as_deref(), Some(rule), "{target}");
    }
}

const RSA: [&str; 2] = ["-newkey", "rsa:2048"];
const P256: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
const P384: [&str; 4] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"];

#[test]
fn what_castellan_signs_openssl_verifies_and_the_other_way_round() {
    let Some(desk) = Desk::new() else { return };
    for (name, key) in [("rsa", RSA.as_slice()), ("p256", &P256), ("p384", &P384)] {
        desk.signer(name, key, &FOR_CODE);
        let (sha1, sha256) = desk.signs("tool", name);
        let certificate = format!("{name}.pem");
        let verify = ["cms", "-verify", "-binary", "-inform", "DER", "-in", "tool.p7s", "-content", "tool"];
        desk.openssl(&[&verify[..], &["-CAfile", &certificate, "-purpose", "any", "-out", "verified"]].concat());
        for pin in [&sha1, &sha256, &sha256.to_uppercase()] {
            desk.pin(&[pin]);
            assert_eq!(desk.failing("./tool"), None, "{name}");
        }
        for more in [&[][..], &["-keyid"], &["-md", "sha384"], &["-nosmimecap"]] {
            std::fs::remove_file(desk.path("tool.p7s")).unwrap();
            desk.fails_at("./tool", "file");
            desk.openssl_signs(name, &[more, &["-outform", "DER"]].concat());
            assert_eq!(desk.failing("./tool"), None, "{name} {more:?}");
        }
    }
    // OpenSSL 3.0 knows no CMS with Ed25519; ours is verified by us alone.
    desk.signer("ed25519", &["-newkey", "ed25519"], &FOR_CODE);
    let (_, sha256) = desk.signs("tool", "ed25519");
    desk.pin(&[&sha256]);
    assert_eq!(desk.failing("./tool"), None);
}

#[test]
fn signatures_that_openssl_can_make_and_nobody_should_take() {
    let Some(desk) = Desk::new() else { return };
    desk.signer("signer", &RSA, &FOR_CODE);
    desk.signer("stranger", &RSA, &FOR_CODE);
    let (_, sha256) = desk.signs("tool", "signer");
    desk.pin(&[&sha256]);
    assert_eq!(desk.failing("./tool"), None);
    let der = ["-outform", "DER"];
    for (more, rule) in [
        (&["-md", "sha1"][..], "algorithms"),
        (&["-noattr"], "attributes"),
        (&["-nocerts"], "signer"),
        (&["-nodetach"], "form"),
        (&["-keyopt", "rsa_padding_mode:pss"], "algorithms"),
        (&["-stream", "-nodetach"], "file"),
    ] {
        desk.openssl_signs("signer", &[more, &der].concat());
        desk.fails_at("./tool", rule);
    }
    desk.openssl_signs("signer", &["-outform", "PEM"]);
    desk.fails_at("./tool", "file");
    desk.openssl_signs("stranger", &[&["-certfile", "signer.pem"][..], &der].concat());
    desk.fails_at("./tool", "signer");
    for (name, key, extensions, rule) in [
        ("tls", RSA.as_slice(), &["-addext", "extendedKeyUsage=serverAuth"][..], "usage"),
        ("plain", &RSA, &[], "usage"),
        ("cipher", &RSA, &["-addext", "extendedKeyUsage=codeSigning", "-addext", "keyUsage=keyEncipherment"], "usage"),
        ("short", &["-newkey", "rsa:1024"], &FOR_CODE, "algorithms"),
    ] {
        desk.signer(name, key, extensions);
        desk.openssl(&["x509", "-in", &format!("{name}.pem"), "-outform", "DER", "-out", "signer.der"]);
        desk.openssl(&["dgst", "-sha256", "-r", "-out", "digest", "signer.der"]);
        let digest = std::fs::read_to_string(desk.path("digest")).unwrap();
        desk.pin(&[digest.split_whitespace().next().unwrap()]);
        desk.openssl_signs(name, &der);
        desk.fails_at("./tool", rule);
    }
}

#[test]
fn castellan_signs_nothing_that_it_would_not_trust() {
    let Some(desk) = Desk::new() else { return };
    desk.signer("signer", &P256, &FOR_CODE);
    desk.signer("plain", &P256, &[]);
    desk.program("python3");
    for (program, cert, key, code, why) in [
        ("tool", "plain.pem", "plain.key", 1, "code signing"),
        ("tool", "signer.pem", "plain.key", 1, "not one of the key"),
        ("python3", "signer.pem", "signer.key", 1, "interpreter"),
        ("tool", "signer.key", "signer.key", 6, "certificate"),
        ("tool", "signer.pem", "signer.pem", 6, "openssl pkcs8"),
        ("nothing", "signer.pem", "signer.key", 3, "nothing"),
        ("tool", "nothing.pem", "signer.key", 3, "nothing.pem"),
    ] {
        let output = desk.castellan(&["sign", program, "--cert", cert, "--key", key]);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{program} {cert} {key}: {told}");
        assert!(told.contains(why), "{program} {cert} {key}: {told}");
        assert!(!desk.path(&format!("{program}.p7s")).exists(), "{program} {cert} {key}");
    }
}

#[test]
fn a_script_is_signed_for_the_agent_to_start() {
    let Some(desk) = Desk::new() else { return };
    desk.signer("signer", &P256, &FOR_CODE);
    std::fs::write(desk.path("script"), "#!/bin/sh\n").unwrap();
    let (_, sha256) = desk.signs("script", "signer");
    desk.fails_at("./script", "signer");
    desk.pin(&[&sha256]);
    assert_eq!(desk.failing("./script"), None);
    std::fs::write(desk.path("script"), "#!/bin/sh\nid\n").unwrap();
    desk.fails_at("./script", "content");
}

#[test]
fn a_running_process_is_judged_by_the_image_that_runs() {
    let Some(desk) = Desk::new() else { return };
    desk.signer("signer", &P256, &FOR_CODE);
    // Waits for its standard input, whatever it is called.
    std::fs::copy("/bin/cat", desk.path("waiter")).unwrap();
    let (_, sha256) = desk.signs("waiter", "signer");
    desk.pin(&[&sha256]);
    let mut child = Command::new(desk.path("waiter")).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = child.id().to_string();
    let rule_of_user = if rustix::process::geteuid().is_root() { None } else { Some("user") };
    assert_eq!(desk.failing(&pid).as_deref(), rule_of_user);
    // Somebody replaces the file, and signs the new one well.
    std::fs::rename(desk.path("tool"), desk.path("waiter")).unwrap();
    desk.signs("waiter", "signer");
    desk.fails_at(&pid, "image");
    assert_eq!(desk.failing("./waiter"), None);
    drop(child.stdin.take());
    child.wait().unwrap();
    let output = desk.castellan(&["trust", "check", "4294967295", "--root", "root"]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn without_json_it_is_a_story_with_every_rule() {
    let Some(desk) = Desk::new() else { return };
    desk.signer("signer", &P256, &FOR_CODE);
    let (sha1, sha256) = desk.signs("tool", "signer");
    let output = desk.castellan(&["trust", "check", "./tool", "--root", "root"]);
    let (told, refusal) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(4));
    for part in ["not trusted", &sha1, &sha256, "passed       form", "FAILED       signer", "not reached  validity"] {
        assert!(told.contains(part), "no '{part}' in {told}");
    }
    assert!(refusal.contains("Settings:AlternativeSignatures"), "{refusal}");
    desk.pin(&["A1B2"]);
    let output = desk.castellan(&["trust", "check", "./tool", "--root", "root"]);
    assert_eq!(output.status.code(), Some(6), "{output:?}");
}
