//! The text format of Prometheus, version 0.0.4: families with their meaning and kind, samples with labels.

use alloc::string::String;
use core::fmt::{Display, Write};

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A text in the making.
#[derive(Debug, Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Begins a family; its samples follow.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    /// A sample of the family that was begun last. Label values may be any text.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.write(format_args!("{}{label}=\"", if index == 0 { '{' } else { ',' }));
            for letter in text.chars() {
                match letter {
                    '\\' => self.0.push_str("\\\\"),
                    '"' => self.0.push_str("\\\""),
                    '\n' => self.0.push_str("\\n"),
                    other => self.0.push(other),
                }
            }
            self.0.push('"');
        }
        self.write(format_args!("{} {value}\n", if labels.is_empty() { "" } else { "}" }));
    }

    /// A family of one sample.
    pub(crate) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The whole.
    pub(crate) fn into_text(self) -> String {
        self.0
    }

    fn write(&mut self, text: core::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let written = self.0.write_fmt(text);
        debug_assert!(written.is_ok(), "a text refuses text");
    }
}
