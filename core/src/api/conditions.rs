//! Conditional requests (RFC 9110 13): entity tags, and what `If-Match` and `If-None-Match` say to them.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{ApiRequest, ApiResponse, Members};
use crate::digest::digest;
use crate::why::Explanation;

/// The strong entity tag of a representation (RFC 9110 8.8.3). Whoever writes two documents with one digest only misleads itself.
pub(crate) fn entity_tag(representation: &[u8]) -> String {
    format!("\"{:x}-{:016x}\"", representation.len(), digest(&[representation]))
}

/// The conditions of one request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Conditions {
    if_match: Option<Vec<String>>,
    if_none_match: Option<Vec<String>>,
}

impl Conditions {
    pub(crate) fn of(request: &ApiRequest) -> Self {
        // A comma inside of a tag, which none of ours has, only makes two that match nothing.
        let tags = |name| {
            let values: Vec<&str> = request.all_headers(name).collect();
            let tags = values.iter().flat_map(|value| value.split(',')).map(|tag| tag.trim().to_string());
            (!values.is_empty()).then(|| tags.collect())
        };
        Self { if_match: tags("if-match"), if_none_match: tags("if-none-match") }
    }

    /// 412 where a write must not happen over the representation of now; `None` is none at all (RFC 9110 13.2.2).
    pub(crate) fn refuse_write(&self, current: Option<&str>) -> Option<ApiResponse> {
        let why = match current {
            _ if !self.matches(current) => "it is not what If-Match names",
            Some(_) if self.is_known(current) => "If-None-Match says that there must be none such",
            Some(_) | None => return None,
        };
        let now = current.map_or_else(|| "There is none now".to_string(), |tag| format!("Its ETag is {tag} now"));
        let explanation = Explanation::new(
            "Nothing was written.",
            format!("{now}; {why}. Somebody else may have changed it."),
            "GET it again, decide again, and send the ETag that came with it.",
        );
        let mut response =
            ApiResponse::problem_with(412, &explanation, Members { etag: current, ..Members::default() });
        if let Some(current) = current {
            response.set_header("etag", current);
        }
        Some(response)
    }

    fn matches(&self, current: Option<&str>) -> bool {
        let Some(tags) = &self.if_match else { return true };
        current.is_some_and(|current| tags.iter().any(|tag| tag == "*" || tag == current))
    }

    fn is_known(&self, current: Option<&str>) -> bool {
        let (Some(tags), Some(current)) = (&self.if_none_match, current) else { return false };
        tags.iter().any(|tag| tag == "*" || tag.trim_start_matches("W/") == current)
    }
}

/// A representation with its entity tag; 304 without it where the caller has it already.
pub(crate) fn tagged(request: &ApiRequest, response: ApiResponse) -> ApiResponse {
    if response.status != 200 {
        return response;
    }
    let tag = entity_tag(&response.body);
    conditional(request, response, &tag)
}

/// The same of one whose entity tag is known.
pub(crate) fn conditional(request: &ApiRequest, mut response: ApiResponse, tag: &str) -> ApiResponse {
    let conditions = Conditions::of(request);
    if !conditions.matches(Some(tag)) {
        return conditions.refuse_write(Some(tag)).unwrap_or(response);
    }
    if conditions.is_known(Some(tag)) {
        response = ApiResponse { status: 304, headers: Vec::new(), body: Vec::new() };
    }
    response.set_header("etag", tag);
    response
}
