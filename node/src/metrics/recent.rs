//! The last minute in four numbers, so that `/v1/status` can tell them without a Prometheus.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::GEO_BUCKETS;
use super::api::{ApiMetrics, Totals};

/// What the summary covers.
const SPAN: Duration = Duration::from_secs(60);
/// How often totals are kept.
const STEP: Duration = Duration::from_secs(1);

/// Totals of the last minute, one a second.
pub struct Recent {
    metrics: ApiMetrics,
    samples: Mutex<VecDeque<(Instant, Totals)>>,
}

/// The four numbers that dashboards, `/v1/status` and the load generator share.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Summary {
    /// Successful requests per second.
    pub throughput_rps: f64,
    /// From proposal to application at this node; null without proposals.
    pub consensus_latency_ms: Option<Quantiles>,
    /// Refused proposals as a share of all, 0 to 1.
    pub proposal_rejection_rate: f64,
    /// Requests not failed by the service, in percent; 100 without requests.
    pub availability_pct: f64,
}

/// Quantiles in milliseconds, as upper bounds of histogram buckets.
#[derive(Copy, Clone, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// Of a hundred, the second worst.
    pub p99: f64,
}

impl Recent {
    /// Begins with the totals of now.
    #[must_use]
    pub fn new(metrics: ApiMetrics) -> Recent {
        let first = (Instant::now(), metrics.totals());
        Recent {
            metrics,
            samples: Mutex::new(VecDeque::from([first])),
        }
    }

    /// Keeps totals once a second, for as long as it is polled.
    pub async fn keep(&self) {
        let mut ticks = tokio::time::interval(STEP);
        loop {
            ticks.tick().await;
            let now = Instant::now();
            let totals = self.metrics.totals();
            let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
            samples.push_back((now, totals));
            // The oldest one that stays is the last from before the span.
            while samples.len() > 2 && now - samples[1].0 >= SPAN {
                samples.pop_front();
            }
        }
    }

    /// The last minute, or as much of it as there was.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let totals = self.metrics.totals();
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        match samples.front() {
            Some((since, before)) => between(before, &totals, since.elapsed()),
            None => Summary::default(),
        }
    }
}

fn between(before: &Totals, after: &Totals, span: Duration) -> Summary {
    let (ok, failed) = (after.ok - before.ok, after.failed - before.failed);
    let (proposals, rejected) = (after.proposals - before.proposals, after.rejected - before.rejected);
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    let counts: Vec<u64> = after
        .consensus
        .iter()
        .zip(&before.consensus)
        .map(|(after, before)| after - before)
        .collect();
    Summary {
        throughput_rps: ok as f64 / span.as_secs_f64().max(1e-3),
        consensus_latency_ms: quantile(&counts, 0.5)
            .zip(quantile(&counts, 0.99))
            .map(|(p50, p99)| Quantiles { p50, p99 }),
        proposal_rejection_rate: share(rejected, proposals),
        availability_pct: if ok + failed == 0 {
            100.0
        } else {
            100.0 * share(ok, ok + failed)
        },
    }
}

/// The quantile in milliseconds by linear interpolation within its bucket, as Prometheus does; `None` without samples.
fn quantile(cumulative: &[u64], quantile: f64) -> Option<f64> {
    let all = cumulative.last().copied().filter(|all| *all > 0)?;
    let rank = quantile * all as f64;
    let bucket = cumulative.iter().position(|count| *count as f64 >= rank)?;
    let upper = GEO_BUCKETS.get(bucket).or(GEO_BUCKETS.last())?;
    let (lower, below) = match bucket.checked_sub(1) {
        Some(previous) => (GEO_BUCKETS[previous], cumulative[previous]),
        None => (0.0, 0),
    };
    let inside = (cumulative[bucket] - below) as f64;
    Some(1000.0 * (lower + (upper - lower) * (rank - below as f64) / inside.max(1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_the_difference_of_two_moments() {
        let mut after = vec![0; GEO_BUCKETS.len() + 1];
        // A hundred samples between 10 and 12.5 ms.
        for count in &mut after[7..] {
            *count = 100;
        }
        let before = Totals {
            ok: 10,
            failed: 0,
            proposals: 10,
            rejected: 0,
            consensus: vec![0; after.len()],
        };
        let after = Totals {
            ok: 100,
            failed: 10,
            proposals: 110,
            rejected: 25,
            consensus: after,
        };
        let summary = between(&before, &after, Duration::from_secs(9));
        assert!((summary.throughput_rps - 10.0).abs() < 1e-9);
        assert!((summary.availability_pct - 90.0).abs() < 1e-9);
        assert!((summary.proposal_rejection_rate - 0.25).abs() < 1e-9);
        let latency = summary.consensus_latency_ms.expect("there are samples");
        assert!((latency.p50 - 11.25).abs() < 1e-9, "{latency:?}");
        assert_eq!(between(&after, &after, SPAN).consensus_latency_ms, None);
    }
}
