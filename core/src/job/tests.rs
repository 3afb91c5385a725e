//! Job documents: the documented samples, every field's rules, and what hostile bytes do (nothing).

use std::borrow::Cow;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use serde_json::json;

use super::finding::{Findings, Severity, has_errors};
use super::parse::arguments::split;
use super::task::{ExecutionType, Route, ScriptType};
use super::{JobDefinition, MissedRuns, OperatingSystem, Overlap, ScheduleDefinition};

const SEED_JOB: &str = include_str!("../../tests/data/seed-001-job.json");
const ROOT_JOB: &str = include_str!("../../tests/data/root-job.json");
const EVENT_TOPIC: &str = include_str!("../../tests/data/seed-001-event-topic.json");

fn shown(findings: &Findings) -> Vec<String> {
    findings.iter().map(|finding| format!("{} {}", finding.path, finding.code)).collect()
}

/// A job of one task with these members at its root and in its task; all findings as `path code`.
#[track_caller]
fn check(root: &str, task: &str, expect: &[&str]) -> Option<JobDefinition> {
    let comma = |members: &str| if members.is_empty() { String::new() } else { format!(",{members}") };
    let document = format!(r#"{{"id":"j"{},"tasks":[{{"id":"t","command":"c"{}}}]}}"#, comma(root), comma(task));
    check_document(&document, expect)
}

#[track_caller]
fn check_document(document: &str, expect: &[&str]) -> Option<JobDefinition> {
    let (job, findings) = match JobDefinition::parse(document.as_bytes(), None) {
        Ok((job, findings)) => (Some(job), findings),
        Err(findings) => (None, findings),
    };
    assert_eq!(shown(&findings), expect, "{document}\n{findings:#?}");
    assert_eq!(job.is_none(), has_errors(&findings), "{document}");
    for finding in &findings {
        assert!(!finding.message.contains('\n') && finding.message.ends_with(['.', ')']), "{finding:?}");
    }
    job
}

#[test]
fn the_documented_job() {
    let (job, findings) = JobDefinition::parse(SEED_JOB.as_bytes(), Some("secrets-scanner")).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(job.name, "Secrets Scanner");
    assert_eq!(job.schedule, Some(ScheduleDefinition::Interval { minutes: 120 }));
    assert_eq!(job.events, ["Startup"]);
    assert_eq!(job.event_topic, "Jobs/secrets-scanner/events");
    assert!(job.enabled && job.declares_topics() && job.runs_here(OperatingSystem::Windows));
    assert!(!job.runs_here(OperatingSystem::Linux));
    let task = &job.tasks[0];
    assert_eq!((task.id.as_str(), task.command.as_str(), task.timeout_seconds), ("run-scanner", "SecretScanner", 3600));
    assert_eq!(task.arguments, ["--scan", "--keeper-api-base={KeeperApiBaseUrl}"]);
    assert_eq!((task.execution_type, task.script_type), (ExecutionType::Service, ScriptType::Auto));
    assert!(task.executable_path.as_deref().unwrap().starts_with("C:\\Program Files\\"));
    assert_eq!(&*job.document, SEED_JOB.as_bytes());
}

#[test]
fn the_job_of_the_example_root() {
    let (job, findings) = JobDefinition::parse(ROOT_JOB.as_bytes(), Some("secrets-scanner")).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    assert_eq!(job.parameters[0].default, Some(json!("/etc")));
    assert_eq!(job.tasks[0].arguments, ["--scan", "{ScanPath}", "--keeper-api-base={KeeperApiBaseUrl}"]);
    assert!(job.tasks[0].merge_stdout);
    let condition = job.tasks[1].condition.as_ref().unwrap();
    assert_eq!(condition.to_string(), "findings > 0");
    assert!(condition.evaluate(&|name| (name == "findings").then(|| Cow::Owned(json!(3)))).holds);
}

#[test]
fn every_other_sample_of_the_guides() {
    let with_task = EVENT_TOPIC.replacen('{', r#"{"tasks":[{"id":"t","command":"c"}],"#, 1);
    let job = check_document(&with_task, &[]).unwrap();
    assert_eq!(job.event_topic, "Jobs/secrets-scanner/events");
    for schedule in [
        r#""schedule": { "intervalMinutes": 120 }"#,
        r#""schedule": { "cronExpression": "0 3 * * *" }"#,
        r#""schedule": { "runAt": "2025-06-01T02:00:00Z" }"#,
        r#""schedule": { "calendar": [ { "time": "03:00", "daysOfWeek": ["Monday", "Wednesday", "Friday"] } ] }"#,
        r#""osFilter": { "windows": true, "linux": false, "macOS": false }"#,
        r#""mqttTopics": { "allowedPublications": ["KeeperLogger"], "allowedSubscriptions": [] }"#,
    ] {
        check(schedule, "", &[]).unwrap();
    }
}

#[test]
fn defaults() {
    let job = check("", "", &[]).unwrap();
    assert_eq!((job.name.as_str(), job.priority, job.enabled), ("j", 5, true));
    assert_eq!(job.event_topic, "Jobs/j/events");
    assert_eq!((job.overlap, job.missed_runs), (Overlap::Queue, MissedRuns::Skip));
    assert!(!job.declares_topics() && job.runs_here(OperatingSystem::Linux));
    let nulls = r#""name":null,"schedule":null,"events":null,"osFilter":null,"condition":null,"alternateJobId":null,"eventTopic":"""#;
    assert_eq!(check(nulls, r#""onSuccess":"","executablePath":null"#, &[]).unwrap().name, "j");
    let cased =
        check(r#""NAME":"n","PRIORITY":10,"OVERLAP":"Parallel","missedruns":"RUNONCE""#, r#""ONFAILURE":"End""#, &[])
            .unwrap();
    assert_eq!((cased.name.as_str(), cased.overlap, cased.missed_runs), ("n", Overlap::Parallel, MissedRuns::RunOnce));
    assert_eq!(cased.tasks[0].on_failure, Some(Route::Stop));
}

#[test]
fn documents_and_ids() {
    check_document("{", &[" malformed-json"]);
    check_document("[]", &[" wrong-type"]);
    check_document("{}", &["/id required", "/tasks required"]);
    check_document(r#"{"id":"a","tasks":[]}"#, &["/tasks tasks-empty"]);
    check_document(r#"{"id":"a","ID":"b","tasks":[]}"#, &[" malformed-json"]);
    let task = r#""tasks":[{"id":"t","command":"c"}]"#;
    check_document(&format!(r#"{{"id":"a_b",{task}}}"#), &["/id id-underscore"]);
    for id in ["", "a.", ".a", "a/b", "ä", &"a".repeat(65), "..", "a\\u0000b"] {
        check_document(
            &format!(r#"{{"id":"{id}",{task}}}"#),
            &[if id.contains("u0000") { "/id nul-character" } else { "/id id-invalid" }],
        );
    }
    let findings = JobDefinition::parse(format!(r#"{{"id":"y",{task}}}"#).as_bytes(), Some("x")).unwrap_err();
    assert_eq!(shown(&findings), ["/id id-mismatch"]);
    let huge = format!(r#"{{"id":"{}_",{task}}}"#, "a".repeat(100_000));
    assert!(JobDefinition::parse(huge.as_bytes(), None).unwrap_err()[0].message.len() < 300);
}

#[test]
fn schedules() {
    let schedule =
        |text: &str, codes: &[&str]| check(&format!("\"schedule\":{text}"), "", codes).and_then(|job| job.schedule);
    for minutes in ["0", "-1", "1e18", "0.5", "527041"] {
        schedule(&format!("{{\"intervalMinutes\":{minutes}}}"), &["/schedule/intervalMinutes out-of-range"]);
    }
    schedule(r#"{"intervalMinutes":"5"}"#, &["/schedule/intervalMinutes wrong-type"]);
    schedule("{}", &["/schedule schedule-without-mode"]);
    schedule("5", &["/schedule wrong-type"]);
    schedule(r#"{"intervalMinutes":5,"runAt":"2025-06-01T02:00:00Z"}"#, &["/schedule schedule-several-modes"]);
    schedule(r#"{"intervalMinutes":5,"timeZone":"UTC"}"#, &["/schedule/timeZone time-zone-unused"]);
    schedule(r#"{"cronExpression":"0 3 * * *","timeZone":"../../etc"}"#, &["/schedule/timeZone time-zone-invalid"]);
    for instant in ["2025-06-01", "2025-06-01T02:00:00", "tomorrow", "2025-13-01T00:00:00Z"] {
        schedule(&format!("{{\"runAt\":\"{instant}\"}}"), &["/schedule/runAt run-at-invalid"]);
    }
    assert_eq!(
        schedule(r#"{"runAt":"1970-01-01T01:00:00+01:00"}"#, &[]),
        Some(ScheduleDefinition::Once { at_millis: 0 })
    );
    let calendar = r#"{"calendar":[{"time":"23:59","daysOfWeek":["FRIDAY","sun","friday"],"daysOfMonth":[31,-1]}],"timeZone":"Europe/Vienna"}"#;
    let Some(ScheduleDefinition::Calendar { entries, time_zone }) = schedule(calendar, &[]) else {
        panic!("no calendar")
    };
    assert_eq!(
        (entries[0].minute_of_day, &entries[0].days_of_week[..], &entries[0].days_of_month[..]),
        (1439, &[0, 5][..], &[-1, 31][..])
    );
    assert_eq!(time_zone.as_deref(), Some("Europe/Vienna"));
    schedule(r#"{"calendar":[]}"#, &["/schedule/calendar calendar-empty"]);
    schedule(
        r#"{"calendar":[{"time":"24:00"},{"time":"3:00"},{},{"time":"03:00","daysOfWeek":["Someday"],"daysOfMonth":[0,32,1.5]}]}"#,
        &[
            "/schedule/calendar/0/time time-invalid",
            "/schedule/calendar/1/time time-invalid",
            "/schedule/calendar/2/time required",
            "/schedule/calendar/3/daysOfWeek/0 day-invalid",
            "/schedule/calendar/3/daysOfMonth/0 day-invalid",
            "/schedule/calendar/3/daysOfMonth/1 day-invalid",
            "/schedule/calendar/3/daysOfMonth/2 day-invalid",
        ],
    );
}

#[test]
fn cron() {
    for (expression, valid) in [
        ("* * * * *", true),
        ("*/5 0-23/2 1,15 JAN-mar Mon-Fri", true),
        ("0 3 * * 7", true),
        ("* * * * * *", false),
        ("60 * * * *", false),
        ("* 24 * * *", false),
        ("* * 0 * *", false),
        ("* * * 13 *", false),
        ("* * * * 8", false),
        ("*/0 * * * *", false),
        ("5-1 * * * *", false),
        ("1, * * * *", false),
        ("+1 * * * *", false),
        ("@daily", true),
        ("0 3 30 2 *", false),
        ("", false),
    ] {
        let codes: &[&str] = if valid { &[] } else { &["/schedule/cronExpression cron-invalid"] };
        check(&format!("\"schedule\":{{\"cronExpression\":\"{expression}\"}}"), "", codes);
    }
}

#[test]
fn events() {
    let events = r#""events":["Startup",{"eventType":"startup"},{"eventType":"Custom","customEvent":"A"},{"eventType":"B"},"C"]"#;
    assert_eq!(check(events, "", &["/events/1 duplicate"]).unwrap().events, ["Startup", "A", "B", "C"]);
    check(
        r#""events":[5,{},{"eventType":"Custom"},"",{"eventType":"B","customEvent":"A"}]"#,
        "",
        &[
            "/events/0 wrong-type",
            "/events/1/eventType required",
            "/events/2/customEvent event-without-name",
            "/events/3 event-without-name",
            "/events/4/customEvent custom-event-unused",
        ],
    );
    check(r#""events":"Startup""#, "", &["/events wrong-type"]);
}

#[test]
fn topics() {
    let undeclared = ["/eventTopic event-topic-not-declared"];
    check(r#""eventTopic":"a/b""#, "", &undeclared);
    check(r#""eventTopic":"a/b","mqttTopics":{"allowedPublications":["A/B"]}"#, "", &undeclared);
    check(r#""eventTopic":"a/b","mqttTopics":{"allowedPublications":["a/b/c","+"]}"#, "", &undeclared);
    for filter in ["a/b", "a/+", "#", "a/#", "a/b/#"] {
        let notes: &[&str] = if filter == "#" { &["/mqttTopics/allowedPublications/0 broad-wildcard"] } else { &[] };
        check(&format!("\"eventTopic\":\"a/b\",\"mqttTopics\":{{\"allowedPublications\":[\"{filter}\"]}}"), "", notes);
    }
    check(r#""eventTopic":"a/+""#, "", &["/eventTopic topic-invalid"]);
    check(
        r#""mqttTopics":{"allowedPublications":["","x","x"],"allowedSubscriptions":[5],"publish":["y"]}"#,
        "",
        &[
            "/mqttTopics/allowedPublications/0 topic-invalid",
            "/mqttTopics/allowedPublications/2 duplicate",
            "/mqttTopics/allowedSubscriptions/0 wrong-type",
            "/mqttTopics/publish unknown-key",
        ],
    );
    check(
        "",
        r#""mqttTopics":{"allowedPublications":["x"]}"#,
        &["/tasks/0/mqttTopics misplaced-key", "/tasks/0/mqttTopics unknown-key"],
    );
}

#[test]
fn parameters() {
    let job = check(
        r#""parameters":[{"name":"A","default":"x"},{"name":"B","type":"INTEGER","defaultValue":5.0,"required":true,"secret":true},{"name":"C","type":"object","default":{"k":1}},{"name":"D","default":null}]"#,
        "",
        &[],
    );
    let parameters = job.unwrap().parameters;
    assert_eq!(parameters[0].default, Some(json!("x")));
    assert!(parameters[1].required && parameters[1].secret);
    assert_eq!(parameters[3].default, None);
    for (parameter, code) in [
        ("{}", "/name required"),
        (r#"{"name":"a.b"}"#, "/name parameter-name-invalid"),
        (r#"{"name":"a b"}"#, "/name parameter-name-invalid"),
        (r#"{"name":"a","type":"text"}"#, "/type unknown-value"),
        (r#"{"name":"a","default":5}"#, "/default default-wrong-type"),
        (r#"{"name":"a","type":"integer","defaultValue":0.5}"#, "/defaultValue default-wrong-type"),
        (r#"{"name":"a","type":"number","default":"5"}"#, "/default default-wrong-type"),
        (r#"{"name":"a","default":"x","defaultValue":"x"}"#, "/default conflicting-keys"),
    ] {
        check(&format!("\"parameters\":[{parameter}]"), "", &[&format!("/parameters/0{code}")]);
    }
    check(r#""parameters":[{"name":"a"},{"name":"A"}]"#, "", &["/parameters/1 duplicate"]);
}

#[test]
fn commands_and_paths() {
    for command in
        ["../../bin/sh", "sh;id", "$(id)", "/bin/sh", "a b", "a\\\\b", "", "-x", ".", "..", "c:x", "ä", "{a}"]
    {
        check_document(
            &format!(r#"{{"id":"j","tasks":[{{"id":"t","command":"{command}"}}]}}"#),
            &["/tasks/0/command command-not-bare"],
        );
    }
    check_document(r#"{"id":"j","tasks":[{"id":"t","executablePath":"/bin/true"}]}"#, &["/tasks/0/command required"]);
    check(
        "",
        r#""executablePath":"bin/x","workingDirectory":"x""#,
        &["/tasks/0/executablePath path-not-absolute", "/tasks/0/workingDirectory path-not-absolute"],
    );
    check("", r#""executablePath":"C:\\x.exe""#, &["/tasks/0/executablePath path-of-one-system"]);
    check(
        r#""osFilter":{"windows":true}"#,
        r#""executablePath":"/bin/x""#,
        &["/tasks/0/executablePath path-of-one-system"],
    );
    check(r#""osFilter":{"linux":true}"#, r#""executablePath":"/bin/x","workingDirectory":"/""#, &[]);
    check(r#""osFilter":{}"#, "", &["/osFilter os-filter-excludes-all"]);
    check(
        r#""osFilter":{"linux":1,"bsd":true}"#,
        "",
        &["/osFilter/linux wrong-type", "/osFilter/bsd unknown-key", "/osFilter os-filter-excludes-all"],
    );
}

#[test]
fn numbers_and_choices() {
    for (root, code) in [
        (r#""priority":0"#, "/priority out-of-range"),
        (r#""priority":11"#, "/priority out-of-range"),
        (r#""enabled":"true""#, "/enabled wrong-type"),
        (r#""overlap":"wait""#, "/overlap unknown-value"),
        (r#""missedRuns":true"#, "/missedRuns wrong-type"),
        (r#""condition":"""#, "/condition condition-invalid"),
        (
            r#""condition":{"operator":"And","expressions":["a",{"type":"x","key":"k","value":1}]}"#,
            "/condition/expressions/1/type condition-invalid",
        ),
        (r#""alternateJobId":"a_b","condition":"x""#, "/alternateJobId id-underscore"),
        (r#""alternateJobId":"j","condition":"x""#, "/alternateJobId alternate-job-loop"),
        (r#""alternateJobId":"k""#, "/alternateJobId alternate-job-unused"),
        (r#""scedule":{}"#, "/scedule unknown-key"),
    ] {
        check(root, "", &[code]);
    }
    for (task, code) in [
        (r#""timeoutSeconds":0"#, "timeoutSeconds out-of-range"),
        (r#""executionType":"Root""#, "executionType unknown-value"),
        (r#""scriptType":"Ruby""#, "scriptType unknown-value"),
        (r#""continueOnFailure":1"#, "continueOnFailure wrong-type"),
        (r#""condition":{"expression":"a ="}"#, "condition/expression condition-invalid"),
        (r#""skipWhenPluginSettingFalse":"NoColon""#, "skipWhenPluginSettingFalse setting-reference-invalid"),
        (r#""skipWhenPluginSettingFalse":{"plugin":"P"}"#, "skipWhenPluginSettingFalse/setting required"),
        (r#""contextWhenSkipped":[]"#, "contextWhenSkipped wrong-type"),
        (r#""retry":{"attempts":101}"#, "retry/attempts out-of-range"),
        (r#""retry":{"delaySeconds":1}"#, "retry/attempts required"),
        (r#""limits":{"memoryMiB":0}"#, "limits/memoryMiB out-of-range"),
        (r#""limits":{"cpuPercent":"all"}"#, "limits/cpuPercent wrong-type"),
        (r#""limits":5"#, "limits wrong-type"),
        (r#""arguments":["a"]"#, "arguments wrong-type"),
        (r#""arguments":"a\u0000b""#, "arguments nul-character"),
        (r#""arguments":"a \"b""#, "arguments unbalanced-quote"),
    ] {
        check("", task, &[&format!("/tasks/0/{code}")]);
    }
    let good = r#""skipWhenPluginSettingFalse":"P:a.b:c","contextWhenSkipped":{"x":[1]},"retry":{"attempts":2,"delaySeconds":5},"limits":{"tasks":9}"#;
    let task = check("", good, &[]).unwrap().tasks.remove(0);
    assert_eq!(task.skip_when_false.map(|reference| reference.setting).as_deref(), Some("a.b:c"));
    assert_eq!(task.limits.to_string(), "tasks 9");
    assert_eq!((task.retry.unwrap().attempts, task.context_when_skipped["x"][0].clone()), (2, json!(1)));
}

#[test]
fn routes() {
    let tasks = |list: &str, codes: &[&str]| check_document(&format!(r#"{{"id":"j","tasks":[{list}]}}"#), codes);
    let job =
        tasks(r#"{"id":"A","command":"c","onSuccess":"b","onFailure":"END"},{"id":"B","command":"c"}"#, &[]).unwrap();
    assert_eq!(job.tasks[0].on_success, Some(Route::Task(String::from("B"))));
    tasks(
        r#"{"id":"A","command":"c","onSuccess":"x","onFailure":"y"}"#,
        &["/tasks/0/onSuccess route-unknown-task", "/tasks/0/onFailure route-unknown-task"],
    );
    tasks(r#"{"id":"A","command":"c"},{"id":"a","command":"c"}"#, &["/tasks/1/id duplicate-task-id"]);
    tasks(r#"{"id":"Stop","command":"c"}"#, &["/tasks/0/id task-id-invalid"]);
    tasks(r#"{"id":"A","command":"c"},{"id":"B","command":"c","onSuccess":"A"}"#, &["/tasks/1/onSuccess route-circle"]);
    tasks(r#"{"id":"A","command":"c","condition":"x"},{"id":"B","command":"c","onSuccess":"A"}"#, &[]);
    tasks("5", &["/tasks/0 wrong-type"]);
}

#[test]
fn environments() {
    for name in [
        "LD_PRELOAD",
        "ld_library_path",
        "BASH_ENV",
        "ENV",
        "IFS",
        "PYTHONPATH",
        "PSModulePath",
        "DOTNET_STARTUP_HOOKS",
        "PYTHONSTARTUP",
        "PERL5LIB",
        "PERL5OPT",
        "RUBYOPT",
        "NODE_OPTIONS",
        "GCONV_PATH",
        "KEEPER_JOB_ID",
        "KEEPER_X",
        "BASH_FUNC_x%%",
        "A=B",
        "",
        "1A",
        "A B",
        "Ä",
    ] {
        check(
            "",
            &format!("\"environment\":{{\"{name}\":\"x\"}}"),
            &[&format!("/tasks/0/environment/{name} environment-refused")],
        );
    }
    let task = check("", r#""environment":{"PATH":"/bin","n":5,"b":true,"http_proxy":"x","HTTP_PROXY":"y"}"#, &[])
        .unwrap()
        .tasks
        .remove(0);
    assert_eq!(task.environment.len(), 5);
    assert_eq!(task.environment["n"], "5");
    check(
        "",
        r#""environment":{"A":{},"B":"\u0000"}"#,
        &["/tasks/0/environment/A wrong-type", "/tasks/0/environment/B nul-character"],
    );
}

#[test]
fn http_tasks() {
    let http = |members: &str, codes: &[&str]| {
        check_document(&format!(r#"{{"id":"j","tasks":[{{"id":"t","executionType":"HTTP"{members}}}]}}"#), codes)
    };
    let job = http(
        r#","method":"post","url":"{KeeperApiBaseUrl}/api/Jobs/x/run","headers":{"X-A":"b"},"body":{"a":"{B}"},"expectStatus":[200,202]"#,
        &[],
    );
    let request = job.unwrap().tasks.remove(0).http.unwrap();
    assert_eq!(
        (request.method.as_str(), request.expect_status, request.body),
        ("POST", [200, 202].to_vec(), Some(json!({"a": "{B}"})))
    );
    http("", &["/tasks/0/method required", "/tasks/0/url required"]);
    for (members, code) in [
        (r#","method":"TRACE","url":"http://x""#, "/tasks/0/method unknown-value"),
        (r#","method":"GET","url":"ftp://x""#, "/tasks/0/url url-invalid"),
        (r#","method":"GET","url":"http://x y""#, "/tasks/0/url url-invalid"),
        (r#","method":"GET","url":"ftp://x/""#, "/tasks/0/url url-invalid"),
        (r#","method":"GET","url":"http://""#, "/tasks/0/url url-invalid"),
        (r#","method":"GET","url":"https://me:word@x/""#, "/tasks/0/url url-invalid"),
        (r#","method":"GET","url":"https://me@{Host}/""#, "/tasks/0/url url-invalid"),
        (r#","method":"GET","url":"https://x:99999/""#, "/tasks/0/url url-invalid"),
        (
            r#","method":"GET","url":"http://x","headers":{"Transfer-Encoding":"chunked"}"#,
            "/tasks/0/headers/Transfer-Encoding header-invalid",
        ),
        (r#","method":"GET","url":"http://x","headers":{"Host":"y"}"#, "/tasks/0/headers/Host header-invalid"),
        (r#","method":"GET","url":"http://x","headers":{"A b":"y"}"#, "/tasks/0/headers/A b header-invalid"),
        (r#","method":"GET","url":"http://x","headers":{"A":"y\r\nB: z"}"#, "/tasks/0/headers/A header-invalid"),
        (r#","method":"GET","url":"http://x","expectStatus":99"#, "/tasks/0/expectStatus out-of-range"),
    ] {
        http(members, &[code]);
    }
    check("", r#""url":"http://x","method":"GET""#, &["/tasks/0/url http-key-unused"]);
}

#[test]
fn arguments_are_split_as_posix_says() {
    for (text, expect) in [
        ("", Ok(&[][..])),
        ("  a\tb\n c ", Ok(&["a", "b", "c"][..])),
        (r#"--x="a b" 'c "d"' e\ f"#, Ok(&["--x=a b", "c \"d\"", "e f"][..])),
        (r#""" '' x"" "#, Ok(&["", "", "x"][..])),
        (r#""\$\"\\\n" '\n'"#, Ok(&["$\"\\\\n", "\\n"][..])),
        ("#a b#c # d", Ok(&["#a", "b#c", "#", "d"][..])),
        ("$(id) `id` ; | > *", Ok(&["$(id)", "`id`", ";", "|", ">", "*"][..])),
        (r#"{"a":1} '{"a":{"b":1}}'"#, Ok(&["{a:1}", r#"{"a":{"b":1}}"#][..])),
        ("a \"b", Err('"')),
        ("it's", Err('\'')),
        ("a\\", Err('\\')),
        ("\"a\\", Err('"')),
    ] {
        let expect = expect.map(|words| words.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(split(text), expect, "{text}");
        // Comments apart, which shlex drops, both read the same.
        if !text.contains('#') {
            assert_eq!(shlex::split(text), expect.ok(), "{text}");
        }
    }
}

#[test]
fn severities() {
    let findings = JobDefinition::parse(br#"{"id":"j","nmae":"x","eventTopic":"t","tasks":[]}"#, None).unwrap_err();
    let severities: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Error, Severity::Note, Severity::Warning]);
    assert_eq!(findings[1].message, "'nmae' is not a known key here (did you mean 'name'?); it is kept.");
}

/// Each sample with one byte changed, removed, doubled, or cut off: a job or findings, never a panic.
#[test]
fn no_bytes_panic() {
    let odd = [0, b'"', b'{', b'}', b'[', b'\\', b'9', b'-', b',', 0x80, 0xff];
    for sample in [SEED_JOB, ROOT_JOB] {
        for (index, byte) in sample.bytes().enumerate() {
            let (before, after) = (&sample.as_bytes()[..index], &sample.as_bytes()[index + 1..]);
            let replaced = [odd[index % odd.len()], byte ^ 0x20];
            let variants = [&[][..], &[byte, byte], &replaced[..1], &replaced[1..]];
            for variant in variants.map(|middle| [before, middle, after].concat()).into_iter().chain([before.to_vec()])
            {
                match JobDefinition::parse(&variant, Some("secrets-scanner")) {
                    Ok((_, findings)) => assert!(!has_errors(&findings)),
                    Err(findings) => assert!(has_errors(&findings), "{}", String::from_utf8_lossy(&variant)),
                }
            }
        }
    }
}
