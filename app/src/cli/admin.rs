//! `castellan admin`: who is an administrator. A running agent is asked, so that what it takes back ends at once; on the files of
//! one that does not run, root does the same by the same rules.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use castellan_core::audit::{Act, CertificateOutcome, Entry};
use castellan_core::certificate::{
    AdminCertificate, CertificateChange, CertificatesChanged, DAYS, DEFAULT_DAYS, NotChanged, Refusal, Shown,
    decide_issue, decide_revoke,
};
use castellan_core::log_message::escape;
use castellan_core::time::WallTime;
use castellan_fs::audit::AuditFile;
use castellan_fs::certificates::{AdminAuthority, SigningRequest};
use castellan_fs::past::is_running;
use castellan_fs::{Root, RootError};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::agent::Agent;
use super::inputs;
use super::output::{self, Globals};
use super::table::{Table, items, member, text};
use crate::clock::Clock;
use crate::failure::Failure;

const CERTIFICATES: &str = "/api/admin/certificates";
/// Who changes the files of a stopped agent, for the list.
const OFFLINE: &str = "the command line, while the agent was stopped";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key and have a certificate issued for it. The key leaves this command in NAME.key alone.
    Issue(Issue),
    /// List the certificates: name, SHA-256, from, until, state (valid, notYetValid, expired, revoked).
    #[command(after_help = "Example: sudo castellan admin list -o wide")]
    List,
    /// Take certificates back. Open connections of theirs end at once.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo castellan admin issue alice --days 30 --out /srv/alice")]
