//! `castellan policy lint`: what is wrong or in vain in the files of policies and collections.

use std::path::PathBuf;

use castellan_core::job::OperatingSystem;
use castellan_core::job::lint::Document;
use castellan_core::policy::COLLECTIONS;
use castellan_core::policy::lint::lint;
use clap::Args;

use super::files::is_collection;
use crate::cli::output::Globals;
use crate::cli::{inputs, lint as definitions};
use crate::failure::Failure;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan policy lint /opt/castellan/Policies
  castellan policy lint editors.json collections/staff.json

With -o json: {\"files\":[{\"file\",\"valid\",\"findings\":[{\"path\",\"code\",\"message\",\"severity\"}]}]}; with -o name: the files with errors")]
pub(crate) struct Options {
    /// Files of policies, or folders of them; files in a folder named collections are collections. They are looked at together.
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

pub(super) fn run(options: &Options, globals: &Globals) -> Result<(), Failure> {
    let mut paths = Vec::new();
    for path in &options.files {
        if path.is_dir() {
            paths.extend(inputs::json_files(path)?);
            let collections = path.join(COLLECTIONS);
            if collections.is_dir() {
                paths.extend(inputs::json_files(&collections)?);
            }
        } else {
            paths.push(path.clone());
        }
    }
    let (collections, policies): (Vec<PathBuf>, Vec<PathBuf>) = paths.into_iter().partition(|path| is_collection(path));
    let mut files = Vec::new();
    for path in policies.iter().chain(&collections) {
        files.push((path.display().to_string(), inputs::stem(path), inputs::read(path)?));
    }
    let documents: Vec<Document<'_>> = files.iter().map(|(file, stem, bytes)| Document { file, stem, bytes }).collect();
    let (first, second) = documents.split_at_checked(policies.len()).unwrap_or((&documents, &[]));
    definitions::show(&lint(first, second, OperatingSystem::Linux), &documents, globals)
}
