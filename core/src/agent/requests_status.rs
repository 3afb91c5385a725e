//! What tells about the agent as a whole: its description for programs.

use super::Agent;
use crate::api::{self, ApiResponse};

impl Agent {
    /// Made once and kept: anybody may ask for it as often as it likes.
    pub(super) fn description(&mut self) -> ApiResponse {
        let surroundings = &self.desk.surroundings;
        let https = surroundings.endpoints.map_or(0, |endpoints| endpoints.https);
        let document = self.description.get_or_insert_with(|| api::openapi(&surroundings.version, https));
        ApiResponse::document(200, document.clone())
    }
}
