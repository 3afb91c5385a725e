//! A fleet's configuration from outside: a folder, a web server that does what web servers do, a broker nobody here wrote.

mod web;

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::net::TcpListener;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Agent, Stage, command, eventually, has_program, say, spawn};
use web::{Reply, Web};

/// A file as an administrator puts it there, whatever the umask.
pub(crate) fn put(path: &Path, bytes: &[u8], mode: u32) -> String {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode).open(path).unwrap().write_all(bytes).unwrap();
    path.display().to_string()
}

/// A certificate for this machine with its key, each in a file.
fn identity(stage: &Stage, name: &str) -> (rcgen::CertifiedKey<rcgen::KeyPair>, String, String) {
    let names = vec![String::from("localhost"), String::from("127.0.0.1")];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = put(&stage.folder().join(format!("{name}.pem")), made.cert.pem().as_bytes(), 0o644);
    let key = put(&stage.folder().join(format!("{name}.key")), made.signing_key.serialize_pem().as_bytes(), 0o600);
    (made, certificate, key)
}

/// Who signs bundles, with `openssl` as docs/operations.md says.
struct Signer<'s> {
    stage: &'s Stage,
    name: &'static str,
    thumbprint: String,
}

impl<'s> Signer<'s> {
    fn new(stage: &'s Stage, name: &'static str) -> Self {
        let mut signer = Self { stage, name, thumbprint: String::new() };
        let (pem, key, subject) = (signer.file("pem"), signer.file("key"), format!("/CN={name}"));
        let fixed = ["req", "-x509", "-nodes", "-days", "2", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
        let usage = ["-addext", "extendedKeyUsage=codeSigning", "-addext", "keyUsage=digitalSignature"];
        let made = ["-subj", &subject, "-out", &pem, "-keyout", &key];
        openssl(&[&fixed[..], &usage, &made].concat());
        let told = openssl(&["x509", "-in", &pem, "-noout", "-fingerprint", "-sha256"]);
        signer.thumbprint = told.split_once('=').unwrap().1.trim().replace(':', "");
        signer
    }

    fn file(&self, extension: &str) -> String {
        self.stage.folder().join(format!("{}.{extension}", self.name)).display().to_string()
    }

    fn signs(&self, bundle: &Value) -> Vec<u8> {
        let (plain, signed) = (self.file("json"), self.file("p7m"));
        fs::write(&plain, bundle.to_string()).unwrap();
        let fixed = ["cms", "-sign", "-nodetach", "-binary", "-outform", "DER", "-in", &plain, "-out", &signed];
        openssl(&[&fixed[..], &["-signer", &self.file("pem"), "-inkey", &self.file("key")]].concat());
        fs::read(signed).unwrap()
    }
}

#[track_caller]
fn openssl(arguments: &[&str]) -> String {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let output = spawn(&mut command).wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A bundle that has one job.
fn bundle(name: &str, sequence: u64, job: &str) -> Value {
    let document = json!({ "id": job, "name": job, "tasks": [{ "id": "t", "command": "echo" }] });
    let policy =
        json!({ "PolicyType": "JobUpdate", "Extension": { "Action": "Add", "JobId": job, "JobJson": document } });
    json!({ "bundle": name, "sequence": sequence, "policies": { format!("add-{job}"): policy } })
}

fn source(agent: &Agent<'_>) -> Value {
    agent.call("GET", "/api/system/status").send().json()["policySource"].clone()
}

fn has_job(agent: &Agent<'_>, job: &str) -> bool {
    agent.call("GET", &format!("/api/Jobs/{job}")).send().status == 200
}

#[track_caller]
pub(crate) fn in_force(agent: &Agent<'_>, name: &str, sequence: u64) -> Value {
    eventually(&format!("bundle {name} {sequence} in force"), || {
        let found = source(agent);
        (found["bundle"]["name"] == name && found["bundle"]["sequence"] == sequence && found["problem"].is_null())
            .then_some(found)
    })
}

/// Waits for a problem that has this text; what is in force stays.
#[track_caller]
fn refused(agent: &Agent<'_>, text: &str, sequence: Option<u64>) {
    let found = eventually(text, || {
        let found = source(agent);
        found["problem"].as_str().is_some_and(|problem| problem.contains(text)).then_some(found)
    });
    assert_eq!(found["bundle"]["sequence"], json!(sequence), "{found}");
}

#[test]
fn a_folder_has_the_bundle() {
    let stage = Stage::new();
    let folder = stage.folder().join("policies");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
    stage.settings(json!({ "PolicySource": { "Folder": folder, "PollSeconds": 1 } }));
    let agent = Agent::start(&stage);
    refused(&agent, "has neither bundle.p7m nor bundle.json", None);
    let place = folder.join("bundle.json");
    put(&place, bundle("office", 1, "first").to_string().as_bytes(), 0o644);
    let found = in_force(&agent, "office", 1);
    assert!(has_job(&agent, "first") && found["source"] == folder.display().to_string(), "{found}");
    // Everybody may know that it runs, administrators from where it is told what to do.
    assert!(agent.anonymous("GET", "/api/system/status").send().json().get("policySource").is_none());
    assert!(agent.call("GET", "/metrics").send().body.contains("castellan_policy_bundle_sequence 1\n"));
    // A bundle that others may change, one that the policies refuse, and one of another fleet.
    fs::set_permissions(&place, Permissions::from_mode(0o666)).unwrap();
    refused(&agent, "may be changed by others", Some(1));
    let (code, told, _) = say(command(&stage, &["status"]));
    let line = format!("Policies of {}: bundle office 1 in force; ", folder.display());
    assert!(
        code == 0 && told.lines().any(|found| found.starts_with(&line) && found.contains("changed by others")),
        "{told}"
    );
    let mut half = bundle("office", 2, "second");
    half["policies"]["z-wrong"] = json!({ "PolicyType": "JobUpdate" });
    fs::set_permissions(&place, Permissions::from_mode(0o644)).unwrap();
    put(&place, half.to_string().as_bytes(), 0o644);
    refused(&agent, "Bundle 'office' 2 was refused whole", Some(1));
    assert!(!has_job(&agent, "second"), "all policies of a bundle, or none");
    put(&place, bundle("ranch", 9, "second").to_string().as_bytes(), 0o644);
    refused(&agent, "its name is 'ranch'", Some(1));
    put(&place, bundle("office", 3, "second").to_string().as_bytes(), 0o644);
    in_force(&agent, "office", 3);
    assert!(has_job(&agent, "first") && has_job(&agent, "second"), "what is applied is not undone");
}

#[test]
fn a_web_server_has_the_bundle() {
    if !has_program("openssl", "bundles from a web server") {
        return;
    }
    let stage = Stage::new();
    let (server, trusted, _) = identity(&stage, "server");
    let (client, shown, key) = identity(&stage, "client");
    let chain = vec![server.cert.der().clone()];
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(server.signing_key.serialize_der());
    let tls = castellan_https::tls_config(chain, private.into(), Some(client.cert.der().clone())).unwrap();
    let mut web = Web::start(tls);
    let (fleet, stranger) = (Signer::new(&stage, "fleet"), Signer::new(&stage, "stranger"));
    let url = format!("https://localhost:{}/bundle.p7m", web.port);
    let good = |sequence, job| fleet.signs(&bundle("eu", sequence, job));
    let reply = |etag: &str, body| Reply { status: 200, header: "", etag: format!("\"{etag}\""), body };
    stage.settings(json!({ "AlternativeSignatures": [fleet.thumbprint], "PolicySource": {
        "Url": url, "PollSeconds": 1, "TrustedCertificates": trusted, "ClientCertificate": shown, "ClientKey": key
    } }));
    web.answers(reply("5", good(5, "first")));
    let mut agent = Agent::start(&stage);
    in_force(&agent, "eu", 5);
    assert!(has_job(&agent, "first"));
    eventually("304 to whoever knows it", || web.asked().contains(&(Some(String::from("\"5\"")), 304)).then_some(()));

    // Whatever is served instead, and however the server fails: it is said, and changes nothing.
    let mut forged = good(6, "second");
    let at = forged.windows(6).position(|window| window == b"second").unwrap();
    forged[at] = b'S';
    let cases = [
        (reply("a", forged), "was changed after it had been signed".to_owned()),
        (
            reply("b", stranger.signs(&bundle("eu", 6, "second"))),
            "'CN=stranger' is not one of AlternativeSig".to_owned(),
        ),
        (reply("c", bundle("eu", 6, "second").to_string().into_bytes()), "it is not signed".to_owned()),
        (reply("d", good(4, "second")), "number 5 is in force".to_owned()),
        (reply("e", b"0 no DER".to_vec()), "is no CMS with content in DER".to_owned()),
        (reply("f", vec![b' '; 10 << 20]), "longer than".to_owned()),
        (reply("g", vec![b' '; 2 << 20]), "bytes; at most".to_owned()),
        (
            Reply { status: 302, header: "Location: /elsewhere\r\n", ..Reply::default() },
            "redirects are not followed".to_owned(),
        ),
        (Reply { status: 500, ..Reply::default() }, "it answered with status 500".to_owned()),
    ];
    for (reply, why) in cases {
        web.answers(reply);
        refused(&agent, &why, Some(5));
    }
    assert!(!has_job(&agent, "second"));
    web.close();
    refused(&agent, "no connection to", Some(5));

    // Without its server it starts and works by what it has; back again, it is asked with what is known.
    agent.signal(rustix::process::Signal::TERM);
    assert!(agent.exited().success());
    let agent = Agent::start(&stage);
    assert_eq!(in_force_now(&agent), json!(5));
    assert!(has_job(&agent, "first"));
    web.asked();
    web.answers(reply("5", Vec::new()));
    web.open();
    let asked = eventually("a question", || web.asked().first().cloned());
    assert_eq!(asked, (Some(String::from("\"5\"")), 304));
    web.answers(reply("6", good(6, "second")));
    in_force(&agent, "eu", 6);
    assert!(has_job(&agent, "second"));
}

fn in_force_now(agent: &Agent<'_>) -> Value {
    source(agent)["bundle"]["sequence"].clone()
}

/// mosquitto over TLS, which keeps nothing over its end.
struct Mosquitto {
    child: Child,
    port: u16,
    trusted: String,
}

impl Mosquitto {
    fn start(stage: &Stage, port: u16, certificate: &str, key: &str) -> Self {
        let settings = format!(
            "user root\nallow_anonymous true\nlistener {port} 127.0.0.1\ncertfile {certificate}\nkeyfile {key}\n"
        );
        let file = put(&stage.folder().join("mosquitto.conf"), settings.as_bytes(), 0o644);
        let mut command = Command::new("mosquitto");
        command.args(["-c", &file]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: spawn(&mut command), port, trusted: certificate.to_owned() }
    }

    /// Publishes the bundle as docs/operations.md says; waits for the broker.
    fn publishes(&self, stage: &Stage, bundle: &[u8]) {
        let file = put(&stage.folder().join("bundle.p7m"), bundle, 0o644);
        let port = self.port.to_string();
        eventually("mosquitto_pub", || {
            let mut publish = Command::new("mosquitto_pub");
            publish.args(["-V", "mqttv5", "-h", "127.0.0.1", "-p", &port, "--cafile", &self.trusted]);
            publish.args(["-q", "1", "-r", "-t", "fleet/eu", "-f", &file]).stderr(Stdio::null());
            spawn(&mut publish).wait().unwrap().success().then_some(())
        });
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_broker_has_the_bundle() {
    if !["mosquitto", "mosquitto_pub", "openssl"].iter().all(|name| has_program(name, "bundles from a broker")) {
        return;
    }
    let stage = Stage::new();
    let (_, certificate, key) = identity(&stage, "broker");
    let fleet = Signer::new(&stage, "fleet");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let broker = Mosquitto::start(&stage, port, &certificate, &key);
    broker.publishes(&stage, &fleet.signs(&bundle("eu", 1, "first")));
    stage.settings(json!({ "AlternativeSignatures": [fleet.thumbprint], "PolicySource": {
        "Mqtt": { "Host": "127.0.0.1", "Port": port, "Topic": "fleet/eu" }, "TrustedCertificates": certificate
    } }));
    let agent = Agent::start(&stage);
    let found = in_force(&agent, "eu", 1);
    assert!(has_job(&agent, "first") && found["state"] == "listening", "{found}");
    // What is published while it listens comes at once; what is wrong is refused.
    broker.publishes(&stage, &bundle("eu", 2, "second").to_string().into_bytes());
    refused(&agent, "it is not signed", Some(1));
    broker.publishes(&stage, &fleet.signs(&bundle("eu", 3, "second")));
    in_force(&agent, "eu", 3);
    assert!(has_job(&agent, "second"));
    // The broker goes away, forgets everything, and comes back.
    drop(broker);
    eventually("the loss", || (source(&agent)["failed"] != 0).then_some(()));
    assert!(has_job(&agent, "second"));
    let broker = Mosquitto::start(&stage, port, &certificate, &key);
    broker.publishes(&stage, &fleet.signs(&bundle("eu", 4, "third")));
    in_force(&agent, "eu", 4);
    assert!(has_job(&agent, "third"));
}
