//! `castellan why`: what became of a request for more privileges; and what the agent refused, told as a story with the line that would have
//! allowed it.

mod request;

use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::agent::Agent;
use super::output::Globals;
use crate::failure::Failure;

/// The newest refusal, whoever's it was.
const LAST: &str = "last";

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Examples:
  sudo castellan why E7-12
  sudo castellan why denied"
)]
pub(crate) struct Asked {
    #[command(subcommand)]
    refused: Option<Refused>,
    /// The id of a request for more privileges: who asked for what, who decided how, what was met, what ran, and what to do next.
    #[arg(value_name = "REQUEST", required = true)]
    request: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Refused {
    /// Tell what the running agent refused: who, what, why, and the declaration that would have allowed it.
    Denied(Options),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: sudo castellan why denied job:backup --count 5\n\nWith -o json: the records as GET /api/denials has them; with -o name: whose they are."
)]
struct Options {
    /// `last` for the newest refusal, or a client id, a component (job:ID, plugin:ID) or a bare id for its own.
    #[arg(value_name = "last|CLIENT", default_value = LAST)]
    whose: String,
    /// At most so many, newest first.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    count: u16,
}

/// Looks and tells.
pub(crate) fn run(asked: &Asked, globals: &Globals) -> Result<(), Failure> {
    match (&asked.refused, &asked.request) {
        (Some(Refused::Denied(options)), _) => denied(options, globals),
        (None, request) => request::tell(request.as_deref().unwrap_or_default(), globals),
    }
}

fn denied(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let denials = Agent::find(&globals.root)?.get("/api/denials")?;
    let all = denials.as_array().map(Vec::as_slice).unwrap_or_default();
    let found: Vec<&Value> =
        all.iter().filter(|denial| is_of(denial, &options.whose)).take(usize::from(options.count)).collect();
    if found.is_empty() {
        return Err(Failure::not_found(nothing(&options.whose, all)));
    }
    let root = globals.root.display().to_string();
    let names: Vec<&str> =
        found.iter().filter_map(|denial| text(denial, "component").or_else(|| text(denial, "clientId"))).collect();
    globals.show(&found, &names, || {
        let stories: Vec<String> = found.iter().map(|denial| story(denial, &root)).collect();
        Ok(vec![stories.join("\n\n")])
    })
}

fn text<'a>(denial: &'a Value, name: &str) -> Option<&'a str> {
    denial.get(name).and_then(Value::as_str)
}

fn is_of(denial: &Value, whose: &str) -> bool {
    let component = text(denial, "component");
    let id = component.and_then(|component| component.split_once(':')).map(|(_, id)| id);
    whose == LAST || [text(denial, "clientId"), component, id].contains(&Some(whose))
}

fn nothing(whose: &str, all: &[Value]) -> String {
    if all.is_empty() {
        return String::from("the agent has refused nothing since it was started.");
    }
    let mut others: Vec<&str> =
        all.iter().filter_map(|denial| text(denial, "component").or_else(|| text(denial, "clientId"))).collect();
    others.sort_unstable();
    others.dedup();
    format!("the agent has refused nothing to '{}' lately. On record: {}.", escape(whose), escape(&others.join(", ")))
}

/// One refusal in lines. The record has been escaped by the agent; what is printed to a terminal is all the same.
pub(crate) fn story(denial: &Value, root: &str) -> String {
    let said = |name: &str| escape(text(denial, name).unwrap_or_default());
    let number = |name: &str| denial.get(name).and_then(Value::as_u64);
    let unknown = || String::from("a process that the agent did not start");
    let mut who = vec![text(denial, "component").map_or_else(unknown, escape)];
    who.extend(number("pid").map(|pid| format!("pid {pid}")));
    who.extend(text(denial, "clientId").map(|id| format!("client id '{}'", escape(id))));
    let mut lines = vec![
        format!("{}  {}", said("timestamp"), said("what")),
        format!("  who:      {}", who.join(", ")),
        format!("  what:     {} '{}'", said("action"), said("target")),
        format!("  why:      {}", said("why")),
        format!("  fix:      {}", said("fix")),
    ];
    if let Some(declaration) = denial.get("declaration").filter(|declaration| declaration.is_object()) {
        let part = |name: &str| escape(text(declaration, name).unwrap_or_default());
        lines.push(format!("  declare:  in {root}/{}", part("file")));
        lines.push(format!("            at {}", part("pointer")));
        lines.push(format!("            add {}", Value::from(part("value"))));
    }
    let times = number("count").unwrap_or(1);
    if times > 1 {
        let suppressed = number("suppressed").unwrap_or(0);
        let singly = if suppressed > 0 { format!(", {suppressed} of them only counted") } else { String::new() };
        lines.push(format!("  times:    {times}{singly}; the last at {}", said("lastTimestamp")));
    }
    lines.join("\n")
}
