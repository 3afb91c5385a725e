//! Programs that are allowed by who signed them: the signer whom a policy names, and nobody else's, no other's key and no edited file.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

use super::scene::keeper_policy;
use super::{NOBODY, denied, elevate, init_by, passable, policy, ready, runs};
use crate::support::{Agent, Signer, Stage, binary, command, deploy, eventually, say};
use crate::users::start;

/// A root where signatures count: what comes with the agent names a copy of the binary, which this signer signed.
pub(super) struct Site {
    pub(super) stage: Stage,
    pub(super) signer: Signer,
    pub(super) pin: String,
}

impl Site {
    /// `None` where there is nobody else to be.
    pub(super) fn new() -> Option<Self> {
        let stage = passable()?;
        let castellan = stage.folder().join("castellan");
        deploy(|| fs::copy(binary(), &castellan)).unwrap();
        init_by(&castellan, &stage, &[]);
        let signer = Signer::new(&stage, "trusted");
        let pin = signer.sign(&castellan);
        Some(Self { stage, signer, pin })
    }

    /// `id` under another name.
    fn program(&self, name: &str) -> PathBuf {
        let path = self.stage.folder().join(name);
        deploy(|| fs::copy("/usr/bin/id", &path)).unwrap();
        path
    }

    fn ask(&self, program: &Path) -> (i32, String, String) {
        say(elevate(&self.stage, NOBODY, &["--", program.to_str().unwrap(), "-u"]))
    }

    /// Every program of nobody that one of these signed.
    fn allow(&self, signers: &[&str]) {
        let mut policy = policy("nobody", "*", &["ALLOW"]);
        policy["Rules"].as_array_mut().unwrap().push(json!({ "Expression": "CheckCertificate()" }));
        policy["CertificationCheck"] = json!(signers);
        self.stage.file("Policies/signed.json", &policy.to_string());
    }

    /// What the filter of the latest decision on record looked at.
    #[track_caller]
    fn compared(&self) -> String {
        let (code, shown, said) = say(command(&self.stage, &["audit", "show", "-o", "json"]));
        assert_eq!(code, 0, "{said}");
        let mut latest = shown.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let decision = latest.find(|entry| entry["kind"] == "decision").unwrap();
        let filters = decision["explanation"]["Policies"][0]["Filters"].as_array().unwrap();
        let filter = filters.iter().find(|filter| filter["Filter"] == "CertificationCheck").unwrap();
        filter["Asked"].as_str().unwrap().to_owned()
    }

    /// What an administrator is told of a program's signature: exit code, document, refusal.
    fn judged(&self, program: &Path) -> (i32, Value, String) {
        let (code, shown, said) =
            say(command(&self.stage, &["trust", "check", program.to_str().unwrap(), "-o", "json"]));
        (code, serde_json::from_str(&shown).unwrap(), said)
    }
}

const NOTHING: &str = "no signature that counts (castellan trust check says why)";

