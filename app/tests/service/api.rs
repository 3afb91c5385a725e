//! Point 5: the administrator's API, with the client certificate of `state/admin` and without.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Agent, Answer, Stage, has_program, is_root, skipped, spawn};

fn echo(id: &str, text: &str) -> Value {
    json!({ "id": id, "name": id, "tasks": [ { "id": "say", "command": "echo", "arguments": text } ] })
}

#[track_caller]
fn findings(answer: &Answer) -> Vec<(String, String)> {
    let text = |finding: &Value, name: &str| finding[name].as_str().unwrap().to_owned();
    let body = answer.json();
    let list = body["findings"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
    for finding in list {
        assert!(!text(finding, "message").is_empty() && !text(finding, "severity").is_empty(), "{finding}");
    }
    list.iter().map(|finding| (text(finding, "path"), text(finding, "code"))).collect()
}

fn files(stage: &Stage) -> Vec<String> {
    let entries = fs::read_dir(stage.root().join("Jobs")).unwrap().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_job_from_post_to_delete() {
    let stage = Stage::new();
    let agent = stage.start();
    let created = agent.call("POST", "/api/Jobs").json(&echo("fresh", "one")).send();
    assert_eq!((created.status, created.header("location")), (201, Some("/api/Jobs/fresh")), "{created:?}");
    assert_eq!(files(&stage), ["bin", "fresh.json"]);

    let run = agent.run("fresh");
    assert_eq!((&run["outcome"], &run["status"]), (&json!("Succeeded"), &json!("Succeeded")), "{run}");
    assert_eq!(run["tasks"][0]["stdout"].as_str().unwrap().trim_end(), "one");
    let shown = agent.call("GET", &format!("/api/runs/{}", run["runId"].as_str().unwrap())).send();
    assert_eq!((shown.status, shown.json()), (200, run.clone()));
    assert_eq!(agent.runs("fresh"), [run]);

    let again = agent.call("POST", "/api/Jobs").json(&echo("fresh", "two")).send();
    assert_eq!(again.status, 409, "{again:?}");
    let replaced = agent.call("PUT", "/api/jobs/fresh").json(&echo("fresh", "two")).send();
    assert_eq!(replaced.status, 200, "{replaced:?}");
    assert_eq!(agent.run("fresh")["tasks"][0]["stdout"].as_str().unwrap().trim_end(), "two");
    assert_eq!(agent.call("GET", "/api/Jobs/fresh").send().json(), echo("fresh", "two"));
    let list = agent.call("GET", "/api/Jobs").send().json();
    assert_eq!((list[0]["id"].as_str(), list[0]["lastOutcome"].as_str()), (Some("fresh"), Some("Succeeded")), "{list}");

    let deleted = agent.call("DELETE", "/api/Jobs/fresh").send();
    assert_eq!((deleted.status, deleted.json()), (200, json!({ "id": "fresh", "deleted": true })));
    assert_eq!(files(&stage), ["bin"]);
    for (method, target) in [("DELETE", ""), ("GET", ""), ("POST", "/trigger"), ("GET", "/runs")] {
        let answer = agent.call(method, &format!("/api/Jobs/fresh{target}")).send();
        assert_eq!(answer.status, 404, "{method} {target}: {answer:?}");
    }
    assert_eq!(agent.call("PUT", "/api/Jobs/fresh").json(&echo("fresh", "three")).send().status, 404);
    agent.stop();
}

#[test]
fn without_the_certificate_everything_is_refused() {
    let stage = Stage::new();
    stage.job(&echo("there", "one"));
    let agent = stage.start();
    let new = echo("fresh", "one");
    let calls = [
        ("GET", "/api/Jobs"),
        ("POST", "/api/Jobs"),
        ("GET", "/api/Jobs/there"),
        ("PUT", "/api/Jobs/there"),
        ("DELETE", "/api/Jobs/there"),
        ("POST", "/api/Jobs/validate"),
        ("POST", "/api/Jobs/reload"),
        ("POST", "/api/Jobs/there/trigger"),
        ("POST", "/api/Jobs/unknown/run"),
        ("GET", "/api/Jobs/there/runs"),
        ("GET", "/api/runs/1-1"),
        ("GET", "/api/plugins"),
        ("GET", "/api/denials"),
        ("GET", "/api/PluginSettings/KeeperPrivilegeManager"),
    ];
    for (method, target) in calls {
        let call = agent.anonymous(method, target);
        let answer = if method == "GET" || method == "DELETE" { call.send() } else { call.json(&new).send() };
        assert_eq!(answer.status, 403, "{method} {target}: {answer:?}");
        let body = answer.json();
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(body["tierHeld"], "Public", "{body}");
        assert!(body["detail"].as_str().unwrap().contains("no admin certificate"), "{body}");
    }
    assert_eq!(files(&stage), ["bin", "there.json"]);
    assert_eq!(agent.runs("there"), Vec::<Value>::new());
    for (target, status) in [("/health", 200), ("/", 200), ("/api/system/status", 200)] {
        assert_eq!(agent.anonymous("GET", target).send().status, status, "{target} is for everybody");
    }
    agent.stop();
}

#[test]
fn root_is_an_administrator_only_where_the_settings_say_so() {
    let stage = Stage::new();
    stage.settings(json!({ "AllowElevatedWithoutCertificate": true }));
    let agent = stage.start();
    let answer = agent.anonymous("POST", "/api/Jobs").json(&echo("fresh", "one")).send();
    if is_root() {
        assert_eq!(answer.status, 201, "{answer:?}");
    } else {
        skipped("root without a certificate, as the tests do not run as root");
        assert_eq!(answer.status, 403, "the setting is for root alone: {answer:?}");
    }
    // Root as containers have it, which share the machine's network.
    for (through, why) in [
        (["unshare", "--pid", "--fork"], "process namespace of its own"),
        (["setpriv", "--bounding-set=-sys_admin", "--"], "CAP_SYS_ADMIN"),
    ] {
        let mut curl = Command::new(through[0]);
        let url = format!("https://127.0.0.1:{}/api/denials", agent.https);
        curl.args(&through[1..]).args(["curl", "--silent", "--cacert"]).arg(stage.root().join("ca.pem")).arg(url);
        match spawn(curl.stdout(Stdio::piped()).stderr(Stdio::null())).wait_with_output() {
            Ok(output) if is_root() && output.status.success() => {
                let body: Value = serde_json::from_slice(&output.stdout).unwrap();
                assert_eq!(body["status"], 403, "{body}");
                assert!(body["detail"].as_str().unwrap().contains(why), "{body}");
            }
            other => skipped(&format!("{through:?} with curl, which this machine does not let it start: {other:?}")),
        }
    }
    agent.stop();
}

#[test]
fn a_task_reads_but_does_not_administrate() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("scan", &[], &[]));
    let agent = stage.start();
    agent.trigger("scan");
    let mut task = stage.puppet("scan");
    assert_eq!(task.get("/api/Jobs").0, 200);
    assert_eq!(task.get("/api/Jobs/scan/runs").0, 200);
    let (status, body) = task.get("/api/denials");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["tierNeeded"], &body["tierHeld"]), (403, &json!("Admin"), &json!("Plugin")), "{body}");
    let deleted = task.order(&json!({ "do": "call", "method": "DELETE", "target": "/api/Jobs/scan" }));
    assert_eq!(deleted["status"], 403, "{deleted}");
    task.exit(0, "");
    agent.stop();
}

