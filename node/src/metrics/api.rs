//! Requests of clients and their proposals.

use std::sync::Arc;
use std::time::Instant;

use paxos::{Doubt, Refusal};
use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, Registry};
use storage::machine::Applied;

use super::{counters, gauge, geo_histograms};
use crate::requests::Failure;

/// What a client asked for.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A read.
    Range,
    /// One key set.
    Put,
    /// Keys deleted.
    Delete,
    /// A transaction.
    Txn,
    /// History forgotten.
    Compact,
}

impl Operation {
    const ALL: [(Operation, &'static str); 5] = [
        (Operation::Range, "range"),
        (Operation::Put, "put"),
        (Operation::Delete, "delete"),
        (Operation::Txn, "txn"),
        (Operation::Compact, "compact"),
    ];
}

/// How fresh an answer is.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Consistency {
    /// Sees everything acknowledged before.
    Linearizable,
    /// Whatever this node has.
    Stale,
}

impl Consistency {
    const ALL: [(Consistency, &'static str); 2] = [
        (Consistency::Linearizable, "linearizable"),
        (Consistency::Stale, "stale"),
    ];

    /// The consistency of a read.
    #[must_use]
    pub fn of(serializable: bool) -> Consistency {
        if serializable {
            Consistency::Stale
        } else {
            Consistency::Linearizable
        }
    }
}

/// How a request ended, from the point of view of availability: the last three are the service's fault.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// Done.
    Ok,
    /// A request that can never succeed as it is.
    Invalid,
    /// No leader, no quorum, stopping.
    Unavailable,
    /// No answer in time.
    Timeout,
    /// A queue was full.
    Overloaded,
}

impl Code {
    const ALL: [(Code, &'static str); 5] = [
        (Code::Ok, "ok"),
        (Code::Invalid, "invalid"),
        (Code::Unavailable, "unavailable"),
        (Code::Timeout, "timeout"),
        (Code::Overloaded, "overloaded"),
    ];

    fn of(status: &tonic::Status) -> Code {
        match status.code() {
            tonic::Code::Unavailable if status.message().contains("timed out") => Code::Timeout,
            tonic::Code::DeadlineExceeded => Code::Timeout,
            tonic::Code::Unavailable | tonic::Code::Internal => Code::Unavailable,
            tonic::Code::ResourceExhausted => Code::Overloaded,
            _ => Code::Invalid,
        }
    }
}

/// Why proposals are refused. `stale_ballot`, `epoch_mismatch` and `draining` stand in the catalogue for what the core
/// will refuse later.
const REJECTIONS: [&str; 9] = [
    "no_leader",
    "not_leader",
    "no_quorum",
    "overloaded",
    "too_large",
    "no_space",
    "stale_ballot",
    "epoch_mismatch",
    "draining",
];

fn rejection(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::NoLeader => "no_leader",
        Refusal::NotLeader => "not_leader",
        Refusal::NoQuorum => "no_quorum",
        Refusal::Overloaded => "overloaded",
        Refusal::TooLarge => "too_large",
        Refusal::NoSpace => "no_space",
        Refusal::Change(_) => "epoch_mismatch",
    }
}

/// The metrics of the client edge. Cheap to clone.
#[derive(Clone)]
pub struct ApiMetrics {
    inner: Arc<Inner>,
}

struct Inner {
    /// By operation, then code.
    requests: [[IntCounter; 5]; 5],
    /// By operation, then consistency.
    durations: [[Histogram; 2]; 5],
    inflight: IntGauge,
    /// By operation; first where this node led, then where it forwarded.
    consensus: [[Histogram; 2]; 5],
    committed: IntCounter,
    rejected: IntCounter,
    timed_out: IntCounter,
    abandoned: IntCounter,
    rejections: IntCounterVec,
}

