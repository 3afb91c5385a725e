//! Policies: `Policies/*.json` with the signatures beside them, and which were applied (`state/settings.db`).

mod delivered;
mod folders;
mod watch;

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;

use castellan_core::configuration_policy::{
    AppliedPolicy, FOLDER, PolicyChange, PolicyContent, PolicyFile, PolicyKey, PolicyLayer, PolicySigner,
};
use castellan_core::fleet::KeptBundle;
use castellan_core::limits::POLICIES;
use castellan_core::time::WallTime;
use castellan_core::trust::signature::{SIGNATURE_BYTES, SignatureFacts, SignatureFile};
use rusqlite::types::Type;
use rusqlite::{Row, Transaction, params};
use rustix::fs::fstat;

use crate::definitions::{self, EXTENSION, names};
use crate::digest::sha256;
use crate::error::RootError;
use crate::files::{self, Privacy, Unread};
use crate::root::Root;
use crate::settings::SettingStore;
pub use delivered::DeliveredPolicies;
pub use folders::{FoundPolicies, PolicyFolders};
pub use watch::watch;

/// What was applied, with the documents that are kept.
const APPLIED: &str = "SELECT * FROM policy LEFT JOIN policy_document USING (name, source) ORDER BY name, source";
/// What is put behind a policy's file name to find its signature.
const SIGNATURE: &str = ".p7s";

/// Looks into the signature of a document: the document's path, its bytes, and the bytes of the signature beside it or why there are none.
pub type LookIntoSignature = Box<dyn Fn(&str, &[u8], Result<Vec<u8>, SignatureFile>) -> SignatureFacts + Send>;

/// Reads policies.
pub struct PolicyReader {
    look: LookIntoSignature,
}

impl fmt::Debug for PolicyReader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PolicyReader").finish_non_exhaustive()
    }
}

impl PolicyReader {
    /// A reader that has signatures looked into by `look`.
    pub fn new(look: LookIntoSignature) -> Self {
        Self { look }
    }

    /// All `Policies/*.json`, by name. A file that is not a plain regular file of the agent's own, or that cannot be read, is an entry
    /// with the reason; so is the folder, under its own name with a slash. Never blocks.
    pub fn read(&self, root: &Root) -> Vec<PolicyFile> {
        self.read_folder(root.path(), FOLDER, root.folder(FOLDER))
    }

    /// All `*.json` of a folder at this place below the root, by name, as [`read`](Self::read) does.
    fn read_folder(&self, root: &Path, place: &str, folder: Result<OwnedFd, RootError>) -> Vec<PolicyFile> {
        let failed = |reason| vec![PolicyFile { name: format!("{place}/"), content: Err(reason) }];
        let folder = match folder {
            Ok(folder) => folder,
            Err(error) => return failed(error.to_string()),
        };
        let guarded = fstat(&folder).map(|stat| files::unsafe_because(&stat, Privacy::Guarded));
        if let Some(reason) = guarded.unwrap_or_else(|error| Some(format!("cannot be looked at: {error}"))) {
            return failed(format!("the folder {place} {reason}"));
        }
        let names = match names(folder.as_fd(), POLICIES) {
            Ok(names) => names,
            Err(error) => return failed(format!("the folder {place} cannot be listed: {error}")),
        };
        let place_of = root.join(place);
        let file =
            |name: &String| PolicyFile { name: name.clone(), content: self.content(&place_of, folder.as_fd(), name) };
        let mut found: Vec<PolicyFile> = names.kept.iter().map(file).collect();
        if names.left_out > 0 {
            let left_out = names.left_out;
            let reason = format!("the folder {place} has {left_out} files more than the {POLICIES} that are read.");
            found.extend(failed(reason));
        }
        found
    }

    /// A policy that somebody brought, without a signature beside it.
    pub fn brought(&self, name: &str, document: Arc<[u8]>) -> PolicyFile {
        let content = self.looked_into(name, document, None, Err(SignatureFile::Missing(format!("{name}{SIGNATURE}"))));
        PolicyFile { name: name.to_owned(), content: Ok(content) }
    }

    fn content(&self, place: &Path, folder: BorrowedFd<'_>, name: &str) -> Result<PolicyContent, String> {
        let file = format!("{name}{EXTENSION}");
        let (document, owner) = definitions::read_owned(folder, name)?;
        let limit = usize::try_from(SIGNATURE_BYTES).unwrap_or(usize::MAX);
        let path = place.join(&file).display().to_string();
        let shown = format!("{path}{SIGNATURE}");
        let beside =
            files::read(folder, &format!("{file}{SIGNATURE}"), limit, Privacy::Guarded).map_err(
                |unread| match unread {
                    Unread::Missing => SignatureFile::Missing(shown),
                    Unread::Refused(reason) => SignatureFile::Unreadable(format!("{shown} {reason}")),
                    Unread::Failed(error) => SignatureFile::Unreadable(format!("{shown}: {error}")),
                },
            );
        Ok(self.looked_into(&path, document.into(), Some(owner), beside))
    }

