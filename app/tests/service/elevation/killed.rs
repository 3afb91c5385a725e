//! The agent killed in the middle of a request: whoever waits is told, the program ran once or never, and nothing goes on by itself.

use std::process::Child;

use rustix::process::{Signal, kill_process};

use super::full_disk::audited;
use super::scene::{LAUNCH, Scene, keeper_policy, recorded, told};
use super::silent::SilentDisk;
use super::{NOBODY, asked, elevate, id_of, newest, runs};
use crate::elevate::terminal::User;
use crate::support::{Agent, eventually};

/// Kills the agent; whoever waits is told, the request is shown as this after the restart, and its program has run so often.
#[track_caller]
fn kill(scene: &Scene, agent: Agent<'_>, mut child: Child, request: &str, after: (&str, usize)) {
    agent.kill();
    eventually("the end of castellan elevate", || child.try_wait().unwrap());
    restart(scene, request, after);
    // What the program left had his streams until the next start ended it.
    let (code, _, said) = told(child);
    let became = if after.1 == 0 { "nothing was launched" } else { "stands in the agent's audit" };
    assert!(code == 5 && said.contains("the agent was lost") && said.contains(became), "{code} {said}");
}

#[track_caller]
fn restart(scene: &Scene, request: &str, (status, marks): (&str, usize)) {
    let agent = scene.start();
    scene.is_well(&agent, request, status);
    assert_eq!(scene.marked(), marks);
    agent.stop();
}

/// Nothing of a request that nobody has decided about is kept: it was never more than a question, and the audit has no more of it.
#[track_caller]
fn kill_undecided(scene: &Scene, agent: Agent<'_>, child: Child, request: &str) {
    agent.kill();
    let (code, _, said) = told(child);
    assert!(code == 5 && said.contains("the agent was lost") && said.contains("nothing was launched"), "{code} {said}");
    let agent = scene.start();
    assert_eq!(agent.call("GET", &format!("/api/elevation/{request}")).send().status, 404);
    let launch = agent.call("POST", &format!("/api/elevation/{request}/launch")).send();
    assert_eq!(launch.status, 404, "{launch:?}");
    let entries = audited(scene, request);
    assert!(entries.iter().all(|entry| entry.contains(r#""kind":"request""#)), "{entries:?}");
    runs(asked(&scene.stage, NOBODY, &[]));
    assert_eq!((scene.marked(), scene.programs()), (0, Vec::new()));
    agent.stop();
}

#[test]
fn while_its_program_is_looked_for() {
    let Some(scene) = Scene::new() else { return };
    let Some(disk) = SilentDisk::at(scene.stage.folder().join("silent")) else { return };
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    let child = disk.ask(&scene);
    let request = id_of(&newest(&agent, "Requested"));
    kill_undecided(&scene, agent, child, &request);
}

#[test]
fn while_policies_decide() {
    let Some(scene) = Scene::new() else { return };
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    kill_process(keeper_policy(&agent), Signal::STOP).unwrap();
    let child = scene.ask("true");
    let request = id_of(&newest(&agent, "Evaluating"));
    kill_undecided(&scene, agent, child, &request);
}

#[test]
fn while_controls_are_outstanding() {
    let Some(scene) = Scene::new() else { return };
    let agent = scene.start();
    scene.requires(&["APPROVAL"]);
    let child = scene.ask("true");
    let request = recorded(&agent, "AwaitingControls");
    kill(&scene, agent, child, &request, ("Expired", 0));

    for (control, question) in [("JUSTIFY", "Reason for running"), ("MFA", "Code of your authenticator")] {
        let agent = scene.start();
        if control == "MFA" {
            assert_eq!(agent.call("POST", "/api/mfa/nobody").send().status / 100, 2);
        }
        scene.requires(&[control]);
        let words = scene.words("true");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut user = User::runs(&elevate(&scene.stage, NOBODY, &words), NOBODY.1);
        user.sees(question);
        let request = recorded(&agent, "AwaitingControls");
        agent.kill();
        user.sees("the agent was lost");
        user.sees("nothing was launched");
        assert_eq!(user.ends().code(), Some(5));
        restart(&scene, &request, ("Expired", 0));
    }
}

#[test]
fn while_what_is_authorized_waits_for_its_launch() {
    let Some(scene) = Scene::new() else { return };
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    let shipped = agent.call("GET", &format!("/api/Jobs/{LAUNCH}")).send().json();
    scene.hold_the_launch(&agent);
    let child = scene.ask("true");
    let mut held = scene.stage.puppet(LAUNCH);
    let request = recorded(&agent, "Authorized");
    agent.kill();
    let (code, _, said) = told(child);
    assert!(code == 5 && said.contains("nothing was launched"), "{code} {said}");
    held.expect_gone();
    let agent = scene.start();
    assert_eq!(agent.call("PUT", &format!("/api/Jobs/{LAUNCH}")).json(&shipped).send().status, 200);
    agent.stop();
    restart(&scene, &request, ("Expired", 0));
}

/// What it ran has no way out: neither a session of its own, nor having been handed over to init.
#[test]
fn while_the_program_runs() {
    let Some(scene) = Scene::new() else { return };
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    let marks = scene.marks().display().to_string();
    let child = scene.ask(&format!("(setsid sh -c 'sleep 1000; : {marks}' &); sleep 1000; : {marks}"));
    let request = recorded(&agent, "Running");
    eventually("its two shells", || (scene.programs().len() >= 2).then_some(()));
    kill(&scene, agent, child, &request, ("Finished", 1));
}

#[test]
fn after_the_program_ended() {
    let Some(scene) = Scene::new() else { return };
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    let (code, _, said) = told(scene.ask("exit 3"));
    assert_eq!(code, 3, "{said}");
    let request = recorded(&agent, "Finished");
    agent.kill();
    restart(&scene, &request, ("Finished", 1));
}