#[test]
fn a_job_with_faults_is_refused_with_findings_and_not_written() {
    let stage = Stage::new();
    stage.job(&echo("there", "one"));
    let agent = stage.start();
    let mut no_binary = echo("fresh", "one");
    no_binary["tasks"][0]["command"] = json!("NotDeployed");
    for target in ["/api/Jobs", "/api/Jobs/validate"] {
        let answer = agent.call("POST", target).json(&no_binary).send();
        assert_eq!(answer.status, 400, "{target}: {answer:?}");
        assert_eq!(findings(&answer), [(String::from("/tasks/0/command"), String::from("binary-not-found"))]);
    }
    no_binary["osFilter"] = json!({ "windows": true });
    let elsewhere = agent.call("POST", "/api/Jobs/validate").json(&no_binary).send();
    assert_eq!(elsewhere.status, 200, "what does not run here needs no binary here: {elsewhere:?}");
    assert_eq!(elsewhere.json()["valid"], true);

    let underscore = agent.call("POST", "/api/Jobs").json(&echo("a_b", "one")).send();
    assert_eq!(underscore.status, 400);
    assert_eq!(findings(&underscore)[0].0, "/id", "{underscore:?}");
    let other_id = agent.call("PUT", "/api/Jobs/there").json(&echo("elsewhere", "one")).send();
    assert_eq!(other_id.status, 400);
    assert_eq!(findings(&other_id)[0].0, "/id", "{other_id:?}");
    for body in
        ["", "{", "[]", "{\"id\":\"fresh\"}", "{\"id\":\"fresh\",\"tasks\":[]}", "{\"id\":\"fresh\",\"id\":\"x\"}"]
    {
        let answer = agent.call("POST", "/api/Jobs").header("Content-Type", "application/json").body(body).send();
        assert_eq!(answer.status, 400, "{body}: {answer:?}");
    }
    assert_eq!(files(&stage), ["bin", "there.json"], "nothing was written");
    assert_eq!(agent.run("there")["tasks"][0]["stdout"].as_str().unwrap().trim_end(), "one");
    agent.stop();
}

