//! Requests for more privileges and grants: what an administrator sees where there are none.

use super::{document, fails, ok};
use crate::support::{Stage, command};

#[test]
fn requests_and_grants_are_listed_and_those_that_are_not_there_are_not_found() {
    let stage = Stage::new();
    let agent = stage.start();
    assert_eq!(ok(&stage, &["requests", "list"]), "No requests.\n");
    assert_eq!(ok(&stage, &["grants", "list"]), "No grants.\n");
    assert_eq!(document(&stage, &["requests", "list", "--waiting"]), serde_json::json!([]));
    assert!(fails(command(&stage, &["requests", "watch", "-o", "json"]), 2).contains("--watch shows text"));
    for words in [["requests", "show"], ["requests", "approve"], ["requests", "deny"], ["grants", "revoke"]] {
        let why = fails(command(&stage, &[words[0], words[1], "E1-1"]), 3);
        assert!(why.contains("'E1-1'") && why.contains("list shows"), "{words:?}: {why}");
    }
    agent.stop();
}
