//! Ids of traces: as W3C writes them, and where they come from.

use alloc::string::ToString;

use super::*;

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_traceparent_is_read_as_w3c_writes_it_and_handed_on_the_same() {
    let context = TraceContext::from_traceparent(PARENT).unwrap();
    assert_eq!(context.trace_id.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(context.to_traceparent().as_deref(), Some(PARENT));
    let later = "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
    assert_eq!(TraceContext::from_traceparent(later), Some(context), "a later version");
    for wrong in [
        "",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-é1",
    ] {
        assert_eq!(TraceContext::from_traceparent(wrong), None, "{wrong}");
    }
}

#[test]
fn a_correlation_id_is_a_trace_where_it_can_be_one() {
    for id in ["4BF92F35-77B3-4DA6-A3CE-929D0E0E4736", "4bf92f3577b34da6a3ce929d0e0e4736"] {
        let context = TraceContext::from_correlation_id(id).unwrap();
        assert_eq!(
            (context.trace_id.to_string().as_str(), context.span_id),
            ("4bf92f3577b34da6a3ce929d0e0e4736", None)
        );
        assert_eq!(context.to_traceparent(), None);
    }
    assert_eq!(TraceContext::from_correlation_id("order 66"), None);
}

#[test]
fn ids_differ_by_machine_by_start_and_by_subject_and_are_the_same_again() {
    let root = |machine, boot, subject| Tracer::new(machine, boot).root(subject).trace_id;
    let all = [root("a", 1, "1-1"), root("a", 1, "1-2"), root("a", 2, "1-1"), root("b", 1, "1-1")];
    for (index, id) in all.iter().enumerate() {
        assert!(!all[..index].contains(id), "{all:?}");
    }
    assert_eq!(root("a", 1, "1-1"), all[0]);
    let caller = TraceContext::from_traceparent(PARENT).unwrap();
    let run = |machine, boot, subject| Tracer::new(machine, boot).below(caller, subject);
    let all = [run("a", 1, "1-1"), run("a", 1, "1-2"), run("a", 2, "1-1"), run("b", 1, "1-1"), caller];
    for (index, context) in all.iter().enumerate() {
        assert!(!all[..index].contains(context), "one caller, many machines: {all:?}");
        assert_eq!(context.trace_id, caller.trace_id);
    }
    assert_ne!(all[0].below("task 1"), all[3].below("task 1"));
    assert_eq!(all[0].below("task 1"), run("a", 1, "1-1").below("task 1"));
}

#[test]
fn texts_of_spans_are_bounded() {
    let context = Tracer::new("a", 1).root("1-1");
    let long = "é".repeat(SPAN_TEXT_CHARS + 1);
    let span =
        Span::at(context, None, &long, WallTime::default()).text("a", &long).failed(&long).number("n", Some(u64::MAX));
    let expect = format!("{}…", "é".repeat(SPAN_TEXT_CHARS));
    assert_eq!((&span.name, &span.status), (&expect, &Err(expect.clone())));
    assert_eq!(span.attributes, [("a", Attribute::Text(expect)), ("n", Attribute::Number(i64::MAX))]);
}
