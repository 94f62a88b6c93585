//! Writes that a node makes to see whether writes succeed.

use std::time::Instant;

use prometheus::{Histogram, IntCounter, Registry};
use storage::machine::Applied;

use super::{GEO_BUCKETS, counters, registered};
use crate::requests::Failure;

/// Counts and times the canary.
pub struct CanaryMetrics {
    ok: IntCounter,
    failed: IntCounter,
    duration: Histogram,
}

impl CanaryMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> CanaryMetrics {
        let probes = counters(
            registry,
            "synod_probe_requests_total",
            "Writes that change nothing, made by the node itself to see whether writes succeed.",
            &["result"],
        );
        let options = prometheus::HistogramOpts::new(
            "synod_probe_duration_seconds",
            "Time from such a write to its application at this node, if it succeeded.",
        );
        let duration = Histogram::with_opts(options.buckets(GEO_BUCKETS.to_vec()));
        CanaryMetrics {
            ok: probes.with_label_values(&["ok"]),
            failed: probes.with_label_values(&["fail"]),
            duration: registered(registry, duration),
        }
    }

    /// Counts and times one write. One that is dropped before its end counts as nothing.
    ///
    /// # Errors
    /// What the write says.
    pub async fn probe(&self, write: impl Future<Output = Result<Applied, Failure>>) -> Result<(), Failure> {
        let begin = Instant::now();
        let written = write.await;
        match &written {
            Ok(_) => {
                self.ok.inc();
                self.duration.observe(begin.elapsed().as_secs_f64());
            }
            Err(_) => self.failed.inc(),
        }
        written.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use paxos::Refusal;
    use storage::machine::{PutReply, Reply, Revision};

    use super::*;

    #[tokio::test]
    async fn what_fails_is_counted_and_not_timed() {
        let registry = Registry::new();
        let metrics = CanaryMetrics::new(&registry);
        let done = Applied {
            revision: Revision(1),
            result: Ok(Reply::Put(PutReply::default())),
        };
        metrics.probe(async { Ok(done) }).await.expect("it is done");
        let refused = Failure::Refused(Refusal::NoQuorum);
        assert_eq!(metrics.probe(async { Err(refused) }).await, Err(refused));
        drop(metrics.probe(std::future::pending()));
        assert_eq!((metrics.ok.get(), metrics.failed.get()), (1, 1));
        assert_eq!(metrics.duration.get_sample_count(), 1);
    }
}
