//! Looking back: what other policies would have answered, and how a grant came about.

use std::fs;
use std::path::PathBuf;

use castellan_core::hexadecimal;
use castellan_fs::audit::sha256;
use serde_json::json;

use super::{DAEMON, ID, NOBODY, allow, asked, elevate, id_of, installed, newest, policy, ready, runs};
use crate::support::{Stage, command, ended, say, spawn};
use crate::users::start;

/// A command's exit code with both of its streams.
fn told(stage: &Stage, words: &[&str]) -> (i32, String) {
    let (code, out, err) = say(command(stage, words));
    (code, out + &err)
}

/// What other policies change, with the exit code.
fn what_if(stage: &Stage, with: &str, more: &[&str]) -> (i32, String) {
    told(stage, &[&["policy", "what-if", "--with", with], more].concat())
}

/// The changed requests with what became of each.
fn changes(stage: &Stage, with: &str) -> Vec<(String, String)> {
    let (_, out, _) = say(command(stage, &["policy", "what-if", "--with", with, "-o", "json"]));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["decisions"], &report["incomplete"], &report["unreadable"]), (&json!(3), &json!(0), &json!(0)));
    let change = |one: &serde_json::Value| {
        let text = |name: &str| one[name].as_str().unwrap().to_owned();
        (text("request"), format!("{} -> {}", text("before"), text("after")))
    };
    report["changes"].as_array().unwrap().iter().map(change).collect()
}

fn pairs(expect: &[(&str, &str)]) -> Vec<(String, String)> {
    expect.iter().map(|(request, change)| (String::from(*request), String::from(*change))).collect()
}

#[test]
fn other_policies_change_exactly_these_decisions() {
    let Some(stage) = installed() else { return };
    let agent = start(&stage);
    ready(&agent);
    assert_eq!(asked(&stage, NOBODY, &[]).0, 4, "E1-1");
    allow(&stage, &["ALLOW"]);
    runs(asked(&stage, NOBODY, &[]));
    assert_eq!(asked(&stage, DAEMON, &[]).0, 4, "E1-3");

    let draft = |file: &str, policy: &serde_json::Value| {
        let path = stage.folder().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, policy.to_string()).unwrap();
        path.to_str().unwrap().to_owned()
    };
    // In place of the policy: who has it by his group is known of then.
    let other = draft("drafts/id.json", &policy("@daemon", "/usr/bin/id", &["ALLOW"]));
    assert_eq!(changes(&stage, &other), pairs(&[("E1-3", "DENY -> ALLOW"), ("E1-2", "ALLOW -> DENY")]));
    // Beside it.
    let beside = draft("drafts/more.json", &policy("daemon", "/usr/bin/*", &["JUSTIFY"]));
    let expect = [("E1-3", "DENY -> PENDING (JUSTIFY)"), ("E1-1", "DENY -> ALLOW")];
    assert_eq!(changes(&stage, &beside), pairs(&expect));
    // The whole folder, as it is and with nothing in it.
    let present = stage.root().join("Policies");
    assert_eq!(changes(&stage, present.to_str().unwrap()), pairs(&[("E1-1", "DENY -> ALLOW")]));
    let empty = stage.folder().join("empty");
    fs::create_dir(&empty).unwrap();
    let empty = empty.to_str().unwrap();
    assert_eq!(changes(&stage, empty), pairs(&[("E1-2", "ALLOW -> DENY")]));

    let (code, said) = what_if(&stage, empty, &[]);
    assert!(code == 1 && said.contains("E1-2 nobody 'id -u' (/usr/bin/id): ALLOW -> DENY"), "{code} {said}");
    assert!(
        said.contains("by no policy: There is no policy about it.") && said.contains("3 decisions, 1 would change.")
    );
    let (code, said) = what_if(&stage, empty, &["--since", "2999-01-01T00:00:00Z"]);
    assert!(code == 0 && said.contains("0 decisions since 2999-01-01T00:00:00.000Z, 0 would change."), "{said}");
    assert_eq!(what_if(&stage, "/no/such/file", &[]).0, 3);
    agent.stop();

    // What was edited is named by both, and is not judged.
    let audit = stage.root().join("state/audit/00000000000000000001.jsonl");
    let sound = fs::read_to_string(&audit).unwrap();
    let line = sound.lines().position(|line| line.contains("\"decision\":\"ALLOW\"")).unwrap() + 1;
    fs::write(&audit, sound.replacen("\"decision\":\"ALLOW\"", "\"decision\":\"ALLOX\"", 1)).unwrap();
    let place = format!("{}:{line}: the line was edited", audit.display());
    for (code, said) in [what_if(&stage, empty, &[]), told(&stage, &["audit", "verify"])] {
        assert!(code == 6 && said.contains(&place), "{code} {said}");
    }
    assert!(what_if(&stage, empty, &[]).1.contains("2 decisions, 0 would change."));
}

/// The lines of a proof, one of them changed, and each with a hash that fits again.
fn sealed_again(proof: &str, from: &str, to: &str) -> String {
    assert!(proof.contains(from), "{from}: {proof}");
    let seal = |line: &str| {
        let line = line.replace(from, to);
        let (covered, _) = line.rsplit_once(",\"hash\":\"").unwrap();
        format!("{covered},\"hash\":\"{}\"}}\n", hexadecimal(&sha256(covered.as_bytes())))
    };
    proof.lines().map(seal).collect()
}

