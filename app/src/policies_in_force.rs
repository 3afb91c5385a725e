//! All policies about privileges of an agent root, as they count: those of its folders and those that were delivered, each with whether it
//! is signed as the settings want it.

use std::io;
use std::path::Path;

use castellan_core::config::Settings;
use castellan_core::configuration_policy::{AppliedPolicy, FOLDER, PolicyFile, distrusted, untrusted};
use castellan_core::policy::COLLECTIONS;
use castellan_core::time::WallTime;
use castellan_core::trust::signature::SignaturePolicy;
use castellan_fs::policies::{DeliveredPolicies, FoundPolicies, PolicyFolders, PolicyReader};
use castellan_process::document_facts;

use crate::cli::inputs;
use crate::failure::Failure;
use crate::policy_files::{File, PolicyFiles};

/// What the storage of delivered policies is called where it cannot be read.
const DELIVERED: &str = "state/settings.db";

/// Those of one root. Nothing of it is locked, so an agent may run.
#[derive(Debug)]
pub(crate) struct PoliciesInForce {
    folders: PolicyFolders,
    settings: Settings,
    /// `None` where no agent ever ran.
    storage: Option<DeliveredPolicies>,
    /// Why what was delivered cannot be read, in a clause.
    delivered: Result<Vec<AppliedPolicy>, String>,
}

impl PoliciesInForce {
    /// Those of the agent root at this path, by its file of settings.
    pub(crate) fn open(root: &Path) -> Result<Self, Failure> {
        let (settings, _) = Settings::parse(inputs::settings(root)?.as_deref()).map_err(Failure::invalid_file)?;
        Self::by(root, settings)
    }

    /// The same by these settings.
    pub(crate) fn by(root: &Path, settings: Settings) -> Result<Self, Failure> {
        let folders = PolicyFolders::open(root, reader(&settings)).map_err(Failure::failed)?;
        let (storage, delivered) = match DeliveredPolicies::open(root) {
            Ok(storage) => (storage, Ok(Vec::new())),
            Err(error) => (None, Err(error.to_string())),
        };
        Ok(Self { folders, settings, storage, delivered })
    }

    /// Returns once something may have changed in a folder.
    pub(crate) async fn changed(&self) -> io::Result<()> {
        self.folders.changed().await
    }

    /// Whether something may have changed since they were compiled last.
    pub(crate) fn have_changed(&mut self) -> io::Result<bool> {
        let in_storage = self.look_at_storage();
        Ok(self.folders.have_changed()? || in_storage)
    }

    /// Reads them.
    pub(crate) fn read(&mut self, now: WallTime) -> PolicyFiles {
        self.look_at_storage();
        let FoundPolicies { policies, collections } = self.folders.read();
        let mut policies = self.judged(FOLDER, policies, now);
        policies.extend(self.delivered.iter().flatten().filter_map(|policy| {
            let content = Ok(policy.document.clone()?);
            Some(File { name: policy.key.name.to_string(), content, distrust: distrusted(policy, &self.settings) })
        }));
        if let Err(why) = &self.delivered {
            policies.push(File { name: DELIVERED.to_owned(), content: Err(why.clone()), distrust: None });
        }
        PolicyFiles { policies, collections: self.judged(COLLECTIONS, collections, now) }
    }

    /// Whether what was delivered, or that it cannot be read, is news.
    fn look_at_storage(&mut self) -> bool {
        let Some(storage) = &mut self.storage else { return false };
        let found = match storage.read_changed() {
            Ok(None) => return false,
            Ok(Some(found)) => Ok(found),
            Err(error) => Err(error.to_string()),
        };
        let is_news = self.delivered != found;
        self.delivered = found;
        is_news
    }

    fn judged(&self, place: &str, files: Vec<PolicyFile>, now: WallTime) -> Vec<File> {
        let judge = |file: PolicyFile| {
            let distrust = untrusted(place, &file, &self.settings, now);
            let PolicyFile { name, content } = file;
            File { name, content: content.map(|content| content.document), distrust }
        };
        files.into_iter().map(judge).collect()
    }
}

/// Reads policies; their signatures are looked into as those of programs are.
pub(crate) fn reader(settings: &Settings) -> PolicyReader {
    let pins = settings.alternative_signatures.clone();
    PolicyReader::new(Box::new(move |path, document, beside| {
        document_facts(path, document, beside, SignaturePolicy { pins: &pins, non_admin: &[] })
    }))
}
