//! `enabled` in a document that keeps its other bytes.

use super::with_enabled;

#[test]
fn only_the_value_changes() {
    for (text, enabled, expect) in [
        ("{ \"id\": \"a\", \"Enabled\" : true }\n", false, Some("{ \"id\": \"a\", \"Enabled\" : false }\n")),
        ("{\"enabled\":false,\"id\":\"ä\"}", true, Some("{\"enabled\":true,\"id\":\"ä\"}")),
        ("{\"enabled\":true,\"id\":\"a\"}", true, None),
        ("{\"id\":\"a\"}", true, None),
        (" {\"id\":\"a\"}", false, Some(" {\n  \"enabled\": false,\"id\":\"a\"}")),
    ] {
        assert_eq!(with_enabled(text, enabled).as_deref(), expect, "{text}");
    }
}
