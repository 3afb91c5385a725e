//! Collections: names for lists that several policies use (`Policies/collections/*.json`: `{"id": ["member", …], …}`).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::job::finding::{Findings, Report, has_errors};
use crate::job::parse::document;
use crate::json::{Json, pointer_to};
use crate::limits::COLLECTION_MEMBERS;

/// The folder of collections, below that of policies.
pub const COLLECTIONS: &str = "collections";

/// Members by collection. Ids are read in any case, as keys are; of one that occurs in several files all members count.
#[derive(Debug, Clone, Default)]
pub struct Collections(BTreeMap<String, Vec<String>>);

impl Collections {
    /// Takes in one document.
    ///
    /// # Errors
    /// All findings; nothing of it is taken in then.
    pub fn add(&mut self, bytes: &[u8]) -> Result<(), Findings> {
        let mut report = Report::default();
        let read = document(bytes, &mut report).and_then(|json| read(&json, &mut report));
        let findings = report.into_findings();
        match read {
            Some(read) if !has_errors(&findings) => {
                for (id, members) in read {
                    self.0.entry(id).or_default().extend(members);
                }
                Ok(())
            }
            _ => Err(findings),
        }
    }

    /// The entries with collections in place of their ids, collections in collections too; `None` where that is too many.
    pub(crate) fn expand(&self, entries: impl IntoIterator<Item = String>) -> Option<BTreeSet<String>> {
        let mut expanded = BTreeSet::new();
        let mut open: Vec<&str> = Vec::new();
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for entry in entries {
            match self.0.get_key_value(&entry.to_ascii_lowercase()) {
                Some((id, _)) => open.push(id),
                None => _ = expanded.insert(entry),
            }
        }
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            for member in self.0.get(id).into_iter().flatten() {
                match self.0.get_key_value(&member.to_ascii_lowercase()) {
                    Some((id, _)) => open.push(id),
                    None => _ = expanded.insert(member.clone()),
                }
            }
        }
        (expanded.len() <= COLLECTION_MEMBERS).then_some(expanded)
    }
}

fn read(json: &Json, report: &mut Report) -> Option<Vec<(String, Vec<String>)>> {
    let Json::Object(members) = json else {
        report.error("", "wrong-type", format!("this is {}; it must be an object of lists of members.", json.kind()));
        return None;
    };
    let mut read = Vec::new();
    for (id, value) in members {
        let pointer = pointer_to("", id);
        let Json::Array(items) = value else {
            report.error(pointer, "wrong-type", format!("this is {}; it must be an array of texts.", value.kind()));
            continue;
        };
        if items.len() > COLLECTION_MEMBERS {
            let message = format!("it has {} members; at most {COLLECTION_MEMBERS} are allowed.", items.len());
            report.error(pointer, "too-many-entries", message);
            continue;
        }
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item.as_str() {
                Some(text) if !text.is_empty() => texts.push(text.to_string()),
                _ => {
                    let at = pointer_to(&pointer, &index.to_string());
                    report.error(at, "wrong-type", "a member must be a text that is not empty.");
                }
            }
        }
        read.push((id.to_ascii_lowercase(), texts));
    }
    Some(read)
}
