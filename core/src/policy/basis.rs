//! What an answer of KeeperPolicy rests on beside the question, so that the same can be decided again later: what it knew of the user and
//! the moment, which policies it had, and the documents of those from which the controls follow.

#[cfg(test)]
mod tests;

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::message::Known;
use super::{COLLECTIONS, Decision, PolicySet, PolicySource, Request, Verdict};
use crate::audit::chain::Sha256;
use crate::hexadecimal;
use crate::limits::{BASIS_BYTES, BASIS_DOCUMENTS};

/// What a decision was made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Basis {
    /// What KeeperPolicy knew itself.
    #[serde(flatten)]
    pub known: Known,
    /// [`digest`] of all files that it had.
    pub policy_set: String,
    /// Where controls have to be met: the files that lead to the same decision alone.
    pub documents: Vec<Document>,
}

/// A file of policies or collections.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    /// Its path from the folder of policies.
    pub file: String,
    /// SHA-256 of its content in lower-case hexadecimal digits.
    pub sha256: String,
    /// Its content; `None` where all of them together are too long to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
}

/// The digest of files of policies and collections: the SHA-256 of a line for each, `{SHA-256}  {path}`, in the order of the lines. In
/// place of the hash of a file that could not be read, or that nobody may rely on, stands `unreadable`.
pub fn digest(policies: &[PolicySource<'_>], collections: &[PolicySource<'_>], sha256: Sha256) -> String {
    let line = |file: String, source: &PolicySource<'_>| {
        let content = source.content.ok().filter(|_| source.distrust.is_none());
        let hash = content.map_or_else(|| "unreadable".to_string(), |bytes| hexadecimal(&sha256(bytes)));
        format!("{hash}  {file}\n")
    };
    let mut lines: Vec<String> = policies.iter().map(|source| line(policy_file(source.name), source)).collect();
    lines.extend(collections.iter().map(|source| line(collection_file(source.name), source)));
    lines.sort();
    hexadecimal(&sha256(lines.concat().as_bytes()))
}

/// The files that alone lead to this decision, where it wants controls met; nobody is asked later about another one.
pub fn documents(
    set: &PolicySet,
    policies: &[PolicySource<'_>],
    collections: &[PolicySource<'_>],
    (request, decision): (&Request, &Decision),
    sha256: Sha256,
) -> Vec<Document> {
    if !matches!(decision.verdict, Verdict::Pending(_)) {
        return Vec::new();
    }
    let evaluation = set.evaluate(request);
    let names: BTreeSet<&str> = evaluation.deciding_files().collect();
    let deciding: Vec<PolicySource<'_>> =
        policies.iter().filter(|source| names.contains(source.name)).copied().collect();
    // Most policies name no collection, and few of those there are matter.
    let alone = PolicySet::compile(&deciding, &[]).evaluate(request).decision();
    let collections = if is_same(&alone, decision) { &[] } else { collections };
    let document = |file: String, source: &PolicySource<'_>| {
        let bytes = source.content.ok()?;
        let content = core::str::from_utf8(bytes).ok().map(ToString::to_string);
        Some(Document { file, sha256: hexadecimal(&sha256(bytes)), content })
    };
    let mut documents: Vec<Document> =
        deciding.iter().filter_map(|source| document(policy_file(source.name), source)).collect();
    documents.extend(collections.iter().filter_map(|source| document(collection_file(source.name), source)));
    bound(&mut documents);
    documents
}

/// Keeps hashes alone of what is too much.
fn bound(documents: &mut Vec<Document>) {
    let bytes: usize = documents.iter().filter_map(|document| document.content.as_ref()).map(String::len).sum();
    if bytes > BASIS_BYTES || documents.len() > BASIS_DOCUMENTS {
        documents.iter_mut().for_each(|document| document.content = None);
        documents.truncate(BASIS_DOCUMENTS);
    }
}

/// The policies that documents are, compiled.
///
/// # Errors
/// A sentence: the content of one is not kept, or is not what its hash says.
pub fn compile(documents: &[Document], sha256: Sha256) -> Result<PolicySet, String> {
    let (mut policies, mut collections) = (Vec::new(), Vec::new());
    for Document { file, sha256: hash, content } in documents {
        let content = content.as_deref().ok_or_else(|| format!("The content of {file} is not kept, only its hash."))?;
        if hexadecimal(&sha256(content.as_bytes())) != *hash {
            return Err(format!("The content of {file} has another SHA-256 than it says."));
        }
        let stem = file.strip_suffix(".json").unwrap_or(file);
        match stem.strip_prefix(COLLECTIONS).and_then(|rest| rest.strip_prefix('/')) {
            Some(name) => collections.push(PolicySource { name, content: Ok(content.as_bytes()), distrust: None }),
            None => policies.push(PolicySource { name: stem, content: Ok(content.as_bytes()), distrust: None }),
        }
    }
    Ok(PolicySet::compile(&policies, &collections))
}

/// What was asked and answered, of a decision on record.
///
/// # Errors
/// It has another form than decisions of this version.
pub(crate) fn recorded(decision: &str, controls: &[String], input: &Value) -> serde_json::Result<(Request, Verdict)> {
    let request = serde_json::from_value(input.clone())?;
    Ok((request, serde_json::from_value(json!({ "Decision": decision, "Controls": controls }))?))
}

/// Whether two decisions ask for the same, by the same policies, of the same approvers.
pub fn is_same(one: &Decision, other: &Decision) -> bool {
    (&one.verdict, &one.policies, &one.approvers) == (&other.verdict, &other.policies, &other.approvers)
}

fn policy_file(name: &str) -> String {
    format!("{name}.json")
}

fn collection_file(name: &str) -> String {
    format!("{COLLECTIONS}/{name}.json")
}
