//! What the doctor looks at for privilege elevation: policies, the way to the request socket, and who has an authenticator.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use castellan_core::configuration_policy::FOLDER;
use castellan_core::doctor::{ElevationFacts, Examined, Running, examine_elevation};
use castellan_core::event::DefinitionFile;

use super::super::agent::Agent;
use super::super::inputs;
use super::super::table::{items, text};
use crate::failure::Failure;
use crate::policies_in_force::PoliciesInForce;
use crate::policy_files::PolicyFiles;

/// Whoever is no owner and in no group may pass.
const OTHERS_PASS: u32 = 0o001;

/// Looks, asks the agent where one runs, and examines.
pub(super) fn examine(
    root: &Path,
    definitions: &[DefinitionFile],
    agent: Option<(&Agent, &Running)>,
) -> Result<Examined, Failure> {
    let folder = root.join(FOLDER);
    // A root where no agent ever ran has no such folder, and nothing is wrong with that.
    let policies = match folder.is_dir() {
        true => PoliciesInForce::open(root)?.read(inputs::instant(None)?),
        false => PolicyFiles::of_folder(&folder)?,
    }
    .compile();
    let enrolled = |(agent, running): (&Agent, _)| {
        let listed = agent.get("/api/mfa")?;
        Ok((running, items(&listed).iter().filter_map(|one| text(one, "user").map(str::to_owned)).collect()))
    };
    let closed = root.ancestors().find(|folder| !others_pass(folder));
    Ok(examine_elevation(&ElevationFacts {
        definitions,
        policies: &policies,
        closed: closed.map(|folder| folder.display().to_string()),
        has_socket: root.join("run/request.sock").exists(),
        running: agent.map(enrolled).transpose()?,
    }))
}

/// One that cannot be looked at is on nobody's way: it was just passed.
fn others_pass(folder: &Path) -> bool {
    folder.metadata().map_or(true, |metadata| metadata.permissions().mode() & OTHERS_PASS != 0)
}