#[test]
fn a_program_runs_by_who_signed_it_and_by_nobody_else() {
    let Some(site) = Site::new() else { return };
    let second = Signer::new(&site.stage, "second");
    let (his, seconds) = (site.program("his"), site.program("seconds"));
    site.signer.sign(&his);
    let other = second.sign(&seconds);
    site.stage.settings(json!({ "AlternativeSignatures": [site.pin, other] }));
    let agent = start(&site.stage);
    ready(&agent);
    let (code, shown, said) = site.judged(&his);
    assert_eq!((code, &shown["signers"][0]["sha256"]), (0, &json!(site.pin)), "{said}");
    let sha1 = shown["signers"][0]["sha1"].as_str().unwrap();
    assert_eq!(sha1.len(), 40);
    for named in [site.pin.as_str(), sha1] {
        site.allow(&[named]);
        runs(site.ask(&his));
        // The same program by another whom the settings trust, and the policy does not.
        denied(site.ask(&seconds), "it would be ALLOW, if CertificationCheck held");
        assert_eq!(site.compared(), other);
    }
    site.allow(&[&site.pin, &other]);
    runs(site.ask(&seconds));

    let (unsigned, strangers, edited, swapped) =
        (site.program("unsigned"), site.program("strangers"), site.program("edited"), site.program("swapped"));
    let stranger = Signer::new(&site.stage, "stranger");
    let nobodys = stranger.sign(&strangers);
    site.allow(&[&site.pin, &other, &nobodys]);
    site.signer.sign(&edited);
    runs(site.ask(&edited));
    deploy(|| OpenOptions::new().append(true).open(&edited).unwrap().write_all(b"more").unwrap());
    // A right signature, of another program.
    fs::copy("/usr/bin/cat", &swapped).unwrap();
    fs::copy(beside(&his), beside(&swapped)).unwrap();
    for (program, why) in [
        (&unsigned, "There is no signature at"),
        (&strangers, "AlternativeSignatures"),
        (&edited, "was changed after it had been signed"),
        (&swapped, "was changed after it had been signed"),
    ] {
        denied(site.ask(program), "it would be ALLOW, if CertificationCheck held");
        assert_eq!(site.compared(), NOTHING, "{program:?}");
        let (code, _, said) = site.judged(program);
        assert!(code == 4 && said.contains(why), "{code} {said}");
    }
    // Signed again as it is now, it runs, and asks nobody to start anything anew.
    site.signer.sign(&edited);
    runs(site.ask(&edited));
    agent.stop();
}

/// The signature of a file.
fn beside(program: &Path) -> PathBuf {
    PathBuf::from(format!("{}.p7s", program.display()))
}

/// Root may edit the file of settings while the agent runs. Until the agent is started anew nothing of it counts, whoever was killed.
#[test]
fn a_new_process_of_keeper_policy_wants_the_signatures_that_the_agent_wants() {
    let Some(site) = Site::new() else { return };
    let second = Signer::new(&site.stage, "second");
    let program = site.program("id");
    let put = |name: &str, controls: &[&str]| {
        let policy = policy("nobody", program.to_str().unwrap(), controls);
        site.stage.file(&format!("Policies/{name}.json"), &policy.to_string())
    };
    let his = put("his", &["ALLOW"]);
    site.signer.sign(&his);
    let other = second.sign(&program);
    let strict = json!({ "AlternativeSignatures": [site.pin], "RequireSignedPolicies": true });
    let lax = json!({ "AlternativeSignatures": [site.pin, other], "RequireSignedPolicies": false });
    let anew = |agent: &Agent<'_>| {
        let pid = keeper_policy(agent);
        kill_process(pid, Signal::KILL).unwrap();
        eventually("another process of KeeperPolicy", || (keeper_policy(agent) != pid).then_some(()));
    };

    // Laxer on disk.
    site.stage.settings(strict.clone());
    let agent = start(&site.stage);
    ready(&agent);
    runs(site.ask(&program));
    site.stage.settings(lax);
    anew(&agent);
    runs(site.ask(&program));
    let unsigned = put("unsigned", &["ALLOW", "AUDIT"]);
    denied(site.ask(&program), "'unsigned' would say, because it cannot be read");
    second.sign(&unsigned);
    denied(site.ask(&program), "'unsigned' would say, because it cannot be read");
    agent.stop();

    // By then it counts; and stricter on disk.
    let agent = start(&site.stage);
    ready(&agent);
    runs(site.ask(&program));
    site.stage.settings(strict);
    anew(&agent);
    runs(site.ask(&program));
    fs::remove_file(beside(&unsigned)).unwrap();
    runs(site.ask(&program));
    // What cannot be read changes nothing either.
    site.stage.file("appsettings.json", "{");
    anew(&agent);
    runs(site.ask(&program));
    agent.stop();
    site.stage.settings(json!({ "AlternativeSignatures": [site.pin], "RequireSignedPolicies": true }));
    let agent = start(&site.stage);
    ready(&agent);
    denied(site.ask(&program), "'unsigned' would say, because it cannot be read");
    agent.stop();
}
