//! `castellan policy test`: what the policies of a root would answer to a request, with every filter and what would change it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use castellan_core::log_message::escape;
use castellan_core::policy::{
    Compared, Considered, Decision, LocalTime, PolicyType, Request, Signer, Standing, User, words,
};
use castellan_core::surroundings::DEFAULT_PATH;
use castellan_core::time::WallTime;
use clap::Args;

use crate::cli::inputs;
use crate::cli::output::Globals;
use crate::failure::Failure;
use crate::policies_in_force::PoliciesInForce;

/// Stands for a user whom this machine does not know; no filter looks at ids.
const NOBODY: u32 = 65_534;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan policy test --user alice --command 'apt update'
  castellan policy test --user bob --group staff --command /usr/bin/id --at 2026-12-24T22:00:00+01:00 -o json
  castellan policy test --type FileAccess --user alice --command /etc/shadow

With -o json: the decision as it is answered on KeeperPolicy; with -o name: ALLOW, DENY or PENDING with its controls. The exit code is 0
whatever is decided. Policies that were delivered count as those of the folder do, each as it is signed.")]
pub(crate) struct Options {
    /// Who asks.
    #[arg(long)]
    user: String,
    /// A group of the user; may be said several times. Without it they are those that this machine knows.
    #[arg(long)]
    group: Vec<String>,
    /// What is to run, quoted as for a shell: a name of the search path or an absolute path, and arguments. For FileAccess the file.
    #[arg(long)]
    command: String,
    /// What it is about: PrivilegeElevation, CommandLine or FileAccess.
    #[arg(long = "type", default_value = "PrivilegeElevation", value_parser = policy_type)]
    policy_type: PolicyType,
    /// When (RFC 3339); now where not given.
    #[arg(long)]
    at: Option<String>,
    /// The machine's time zone: an IANA name. This machine's where not given.
    #[arg(long)]
    tz: Option<String>,
    /// The host name of the machine; this one's where not given.
    #[arg(long)]
    machine: Option<String>,
    /// Whose signature the file has: the SHA-1 or SHA-256 of the certificate, in hexadecimal digits.
    #[arg(long)]
    signer: Option<String>,
}

pub(super) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let at = inputs::instant(options.at.as_deref())?;
    let request = request(options, at, &globals.root)?;
    let set = PoliciesInForce::open(&globals.root)?.read(at).compile();
    let decision = set.evaluate(&request).decision();
    let verdict = decision.verdict.to_string();
    globals.show(&decision, &[&verdict], || Ok(told(&decision)))
}

fn policy_type(text: &str) -> Result<PolicyType, String> {
    let names = PolicyType::ALL.map(PolicyType::as_str).join(", ");
    PolicyType::from_name(text).ok_or_else(|| format!("it must be one of {names}"))
}

fn request(options: &Options, at: WallTime, root: &Path) -> Result<Request, Failure> {
    let mut words = words(&options.command).map_err(Failure::usage)?.into_iter();
    let program = words.next().ok_or_else(|| Failure::usage("the command is empty; name what is to run."))?;
    let zone = options.tz.clone().unwrap_or_else(crate::surroundings::time_zone);
    let at = LocalTime::new(at, &zone).map_err(Failure::usage)?;
    let (user, home) = user(options)?;
    let root = root.display().to_string();
    let mut variables = crate::surroundings::path_variables(&root, home.as_deref().unwrap_or_default());
    if home.is_none() {
        variables.retain(|name, _| !matches!(name.as_str(), "home" | "userdesktop" | "documents"));
    }
    let host = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    Ok(Request {
        policy_type: options.policy_type,
        user,
        machine: options.machine.clone().unwrap_or_else(host),
        file_path: file_path(&program)?,
        command_line: options.command.clone(),
        arguments: words.collect(),
        has_desktop: false,
        at,
        signer: options.signer.as_ref().map(|thumbprint| {
            let thumbprint = thumbprint.to_ascii_lowercase();
            Signer { sha1: thumbprint.clone(), sha256: thumbprint }
        }),
        variables,
    })
}

