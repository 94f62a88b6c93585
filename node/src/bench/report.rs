//! What was measured, as text or as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Latencies of the successful requests of one kind.
pub(super) struct Sample(Histogram<u64>);

impl Default for Sample {
    fn default() -> Sample {
        // A microsecond to ten minutes, three digits.
        Sample(Histogram::new_with_bounds(1_000, 600_000_000_000, 3).expect("the bounds are constants that fit"))
    }
}

impl Sample {
    pub(super) fn record(&mut self, latency: Duration) {
        self.0
            .saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(super) fn merge(&mut self, other: &Sample) {
        self.0.add(&other.0).expect("all samples have the same bounds");
    }

    /// How many requests.
    pub(super) fn count(&self) -> u64 {
        self.0.len()
    }

    fn quantile_ms(&self, quantile: f64) -> f64 {
        milliseconds(self.0.value_at_quantile(quantile))
    }

    fn to_json(&self) -> Value {
        json!({
            "requests": self.count(),
            "mean": rounded(self.0.mean() / 1e6),
            "p50": self.quantile_ms(0.5),
            "p90": self.quantile_ms(0.9),
            "p99": self.quantile_ms(0.99),
            "p99_9": self.quantile_ms(0.999),
            "max": milliseconds(self.0.max()),
        })
    }

    fn line(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\n{name}: {} answers; ms: p50 {:.3}, p90 {:.3}, p99 {:.3}, p99.9 {:.3}, max {:.3}",
            self.count(),
            self.quantile_ms(0.5),
            self.quantile_ms(0.9),
            self.quantile_ms(0.99),
            self.quantile_ms(0.999),
            milliseconds(self.0.max())
        )
    }
}

fn milliseconds(nanoseconds: u64) -> f64 {
    rounded(nanoseconds as f64 / 1e6)
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The result of one run.
pub struct Report {
    pub(super) operation: &'static str,
    pub(super) keys_per_request: u64,
    pub(super) endpoints: Vec<String>,
    pub(super) clients: usize,
    pub(super) connections: usize,
    pub(super) key_size: usize,
    pub(super) value_size: usize,
    /// From the end of the warm-up to the last answer.
    pub(super) elapsed: Duration,
    pub(super) reads: Sample,
    pub(super) writes: Sample,
    pub(super) errors: BTreeMap<String, u64>,
    /// Errors with which the server refused the request.
    pub(super) rejections: u64,
    /// CPU time of the generator itself over the whole run.
    pub(super) generator_cpu: Duration,
}

impl Report {
    /// Requests that were answered without an error.
    #[must_use]
    pub fn succeeded(&self) -> u64 {
        self.reads.count() + self.writes.count()
    }

    fn failed(&self) -> u64 {
        self.errors.values().sum()
    }

    fn throughput(&self) -> f64 {
        let seconds = self.elapsed.as_secs_f64();
        if seconds > 0.0 {
            self.succeeded() as f64 / seconds
        } else {
            0.0
        }
    }

    fn share(&self, part: u64) -> f64 {
        let all = self.succeeded() + self.failed();
        if all == 0 { 0.0 } else { part as f64 / all as f64 }
    }

    /// The result as JSON. `consensus_latency_ms` is that of writes as the client sees it, network and API included.
    #[must_use]
    pub fn to_json(&self) -> String {
        let consensus = json!({ "p50": self.writes.quantile_ms(0.5), "p99": self.writes.quantile_ms(0.99) });
        let report = json!({
            "operation": self.operation,
            "endpoints": self.endpoints,
            "clients": self.clients,
            "connections": self.connections,
            "key_size": self.key_size,
            "value_size": self.value_size,
            "seconds": rounded(self.elapsed.as_secs_f64()),
            "throughput_rps": rounded(self.throughput()),
            "keys_per_second": rounded(self.throughput() * self.keys_per_request as f64),
            "latency_ms": { "reads": self.reads.to_json(), "writes": self.writes.to_json() },
            "consensus_latency_ms": if self.writes.count() > 0 { consensus } else { Value::Null },
            "availability_pct": rounded(100.0 * self.share(self.succeeded())),
            "proposal_rejection_rate": rounded(self.share(self.rejections)),
            "errors": self.errors,
            "generator_cpu_seconds": self.generator_cpu.as_secs_f64(),
        });
        format!("{report:#}")
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.endpoints.join(", ");
        write!(
            f,
            "{}: {} clients on {} connections to {endpoints}",
            self.operation, self.clients, self.connections
        )?;
        write!(f, ", {}-byte keys, {}-byte values", self.key_size, self.value_size)?;
        write!(
            f,
            "\n{:.0} requests/s over {:.2} s",
            self.throughput(),
            self.elapsed.as_secs_f64()
        )?;
        if self.keys_per_request > 1 {
            write!(f, " ({:.0} keys/s)", self.throughput() * self.keys_per_request as f64)?;
        }
        write!(f, ", generator used {:.2} s of CPU", self.generator_cpu.as_secs_f64())?;
        for (name, sample) in [("reads", &self.reads), ("writes", &self.writes)] {
            if sample.count() > 0 {
                sample.line(name, f)?;
            }
        }
        for (label, count) in &self.errors {
            write!(f, "\n{count} failed with {label}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_shares_are_those_of_the_samples() {
        let mut writes = Sample::default();
        for milliseconds in 1..=100 {
            writes.record(Duration::from_millis(milliseconds));
        }
        let report = Report {
            operation: "put",
            keys_per_request: 1,
            endpoints: vec!["a:1".to_owned()],
            clients: 1,
            connections: 1,
            key_size: 16,
            value_size: 256,
            elapsed: Duration::from_secs(10),
            reads: Sample::default(),
            writes,
            errors: BTreeMap::from([("Unavailable: etcdserver: no leader".to_owned(), 100)]),
            rejections: 50,
            generator_cpu: Duration::from_millis(120),
        };
        let parsed: Value = serde_json::from_str(&report.to_json()).expect("it is JSON");
        assert_eq!(parsed["throughput_rps"], 10.0);
        assert_eq!(parsed["availability_pct"], 50.0);
        assert_eq!(parsed["proposal_rejection_rate"], 0.25);
        let p99 = parsed["latency_ms"]["writes"]["p99"].as_f64().expect("a number");
        assert!((98.9..=99.2).contains(&p99), "{p99}");
        assert!(report.to_string().contains("100 failed with Unavailable"));
    }
}
