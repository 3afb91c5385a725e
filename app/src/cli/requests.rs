//! `castellan requests`: who asks for more privileges, what is waited for, and an administrator's word on it; `castellan grants`: what an
//! approval is still good for. What is for every user is in [`own`].

use std::collections::BTreeSet;

use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::{Agent, encode};
use super::logs::{Since, since};
use super::output::Globals;
use super::table::{Table, coloured, items, member, text};
use super::watch::Watch;
use super::{own, proof};
use crate::failure::Failure;

const PATH: &str = "/api/elevation";
/// Requests of one page of the API.
const MOST: i64 = 100;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List requests: those under way, then those that ended lately; or all that are kept.
    List(List),
    /// Show a request: what was asked, what it waits for, who said what, and why it stands where it does.
    #[command(after_help = "Example: castellan requests show E7-12")]
    Show(One),
    /// Approve a request that waits for it, in the name of the admin certificate.
    #[command(after_help = "Example: castellan requests approve E7-12 --reason \"ticket 4711\"")]
    Approve(Vote),
    /// Deny a request whose program does not run yet; one word against it is enough.
    #[command(after_help = "Example: castellan requests deny E7-12 --reason \"use the staging host\"")]
    Deny(Vote),
    /// List your own requests and grants, from any terminal; for every user.
    #[command(after_help = "Example: castellan requests mine

All that are under way, with what they wait for and until when; the last that ended, with how or why; and what runs again without asking.")]
    Mine,
    /// Withdraw a request of your own that waits, from any terminal, as Ctrl-C does where it was made; for every user.
    #[command(after_help = "Example: castellan requests withdraw E7-12

