//! `castellan requests mine`, `castellan requests withdraw`, `castellan grants drop`: what every user sees of his own requests and grants, and
//! ends, from whichever terminal. Asked over the request socket, where the kernel says whose they are; no certificate is needed.

use std::io;
use std::time::Duration;

use async_io::Timer;
use castellan_core::elevation::{Own, OwnRequest};
use castellan_core::log_message::escape;
use castellan_core::why::Explanation;
use castellan_elevation::client::Connection;
use castellan_elevation::wire::{AskOwn, ToCaller, VERSION, Wish};
use clap::{ArgGroup, Args};
use smol::future::FutureExt;

use super::elevate::unreachable;
use super::output::Globals;
use super::table::Table;
use crate::failure::Failure;

/// For the agent to answer: what ends is written to a disk first.
const ANSWER_TIME: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(crate) struct Withdraw {
    /// The request's id, as in E7-12.
    request: String,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["grant", "all"]), after_help = "Examples:
  castellan grants drop E7-12
  castellan grants drop --all

It is for every user, as sudo -k is: what was approved for you, or proved by a code, is asked for again. What runs already goes on.")]
pub(crate) struct Drop {
    /// The request that the grant came from, as in E7-12.
    grant: Option<String>,
    /// All of your grants.
    #[arg(long)]
    all: bool,
}

pub(super) fn mine(globals: &Globals) -> Result<(), Failure> {
    let answer = ask(Wish::List, globals)?;
    let ToCaller::Own(own) = &answer else { return Err(refused(&answer)) };
    let names: Vec<&str> = own.requests.iter().map(|request| request.request_id.as_str()).collect();
    globals.show(own, &names, || shown(own, globals))
}

pub(super) fn withdraw(options: &Withdraw, globals: &Globals) -> Result<(), Failure> {
    let answer = ask(Wish::Withdraw(options.request.clone()), globals)?;
    let ToCaller::GaveUp(requests) = &answer else { return Err(refused(&answer)) };
    written(requests, "request", "withdrawn", globals)
}

pub(super) fn give_up(options: &Drop, globals: &Globals) -> Result<(), Failure> {
    let answer = ask(Wish::Drop(options.grant.clone()), globals)?;
    let ToCaller::GaveUp(grants) = &answer else { return Err(refused(&answer)) };
    if grants.is_empty() && !globals.is_for_programs() {
        return globals.note("You have no grants that count.");
    }
    written(grants, "grant", "dropped", globals)
}

/// Says what was done; people are told to what kind of thing, too.
fn written(ids: &[String], kind: &str, what: &str, globals: &Globals) -> Result<(), Failure> {
    let name = |id: &String| if globals.is_for_programs() { id.clone() } else { format!("{kind} {id}") };
    let done: Vec<_> = ids.iter().map(|id| (name(id), String::from(what))).collect();
    globals.written(&done, false)
}

/// The answer to a question.
fn ask(own: Wish, globals: &Globals) -> Result<ToCaller, Failure> {
    let conversation = async {
        let connection = Connection::open(&globals.root).await.map_err(|error| unreachable(globals, &error))?;
        match connection.ask_own(&AskOwn { version: VERSION, own }).await {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Err(Failure::usage(format!("{error}.")));
            }
            // Where it was not taken whole, what was said before tells why.
            Ok(()) | Err(_) => {}
        }
        let lost =
            |why: &str| Failure::unreachable(format!("the agent was lost: {why}. See that it runs, and try again."));
        let answer = connection.next().await.map_err(|error| lost(&escape(&error.to_string())))?;
        answer.ok_or_else(|| lost("it closed the connection"))
    };
    let late = async {
        Timer::after(ANSWER_TIME).await;
        let seconds = ANSWER_TIME.as_secs();
        Err(Failure::unreachable(format!(
            "the agent did not answer within {seconds} s. Look with castellan requests mine what became of it."
        )))
    };
    smol::block_on(conversation.or(late))
}

/// What is not the answer that was hoped for.
fn refused(answer: &ToCaller) -> Failure {
    match answer {
        ToCaller::NotFound { what, why, fix } => Failure::not_found(escape(&format!("{what} {why} {fix}"))),
        ToCaller::Denied { what, why, fix, .. } => Failure::denied(escape(&format!("{what} {why} {fix}"))),
        ToCaller::Tell { .. }
        | ToCaller::Prompt { .. }
        | ToCaller::Launching
        | ToCaller::Stopped(_)
        | ToCaller::Ended(_)
        | ToCaller::Own(_)
        | ToCaller::GaveUp(_) => {
            Failure::failed("the agent answers something else than it was asked. Use the castellan of this agent.")
        }
    }
}

fn shown(own: &Own, globals: &Globals) -> Result<Vec<String>, Failure> {
    let mut requests = Table::new(globals, &["REQUEST", "STATUS", "WAITS FOR", "UNTIL", "ASKED", "COMMAND"]);
    for request in &own.requests {
        let waits_for = request.waits_for.iter().map(|control| control.as_str()).collect::<Vec<_>>().join(", ");
        let (until, asked) = (globals.when(request.until.as_deref()), globals.when(Some(&request.asked_at)));
        requests.row(&[&request.request_id, &status(request), &waits_for, &until, &asked, &request.command]);
    }
    let mut lines = if requests.is_empty() { vec![String::from("No requests.")] } else { requests.lines()? };
    lines.extend(more(own.requests_left_out, "that ended before"));
    lines.extend(own.requests.iter().filter_map(outcome));
    lines.push(String::new());
    let mut grants = Table::new(globals, &["GRANT", "UNTIL", "STANDS FOR", "COMMAND"]);
    for grant in &own.grants {
        let controls = grant.controls.iter().map(|control| control.as_str()).collect::<Vec<_>>().join(", ");
        grants.row(&[&grant.request_id, &globals.when(Some(&grant.until)), &controls, &grant.command]);
    }
    lines.extend(if grants.is_empty() { vec![String::from("No grants.")] } else { grants.lines()? });
    lines.extend(more(own.grants_left_out, "that count"));
    Ok(lines)
}

fn more(count: usize, which: &str) -> Option<String> {
    (count > 0).then(|| format!("and {count} more {which}"))
}

/// Where one stands, with how its program ended.
fn status(request: &OwnRequest) -> String {
    let status = request.status.as_str();
    request.exit.as_ref().map_or_else(|| status.to_owned(), |exit| format!("{status}: {exit}"))
}

/// Why one is over whose program did not end by itself, with its name.
fn outcome(request: &OwnRequest) -> Option<String> {
    let Explanation { what, why, fix } = request.explanation.as_ref()?;
    let name = match what.contains(&request.request_id) {
        true => String::new(),
        false => format!("{}: ", request.request_id),
    };
    Some(escape(&format!("{name}{what} {why} {fix}")))
}
