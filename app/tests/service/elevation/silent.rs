//! KeeperPolicy that says nothing: whoever waits is denied in time, and told why. The one test that waits for that time.

use rustix::process::{Signal, kill_process};

use super::scene::{Scene, keeper_policy, told};
use super::{NOBODY, asked, denied, newest, runs};

#[test]
fn a_stopped_keeper_policy_is_waited_for_within_bounds() {
    let Some(scene) = Scene::new() else { return };
    let agent = scene.start();
    scene.requires(&["ALLOW"]);
    let pid = keeper_policy(&agent);
    kill_process(pid, Signal::STOP).unwrap();
    let child = scene.ask("true");
    newest(&agent, "Evaluating");
    denied(told(child), "No policy decided within 30 seconds: KeeperPolicy did not answer.");
    assert_eq!(scene.marked(), 0);
    kill_process(pid, Signal::CONT).unwrap();
    runs(asked(&scene.stage, NOBODY, &[]));
    assert_eq!(scene.marked(), 0, "an answer that comes late counts no more");
    agent.stop();
}
