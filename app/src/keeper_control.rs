//! The task programs KeeperMfa, KeeperJustification and KeeperApproval: each has the agent see to one control of a request, waits, and
//! prints what came of it as one JSON object. They decide nothing: the agent asks the requester, judges, and remembers. So RedirectEvaluator
//! prints what the agent would launch.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use castellan_core::id::ElevationId;
use castellan_core::policy::Control;
use clap::Args;
use serde_json::{Value, json};

use crate::component::Agent;
use crate::failure::Failure;

/// For the agent's answer: longer than any control may take, as its own deadlines end each, and the task's `timeoutSeconds` this program.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// What the task's `arguments` give, besides the root.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// `{RequestId}`.
    #[arg(long)]
    request: String,
    /// `{KeeperApiBaseUrl}`.
    #[arg(long)]
    keeper_api_base: String,
}

/// Succeeds where the control is met.
pub(crate) fn run(control: Control, options: &Options, root: &Path) -> Result<(), Failure> {
    let name = control.as_str();
    let found = ask("POST", &format!("/controls/{name}"), options, root)?;
    print(&json!({ name: found }))?;
    if found.get("Satisfied") == Some(&Value::Bool(true)) {
        return Ok(());
    }
    Err(Failure::failed(format!("{name} was not met: {}", text(&found, "Reason"))))
}

/// Says what the agent would launch.
pub(crate) fn run_redirect(options: &Options, root: &Path) -> Result<(), Failure> {
    print(&ask("GET", "/redirect", options, root)?)
}

/// What the agent says of the request.
fn ask(method: &str, below: &str, options: &Options, root: &Path) -> Result<Value, Failure> {
    let Some(request) = ElevationId::from_text(&options.request) else {
        let shown = options.request.escape_default();
        return Err(Failure::usage(format!("--request '{shown}' is no request; give {{RequestId}}.")));
    };
    let agent = Agent::at(&options.keeper_api_base, root)?;
    let target = format!("/api/elevation/{request}{below}");
    let answer = agent.call(method, &target, LONGEST)?;
    let body = String::from_utf8_lossy(&answer.body);
    let found: Value = serde_json::from_str(&body).unwrap_or_default();
    if answer.status == 200 {
        return Ok(found);
    }
    let (detail, fix) = (text(&found, "detail"), text(&found, "fix"));
    Err(Failure::failed(format!("{method} {target} was answered {}: {detail} {fix}", answer.status)))
}

fn text<'v>(found: &'v Value, member: &str) -> &'v str {
    found.get(member).and_then(Value::as_str).unwrap_or_default()
}

fn print(value: &Value) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{value}").map_err(Failure::failed)
}
