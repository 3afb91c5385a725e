//! URLs of Http tasks (RFC 3986), as far as a request needs them: whom to ask, and for what.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::{String, ToString};

use crate::event::Endpoints;
use crate::limits::URL_BYTES;

/// An http or https URL in its parts; the fragment, which no server sees, is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUrl {
    /// Whether it is https.
    pub tls: bool,
    /// Host name or IPv4 address in lower case, or an IPv6 address in brackets.
    pub host: String,
    /// Port; 80 or 443 where none is given.
    pub port: u16,
    /// Path and query, beginning with `/`.
    pub target: String,
}

impl HttpUrl {
    /// Reads an absolute URL.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_BYTES {
            return Err(format!("it has {} bytes; at most {URL_BYTES} are sent.", text.len()));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(
                "it has a blank, a backslash, a control character or a letter beyond ASCII; percent-encode it."
                    .to_string(),
            );
        }
        let (scheme, rest) = text.split_once("://").ok_or("it does not start with https:// or http://.")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("its scheme is neither https nor http.".to_string()),
        };
        let (authority, target) =
            rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len())).unwrap_or_default();
        let (host, port) = host_and_port(authority, if tls { 443 } else { 80 })?;
        let target = target.split('#').next().unwrap_or_default();
        let target = if target.starts_with('/') { target.to_string() } else { format!("/{target}") };
        Ok(Self { tls, host, port, target })
    }

    /// Whether it names this agent's own API, by one of the names under which the API is served.
    pub(crate) fn is_own(&self, endpoints: Option<Endpoints>) -> bool {
        let named = matches!(self.host.as_str(), "127.0.0.1" | "localhost" | "[::1]");
        self.tls && named && endpoints.is_some_and(|endpoints| endpoints.https == self.port)
    }
}

fn host_and_port(authority: &str, default: u16) -> Result<(String, u16), String> {
    if authority.contains('@') {
        return Err("it has user information before the host; send credentials in a header field.".to_string());
    }
    let bracketed = authority.starts_with('[');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !bracketed || host.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let well_formed = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<core::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(fits),
    };
    if !well_formed {
        return Err(format!("'{host}' is no host name or address."));
    }
    let number =
        |text: &str| text.parse().ok().filter(|port| *port != 0 && text.bytes().all(|byte| byte.is_ascii_digit()));
    let port = match port {
        None => default,
        Some(text) => number(text).ok_or_else(|| format!("'{text}' is no port."))?,
    };
    Ok((host.to_ascii_lowercase(), port))
}
