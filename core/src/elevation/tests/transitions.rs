//! The real machine is driven into each state, told each event, and printed.

use super::*;
use crate::id::{RequestId, SpawnId, TicketId};
use crate::mfa::{Secret, Verdict};
use crate::policy::Control;

type Step = (&'static str, fn(&mut Elevation, &mut Turn<'_>));

const NONE: TicketId = TicketId(999);

const EVENTS: [Step; 31] = [
    ("inspected", |one, turn| one.on_inspected(Ok(&facts(1)), turn)),
    ("inspected, unfit", |one, turn| one.on_inspected(Err("it is gone."), turn)),
    ("policy ready", |one, turn| one.ask(SpawnId(77), turn)),
    ("ALLOW", |one, turn| drop(one.on_decision((decision("ALLOW", &[]), None), &Grants::default(), None, turn))),
    ("DENY", |one, turn| drop(one.on_decision((decision("DENY", &[]), None), &Grants::default(), None, turn))),
    ("PENDING", |one, turn| {
        drop(one.on_decision((decision("PENDING", &["JUSTIFY", "APPROVAL"]), None), &Grants::default(), None, turn));
    }),
    ("kept", |one, turn| one.on_kept(one.write.unwrap_or(NONE), Ok(()), turn)),
    ("kept, failed", |one, turn| one.on_kept(one.write.unwrap_or(NONE), Err("disk full".to_string()), turn)),
    ("audited", |one, turn| one.on_audited(one.audit.unwrap_or(NONE), Ok(()), turn)),
    ("audited, failed", |one, turn| one.on_audited(one.audit.unwrap_or(NONE), Err("disk full".to_string()), turn)),
    ("asked to justify", |one, turn| respond(one.on_control(Control::Justify, RequestId(1), turn), 1, turn)),
    ("replied", |one, turn| {
        one.on_replied(1, &Reply::Text(Secret::new("a reason".to_string())), turn);
    }),
    ("refused", |one, turn| one.on_replied(1, &Reply::Refused, turn)),
    ("asked for a code", |one, turn| respond(one.on_control(Control::Mfa, RequestId(4), turn), 4, turn)),
    ("code right", |one, turn| one.on_code(one.code.unwrap_or(NONE), Ok(Verdict::Verified), turn)),
    ("code wrong", |one, turn| one.on_code(one.code.unwrap_or(NONE), Ok(Verdict::Wrong { left: 4 }), turn)),
    ("MFA", |one, turn| drop(one.on_decision((decision("PENDING", &["MFA"]), None), &Grants::default(), None, turn))),
    ("approved", |one, turn| vote(one, true, turn)),
    ("denied", |one, turn| vote(one, false, turn)),
    ("launch", |one, turn| respond(one.on_launch(Target::Asked, RequestId(3), turn), 3, turn)),
    ("substitute", |one, turn| respond(one.on_launch(Target::Substitute, RequestId(5), turn), 5, turn)),
    ("prepared", |one, turn| one.on_prepared(100, &facts(1), None, turn)),
    ("prepared, changed", |one, turn| one.on_prepared(100, &facts(2), None, turn)),
    ("started", |one, turn| one.on_started(turn)),
    ("spawn failed", |one, turn| one.on_spawn_failed("gone.", turn)),
    ("stopped", |one, turn| one.on_stopped(20, turn)),
    ("exited", |one, turn| one.on_exited(ExitStatus::Code(0), turn)),
    ("signaled", |one, turn| one.on_signaled(RelayedSignal::Interrupt, turn)),
    ("left", |one, turn| one.on_left(turn)),
    ("withdrawn", |one, turn| drop(one.withdraw(CallerId(6), 200, turn))),
    ("deadline", |one, turn| one.on_deadline("it is away.", turn)),
];

fn respond(answer: Option<crate::api::ApiResponse>, request: u64, turn: &mut Turn<'_>) {
    if let Some(response) = answer {
        turn.effects.push(Effect::Respond { request: RequestId(request), response });
    }
}

fn vote(one: &mut Elevation, approved: bool, turn: &mut Turn<'_>) {
    let bob = Approver::of("bob", "alice").unwrap();
    respond(one.on_vote(&bob, approved, None, RequestId(2), turn), 2, turn);
}

