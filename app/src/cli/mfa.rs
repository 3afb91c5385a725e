//! `castellan mfa`: who has an authenticator for one-time codes. The running agent makes and keeps the secrets.

use std::io::{BufRead, IsTerminal, Read, Write};

use castellan_core::log_message::escape;
use clap::{Args, Subcommand};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use serde_json::{Value, json};

use super::agent::Agent;
use super::confirm::Confirmation;
use super::output::Globals;
use super::table::{Table, items, member, text};
use crate::failure::Failure;

const MFA: &str = "/api/mfa";
/// Codes that are asked for until the enrollment is taken back.
const CODES: usize = 3;
/// Characters of a line with a code that are read.
const LINE_BYTES: u64 = 64;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give a user an authenticator: its QR code and secret are shown once, and a code is asked for.
    Enroll(Enroll),
    /// List the users that have one: since when, by whom, used or never, locked until.
    #[command(after_help = "Example: sudo castellan mfa list")]
    List,
    /// Take a user's authenticator away; its codes count no more.
    Remove(Remove),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  sudo castellan mfa enroll alice
  sudo castellan mfa enroll alice --no-confirm -o json")]
pub(crate) struct Enroll {
    /// The account, as the machine names it.
    #[arg(value_name = "USER")]
    user: String,
    /// Do not ask for a code that shows that the authenticator took the secret.
    #[arg(long)]
    no_confirm: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo castellan mfa remove alice")]
pub(crate) struct Remove {
    /// The account.
    #[arg(value_name = "USER")]
    user: String,
    #[command(flatten)]
    confirmation: Confirmation,
}

/// Carries it out.
pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let agent = Agent::find(&globals.root)?;
    match command {
        Command::Enroll(options) => enroll(options, &agent, globals),
        Command::List => list(&agent, globals),
        Command::Remove(Remove { user, confirmation }) => {
            confirmation.ask(&format!("Codes of {} will count no more.", escape(user)))?;
            agent.ask("DELETE", &of(user), None)?;
            globals.written(&[(user.clone(), String::from("removed"))], false)
        }
    }
}

fn of(user: &str) -> String {
    format!("{MFA}/{}", utf8_percent_encode(user, NON_ALPHANUMERIC))
}

fn enroll(options: &Enroll, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let Enroll { user, no_confirm } = options;
    if !no_confirm && globals.is_for_programs() {
        return Err(Failure::usage("a code can be asked for where people read the answer; say it with --no-confirm."));
    }
    let enrolled = agent.ask("POST", &of(user), None)?;
    let uri = text(&enrolled, "uri").unwrap_or_default();
    globals.show(&enrolled, &[user], || {
        let code = QrCode::new(uri).map_err(Failure::failed)?;
        // Dark on light whatever the terminal's colours are: cameras do not read the reverse everywhere.
        let drawn = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
        let mut lines: Vec<String> = drawn.lines().map(str::to_owned).collect();
        lines.push(format!(
            "Scan it with the authenticator of {}, or type the secret: {}",
            escape(user),
            member(&enrolled, "secret")
        ));
        lines.push(escape(uri));
        lines.push(String::from("It is shown this once."));
        Ok(lines)
    })?;
    if *no_confirm {
        return Ok(());
    }
    confirm(user, agent, globals).map_err(|failure| match agent.ask("DELETE", &of(user), None) {
        Ok(_) => Failure::failed(format!("{failure} The enrollment was taken back.")),
        Err(error) => Failure::failed(format!("{failure} The enrollment could not be taken back: {error}")),
    })
}

/// Asks for a code until one counts.
fn confirm(user: &str, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::failed(format!("no code could be read: {error}."));
    for _ in 0..CODES {
        if std::io::stdin().is_terminal() {
            let mut out = std::io::stderr();
            write!(out, "Code: ").and_then(|()| out.flush()).map_err(failed)?;
        }
        let mut code = String::new();
        if Read::take(std::io::stdin().lock(), LINE_BYTES).read_line(&mut code).map_err(failed)? == 0 {
            return Err(Failure::failed("nobody gave a code. Use --no-confirm where nobody can be asked."));
        }
        let checked = agent.ask("POST", &of(user), Some(&json!({ "code": code.trim() })))?;
        if checked.get("verified") == Some(&Value::Bool(true)) {
            return globals.done(&format!("{} is enrolled.", escape(user)));
        }
        globals.note("The code is not right. Is the clock of the authenticator?")?;
    }
    Err(Failure::failed(format!("{CODES} codes were not right.")))
}

fn list(agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let listed = agent.get(MFA)?;
    let names: Vec<&str> = items(&listed).iter().filter_map(|one| text(one, "user")).collect();
    globals.show(&listed, &names, || {
        let mut table = Table::new(globals, &["USER", "ENROLLED", "BY", "USED", "LOCKED UNTIL"]);
        for one in items(&listed) {
            let (enrolled, until) = (globals.when(text(one, "enrolledAt")), globals.when(text(one, "lockedUntil")));
            let used = if one.get("used") == Some(&Value::Bool(true)) { "yes" } else { "never" };
            table.row(&[&member(one, "user"), &enrolled, &member(one, "enrolledBy"), used, &until]);
        }
        table.lines()
    })
}
