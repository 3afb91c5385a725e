//! The files of a folder of policies, with its collections, for commands that judge by them without an agent.

use std::path::Path;

use castellan_core::policy::what_if::replaces;
use castellan_core::policy::{COLLECTIONS, PolicySet, PolicySource, basis};
use castellan_fs::audit::sha256;

use crate::cli::inputs;
use crate::failure::Failure;

/// The folder of policies in an agent root.
pub(crate) const FOLDER: &str = castellan_core::configuration_policy::FOLDER;

/// A file: its name without `.json`, and its bytes or why there are none.
type Found = (String, Result<Vec<u8>, String>);

/// Policies and collections.
pub(crate) struct Files {
    policies: Vec<Found>,
    collections: Vec<Found>,
}

impl Files {
    /// Those of a folder, and of `collections` in it. A folder that is not there has none.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { policies: files(folder)?, collections: files(&folder.join(COLLECTIONS))? })
    }

    /// The same with a file in place of what it stands for: of collections by its name, of policies by its name or its id.
    pub(crate) fn with(mut self, path: &Path) -> Result<Self, Failure> {
        let new = (inputs::stem(path), Ok(inputs::read(path)?));
        if is_collection(path) {
            self.collections.retain(|(name, _)| *name != new.0);
            self.collections.push(new);
        } else {
            self.policies.retain(|present| !replaces(&source(&new), &source(present)));
            self.policies.push(new);
        }
        Ok(self)
    }

    /// The policies that they are.
    pub(crate) fn compile(&self) -> PolicySet {
        PolicySet::compile(&sources(&self.policies), &sources(&self.collections))
    }

    /// The digest that decisions by them have in the audit.
    pub(crate) fn digest(&self) -> String {
        basis::digest(&sources(&self.policies), &sources(&self.collections), sha256)
    }
}

/// Whether a file is one of collections: it is in a folder of that name.
pub(super) fn is_collection(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|folder| folder == COLLECTIONS)
}

fn files(folder: &Path) -> Result<Vec<Found>, Failure> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let read =
        |path: &std::path::PathBuf| (inputs::stem(path), inputs::read(path).map_err(|failure| failure.to_string()));
    Ok(inputs::json_files(folder)?.iter().map(read).collect())
}

fn sources(files: &[Found]) -> Vec<PolicySource<'_>> {
    files.iter().map(source).collect()
}

fn source((name, content): &Found) -> PolicySource<'_> {
    PolicySource { name, content: content.as_deref().map_err(String::as_str) }
}
