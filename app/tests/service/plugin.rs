//! Point 6: a plugin is started, connects, answers, comes back after a crash, and obeys the administrator.

use std::os::unix::fs::PermissionsExt;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{
    Agent, Puppet, Stage, accepted, deploy, eventually, has_cgroups, lives, processes_naming, skipped,
};

/// Waits until the plugin is shown like this.
#[track_caller]
fn shown(agent: &Agent<'_>, id: &str, status: &str, health: &str) -> Value {
    eventually(&format!("plugin {id} {status} and {health}"), || {
        let plugin = agent.call("GET", &format!("/api/plugins/{id}")).send().json();
        (plugin["status"] == status && plugin["health"] == health).then_some(plugin)
    })
}

#[track_caller]
fn act(agent: &Agent<'_>, id: &str, action: &str) -> Value {
    let answer = agent.call("POST", &format!("/api/plugins/{id}/{action}")).send();
    assert_eq!(answer.status, 200, "{action}: {answer:?}");
    answer.json()
}

#[test]
fn a_plugin_answers_and_comes_back_after_a_crash() {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &["KeeperLogger", "Bridge/Responses/+"], &["Bridge/Commands/+"]));
    stage.job(&stage.puppet_job("caller", &["Bridge", "Bridge/Commands/+"], &["Bridge/Responses/+"]));
    let agent = stage.start();
    let mut first = stage.puppet("Bridge");
    let keeper = first.environment().keys().filter(|name| name.starts_with("KEEPER_")).count();
    assert_eq!(keeper, 0, "a plugin knows its own identity");
    let (status, own) = first.get("/api/PluginSettings/Bridge");
    assert_eq!(status, 200);
    assert_eq!(serde_json::from_str::<Value>(&own).unwrap()["metadata.greeting"], "hello");
    assert_eq!(shown(&agent, "Bridge", "Running", "Starting")["processId"], first.pid());
    first.connect_plugin(agent.mqtt);
    first.subscribe("Bridge/Commands/+");
    first.log("hello from the plugin");
    assert_eq!(agent.logged_message("Test", "hello from the plugin")["component"], "plugin:Bridge");
    let plugin = shown(&agent, "Bridge", "Running", "Healthy");
    assert_eq!((&plugin["processId"], &plugin["restarts"]), (&json!(first.pid()), &json!(0)));

    agent.trigger("caller");
    let mut caller = stage.puppet("caller");
    caller.connect(agent.mqtt);
    caller.subscribe("Bridge/Responses/ping");
    caller.publish("Bridge", "by the primary subscription");
    assert_eq!(first.receive().1, "by the primary subscription");
    caller.publish("Bridge/Commands/ping", "1");
    assert_eq!(first.receive(), (String::from("Bridge/Commands/ping"), String::from("1")));
    first.publish("Bridge/Responses/ping", "1");
    assert_eq!(caller.receive(), (String::from("Bridge/Responses/ping"), String::from("1")));

    let crashed = first.pid();
    first.exit(3, "");
    let mut second = stage.puppet("Bridge");
    assert_ne!(second.pid(), crashed);
    second.connect_plugin(agent.mqtt);
    second.subscribe("Bridge/Commands/+");
    let plugin = shown(&agent, "Bridge", "Running", "Healthy");
    assert_eq!((&plugin["processId"], &plugin["restarts"]), (&json!(second.pid()), &json!(1)));
    agent.logged_message("PluginEnded", "it exited with code 3");
    caller.publish("Bridge/Commands/ping", "2");
    assert_eq!(second.receive().1, "2");
    second.publish("Bridge/Responses/ping", "2");
    assert_eq!(caller.receive().1, "2");
    caller.exit(0, "");
    agent.stop();
}

#[test]
fn an_administrator_stops_starts_and_restarts_a_plugin() {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &[]));
    let agent = stage.start();
    let mut first = stage.puppet("Bridge");
    shown(&agent, "Bridge", "Running", "Starting");
    act(&agent, "Bridge", "stop");
    first.expect_gone();
    let stopped = shown(&agent, "Bridge", "Stopped", "Unhealthy");
    assert_eq!((&stopped["processId"], &stopped["restarts"]), (&Value::Null, &json!(0)), "{stopped}");

    act(&agent, "Bridge", "start");
    let mut second = stage.puppet("Bridge");
    second.connect_plugin(agent.mqtt);
    assert_eq!(shown(&agent, "Bridge", "Running", "Healthy")["processId"], second.pid());

    act(&agent, "Bridge", "restart");
    second.expect_gone();
    let third = stage.puppet("Bridge");
    assert!(!lives(second.pid()) && lives(third.pid()));
    shown(&agent, "Bridge", "Running", "Starting");

    assert_eq!(agent.call("POST", "/api/plugins/Nobody/start").send().status, 404);
    assert_eq!(agent.anonymous("POST", "/api/plugins/Bridge/stop").send().status, 403);
    assert!(lives(third.pid()));
    agent.stop();
}

