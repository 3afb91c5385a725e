//! Http tasks: to a server nobody here wrote, and to the agent's own API in the name of the job.

use std::thread::JoinHandle;

use serde_json::{Value, json};
use tiny_http::{Header, Request, Response, Server};

use crate::support::{PATIENCE, Stage, eventually};

/// A request as the other side saw it.
#[derive(Debug)]
struct Seen {
    line: String,
    headers: Vec<String>,
    body: String,
}

fn seen(request: &mut Request) -> Seen {
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body).unwrap();
    let headers = request.headers().iter().map(|header| header.to_string().to_ascii_lowercase()).collect();
    Seen { line: format!("{} {}", request.method(), request.url()), headers, body }
}

/// tiny_http on a free port; answers so many requests, each by this function.
fn server(count: usize, answer: fn(&Seen) -> (u16, &'static str, &'static str)) -> (String, JoinHandle<Vec<Seen>>) {
    let server = Server::http("127.0.0.1:0").unwrap();
    let base = format!("http://{}", server.server_addr());
    let thread = std::thread::spawn(move || {
        let answered = (0..count).map_while(|_| {
            let mut request = server.recv_timeout(PATIENCE).unwrap()?;
            let seen = seen(&mut request);
            let (status, location, body) = answer(&seen);
            let mut response = Response::from_string(body).with_status_code(status);
            if !location.is_empty() {
                response.add_header(Header::from_bytes("Location", location).unwrap());
            }
            request.respond(response).unwrap();
            Some(seen)
        });
        answered.collect()
    });
    (base, thread)
}

fn http(id: &str, method: &str, url: &str) -> Value {
    json!({ "id": id, "executionType": "Http", "method": method, "url": url })
}

fn job(id: &str, tasks: &[Value]) -> Value {
    json!({ "id": id, "name": id, "tasks": tasks })
}

