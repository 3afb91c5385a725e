//! From a task to a process: where its program may be, its arguments, its environment.

use super::*;
use std::boxed::Box;

use crate::effect::{Effect, SpawnRequest, Way};
use crate::event::{ExecutableFacts, Opening};
use crate::limits::{ARGUMENT_BYTES, SUBSTITUTED_BYTES};
use crate::user::{RunAs, UserQuery};

fn request(tasks: &str, members: &str, given: Value) -> SpawnRequest {
    let mut rig = Rig::new(&job(tasks, members), given);
    rig.act(|run, turn| run.on_persisted(TicketId(1), &Ok(()), turn));
    rig.act(|run, turn| run.on_admitted(turn));
    let spawn = rig.effects.iter().find_map(|effect| match effect {
        Effect::Process(ProcessOrder::Spawn(request)) => Some(request.clone()),
        _ => None,
    });
    spawn.unwrap_or_else(|| panic!("nothing was spawned: {:#?}", rig.run.record()))
}

#[test]
fn where_a_program_may_be() {
    let own = request(r#"{"id":"a","command":"tool"}"#, "", json!({}));
    assert_eq!(
        own.program.candidates,
        ["/agent/Jobs/bin/tool/tool", "/bin/tool", "/usr/bin/tool"],
        "a relative folder of PATH is none"
    );
    let given =
        request(r#"{"id":"a","command":"tool","executablePath":"/opt/t","workingDirectory":"/var"}"#, "", json!({}));
    assert_eq!(given.program.candidates, ["/opt/t"]);
    assert_eq!((given.working_directory.as_deref(), own.working_directory), (Some("/var"), None));
}

#[test]
fn interpreters_are_looked_for_on_the_search_path_alone() {
    let script = request(r#"{"id":"a","command":"tool.py"}"#, "", json!({})).program.interpreters;
    assert_eq!(script, ["/bin/python3", "/usr/bin/python3", "/bin/python", "/usr/bin/python"]);
    let typed = request(r#"{"id":"a","command":"tool","scriptType":"PowerShell"}"#, "", json!({}));
    assert_eq!(typed.program.interpreters, ["/bin/pwsh", "/usr/bin/pwsh"]);
    let none = request(r#"{"id":"a","command":"tool.py","scriptType":"None"}"#, "", json!({}));
    assert_eq!(none.program.interpreters, Vec::<String>::new());
}

#[test]
fn the_record_shows_the_interpreter_before_script_and_arguments() {
    let mut rig = Rig::new(&job(r#"{"id":"a","command":"tool.py","arguments":"-v {JobId}"}"#, ""), json!({})).begun();
    let there = |path: &str, opening| ExecutableFacts {
        path: path.into(),
        exists: true,
        executable: true,
        opening,
        ..ExecutableFacts::default()
    };
    let interpreter = Some(Box::new(there("/usr/bin/python3", Opening::Binary)));
    let fit = rig.run.fit(&ExecutableFacts { interpreter, ..there("/agent/tool.py", Opening::Other) });
    rig.act(|run, turn| run.on_prepared(SpawnId(1), 100, fit.map_err(|unfit| unfit.why), turn));
    let released = rig.effects.iter().any(|effect| {
        matches!(effect, Effect::Process(ProcessOrder::Release { way: Way::Interpreted(before), .. }) if before.is_empty())
    });
    assert!(released, "{:?}", rig.effects);
    assert_eq!(rig.run.record().tasks[0].command_line, ["/usr/bin/python3", "/agent/tool.py", "-v", "demo"]);
}

#[test]
fn a_value_never_becomes_two_arguments() {
    let given = json!({"v":"a b\" 'c' ; $(id) {JobId}\n-x","n":5,"o":{"k":[1]},"e":""});
    let spawn =
        request(r#"{"id":"a","command":"t","arguments":"--v={v} '{v}' {n} {o} {e} {nobody} {{x}}"}"#, "", given);
    let v = "a b\" 'c' ; $(id) {JobId}\n-x";
    let expect = [
        format!("--v={v}"),
        v.to_string(),
        "5".into(),
        r#"{"k":[1]}"#.into(),
        String::new(),
        "{nobody}".into(),
        "{x}".into(),
    ];
    assert_eq!(spawn.arguments, expect);
}

#[test]
fn what_is_always_there_wins_over_what_a_trigger_gives() {
    let names = ["KeeperApiBaseUrl", "JobId", "JobName", "RunId", "tmp"];
    let expect = ["https://127.0.0.1:2", "demo", "Demo", "7-1", "/tmp"];
    let arguments: Vec<String> = names.iter().map(|name| format!("{{{name}}}")).collect();
    let given: Map<String, Value> = names.iter().map(|name| (name.to_uppercase(), json!("evil"))).collect();
    let task = format!(r#"{{"id":"a","command":"t","arguments":"{}"}}"#, arguments.join(" "));
    assert_eq!(request(&task, "", Value::Object(given.clone())).arguments, expect);
    let warnings = Rig::new(&job(&task, ""), Value::Object(given)).run.record().warnings.clone();
    assert_eq!(warnings.len(), names.len(), "{warnings:?}");
    // A task's output cannot redirect them either.
    let tasks = format!(r#"{{"id":"m","command":"x","mergeStdoutJsonIntoContext":true}},{task}"#);
    let mut rig = Rig::new(&job(&tasks, ""), json!({})).begun();
    rig.task(1, ExitStatus::Code(0), r#"{"tmp":"/evil","keeperapibaseurl":"https://evil"}"#);
    let line = &rig.run.record().tasks[1].command_line;
    assert_eq!((line[1].as_str(), line[5].as_str()), ("https://127.0.0.1:2", "/tmp"));
}

/// The machine's own, unless the event says whether its user has one.
#[test]
fn a_desktop_is_that_of_the_event() {
    let task = r#"{"id":"a","command":"t","arguments":"{hasdesktop}"}"#;
    assert_eq!(request(task, "", json!({})).arguments, ["false"]);
    assert_eq!(request(task, "", json!({"HasDesktop": true})).arguments, ["true"]);
}

#[test]
fn the_environment_holds_what_is_stated_and_nothing_else() {
    let topics = r#","mqttTopics":{"allowedPublications":["KeeperLogger"],"allowedSubscriptions":[]}"#;
    let pairs = |request: SpawnRequest| -> Vec<String> {
        request.environment.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    };
    let task = r#"{"id":"a","command":"t","environment":{"LANG":"de","lang":"x"}}"#;
    assert_eq!(
        pairs(request(task, topics, json!({}))),
        ["KEEPER_JOB_ID=demo", "KEEPER_JOB_NAME=Demo", "LANG=de", "PATH=/bin:rel:/usr/bin", "lang=x"]
    );
    assert_eq!(pairs(request(r#"{"id":"a","command":"t"}"#, "", json!({}))), ["LANG=C", "PATH=/bin:rel:/usr/bin"]);
}

#[test]
fn arguments_that_cannot_be_passed_fail_the_task() {
    let long = "x".repeat(SUBSTITUTED_BYTES);
    for (arguments, given, word) in [
        ("{v}", json!({"v":"a\u{0}b"}), "NUL"),
        ("{v}{v}", json!({"v": long}), "longer than"),
        (&*["{v}"; ARGUMENT_BYTES / SUBSTITUTED_BYTES + 1].join(" "), json!({"v": long}), "together"),
    ] {
        let task = format!(r#"{{"id":"a","command":"t","arguments":"{arguments}"}}"#);
        let rig = Rig::new(&job(&task, ""), given).begun();
        assert_eq!((rig.tasks().join(""), rig.run.record().status.as_str()), ("a:Failed".to_string(), "Failed"));
        let reason = rig.run.record().tasks[0].reason.clone().unwrap();
        assert!(reason.contains(word), "{reason}");
    }
}

#[test]
fn a_users_task_asks_for_its_user_and_takes_nothing_of_the_agent() {
    for (kind, run_as) in
        [("User", RunAs::User), ("UserDesktop", RunAs::UserDesktop), ("UserElevated", RunAs::UserElevated)]
    {
        let task = format!(r#"{{"id":"a","command":"t","executionType":"{kind}","environment":{{"X":"1"}}}}"#);
        let request = request(&task, "", json!({}));
        assert_eq!(request.user, Some(UserQuery { run_as, session_user: None, session: None, account: None }));
        assert_eq!(request.environment, [("X".to_string(), "1".to_string())]);
        assert_eq!(request.program.candidates[1], "/usr/local/sbin/t", "not on the agent's own path");
    }
    let service = request(r#"{"id":"a","command":"t"}"#, "", json!({}));
    assert_eq!((service.user, service.program.candidates[1].as_str()), (None, "/bin/t"));
}

#[test]
fn a_users_echo_is_a_program_not_the_agents_own_command() {
    let request = request(r#"{"id":"a","command":"echo","executionType":"User"}"#, "", json!({}));
    assert!(request.program.candidates.contains(&"/usr/bin/echo".to_string()));
}

#[test]
fn unknown_tokens_are_warned_of_once() {
    let task = r#"{"id":"a","command":"echo","arguments":"{nobody} {nobody} {other}","onSuccess":"a"}"#;
    let rig = Rig::new(&job(task, ""), json!({})).begun();
    assert_eq!(rig.run.record().warnings.len(), 2, "{:?}", rig.run.record().warnings);
}
