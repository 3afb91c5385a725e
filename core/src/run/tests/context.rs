//! A run's context: parameters, names without regard to case, dotted paths, merging and its bound.

use super::super::context::Context;
use super::*;
use crate::limits::CONTEXT_BYTES;

fn parameters(parameters: &str) -> Vec<crate::job::parameter::Parameter> {
    job(r#"{"id":"a","command":"x"}"#, &format!(r#","parameters":[{parameters}]"#)).parameters.clone()
}

#[test]
fn parameters_have_defaults_types_and_may_be_required() {
    for (parameter, given, expect) in [
        (r#"{"name":"P"}"#, json!({}), Ok(Value::Null)),
        (r#"{"name":"P","defaultValue":"d"}"#, json!({}), Ok(json!("d"))),
        (r#"{"name":"P","default":"d"}"#, json!({}), Ok(json!("d"))),
        (r#"{"name":"P","default":"d"}"#, json!({"p":"given"}), Ok(json!("given"))),
        (r#"{"name":"P","default":"d","required":true}"#, json!({}), Ok(json!("d"))),
        (r#"{"name":"P","default":"d","required":true}"#, json!({"P":null}), Err("required")),
        (r#"{"name":"P","required":true}"#, json!({}), Err("required")),
        (r#"{"name":"P","required":true}"#, json!({"P":""}), Ok(json!(""))),
        (r#"{"name":"P"}"#, json!({"P":5}), Ok(json!(5))),
        (r#"{"name":"P"}"#, json!({"P":[5]}), Err("type")),
        (r#"{"name":"P","type":"number"}"#, json!({"P":1.5}), Ok(json!(1.5))),
        (r#"{"name":"P","type":"number"}"#, json!({"P":"1"}), Err("type")),
        (r#"{"name":"P","type":"integer"}"#, json!({"P":-3}), Ok(json!(-3))),
        (r#"{"name":"P","type":"integer"}"#, json!({"P":3.0}), Ok(json!(3.0))),
        (r#"{"name":"P","type":"integer","default":3.0}"#, json!({}), Ok(json!(3.0))),
        (r#"{"name":"P","type":"integer"}"#, json!({"P":1.5}), Err("type")),
        (r#"{"name":"P","type":"boolean"}"#, json!({"P":false}), Ok(json!(false))),
        (r#"{"name":"P","type":"boolean"}"#, json!({"P":"false"}), Err("type")),
        (r#"{"name":"P","type":"object"}"#, json!({"P":{"q":1}}), Ok(json!({"q":1}))),
        (r#"{"name":"P","type":"object"}"#, json!({"P":[]}), Err("type")),
        (r#"{"name":"P","type":"array"}"#, json!({"P":[]}), Ok(json!([]))),
        (r#"{"name":"P","type":"array"}"#, json!({"P":{}}), Err("type")),
        (r#"{"name":"P","type":"array"}"#, json!({"P":null}), Ok(Value::Null)),
    ] {
        let context = Context::new(&values(given.clone()), &parameters(parameter));
        match (context, expect) {
            (Ok(context), Ok(value)) => {
                assert_eq!(context.lookup("P").cloned().unwrap_or_default(), value, "{parameter} {given}")
            }
            (Err(invalid), Err(word)) => {
                assert!(invalid.message.contains(word) && invalid.message.contains("'P'"), "{invalid:?}");
                assert_eq!(invalid.name, "P");
            }
            (context, expect) => panic!("{parameter} {given}: {context:?}, not {expect:?}"),
        }
    }
}

#[test]
fn names_are_read_without_regard_to_case_and_dots_reach_inside() {
    let given = json!({"User":{"Name":{"First":"A"},"list":[1]}, "User.Name.Last":"B", "x":null});
    let context = Context::new(&values(given), &[]).unwrap();
    for (name, expect) in [
        ("user", json!({"Name":{"First":"A"},"list":[1]})),
        ("USER.name.FIRST", json!("A")),
        ("user.name.last", json!("B")),
        ("x", Value::Null),
    ] {
        assert_eq!(context.lookup(name), Some(&expect), "{name}");
    }
    for name in ["", ".", "user.", "user..name", "user.list.0", "user.name.first.z", "nobody", "x.y"] {
        assert_eq!(context.lookup(name), None, "{name}");
    }
}

#[test]
fn names_that_differ_by_case_are_one_value() {
    let mut context = Context::new(&values(json!({"Path":"a"})), &[]).unwrap();
    context.set("PATH", json!("b"));
    context.merge(&values(json!({"path":"c","new":1}))).unwrap();
    assert_eq!(serde_json::to_string(context.values()).unwrap(), r#"{"Path":"c","new":1}"#);
}

#[test]
fn a_merge_beyond_the_bound_changes_nothing() {
    let mut context = Context::new(&values(json!({"a":1})), &[]).unwrap();
    let empty = serde_json::to_string(&json!({"a":1,"big":""})).unwrap().len();
    let fits = "x".repeat(CONTEXT_BYTES - empty);
    let error = context.merge(&values(json!({"a":2,"big":format!("{fits}x")}))).unwrap_err();
    assert!(error.contains(&CONTEXT_BYTES.to_string()), "{error}");
    assert_eq!(context.lookup("a"), Some(&json!(1)), "refused as a whole");
    context.merge(&values(json!({"a":2,"big":fits}))).unwrap();
    assert_eq!(context.lookup("a"), Some(&json!(2)));
}

#[test]
fn only_an_output_that_is_one_object_as_a_whole_is_merged() {
    let tasks = r#"{"id":"a","command":"x","mergeStdoutJsonIntoContext":true},{"id":"b","command":"x"}"#;
    for (stdout, merged) in [
        ("  {\"found\":3}\n", Some(json!(3))),
        ("{\"found\":3} tail", None),
        ("log\n{\"found\":3}", None),
        ("[{\"found\":3}]", None),
        ("{\"found\":3,\"FOUND\":4}", None),
        ("", None),
    ] {
        let mut rig = Rig::new(&job(tasks, ""), json!({})).begun();
        rig.task(1, ExitStatus::Code(0), stdout);
        assert_eq!(rig.value("Found"), merged, "{stdout}");
        assert_eq!(rig.run.record().warnings.len(), usize::from(merged.is_none()), "{:?}", rig.run.record().warnings);
        assert_eq!(rig.tasks(), ["a:Succeeded", "b:Running"], "the run goes on either way");
    }
}

#[test]
fn results_of_tasks_are_the_agents_own_word() {
    let tasks = r#"{"id":"a","command":"x","mergeStdoutJsonIntoContext":true,"continueOnFailure":true},{"id":"b","command":"x"}"#;
    let given = json!({"LastExitCode":0,"lastOutput":"forged","A.exitcode":0});
    let mut rig = Rig::new(&job(tasks, ""), given).begun();
    for name in ["LastExitCode", "LastOutput", "a.ExitCode"] {
        assert_eq!(rig.value(name), None, "{name}: no task has ended, whatever the trigger says");
    }
    assert_eq!(rig.run.record().warnings.len(), 3, "{:?}", rig.run.record().warnings);
    let stdout = r#"{"LastExitCode":0,"a.ExitCode":0,"b.ExitCode":0,"LastOutput":"forged"}"#;
    rig.task(1, ExitStatus::Code(3), stdout);
    assert_eq!(rig.value("lastexitcode"), Some(json!(3)));
    assert_eq!(rig.value("A.EXITCODE"), Some(json!(3)));
    assert_eq!(rig.value("b.ExitCode"), None);
    assert_eq!(rig.value("LastOutput"), Some(json!(stdout)));
    rig.task(2, ExitStatus::Signal(9), "");
    assert_eq!(rig.value("b.ExitCode"), Some(json!(137)), "as shells say it");
    for spawn in [1, 2] {
        rig.act(|run, turn| run.on_discarded(SpawnId(spawn), turn));
    }
    let shown = json!({"A.exitcode":3,"LastExitCode":137,"b.ExitCode":137,"lastOutput":""});
    assert_eq!(Value::from(rig.run.record().context.clone()), shown, "each name once, spelled as it was given");
}

#[test]
fn values_of_secret_parameters_are_masked_on_record() {
    let job = job(r#"{"id":"a","command":"x"}"#, r#","parameters":[{"name":"Token","secret":true}]"#);
    let rig = Rig::new(&job, json!({"TOKEN":"hunter2","open":"yes"}));
    let record = serde_json::to_string(rig.run.record()).unwrap();
    assert!(!record.contains("hunter2") && record.contains("***") && record.contains("yes"), "{record}");
}