#[test]
fn what_cannot_be_triggered_says_why() {
    let stage = Stage::new();
    let mut disabled = echo("disabled", "never");
    disabled["enabled"] = json!(false);
    stage.job(&disabled);
    let mut needy = echo("needy", "{Target}");
    needy["parameters"] = json!([ { "name": "Target", "type": "string", "required": true } ]);
    stage.job(&needy);
    let mut elsewhere = echo("elsewhere", "never");
    elsewhere["osFilter"] = json!({ "windows": true });
    stage.job(&elsewhere);
    let agent = stage.start();
    let refused = [("disabled", 409), ("elsewhere", 409), ("needy", 400), ("unknown", 404)];
    for (job, status) in refused {
        let answer = agent.call("POST", &format!("/api/Jobs/{job}/trigger")).send();
        assert_eq!(answer.status, status, "{job}: {answer:?}");
        assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
    }
    let body = json!({ "target": "given" });
    let answer = agent.call("POST", "/api/Jobs/needy/trigger?wait=true&timeoutSeconds=60").json(&body).send();
    assert_eq!((answer.status, answer.json()["tasks"][0]["stdout"].as_str().unwrap().trim_end()), (200, "given"));
    assert_eq!(agent.call("POST", "/api/Jobs/needy/trigger?wait=true&timeoutSeconds=0").json(&body).send().status, 400);
    assert_eq!(agent.runs("disabled"), Vec::<Value>::new());
    agent.stop();
}

#[test]
fn hostile_ids_in_the_path_touch_no_file() {
    let stage = Stage::new();
    stage.file("outside.json", "{}");
    let agent = stage.start();
    let before = files(&stage);
    let long = "a".repeat(65);
    let ids = [
        "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "..%2foutside",
        "..%5cx",
        "a%00b",
        "%ff",
        ".",
        "..",
        "CON",
        "%2e",
        "%2e%2e",
        "a.",
        &long,
        "a%2fb",
        "%c3%a4",
        "a_b",
    ];
    for id in ids {
        for method in ["GET", "PUT", "DELETE"] {
            let call = agent.call(method, &format!("/api/Jobs/{id}"));
            let answer = if method == "PUT" { call.json(&echo("x", "one")).send() } else { call.send() };
            assert_eq!(answer.status, 400, "{method} {id}: {answer:?}");
            assert!(!answer.body.contains("root:"), "{answer:?}");
        }
        let answer = agent.call("POST", &format!("/api/Jobs/{id}/trigger")).send();
        assert_eq!(answer.status, 400, "trigger {id}: {answer:?}");
    }
    for target in ["/api/Jobs/../../outside.json", "/api/Jobs/./x", "/api/Jobs/a/b", "/api/Jobs/"] {
        let answer = agent.call("GET", target).send();
        assert!(matches!(answer.status, 400 | 404), "{target}: {answer:?}");
    }
    assert_eq!(files(&stage), before);
    assert!(stage.root().join("outside.json").is_file());
    agent.stop();
}

