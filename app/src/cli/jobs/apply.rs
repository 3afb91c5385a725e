//! `castellan jobs apply` and `validate`: job files to the agent, its findings back with their places in the files.

use std::path::{Path, PathBuf};

use castellan_core::id::JobId;
use castellan_core::json::Json;
use castellan_core::log_message::escape;
use clap::Args;

use crate::cli::agent::{Agent, Answer};
use crate::cli::inputs;
use crate::cli::output::{self, Globals};
use crate::cli::position::{self, Mark};
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan jobs apply backup.json scan.json
  castellan jobs apply Jobs/ --dry-run
  castellan jobs show backup -o json | jq '.enabled = false' | castellan jobs apply -")]
pub(crate) struct Options {
    /// Job files, folders of them, or - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Let the agent judge the files, and say what would be done.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example: castellan jobs validate backup.json\n\nWithout a running agent: castellan jobs lint FILE"
)]
pub(crate) struct Validate {
    /// Job files, folders of them, or - for standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// Applies every file; a refused one does not keep the others back.
pub(crate) fn run(options: &Options, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let mut done = Vec::new();
    let outcome = each(&options.files, |file, bytes| {
        let (id, what) = apply(file, bytes, options.dry_run, agent)?;
        done.push((id, what.to_owned()));
        Ok(())
    });
    globals.written(&done, options.dry_run)?;
    outcome
}

/// Lets the agent judge every file.
pub(crate) fn validate(options: &Validate, agent: &Agent, globals: &Globals) -> Result<(), Failure> {
    let mut done = Vec::new();
    let outcome = each(&options.files, |file, bytes| {
        judge(file, bytes, agent)?;
        done.push((file.to_owned(), String::from("valid")));
        Ok(())
    });
    globals.written(&done, false)?;
    outcome
}

/// Goes through files. Where several fail, each is told, and the first failure is the command's.
fn each(files: &[PathBuf], mut act: impl FnMut(&str, &[u8]) -> Result<(), Failure>) -> Result<(), Failure> {
    let mut first = None;
    for path in expanded(files)? {
        let name = if path == Path::new("-") { String::from("standard input") } else { path.display().to_string() };
        let result = bytes(&path).and_then(|bytes| act(&name, &bytes));
        if let Err(failure) = result {
            match first {
                None => first = Some(failure),
                Some(_) => output::warn(&failure.to_string())?,
            }
        }
    }
    first.map_or(Ok(()), Err)
}

fn expanded(files: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    for path in files {
        if !path.is_dir() {
            paths.push(path.clone());
            continue;
        }
        let found = inputs::json_files(path)?;
        if found.is_empty() {
            return Err(Failure::not_found(format!("{} has no *.json file.", path.display())));
        }
        paths.extend(found);
    }
    Ok(paths)
}

fn bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    if path == Path::new("-") { inputs::bounded(std::io::stdin().lock(), "standard input") } else { inputs::read(path) }
}

fn apply(file: &str, bytes: &[u8], dry_run: bool, agent: &Agent) -> Result<(String, &'static str), Failure> {
    let id = Json::parse(bytes).ok().and_then(|json| json.lookup(&["id"]).and_then(Json::as_str).map(str::to_owned));
    let Some(id) = id.filter(|id| JobId::parse(id).is_ok()) else {
        judge(file, bytes, agent)?;
        return Err(Failure::invalid_file(format!("{} has no id; give it one.", escape(file))));
    };
    let target = format!("/api/Jobs/{id}");
    let current = agent.send("GET", &target, &[], None)?;
    // A file that is out of service is answered with its findings: it is there, and may be replaced.
    let exists = current.status == 200 || !current.findings().is_empty();
    if current.status != 200 && current.status != 404 {
        current.accepted()?;
    }
    if current.status == 200 && current.body == bytes {
        return Ok((id, "unchanged"));
    }
    if dry_run {
        judge(file, bytes, agent)?;
        return Ok((id, if exists { "configured" } else { "created" }));
    }
    let tag: Vec<(&str, &str)> = current.header("etag").map(|tag| ("If-Match", tag)).into_iter().collect();
    let answer = if exists {
        agent.send("PUT", &target, &tag, Some(bytes.to_vec()))?
    } else {
        agent.send("POST", "/api/Jobs", &[], Some(bytes.to_vec()))?
    };
    refused(file, bytes, &answer)?;
    Ok((id, if exists { "configured" } else { "created" }))
}

fn judge(file: &str, bytes: &[u8], agent: &Agent) -> Result<(), Failure> {
    refused(file, bytes, &agent.send("POST", "/api/Jobs/validate", &[], Some(bytes.to_vec()))?)
}

/// The failure that shows where in the file a refusal's findings are; any other refusal in the agent's words.
pub(in crate::cli) fn refused(file: &str, bytes: &[u8], answer: &Answer) -> Result<(), Failure> {
    let findings: Vec<Mark> = answer.findings();
    if answer.status == 400 && !findings.is_empty() {
        let lines = position::shown(file, bytes, &findings).join("\n");
        return Err(Failure::invalid_file(format!(
            "the agent refuses {}; nothing was written.\n{lines}",
            escape(file)
        )));
    }
    match answer.accepted() {
        Err(failure) if answer.status == 413 => Err(Failure::invalid_file(format!("{}: {failure}", escape(file)))),
        answered => answered.map(|_| ()),
    }
}
