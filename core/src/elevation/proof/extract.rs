//! From the audit to a proof, and back: which lines it takes, and whether the audit has them.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::audit::chain::{Sha256, link};
use crate::audit::{Act, Entry};

/// Takes the lines of some requests, each up to its grant.
#[derive(Debug, Default)]
pub struct Extract {
    wanted: BTreeSet<String>,
    granted: BTreeSet<String>,
    rests_on: BTreeSet<String>,
    lines: Vec<Vec<u8>>,
}

impl Extract {
    /// Of these requests.
    pub fn of(wanted: impl IntoIterator<Item = String>) -> Self {
        Self { wanted: wanted.into_iter().collect(), ..Self::default() }
    }

    /// Takes the next line of the audit.
    pub fn take(&mut self, line: &[u8]) {
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else { return };
        let Some(request) = entry.request.as_deref().filter(|request| self.wanted.contains(*request)) else { return };
        if !belongs(&entry.what) || self.granted.contains(request) {
            return;
        }
        if let Act::Control { grant: Some(grant), .. } = &entry.what {
            self.rests_on.insert(grant.clone());
        }
        if matches!(entry.what, Act::Grant { .. }) {
            self.granted.insert(request.to_string());
        }
        self.lines.push(line.to_vec());
    }

    /// The lines; or all requests that are to be taken, where some rest on grants of others.
    ///
    /// # Errors
    /// Those.
    pub fn finish(self) -> Result<Vec<Vec<u8>>, BTreeSet<String>> {
        if self.rests_on.is_subset(&self.wanted) {
            return Ok(self.lines);
        }
        Err(self.wanted.union(&self.rests_on).cloned().collect())
    }

    /// Whether a request led to a grant.
    pub fn has_grant(&self, id: &str) -> bool {
        self.granted.contains(id)
    }
}

/// Whether an entry is part of how a grant came about.
const fn belongs(what: &Act) -> bool {
    matches!(
        what,
        Act::Request { .. } | Act::Decision { .. } | Act::Control { .. } | Act::Approval { .. } | Act::Grant { .. }
    )
}

/// A proof held against an audit.
#[derive(Debug)]
pub struct Comparison {
    /// Lines of the proof that were not met yet, by their number.
    missing: BTreeMap<u64, Vec<u8>>,
    grant: String,
    /// Its requests, with the number of the last line of each, which is its grant.
    requests: BTreeMap<String, u64>,
    faults: Vec<String>,
    revoked: Option<String>,
    sha256: Sha256,
}

impl Comparison {
    /// Of a proof of this grant.
    pub fn of(lines: &[impl AsRef<[u8]>], grant: &str, sha256: Sha256) -> Self {
        let numbered = |line: &[u8]| Some((link(line, sha256)?.head.sequence, line.to_vec()));
        let missing: BTreeMap<u64, Vec<u8>> = lines.iter().filter_map(|line| numbered(line.as_ref())).collect();
        let request = |line: &[u8]| serde_json::from_slice::<Entry>(line).ok()?.request;
        Self {
            requests: missing.iter().filter_map(|(sequence, line)| Some((request(line)?, *sequence))).collect(),
            missing,
            grant: grant.to_string(),
            faults: Vec::new(),
            revoked: None,
            sha256,
        }
    }

    /// Takes the next line of the audit.
    pub fn take(&mut self, line: &[u8]) {
        let Some(sequence) = link(line, self.sha256).map(|link| link.head.sequence) else { return };
        if let Some(own) = self.missing.remove(&sequence) {
            if own != line {
                self.faults.push(format!("Entry {sequence} of the audit is another."));
            }
            return;
        }
        let Ok(entry) = serde_json::from_slice::<Entry>(line) else { return };
        let granted = entry.request.as_ref().and_then(|request| self.requests.get(request));
        if belongs(&entry.what) && granted.is_some_and(|granted| sequence < *granted) {
            self.faults.push(format!("Entry {sequence} of the audit is about it, too, and was left out."));
        }
        if let Act::Revocation { grant, .. } = &entry.what
            && *grant == self.grant
        {
            self.revoked = Some(format!("{} revoked it at {}.", entry.who, entry.time));
        }
    }

    /// Who revoked the grant, if the audit says that.
    ///
    /// # Errors
    /// What differs, in sentences.
    pub fn finish(mut self) -> Result<Option<String>, Vec<String>> {
        for sequence in self.missing.keys() {
            self.faults.push(format!("Entry {sequence} is not in the audit."));
        }
        if self.faults.is_empty() { Ok(self.revoked) } else { Err(self.faults) }
    }
}
