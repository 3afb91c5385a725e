//! What the port of the policy source tells the agent.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;

use crate::fleet::{Bundle, KeptBundle};
use crate::trust::signature::SignatureFacts;

/// What the policy source reports.
#[derive(Debug, Clone)]
pub enum FleetReport {
    /// The last good bundle of former starts was read; comes before the source is asked.
    Kept {
        /// As it was kept.
        bundle: KeptBundle,
        /// What is in it, else why it cannot be opened.
        opened: Result<Opened, String>,
    },
    /// A bundle arrived: answers `Ask`, or comes on a subscribed topic.
    Received(Box<Received>),
    /// Answers `Ask`: the source has what the entity tag says.
    NotModified,
    /// Answers `Ask`: bundles come by themselves from now on.
    Subscribed,
    /// Answers `Ask`, or ends a subscription; why, as a sentence without a full stop.
    Failed(String),
}

/// A bundle as it arrived.
#[derive(Debug, Clone)]
pub struct Received {
    /// Byte for byte.
    pub document: Arc<[u8]>,
    /// The entity tag that came with it.
    pub etag: Option<String>,
    /// What is in it, else why it cannot be opened.
    pub opened: Result<Opened, String>,
}

/// What is in a document that may be signed.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The bundle, else what is wrong with its form.
    pub bundle: Result<Bundle, String>,
    /// Facts about the signature; `None` where it has none.
    pub signature: Option<Box<SignatureFacts>>,
}
