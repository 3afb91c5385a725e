//! Every phase against every report: the real machine is driven into each phase, told each report, and printed.

use super::*;

/// A job of two tasks, so that the end of the first leads on, and its failure to another try.
const TASKS: &str = r#"{"id":"a","command":"x","timeoutSeconds":10,"continueOnFailure":true,
    "retry":{"attempts":1,"delaySeconds":5}},{"id":"b","command":"y"}"#;

/// The same with a request in place of the first process.
const CALLS: &str = r#"{"id":"a","executionType":"Http","method":"GET","url":"https://x.example/","timeoutSeconds":10,"continueOnFailure":true},
  {"id":"b","command":"y"}"#;

type Step = (&'static str, fn(&mut Run, &mut Turn<'_>));

const REPORTS: [Step; 20] = [
    ("persisted", |run, turn| run.on_persisted(ticket(run), &Ok(()), turn)),
    ("persisted, failed", |run, turn| run.on_persisted(ticket(run), &Err("disk full".to_string()), turn)),
    ("persisted, other", |run, turn| run.on_persisted(TicketId(99), &Ok(()), turn)),
    ("saved", |run, turn| run.on_persisted(run.saving.asked.unwrap_or(TicketId(98)), &Ok(()), turn)),
    ("admitted", |run, turn| run.on_admitted(turn)),
    ("prepared", |run, turn| run.on_prepared(SpawnId(1), 100, Ok(Fit::DIRECTLY), turn)),
    ("prepared, unsafe", |run, turn| run.on_prepared(SpawnId(1), 100, Err("unsafe.".to_string()), turn)),
    ("started", |run, turn| run.on_started(SpawnId(1), turn)),
    ("spawn failed", |run, turn| run.on_spawn_failed(SpawnId(1), "gone.", turn)),
    ("exited", |run, turn| run.on_exited(SpawnId(1), ExitStatus::Code(0), turn)),
    ("collected", |run, turn| collected(run, 1, turn)),
    ("discarded", |run, turn| run.on_discarded(SpawnId(1), turn)),
    ("other prepared", |run, turn| run.on_prepared(SpawnId(9), 100, Ok(Fit::DIRECTLY), turn)),
    ("other exited", |run, turn| run.on_exited(SpawnId(9), ExitStatus::Code(0), turn)),
    ("other collected", |run, turn| collected(run, 9, turn)),
    ("answered", |run, turn| run.on_answered(TicketId(2), 200, &Captured::default(), turn)),
    ("call failed", |run, turn| run.on_call_failed(TicketId(2), "gone", turn)),
    ("other answered", |run, turn| run.on_answered(TicketId(9), 200, &Captured::default(), turn)),
    ("limit", |run, turn| run.on_deadline(turn)),
    ("cancel", |run, turn| run.cancel("test.", turn)),
];

fn ticket(run: &Run) -> TicketId {
    match run.phase {
        Phase::Recording(ticket) | Phase::Closing(ticket) => ticket,
        _ => TicketId(1),
    }
}

fn collected(run: &mut Run, spawn: u64, turn: &mut Turn<'_>) {
    run.on_collected(SpawnId(spawn), &Captured::default(), &Captured::default(), turn);
}

/// Reports that lead into each phase, from the start.
const PHASES: [(&str, &[&str]); 15] = [
    ("Recording", &[]),
    ("Recording!", &["cancel"]),
    ("Waiting", &["persisted"]),
    ("Preparing", &["persisted", "admitted"]),
    ("Preparing!", &["persisted", "admitted", "cancel"]),
    ("Releasing", &["persisted", "admitted", "prepared"]),
    ("Running", &["persisted", "admitted", "prepared", "started"]),
    ("Running!", &["persisted", "admitted", "prepared", "started", "cancel"]),
    ("Collecting", &["persisted", "admitted", "prepared", "started", "exited"]),
    ("Pausing", &["persisted", "admitted", "spawn failed"]),
    ("Calling", &["persisted", "admitted"]),
    ("Calling!", &["persisted", "admitted", "cancel"]),
    ("Clearing", &["persisted", "admitted", "prepared", "started", "cancel", "exited", "collected"]),
    ("Closing", &["persisted", "admitted", "prepared", "started", "cancel", "exited", "collected", "discarded"]),
    ("Done", &["persisted", "cancel", "persisted"]),
];

fn name(run: &Run) -> String {
    let name = format!("{:?}", run.phase).split('(').next().unwrap_or_default().to_string();
    let stopped = run.canceled.is_some() && matches!(name.as_str(), "Recording" | "Preparing" | "Running" | "Calling");
    if stopped { format!("{name}!") } else { name }
}

fn step(name: &str) -> fn(&mut Run, &mut Turn<'_>) {
    REPORTS.iter().find(|(known, _)| *known == name).unwrap().1
}

fn table() -> Vec<String> {
    let mut lines = Vec::new();
    for (phase, path) in PHASES {
        for (report, act) in REPORTS {
            let mut rig = Rig::new(&job(if phase.starts_with("Calling") { CALLS } else { TASKS }, ""), json!({}));
            for step_name in path {
                rig.act(step(step_name));
            }
            assert_eq!(name(&rig.run), phase, "the way into the phase");
            rig.now = if report == "limit" { 10_000 } else { 0 };
            let orders = rig.act(act);
            assert!(
                rig.run.next_deadline().is_none_or(|deadline| deadline.at > at(rig.now).monotonic),
                "{phase} {report}: a deadline in the past"
            );
            let line = format!("{phase:<10} {report:<17} -> {:<10} {}", name(&rig.run), orders.join(" "));
            lines.push(line.trim_end().to_string());
        }
    }
    lines
}

/// `!` behind a phase: it is being stopped; `!Word` is a line of the log.
const EXPECTED: &str = include_str!("transitions.txt");

#[test]
fn every_phase_and_every_report() {
    let found = table();
    let expected: Vec<&str> = EXPECTED.lines().collect();
    assert!(found == expected, "{}", found.join("\n"));
}