#[test]
fn a_plugin_that_keeps_exiting_has_failed_until_somebody_starts_it() {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &[]));
    let agent = stage.start();
    for _ in 0..5 {
        stage.puppet("Bridge").exit(1, "");
    }
    let failed = shown(&agent, "Bridge", "Failed", "Failed");
    assert_eq!((&failed["restarts"], &failed["processId"]), (&json!(4), &Value::Null), "{failed}");
    assert!(!failed["reason"].as_str().unwrap().is_empty(), "{failed}");
    act(&agent, "Bridge", "start");
    let mut healed = stage.puppet("Bridge");
    healed.connect_plugin(agent.mqtt);
    shown(&agent, "Bridge", "Running", "Healthy");
    agent.stop();
}

#[test]
fn another_plugins_settings_and_topics_are_not_its_own() {
    let stage = Stage::new();
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &[]));
    let mut other = stage.puppet_plugin("Other", &[], &[]);
    other["autoStart"] = json!(false);
    stage.plugin(&other);
    let agent = stage.start();
    let mut bridge = stage.puppet("Bridge");
    assert_eq!(bridge.get("/api/PluginSettings/KeeperPrivilegeManager").0, 200);
    assert_eq!(bridge.get("/api/PluginSettings/Other").0, 403);
    let (status, greeting) = bridge.get("/api/PluginSettings/Bridge/metadata.greeting");
    assert_eq!((status, serde_json::from_str::<Value>(&greeting).unwrap_or(json!(greeting))), (200, json!("hello")));
    let other = bridge.connect_as(agent.mqtt, &format!("Other_{}", bridge.pid()));
    assert_eq!(other, json!({ "event": "refused", "code": "ClientIdentifierNotValid" }));
    bridge.connect_plugin(agent.mqtt);
    assert_eq!(bridge.subscribe("Bridge"), "[Success(AtLeastOnce)]", "its primary topic needs no declaration");
    assert_eq!(bridge.subscribe("Other"), "[NotAuthorized]");
    agent.stop();
}

#[test]
fn commands_sent_while_a_plugin_restarts_reach_its_next_process_once_and_in_order() {
    let stage = Stage::new();
    let mut bridge = stage.puppet_plugin("Bridge", &[], &[]);
    bridge["Subscription"]["CleanSession"] = json!(false);
    stage.plugin(&bridge);
    stage.job(&stage.puppet_job("caller", &["Bridge"], &[]));
    let agent = stage.start();
    // As most libraries connect unless they are told otherwise: MQTT 3.1.1 with Clean Session 1.
    let connect = |puppet: &mut Puppet| {
        let id = format!("Bridge_{}", puppet.pid());
        assert_eq!(puppet.connect_v4_as(agent.mqtt, &id), accepted());
    };
    let mut first = stage.puppet("Bridge");
    connect(&mut first);
    agent.trigger("caller");
    let mut caller = stage.puppet("caller");
    caller.connect(agent.mqtt);
    let mut command = |payload: &str| {
        let answer = caller.order(&json!({ "do": "publish", "topic": "Bridge", "payload": payload, "qos": 2 }));
        assert_eq!(answer["event"], "pubcomp", "{answer}");
    };
    command("before");
    assert_eq!(first.receive().1, "before", "the agent subscribed for it");
    first.exit(1, "");
    let commands: Vec<String> = (0..100).map(|number| number.to_string()).collect();
    commands.iter().for_each(|payload| command(payload));
    let mut second = stage.puppet("Bridge");
    connect(&mut second);
    command("last");
    let received: Vec<String> = (0..=100).map(|_| second.receive().1).collect();
    assert_eq!((&received[..100], received[100].as_str()), (&commands[..], "last"));
    agent.stop();
}

