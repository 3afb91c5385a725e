//! Metrics: families with their meaning and kind, samples with labels; and the text format of Prometheus, version 0.0.4, of them.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{Display, Write};

/// The media type.
pub(crate) const MEDIA_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What a family is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from the start of the agent on.
    Counter,
    /// Stands as it stands.
    Gauge,
    /// Counts by size: samples `_bucket` with the label `le`, each with those of the former ones, `_sum` and `_count`.
    Histogram,
}

/// What is measured under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    /// The name.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it means, in a sentence.
    pub help: String,
    /// By labels.
    pub samples: Vec<Sample>,
}

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The family's name, with a suffix in histograms.
    pub name: String,
    /// Names and values.
    pub labels: Vec<(String, String)>,
    /// A decimal number, as it is written.
    pub value: String,
}

/// Families in the making.
#[derive(Debug, Default)]
pub(crate) struct Exposition(Vec<Family>);

impl Exposition {
    /// Begins a family; its samples follow.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.0.push(Family { name: name.to_string(), kind, help: help.to_string(), samples: Vec::new() });
    }

    /// A sample of the family that was begun last. Label values may be any text.
    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels = labels.iter().map(|(label, text)| (label.to_string(), text.to_string())).collect();
        let sample = Sample { name: name.to_string(), labels, value: value.to_string() };
        debug_assert!(!self.0.is_empty(), "a sample of no family");
        if let Some(family) = self.0.last_mut() {
            family.samples.push(sample);
        }
    }

    /// A family of one sample.
    pub(crate) fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The whole.
    pub(crate) fn into_families(self) -> Vec<Family> {
        self.0
    }

    /// The whole as text.
    pub(crate) fn into_text(self) -> String {
        let mut text = Text::default();
        for Family { name, kind, help, samples } in self.0 {
            let kind = match kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
            };
            text.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
            for sample in &samples {
                text.sample(sample);
            }
        }
        text.0
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn sample(&mut self, Sample { name, labels, value }: &Sample) {
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

    fn write(&mut self, text: core::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let written = self.0.write_fmt(text);
        debug_assert!(written.is_ok(), "a text refuses text");
    }
}
