//! `castellan policy lint`: what is wrong or in vain in the files of policies and collections.

use std::path::{Path, PathBuf};

use castellan_core::configuration_policy::{AppliedPolicy, FOLDER};
use castellan_core::job::OperatingSystem;
use castellan_core::job::lint::Document;
use castellan_core::policy::COLLECTIONS;
use castellan_core::policy::lint::lint;
use castellan_fs::policies::DeliveredPolicies;
use clap::Args;

use crate::cli::output::Globals;
use crate::cli::{inputs, lint as definitions};
use crate::failure::Failure;
use crate::policy_files::is_collection;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  castellan policy lint /opt/castellan/Policies
  castellan policy lint editors.json collections/staff.json

With -o json: {\"files\":[{\"file\",\"valid\",\"findings\":[{\"path\",\"code\",\"message\",\"severity\"}]}]}; with -o name: the files with errors")]
pub(crate) struct Options {
    /// Files of policies, or folders of them; files in a folder named collections are collections. They are looked at together, with what
    /// was delivered to the root that a folder belongs to.
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
    for path in &policies {
        files.push((path.display().to_string(), inputs::stem(path), inputs::read(path)?));
    }
    for path in &options.files {
        files.extend(delivered(path)?);
    }
    let before = files.len();
    for path in &collections {
        files.push((path.display().to_string(), inputs::stem(path), inputs::read(path)?));
    }
    let documents: Vec<Document<'_>> = files.iter().map(|(file, stem, bytes)| Document { file, stem, bytes }).collect();
    let (first, second) = documents.split_at_checked(before).unwrap_or((&documents, &[]));
    definitions::show(&lint(first, second, OperatingSystem::Linux), &documents, globals)
}

/// What was delivered to the root whose folder of policies this is.
fn delivered(folder: &Path) -> Result<Vec<(String, String, Vec<u8>)>, Failure> {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let root = path.parent().filter(|_| path.is_dir() && path.file_name().is_some_and(|name| name == FOLDER));
    let Some(mut storage) = root.map(DeliveredPolicies::open).transpose().map_err(Failure::denied)?.flatten() else {
        return Ok(Vec::new());
    };
    let found = storage.read_changed().map_err(Failure::denied)?.unwrap_or_default();
    let file = |policy: AppliedPolicy| {
        let AppliedPolicy { key, document, .. } = policy;
        document.map(|document| (format!("{} of {}", key.name, key.source), key.name, document.to_vec()))
    };
    Ok(found.into_iter().filter_map(file).collect())
}