#[test]
fn a_plugin_that_is_connected_and_silent_is_restarted_and_one_that_answers_is_not() {
    let stage = Stage::new();
    let mut bridge = stage.puppet_plugin("Bridge", &[], &[]);
    bridge["healthCheck"] = json!({ "topic": "Bridge/Health", "intervalSeconds": 1, "timeoutSeconds": 2 });
    stage.plugin(&bridge);
    let mut second = stage.puppet_plugin("Second", &[], &[]);
    second["requires"] = json!(["Bridge"]);
    second["startupPriority"] = json!(1);
    stage.plugin(&second);
    let agent = stage.start();
    let mut first = stage.puppet("Bridge");
    let waiting = shown(&agent, "Second", "Stopped", "Unhealthy");
    assert!(waiting["reason"].as_str().unwrap().contains("it requires plugin Bridge, and waits"), "{waiting}");
    first.connect_plugin(agent.mqtt);
    assert_eq!(first.subscribe("Bridge/Health"), "[Success(AtLeastOnce)]", "its lists need not say so");
    let mut second = stage.puppet("Second");
    second.connect_plugin(agent.mqtt);
    for _ in 0..2 {
        let (topic, ping) = first.receive();
        assert_eq!(topic, "Bridge/Health");
        // Another's answer does not count, and is on record.
        second.publish("PluginHealth", &ping);
        first.publish("PluginHealth", &ping);
    }
    first.expect_gone();
    agent.logged_message("PluginHangs", "it did not answer a ping on 'Bridge/Health' within 2 s");
    let replaced = stage.puppet("Bridge");
    assert_ne!(replaced.pid(), first.pid());
    let reason = shown(&agent, "Bridge", "Running", "Starting")["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("restart after it hangs"), "{reason}");
    shown(&agent, "Second", "Running", "Healthy");
    agent.stop();
}

/// How many processes of this plugin there are.
fn processes_of(stage: &Stage, id: &str) -> usize {
    processes_naming(&stage.root().join(format!("Plugins/bin/{id}")).display().to_string()).len()
}

fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

#[test]
fn a_plugin_that_ignores_its_stop_and_forked_away_is_gone_with_all_of_it_before_the_next() {
    let stage = Stage::new();
    let mut plugin = stage.puppet_plugin("Bridge", &[], &[]);
    plugin["executablePath"] = json!("bin/Bridge/stubborn");
    stage.plugin(&plugin);
    // What is ignored stays ignored by what is executed. The child is nobody's: forked twice, in a session of its own.
    let script = stage.root().join("Plugins/bin/Bridge/stubborn");
    let text = "#!/bin/sh\ntrap '' TERM\nprogram=$(dirname \"$0\")/Bridge\n\
        (setsid \"$program\" \"$1\" \"$2\" \"$3\" Child &)\nexec \"$program\" \"$@\"\n";
    deploy(|| std::fs::write(&script, text)).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    let agent = stage.start();
    if !has_cgroups(&agent) {
        skipped("a process that left its session, which only a cgroup holds");
        return agent.stop();
    }
    let (mut first, mut child) = (stage.puppet("Bridge"), stage.puppet("Child"));
    act(&agent, "Bridge", "restart");
    first.expect_gone();
    child.expect_gone();
    let (second, _its_child) = (stage.puppet("Bridge"), stage.puppet("Child"));
    assert!(!lives(first.pid()) && !lives(child.pid()));
    assert_eq!(processes_of(&stage, "Bridge"), 2, "the new one and its child");
    assert_eq!(shown(&agent, "Bridge", "Running", "Starting")["processId"], second.pid());
    agent.stop();
}

#[test]
fn a_plugin_that_is_killed_at_any_stage_of_its_start_is_replaced_by_one_process_and_the_reason_is_said() {
    let stage = Stage::new();
    stage.settings(json!({ "PluginMonitoring": { "RestartDelaySeconds": 0 } }));
    stage.plugin(&stage.puppet_plugin("Bridge", &[], &[]));
    let agent = stage.start();
    let replaced = |killed: u32, restarts: u64, why: &str| {
        let next = stage.puppet("Bridge");
        let shown = shown(&agent, "Bridge", "Running", "Starting");
        assert_eq!((&shown["processId"], &shown["restarts"]), (&json!(next.pid()), &json!(restarts)));
        let reason = shown["reason"].as_str().unwrap();
        assert!(reason.contains(why), "{reason}");
        assert!(!lives(killed));
        assert_eq!(processes_of(&stage, "Bridge"), 1);
        next
    };
    // Its first instructions are behind it.
    let first = stage.puppet("Bridge");
    send(first.pid(), Signal::KILL);
    // Connected.
    let mut second = replaced(first.pid(), 1, "signal 9 ended it");
    second.connect_plugin(agent.mqtt);
    shown(&agent, "Bridge", "Running", "Healthy");
    send(second.pid(), Signal::KILL);
    let mut third = replaced(second.pid(), 2, "signal 9 ended it");
    act(&agent, "Bridge", "stop");
    third.expect_gone();

    // Released, and not the program yet: the launchers that wait for the next starts are held up.
    let launchers = || processes_naming("launch-task").into_iter().map(|(pid, _)| pid);
    let of_agent = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        parent == Some(agent.pid())
    };
    let two_that_wait = || {
        eventually("two launchers that wait", || {
            let found: Vec<u32> = launchers().filter(of_agent).collect();
            (found.len() == 2).then_some(found)
        })
    };
    let waiting = two_that_wait();
    waiting.iter().for_each(|pid| send(*pid, Signal::STOP));
    act(&agent, "Bridge", "start");
    let released = eventually("a launcher that was released", || {
        let plugin = agent.call("GET", "/api/plugins/Bridge").send().json();
        plugin["processId"].as_u64().map(|pid| u32::try_from(pid).unwrap())
    });
    assert!(waiting.contains(&released));
    send(released, Signal::KILL);
    waiting.iter().filter(|pid| **pid != released).for_each(|pid| send(*pid, Signal::CONT));
    let mut fourth = replaced(released, 3, "The launcher ended before it could execute the program");

    // Before anybody asked for them.
    act(&agent, "Bridge", "stop");
    fourth.expect_gone();
    let waiting = two_that_wait();
    waiting.iter().for_each(|pid| send(*pid, Signal::KILL));
    act(&agent, "Bridge", "start");
    let fifth = stage.puppet("Bridge");
    assert_eq!(shown(&agent, "Bridge", "Running", "Starting")["processId"], fifth.pid());
    assert_eq!(processes_of(&stage, "Bridge"), 1);
    agent.stop();
}

