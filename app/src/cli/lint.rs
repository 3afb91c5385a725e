//! `castellan jobs lint` and `castellan plugins lint`: what is wrong or in vain in job and plugin files.

use std::path::PathBuf;

use castellan_core::job::OperatingSystem;
use castellan_core::job::lint::{Document, Linted, lint};
use clap::Args;
use serde_json::json;

use super::inputs;
use super::output::Globals;
use super::position::{self, Mark};
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  castellan jobs lint /opt/castellan/Jobs new.json\n  castellan plugins lint /opt/castellan/Plugins /opt/castellan/Jobs\n\nWith -o json: {\"files\":[{\"file\",\"valid\",\"findings\":[{\"path\",\"code\",\"message\",\"severity\"}]}]}; with -o name: the files with errors"
)]
pub(crate) struct Options {
    /// Job and plugin files, or folders of them; what they do to each other is looked at too.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(crate) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for path in &options.files {
        if path.is_dir() { paths.extend(inputs::json_files(path)?) } else { paths.push(path.clone()) }
    }
    let mut files = Vec::new();
    for path in &paths {
        files.push((path.display().to_string(), inputs::stem(path), inputs::read(path)?));
    }
    let documents: Vec<Document<'_>> = files.iter().map(|(file, stem, bytes)| Document { file, stem, bytes }).collect();
    show(&lint(&documents, OperatingSystem::Linux), &documents, globals)
}

/// Prints what was found in files, each finding with its place.
pub(super) fn show(linted: &[Linted], documents: &[Document<'_>], globals: &Globals) -> Result<(), Failure> {
    let invalid = linted.iter().filter(|file| !file.valid).count();
    let text = || {
        let mut lines = Vec::new();
        let mut count = 0_usize;
        for (linted, document) in linted.iter().zip(documents) {
            let marks: Vec<Mark> = linted.findings.iter().map(Mark::from).collect();
            count = count.saturating_add(marks.len());
            lines.extend(position::shown(&linted.file, document.bytes, &marks));
        }
        lines.push(format!("{} files, {count} findings, {invalid} files with errors.", linted.len()));
        Ok(lines)
    };
    let names: Vec<&str> = linted.iter().filter(|file| !file.valid).map(|file| file.file.as_str()).collect();
    globals.show(&json!({ "files": linted }), &names, text)?;
    if invalid == 0 {
        return Ok(());
    }
    Err(Failure::invalid_file(format!("{invalid} of {} files have errors.", linted.len())))
}
