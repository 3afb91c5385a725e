//! What the doctor looks at for Last Known Good: the key's file, and what a running agent says.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use castellan_core::config::ConfigurationLkg;
use castellan_core::doctor::{KeyFacts, LkgFacts, LkgLine, VerifiedLine};
use castellan_core::event::{DefinitionFile, DefinitionKind};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::super::agent::{Agent, encode};
use crate::failure::Failure;

/// Looks, and asks the agent where one runs.
pub(super) fn facts(root: &Path, settings: ConfigurationLkg, agent: Option<&Agent>) -> Result<LkgFacts, Failure> {
    let running = match agent.filter(|_| settings.enabled) {
        Some(agent) => {
            let answer = agent.send("POST", "/api/lkg/verify", &[], None)?;
            // 409: it keeps no references, or such as prove nothing; its status says so.
            let verified: Option<VerifiedLine> =
                if answer.status == 409 { None } else { Some(read(&answer.accepted()?)?) };
            let status: LkgLine = read(&agent.get("/api/lkg")?)?;
            Some((status, verified))
        }
        None => None,
    };
    let has_references = root.join("state/lkg/manifest").symlink_metadata().is_ok();
    Ok(LkgFacts { settings, key: key(root), has_references, running })
}

/// Of jobs whose file is not as blessed, or is missing, the document that is in service takes the file's place.
pub(super) fn judge_what_is_in_service(
    agent: &Agent,
    drifted: &BTreeMap<String, String>,
    definitions: &mut Vec<DefinitionFile>,
) -> Result<(), Failure> {
    let kind = DefinitionKind::Job;
    for id in drifted.keys().filter_map(|item| item.strip_prefix(kind.folder())?.strip_prefix('/')) {
        let answer = agent.send("GET", &format!("/api/Jobs/{}", encode(id)), &[], None)?;
        // 404: nothing of it is in service, which its own check tells.
        if answer.status == 404 {
            continue;
        }
        answer.accepted()?;
        definitions.retain(|file| file.kind != kind || file.stem != id);
        definitions.push(DefinitionFile { kind, stem: id.to_owned(), content: Ok(answer.body.into()) });
    }
    definitions.sort_by(|one, other| (one.kind, &one.stem).cmp(&(other.kind, &other.stem)));
    Ok(())
}

fn key(root: &Path) -> Result<Option<KeyFacts>, String> {
    let (state, path) = (root.join("state"), root.join("state/keys/lkg.key"));
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("{} cannot be looked at: {error}.", path.display())),
    };
    let owner = state.metadata().map_err(|error| format!("{} cannot be looked at: {error}.", state.display()))?.uid();
    Ok(Some(KeyFacts { mode: metadata.permissions().mode(), is_own: metadata.is_file() && metadata.uid() == owner }))
}

fn read<T: DeserializeOwned>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| {
        Failure::failed(format!(
            "what the agent says of Last Known Good is not what one of this version says: {error}."
        ))
    })
}
