//! Traces as OpenTelemetry has them: which event led to which run, task, publish and further run.
//!
//! Ids are W3C Trace Context's. They are derived, not drawn: from the machine, the start of the agent and what the span is about, so
//! that whoever knows a span's subject knows its id, and a span may name a parent that is told later.

#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Serialize, Serializer};

use crate::digest::digest;
use crate::hexadecimal::hexadecimal;
use crate::limits::SPAN_TEXT_CHARS;
use crate::text::cut;
use crate::time::WallTime;

/// Whether it is so many lower-case hexadecimal digits.
fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

macro_rules! trace_id {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name([u8; $bytes]);

        impl $name {
            /// Reads lower-case hexadecimal digits; `None` for anything else, and for zeros, which W3C Trace Context forbids.
            pub fn parse(text: &str) -> Option<Self> {
                let mut bytes = [0; $bytes];
                if !is_hexadecimal(text, 2 * $bytes) {
                    return None;
                }
                for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
                    *byte = u8::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
                }
                (bytes != [0; $bytes]).then_some(Self(bytes))
            }

            /// The id in network byte order.
            pub const fn as_bytes(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&hexadecimal(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

trace_id! {
    /// What all spans of one story have in common (W3C Trace Context 3.2.2.3).
    TraceId, 16
}
trace_id! {
    /// One span of a trace (W3C Trace Context 3.2.2.4).
    SpanId, 8
}

/// A place in a trace: what belongs to it, belongs to this trace and hangs under this span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceContext {
    /// Which trace.
    pub trace_id: TraceId,
    /// Which span; `None` at the root, where only the trace is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub span_id: Option<SpanId>,
}

impl TraceContext {
    /// Reads a `traceparent` (W3C Trace Context 3.2), of this version or of a later one that begins alike. Its sampled flag is not heard.
    pub fn from_traceparent(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_byte = |text| is_hexadecimal(text, 2);
        if !is_byte(version) || version == "ff" || !is_byte(flags) || (version == "00" && parts.next().is_some()) {
            return None;
        }
        Some(Self { trace_id: TraceId::parse(trace)?, span_id: Some(SpanId::parse(span)?) })
    }

    /// Reads a correlation id that can be a trace's: 32 hexadecimal digits, also with the hyphens of a UUID.
    pub fn from_correlation_id(text: &str) -> Option<Self> {
        let plain = text.replace('-', "").to_ascii_lowercase();
        Some(Self { trace_id: TraceId::parse(&plain)?, span_id: None })
    }

    /// The `traceparent` to hand on, sampled; `None` where there is no span yet.
    pub fn to_traceparent(&self) -> Option<String> {
        self.span_id.map(|span| format!("00-{}-{span}-01", self.trace_id))
    }

    /// The place of what hangs under this one, told from its siblings by its subject.
    pub(crate) fn below(&self, subject: &str) -> Self {
        let above = self.span_id.map(|span| span.0).unwrap_or_default();
        // What varies most comes first: all that follows spreads it over every bit. Zero is no id.
        let id = digest(&[subject.as_bytes(), &above, self.trace_id.as_bytes()]).max(1);
        Self { span_id: Some(SpanId(id.to_be_bytes())), ..*self }
    }
}

/// Where new traces get their ids from; there is one only where traces are told.
#[derive(Debug)]
pub(crate) struct Tracer {
    seed: String,
}

impl Tracer {
    /// `machine` tells this machine from all others, `boot` this start of its agent from the former.
    pub(crate) fn new(machine: &str, boot: u64) -> Self {
        Self { seed: format!("{boot} {machine}") }
    }

    /// The place of what begins a trace; its subject is unique among those of this start.
    pub(crate) fn root(&self, subject: &str) -> TraceContext {
        let half = |side: &[u8]| digest(&[subject.as_bytes(), side, self.seed.as_bytes()]).max(1).to_be_bytes();
        let mut bytes = [0; 16];
        for (byte, from) in bytes.iter_mut().zip(half(b"high").into_iter().chain(half(b"low"))) {
            *byte = from;
        }
        TraceContext { trace_id: TraceId(bytes), span_id: None }
    }

    /// The place of what hangs under this one, which may be another machine's: others may do the like there at the same time.
    pub(crate) fn below(&self, above: TraceContext, subject: &str) -> TraceContext {
        above.below(&format!("{subject} {}", self.seed))
    }
}

/// What a span stands for, in OpenTelemetry's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work of the agent's own, or of what it started.
    Internal,
    /// A message on its way.
    Producer,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attribute {
    /// A text of at most [`SPAN_TEXT_CHARS`] characters.
    Text(String),
    /// A whole number.
    Number(i64),
}

/// Something that took its time, over by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Its trace and its own id.
    pub context: TraceContext,
    /// Under which span it hangs; `None` for a root.
    pub parent: Option<SpanId>,
    /// What it is called: `run nightly-scan`.
    pub name: String,
    /// What it stands for.
    pub kind: SpanKind,
    /// When it began.
    pub start: WallTime,
    /// When it was over.
    pub end: WallTime,
    /// Whether it went well; else why not, in a sentence.
    pub status: Result<(), String>,
    /// What is known of it, by OpenTelemetry's names where they exist.
    pub attributes: Vec<(&'static str, Attribute)>,
}

impl Span {
    /// A span of no length, without attributes.
    pub(crate) fn at(context: TraceContext, parent: Option<SpanId>, name: &str, now: WallTime) -> Self {
        let name = cut(name, SPAN_TEXT_CHARS);
        Self {
            context,
            parent,
            name,
            kind: SpanKind::Internal,
            start: now,
            end: now,
            status: Ok(()),
            attributes: Vec::new(),
        }
    }

    /// With one more attribute.
    #[must_use]
    pub(crate) fn text(mut self, name: &'static str, value: &str) -> Self {
        self.attributes.push((name, Attribute::Text(cut(value, SPAN_TEXT_CHARS))));
        self
    }

    /// With one more attribute, where there is something to say.
    #[must_use]
    pub(crate) fn number(mut self, name: &'static str, value: Option<impl TryInto<i64>>) -> Self {
        let value = value.map(|value| value.try_into().unwrap_or(i64::MAX));
        self.attributes.extend(value.map(|value| (name, Attribute::Number(value))));
        self
    }

    /// That did not go well.
    #[must_use]
    pub(crate) fn failed(mut self, why: &str) -> Self {
        self.status = Err(cut(why, SPAN_TEXT_CHARS));
        self
    }
}
