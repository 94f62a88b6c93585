//! Copies of the state that leave and arrive.

use prometheus::{IntCounter, IntGauge, Registry};

use super::{gauge, registered};

/// Counts what is served to peers and taken from them.
#[derive(Clone)]
pub struct SnapshotMetrics {
    /// Copies that are being served.
    pub serving: IntGauge,
    /// Bytes of pieces that were read for peers.
    pub served_bytes: IntCounter,
    /// Bytes of pieces that came from peers.
    pub received_bytes: IntCounter,
}

impl SnapshotMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> SnapshotMetrics {
        let counter = |name: &str, help: &str| registered(registry, IntCounter::new(name, help));
        SnapshotMetrics {
            serving: gauge(
                registry,
                "synod_snapshots_serving",
                "Copies of the state that peers fetch.",
            ),
            served_bytes: counter(
                "synod_snapshot_served_bytes_total",
                "Bytes of copies of the state that were read for peers.",
            ),
            received_bytes: counter(
                "synod_snapshot_received_bytes_total",
                "Bytes of copies of a peer's state that arrived.",
            ),
        }
    }
}
