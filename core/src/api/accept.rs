//! Which of two forms of an answer a client prefers (RFC 9110 12.5.1).

use super::ApiRequest;

/// Whether a page is preferred to JSON; who accepts both alike gets JSON, as programs do that say `*/*` or nothing.
pub(crate) fn prefers_html(request: &ApiRequest) -> bool {
    quality(request, "text", "html") > quality(request, "application", "json")
}

/// The quality of a media type in thousandths: that of the most specific range that covers it; all of it where nothing is said.
fn quality(request: &ApiRequest, kind: &str, subtype: &str) -> u16 {
    if request.all_headers("accept").next().is_none() {
        return 1000;
    }
    let ranges = request.all_headers("accept").flat_map(|field| field.split(','));
    let covering = ranges.filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let (range_kind, range_subtype) = parts.next()?.split_once('/')?;
        let specific = match (range_kind, range_subtype) {
            ("*", "*") => 0,
            (other, "*") if other.eq_ignore_ascii_case(kind) => 1,
            (other, name) if other.eq_ignore_ascii_case(kind) && name.eq_ignore_ascii_case(subtype) => 2,
            _ => return None,
        };
        let mut weight = 1000;
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            // A range with a parameter of its own covers that form of the type alone, which nobody has here.
            weight = if name.trim().eq_ignore_ascii_case("q") { thousandths(value.trim())? } else { return None };
        }
        Some((specific, weight))
    });
    covering.max().map_or(0, |(_, weight)| weight)
}

/// `0`, `0.5`, `1.000`: a weight of RFC 9110 12.4.2.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit()) && fraction.len() <= 3;
    let padded: u16 = alloc::format!("{fraction:0<3}").parse().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(padded),
        "1" if padded == 0 => Some(1000),
        _ => None,
    }
}