/// Events that lead into each state, from the start; `!` behind a state: its record is not on disk yet, `+`: a rule redirects it, `?`: the
/// rules cannot be read.
const STATES: [(&str, &[&str]); 22] = [
    ("Requested", &[]),
    ("Evaluating", &["inspected"]),
    ("AwaitingControls!", &["inspected", "PENDING"]),
    ("AwaitingControls", &["inspected", "PENDING", "kept", "asked to justify"]),
    ("AwaitingControls", &["inspected", "MFA", "kept", "asked for a code", "replied"]),
    ("Authorized!", &["inspected", "ALLOW"]),
    ("Authorized", &["inspected", "ALLOW", "kept"]),
    ("Launching!", &["inspected", "ALLOW", "kept", "launch", "audited"]),
    ("Launching", &["inspected", "ALLOW", "kept", "launch", "audited", "kept"]),
    ("Running", &["inspected", "ALLOW", "kept", "launch", "audited", "kept", "prepared", "started", "kept"]),
    ("Finished!", &["inspected", "ALLOW", "kept", "launch", "audited", "kept", "prepared", "started", "exited"]),
    ("Denied!", &["inspected", "DENY"]),
    ("Denied", &["inspected", "DENY", "kept"]),
    ("Withdrawn", &["inspected", "left", "kept"]),
    ("Withdrawn!", &["inspected", "withdrawn"]),
    ("Authorized?", &["inspected", "ALLOW", "kept"]),
    ("Authorized+", &["inspected", "ALLOW", "kept"]),
    ("Authorized+", &["inspected", "ALLOW", "kept", "substitute"]),
    ("Launching!+", &["inspected", "ALLOW", "kept", "substitute", "inspected", "audited"]),
    ("Launching+", &["inspected", "ALLOW", "kept", "substitute", "inspected", "audited", "kept"]),
    (
        "Running+",
        &["inspected", "ALLOW", "kept", "substitute", "inspected", "audited", "kept", "prepared", "started", "kept"],
    ),
    (
        "Finished!+",
        &["inspected", "ALLOW", "kept", "substitute", "inspected", "audited", "kept", "prepared", "started", "exited"],
    ),
];

fn name(one: &Elevation) -> String {
    let is_unkept = one.write.is_some() || one.audit.is_some();
    format!("{:?}{}", one.record.status, if is_unkept { "!" } else { "" })
}

fn step(name: &str) -> fn(&mut Elevation, &mut Turn<'_>) {
    EVENTS.iter().find(|(known, _)| *known == name).unwrap().1
}

fn name_of(state: &str) -> &str {
    state.trim_end_matches(['+', '?'])
}

/// What redirects everything.
const RULES: &str = r#"[{"targetExe":"/usr/bin/rid"}]"#;

fn table() -> Vec<String> {
    let mut lines = Vec::new();
    for (state, path) in STATES {
        for (event, act) in EVENTS {
            let rules = state.ends_with(['+', '?']).then_some(if state.ends_with('+') { RULES } else { "{}" });
            let mut rig = Rig::new(rules);
            for step_name in path {
                rig.act(step(step_name));
                rig.request.take_wanted();
            }
            assert_eq!(name(&rig.request), name_of(state), "the way into the state");
            rig.now = if event == "deadline" { 24 * 3600 * 1000 } else { 0 };
            let mut orders = rig.act(act);
            orders.extend(rig.request.take_wanted().map(|wanted| format!("Fire:{wanted:?}")));
            let after = name(&rig.request);
            if after != name_of(state) || !orders.is_empty() {
                lines.push(
                    format!("{state:<18} {event:<17} -> {after:<18} {}", orders.join(" ")).trim_end().to_string(),
                );
            }
            let deadline = rig.request.next_deadline();
            assert!(
                deadline.is_none_or(|deadline| deadline.at > at(rig.now).monotonic),
                "{state} {event}: it lies behind"
            );
        }
    }
    lines
}

#[test]
fn a_denial_behind_the_grant_takes_it_back() {
    let mut rig = Rig::new(None);
    let path = ["inspected", "MFA", "kept", "asked for a code", "replied", "code right"];
    let told: Vec<String> = path.iter().flat_map(|name| rig.act(step(name))).collect();
    assert!(told.contains(&"Audit:grant".to_string()), "{told:?}");
    let told = rig.act(step("denied"));
    assert!(told.contains(&"Audit:revocation".to_string()), "{told:?}");
}

/// Pairs that change nothing and lead to nothing are left out.
const EXPECTED: &str = include_str!("transitions.txt");

#[test]
fn every_status_and_every_event() {
    let found = table();
    let expected: Vec<&str> = EXPECTED.lines().collect();
    assert!(found == expected, "{}", found.join("\n"));
}
