//! What `GET /api/events` consists of: kinds, numbers and blocks of an event stream (WHATWG HTML 9.2, server-sent events).

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::Serialize;

use super::Tier;
use crate::job::finding::quote;

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "text/event-stream";

/// What a client makes of one block of the stream.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct StreamEvent {
    /// `run`, `plugin`, `denial`, `drift`, `elevation`, or `gap`: what came meanwhile and can no longer be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// One JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    /// What to send as `Last-Event-ID`.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Milliseconds after which to come back.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry: Option<u64>,
}

/// What an event is about; its name stands in the field `event`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A run was triggered, started, finished a task, or finished.
    Run,
    /// A plugin's status or health changed.
    Plugin,
    /// Something was refused.
    Denial,
    /// A file was not as blessed.
    Drift,
    /// A request for more privileges came to stand elsewhere.
    Elevation,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Run, Self::Plugin, Self::Denial, Self::Drift, Self::Elevation];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Plugin => "plugin",
            Self::Denial => "denial",
            Self::Drift => "drift",
            Self::Elevation => "elevation",
        }
    }

    /// The same tier that may read it by GET.
    pub(crate) const fn tier(self) -> Tier {
        match self {
            Self::Run | Self::Plugin => Tier::Plugin,
            Self::Denial | Self::Drift | Self::Elevation => Tier::Admin,
        }
    }

    /// All that a tier may follow.
    pub(crate) fn all_for(tier: Tier) -> BTreeSet<Self> {
        Self::ALL.into_iter().filter(|kind| kind.tier() <= tier).collect()
    }

    /// The kinds of `?kinds=run,plugin`.
    ///
    /// # Errors
    /// A sentence about the first name that is none.
    pub(crate) fn list(text: &str) -> Result<BTreeSet<Self>, String> {
        let named = |name: &str| {
            let known = Self::ALL.into_iter().find(|kind| kind.name() == name.trim());
            known.ok_or_else(|| {
                let all = Self::ALL.map(Self::name).join(", ");
                format!("{} is no kind of event; kinds is a list of {all}.", quote(name.trim()))
            })
        };
        text.split(',').map(named).collect()
    }
}

/// What a part of the agent told in a turn: one JSON object on one line.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) kind: Kind,
    pub(crate) data: Vec<u8>,
}

/// The id of an event: the agent's start and the event's number since then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EventId {
    pub(crate) boot: u64,
    pub(crate) number: u64,
}

impl EventId {
    /// Reads `Last-Event-ID`; `None` where no agent gives such an id.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (boot, number) = text.split_once('-')?;
        Some(Self { boot: boot.parse().ok()?, number: number.parse().ok()? })
    }

    /// A block without an event, which only tells a client where it stands.
    pub(crate) fn mark(self) -> String {
        format!("id: {}-{}\n\n", self.boot, self.number)
    }

    /// A whole event.
    pub(crate) fn block(self, told: &Told) -> Arc<[u8]> {
        let head = format!("id: {}-{}\nevent: {}\ndata: ", self.boot, self.number, told.kind.name());
        [head.as_bytes(), &told.data, b"\n\n"].concat().into()
    }
}

/// The event that tells a client what it can no longer get: so many, or nobody knows how many.
pub(crate) fn gap(lost: Option<u64>) -> String {
    let lost = lost.map_or_else(|| "null".to_string(), |lost| lost.to_string());
    format!("event: gap\ndata: {{\"lost\":{lost}}}\n\n")
}
