//! The paths below `/api/lkg`: Last Known Good as a whole, and each of its items (contract section 8).

use alloc::format;

use super::RouteError;
use crate::event::DefinitionKind;
use crate::id::{JobId, PluginId};
use crate::lkg::Item;

/// What a path of Last Known Good names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lkg {
    Status,
    Verify,
    Rekey,
    Quarantine,
    Item(Item),
    Diff(Item),
    Accept(Item),
    Rollback(Item),
}

impl Lkg {
    /// Reads what follows `/api/lkg`: its segments in lower case, and the second of them as it was sent.
    pub(super) fn parse(lower: &[&str], id: &str) -> Result<Self, RouteError> {
        let item = |kind| item(kind, id);
        Ok(match lower {
            [] => Self::Status,
            ["verify"] => Self::Verify,
            ["rekey"] => Self::Rekey,
            ["quarantine"] => Self::Quarantine,
            [kind, _] => Self::Item(item(kind)?),
            [kind, _, "diff"] => Self::Diff(item(kind)?),
            [kind, _, "accept"] => Self::Accept(item(kind)?),
            [kind, _, "rollback"] => Self::Rollback(item(kind)?),
            _ => return Err(RouteError::NotFound),
        })
    }

    /// The template of its path.
    pub(super) const fn template(&self) -> &'static str {
        match self {
            Self::Status => "/api/lkg",
            Self::Verify => "/api/lkg/verify",
            Self::Rekey => "/api/lkg/rekey",
            Self::Quarantine => "/api/lkg/quarantine",
            Self::Item(_) => "/api/lkg/{kind}/{id}",
            Self::Diff(_) => "/api/lkg/{kind}/{id}/diff",
            Self::Accept(_) => "/api/lkg/{kind}/{id}/accept",
            Self::Rollback(_) => "/api/lkg/{kind}/{id}/rollback",
        }
    }
}

/// The item that a folder's name, in lower case, and an id name.
fn item(folder: &str, id: &str) -> Result<Item, RouteError> {
    let (kind, invalid) = match folder {
        "jobs" => (DefinitionKind::Job, JobId::parse(id).err()),
        "plugins" => (DefinitionKind::Plugin, PluginId::parse(id).err()),
        _ => return Err(RouteError::NotFound),
    };
    match invalid {
        Some(invalid) => Err(RouteError::BadRequest(format!("The id in the path: {}", invalid.message))),
        None => Ok(Item::new(kind, id)),
    }
}
