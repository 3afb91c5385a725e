//! The text format of metrics, character by character.

use crate::api::exposition::{Exposition, Kind};

#[test]
fn families_samples_and_hostile_labels() {
    let mut text = Exposition::default();
    text.single("a_total", Kind::Counter, "Things.", 3);
    text.family("b", Kind::Gauge, "States.");
    text.sample("b", &[("of", "q\"\\\n}")], 1);
    text.sample("b", &[("of", ""), ("in", "ä")], "0.5");
    let expect = "# HELP a_total Things.\n# TYPE a_total counter\na_total 3\n# HELP b States.\n# TYPE b gauge\n\
        b{of=\"q\\\"\\\\\\n}\"} 1\nb{of=\"\",in=\"ä\"} 0.5\n";
    assert_eq!(text.into_text(), expect);
}