pub(crate) struct Issue {
    /// For whom: 1 to 64 letters, digits and . - _ @
    #[arg(value_name = "NAME")]
    name: String,
    /// How long it counts.
    #[arg(long, default_value_t = DEFAULT_DAYS, value_parser = clap::value_parser!(u16).range(i64::from(*DAYS.start())..=i64::from(*DAYS.end())))]
    days: u16,
    /// The folder for NAME.key and NAME.pem; nothing in it is replaced.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: sudo castellan admin revoke alice")]
pub(crate) struct Revoke {
    /// A name, for all its certificates, or the SHA-256 of one.
    #[arg(value_name = "NAME|SHA256")]
    whose: String,
    /// Also where it is the last one of who asks, or of all.
    #[arg(long)]
    force: bool,
}

/// Carries it out.
pub(crate) fn run(command: &Command, globals: &Globals) -> Result<(), Failure> {
    let place = Place::find(&globals.root)?;
    match command {
        Command::Issue(options) => issue(options, &place, globals),
        Command::List => list(&place, globals),
        Command::Revoke(options) => revoke(options, &place, globals),
    }
}

/// Where the list is changed.
enum Place {
    /// By the agent that runs.
    Agent(Box<Agent>),
    /// In the files, locked as long as this lives.
    Files(Root),
}

impl Place {
    fn find(root: &Path) -> Result<Self, Failure> {
        if is_running(root) {
            return Agent::find(root).map(|agent| Self::Agent(Box::new(agent)));
        }
        // Who may not look into state/ cannot know whether an agent ever ran there.
        if let Err(error) = std::fs::metadata(root.join("state/boot"))
            && error.kind() == ErrorKind::PermissionDenied
        {
            return Err(inputs::unreadable(&root.join("state"), &error));
        }
        match Root::open_stopped(root) {
            Ok(root) => Ok(Self::Files(root)),
            Err(error @ RootError::Invalid { .. }) => Err(Failure::not_found(error)),
            Err(error) => Err(Failure::denied(error)),
        }
    }
}

fn issue(options: &Issue, place: &Place, globals: &Globals) -> Result<(), Failure> {
    let name = &options.name;
    // The name becomes that of files.
    decide_issue(&[], now(), name, i64::from(options.days)).map_err(refused)?;
    let asked = SigningRequest::create(name).map_err(Failure::failed)?;
    // Before anything is issued that would then have no place.
    let certificate = options.out.join(format!("{name}.pem"));
    if certificate.symlink_metadata().is_ok() {
        let (shown, fix) = (certificate.display(), "Move it away, or name another folder or another holder.");
        return Err(Failure::failed(format!("{shown} is there already. {fix}")));
    }
    let key = asked.write_key(&options.out, name).map_err(Failure::failed)?;
    let issued = issued(place, options, asked.pem).map_err(|failure| match std::fs::remove_file(&key) {
        Ok(()) => failure,
        Err(error) => Failure::failed(format!("{failure} And {} could not be removed: {error}.", key.display())),
    })?;
    let text = |name: &str| issued.get(name).and_then(Value::as_str).unwrap_or_default();
    let certificate = SigningRequest::write_certificate(&options.out, name, text("certificate")).map_err(|error| {
        let fix = "The certificate was issued and is lost; take it back: castellan admin revoke";
        Failure::failed(format!("{error} {fix} {}", text("sha256")))
    })?;
    let (key, certificate) = (key.display().to_string(), certificate.display().to_string());
    let document = with(with(issued.clone(), "keyFile", &key), "certificateFile", &certificate);
    globals.show(&document, &[text("sha256")], || {
        Ok(vec![
            format!("'{name}' is an administrator until {}.", text("notAfter")),
            format!("  key          {}", escape(&key)),
            format!("  certificate  {}", escape(&certificate)),
            format!("  SHA-256      {}", text("sha256")),
        ])
    })
}

/// The new certificate with its PEM, as the API shows it.
fn issued(place: &Place, options: &Issue, request: String) -> Result<Value, Failure> {
    let (name, days) = (options.name.clone(), options.days);
    let root = match place {
        Place::Agent(agent) => {
            let body = json!({ "name": name, "days": days, "certificateRequest": request });
            return agent.ask("POST", CERTIFICATES, Some(&body));
        }
        Place::Files(root) => root,
    };
    decide_issue(&listed(root)?, now(), &name, i64::from(days)).map_err(refused)?;
    let change = CertificateChange::Issue { name, days, request };
    let (changed, audit) = change_files(root, &change)?;
    let Some((issued, pem)) = changed.issued else {
        return Err(Failure::failed("no certificate was made. Report this as a defect."));
    };
    put_on_record(audit, root, Act::issued(CertificateOutcome::Issued, &issued))?;
    serde_json::to_value(Shown { certificate: Some(pem), ..issued.shown(now()) }).map_err(Failure::failed)
}

fn list(place: &Place, globals: &Globals) -> Result<(), Failure> {
    let listed = match place {
        Place::Agent(agent) => agent.get(CERTIFICATES)?,
        Place::Files(root) => {
            let shown: Vec<Shown> = listed(root)?.iter().map(|one| one.shown(now())).collect();
            serde_json::to_value(shown).map_err(Failure::failed)?
        }
    };
    let names: Vec<&str> = items(&listed).iter().filter_map(|one| text(one, "sha256")).collect();
    globals.show(&listed, &names, || {
        let mut table = Table::new(globals, &["NAME", "STATE", "FROM", "UNTIL", "SHA-256"]);
        for one in items(&listed) {
            let (from, until) = (globals.when(text(one, "notBefore")), globals.when(text(one, "notAfter")));
            table.row(&[&member(one, "name"), &member(one, "state"), &from, &until, &member(one, "sha256")]);
        }
        table.lines()
    })
}

fn revoke(options: &Revoke, place: &Place, globals: &Globals) -> Result<(), Failure> {
    let revoked = match place {
        Place::Agent(agent) => {
            let force = if options.force { "?force=true" } else { "" };
            if !is_named(&options.whose) {
                return Err(Failure::not_found("no certificate has such a name. castellan admin list shows them."));
            }
            agent.ask("DELETE", &format!("{CERTIFICATES}/{}{force}", options.whose), None)?
        }
        Place::Files(root) => {
            let list = listed(root)?;
            let sha256 = decide_revoke(&list, now(), &options.whose, None, options.force).map_err(refused)?;
            let change = CertificateChange::Revoke { sha256: sha256.clone(), by: OFFLINE.to_owned() };
            let (_, audit) = change_files(root, &change)?;
            put_on_record(audit, root, Act::revoked(&list, &sha256))?;
            json!({ "revoked": sha256 })
        }
    };
    let gone: Vec<&str> =
        revoked.get("revoked").map(items).unwrap_or_default().iter().filter_map(Value::as_str).collect();
    globals.show(&revoked, &gone, || Ok(gone.iter().map(|one| format!("Revoked: {one}")).collect()))
}

fn now() -> WallTime {
    Clock::start().now().wall
}

fn listed(root: &Root) -> Result<Vec<AdminCertificate>, Failure> {
    AdminAuthority::open(root, now()).map(|authority| authority.issued).map_err(Failure::invalid_file)
}

/// Changes the list; with the audit, which is opened first so that nothing is changed where nothing can be put on record.
fn change_files(root: &Root, change: &CertificateChange) -> Result<(CertificatesChanged, AuditFile), Failure> {
    let audit = AuditFile::open(root, now()).map_err(Failure::failed)?;
    let changed = AdminAuthority::change(root, change, now()).map_err(|error| match error {
        NotChanged::Request(why) | NotChanged::Failed(why) => Failure::failed(why),
    })?;
    Ok((changed, audit))
}

fn put_on_record(mut audit: AuditFile, root: &Root, what: Act) -> Result<(), Failure> {
    audit.take_notices().iter().try_for_each(|notice| output::warn(notice))?;
    let (time, boot, who) = (now().to_rfc3339(), root.boot(), String::from("root"));
    let entry = Entry { time, boot, who, request: None, what };
    audit
        .append(&[&entry])
        .map_err(|error| Failure::failed(format!("the list was changed, which is not on record: {error}")))
}

fn refused(refusal: Refusal) -> Failure {
    let text = escape(&refusal.explanation().to_string());
    match refusal {
        Refusal::Invalid(_) => Failure::usage(text),
        Refusal::NotFound(_) => Failure::not_found(text),
        Refusal::Conflict(_) => Failure::failed(text),
    }
}

/// Whether it may stand in a path as it is; every name and every SHA-256 may.
fn is_named(whose: &str) -> bool {
    !whose.is_empty() && whose.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-@".contains(letter))
}

fn with(mut document: Value, name: &str, value: &str) -> Value {
    if let Some(members) = document.as_object_mut() {
        members.insert(name.to_owned(), Value::from(value));
    }
    document
}
