//! Point 4: what is not declared is not delivered, and the record says which declaration would have allowed it.

use serde_json::{Value, json};

use crate::support::{Agent, Stage, eventually};

fn denial(agent: &Agent<'_>, action: &str, target: &str) -> Value {
    eventually(&format!("the denial of {action} {target}"), || {
        let denials = agent.call("GET", "/api/denials").send().json();
        denials
            .as_array()
            .unwrap()
            .iter()
            .find(|denial| denial["action"] == action && denial["target"] == target)
            .cloned()
    })
}

#[test]
fn an_undeclared_publish_reaches_nobody_and_is_on_record() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("speaker", &["KeeperLogger", "Declared"], &[]));
    stage.job(&stage.puppet_job("listener", &[], &["Declared", "Undeclared"]));
    let agent = stage.start();
    agent.trigger("speaker");
    agent.trigger("listener");
    let (mut speaker, mut listener) = (stage.puppet("speaker"), stage.puppet("listener"));
    listener.connect(agent.mqtt);
    listener.subscribe("Undeclared");
    listener.subscribe("Declared");
    speaker.connect(agent.mqtt);

    speaker.publish("Undeclared", "1");
    let quiet = speaker.order(&json!({ "do": "publish", "topic": "Undeclared", "payload": "2", "qos": 0 }));
    assert_eq!(quiet, json!({}));
    for lookalike in ["KeeperLogger/x", "keeperlogger", "/KeeperLogger", "KeeperLogger/"] {
        speaker.publish(lookalike, "3");
    }
    speaker.publish("Declared", "4");
    assert_eq!(listener.receive(), (String::from("Declared"), String::from("4")), "the denied ones never arrive");
    speaker.log("the connection is still usable");
    agent.logged_message("Test", "the connection is still usable");

    let found = denial(&agent, "publish", "Undeclared");
    assert_eq!(
        found["declaration"],
        json!({ "file": "Jobs/speaker.json", "pointer": "/mqttTopics/allowedPublications/-", "value": "Undeclared" })
    );
    assert_eq!((&found["component"], &found["pid"]), (&json!("job:speaker"), &json!(speaker.pid())));
    assert_eq!(found["clientId"], format!("speaker_Puppet_{}", speaker.pid()));
    assert!(found["fix"].as_str().unwrap().contains("allowedPublications"), "{found}");
    let record = agent.logged_message("Denied", "'Undeclared'");
    assert_eq!((&record["level"], &record["component"]), (&json!("Warning"), &json!("job:speaker")));
    assert!(record["message"].as_str().unwrap().contains("Jobs/speaker.json"), "{record}");
    speaker.exit(0, "");
    listener.exit(0, "");
    agent.stop();
}

#[test]
fn what_the_record_advises_is_enough() {
    let stage = Stage::new();
    let mut job = stage.puppet_job("speaker", &["KeeperLogger"], &["Own"]);
    stage.job(&job);
    let agent = stage.start();
    agent.trigger("speaker");
    let mut speaker = stage.puppet("speaker");
    speaker.connect(agent.mqtt);
    speaker.subscribe("Own");
    speaker.publish("Own", "lost");
    let declaration = denial(&agent, "publish", "Own")["declaration"].clone();

    let list = job.pointer_mut(declaration["pointer"].as_str().unwrap().trim_end_matches("/-")).unwrap();
    list.as_array_mut().unwrap().push(declaration["value"].clone());
    let answer = agent.call("PUT", "/api/Jobs/speaker").json(&job).send();
    assert_eq!(answer.status, 200, "{answer:?}");

    speaker.publish("Own", "delivered");
    assert_eq!(speaker.receive(), (String::from("Own"), String::from("delivered")), "the open connection is enough");
    speaker.exit(0, "");
    agent.stop();
}

#[test]
fn an_undeclared_subscription_is_refused_alone() {
    let stage = Stage::new();
    stage.job(&stage.puppet_job("listener", &["News"], &["News"]));
    let agent = stage.start();
    agent.trigger("listener");
    let mut listener = stage.puppet("listener");
    listener.connect(agent.mqtt);
    for filter in ["#", "+", "$SYS/#", "KeeperLogger", "$share/group/KeeperLogger", "News/#"] {
        assert_eq!(listener.subscribe(filter), "[NotAuthorized]", "{filter}");
    }
    assert_eq!(listener.subscribe("News"), "[Success(AtLeastOnce)]");
    listener.publish("News", "heard");
    assert_eq!(listener.receive(), (String::from("News"), String::from("heard")));
    let found = denial(&agent, "subscribe", "KeeperLogger");
    assert_eq!(found["declaration"]["pointer"], "/mqttTopics/allowedSubscriptions/-");
    assert_eq!(agent.anonymous("GET", "/api/denials").send().status, 403, "the record is for administrators");
    listener.exit(0, "");
    agent.stop();
}
