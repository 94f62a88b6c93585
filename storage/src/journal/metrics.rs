//! What the journal counts.

use prometheus::{Error, Histogram, HistogramOpts, IntGauge, Registry, exponential_buckets};

/// The journal's metrics, registered on a registry of the node's own.
pub(super) struct Metrics {
    pub(super) sync_seconds: Histogram,
    pub(super) batch_writes: Histogram,
    pub(super) batch_bytes: Histogram,
    pub(super) queue_bytes: IntGauge,
    pub(super) trimmed: IntGauge,
    pub(super) log_entries: IntGauge,
    pub(super) log_bytes: IntGauge,
}

impl Metrics {
    pub(super) fn register(registry: &Registry) -> Result<Metrics, Error> {
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| -> Result<Histogram, Error> {
            let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
            registry.register(Box::new(histogram.clone()))?;
            Ok(histogram)
        };
        let gauge = |name: &str, help: &str| -> Result<IntGauge, Error> {
            let gauge = IntGauge::new(name, help)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok(gauge)
        };
        // The fastest disks need some 20 microseconds; beyond three seconds a disk is as good as broken.
        let mut seconds = vec![0.000_02, 0.000_05];
        seconds.extend(exponential_buckets(0.000_1, 2.0, 16)?);
        Ok(Metrics {
            sync_seconds: histogram(
                "synod_journal_sync_seconds",
                "How long making one batch of writes durable takes.",
                seconds,
            )?,
            batch_writes: histogram(
                "synod_journal_batch_writes",
                "Writes that share one sync.",
                exponential_buckets(1.0, 2.0, 14)?,
            )?,
            batch_bytes: histogram(
                "synod_journal_batch_bytes",
                "Bytes that share one sync.",
                exponential_buckets(256.0, 4.0, 10)?,
            )?,
            queue_bytes: gauge("synod_journal_queue_bytes", "Bytes that wait for the disk.")?,
            trimmed: gauge(
                "synod_journal_trimmed_slot",
                "Every slot up to here is gone from the journal.",
            )?,
            log_entries: gauge(
                "synod_journal_log_entries",
                "Slots between the trimmed prefix and the highest slot written by this process.",
            )?,
            log_bytes: gauge(
                "synod_journal_log_bytes",
                "Bytes of the journal on the disk and in its buffers.",
            )?,
        })
    }
}