impl ApiMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn new(registry: &Registry) -> ApiMetrics {
        let requests = counters(
            registry,
            "synod_client_requests_total",
            "Requests of clients by kind and by how they ended.",
            &["op", "code"],
        );
        let durations = geo_histograms(
            registry,
            "synod_client_request_duration_seconds",
            "Time from a client's request to its answer, at the server.",
            &["op", "consistency"],
        );
        let inflight = gauge(
            registry,
            "synod_client_inflight_requests",
            "Requests of clients being served.",
        );
        let consensus = geo_histograms(
            registry,
            "synod_consensus_duration_seconds",
            "Time from a proposal to its application at the node whose client made it.",
            &["path", "op"],
        );
        let proposals = counters(
            registry,
            "synod_proposals_total",
            "Proposals of this node's clients by outcome; abandoned: the client went away first.",
            &["outcome"],
        );
        let rejections = counters(
            registry,
            "synod_proposal_rejections_total",
            "Proposals that were certainly not done, by reason.",
            &["reason"],
        );
        for reason in REJECTIONS {
            rejections.with_label_values(&[reason]);
        }
        let duration = |(operation, op): (Operation, &'static str)| {
            Consistency::ALL.map(|(consistency, name)| {
                // Only reads may be stale.
                let possible = operation == Operation::Range || consistency == Consistency::Linearizable;
                if possible {
                    durations.with_label_values(&[op, name])
                } else {
                    unregistered()
                }
            })
        };
        let outcome = |outcome: &str| proposals.with_label_values(&[outcome]);
        let inner = Inner {
            requests: Operation::ALL.map(|(_, op)| Code::ALL.map(|(_, code)| requests.with_label_values(&[op, code]))),
            durations: Operation::ALL.map(duration),
            inflight,
            consensus: Operation::ALL.map(|(operation, op)| consensus_pair(&consensus, operation, op)),
            committed: outcome("committed"),
            rejected: outcome("rejected"),
            timed_out: outcome("timeout"),
            abandoned: outcome("abandoned"),
            rejections,
        };
        ApiMetrics { inner: Arc::new(inner) }
    }

    /// Counts and times one request. A request whose client hangs up is counted as in flight no longer, and nothing else.
    pub async fn request<T>(
        &self,
        operation: Operation,
        consistency: Consistency,
        call: impl Future<Output = Result<T, tonic::Status>>,
    ) -> Result<T, tonic::Status> {
        let begin = Instant::now();
        let inflight = Inflight::enter(&self.inner.inflight);
        let result = call.await;
        drop(inflight);
        let code = result.as_ref().map_or_else(Code::of, |_| Code::Ok);
        self.inner.requests[operation as usize][code as usize].inc();
        self.inner.durations[operation as usize][consistency as usize].observe(begin.elapsed().as_secs_f64());
        result
    }

    /// Counts and times one proposal.
    pub async fn proposal(
        &self,
        operation: Operation,
        forwarded: bool,
        proposal: impl Future<Output = Result<Applied, Failure>>,
    ) -> Result<Applied, Failure> {
        let inner = &*self.inner;
        let begin = Instant::now();
        let mut abandoned = Abandoned {
            counter: &inner.abandoned,
            armed: true,
        };
        let result = proposal.await;
        abandoned.armed = false;
        match &result {
            Ok(_) => {
                inner.committed.inc();
                inner.consensus[operation as usize][usize::from(forwarded)].observe(begin.elapsed().as_secs_f64());
            }
            Err(Failure::Refused(refusal)) => {
                inner.rejected.inc();
                inner.rejections.with_label_values(&[rejection(*refusal)]).inc();
            }
            Err(Failure::Unknown(Doubt::TimedOut)) => inner.timed_out.inc(),
            Err(Failure::Unknown(Doubt::LeaderChanged) | Failure::Stopping) => inner.abandoned.inc(),
        }
        result
    }

    /// What the last minute's summary is made of.
    pub(super) fn totals(&self) -> Totals {
        let inner = &*self.inner;
        let sum = |code: Code| {
            inner
                .requests
                .iter()
                .map(|codes| codes[code as usize].get())
                .sum::<u64>()
        };
        let failed = sum(Code::Unavailable) + sum(Code::Timeout) + sum(Code::Overloaded);
        let proposals = inner.committed.get() + inner.rejected.get() + inner.timed_out.get() + inner.abandoned.get();
        Totals {
            ok: sum(Code::Ok),
            failed,
            proposals,
            rejected: inner.rejected.get(),
            consensus: cumulative(inner.consensus.iter().flatten()),
        }
    }
}

