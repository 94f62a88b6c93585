//! What is swept behind compactions.

use std::time::Duration;

use prometheus::{Histogram, HistogramOpts, IntCounter, Registry};

use super::registered;

/// Upper bounds in seconds: a sweep of a small store takes an instant, of a large one minutes, because it rests often.
const BUCKETS: [f64; 10] = [0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 180.0, 600.0, 1800.0];

/// Counts what sweeps remove. Cheap to clone.
#[derive(Clone)]
pub struct SweepMetrics {
    removed: IntCounter,
    durations: Histogram,
}

impl SweepMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> SweepMetrics {
        SweepMetrics {
            removed: registered(
                registry,
                IntCounter::new(
                    "synod_swept_versions_total",
                    "Old versions of keys removed behind compactions.",
                ),
            ),
            durations: registered(
                registry,
                Histogram::with_opts(
                    HistogramOpts::new(
                        "synod_sweep_duration_seconds",
                        "Time from the first to the last removal behind a compaction, rests included.",
                    )
                    .buckets(BUCKETS.to_vec()),
                ),
            ),
        }
    }

    /// Some versions are removed.
    pub fn removed(&self, versions: u64) {
        self.removed.inc_by(versions);
    }

    /// A sweep has ended.
    pub fn finished(&self, took: Duration) {
        self.durations.observe(took.as_secs_f64());
    }
}
