//! Reasons, approvers and groups: what counts as met.

use std::collections::BTreeSet;

use super::super::control::{Fact, Justification};
use super::*;
use crate::policy::{Approvers, Control};

#[test]
fn a_reason_says_something_in_one_line() {
    let long = "x".repeat(1001);
    for (text, counts) in [
        ("ticket 4711", true),
        ("  7 ", true),
        ("Grüße", true),
        ("", false),
        (" \t ", false),
        ("...", false),
        ("two\nlines", false),
        ("\u{1b}[31mred", false),
        (&long, false),
        (long.strip_prefix('x').unwrap(), true),
    ] {
        assert_eq!(Justification::parse(text).is_ok(), counts, "{text:?}");
    }
}

/// Whether these approvals, in this order, are enough for the groups.
fn enough(groups: &[(&[&[&str]], u32)], approvals: &[&str]) -> bool {
    let approvers = groups.iter().map(|(groups, required)| Approvers {
        groups: groups.iter().map(|group| group.iter().map(ToString::to_string).collect()).collect(),
        required: *required,
    });
    let mut controls = Controls::required(BTreeSet::from([Control::Approval]), approvers.collect());
    for name in approvals {
        controls.meet(&Fact::Approved(&Approver::of(name, "alice").unwrap()));
    }
    controls.outstanding().is_empty()
}

#[test]
fn so_many_of_each_group_have_to_approve() {
    let two_groups: &[(&[&[&str]], u32)] = &[(&[&["a", "b"], &["c"]], 1)];
    let two_of_three: &[(&[&[&str]], u32)] = &[(&[&["a", "b", "c"]], 2)];
    for (groups, approvals, expected) in [
        (&[][..], &["anybody"][..], true),
        (&[], &[], false),
        (two_groups, &["a", "b"], false),
        (two_groups, &["c"], false),
        (two_groups, &["b", "C"], true),
        (two_of_three, &["a", "a"], false),
        (two_of_three, &["a", "A"], false),
        (two_of_three, &["a", "mallory"], false),
        (two_of_three, &["c", "a"], true),
        (&[(&[&["a"]], 2)], &["a"], false),
        (&[(&[&["a"]], 0)], &["a"], true),
    ] {
        assert_eq!(enough(groups, approvals), expected, "{groups:?} {approvals:?}");
    }
    assert!(Approver::of("Alice", "alice").is_err(), "nobody approves a request of their own");
}
