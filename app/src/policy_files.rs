//! Files of policies and collections as they count together: what decisions are made of, and what they can be made of again.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use castellan_core::policy::basis::{Document, digest, documents};
use castellan_core::policy::what_if::replaces;
use castellan_core::policy::{COLLECTIONS, Decision, PolicySet, PolicySource, Request};
use castellan_fs::audit::sha256;

use crate::cli::inputs;
use crate::failure::Failure;

/// One file.
#[derive(Debug)]
pub(crate) struct File {
    /// Its name without `.json`.
    pub(crate) name: String,
    /// Its bytes, or a clause why there are none.
    pub(crate) content: Result<Arc<[u8]>, String>,
    /// Why nobody may rely on its bytes, in sentences.
    pub(crate) distrust: Option<String>,
}

/// Policies and collections.
#[derive(Debug)]
pub(crate) struct PolicyFiles {
    pub(crate) policies: Vec<File>,
    pub(crate) collections: Vec<File>,
}

impl PolicyFiles {
    /// Those of a folder, and of `collections` in it, whoever signed them. A folder that is not there has none.
    pub(crate) fn of_folder(folder: &Path) -> Result<Self, Failure> {
        Ok(Self { policies: files(folder)?, collections: files(&folder.join(COLLECTIONS))? })
    }

    /// The same with a file in place of what it stands for: of collections by its name, of policies by its name or its id.
    pub(crate) fn with(mut self, path: &Path) -> Result<Self, Failure> {
        let new = File { name: inputs::stem(path), content: Ok(inputs::read(path)?.into()), distrust: None };
        if is_collection(path) {
            self.collections.retain(|present| present.name != new.name);
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
        digest(&sources(&self.policies), &sources(&self.collections), sha256)
    }

    /// The files that alone lead to a decision of `set`, which was compiled from all.
    pub(crate) fn deciding(&self, set: &PolicySet, request: &Request, decision: &Decision) -> Vec<Document> {
        documents(set, &sources(&self.policies), &sources(&self.collections), (request, decision), sha256)
    }
}

/// Whether a file is one of collections: it is in a folder of that name.
pub(crate) fn is_collection(path: &Path) -> bool {
    path.parent().and_then(Path::file_name).is_some_and(|folder| folder == COLLECTIONS)
}

fn files(folder: &Path) -> Result<Vec<File>, Failure> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let read = |path: &PathBuf| File {
        name: inputs::stem(path),
        content: inputs::read(path).map(Arc::from).map_err(|failure| failure.to_string()),
        distrust: None,
    };
    Ok(inputs::json_files(folder)?.iter().map(read).collect())
}

fn sources(files: &[File]) -> Vec<PolicySource<'_>> {
    files.iter().map(source).collect()
}

fn source(File { name, content, distrust }: &File) -> PolicySource<'_> {
    PolicySource { name, content: content.as_deref().map_err(String::as_str), distrust: distrust.as_deref() }
}