fn consensus_pair(consensus: &HistogramVec, operation: Operation, op: &str) -> [Histogram; 2] {
    // Reads are no proposals.
    if operation == Operation::Range {
        return [unregistered(), unregistered()];
    }
    ["leader", "forwarded"].map(|path| consensus.with_label_values(&[path, op]))
}

/// A histogram for what does not happen; nobody sees it.
fn unregistered() -> Histogram {
    let options = prometheus::HistogramOpts::new("synod_unused", "Never observed.");
    Histogram::with_opts(options.buckets(super::GEO_BUCKETS.to_vec())).expect("name and buckets are valid constants")
}

/// Cumulative counts per bucket over several histograms with [`super::GEO_BUCKETS`].
fn cumulative<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Vec<u64> {
    use prometheus::core::Metric;
    let mut counts = vec![0; super::GEO_BUCKETS.len() + 1];
    for histogram in histograms {
        let metric = histogram.metric();
        let sampled = metric.get_histogram();
        for (count, bucket) in counts.iter_mut().zip(sampled.get_bucket()) {
            *count += bucket.cumulative_count();
        }
        if let Some(all) = counts.last_mut() {
            *all += sampled.get_sample_count();
        }
    }
    counts
}

/// Counters at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) ok: u64,
    pub(super) failed: u64,
    pub(super) proposals: u64,
    pub(super) rejected: u64,
    pub(super) consensus: Vec<u64>,
}

struct Inflight<'a>(&'a IntGauge);

impl Inflight<'_> {
    fn enter(gauge: &IntGauge) -> Inflight<'_> {
        gauge.inc();
        Inflight(gauge)
    }
}

impl Drop for Inflight<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts a proposal whose client went away before it was answered.
struct Abandoned<'a> {
    counter: &'a IntCounter,
    armed: bool,
}

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.counter.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_and_proposals_are_counted_by_how_they_end() {
        let registry = Registry::new();
        let metrics = ApiMetrics::new(&registry);
        let done = async { Ok::<_, tonic::Status>(()) };
        metrics
            .request(Operation::Put, Consistency::Linearizable, done)
            .await
            .expect("it is done");
        let late = async { Err::<(), _>(tonic::Status::unavailable("etcdserver: request timed out")) };
        metrics
            .request(Operation::Range, Consistency::Stale, late)
            .await
            .expect_err("it is late");
        let refused = async { Err(Failure::Refused(Refusal::NoQuorum)) };
        metrics
            .proposal(Operation::Put, true, refused)
            .await
            .expect_err("it is refused");
        drop(metrics.proposal(Operation::Put, true, std::future::pending()));
        let totals = metrics.totals();
        assert_eq!(
            (totals.ok, totals.failed, totals.proposals, totals.rejected),
            (1, 1, 1, 1)
        );
        let text = prometheus::TextEncoder::new()
            .encode_to_string(&registry.gather())
            .expect("it encodes");
        for line in [
            "synod_client_requests_total{code=\"ok\",op=\"put\"} 1",
            "synod_client_requests_total{code=\"timeout\",op=\"range\"} 1",
            "synod_proposal_rejections_total{reason=\"no_quorum\"} 1",
            "synod_proposal_rejections_total{reason=\"draining\"} 0",
            "synod_client_inflight_requests 0",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
