//! What a node counts, for Prometheus.
//!
//! Every room registers its own metrics on a registry it is given; nothing is global, so several nodes fit in one
//! process. Names, types and labels are those of `dashboards/` (prefix `synod_`, base units). No label ever holds an id
//! that grows without bound; `cluster`, `region` and `node` are added by whoever scrapes.
//!
//! * [`ApiMetrics`]: requests of clients and what became of the proposals they caused
//! * [`ConsensusMetrics`]: what the core reports in its events
//! * [`NodeGauges`]: the node's status, read when somebody scrapes
//! * [`QuorumGauges`]: what may still be lost, and what a commit waits for
//! * [`CanaryMetrics`]: writes that the node makes itself
//! * [`RenewalMetrics`]: certificates renewed while the node runs
//! * [`openmetrics`]: the format for scrapers that ask for it
//! * [`SweepMetrics`]: what is removed behind compactions
//! * [`ScrubMetrics`]: what is read in the background to find what rots
//! * [`Recent`]: the last minute in four numbers
//! * [`SnapshotMetrics`]: copies of the state that leave and arrive

mod api;
mod canary;
mod consensus;
mod gauges;
pub mod openmetrics;
mod quorums;
mod recent;
mod renewals;
mod scrub;
mod snapshots;
mod sweeps;

pub use api::{ApiMetrics, Code, Consistency, Operation};
pub use canary::CanaryMetrics;
pub use consensus::ConsensusMetrics;
pub use gauges::NodeGauges;
pub use quorums::{Outlook, QuorumGauges, Quorums, Reach};
pub use recent::{Recent, Summary};
pub use renewals::RenewalMetrics;
pub use scrub::ScrubMetrics;
pub use snapshots::SnapshotMetrics;
pub use sweeps::SweepMetrics;

use prometheus::core::Collector;
use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

/// Upper bounds in seconds, dense where round trips between regions lie: 1.25 times apart from 10 to 500 ms.
pub const GEO_BUCKETS: [f64; 28] = [
    0.0005, 0.001, 0.0016, 0.0025, 0.004, 0.0063, 0.01, 0.0125, 0.016, 0.02, 0.025, 0.032, 0.04, 0.05, 0.063, 0.08,
    0.1, 0.125, 0.16, 0.2, 0.25, 0.32, 0.4, 0.5, 0.8, 1.6, 3.2, 10.0,
];

/// Registers a metric that this program defines itself.
///
/// # Panics
/// If a metric of that name is registered already: two rooms of one node claim the same name.
fn registered<C: Collector + Clone + 'static>(registry: &Registry, collector: Result<C, prometheus::Error>) -> C {
    let collector = collector.expect("the names and labels of a metric are constants that are valid");
    registry
        .register(Box::new(collector.clone()))
        .unwrap_or_else(|error| panic!("cannot register a metric: {error}"));
    collector
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    registered(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    registered(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    registered(registry, IntGauge::new(name, help))
}

fn geo_histograms(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> HistogramVec {
    let options = HistogramOpts::new(name, help).buckets(GEO_BUCKETS.to_vec());
    registered(registry, HistogramVec::new(options, labels))
}
