//! The steps of the story, each with what has to come of it.

use std::io;
use std::path::Path;

use castellan_core::time::WallTime;
use serde_json::{Value, json};

use super::Cast;
use super::person::Person;
use crate::clock::Clock;
use crate::demo::print;
use crate::demo::root;
use crate::failure::Failure;

/// What the user wants to run; who runs it as root sees 0.
const COMMAND: [&str; 2] = ["id", "-u"];
/// The same program with other arguments, for which nothing was granted.
const OTHER_COMMAND: [&str; 2] = ["id", "-g"];
/// Where it is.
const PLACES: [&str; 2] = ["/usr/bin/id", "/bin/id"];
/// What the policy stands in.
const POLICY: &str = "Policies/demo.json";
/// `castellan elevate` was denied.
const DENIED: i32 = 4;
/// It was ended by Ctrl-C.
const INTERRUPTED: i32 = 130;
const CODE: &str = "Code of your authenticator";
const REASON: &str = "Reason for running";
const REASON_GIVEN: &str = "to show how it works";
/// Length of a step of an authenticator, milliseconds.
const STEP_MILLIS: i64 = 30_000;

/// What is installed before the agent starts.
pub(super) fn opening(cast: &Cast) -> Result<(), Failure> {
    let Cast { root, user, .. } = cast;
    let name = &user.name;
    print(&format!(
        "Castellan demo: {name} runs a program as root, as far as policies allow it.\nThe agent root: {}",
        root.display()
    ))?;
    step(
        "What comes with the agent is installed: the plugin KeeperPolicy, jobs, task programs. Then the agent starts.",
    )?;
    cast.shown(&["init"]).map(drop)
}

/// The story.
pub(super) async fn tell(cast: &Cast) -> Result<(), Failure> {
    nothing_is_allowed(cast).await?;
    a_policy_allows(cast).await?;
    let secret = a_policy_asks(cast)?;
    let used = controls_are_met(cast, &secret).await?;
    a_code_counts_once(cast, &used).await?;
    step("All of it is on record, in a chain that shows every change; and what became of a request can be asked.")?;
    cast.shown(&["audit", "verify"])?;
    let asked = cast.shown(&["requests", "list", "--user", &cast.user.name, "--status", "Finished", "-o", "name"])?;
    cast.shown(&["why", asked.lines().next().unwrap_or_default()]).map(drop)
}

async fn nothing_is_allowed(cast: &Cast) -> Result<(), Failure> {
    step("No policy: nothing is allowed, and the answer says what to do.")?;
    denied(cast, &cast.user).await
}

async fn a_policy_allows(cast: &Cast) -> Result<(), Failure> {
    let name = &cast.user.name;
    step(&format!(
        "An administrator allows it to {name}. The policy counts from the next question on; nothing is started again."
    ))?;
    policy(cast, &["ALLOW"])?;
    let (code, shown) = asked(cast, &cast.user, &COMMAND).await?;
    expect(code == 0 && shown.trim_end().ends_with('0'), "the program runs as root")?;
    step("Somebody else is still denied.")?;
    denied(cast, &cast.other).await
}

/// The secret of the user's authenticator.
fn a_policy_asks(cast: &Cast) -> Result<String, Failure> {
    let name = cast.user.name.as_str();
    step(&format!(
        "The policy asks for a second factor and a reason. {name} gets an authenticator, which this demo plays."
    ))?;
    policy(cast, &["MFA", "JUSTIFY"])?;
    let enrolled = cast.administrator(&["mfa", "enroll", name, "--no-confirm", "-o", "json"])?;
    let enrolled: Value = serde_json::from_str(&enrolled).map_err(Failure::failed)?;
    let text = |member: &str| enrolled.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
    print(&format!("   {}", text("uri")))?;
    Ok(text("secret"))
}