Exit codes: 3 you have no such request, 4 its program runs already, or it is over.")]
    Withdraw(own::Withdraw),
    /// Show the requests under way, and those that come, change and end, until Ctrl-C.
    #[command(after_help = "Example: castellan requests watch")]
    Watch,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Grants {
    /// List the requests whose approval still counts, with its end.
    #[command(after_help = "Example: castellan grants list")]
    List,
    /// End a grant at once: the same command asks again, and what rests on the grant and has not started does not start.
    #[command(after_help = "Examples:
  castellan grants revoke E7-12
  castellan grants revoke E7-12 --kill")]
    Revoke(Revoke),
    /// Give up a grant of your own: the same command asks again, and what rests on it and has not started does not start; for every user.
    Drop(own::Drop),
    /// Print how a grant came about, as lines of the audit.
    Proof(proof::Proof),
    /// Come to the same grant again from such lines, offline, and say what does not hold.
    Verify(proof::Verify),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan requests list --waiting
  castellan requests list --all --user alice --since 7d
  castellan requests list -o name --waiting | xargs -n1 castellan requests show")]
pub(crate) struct List {
    /// Those alone that wait for a control.
    #[arg(long)]
    waiting: bool,
    /// All that the history has, newest first.
    #[arg(long, conflicts_with = "waiting")]
    all: bool,
    #[command(flatten)]
    past: Past,
    #[command(flatten)]
    watch: Watch,
}

/// Which of the history.
#[derive(Debug, Args)]
pub(crate) struct Past {
    /// Of this user. This and the following look into the history, as --all does.
    #[arg(long, value_name = "NAME", conflicts_with = "waiting")]
    user: Option<String>,
    /// That stand so: Denied, Finished, Expired, Withdrawn, Running, ...
    #[arg(long, value_name = "STATUS", conflicts_with = "waiting")]
    status: Option<String>,
    /// Not asked before this: a span (7d, 12h, 30m) or an instant (RFC 3339).
    #[arg(long, value_parser = since, conflicts_with = "waiting")]
    since: Option<Since>,
    /// At most so many; 100 where it is left out.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=MOST), conflicts_with = "waiting")]
    limit: Option<u16>,
    /// Those before this request, for the page that follows.
    #[arg(long, value_name = "REQUEST", conflicts_with = "waiting")]
    before: Option<String>,
}

impl Past {
    /// The query of the history; empty where nothing is asked of it.
    fn query(&self, all: bool) -> String {
        let asked = [
            ("user", self.user.clone()),
            ("status", self.status.clone()),
            ("since", self.since.map(|since| since.instant().to_rfc3339())),
            ("before", self.before.clone()),
            ("limit", self.limit.map(u64::from).or(all.then_some(MOST.unsigned_abs())).map(|limit| limit.to_string())),
        ];
        let said = asked.iter().filter_map(|(name, value)| Some(format!("{name}={}", encode(value.as_ref()?))));
        said.collect::<Vec<_>>().join("&")
    }
}

#[derive(Debug, Args)]
pub(crate) struct One {
    /// The request's id, as in E7-12.
    request: String,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    one: One,
    /// Also end the programs that run on it: SIGTERM, and SIGKILL 10 s later.
    #[arg(long)]
    kill: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Vote {
    #[command(flatten)]
    one: One,
    /// Why, for the requester and the audit.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let agent = || Agent::find(&globals.root);
    match command {
        Command::Mine => own::mine(globals),
        Command::Withdraw(options) => own::withdraw(options, globals),
        Command::List(options) => {
            let agent = agent()?;
            let is_wanted = |request: &Value| !options.waiting || text(request, "Status") == Some("AwaitingControls");
            let past = options.past.query(options.all);
            let look =
                || if past.is_empty() { chosen(&agent, &is_wanted) } else { agent.get(&format!("{PATH}?{past}")) };
            options.watch.list(globals, "RequestId", look, |found| table(found, globals))
        }
        Command::Watch => {
            let agent = agent()?;
            let is_over = |status: &str| matches!(status, "Denied" | "Finished" | "Expired" | "Withdrawn");
            // Those that were over before are no news; those that end meanwhile stay, so that one sees how.
            let over = |request: &&Value| text(request, "Status").is_some_and(is_over);
            let id = |request: &Value| member(request, "RequestId");
            let before: BTreeSet<String> = items(&agent.get(PATH)?).iter().filter(over).map(id).collect();
            let is_wanted = |request: &Value| !before.contains(&id(request));
            Watch::AGAIN.list(globals, "RequestId", || chosen(&agent, &is_wanted), |found| table(found, globals))
        }
        Command::Show(one) => show(&agent()?.get(&target(one, ""))?, globals),
        Command::Approve(vote) => say(vote, "/approve", &agent()?, globals),
        Command::Deny(vote) => say(vote, "/deny", &agent()?, globals),
    }
}

pub(crate) fn run_grants(command: &Grants, globals: &Globals) -> Result<(), Failure> {
    match command {
        Grants::List => {
            let found = Agent::find(&globals.root)?.get("/api/grants")?;
            let names: Vec<&str> = items(&found).iter().filter_map(|grant| text(grant, "RequestId")).collect();
            globals.show(&found, &names, || grants(items(&found), globals))
        }
        Grants::Revoke(Revoke { one, kill }) => {
            let (query, ended) = if *kill { ("?kill=true", "; what runs on it is being ended") } else { ("", "") };
            let path = format!("/api/grants/{}{query}", encode(&one.request));
            let revoked = Agent::find(&globals.root)?.ask("DELETE", &path, None)?;
            let id = member(&revoked, "RequestId");
            globals.show(&revoked, &[&id], || Ok(vec![format!("grant {} revoked{ended}", escape(&id))]))
        }
        Grants::Drop(options) => own::give_up(options, globals),
        Grants::Proof(options) => proof::prove(options, globals),
        Grants::Verify(options) => proof::verify(options, globals),
    }
}

fn target(one: &One, verb: &str) -> String {
    format!("{PATH}/{}{verb}", encode(&one.request))
}

fn chosen(agent: &Agent, is_wanted: &impl Fn(&Value) -> bool) -> Result<Value, Failure> {
    let all = agent.get(PATH)?;
    Ok(Value::Array(items(&all).iter().filter(|request| is_wanted(request)).cloned().collect()))
}

fn say(vote: &Vote, verb: &str, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let body = vote.reason.as_ref().map(|reason| json!({ "Reason": reason }));
    show(&agent.ask("POST", &target(&vote.one, verb), body.as_ref())?, globals)
}

fn table(requests: &[Value], globals: &Globals) -> Result<Vec<String>, Failure> {
    let mut table = Table::new(globals, &["REQUEST", "USER", "STATUS", "WAITS FOR", "ASKED", "COMMAND"]);
    for request in requests {
        let (id, user, status) = (member(request, "RequestId"), member(request, "UserName"), member(request, "Status"));
        let (asked, command) = (globals.when(text(request, "AskedAt")), command(request));
        table.row(&[&id, &user, &status, &waits_for(request), &asked, &command]);
    }
    if table.is_empty() { Ok(vec![String::from("No requests.")]) } else { table.lines() }
}

fn grants(grants: &[Value], globals: &Globals) -> Result<Vec<String>, Failure> {
    let mut table = Table::new(globals, &["GRANT", "USER", "UNTIL", "COMMAND"]);
    for grant in grants {
        let until = globals.when(grant.get("Grant").and_then(|grant| text(grant, "Until")));
        table.row(&[&member(grant, "RequestId"), &member(grant, "UserName"), &until, &command(grant)]);
    }
    if table.is_empty() { Ok(vec![String::from("No grants.")]) } else { table.lines() }
}

fn show(request: &Value, globals: &Globals) -> Result<(), Failure> {
    let said = |name: &str| escape(&member(request, name));
    globals.show(request, &[&member(request, "RequestId")], || {
        let status = if globals.has_colours() { coloured(&said("Status")) } else { said("Status") };
        let mut lines = vec![format!("request {} of {}: {status}", said("RequestId"), said("UserName"))];
        let votes =
            request.get("Votes").map(items).unwrap_or_default().iter().map(voted).collect::<Vec<_>>().join("; ");
        let rows = [
            ("command", escape(&command(request))),
            ("program", said("FilePath")),
            ("instead", instead(request)),
            ("folder", said("Folder")),
            ("asked", globals.when(text(request, "AskedAt"))),
            ("reason", said("Justification")),
            ("policies", listed(request, "PolicyIds")),
            ("controls", listed(request, "Controls")),
            ("waits for", waits_for(request)),
            ("said", votes),
            ("rests on", said("GrantId")),
            ("process", said("ProcessId")),
            ("ended", said("Exit")),
        ];
        let filled = rows.iter().filter(|(_, value)| !value.is_empty());
        lines.extend(filled.map(|(name, value)| format!("  {name:<9} {value}")));
        let explanation = request.get("Explanation").unwrap_or(&Value::Null);
        let sentences = ["what", "why", "fix"].iter().filter_map(|name| text(explanation, name));
        lines.extend(sentences.map(|sentence| format!("  {}", escape(sentence))));
        Ok(lines)
    })
}

fn voted(vote: &Value) -> String {
    let verb = if vote.get("Approved") == Some(&Value::Bool(true)) { "approved" } else { "denied" };
    let reason = text(vote, "Reason").map(|reason| format!(" ({})", escape(reason))).unwrap_or_default();
    format!("{} {verb}{reason}", escape(&member(vote, "By")))
}

/// What is run instead of the program.
fn instead(request: &Value) -> String {
    let Some(substitute) = request.get("Substitute").filter(|substitute| !substitute.is_null()) else {
        return String::new();
    };
    let (path, rule) = (escape(&member(substitute, "FilePath")), escape(&member(substitute, "Rule")));
    format!("{path} {} (rule {rule})", listed_by(substitute, "Arguments", " "))
}

/// What of the controls is to be met yet; nothing of what is over.
fn waits_for(request: &Value) -> String {
    if text(request, "Status") == Some("AwaitingControls") { listed(request, "Outstanding") } else { String::new() }
}

/// The command as it was typed.
fn command(request: &Value) -> String {
    listed_by(request, "Command", " ")
}

fn listed(request: &Value, name: &str) -> String {
    listed_by(request, name, ", ")
}

fn listed_by(request: &Value, name: &str, separator: &str) -> String {
    let words: Vec<&str> = request.get(name).map(items).unwrap_or_default().iter().filter_map(Value::as_str).collect();
    escape(&words.join(separator))
}
