//! What the scrub reads and finds.

use prometheus::{IntCounterVec, IntGauge, Registry};

use super::{counters, gauge};

/// Counts what the scrub reads and finds.
#[derive(Clone)]
pub struct ScrubMetrics {
    /// Bytes that were read and verified.
    pub bytes: IntCounterVec,
    /// Faults.
    pub faults: IntCounterVec,
    /// When the last pass ended.
    pub last_pass: IntGauge,
}

impl ScrubMetrics {
    /// Registers the metrics; counters begin at 0, so that their first rise is seen.
    #[must_use]
    pub fn new(registry: &Registry) -> ScrubMetrics {
        let metrics = ScrubMetrics {
            bytes: counters(
                registry,
                "synod_scrub_bytes_total",
                "Bytes on the disk that were read and verified in the background.",
                &["store"],
            ),
            faults: counters(
                registry,
                "synod_scrub_faults_total",
                "What was read in the background and is not what was written.",
                &["store"],
            ),
            last_pass: gauge(
                registry,
                "synod_scrub_last_pass_timestamp_seconds",
                "When the disk was last read through and found whole; 0 if not since the start.",
            ),
        };
        for store in ["journal", "state"] {
            metrics.bytes.with_label_values(&[store]);
            metrics.faults.with_label_values(&[store]);
        }
        metrics
    }
}