/// The code that was right.
async fn controls_are_met(cast: &Cast, secret: &str) -> Result<String, Failure> {
    step("The same command asks now. A wrong code is refused; the right one and a reason are accepted.")?;
    let mut terminal = cast.terminal(&cast.user, &COMMAND)?;
    terminal.sees(CODE).await.map_err(broke)?;
    let now = Clock::start().now().wall;
    let (right, wrong) = (code(secret, now)?, wrong(secret, now)?);
    terminal.types_hidden(&wrong, "a wrong code").await.map_err(broke)?;
    terminal.sees("That code is wrong").await.map_err(broke)?;
    terminal.sees(CODE).await.map_err(broke)?;
    terminal.types_hidden(&right, "what the authenticator shows").await.map_err(broke)?;
    terminal.sees(REASON).await.map_err(broke)?;
    terminal.types(REASON_GIVEN).await.map_err(broke)?;
    let (ended, shown) = terminal.ends().await.map_err(broke)?;
    expect(ended == 0 && shown.trim_end().ends_with('0'), "the program runs as root")?;
    Ok(right)
}

async fn a_code_counts_once(cast: &Cast, used: &str) -> Result<(), Failure> {
    step("A code counts once: for another command the same one is refused, and Ctrl-C withdraws the request.")?;
    let mut terminal = cast.terminal(&cast.user, &OTHER_COMMAND)?;
    terminal.sees(CODE).await.map_err(broke)?;
    terminal.types_hidden(used, "the code that was right before").await.map_err(broke)?;
    terminal.sees("was used before").await.map_err(broke)?;
    terminal.sees(CODE).await.map_err(broke)?;
    terminal.interrupts().await.map_err(broke)?;
    let (ended, _) = terminal.ends().await.map_err(broke)?;
    expect(ended == INTERRUPTED, "the request is withdrawn")
}

async fn denied(cast: &Cast, person: &Person) -> Result<(), Failure> {
    let (code, _) = asked(cast, person, &COMMAND).await?;
    print(&format!("   (exit code {code})"))?;
    expect(code == DENIED, "it is denied")
}

async fn asked(cast: &Cast, person: &Person, words: &[&str]) -> Result<(i32, String), Failure> {
    cast.terminal(person, words)?.ends().await.map_err(broke)
}

/// Puts the policy for the user in place of the one that was there.
fn policy(cast: &Cast, controls: &[&str]) -> Result<(), Failure> {
    let program = PLACES.iter().find_map(|place| Path::new(place).canonicalize().ok());
    let program = program.ok_or_else(|| Failure::failed("this machine has no program id(1)"))?;
    let document = json!({
        "PolicyId": "demo", "PolicyType": "PrivilegeElevation", "Status": "enforce", "Controls": controls,
        "Rules": [ { "Expression": "CheckUser()" }, { "Expression": "CheckFile(false)" } ],
        "UserCheck": [cast.user.name], "ApplicationCheck": [program.display().to_string()]
    });
    root::write(&cast.root.join(POLICY), &document)
        .map_err(|error| Failure::failed(format!("{POLICY} cannot be written: {error}")))?;
    print(&format!("   root# cat {POLICY}\n   {document}"))
}

fn code(secret: &str, at: WallTime) -> Result<String, Failure> {
    castellan_fs::mfa::shown(secret, at).map_err(Failure::failed)
}

/// A code that is none of those that count now.
fn wrong(secret: &str, now: WallTime) -> Result<String, Failure> {
    let near = [-2, -1, 0, 1, 2].map(|step: i64| now.as_millis().saturating_add(step.saturating_mul(STEP_MILLIS)));
    let near = near.into_iter().map(|at| code(secret, WallTime::from_millis(at))).collect::<Result<Vec<_>, _>>()?;
    let found = (100_000..).map(|number: u32| number.to_string()).find(|code| !near.contains(code));
    Ok(found.unwrap_or_default())
}

fn step(text: &str) -> Result<(), Failure> {
    print(&format!("\n== {text}"))
}

fn expect(holds: bool, what: &str) -> Result<(), Failure> {
    if holds {
        Ok(())
    } else {
        Err(Failure::failed(format!("the story went wrong: {what} was expected, and is not so")))
    }
}

fn broke(error: io::Error) -> Failure {
    Failure::failed(format!("the story broke off: {error}"))
}