#[test]
fn a_grant_is_proven_offline_and_what_was_made_up_is_found() {
    let Some(stage) = installed() else { return };
    let agent = start(&stage);
    ready(&agent);
    allow(&stage, &["APPROVAL"]);
    let child = spawn(&mut elevate(&stage, NOBODY, &[&["--reason", "ticket 4711"], &ID[..]].concat()));
    let grant = super::eventually("a request that waits for an approval", || {
        let request = newest(&agent, "AwaitingControls");
        (request["Outstanding"] == json!(["APPROVAL"])).then_some(id_of(&request))
    });
    let answer = agent.call("POST", &format!("/api/elevation/{grant}/approve")).json(&json!({})).send();
    assert_eq!(answer.status, 200);
    runs(ended(child.wait_with_output().unwrap()));

    assert_eq!(told(&stage, &["grants", "proof", "E1-77"]).0, 3);
    let (code, proof, err) = say(command(&stage, &["grants", "proof", &grant]));
    assert_eq!(code, 0, "{err}");
    let file = stage.folder().join("proof.jsonl");
    let verify = |proof: &str, more: &[&str]| {
        fs::write(&file, proof).unwrap();
        told(&stage, &[&["grants", "verify", file.to_str().unwrap()], more].concat())
    };
    for (option, says) in [("--audit", "Name one that is there"), ("--policies", "is no folder")] {
        let (code, said) = verify(&proof, &[option, "/nowhere"]);
        assert!(code == 3 && said.contains(says) && said.contains("/nowhere"), "{code} {said}");
    }
    let (code, said) = told(&stage, &["grants", "proof", "hello"]);
    assert!(code == 2 && said.contains("castellan grants list"), "{code} {said}");
    let (code, said) = verify(&proof, &[]);
    assert!(code == 0 && said.contains("Only that it agrees with itself was looked at"), "{code} {said}");
    for part in ["JUSTIFY by user:nobody", ": ticket 4711", "APPROVAL by admin:client", "lead to the same decision"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let policies = copied(&stage);
    let (code, said) = verify(&proof, &["--audit", "--policies", policies.to_str().unwrap()]);
    assert!(code == 0 && said.contains("The audit has it, line by line."), "{code} {said}");
    assert!(said.contains("All policies that there were lead to the same decision."), "{said}");

    // One byte, in each of its lines.
    for (number, line) in proof.lines().enumerate() {
        let (code, said) =
            verify(&proof.replace(line, &line.replacen("nobody", "nobodz", 1).replacen("boot", "boat", 1)), &[]);
        assert!(code == 6 && said.contains(&format!("Line {} was edited", number + 1)), "{code} {said}");
    }
    // With hashes that fit again, its parts do not.
    let until = proof.split("\"until\":\"").nth(1).unwrap().split('"').next().unwrap();
    for (from, to, because) in [
        (until, "2999-01-01T00:00:00.000Z", "ends at"),
        ("\"user\":\"nobody\",\"program\"", "\"user\":\"daemon\",\"program\"", "differ in who asks"),
        ("\\\"APPROVAL\\\"", "\\\"JUSTIFY\\\"", "another SHA-256"),
        ("\"approved\":true", "\"approved\":false", "denied request"),
    ] {
        let (code, said) = verify(&sealed_again(&proof, from, to), &[]);
        assert!(code == 6 && said.contains(because), "{from}: {code} {said}");
    }
    // Made up so that all of it agrees: only the audit knows.
    let made_up = sealed_again(&proof, "admin:client", "admin:mallory");
    assert_eq!(verify(&made_up, &[]).0, 0);
    let (_, exported, _) = say(command(&stage, &["audit", "export"]));
    let audit = stage.folder().join("exported.jsonl");
    fs::write(&audit, &exported).unwrap();
    for audit in [&["--audit"][..], &["--audit", audit.to_str().unwrap()]] {
        let (code, said) = verify(&made_up, audit);
        assert!(code == 6 && said.contains("of the audit is another."), "{code} {said}");
        assert_eq!(verify(&proof, audit).0, 0);
    }
    fs::write(policies.join("more.json"), policy("nobody", "/usr/bin/id", &["DENY"]).to_string()).unwrap();
    let (code, said) = verify(&proof, &["--policies", policies.to_str().unwrap()]);
    assert!(code == 6 && said.contains("have the digest"), "{code} {said}");
    assert_eq!(agent.call("DELETE", &format!("/api/grants/{grant}")).send().status, 200);
    agent.stop();
    let (code, said) = verify(&proof, &["--audit"]);
    assert!(code == 0 && said.contains("admin:client revoked it at"), "{code} {said}");
}

/// A copy of the policies, as somebody has it who keeps them.
fn copied(stage: &Stage) -> PathBuf {
    let folder = stage.folder().join("Policies.copy");
    fs::create_dir(&folder).unwrap();
    fs::copy(stage.root().join("Policies/id.json"), folder.join("id.json")).unwrap();
    folder
}
