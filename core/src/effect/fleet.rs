//! Orders to the policy source of the fleet.

use alloc::string::String;

/// Orders to the policy source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FleetOrder {
    /// Look for a bundle, or subscribe to it. Answered by a `FleetReport` other than `Kept`.
    Ask {
        /// The entity tag of the one that is in force.
        etag: Option<String>,
    },
}
