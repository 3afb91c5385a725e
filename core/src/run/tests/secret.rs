//! Secret parameters: the process gets the value, nobody else sees it.

use super::*;
use crate::effect::Effect;

const SECRET: &str = r#","parameters":[{"name":"Token","secret":true}]"#;
const VALUE: &str = "s3cr\"et-ü";

/// Everything that left the machine but the process and the broker's own payloads.
fn seen(rig: &Rig) -> String {
    let log = |effect: &Effect| match effect {
        Effect::Log(record) => format!("{record:?}"),
        Effect::Store(order) => format!("{order:?}"),
        _ => String::new(),
    };
    let effects: Vec<String> = rig.effects.iter().map(log).collect();
    format!("{}{:?}{}", effects.join("\n"), rig.run.record(), serde_json::to_string(rig.run.record()).unwrap())
}

#[track_caller]
fn check_hidden(rig: &Rig) {
    let seen = seen(rig);
    assert!(!seen.contains("s3cr") && !seen.contains("et-ü"), "{seen}");
    assert!(seen.contains("***"));
}

#[test]
fn the_process_gets_the_value_and_the_record_does_not() {
    let tasks = r#"{"id":"a","command":"x","arguments":"--token={Token} {Token}"},{"id":"b","command":"y"}"#;
    let mut rig = Rig::new(&job(tasks, SECRET), json!({ "token": VALUE })).begun();
    let given = rig.effects.iter().find_map(|effect| match effect {
        Effect::Process(ProcessOrder::Spawn(request)) => Some(request.arguments.clone()),
        _ => None,
    });
    assert_eq!(given.unwrap(), [format!("--token={VALUE}"), VALUE.to_string()]);
    assert_eq!(rig.run.record().tasks[0].command_line, ["x", "--token=***", "***"]);
    check_hidden(&rig);
    rig.task(1, ExitStatus::Code(0), &format!("it is {VALUE}!\n{}", json!({ "t": VALUE })));
    assert_eq!(rig.run.record().tasks[0].stdout, "it is ***!\n{\"t\":\"***\"}");
    check_hidden(&rig);
    rig.task(2, ExitStatus::Code(1), VALUE);
    rig.act(|run, turn| run.on_discarded(SpawnId(1), turn));
    rig.act(|run, turn| run.on_discarded(SpawnId(2), turn));
    assert_eq!(rig.run.record().context["LastOutput"], "***");
    check_hidden(&rig);
}

#[test]
fn conditions_reasons_warnings_and_built_in_commands_hide_it() {
    let tasks = r#"{"id":"a","command":"x","condition":"Token == \"other\""},{"id":"b","command":"echo","arguments":"{Token}"},
        {"id":"c","command":"log-message","arguments":"--message {Token} --category {Token}"},
        {"id":"d","command":"publish-mqtt","arguments":"--topic {Token}"}"#;
    let rig = Rig::new(&job(tasks, SECRET), json!({ "Token": VALUE })).begun();
    assert_eq!(rig.tasks(), ["a:Skipped", "b:Succeeded", "c:Succeeded", "d:Failed"]);
    check_hidden(&rig);
    let condition = r#","condition":"Token != Token","parameters":[{"name":"Token","secret":true}]"#;
    check_hidden(&Rig::new(&job(tasks, condition), json!({ "Token": VALUE })).begun());
}

#[test]
fn a_secret_that_a_task_brings_and_the_one_it_replaces_are_hidden() {
    let tasks = r#"{"id":"a","command":"x","mergeStdoutJsonIntoContext":true},{"id":"b","command":"echo","arguments":"{Token} s3cr-old"}"#;
    let mut rig = Rig::new(&job(tasks, SECRET), json!({ "Token": "s3cr-old" })).begun();
    rig.task(1, ExitStatus::Code(0), &json!({ "token": VALUE, "copy": [VALUE] }).to_string());
    assert_eq!(rig.run.record().tasks[1].stdout, "*** ***\n");
    rig.act(|run, turn| run.on_discarded(SpawnId(1), turn));
    check_hidden(&rig);
}

#[test]
fn output_that_was_cut_inside_a_secret_shows_no_part_of_it() {
    let mut rig = Rig::new(&job(r#"{"id":"a","command":"x"}"#, SECRET), json!({ "Token": "abcdefgh" })).begun();
    let cut = |head: &str, tail: &str| Captured { head: head.into(), tail: tail.into(), omitted: 9 };
    rig.act(|run, turn| run.on_prepared(SpawnId(1), 100, Ok(Fit::DIRECTLY), turn));
    rig.act(|run, turn| run.on_exited(SpawnId(1), ExitStatus::Code(0), turn));
    rig.act(|run, turn| run.on_collected(SpawnId(1), &cut("1 abc", "gh 2"), &cut("3", "4"), turn));
    let task = &rig.run.record().tasks[0];
    assert_eq!(task.stdout, "1 ***\n… 9 bytes left out …\n*** 2");
    assert_eq!(task.stderr, "3\n… 9 bytes left out …\n4");
}

#[test]
fn what_a_run_starts_hides_its_secrets_too() {
    let tasks = r#"{"id":"a","command":"echo"}"#;
    let rig = Rig::new(&job(tasks, SECRET), json!({ "Token": VALUE })).begun();
    let origin = Origin { trigger: String::from("test"), chain: rig.run.chain(), ..Origin::default() };
    let admitted = Admitted::new(job(tasks, ""), origin, &values(json!({ "copy": VALUE }))).unwrap();
    let (mut desk, mut effects) = (desk(), Effects::new());
    let next = Run::begin(RunId::new(7, 2), admitted, &mut desk.turn(at(0), &mut effects));
    assert_eq!(next.record().context["copy"], "***");
}

#[test]
fn which_texts_are_hidden() {
    for (value, text, expect) in [
        (json!("pass"), "pass compass pas", "*** com*** pas"),
        (json!(12345), "id 12345", "id ***"),
        (json!(true), "true", "true"),
        (json!(""), "text", "text"),
        (json!(null), "text", "text"),
        (json!("line one\nline two\nx"), "see line two, x", "see ***, x"),
        (json!({"key":"inner","n":7}), "inner 7 {\"key\":\"inner\",\"n\":7}", "*** 7 ***"),
        (json!(["one1", "two2"]), "two2one1", "******"),
        (json!("*"), "a*b", "a***b"),
        (json!("abcdefgh"), "a text abcdef… and ab…", "a text ***… and ab…"),
    ] {
        let parameters = r#","parameters":[{"name":"S","type":"TYPE","secret":true}]"#;
        let kind = match &value {
            Value::Bool(_) => "boolean",
            Value::Object(_) => "object",
            Value::Array(_) => "array",
            _ => "string",
        };
        let job = job(r#"{"id":"a","command":"echo"}"#, &parameters.replace("TYPE", kind));
        let rig = Rig::new(&job, json!({ "S": value.clone() }));
        assert_eq!(rig.run.mask(text.to_string()), expect, "{value}");
        assert_eq!(rig.run.record().context["S"], "***");
    }
}
