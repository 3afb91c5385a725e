//! Configuration policies: documents that change jobs, plugins' files and plugins' settings (contract section 8).
//!
//! A policy is applied once per content. What it wants is planned against what is in service, and ordered only where the whole plan is
//! sound; so a policy that fails changes nothing, and says why.
//!
//! ```text
//! PolicyType      Extension                          what it does
//! --------------  ---------------------------------  ----------------------------------------------------
//! JobUpdate       Action, JobId, JobJson             adds, replaces or deletes a job
//! SettingsUpdate  PluginId, SettingsJson             replaces the file of a plugin that is there
//! SettingsUpdate  PluginId, Settings                 sets a layer of the plugin's settings: over its file, under what is stored
//! UpdateSettings                                     reads all definitions again
//! PrivilegeElevation, CommandLine, FileAccess        decides about privileges: put on record here, evaluated by KeeperPolicy
//! any other                                          is left alone
//! ```
//!
//! | part | does |
//! | --- | --- |
//! | `parse` | a document to a `Policy`, with findings |
//! | `plan` | what several policies together change, or why not |
//! | `record` | what was applied, and what became of each policy |
//! | `signature` | whether a policy is signed as the settings want it, and whether one that was applied still counts |
//!
//! What is applied is never undone by taking the policy away, but for a layer of settings, which lasts as long as its policy, and counts
//! for as long as whoever signed it does.

pub(crate) mod parse;
pub(crate) mod plan;
pub(crate) mod record;
pub(crate) mod signature;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::Settings;
use crate::id::{JobId, PluginId};
use crate::job::JobDefinition;
use crate::lkg::Document;
use crate::plugin::PluginDefinition;
use crate::policy::envelope::Status;
use crate::time::WallTime;
use crate::trust::signature::{CertificateFacts, SignatureFacts};
use crate::why::Explanation;

/// The source of the policies in the folder `Policies/` of the agent root.
pub const FOLDER: &str = "Policies";
/// The source of policies that came over the API.
pub const API: &str = "api";
/// The name of what says that the folder itself, or more files than are read of it, cannot be read; no file can have it.
pub const WHOLE_FOLDER: &str = "Policies/";
/// Characters of a policy's name: what fits the name of a file.
pub(crate) const NAME_CHARS: usize = 128;

/// Whether a text is a policy's name.
pub(crate) fn is_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || " -._".contains(letter);
    name.len() <= NAME_CHARS && name.chars().all(plain) && name.starts_with(|first: char| first.is_ascii_alphanumeric())
}

/// A policy as it was found, not looked into yet.
#[derive(Debug, Clone)]
pub struct PolicyFile {
    /// Its name: that of its file without `.json`.
    pub name: String,
    /// What is there, or a sentence why it could not be read.
    pub content: Result<PolicyContent, String>,
}

/// What is in a policy's file.
#[derive(Debug, Clone)]
pub struct PolicyContent {
    /// The bytes.
    pub document: Document,
    /// Their SHA-256, 64 lower-case hex digits.
    pub sha256: String,
    /// What is known of a signature of its own; `None` where the whole delivery is signed instead, and was verified.
    pub signature: Option<SignatureFacts>,
    /// The user id that its file belongs to, where it is one.
    pub owner: Option<u32>,
}

/// A policy to be read for somebody who brought it.
#[derive(Debug, Clone)]
pub struct PolicyDocument {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub document: Document,
}

/// Which policy: names are in the order in which policies are applied, whatever their source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PolicyKey {
    /// That of its file without `.json`.
    pub name: String,
    /// Where it is from: [`FOLDER`], [`API`], or a source of bundles.
    pub source: String,
}

/// What is kept of a policy that was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedPolicy {
    /// Which.
    pub key: PolicyKey,
    /// Its `PolicyType`.
    pub policy_type: String,
    /// SHA-256 of its content, 64 lower-case hex digits.
    pub sha256: String,
    /// When, in RFC 3339.
    pub time: String,
    /// The settings that it sets, if it does.
    pub layer: Option<PolicyLayer>,
    /// Who signed it, or the bundle that it came in; `None` where nobody did.
    pub signer: Option<PolicySigner>,
    /// The policy itself, where it is about privileges and in no file: KeeperPolicy reads it here.
    pub document: Option<Document>,
}

/// The certificate of who signed a policy, by what `AlternativeSignatures` may name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicySigner {
    /// SHA-1 of the whole DER, 40 lower-case hex digits.
    pub sha1: String,
    /// SHA-256 of the whole DER, 64 lower-case hex digits.
    pub sha256: String,
}

impl PolicySigner {
    /// The owner of a certificate.
    pub(crate) fn of(certificate: &CertificateFacts) -> Self {
        Self { sha1: certificate.sha1.clone(), sha256: certificate.sha256.clone() }
    }
}

/// Settings that a policy sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyLayer {
    /// The plugin.
    pub plugin: String,
    /// Values by dotted key.
    pub values: BTreeMap<String, String>,
}

/// One change of what is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyChange {
    /// Insert or replace.
    Keep(AppliedPolicy),
    /// Remove.
    Forget(PolicyKey),
}

/// A document that was understood.
#[derive(Debug, Clone)]
pub(crate) enum Policy {
    /// It configures.
    Configuration(Box<Configuration>),
    /// It is of this type, which is not applied here; or its `Status` keeps it from that. A sentence says which.
    Idle {
        /// `PolicyType`.
        policy_type: String,
        /// Why nothing is done.
        why: String,
    },
}

/// A configuration policy.
#[derive(Debug, Clone)]
pub(crate) struct Configuration {
    /// `PolicyType` as it is documented.
    pub(crate) policy_type: &'static str,
    /// What it does.
    pub(crate) action: Action,
}

/// What a policy does.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// Adds a job.
    AddJob(JobDefinition),
    /// Replaces a job.
    UpdateJob(JobDefinition),
    /// Deletes a job.
    DeleteJob(JobId),
    /// Replaces a plugin's file.
    ReplacePlugin(PluginDefinition),
    /// Sets some of a plugin's settings.
    SetSettings(PluginId, BTreeMap<String, String>),
    /// Reads all definitions again.
    Reload,
    /// Decides about privileges, and changes nothing here.
    Decide(Privileges),
}

/// What a policy about privileges amounts to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Privileges {
    /// `Status` as it is documented.
    pub(crate) status: Status,
    /// Its controls, in the documented order.
    pub(crate) controls: Vec<String>,
}

/// Why a file of policies or collections does not count as it is: its signature does not, or there has to be one. In sentences.
pub fn untrusted(source: &str, file: &PolicyFile, settings: &Settings, now: WallTime) -> Option<String> {
    let key = PolicyKey { name: file.name.clone(), source: String::from(source) };
    let content = file.content.as_ref().ok()?;
    signature::signer(&key, content, settings, now).err().map(|Explanation { why, fix, .. }| format!("{why} {fix}"))
}

/// Why a policy that was applied counts no more: its signer does not, or there has to be one. A sentence.
pub fn distrusted(applied: &AppliedPolicy, settings: &Settings) -> Option<String> {
    signature::distrust(applied, settings)
}
