//! Which task comes next: every route, every end, skipped tasks in list order.

use super::*;

/// Drives a job whose processes end as told (`t` = timed out), in the order they start; tasks as they went, and the outcome.
#[track_caller]
fn check(tasks: &str, members: &str, ends: &[&str], expect: &str, outcome: &str) {
    let mut rig = Rig::new(&job(tasks, members), json!({})).begun();
    for (index, end) in ends.iter().enumerate() {
        let spawn = SpawnId(index as u64 + 1);
        assert!(rig.run.awaits(spawn), "task {index} did not start: {:?}", rig.tasks());
        rig.act(|run, turn| run.on_prepared(spawn, 100, Ok(Fit::DIRECTLY), turn));
        rig.act(|run, turn| run.on_started(spawn, turn));
        if *end == "t" {
            rig.now += 10_000_000;
            assert_eq!(rig.act(|run, turn| run.on_deadline(turn)), [format!("Terminate {spawn}")]);
        }
        let status = end.parse().map_or(ExitStatus::Signal(15), ExitStatus::Code);
        rig.act(|run, turn| run.on_exited(spawn, status, turn));
        rig.act(|run, turn| run.on_collected(spawn, &Captured::default(), &Captured::default(), turn));
    }
    assert_eq!(rig.tasks().join(" "), expect, "{tasks}");
    assert_eq!(rig.run.record().status, outcome, "{:?}", rig.run.record().reason);
    assert!(rig.run.record().reason.as_ref().is_none_or(|reason| !reason.is_empty()));
}

#[test]
fn routes() {
    let two = r#"{"id":"a","command":"x"},{"id":"b","command":"x"}"#;
    check(two, "", &["0", "0"], "a:Succeeded b:Succeeded", "Succeeded");
    check(two, "", &["3"], "a:Failed", "Failed");
    check(two, "", &["0", "s"], "a:Succeeded b:Failed", "Failed");
    check(two, "", &["t"], "a:TimedOut", "TimedOut");
    let on = |members: &str| {
        format!(r#"{{"id":"a","command":"x",{members}}},{{"id":"b","command":"x"}},{{"id":"c","command":"x"}}"#)
    };
    for (members, ends, expect, outcome) in [
        (r#""onSuccess":"c""#, &["0", "0"][..], "a:Succeeded c:Succeeded", "Succeeded"),
        (r#""onSuccess":"stop""#, &["0"], "a:Succeeded", "Succeeded"),
        (r#""onSuccess":"end""#, &["0"], "a:Succeeded", "Succeeded"),
        (r#""onSuccess":"stop""#, &["1"], "a:Failed", "Failed"),
        (r#""onFailure":"c""#, &["1", "0"], "a:Failed c:Succeeded", "Succeeded"),
        (r#""onFailure":"c""#, &["t", "0"], "a:TimedOut c:Succeeded", "Succeeded"),
        (r#""onFailure":"stop""#, &["1"], "a:Failed", "Failed"),
        (r#""onFailure":"stop","continueOnFailure":true"#, &["1"], "a:Failed", "Failed"),
        (r#""onFailure":"c","continueOnFailure":true"#, &["1", "0"], "a:Failed c:Succeeded", "Succeeded"),
        (r#""continueOnFailure":true"#, &["1", "0", "0"], "a:Failed b:Succeeded c:Succeeded", "Succeeded"),
        (r#""continueOnFailure":true"#, &["t", "0", "0"], "a:TimedOut b:Succeeded c:Succeeded", "Succeeded"),
    ] {
        check(&on(members), "", ends, expect, outcome);
    }
}

#[test]
fn skipped_tasks_lead_to_the_next_in_list_order() {
    let middle = |members: &str| {
        format!(
            r#"{{"id":"a","command":"x"}},{{"id":"b","command":"x","onSuccess":"stop","onFailure":"a",{members}}},{{"id":"c","command":"x"}}"#
        )
    };
    for skip in [
        r#""condition":"missing == 1""#,
        r#""osFilter":{"windows":true}"#,
        r#""skipWhenPluginSettingFalse":"P:on""#,
        r#""skipWhenPluginSettingFalse":{"plugin":"P","setting":"on"}"#,
    ] {
        check(&middle(skip), "", &["0", "0"], "a:Succeeded b:Skipped c:Succeeded", "Succeeded");
    }
    check(&middle(r#""condition":"LastExitCode == 0""#), "", &["0", "0"], "a:Succeeded b:Succeeded", "Succeeded");
    check(r#"{"id":"a","command":"x","condition":"no"}"#, "", &[], "a:Skipped", "Succeeded");
}

#[test]
fn a_plugin_setting_switches_a_task_off_and_its_context_takes_its_place() {
    let tasks = r#"{"id":"a","command":"x","skipWhenPluginSettingFalse":"Bridge:scan.on","contextWhenSkipped":{"findings":7}},
        {"id":"b","command":"echo","arguments":"{findings}"}"#;
    for (setting, expect) in [("TRUE", "a:Running"), ("yes", "a:Skipped b:Succeeded"), ("", "a:Skipped b:Succeeded")] {
        let mut desk = desk();
        let settings = [("Scan.On".to_string(), setting.to_string())];
        desk.plugin_settings.insert("bridge", settings.into_iter().collect(), vec![]);
        let rig = Rig::on(desk, &job(tasks, ""), json!({})).begun();
        assert_eq!(rig.tasks().join(" "), expect);
        if expect.contains("Skipped") {
            assert_eq!(rig.run.record().tasks[1].stdout, "7\n");
        }
    }
}

#[test]
fn the_jobs_own_condition() {
    let rig =
        Rig::new(&job(r#"{"id":"a","command":"x"}"#, r#","condition":"go == true""#), json!({"go": false})).begun();
    assert_eq!((rig.run.record().status.as_str(), rig.tasks().len()), ("Skipped", 0));
    assert!(rig.run.record().reason.as_ref().unwrap().contains("go = false == true"), "{:?}", rig.run.record().reason);
    check(r#"{"id":"a","command":"x"}"#, r#","condition":"exists JobId""#, &["0"], "a:Succeeded", "Succeeded");
}

#[test]
fn a_loop_of_tasks_ends() {
    let endless = r#"{"id":"a","command":"echo","arguments":"{LastOutput}x","onSuccess":"a"}"#;
    let rig = Rig::new(&job(endless, ""), json!({})).begun();
    assert_eq!(
        (rig.run.record().status.as_str(), rig.tasks().len()),
        ("Failed", crate::limits::TASKS_PER_RUN as usize)
    );
    // Skipped tasks cost too.
    let skipped: String =
        (0..998).map(|index| format!(r#"{{"id":"s{index}","command":"x","condition":"no"}},"#)).collect();
    let tasks = format!(r#"{skipped}{{"id":"last","command":"echo","onSuccess":"s0"}}"#);
    let rig = Rig::new(&job(&tasks, ""), json!({})).begun();
    assert_eq!((rig.run.record().status.as_str(), rig.tasks().len()), ("Failed", crate::limits::TASK_RECORDS));
}
