//! Orders about responses that stay open.

use alloc::sync::Arc;

use crate::api::ApiResponse;
use crate::id::RequestId;

/// Orders about responses that stay open.
#[derive(Debug, Clone)]
pub enum StreamOrder {
    /// Answer a request with this and keep its body open. `StreamEnded` tells where its client is gone.
    Open {
        /// Which request.
        request: RequestId,
        /// With this; its body is the beginning.
        response: ApiResponse,
    },
    /// Send more of the body.
    Append {
        /// Which request.
        request: RequestId,
        /// The next bytes; shared by all streams that they go to.
        bytes: Arc<[u8]>,
    },
    /// End the body in order.
    Finish {
        /// Which request.
        request: RequestId,
    },
}