#[test]
fn a_foreign_server_is_asked_and_its_reply_used() {
    let (base, server) = server(3, |seen| match seen.line.as_str() {
        "POST /score?user=alice" => (201, "", r#"{"score":87}"#),
        "GET /moved" => (302, "/trap", "elsewhere"),
        _ => (404, "", "nothing"),
    });
    let stage = Stage::new();
    let mut score = http("score", "POST", &format!("{base}/score?user={{User}}"));
    score["headers"] = json!({ "X-Job": "{JobId}" });
    score["body"] = json!({ "user": "{User}", "list": [1, "{RunId}"] });
    score["mergeStdoutJsonIntoContext"] = json!(true);
    let mut moved = http("moved", "GET", &format!("{base}/moved"));
    moved["continueOnFailure"] = json!(true);
    let mut gone = http("gone", "DELETE", &format!("{base}/{{score}}"));
    gone["expectStatus"] = json!([404]);
    let say =
        json!({ "id": "say", "command": "echo", "arguments": "{score} {moved.ExitCode} {LastExitCode} {LastOutput}" });
    let mut document = job("ask", &[score, moved, gone, say]);
    document["parameters"] = json!([{ "name": "User", "default": "alice" }]);
    stage.job(&document);
    let agent = stage.start();
    let run = agent.run("ask");
    let asked = server.join().unwrap();

    let tasks = run["tasks"].as_array().unwrap();
    let told: Vec<_> = tasks.iter().map(|task| (&task["outcome"], &task["httpStatus"])).collect();
    assert_eq!(told[0], (&json!("Succeeded"), &json!(201)), "{run}");
    assert_eq!(told[1], (&json!("Failed"), &json!(302)), "{run}");
    assert_eq!(told[2], (&json!("Succeeded"), &json!(404)), "{run}");
    assert!(tasks[1]["reason"].as_str().unwrap().contains("Redirects are not followed"), "{run}");
    assert_eq!(tasks[0]["commandLine"], json!(["POST", format!("{base}/score?user=alice")]));
    assert_eq!(tasks[0]["stdout"], r#"{"score":87}"#);
    assert_eq!(tasks[3]["stdout"], "87 302 0 nothing\n", "{run}");

    let lines: Vec<&str> = asked.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(lines, ["POST /score?user=alice", "GET /moved", "DELETE /87"]);
    let body: Value = serde_json::from_str(&asked[0].body).unwrap();
    assert_eq!(body, json!({ "user": "alice", "list": [1, run["runId"]] }));
    for field in ["x-job: ask", "content-type: application/json", &format!("host: {}", &base[7..])] {
        assert!(asked[0].headers.contains(&field.to_owned()), "{field}: {asked:?}");
    }
    agent.stop();
}

#[test]
fn a_server_that_never_answers_is_given_up_at_the_limit_and_at_the_stop() {
    // It accepts (the kernel does) and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let stage = Stage::new();
    let mut limited = http("ask", "GET", &url);
    limited["timeoutSeconds"] = json!(1);
    stage.job(&job("limited", &[limited]));
    stage.job(&job("patient", &[http("ask", "GET", &url)]));
    let agent = stage.start();
    let run = agent.run("limited");
    assert_eq!((&run["outcome"], &run["tasks"][0]["httpStatus"]), (&json!("TimedOut"), &Value::Null), "{run}");
    agent.trigger("patient");
    // Both connections are there, so the second request is under way.
    drop((silent.accept().unwrap(), silent.accept()));
    agent.stop();
}

#[test]
fn no_server_and_no_trust_are_failures_that_say_why() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = free.local_addr().unwrap();
    drop(free);
    let stage = Stage::new();
    stage.job(&job("nobody", &[http("ask", "GET", &format!("http://{nobody}/"))]));
    // The agent's own listener under a name that is not its own: a stranger with a certificate that no root vouches for.
    stage.job(&job("stranger", &[http("ask", "GET", "https://127.0.0.2:{Port}/api/denials")]));
    let agent = stage.start();
    let run = agent.run("nobody");
    assert!(run["tasks"][0]["reason"].as_str().unwrap().contains("no connection to"), "{run}");
    let port = agent.ports().unwrap()["https"].clone();
    let answer = agent.call("POST", "/api/Jobs/stranger/run?wait=true").json(&json!({ "Port": port })).send();
    let run = answer.json();
    assert_eq!((&run["outcome"], &run["tasks"][0]["httpStatus"]), (&json!("Failed"), &Value::Null), "{run}");
    agent.stop();
}

#[test]
fn a_job_asks_the_agent_itself_in_its_own_name() {
    let stage = Stage::new();
    let mut trigger = http("go", "POST", "{KeeperApiBaseUrl}/api/Jobs/other/trigger");
    trigger["body"] = json!({ "who": "{JobId}" });
    trigger["mergeStdoutJsonIntoContext"] = json!(true);
    let mut forbidden = http("forbidden", "POST", "{KeeperApiBaseUrl}/api/Jobs/reload");
    forbidden["continueOnFailure"] = json!(true);
    stage.job(&job("asks", &[trigger, forbidden, http("look", "GET", "{KeeperApiBaseUrl}/api/Jobs")]));
    stage.job(&job("other", &[json!({ "id": "say", "command": "echo", "arguments": "{who}" })]));
    let agent = stage.start();
    let run = agent.run("asks");
    let tasks = run["tasks"].as_array().unwrap();
    let statuses: Vec<_> = tasks.iter().map(|task| task["httpStatus"].as_u64()).collect();
    assert_eq!(statuses, [Some(202), Some(403), Some(200)], "{run}");
    let refusal: Value = serde_json::from_str(tasks[1]["stdout"].as_str().unwrap()).unwrap();
    assert_eq!((&refusal["tierNeeded"], &refusal["tierHeld"]), (&json!("Admin"), &json!("Plugin")), "{refusal}");
    let other = agent.finished(run["context"]["runId"].as_str().unwrap());
    assert_eq!((&other["trigger"], &other["tasks"][0]["stdout"]), (&json!("api call of job:asks"), &json!("asks\n")));
    // The same is not to be had by anybody who only sits on the same machine.
    assert_eq!(agent.anonymous("POST", "/api/Jobs/other/trigger").send().status, 403);
    eventually("the refusal on record", || {
        let denials = agent.call("GET", "/api/denials").send().json();
        denials.as_array().unwrap().iter().any(|denial| denial["component"] == "job:asks").then_some(())
    });
    agent.stop();
}
