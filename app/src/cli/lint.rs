//! `castellan job lint`: what is wrong or in vain in job and plugin files.

use std::path::PathBuf;

use castellan_core::job::OperatingSystem;
use castellan_core::job::lint::{Document, lint};
use clap::Args;
use serde_json::json;

use super::inputs;
use super::output::{self, Form};
use crate::failure::Failure;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Job and plugin files, or folders of them; what they do to each other is looked at too.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Text, or json: {"files":[{"file","valid","findings":[{"path","code","message","severity"}]}]}.
    #[arg(short, long, value_enum, default_value_t = Form::Text)]
    output: Form,
}

pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for path in &options.files {
        if path.is_dir() { paths.extend(inputs::json_files(path)?) } else { paths.push(path.clone()) }
    }
    let mut files = Vec::new();
    for path in &paths {
        files.push((path.display().to_string(), inputs::stem(path), inputs::read(path)?));
    }
    let documents: Vec<Document<'_>> = files.iter().map(|(file, stem, bytes)| Document { file, stem, bytes }).collect();
    let linted = lint(&documents, OperatingSystem::Linux);
    let invalid = linted.iter().filter(|file| !file.valid).count();
    match options.output {
        Form::Json => output::json(&json!({ "files": linted }))?,
        Form::Text => {
            let mut lines: Vec<String> = linted
                .iter()
                .flat_map(|linted| linted.findings.iter().map(|finding| inputs::shown(&linted.file, finding)))
                .collect();
            lines.push(format!("{} files, {} findings, {invalid} files with errors.", linted.len(), lines.len()));
            output::lines(&lines)?;
        }
    }
    if invalid == 0 {
        return Ok(());
    }
    Err(Failure::invalid_file(format!("{invalid} of {} files have errors.", linted.len())))
}
