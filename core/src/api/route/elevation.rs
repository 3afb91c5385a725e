//! The paths below `/api/elevation`: requests for more privileges, and what is said about one of them.

use alloc::string::ToString;

use super::RouteError;
use crate::elevation::Target;
use crate::id::ElevationId;
use crate::policy::Control;

/// What a path about requests for more privileges names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Elevation {
    List,
    One(ElevationId),
    Control(ElevationId, Control),
    Redirect(ElevationId),
    Launch(ElevationId, Target),
    Approve(ElevationId),
    Deny(ElevationId),
}

impl Elevation {
    /// Reads what follows `/api/elevation`: its segments in lower case.
    pub(super) fn parse(lower: &[&str]) -> Result<Self, RouteError> {
        Ok(match lower {
            [] => Self::List,
            [one] => Self::One(id(one)?),
            [one, "controls", name] => Self::Control(id(one)?, control(name)?),
            [one, "redirect"] => Self::Redirect(id(one)?),
            [one, "launch"] => Self::Launch(id(one)?, Target::Asked),
            [one, "launch-substitute"] => Self::Launch(id(one)?, Target::Substitute),
            [one, "approve"] => Self::Approve(id(one)?),
            [one, "deny"] => Self::Deny(id(one)?),
            _ => return Err(RouteError::NotFound),
        })
    }

    /// The template of its path.
    pub(super) const fn template(&self) -> &'static str {
        match self {
            Self::List => "/api/elevation",
            Self::One(_) => "/api/elevation/{requestId}",
            Self::Control(..) => "/api/elevation/{requestId}/controls/{control}",
            Self::Redirect(_) => "/api/elevation/{requestId}/redirect",
            Self::Launch(_, Target::Asked) => "/api/elevation/{requestId}/launch",
            Self::Launch(_, Target::Substitute) => "/api/elevation/{requestId}/launch-substitute",
            Self::Approve(_) => "/api/elevation/{requestId}/approve",
            Self::Deny(_) => "/api/elevation/{requestId}/deny",
        }
    }
}

/// The id of a request.
pub(super) fn id(text: &str) -> Result<ElevationId, RouteError> {
    ElevationId::from_text(text).ok_or(RouteError::NotFound)
}

fn control(name: &str) -> Result<Control, RouteError> {
    let known = Control::ALL.into_iter().find(|control| control.as_str().eq_ignore_ascii_case(name));
    known.ok_or_else(|| RouteError::BadRequest("A control is MFA, JUSTIFY or APPROVAL.".to_string()))
}