    fn looked_into(
        &self,
        path: &str,
        document: Arc<[u8]>,
        owner: Option<u32>,
        beside: Result<Vec<u8>, SignatureFile>,
    ) -> PolicyContent {
        let sha256 = sha256(&document);
        let signature = Some((self.look)(path, &document, beside));
        PolicyContent { document, sha256, signature, owner }
    }
}

impl SettingStore {
    /// Which policies were applied, by name.
    ///
    /// # Errors
    /// [`RootError`] where it cannot be read.
    pub fn policies(&self) -> Result<Vec<AppliedPolicy>, RootError> {
        self.rows(APPLIED, applied)
    }

    /// The bundle of policies that was accepted last.
    ///
    /// # Errors
    /// [`RootError`] where it cannot be read.
    pub fn read_bundle(&self) -> Result<Option<KeptBundle>, RootError> {
        let read = |row: &Row<'_>| {
            Ok(KeptBundle {
                source: row.get("source")?,
                etag: row.get("etag")?,
                document: Arc::from(row.get::<_, Vec<u8>>("document")?),
                at: WallTime::from_millis(row.get("time")?),
            })
        };
        Ok(self.rows("SELECT * FROM bundle", read)?.pop())
    }

    /// Carries out all changes and keeps the bundle, if one is given, in place of the former one; all of it is on disk when this returns.
    ///
    /// # Errors
    /// A sentence with the reason; nothing is changed then.
    pub fn keep_policies(&self, changes: &[PolicyChange], bundle: Option<&KeptBundle>) -> Result<(), String> {
        self.transact(|transaction| {
            changes.iter().try_for_each(|change| keep(transaction, change))?;
            bundle.map_or(Ok(()), |bundle| keep_bundle(transaction, bundle))
        })
    }
}

fn keep_bundle(transaction: &Transaction<'_>, bundle: &KeptBundle) -> rusqlite::Result<()> {
    let KeptBundle { source, etag, document, at } = bundle;
    let row = params![source, etag, &**document, at.as_millis()];
    transaction.execute("INSERT OR REPLACE INTO bundle VALUES (1, ?1, ?2, ?3, ?4)", row).map(|_| ())
}

fn applied(row: &Row<'_>) -> rusqlite::Result<AppliedPolicy> {
    let text = |column| row.get::<_, Option<String>>(column);
    let layer = match text("plugin")?.zip(text("settings")?) {
        None => None,
        Some((plugin, settings)) => {
            let values = serde_json::from_str(&settings)
                .map_err(|error| rusqlite::Error::FromSqlConversionFailure(6, Type::Text, Box::new(error)))?;
            Some(PolicyLayer { plugin, values })
        }
    };
    let signer = text("sha1_of_signer")?.zip(text("sha256_of_signer")?);
    Ok(AppliedPolicy {
        key: PolicyKey { name: row.get("name")?, source: row.get("source")? },
        policy_type: row.get("type")?,
        sha256: row.get("sha256")?,
        time: row.get("time")?,
        layer,
        signer: signer.map(|(sha1, sha256)| PolicySigner { sha1, sha256 }),
        document: row.get::<_, Option<Vec<u8>>>("document")?.map(Arc::from),
    })
}

fn forget_document(transaction: &Transaction<'_>, PolicyKey { name, source }: &PolicyKey) -> rusqlite::Result<()> {
    let gone = "DELETE FROM policy_document WHERE name = ?1 AND source = ?2";
    transaction.execute(gone, params![name, source]).map(|_| ())
}

fn keep(transaction: &Transaction<'_>, change: &PolicyChange) -> rusqlite::Result<()> {
    let done = match change {
        PolicyChange::Keep(AppliedPolicy { key, policy_type, sha256, time, layer, signer, document }) => {
            let settings = layer.as_ref().map(|layer| serde_json::to_string(&layer.values)).transpose();
            let settings = settings.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
            let plugin = layer.as_ref().map(|layer| &layer.plugin);
            let PolicyKey { name, source } = key;
            let signer = signer.as_ref().map(|PolicySigner { sha1, sha256 }| (sha1, sha256)).unzip();
            forget_document(transaction, key)?;
            if let Some(document) = document {
                let row = params![name, source, &**document];
                transaction.execute("INSERT INTO policy_document VALUES (?1, ?2, ?3)", row)?;
            }
            transaction.execute(
                "INSERT OR REPLACE INTO policy VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![name, source, policy_type, sha256, time, plugin, settings, signer.0, signer.1],
            )
        }
        PolicyChange::Forget(key) => {
            forget_document(transaction, key)?;
            transaction.execute("DELETE FROM policy WHERE name = ?1 AND source = ?2", params![key.name, key.source])
        }
    };
    done.map(|_| ())
}