/// A plugin that is a shell script.
fn scripted(stage: &Stage, id: &str, text: &str) -> Value {
    let script = stage.root().join(format!("Plugins/bin/{id}/{id}"));
    std::fs::create_dir_all(script.parent().unwrap()).unwrap();
    deploy(|| std::fs::write(&script, text)).unwrap();
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    json!({ "id": id, "pluginType": "Executable", "executablePath": format!("bin/{id}/{id}"), "supportedPlatforms": ["Linux"],
        "Subscription": { "Topic": id }, "metadata": { "mqttTopics": { "publish": [], "subscribe": [] } }, "autoStart": true })
}

#[test]
fn fifty_plugins_of_one_priority_run_without_waiting_for_each_other() {
    let stage = Stage::new();
    for number in 0..50 {
        // None of them ever connects: one after the other they would take 250 s.
        stage.plugin(&scripted(&stage, &format!("p{number:02}"), "#!/bin/sh\nexec sleep 1000\n"));
    }
    let agent = stage.start();
    eventually("fifty running plugins", || {
        let status = agent.call("GET", "/api/system/status").send().json();
        (status["pluginsRunning"] == 50).then_some(())
    });
    let started = agent.log().into_iter().filter(|record| record["category"] == "PluginStarting");
    let order: Vec<String> = started.map(|record| record["component"].as_str().unwrap().to_owned()).collect();
    assert!(order.len() == 50 && order.is_sorted(), "ties go by id: {order:?}");
    agent.stop();
}

#[test]
fn a_plugin_beyond_its_memory_says_so_or_the_agent_says_that_it_cannot_be_limited() {
    let stage = Stage::new();
    let mut plugin = scripted(&stage, "Eater", "#!/bin/sh\nexec tail /dev/zero\n");
    plugin["limits"] = json!({ "memoryMiB": 16 });
    plugin["autoStart"] = json!(false);
    stage.plugin(&plugin);
    let agent = stage.start();
    let containment = agent.logged("what holds trees together", |record| record["category"] == "Containment");
    if !containment["message"].as_str().unwrap().contains("All limits of tasks and plugins are kept.") {
        agent.logged_message("LimitNotKept", "plugin:Eater: at /limits, this machine does not keep memoryMiB 16");
        skipped("a plugin that is killed for want of memory, which needs the controllers of cgroup v2");
        return agent.stop();
    }
    act(&agent, "Eater", "start");
    let ended = shown(&agent, "Eater", "Stopped", "Unhealthy");
    let reason = ended["reason"].as_str().unwrap();
    assert!(reason.contains("it ran out of memory") && reason.contains("limits.memoryMiB (16)"), "{reason}");
    agent.stop();
}