/// The user, and his home where this machine knows him.
fn user(options: &Options) -> Result<(User, Option<String>), Failure> {
    let name = options.user.clone();
    let given: BTreeSet<String> = options.group.iter().cloned().collect();
    match castellan_process::account(&name) {
        Ok((account, groups)) => {
            let groups = if given.is_empty() { groups } else { given };
            Ok((User { uid: account.uid, name: account.name, groups }, Some(account.home)))
        }
        Err(_) if !given.is_empty() => Ok((User { uid: NOBODY, name, groups: given }, None)),
        Err(why) => {
            Err(Failure::not_found(format!("{why}. Name the groups of a user of other machines with --group.")))
        }
    }
}

/// The path of a program with its links resolved, as the agent sees it; one that is not here as it is given.
fn file_path(program: &str) -> Result<String, Failure> {
    let found = if program.contains('/') {
        PathBuf::from(program)
    } else {
        let places = DEFAULT_PATH.split(':').map(|folder| Path::new(folder).join(program));
        places.into_iter().find(|path| path.is_file()).ok_or_else(|| {
            Failure::not_found(format!("there is no program {} in {DEFAULT_PATH}. Give its path.", escape(program)))
        })?
    };
    let path = found.canonicalize().unwrap_or(found);
    path.into_os_string().into_string().map_err(|path| Failure::usage(format!("{} is no UTF-8.", path.display())))
}

/// The decision for people.
fn told(decision: &Decision) -> Vec<String> {
    let explanation = &decision.explanation;
    let mut lines = vec![decision.verdict.to_string(), explanation.why.clone(), explanation.fix.clone()];
    let flags = [("audited", decision.audit), ("recorded", decision.record)];
    lines.extend(flags.iter().filter(|(_, is)| *is).map(|(what, _)| format!("It is {what}.")));
    lines.extend(
        decision
            .notify
            .iter()
            .map(|notice| format!("{} tells the user: {}", escape(notice.policy_id.as_str()), escape(&notice.message))),
    );
    for policy in &explanation.policies {
        lines.push(String::new());
        lines.extend(considered(policy));
    }
    lines
}

/// A policy that was considered, with each filter that was compared.
pub(in crate::cli) fn considered(policy: &Considered) -> Vec<String> {
    [heading(policy)].into_iter().chain(policy.filters.iter().map(filter)).collect()
}

fn heading(policy: &Considered) -> String {
    let id = escape(policy.policy_id.as_str());
    let file = if policy.policy_id.as_str() == policy.file {
        String::new()
    } else {
        format!(" ({}.json)", escape(&policy.file))
    };
    let standing = match policy.standing {
        Standing::Decided => "decided",
        Standing::Unreadable => "cannot be read",
        Standing::Matched => "matches",
        Standing::NotMatched => "does not match",
        Standing::NotEvaluated => "is not evaluated",
    };
    let said = if policy.controls.is_empty() { String::new() } else { format!(", {}", policy.controls.join(" ")) };
    let status = if policy.status.is_empty() { String::new() } else { format!(": {}{said}", policy.status) };
    let why = if policy.why.is_empty() { String::new() } else { format!(". {}", policy.why) };
    format!("{id}{file} {standing}{status}{why}")
}

fn filter(filter: &Compared) -> String {
    let holds = if filter.holds { "holds" } else { "fails" };
    let against = if filter.against.is_empty() { String::from("everything") } else { filter.against.join(", ") };
    let asked = if filter.asked.is_empty() { String::new() } else { format!("{} against ", filter.asked) };
    let message = if filter.message.is_empty() { String::new() } else { format!(" ({})", filter.message) };
    format!("  {holds}  {}: {asked}{against}{message}", filter.filter)
}
