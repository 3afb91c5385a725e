//! What the broker tells of the publishes of runs' tasks, for their traces.

use alloc::string::String;

use crate::broker::message::QoS;

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Traced {
    /// An allowed message, once for each time it was sent.
    Publish {
        /// The topic.
        topic: String,
        /// As it was sent.
        qos: QoS,
        /// Length of the payload.
        bytes: usize,
    },
    /// So many more of a connection that is over, which were too many to tell.
    LeftOut(u64),
}
