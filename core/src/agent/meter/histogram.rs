//! How long things took, counted by size.

use alloc::format;

use crate::api::exposition::{Exposition, Kind};

/// Upper bounds of the buckets, in milliseconds and as Prometheus reads them: from a script to the default limit of a run.
const BUCKETS: [(u64, &str); 9] = [
    (100, "0.1"),
    (500, "0.5"),
    (1_000, "1"),
    (5_000, "5"),
    (30_000, "30"),
    (60_000, "60"),
    (300_000, "300"),
    (1_800_000, "1800"),
    (3_600_000, "3600"),
];

/// Times, by bucket; the last one has no bound.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    buckets: [u64; BUCKETS.len() + 1],
    millis: u64,
}

impl Histogram {
    /// One more that took so many milliseconds.
    pub(super) fn add(&mut self, millis: u64) {
        let bucket = BUCKETS.iter().position(|(bound, _)| millis <= *bound).unwrap_or(BUCKETS.len());
        self.buckets.iter_mut().skip(bucket).take(1).for_each(super::bump);
        self.millis = self.millis.saturating_add(millis);
    }

    /// The family of this name.
    pub(super) fn print(&self, name: &str, help: &str, text: &mut Exposition) {
        text.family(name, Kind::Histogram, help);
        let mut below: u64 = 0;
        let bounds = BUCKETS.iter().map(|(_, bound)| *bound).chain(["+Inf"]);
        for (bound, count) in bounds.zip(self.buckets) {
            below = below.saturating_add(count);
            text.sample(&format!("{name}_bucket"), &[("le", bound)], below);
        }
        text.sample(&format!("{name}_sum"), &[], super::seconds(self.millis));
        text.sample(&format!("{name}_count"), &[], below);
    }
}