#[test]
fn browsers_proxies_and_other_names_are_refused_even_with_the_certificate() {
    let stage = Stage::new();
    stage.job(&echo("there", "one"));
    let agent = stage.start();
    if has_program("curl", "requests with another Host") {
        let port = agent.https;
        for host in
            [String::from("evil.example"), format!("evil.example:{port}"), format!("127.0.0.1.evil.example:{port}")]
        {
            assert_eq!(agent.call("GET", "/api/Jobs").header("Host", &host).send().status, 421, "{host}");
        }
        for host in [format!("LOCALHOST:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
            assert_eq!(agent.call("GET", "/health").header("Host", &host).send().status, 200, "{host}");
        }
    }
    let own = format!("https://127.0.0.1:{}", agent.https);
    for (name, value) in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", own.as_str()),
        ("Sec-Fetch-Site", "cross-site"),
        ("X-Forwarded-For", "127.0.0.1"),
        ("Via", "1.1 proxy"),
        ("Forwarded", "for=127.0.0.1"),
    ] {
        let answer = agent.call("POST", "/api/Jobs/there/trigger").header(name, value).send();
        assert_eq!(answer.status, 403, "{name}: {value}: {answer:?}");
        assert!(!answer.headers.iter().any(|(name, _)| name.starts_with("access-control-")), "{answer:?}");
    }
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"] {
        let call = agent.call("POST", "/api/Jobs").header("Content-Type", content_type);
        assert_eq!(call.body(&echo("fresh", "one").to_string()).send().status, 415, "{content_type}");
    }
    let preflight = agent.call("OPTIONS", "/api/Jobs").send();
    assert_eq!((preflight.status, preflight.header("allow").is_some()), (405, true), "{preflight:?}");
    for (method, target) in [("GET", "/api/Jobs/there/trigger"), ("PATCH", "/api/Jobs/there"), ("PUT", "/api/Jobs")] {
        assert_eq!(agent.call(method, target).send().status, 405, "{method} {target}");
    }
    assert_eq!((files(&stage), agent.runs("there")), (vec![String::from("bin"), String::from("there.json")], vec![]));
    agent.stop();
}

#[test]
fn another_authoritys_certificate_opens_nothing() {
    if !has_program("curl", "a client certificate of another agent") {
        return;
    }
    let (stage, other) = (Stage::new(), Stage::new());
    let (agent, stranger) = (stage.start(), other.start());
    let admin = |stage: &Stage| stage.root().join("state/admin");
    for name in ["client.pem", "client.key"] {
        fs::copy(admin(&other).join(name), stage.folder().join(name)).unwrap();
    }
    let status = handshake_with(&agent, stage.folder());
    assert_ne!(status, Some(0), "the handshake must fail, not fall back to a stranger's rights");
    assert_eq!(handshake_with(&agent, &admin(&stage)), Some(0), "the agent's own works the same way");
    stranger.stop();
    agent.stop();
}

/// The exit code of a curl that presents the certificate in this folder.
fn handshake_with(agent: &Agent<'_>, folder: &std::path::Path) -> Option<i32> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--output", "/dev/null", "--noproxy", "*", "--cacert"]);
    curl.arg(agent.stage.root().join("state/ca.pem"));
    curl.arg("--cert").arg(folder.join("client.pem")).arg("--key").arg(folder.join("client.key"));
    spawn(curl.arg(format!("https://127.0.0.1:{}/health", agent.https))).wait().unwrap().code()
}
